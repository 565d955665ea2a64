"""TorchRL's ``Collector``, with a fast path for one Gymnasium environment and one actor.

TorchRL's own ``rollout`` builds several TensorDicts for every step, checks done flags and stacks the rows at the end,
which costs several times what the simulator and the policy do. Here the rows of a rollout are written into arrays that
are there already. What comes out is the same, key by key; see ``tests/collectors/test_collector.py``.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.envs.utils import ExplorationType, exploration_type

from awac_tr.collectors.stepper import TRAJ_IDS, EpisodeState, Rows, Stepper
from awac_tr.envs.checked_env import CheckedEnv
from awac_tr.envs.episode import Controller, one_torch_thread
from awac_tr.envs.success import InfoReader
from awac_tr.errors import EnvError
from awac_tr.keys import ACTION, OBSERVATION
from awac_tr.policies.actor import Actor, actor_of

__all__ = ["FAILURES", "ActorModule", "FastCollector"]

Floats = NDArray[np.float32]

FAILURES: Final = 3
"""Episodes in a row after which it is no accident."""

_log = logging.getLogger(__name__)


class ActorModule(TensorDictModuleBase):
    """An actor as a policy for TorchRL's collectors: ``observation`` [o] to ``action`` [a], clipped to the bounds.

    A policy module is read out as its weights stand at :meth:`begin`; they are this module's parameters, so TorchRL's
    weight synchronisation reaches them. Where TorchRL's exploration type is random, so is the action.

    Args:
        policy: what :func:`awac_tr.policies.actor.actor_of` takes, or a controller.
        low: bounds of actions, [a]; None: actions stay as they are.
        high: the same.
    """

    in_keys = [OBSERVATION]  # noqa: RUF012  (as TensorDict has it)
    out_keys = [ACTION]  # noqa: RUF012

    def __init__(self, policy: Any, low: Floats | None = None, high: Floats | None = None) -> None:
        super().__init__()
        self.policy = policy
        self._low, self._high = low, high
        self._noise: list[Floats | None] = []
        self._actor: Any = None

    def begin(self, steps: int) -> tuple[Actor | Controller, Floats | None]:
        """Read the policy out, and draw the noise of so many steps from torch's global generator.

        Returns:
            The actor, and [steps, noise_size] float32; None where the actor takes no noise.
        """
        self._actor = actor_of(self.policy)
        size = getattr(self._actor, "noise_size", None)
        noise = None if size is None else torch.randn(steps, size).numpy()
        self._noise = [None] * steps if noise is None else list(noise)
        return self._actor, noise

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the action of the next step; where none was begun, of a single one."""
        if not self._noise:
            self.begin(1)
        noise = self._noise.pop(0)
        observation = tensordict[OBSERVATION].numpy()
        if noise is None or exploration_type() is not ExplorationType.RANDOM:
            action = self._actor.act(observation)
        else:
            action = self._actor.act(observation, noise)
        if self._low is not None and self._high is not None:
            action = np.minimum(np.maximum(action, self._low), self._high)
        return tensordict.set(ACTION, torch.from_numpy(action))


