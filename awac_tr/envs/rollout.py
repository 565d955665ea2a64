"""Many episodes, in this process or in several, the same to the last bit either way."""

from __future__ import annotations

import logging
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from awac_tr.envs.episode import Controller, Episode, OnFrame, episode_seeds, rollout
from awac_tr.envs.make import make_env
from awac_tr.envs.workers import WorkerDiedError, Workers, died_is_an_error
from awac_tr.errors import EnvError
from awac_tr.recipes.schema import EnvSection

__all__ = ["Batch", "Controller", "Episode", "Failed", "OnFrame", "RolloutPool", "episode_seeds", "rollout", "rollouts"]

MakeController = Callable[[], Controller]
T = TypeVar("T")

_log = logging.getLogger(__name__)
_DEATHS: Final = 3
"""Deaths in a row after which it is no accident."""


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
        record_state: keep the simulator's states, see :func:`rollout`.

    Raises:
        EnvError: as :func:`make_env` and :func:`rollout`, or a worker process died.
        ValueError: fewer than one worker.
    """
    pool = RolloutPool(
        env,
        workers=max(1, min(workers, len(seeds))) if workers > 0 else workers,
        record_state=record_state,
    )
    return _once(pool, make_controller, seeds)


def _once(pool: RolloutPool, make_controller: MakeController, seeds: Sequence[int]) -> Generator[Episode, None, None]:
    with closing(pool):
        yield from pool.play(make_controller, seeds, _whole)


def _whole(episode: Episode) -> Episode:
    return episode


class Failed(NamedTuple):
    """Stands for an episode in which the environment failed; what it said, with its seed."""

    message: str


class RolloutPool:
    """Places for episodes of one environment that stay ready between uses: a process takes seconds to start.

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
        self._place = (EnvSection.of(env), record_state, forgiving)
        self._count = workers
        self._in_processes = workers > 1 or apart
        self._workers: Workers | None = None
        self._stage: _Stage | None = None
        self._casts = 0

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
        if self._in_processes:
            # Twice as many episodes under way as workers: nobody waits, and memory does not grow with the seeds.
            return Batch(self._submitting(make_controller, digest), seeds, ahead=2 * self._count).results()
        return self._here(make_controller, seeds, digest)

    def start(self, make_controller: MakeController, seeds: Sequence[int], digest: Callable[[Episode], T]) -> Batch[T]:
        """As :meth:`play`, but all episodes are handed to the processes at once, and this one goes on.

        Raises:
            ValueError: the pool has no processes.
        """
        if not self._in_processes:
            raise ValueError("a pool without processes cannot play while this process goes on: use apart=True")
        return Batch(self._submitting(make_controller, digest), seeds, ahead=len(seeds))

    def close(self) -> None:
        """End the processes and free the environment; a pool that is used again makes new ones."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None
        if self._stage is not None:
            self._stage.env.close()
            self._stage = None

    def _here(
        self, make_controller: MakeController, seeds: Sequence[int], digest: Callable[[Episode], T]
    ) -> Generator[T, None, None]:
        if self._stage is None:
            self._stage = _Stage(*self._place)
        controller = make_controller()
        for seed in seeds:
            yield self._stage.play(controller, seed, digest)

    def _submitting(self, make_controller: MakeController, digest: Callable[[Episode], T]) -> _Submit[T]:
        self._casts += 1
        # Pickled here and now: a policy that goes on learning is played as it stood.
        return partial(self._submissions, self._casts, pickle.dumps((make_controller, digest)))

    def _submissions(self, cast: int, script: bytes, seeds: Sequence[int], *, anew: bool) -> Iterator[Future[Any]]:
        if anew and self._workers is not None:
            self._workers.close()
            self._workers = None
        if self._workers is None:
            self._workers = Workers(self._count, _set_stage, *self._place)
        return (self._workers.submit(_play, cast, script, seed) for seed in seeds)


class _Submit(Protocol[T]):
    def __call__(self, seeds: Sequence[int], *, anew: bool) -> Iterator[Future[T]]: ...


class Batch(Generic[T]):
    """Episodes under way in processes; those of a process that dies are played again, by new ones.

    Args:
        submit: for seeds, an iterator that hands out one episode each time it is asked; ``anew``: to new processes.
        seeds: one per episode.
        ahead: how many are under way before the first result is taken.
    """

    def __init__(self, submit: _Submit[T], seeds: Sequence[int], ahead: int) -> None:
        self._submit, self._seeds, self._ahead = submit, seeds, ahead
        self._results = self._deaths = 0
        self._waiting: deque[Future[T]] = deque()
        self._begin(anew=False)

    def done(self) -> bool:
        """Whether everything handed out so far has come back."""
        return all(future.done() for future in self._waiting)

    def results(self) -> Generator[T, None, None]:
        """What was made of each episode, in order, waiting where it is not there yet.

        Raises:
            EnvError: of the episode.
            WorkerDiedError: processes died again and again without an episode in between.
        """
        try:
            while self._results < len(self._seeds):
                result = self._next()
                self._results, self._deaths = self._results + 1, 0
                yield result
        finally:
            for future in self._waiting:
                future.cancel()

    def _begin(self, *, anew: bool) -> None:
        self._submissions = self._submit(self._seeds[self._results :], anew=anew)
        self._waiting = deque(islice(self._submissions, self._ahead))

    def _next(self) -> T:
        while True:
            try:
                with died_is_an_error():
                    result = self._waiting[0].result()
                    self._waiting.popleft()
                    self._waiting.extend(islice(self._submissions, 1))
                    return result
            except WorkerDiedError:
                self._deaths += 1
                if self._deaths > _DEATHS:
                    raise
                _log.warning("a worker process died: its episodes are played again, with the same seeds, by a new one")
                self._begin(anew=True)


class _Stage:
    """An environment, used for one episode after the other."""

    def __init__(self, env: EnvSection, record_state: bool, forgiving: bool) -> None:  # noqa: FBT001
        self.env = make_env(env)
        self._record_state, self._forgiving = record_state, forgiving

    def play(self, controller: Controller, seed: int, digest: Callable[[Episode], Any]) -> Any:
        try:
            return digest(rollout(self.env, controller, seed, record_state=self._record_state))
        except EnvError as error:
            if self._forgiving:
                return Failed(error.message)
            raise


_stage: _Stage | None = None
_cast: tuple[int, Controller, Callable[[Episode], Any]] | None = None


def _set_stage(*place: Any) -> None:
    """Runs first in every process."""
    global _stage
    _stage = _Stage(*place)


def _play(cast: int, script: bytes, seed: int) -> Any:
    """One episode in a worker; who plays is unpickled once a cast."""
    global _cast
    if _stage is None:
        raise EnvError("a rollout worker was not set up")
    if _cast is None or _cast[0] != cast:
        make_controller, digest = pickle.loads(script)  # noqa: S301  (our own, through our own pipe)
        _cast = (cast, make_controller(), digest)
    return _stage.play(_cast[1], seed, _cast[2])
