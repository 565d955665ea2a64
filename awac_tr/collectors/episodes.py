"""Whole episodes with given seeds, in this process or in several, the same to the last bit either way."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torchrl.envs import GymWrapper

from awac_tr.collectors.collector import ActorModule, FastCollector
from awac_tr.collectors.stepper import Rows
from awac_tr.collectors.workers import Batch, LocalWorker, Workers
from awac_tr.envs.checked_env import CheckedEnv
from awac_tr.envs.episode import Controller, Episode, OnFrame, episode_seeds, one_torch_thread
from awac_tr.envs.make import horizon_of, make_env
from awac_tr.envs.state import pose_of
from awac_tr.envs.success import InfoReader
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection

__all__ = [
    "Controller",
    "Episode",
    "EpisodeCollector",
    "EpisodePool",
    "Failed",
    "OnFrame",
    "episode_seeds",
    "rollout",
    "rollouts",
]

MakeController = Callable[[], Controller]
T = TypeVar("T")


class EpisodeCollector(FastCollector):
    """Collects an episode at a time.

    Args:
        env: as from :func:`awac_tr.envs.make.make_env`.
    """

    def __init__(self, env: Any) -> None:
        guarded = env if isinstance(env, CheckedEnv) else CheckedEnv(env)
        reader = InfoReader(success=True, goal_size=guarded.goal_size)
        super().__init__(
            GymWrapper(guarded).set_info_dict_reader(reader),
            ActorModule(None),
            frames_per_batch=horizon_of(env),
            trust_policy=True,
            auto_register_policy_transforms=False,
        )

    @torch.no_grad()
    def episode(
        self, controller: Controller, seed: int, *, record_state: bool = False, on_frame: OnFrame | None = None
    ) -> Episode:
        """One episode to its end; args and errors as of :func:`rollout`."""
        stepper, rows, states, length = self._fast, Rows(self._final_rollout), [], 0
        show = on_frame or (lambda *_: None)
        picture: Any = stepper.env.render if on_frame is not None else lambda: None
        with one_torch_thread():
            stepper.begin(seed, 0)
            show(picture(), 0, float("nan"), stepper.success)
            controller.reset(seed)
            while stepper.observation is not None:
                action = controller.act(stepper.observe(rows, length))
                if record_state:
                    states.append(pose_of(stepper.env))
                stepper.step(action, rows, length)
                show(picture(), length + 1, float(rows.reward[length]), stepper.success)
                length += 1
        return _episode(rows, length, states, seed)


def _episode(rows: Rows, length: int, states: Sequence[dict[str, NDArray[np.float64]]], seed: int) -> Episode:
    infos: dict[str, NDArray[Any]] = {}
    if rows.told[:length].all():
        infos["success"] = rows.next_success[:length, 0].copy()
    for name in states[0] if states else ():
        infos[name] = np.stack([state[name] for state in states])
    if rows.achieved is not None:
        infos["achieved_goals"] = rows.achieved[:length].copy()
        infos["next_achieved_goals"] = rows.next_achieved[:length].copy()
        infos["desired_goals"] = rows.observation[:length, -rows.achieved.shape[1] :].copy()
    terminals = rows.terminated[:length].copy()
    return Episode(
        observations=rows.observation[:length].copy(),
        actions=rows.action[:length].copy(),
        rewards=rows.reward[:length].copy(),
        next_observations=rows.next_observation[:length].copy(),
        terminals=terminals,
        timeouts=rows.done[:length] & ~terminals,
        infos=infos,
        seed=seed,
    )


def rollout(
    env: Any,
    controller: Controller,
    seed: int,
    *,
    record_state: bool = False,
    on_frame: OnFrame | None = None,
) -> Episode:
    """Run one episode to its end, with one intra-op thread of torch.

    Args:
        env: as from :func:`awac_tr.envs.make.make_env`; it stays open.
        controller: acts; is reset with the seed.
        seed: of the environment's reset and the controller's.
        record_state: keep the simulator's state before each action (MuJoCo environments only).
        on_frame: called with a rendered image after the reset and after every step; needs ``render_mode="rgb_array"``.

    Raises:
        EnvError: the environment has no horizon, raises, or gives NaN or infinity, or the controller gives no finite
            action; the message names environment, seed and step.
    """
    collector = EpisodeCollector(env)
    try:
        return collector.episode(controller, seed, record_state=record_state, on_frame=on_frame)
    finally:
        collector.env.is_closed = True  # it is the caller's
        collector.shutdown()


def rollouts(
    env: str | EnvSection,
    make_controller: MakeController,
    seeds: Sequence[int],
    *,
    workers: int = 1,
    record_state: bool = False,
) -> Generator[Episode, None, None]:
    """Run one episode per seed and yield them in the order of the seeds.

    An episode depends on its seed alone, so the number of workers changes nothing but the time. Workers are spawned
    processes with one intra-op thread each; closing the generator, an error or Ctrl-C ends them.

    Args:
        env: registered id, or the whole description.
        make_controller: makes the controller, once per process; picklable when ``workers > 1``.
        seeds: one per episode, see :func:`episode_seeds`.
        workers: number of processes; 1 runs here.
        record_state: as of :func:`rollout`.

    Raises:
        EnvError: as :func:`make_env` and :func:`rollout`, or a worker process died.
        ValueError: fewer than one worker.
    """
    count = min(workers, max(1, len(seeds)))
    pool = EpisodePool(env, workers=count, record_state=record_state)
    return _once(pool, make_controller, seeds)


def _once(pool: EpisodePool, make_controller: MakeController, seeds: Sequence[int]) -> Generator[Episode, None, None]:
    with closing(pool):
        yield from pool.play(make_controller, seeds, _whole)


def _whole(episode: Episode) -> Episode:
    return episode


class Failed(NamedTuple):
    """Stands for an episode in which the environment failed; what it said, with its seed."""

    message: str


class EpisodePool:
    """Collectors of one environment's episodes that stay ready between uses: a process takes seconds to start.

    Nothing is made before the first episode is asked for.

    Args:
        env: registered id, or the whole description.
        workers: spawned processes; 1 runs here, unless ``apart``.
        record_state: keep the simulator's states, see :func:`rollout`.
        apart: use a process also for one worker.
        forgiving: where the environment fails in an episode, give a :class:`Failed` for it and go on.

    Raises:
        ValueError: fewer than one worker.
    """

    def __init__(
        self,
        env: str | EnvSection,
        *,
        workers: int = 1,
        record_state: bool = False,
        apart: bool = False,
        forgiving: bool = False,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        args = (_Player, EnvSection.of(env), record_state, forgiving)
        self._count = workers
        self._workers = Workers(workers, *args) if workers > 1 or apart else LocalWorker(*args)

    def play(
        self, make_controller: MakeController, seeds: Sequence[int], digest: Callable[[Episode], T]
    ) -> Generator[T, None, None]:
        """Run one episode per seed; yield what ``digest`` makes of each, in the order of the seeds.

        Args:
            make_controller: makes the controller, once per process; picklable when processes are used.
            seeds: one per episode.
            digest: what is wanted of an episode, computed where it was played; picklable likewise.

        Raises:
            EnvError: as :func:`rollouts`.
        """
        if isinstance(self._workers, LocalWorker):
            acting = (make_controller(), digest)
            yield from self._workers.start("play", [(acting, seed) for seed in seeds])
            return
        # Twice as many episodes under way as workers: nobody waits, and memory does not grow with the seeds.
        yield from self.start(make_controller, seeds, digest, ahead=2 * self._count)

    def start(
        self,
        make_controller: MakeController,
        seeds: Sequence[int],
        digest: Callable[[Episode], Any],
        *,
        ahead: int | None = None,
    ) -> Batch:
        """As :meth:`play`, but all episodes (or so many) are handed to the processes at once, and this one goes on.

        Raises:
            ValueError: the pool has no processes.
        """
        if isinstance(self._workers, LocalWorker):
            raise ValueError(  # noqa: TRY004  (its arguments are wrong)
                "a pool without processes cannot play while this process goes on: use apart=True"
            )
        # Pickled here and now: a policy that goes on learning is played as it stood.
        acting = pickle.dumps((make_controller, digest))
        return self._workers.start("play", [(acting, seed) for seed in seeds], ahead=ahead)

    def close(self) -> None:
        """End the processes and free the environment; a pool that is used again makes new ones."""
        self._workers.close()


class _Player:
    """Plays episodes, one after the other, with whoever is to act."""

    def __init__(self, env: EnvSection, record_state: bool, forgiving: bool) -> None:  # noqa: FBT001
        self._collector = EpisodeCollector(make_env(env))
        self._record_state, self._forgiving = record_state, forgiving
        self._pickled: bytes = b""
        self._acting: tuple[Controller, Callable[[Episode], Any]] | None = None

    def play(self, acting: bytes | tuple[Controller, Callable[[Episode], Any]], seed: int) -> Any:
        if isinstance(acting, bytes):
            if self._acting is None or acting != self._pickled:  # unpickled once
                make_controller, digest = pickle.loads(acting)  # noqa: S301  (our own, through our own pipe)
                self._pickled, self._acting = acting, (make_controller(), digest)
            acting = self._acting
        controller, digest = acting
        try:
            return digest(self._collector.episode(controller, seed, record_state=self._record_state))
        except EnvError as error:
            if self._forgiving:
                return Failed(error.message)
            raise

    def close(self) -> None:
        self._collector.shutdown()
