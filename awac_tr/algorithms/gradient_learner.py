"""A loss module, its optimisers and its targets: what most algorithms are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDict

from awac_tr.algorithms.adam import AdamSteps, adam, load_adam
from awac_tr.algorithms.compilation import Compiled
from awac_tr.algorithms.graphs import Captured
from awac_tr.keys import REWARD

if TYPE_CHECKING:
    from tensordict import TensorDictBase
    from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
    from torch import Tensor
    from torchrl.objectives import LossModule
    from torchrl.objectives.utils import TargetNetUpdater

    from awac_tr.models.best_of_samples import BestOfSamples

__all__ = ["GradientLearner", "GradientStep", "trained"]

_CONSTANTS = (bool, int, float, str, tuple, type(None))
"""Types of options of a loss that compiled code takes for constants; coefficients that may change are tensors."""

Group = tuple[Iterable[torch.nn.Parameter], float, float]


@dataclass(frozen=True)
class GradientStep:
    """One step of Adam within an update.

    Attributes:
        losses: batch [B] -> a TensorDict of scalars; the entries whose names begin with ``loss_`` are summed and
            differentiated, the others are diagnostics.
        groups: (parameters, learning rate, weight decay) each; the gradient is taken by these only.
        every: made at every so-manieth update only, the last of each so many (RLPD's actor: 20; TD3's: 2).
        first: made from this update of a round on, counted from 0 (AWR's actor: 200 updates after the critic's).
        count: made in so many updates of a round, from ``first`` on; None: in all.
        phases: made in these only.
    """

    losses: Callable[[TensorDictBase], TensorDictBase]
    groups: Sequence[Group]
    every: int = 1
    first: int = 0
    count: int | None = None
    phases: tuple[str, ...] = ("offline", "online")

    def due(self, update: int, phase: str = "offline") -> bool:
        """Whether it is made in this update of a round, counted from 0, in this phase.

        Example:
            >>> step = GradientStep(lambda batch: batch, [], every=2, first=4, count=4)
            >>> [update for update in range(12) if step.due(update)]
            [5, 7]
        """
        beyond = update - self.first
        return (
            phase in self.phases
            and beyond >= 0
            and (self.count is None or beyond < self.count)
            and ((beyond + 1) % self.every == 0)
        )


def trained(parameters: Any) -> list[torch.nn.Parameter]:
    """The leaves of a loss's ``TensorDictParams`` that take gradient."""
    return [leaf for leaf in parameters.values(include_nested=True, leaves_only=True) if leaf.requires_grad]


