"""AWAC (Nair et al., 2020): the loss of Eqs. 3 and 10, Adam, and a slowly following target critic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torchrl.objectives import ValueEstimators

from awac_tr.algorithms.adam import AdamSteps, adam, load_adam
from awac_tr.algorithms.compilation import Compiled
from awac_tr.algorithms.graphs import Captured
from awac_tr.algorithms.targets import ForeachSoftUpdate
from awac_tr.errors import RecipeError
from awac_tr.objectives.awac import AWACLoss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
    from torch import Tensor

    from awac_tr.recipes.schema import AWACSection

__all__ = ["AWACLearner", "value_bounds"]

Bounds = tuple[float | None, float | None]


def value_bounds(reward_range: tuple[float, float], gamma: float) -> Bounds:
    """What any policy's discounted return lies between, given the reward's range.

    A return is a sum of gamma^t r_t over an episode of unknown length (at least one step, perhaps endless), so
    ``low = min(r_min, r_min / (1 - gamma))`` and ``high = max(r_max, r_max / (1 - gamma))``.

    Args:
        reward_range: smallest and largest reward of a step.
        gamma: discount, in [0, 1]; at 1 a bound is infinite, hence None, unless the reward's own bound is 0.

    Returns:
        (low, high); None: unbounded on that side.

    Example:
        >>> low, high = value_bounds((-1.0, 0.0), 0.99)
        >>> round(low), high
        (-100, 0.0)
        >>> value_bounds((-1.0, 0.0), 1.0)
        (None, 0.0)
    """
    low, high = reward_range
    lowest = min(low, _endless(low, gamma))
    highest = max(high, _endless(high, gamma))
    return (lowest if math.isfinite(lowest) else None, highest if math.isfinite(highest) else None)


def _endless(reward: float, gamma: float) -> float:
    """Discounted sum of a reward that never ends."""
    if reward == 0.0:
        return 0.0
    return reward / (1.0 - gamma) if gamma < 1.0 else math.copysign(math.inf, reward)


class AWACLearner:
    """Actor and critics of AWAC.

    One backward pass serves both losses: each reaches its own parameters only, and both are evaluated at the
    parameters of before the step, as in the authors' code.

    Args:
        policy: the actor, observation statistics already set.
        qvalues: separately initialised critics, statistics already set.
        section: the recipe's ``awac`` section.
        reward_range: smallest and largest reward of a step, for ``value_bounds: reward_range``.
        compile_update: evaluate losses and gradients as one graph of ``torch.compile``; on a GPU, replay the whole
            update as one CUDA graph.

    Raises:
        RecipeError: ``value_bounds: reward_range`` where the environment's rewards are unbounded on both sides.
    """

    def __init__(
        self,
        policy: ProbabilisticTensorDictSequential,
        qvalues: Sequence[TensorDictModuleBase],
        section: AWACSection,
        *,
        reward_range: tuple[float, float],
        compile_update: bool = False,
    ) -> None:
        self.policy = policy
        self.loss = _build_loss(policy, qvalues, section, reward_range, compile_update=compile_update)
        self.optimizer = adam(
            (_trained(self.loss.actor_network_params), section.policy_lr, section.policy_weight_decay),
            (_trained(self.loss.qvalue_network_params), section.qvalue_lr, section.qvalue_weight_decay),
        )
        self.targets = ForeachSoftUpdate(self.loss, tau=section.tau)
        self._step_adam = AdamSteps(self.optimizer)
        self._parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self._evaluate = Compiled(self._losses_and_gradients) if compile_update else self._losses_and_gradients
        self._capture = compile_update and self._parameters[0].is_cuda
        self._step = self._fresh_step()

    def update(self, batch: TensorDictBase) -> TensorDictBase:
        """One step of Adam on both losses, then one of the targets.

        Args:
            batch: transitions [B] with the keys of :mod:`awac_tr.keys`; not written to.

        Returns:
            ``loss_actor``, ``loss_qvalue`` and the loss's diagnostics, detached scalars; on a GPU the next update may
            write over them.
        """
        return self._step(batch)

    def _fresh_step(self) -> Callable[[TensorDictBase], TensorDictBase]:
        """The update; on a GPU without recordings yet, which hold on to the optimiser's tensors."""
        return Captured(self._step_on) if self._capture else self._step_on

    def _step_on(self, batch: TensorDictBase) -> TensorDictBase:
        losses, gradients = self._evaluate(batch)
        self._step_adam(gradients)
        self.targets.step()
        return losses

    def _losses_and_gradients(self, batch: TensorDictBase) -> tuple[TensorDictBase, tuple[Tensor, ...]]:
        """Detached losses and diagnostics, and the gradient of the losses' sum by each parameter of the optimiser."""
        losses = self.loss(batch)
        gradients = torch.autograd.grad(losses["loss_actor"] + losses["loss_qvalue"], self._parameters)
        # fused Adam goes through memory, not through indices: gradients must lie as their parameters do
        return losses.detach(), tuple(gradient.contiguous() for gradient in gradients)

    def state_dict(self) -> dict[str, Any]:
        """Loss (actor, critics, target critics) and optimiser."""
        return {"loss": dict(self.loss.state_dict()), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.loss.load_state_dict(state["loss"])
        load_adam(self.optimizer, state["optimizer"])
        self._step_adam.forget()
        self._step = self._fresh_step()


def _build_loss(
    policy: ProbabilisticTensorDictSequential,
    qvalues: Sequence[TensorDictModuleBase],
    section: AWACSection,
    reward_range: tuple[float, float],
    *,
    compile_update: bool,
) -> AWACLoss:
    loss = AWACLoss(
        policy,
        list(qvalues),
        num_qvalue_nets=len(qvalues),
        lmbda=section.lmbda,
        weighting=section.weighting,
        advantage_max=section.advantage_max,
        weight_max=section.weight_max,
        value_estimate=section.value_estimate,
        value_samples=section.value_samples,
        value_bounds=_resolved_bounds(section, reward_range),
        ignore_terminals=section.ignore_terminals,
        # without a compiler, batching the critics' products costs a CPU more than it saves
        deactivate_vmap=not compile_update and next(policy.parameters()).device.type == "cpu",
    )
    loss.make_value_estimator(ValueEstimators.TD0, gamma=section.gamma)
    _ = loss.vmap_randomness  # TorchRL notes it at the first look, which to a compiler is a change of the module
    return loss


def _resolved_bounds(section: AWACSection, reward_range: tuple[float, float]) -> Bounds:
    if section.value_bounds != "reward_range":
        return section.value_bounds
    bounds = value_bounds(reward_range, section.gamma)
    if bounds == (None, None):
        raise RecipeError(
            "awac.value_bounds: reward_range, but the environment gives no finite range of rewards",
            "write the bounds as numbers, for example awac.value_bounds=[-100,0], or [null,null] for none.",
        )
    return bounds


def _trained(parameters: Any) -> list[torch.nn.Parameter]:
    return [leaf for leaf in parameters.values(include_nested=True, leaves_only=True) if leaf.requires_grad]