class FastCollector(Collector):
    """As TorchRL's ``Collector``; fast where the policy is an :class:`ActorModule` and the environment one of ours.

    Ours are those of :func:`awac_tr.envs.make.make_torchrl_env`, without transforms, on the CPU. With any other
    environment or policy, random first frames, an interruptor, compact observations, or a buffer that takes single
    steps, the slow path of TorchRL is taken. The fast one differs in three things, all of them about episodes:

    * An episode begins when its first step is taken, not when the one before ends; :meth:`set_seed` and a failed
      environment cost no episode that way.
    * One in which the environment raises, or gives NaN or infinity, is dropped as far as it belongs to the rollout,
      which is logged, and another takes its steps. After ``FAILURES`` in a row the next one is an error.
    * :meth:`state_dict` holds the episode under way, where its seed is known, and :meth:`load_state_dict` gets back
      into it, by the same actions.

    Args:
        create_env_fn: the environment, or what makes it.
        policy: what acts.
        seed_at: the seed of an episode that begins after so many steps, when so many before it have failed in a row;
            its ``traj_ids`` is that number of steps. None: as TorchRL has it, reset without a seed, ids counted up.
        **options: of TorchRL's ``Collector``.

    Attributes:
        dropped: why episodes of the last rollout were dropped, one message each.
        tells_success: the environment told of success at every step of the last rollout.
    """

    frames_per_batch: int
    _stepper: Stepper | None = None
    _final_rollout: TensorDictBase

    def __init__(
        self,
        create_env_fn: Any,
        policy: Any = None,
        *,
        seed_at: Callable[[int, int], int] | None = None,
        **options: Any,
    ) -> None:
        self._seed_at, self._next_seed = seed_at, None  # type: tuple[Any, int | None]
        self.dropped: list[str] = []
        self.tells_success = False
        self._interrupted = options.get("interruptor") is not None
        super().__init__(create_env_fn, policy, **options)

    @torch.no_grad()
    def rollout(self) -> TensorDictBase:
        """``frames_per_batch`` steps, in the same TensorDict each time; a caller who keeps it makes a copy."""
        if self._stepper is None:
            return super().rollout()
        if self.pre_collect_hook is not None:
            self.pre_collect_hook()
        if self.reset_at_each_iter:
            self._stepper.observation = None
        actor, noise = self.policy.begin(self.frames_per_batch)
        out = self.take(
            actor, noise if self.exploration_type is ExplorationType.RANDOM else None, begin=int(self._frames)
        )
        for message in self.dropped:
            _log.warning("an episode was dropped: %s", message)
        return self._maybe_set_truncated(out)

    def take(self, actor: Any, noise: Floats | None, *, begin: int) -> TensorDictBase:
        """Steps [T] of an actor, on the fast path; the next ones write over them.

        Args:
            actor: acts.
            noise: [T, noise_size] float32, a row for each step; None: ``frames_per_batch`` deterministic actions.
            begin: steps taken before, from which new episodes get their seeds.

        Raises:
            EnvError: episodes failed again and again.
        """
        steps = self.frames_per_batch if noise is None else len(noise)
        if steps > len(self._final_rollout):
            self.frames_per_batch = steps
            self._maybe_make_final_rollout(make_rollout=True)
        out = self._final_rollout if steps == len(self._final_rollout) else self._final_rollout[:steps]
        rows, stepper, self.dropped = Rows(out), self._fast, []
        row = first = 0
        with one_torch_thread():
            while row < steps:
                try:
                    if stepper.observation is None:
                        first = row
                        self._begin_episode(actor, begin + row)
                    observation = stepper.observe(rows, row)
                    action = actor.act(observation) if noise is None else actor.act(observation, noise[row])
                    stepper.step(action, rows, row)
                except EnvError as error:
                    row = first
                    self._drop(error)
                else:
                    row += 1
        self.tells_success = bool(rows.told.all())
        return out

    def _begin_episode(self, actor: Any, step: int) -> None:
        stepper = self._fast
        if self._seed_at is None:
            seed, number = self._next_seed, int(self._traj_pool.get_traj_and_increment())
            self._next_seed = None
        else:
            seed, number = self._seed_at(step, stepper.failures), step
        stepper.begin(seed, number)
        if seed is not None and hasattr(actor, "reset"):
            actor.reset(seed)

    def _drop(self, error: EnvError) -> None:
        stepper = self._fast
        stepper.observation = None
        stepper.failures += 1
        if stepper.failures > FAILURES:
            raise EnvError(f"{stepper.failures} episodes in a row failed; the last: {error.message}", error.hint)
        self.dropped.append(error.message)

    @property
    def _fast(self) -> Stepper:
        if self._stepper is None:
            raise TypeError("there is no fast path here: it takes an environment of ours and an ActorModule")
        return self._stepper

    @property
    def episode_state(self) -> EpisodeState:
        """Where the environment stands, on the fast path."""
        return self._fast.state

    def restore(self, state: EpisodeState) -> bool:
        """Get back into an episode; whether the environment is there. If not, its next step begins an episode."""
        with one_torch_thread():
            return self._fast.restore(state)

    def set_seed(self, seed: int, static_seed: bool = False) -> int:  # noqa: FBT001, FBT002  (as TorchRL has it)
        """As TorchRL's; on the fast path the next step begins an episode of this seed."""
        following: int = super().set_seed(seed, static_seed)
        if self._stepper is not None:
            self._stepper.observation, self._next_seed = None, seed
        return following

    def reset(self, index: Any = None, **options: Any) -> None:
        """As TorchRL's; on the fast path the next step begins an episode."""
        if self._stepper is None:
            super().reset(index, **options)
        elif index is not None or options:
            raise RuntimeError("a single environment is reset whole, without options")
        else:
            self._stepper.observation = None

    def state_dict(self) -> OrderedDict[str, Any]:
        """TorchRL's, and the episode under way."""
        state: OrderedDict[str, Any] = super().state_dict()
        if self._stepper is not None and (episode := self._stepper.state).seed is not None:
            state["episode"] = episode.to_plain()
        return state

    def load_state_dict(self, state_dict: OrderedDict[str, Any], **options: Any) -> None:
        """Take up what :meth:`state_dict` gave; an environment that does not repeat itself begins an episode."""
        super().load_state_dict(state_dict, **options)
        if self._stepper is not None and "episode" in state_dict:
            there = self.restore(EpisodeState.from_plain(state_dict["episode"]))
            if not there:
                _log.warning("the environment does not repeat itself: an episode under way is begun anew")

    def _make_carrier(self) -> None:
        # The first moment at which environment, policy and devices are known, and nothing was stepped yet.
        env = self._fast_env()
        if env is None:
            super()._make_carrier()
        else:
            self._stepper = Stepper(env)
            self._carrier = TensorDict()

    def _fast_env(self) -> CheckedEnv | None:
        """The environment, where nothing asks for the slow path."""
        inner = getattr(self.env, "_env", None)
        simple = type(self.env) is GymWrapper and isinstance(inner, CheckedEnv) and self.env.wrapper_frame_skip == 1
        readers = getattr(self.env, "info_dict_reader", None) or []
        plain = simple and isinstance(self.policy, ActorModule) and all(type(one) is InfoReader for one in readers)
        on_cpu = all(device is None or device.type == "cpu" for device in (self.env_device, self.storing_device))
        options = self.init_random_frames, self._interrupted, self._compact_next_keys, not self.extend_buffer
        return inner if plain and on_cpu and self.track_traj_ids and not any(options) else None

    def _maybe_make_final_rollout(self, make_rollout: bool) -> None:  # noqa: FBT001  (as TorchRL has it)
        if self._stepper is None:
            super()._maybe_make_final_rollout(make_rollout)
            return
        rows = self.env.fake_tensordict().unsqueeze(-1).expand(self.frames_per_batch).clone().zero_()
        rows.set(TRAJ_IDS, torch.zeros(self.frames_per_batch, dtype=torch.int64))
        self._final_rollout = rows.to(self.storing_device) if self.storing_device else rows.clear_device_()
        self._final_rollout.refine_names(..., "time")
