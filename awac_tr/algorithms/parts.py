"""What algorithms are built from: networks of the recipe's sizes, placed and standardised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from awac_tr.algorithms.base import Statistics
from awac_tr.algorithms.hardware import resolve_compile, resolve_precision
from awac_tr.errors import CheckpointError
from awac_tr.models.best_of_samples import share_parameters
from awac_tr.models.build import RANGE, build_policy, build_qvalues, build_value, set_observation_statistics
from awac_tr.models.cvae import build_cvae, build_perturbation

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential
    from torch import Tensor

    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.models.cvae import CVAENet, PerturbationNet
    from awac_tr.models.networks import Precision
    from awac_tr.objectives.actor_critic import ActorCriticLoss
    from awac_tr.recipes.schema import Recipe

__all__ = ["Parts"]

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
        demonstrations: all transitions [M] of demonstrations, where the algorithm needs them; None: it does not.
    """

    recipe: Recipe
    env: EnvInfo
    statistics: Statistics | None
    action_bounds: tuple[Tensor, Tensor] | None
    device: torch.device
    initial_policy: Mapping[str, Tensor] | None = None
    demonstrations: TensorDictBase | None = None

    @cached_property
    def compile_update(self) -> bool:
        """Whether updates are compiled."""
        return resolve_compile(self.recipe, self.device)

    @property
    def batch_critics(self) -> bool:
        """Whether the critics' products are batched; without a compiler that costs a CPU more than it saves."""
        return self.compile_update or self.device.type != "cpu"

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

    def value(self) -> torch.nn.Module:
        """A fresh V(s)."""
        return self._placed(build_value(self.recipe.qvalue, self.env.observation_size, precision=self.precision))

    def cvae(self, hidden_sizes: Sequence[int]) -> CVAENet:
        """A fresh CVAE of actions."""
        low, high = self.action_bounds or (None, None)
        sizes = (self.env.observation_size, self.env.action_size, hidden_sizes)
        return self._placed(build_cvae(*sizes, action_low=low, action_high=high, precision=self.precision))

    def perturbation(self, hidden_sizes: Sequence[int], phi: float) -> PerturbationNet:
        """A fresh perturbation of actions."""
        low, high = self.action_bounds or (None, None)
        sizes = (self.env.observation_size, self.env.action_size, hidden_sizes)
        options: dict[str, Any] = {"phi": phi, "precision": self.precision}
        return self._placed(build_perturbation(*sizes, action_low=low, action_high=high, **options))

    def first_critic(self, loss: ActorCriticLoss) -> torch.nn.Module:
        """Q_1 of a loss made of :meth:`qvalues`, as it stands at every call: (observation, action) -> [..., 1]."""
        network = self.qvalues()[0].get_submodule("module")
        share_parameters(network, loss.qvalue_network_params[0].get("module"))
        return network

    def _placed(self, module: Module) -> Module:
        if self.statistics is not None:
            set_observation_statistics(module, *self.statistics)
        return module.to(self.device)


def _start_from(policy: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Take over what was learnt; what outputs are mapped to stays that of this environment."""
    learnt = {name: tensor for name, tensor in tensors.items() if not name.endswith(RANGE)}
    own = {name: tensor for name, tensor in policy.state_dict().items() if name.endswith(RANGE)}
    try:
        policy.load_state_dict(learnt | own)
    except RuntimeError as error:
        raise CheckpointError(
            f"the policy to start from does not fit the recipe's: {str(error).splitlines()[-1].strip()}",
            "make the recipe's policy section agree with the one the policy was trained with.",
        ) from error
