"""What the ``algorithm`` section of a recipe has in common for all algorithms. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from awac_tr.recipes.base import NonNegative, Positive, PositiveCount, Section

__all__ = [
    "AdvantageConfig",
    "AlgorithmConfig",
    "BoundedCriticConfig",
    "Conflict",
    "CriticConfig",
    "EntropyConfig",
    "Needs",
]

Conflict = tuple[tuple[str, ...], str]
"""Dotted recipe keys that contradict each other, the one to name first; and the text."""

Samples = Literal["transitions", "trajectories", "buffer", "round"]


@dataclass(frozen=True)
class Needs:
    """What an algorithm asks of the data; the replay buffer is built from it.

    Attributes:
        offline: what a batch of the offline phase holds. ``transitions``: rows drawn uniformly, ``batch_size`` of
            them. ``trajectories``: whole episodes, one after another, at least ``batch_size`` rows in all.
            ``buffer``: all rows, episode by episode, the same ones for every update of the offline phase or of a round;
            an episode under way counts as cut where it stands. None: there is no offline phase, and the buffer begins
            empty.
        online: the same, or ``round``: all transitions of the newest round, in the order they were taken, with
            ``noise``; None: there is no online phase.
        keys: batch keys beyond the usual ones, of :data:`awac_tr.keys.EXTRA`.
        demonstrations: a second batch of as many rows, drawn from datasets of demonstrations, stands under the key
            ``demonstrations``.
    """

    offline: Samples | None = "transitions"
    online: Samples | None = "transitions"
    keys: tuple[str, ...] = ()
    demonstrations: bool = False


class AlgorithmConfig(Section):
    """Base of the ``algorithm`` section.

    Class attributes:
        reads: what the algorithm reads of those recipe keys that not every algorithm reads (:data:`OPTIONAL`).
        ignores: sections that every other algorithm reads, and this one does not.
        distributions: of the policy, where not every one will do.
        presets: name -> nested recipe keys that it fills where the recipe says nothing.
    """

    name: str
    preset: str = "paper"

    reads: ClassVar[frozenset[str]] = frozenset()
    ignores: ClassVar[frozenset[str]] = frozenset()
    distributions: ClassVar[tuple[str, ...]] = ("normal", "tanh_normal")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}}

    OPTIONAL: ClassVar[tuple[str, ...]] = ("qvalue", "hindsight", "compile", "buffer.n_steps")

    def needs(self) -> Needs:
        """What the algorithm asks of the data."""
        return Needs()

    def discount(self) -> float | None:
        """gamma, in [0, 1]; None for an algorithm without values."""
        return None

    def models_behaviour(self) -> bool:
        """Whether its loss has a ``behaviour``, a Gaussian model of the data."""
        return False

    def conflicts(self) -> Iterator[Conflict]:
        """Contradictions within the section."""
        yield from ()


class CriticConfig(AlgorithmConfig):
    """Base for algorithms with an actor and critics that regress to a bootstrapped target (Eq. 3)."""

    reward_scale: Annotated[
        Positive, Field(description="critics see rewards times this; returns that are reported stay as they are")
    ] = 1.0
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.99
    tau: Annotated[float, Field(gt=0, le=1, description="share of the new critic in the target per update")] = 5e-3
    policy_lr: Positive = 3e-4
    policy_weight_decay: NonNegative = 1e-4
    qvalue_lr: Positive = 3e-4
    qvalue_weight_decay: NonNegative = 0.0

    reads: ClassVar[frozenset[str]] = frozenset({"qvalue", "hindsight", "compile", "buffer.n_steps"})

    def discount(self) -> float | None:
        """Gamma."""
        return self.gamma


class BoundedCriticConfig(CriticConfig):
    """The same, with a clamp on target values (A.3)."""

    value_bounds: Annotated[
        Literal["reward_range"] | tuple[float | None, float | None],
        Field(description="on target values and the Q of advantages; reward_range: that of rewards / (1 - gamma)"),
    ] = (None, None)

    def conflicts(self) -> Iterator[Conflict]:
        """Of the bounds on values."""
        bounds = self.value_bounds
        if bounds == "reward_range" and self.gamma == 1:
            text = "reward_range divides by 1 - gamma: algorithm.gamma must be below 1"
            yield ("algorithm.value_bounds", "algorithm.gamma"), text
        if isinstance(bounds, tuple) and None not in bounds and bounds[0] >= bounds[1]:  # type: ignore[operator]
            text = f"the lower bound {bounds[0]:g} must be below the upper bound {bounds[1]:g}"
            yield ("algorithm.value_bounds",), text


class AdvantageConfig(BoundedCriticConfig):
    """Base for actors that imitate actions by weights of A(s, a) = Q(s, a) - V(s)."""

    temperature: Annotated[Positive, Field(description="lambda of Eq. 10: divides the advantage")] = 0.3
    advantage_max: Annotated[float | None, Field(description="cap on the advantage before weighting; null: none")] = (
        None
    )
    weight_max: Annotated[Positive | None, Field(description="cap on the weight; null: none")] = None
    value_estimate: Annotated[
        Literal["sample", "mean"],
        Field(description="V(s): mean of min Q over value_samples actions, or min Q at the mean action"),
    ] = "sample"
    value_samples: PositiveCount = 1
    ignore_terminals: Annotated[
        bool, Field(description="bootstrap through terminal states (the authors' hand tasks)")
    ] = False

    def conflicts(self) -> Iterator[Conflict]:
        """Those of the critics, and samples that nobody draws."""
        yield from super().conflicts()
        if self.value_estimate == "mean" and self.value_samples > 1:
            text = f"{self.value_samples} has no effect with algorithm.value_estimate mean; leave it out or use sample"
            yield ("algorithm.value_samples", "algorithm.value_estimate"), text


class EntropyConfig(BoundedCriticConfig):
    """Base for soft actor-critics: values with an entropy bonus, and an actor that climbs them."""

    alpha: Annotated[
        NonNegative, Field(description="entropy coefficient, in units of return; where it is tuned, its first value")
    ] = 1.0
    tune_alpha: Annotated[bool, Field(description="learn alpha, with the policy's learning rate")] = True
    target_entropy: Annotated[
        float | None, Field(description="entropy that a tuned alpha leads to, in nats; null: minus the action's size")
    ] = None
    ignore_terminals: Annotated[
        bool, Field(description="bootstrap through terminal states (the authors' hand tasks)")
    ] = False

    def conflicts(self) -> Iterator[Conflict]:
        """Those of the critics, and of alpha."""
        yield from super().conflicts()
        if self.tune_alpha and self.alpha == 0:
            text = "an alpha of 0 cannot be tuned, only its logarithm is learnt; set algorithm.tune_alpha to false"
            yield ("algorithm.alpha", "algorithm.tune_alpha"), text
        if not self.tune_alpha and self.target_entropy is not None:
            text = f"{self.target_entropy:g} has no effect with algorithm.tune_alpha false; leave it out"
            yield ("algorithm.target_entropy", "algorithm.tune_alpha"), text
        if self.value_bounds != (None, None) and (self.tune_alpha or self.alpha > 0):
            text = "values with an entropy bonus may leave the range of returns; set alpha 0 and tune_alpha false"
            yield ("algorithm.value_bounds", "algorithm.alpha"), text
