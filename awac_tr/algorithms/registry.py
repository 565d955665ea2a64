"""From a recipe to its learner: one line an algorithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

import torch

from awac_tr.algorithms.awac import AWACLearner
from awac_tr.algorithms.base import Learner, Statistics
from awac_tr.algorithms.bc import BCLearner
from awac_tr.algorithms.hardware import resolve_compile, resolve_precision
from awac_tr.errors import CheckpointError
from awac_tr.policies.build import build_policy, build_qvalues, set_observation_statistics

if TYPE_CHECKING:
    from tensordict.nn import ProbabilisticTensorDictSequential
    from torch import Tensor

    from awac_tr.envs.facts import EnvFacts
    from awac_tr.policies.networks import Precision
    from awac_tr.recipes.schema import Recipe

__all__ = ["ALGORITHMS", "Parts", "build_learner"]

Module = TypeVar("Module", bound=torch.nn.Module)


@dataclass(frozen=True)
class Parts:
    """What an algorithm is built from.

    Attributes:
        recipe: the experiment.
        env: sizes and reward range of its environment.
        statistics: of the observations in the offline data; None: no standardisation.
        action_bounds: (low, high), each [action_size] float32; None: -1 and 1.
        device: where the networks live.
        initial_policy: tensors of a policy to start from, statistics included; None: random weights.
    """

    recipe: Recipe
    env: EnvFacts
    statistics: Statistics | None
    action_bounds: tuple[Tensor, Tensor] | None
    device: torch.device
    initial_policy: Mapping[str, Tensor] | None = None

    @cached_property
    def precision(self) -> Precision:
        """Of the hidden layers."""
        return resolve_precision(self.recipe, self.device)

    def policy(self) -> ProbabilisticTensorDictSequential:
        """A fresh policy."""
        low, high = self.action_bounds or (None, None)
        sizes = (self.env.observation_size, self.env.action_size)
        policy = self._placed(
            build_policy(self.recipe.policy, *sizes, action_low=low, action_high=high, precision=self.precision)
        )
        if self.initial_policy is not None:
            _start_from(policy, self.initial_policy)
        return policy

    def qvalues(self) -> list[torch.nn.Module]:
        """Fresh critics."""
        sizes = (self.env.observation_size, self.env.action_size)
        return [self._placed(qvalue) for qvalue in build_qvalues(self.recipe.qvalue, *sizes, precision=self.precision)]

    def _placed(self, module: Module) -> Module:
        if self.statistics is not None:
            set_observation_statistics(module, *self.statistics)
        return module.to(self.device)


def build_learner(
    recipe: Recipe,
    env: EnvFacts,
    statistics: Statistics | None,
    device: torch.device | str = "cpu",
    *,
    action_bounds: tuple[Tensor, Tensor] | None = None,
    initial_policy: Mapping[str, Tensor] | None = None,
) -> Learner:
    """Networks, loss and optimisers of a recipe; initial weights are drawn from torch's global generator.

    Args:
        recipe: the experiment.
        env: sizes and reward range of its environment.
        statistics: of the observations in the offline data, set into actor and critics; None: no standardisation.
        device: where the networks live.
        action_bounds: (low, high), each [action_size] float32; None: -1 and 1.
        initial_policy: tensors of a policy to start from, statistics included; None: random weights.

    Raises:
        CheckpointError: the initial policy's tensors do not fit the recipe's.
        RecipeError: the recipe asks for bounds on values that the environment cannot give.
    """
    return ALGORITHMS[recipe.algorithm](
        Parts(recipe, env, statistics, action_bounds, torch.device(device), initial_policy)
    )


def _start_from(policy: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    try:
        policy.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise CheckpointError(
            f"the policy to start from does not fit the recipe's: {str(error).splitlines()[-1].strip()}",
            "make the recipe's policy section agree with the one the policy was trained with.",
        ) from error


def _awac(parts: Parts) -> Learner:
    recipe = parts.recipe
    return AWACLearner(
        parts.policy(),
        parts.qvalues(),
        recipe.awac,
        reward_range=parts.env.reward_range,
        compile_update=resolve_compile(recipe, parts.device),
    )


def _bc(parts: Parts) -> Learner:
    return BCLearner(parts.policy(), parts.recipe.bc)


ALGORITHMS: Final[dict[str, Callable[[Parts], Learner]]] = {"awac": _awac, "bc": _bc}
