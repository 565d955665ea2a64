"""The rounds of AWR: what is worked out over the whole buffer once, and the small updates that learn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from tensordict import TensorDict

from awac_tr.algorithms.passes import ShuffledPasses
from awac_tr.keys import ACTION, NEXT_OBSERVATION, OBSERVATION
from awac_tr.models.build import set_observation_statistics
from awac_tr.models.networks import CONSTANT_STD
from awac_tr.objectives.returns import td_lambda_returns, whitened

if TYPE_CHECKING:
    from collections.abc import Callable

    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
    from torch import Tensor, nn

    from awac_tr.algorithms.awr.config import AWRConfig
    from awac_tr.objectives.awr import AWRLoss
    from awac_tr.recipes.schema import Recipe

__all__ = ["AWRLearner"]

_EPSILON: Final = 1e-5
"""Added to the deviation of advantages in xbpeng/awr."""


class AWRLearner:
    """A learner in rounds; the offline phase is the first, over all prior data.

    A round of n updates (those that the new steps owe, or ``offline.updates``): TD(lambda) returns of all rows; the
    first ``value_updates / (value_updates + policy_updates)`` of the n regress V to them; then returns are worked out
    anew, advantages R - V are whitened over the buffer, and the others clone the actions by their weights. Each update
    takes one minibatch of shuffled passes over the buffer.

    Args:
        policy: the actor.
        value: V, the module whose parameters the loss has.
        loss: of both.
        config: of the recipe.
        optimizers: of V and of the policy.
        recipe: has numbers of updates and batch sizes.
        follow_statistics: standardise observations by the buffer's while it has at most ``normalizer_rows``.
    """

    def __init__(
        self,
        policy: ProbabilisticTensorDictSequential,
        value: TensorDictModuleBase,
        loss: AWRLoss,
        config: AWRConfig,
        *,
        optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
        recipe: Recipe,
        follow_statistics: bool,
    ) -> None:
        self.policy, self.loss, self.config = policy, loss, config
        self.act: TensorDictModuleBase = policy
        self.evaluate: TensorDictModuleBase = policy
        self._networks: tuple[nn.Module, ...] = (policy, value)
        self._optimizers, self._online = optimizers, recipe.online
        self._follow_statistics = follow_statistics
        self._batch_size = recipe.offline.batch_size
        self._planned, self._made = recipe.offline.updates, 0
        self._targets: Tensor | None = None  # of the part of the round: returns, or weights, [N, 1]
        self._passes = ShuffledPasses()
        self._diagnostics: dict[str, Tensor] = {}

    @property
    def value_updates(self) -> int:
        """How many updates of this round are V's: the share of ``value_updates``, rounded up."""
        mine, theirs = self.config.value_updates, self.config.policy_updates
        return -(-self._planned * mine // (mine + theirs))

    def update(self, batch: TensorDictBase) -> TensorDictBase:
        """One minibatch.

        Args:
            batch: all rows of the buffer [N] in order, the same ones for every update of a round; not written to.

        Returns:
            The loss and its diagnostics, detached scalars.
        """
        of_value = self._made < self.value_updates
        targets = self._targets
        if self._made in (0, self.value_updates) or targets is None or len(targets) != len(batch):
            targets = self._targets = self._begin(batch, of_value=of_value)
        rows = self._passes.take(len(batch), self._batch_size).to(targets.device)
        self._made += 1
        target = targets[rows]
        if of_value:
            data = TensorDict({OBSERVATION: batch.get(OBSERVATION)[rows], "return": target}, [len(rows)])
            return self._step(self.loss.value_loss, data, self._optimizers[0])
        data = TensorDict(
            {OBSERVATION: batch.get(OBSERVATION)[rows], ACTION: batch.get(ACTION)[rows], "weight": target}, [len(rows)]
        )
        return self._step(self.loss.actor_loss, data, self._optimizers[1]).update(self._diagnostics)

    def on_phase(self, phase: str) -> None:
        """Nothing changes between the phases."""

    def on_round(self, transitions: TensorDictBase) -> None:
        """A round begins: returns are worked out anew."""
        self._planned, self._made = round(len(transitions) * self._online.updates_per_step), 0
        self._batch_size = self._online.batch_size

    def _begin(self, batch: TensorDictBase, *, of_value: bool) -> Tensor:
        """Returns of all rows for V, or weights for the policy; a new pass."""
        if of_value and self._follow_statistics and len(batch) <= self.config.normalizer_rows:
            self._standardize(batch.get(OBSERVATION))
        following = self.loss.values(batch.get(NEXT_OBSERVATION))
        returns = td_lambda_returns(batch, following, gamma=self.config.gamma, lmbda=self.config.lmbda)
        self._passes.begin()
        if of_value:
            return returns
        advantage = returns - self.loss.values(batch.get(OBSERVATION))
        weights, self._diagnostics = self.loss.weights(whitened(advantage, _EPSILON))
        self._diagnostics["advantage"] = advantage.mean()
        return weights

    def _standardize(self, observation: Tensor) -> None:
        """By these rows from now on; the loss shares the networks' tensors."""
        rows = observation.double()
        mean, std = rows.mean(0), rows.std(0, unbiased=False)
        std = torch.where(std < CONSTANT_STD, torch.ones_like(std), std)
        for network in self._networks:
            set_observation_statistics(network, mean, std)

    def _step(
        self,
        losses: Callable[[TensorDictBase], TensorDict],
        data: TensorDictBase,
        optimizer: torch.optim.Optimizer,
    ) -> TensorDictBase:
        out = losses(data)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([value for name, value in out.items() if name.startswith("loss_")])
        optimizer.step()
        return out.detach()

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers, where in which round it stands, and what the rest of the round learns from."""
        return {
            "loss": dict(self.loss.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "planned": self._planned,
            "made": self._made,
            "batch_size": self._batch_size,
            "targets": self._targets,
            "passes": self._passes.state_dict(),
            "diagnostics": dict(self._diagnostics),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.loss.load_state_dict(state["loss"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._planned, self._made, self._batch_size = state["planned"], state["made"], state["batch_size"]
        device = self.loss.scale.device
        targets = state["targets"]
        self._targets = None if targets is None else targets.to(device)
        self._passes.load_state_dict(state["passes"])
        self._diagnostics = {name: value.to(device) for name, value in state["diagnostics"].items()}
