"""The phases of DAPG: cloning, then rounds of one natural policy gradient and small updates of the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDict

from awac_tr.algorithms.adam import adam, load_adam
from awac_tr.algorithms.passes import ShuffledPasses
from awac_tr.keys import ACTION, DEMONSTRATIONS, DONE, NOISE, OBSERVATION
from awac_tr.objectives.bc import BCLoss
from awac_tr.objectives.dapg import baseline_features, following_values, steps_within_episodes
from awac_tr.objectives.natural_gradient import conjugate_gradient, fisher_product, flat, natural_step
from awac_tr.objectives.returns import gae_advantages, td_lambda_returns, whitened

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
    from torch import Tensor

    from awac_tr.algorithms.dapg.config import DAPGConfig
    from awac_tr.objectives.dapg import DAPGLoss
    from awac_tr.recipes.schema import Recipe

__all__ = ["DAPGLearner"]

_EPSILON = 1e-6
"""Added to the deviation of advantages in hand_dapg."""


class DAPGLearner:
    """A learner in rounds. Offline, an update clones a batch of demonstrations by the squared error of the mean.

    Online, the first update of a round is a natural policy gradient on all of its transitions and all demonstrations,
    with the baseline as it was before; the others fit the baseline to the round's discounted returns, a minibatch each.

    Args:
        policy: the actor.
        loss: of the gradient and the baseline.
        config: of the recipe.
        demonstrations: all of them, [M].
        recipe: has the bounds of deviations.
    """

    def __init__(
        self,
        policy: ProbabilisticTensorDictSequential,
        loss: DAPGLoss,
        config: DAPGConfig,
        demonstrations: TensorDictBase,
        recipe: Recipe,
    ) -> None:
        self.policy, self.loss, self.config = policy, loss, config
        self.act: TensorDictModuleBase = policy
        self.evaluate: TensorDictModuleBase = policy
        self._demonstrations = demonstrations.select(OBSERVATION, ACTION)
        self._parameters = list(policy.parameters())
        low, high = recipe.policy.log_std_min, recipe.policy.log_std_max
        share = min(max((config.log_std_floor - low) / (high - low), 0.0), 1.0)
        self._floor = float(torch.tensor(share, dtype=torch.float64).logit())
        self._cloning = BCLoss(policy, loss_function="mse")
        means = [each for name, each in policy.named_parameters() if "std_" not in name]
        self._optimizers = (
            adam((means, config.cloning_lr, 0.0)),
            adam((loss.baseline.parameters(), config.baseline_lr, config.baseline_weight_decay)),
        )
        self._online, self._made, self.iteration = False, 0, 0
        self._before = self._after = 0  # steps of the episode under way, before and after the round
        self._passes = ShuffledPasses()
        self._round: tuple[Tensor, Tensor] | None = None  # features and returns of the round

    def update(self, batch: TensorDictBase) -> TensorDictBase:
        """One update, as the class says.

        Args:
            batch: offline, one with demonstrations; online, all transitions [N] of the round, in order.

        Returns:
            Losses and diagnostics, detached scalars.
        """
        if not self._online:
            demonstrations = batch.get(DEMONSTRATIONS)
            return self._step(self._cloning(demonstrations), 0)
        self._made += 1
        return self._policy_step(batch) if self._made == 1 else self._fit_baseline(batch)

    def on_phase(self, phase: str) -> None:
        """Online there is no cloning any more."""
        self._online = phase == "online"

    def on_round(self, transitions: TensorDictBase) -> None:
        """A round begins; the episode under way may go on in it."""
        done = transitions.get(DONE)
        self._before, self._made, self._round = self._after, 0, None
        self._after = 0 if bool(done[-1]) else int(steps_within_episodes(done, self._before)[-1]) + 1
        self._passes.begin()

    def _policy_step(self, batch: TensorDictBase) -> TensorDictBase:
        weight = self.config.demonstration_weight * self.config.demonstration_decay**self.iteration
        advantage = self._advantages(batch)
        fresh = batch.select(OBSERVATION).set(ACTION, self._chosen(batch))
        fresh.set("weight", whitened(advantage, _EPSILON))
        shown = self._demonstrations.copy()
        shown.set("weight", torch.full_like(shown.get(ACTION)[:, :1], weight))
        gradient = flat(torch.autograd.grad(self.loss.surrogate(fresh, shown), self._parameters))
        observation = batch.get(OBSERVATION)
        product = fisher_product(lambda: self.loss.gaussian(observation), self._parameters, self.config.damping)
        direction = conjugate_gradient(product, gradient, self.config.cg_iterations)
        step = natural_step(direction, gradient, self.config.step_size)
        kl = 0.5 * step @ product(step)
        self._move(step)
        self.iteration += 1
        std = self.loss.gaussian(observation[:1])[1].detach()
        numbers = {"advantage": advantage.mean(), "kl": kl, "gradient": gradient.norm(), "std": std.mean()}
        return TensorDict(numbers | {"demonstration_weight": advantage.new_tensor(weight)}).detach()

    @torch.no_grad()
    def _chosen(self, batch: TensorDictBase) -> Tensor:
        """The actions as the policy drew them, before the environment clipped them; it has not moved since."""
        noise = batch.get(NOISE, None)
        if noise is None:
            executed: Tensor = batch.get(ACTION)
            return executed
        mean, std = self.loss.gaussian(batch.get(OBSERVATION))
        drawn: Tensor = mean + std * noise
        return drawn

    @torch.no_grad()
    def _move(self, step: Tensor) -> None:
        sizes = [parameter.numel() for parameter in self._parameters]
        for parameter, part in zip(self._parameters, torch.split(step, sizes), strict=True):
            parameter.add_(part.view_as(parameter))
        for name, parameter in self.policy.named_parameters():
            if "std_" in name:
                parameter.clamp_(min=self._floor)

    @torch.no_grad()
    def _advantages(self, batch: TensorDictBase) -> Tensor:
        features, _ = self._of_round(batch)
        value = self.loss.baseline(features)
        following = following_values(value, batch)
        return gae_advantages(batch, value, following, gamma=self.config.gamma, lmbda=self.config.gae_lambda)

    def _fit_baseline(self, batch: TensorDictBase) -> TensorDictBase:
        features, returns = self._of_round(batch)
        rows = self._passes.take(len(batch), self.config.baseline_batch_size).to(features.device)
        return self._step(self.loss.value_loss(features[rows], returns[rows]), 1)

    def _of_round(self, batch: TensorDictBase) -> tuple[Tensor, Tensor]:
        """What the baseline reads, and the discounted returns up to where an episode ends or is cut."""
        if self._round is None or len(self._round[0]) != len(batch):
            steps = steps_within_episodes(batch.get(DONE), self._before)
            features = baseline_features(batch.get(OBSERVATION), steps)
            returns = td_lambda_returns(batch, torch.zeros_like(features[:, :1]), gamma=self.config.gamma, lmbda=1.0)
            self._round = (features, returns)
        return self._round

    def _step(self, losses: TensorDictBase, which: int) -> TensorDictBase:
        optimizer = self._optimizers[which]
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([value for name, value in losses.items() if name.startswith("loss_")])
        optimizer.step()
        return losses.detach()

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers, and where in which round it stands."""
        return {
            "loss": dict(self.loss.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "online": self._online,
            "made": self._made,
            "iteration": self.iteration,
            "steps_of_episode": (self._before, self._after),
            "passes": self._passes.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.loss.load_state_dict(state["loss"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            load_adam(optimizer, saved)
        self._online, self._made, self.iteration = state["online"], state["made"], state["iteration"]
        self._before, self._after = state["steps_of_episode"]
        self._passes.load_state_dict(state["passes"])
        self._round = None
