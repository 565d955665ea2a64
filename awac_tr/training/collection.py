"""Environment steps for the buffer, taken by TorchRL's collector with the policy as it is now."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.collectors import Collector
from torchrl.envs.utils import ExplorationType

from awac_tr.envs.make import make_torchrl_env
from awac_tr.keys import ACTION, DONE, NEXT_OBSERVATION, OBSERVATION, REWARD, TERMINATED, TRUNCATED
from awac_tr.training.threads import intra_op_threads

if TYPE_CHECKING:
    from tensordict.nn import ProbabilisticTensorDictSequential
    from torch import Tensor
    from torchrl.envs import EnvBase

    from awac_tr.recipes.schema import EnvSection

__all__ = ["SUCCESS", "OnlineCollector", "action_bounds"]

SUCCESS: Final = ("next", "success")
"""Where the environment says that the goal is reached."""

_KEPT: Final = (OBSERVATION, ACTION, REWARD, NEXT_OBSERVATION, TERMINATED, TRUNCATED, DONE)


def action_bounds(env: EnvBase) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds of an environment's actions, each [action_size] float32."""
    space = env.action_spec.space
    return space.low.to(torch.float32).clone(), space.high.to(torch.float32).clone()


class OnlineCollector:
    """Steps one environment with the stochastic policy; episodes go on from one round to the next.

    Actions are clipped to the bounds before they are executed, and it is the clipped ones that are kept: what the
    buffer holds is what the environment saw.

    Args:
        section: the environment.
        policy: what acts; where it lives on another device than the CPU, a copy there acts, renewed every round.
        seed: of the environment's resets.
    """

    def __init__(self, section: EnvSection, policy: ProbabilisticTensorDictSequential, *, seed: int) -> None:
        self._env = make_torchrl_env(section.id, kwargs=section.kwargs, horizon=section.horizon)
        self._env.set_seed(seed)
        self._learned = policy
        self._copied = any(parameter.device.type != "cpu" for parameter in policy.parameters())
        self._acting = copy.deepcopy(policy).cpu() if self._copied else policy
        low, high = action_bounds(self._env)
        clip = TensorDictModule(lambda action: torch.clamp(action, low, high), in_keys=[ACTION], out_keys=[ACTION])
        self._policy = TensorDictSequential(self._acting, clip)
        self._collector: Collector | None = None
        self._frames = 0

    def collect(self, steps: int) -> TensorDict:
        """Take steps.

        Args:
            steps: how many; a number other than the last call's begins a new episode.

        Returns:
            Transitions [steps] with the keys of :mod:`awac_tr.keys`, on the CPU, and ``SUCCESS`` where
            the environment tells it.
        """
        if self._copied:
            self._acting.load_state_dict(self._learned.state_dict())
        if self._collector is None or steps != self._frames:
            self._collector, self._frames = self._new_collector(steps), steps
            self._rollouts = iter(self._collector)
        with intra_op_threads(1), torch.no_grad():
            rollout = next(self._rollouts).reshape(-1)
        return rollout.select(*_KEPT, SUCCESS, strict=False).clone()

    def close(self) -> None:
        """Free the environment."""
        if self._collector is not None:
            self._collector.shutdown()
        elif not self._env.is_closed:
            self._env.close()

    def _new_collector(self, frames: int) -> Collector:
        return Collector(
            self._env,
            self._policy,
            frames_per_batch=frames,
            total_frames=-1,
            exploration_type=ExplorationType.RANDOM,
            trust_policy=True,
            auto_register_policy_transforms=False,
        )