class GradientLearner:
    """An update's gradient steps in order, each at the parameters that the one before left, then the targets.

    An update in which no step is due leaves the targets as they are.

    Args:
        policy: the actor, observation statistics already set.
        loss: holds the networks and targets; its state dict is saved.
        steps: at least one. Of several the losses are evaluated one after another.
        targets: moved once after the steps; None: there are none.
        reward_scale: the losses see rewards times this.
        compile_update: evaluate losses and gradients of each step as one graph of ``torch.compile``; on a GPU, replay
            the whole update as one CUDA graph.
    """

    def __init__(
        self,
        policy: ProbabilisticTensorDictSequential | BestOfSamples,
        loss: LossModule,
        steps: Sequence[GradientStep],
        *,
        targets: TargetNetUpdater | None = None,
        reward_scale: float = 1.0,
        compile_update: bool = False,
    ) -> None:
        self.policy, self.loss, self.targets = policy, loss, targets
        self.act: TensorDictModuleBase = policy  # an algorithm may set another, and so for evaluations
        self.evaluate: TensorDictModuleBase = policy
        _ = loss.in_keys, loss.vmap_randomness  # noted at the first look, which to a compiler changes the module
        self.steps = [_Step(step) for step in steps]
        self._phase = "offline"
        self._made = 0  # updates since the last round, or since the beginning
        self._compile, self._reward_scale = compile_update, reward_scale
        every_time = all(
            step.schedule == GradientStep(step.schedule.losses, step.schedule.groups) for step in self.steps
        )
        self._capture = compile_update and every_time and next(policy.parameters()).is_cuda
        self._build_update()

    def update(self, batch: TensorDictBase) -> TensorDictBase:
        """All steps on one batch.

        Coefficients of the loss, learning rates and tau may have changed since the last one: they act. What else of
        the loss or the optimisers has changed has the update compiled and recorded anew.

        Args:
            batch: transitions [B] with the keys of :mod:`awac_tr.keys`; not written to.

        Returns:
            The losses and their diagnostics, detached scalars; on a GPU the next update may write over them.
        """
        if self._compile and self._fixed() != self._built:
            self._build_update()
        if self._capture:
            for step in self.steps:
                step.update_rates()
        return self._update(batch)

    def on_phase(self, phase: str) -> None:
        """The steps of this phase are due from now on."""
        self._phase = phase

    def on_round(self, transitions: TensorDictBase) -> None:
        """Updates are counted anew."""
        self._made = 0

    def _build_update(self) -> None:
        """Compile and record at the next update."""
        self._built = self._fixed()
        for step in self.steps:
            step.build(compiled=self._compile)
        self._update = self._recorded()

    def _recorded(self) -> Callable[[TensorDictBase], TensorDictBase]:
        return Captured(self.make_steps) if self._capture else self.make_steps

    def _fixed(self) -> tuple[Any, ...]:
        """What a compiled or recorded update does not look at again."""
        options = tuple((name, value) for name, value in vars(self.loss).items() if isinstance(value, _CONSTANTS))
        if not self._capture:
            return options
        tau = None if self.targets is None else self.targets.eps
        return (*options, tau, *(step.fixed() for step in self.steps))

    def make_steps(self, batch: TensorDictBase) -> TensorDictBase:
        """What :meth:`update` does, and a CUDA graph records; subclasses add to it."""
        if self._reward_scale != 1:
            batch = batch.copy().set(REWARD, batch.get(REWARD) * self._reward_scale)
        due = [step for step in self.steps if step.schedule.due(self._made, self._phase)]
        self._made += 1
        out = TensorDict()
        for step in due:
            out.update(step(batch))
        if due and self.targets is not None:
            self.targets.step()
        return out

    def state_dict(self) -> dict[str, Any]:
        """Loss (networks and targets) and optimisers."""
        return {
            "loss": dict(self.loss.state_dict()),
            "optimizers": [step.optimizer.state_dict() for step in self.steps],
            "updates_of_round": self._made,
            "phase": self._phase,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.loss.load_state_dict(state["loss"])
        for step, saved in zip(self.steps, state["optimizers"], strict=True):
            step.load(saved)
        self._made = state["updates_of_round"]
        self._phase = state.get("phase", "offline")  # older states are of steps that all phases make
        self._update = self._recorded()


class _Step:
    """A gradient step with its optimiser."""

    def __init__(self, step: GradientStep) -> None:
        self.schedule = step
        self.optimizer = adam(*step.groups)
        self._losses = step.losses
        self._step_adam = AdamSteps(self.optimizer)
        self._parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self._evaluate: Callable[[TensorDictBase], Any] = self._losses_and_gradients

    def build(self, *, compiled: bool) -> None:
        self._evaluate = Compiled(self._losses_and_gradients) if compiled else self._losses_and_gradients

    def update_rates(self) -> None:
        self._step_adam.update_rates()

    def fixed(self) -> list[dict[str, Any]]:
        return self._step_adam.fixed()

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        losses, gradients = self._evaluate(batch)
        self._step_adam(gradients)
        return losses

    def load(self, state: dict[str, Any]) -> None:
        load_adam(self.optimizer, state)
        self._step_adam.forget()

    def _losses_and_gradients(self, batch: TensorDictBase) -> tuple[TensorDictBase, tuple[Tensor, ...]]:
        """Detached losses and diagnostics, and the gradient of the losses' sum by each parameter of the optimiser."""
        losses = self._losses(batch.copy())  # losses write TD errors and log-probabilities into what they are given
        total = sum(value for name, value in losses.items() if name.startswith("loss_"))
        gradients = torch.autograd.grad(total, self._parameters)
        # fused Adam goes through memory, not through indices: gradients must lie as their parameters do
        return losses.detach(), tuple(gradient.contiguous() for gradient in gradients)
