"""What a recipe may say: one frozen, typed model a section, with the meaning, unit and default of every key.

Nothing here imports torch. Unknown keys and wrong types are errors; ``loader.py`` turns them into readable messages.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, create_model

from awac_tr.algorithms.config import AlgorithmConfig
from awac_tr.algorithms.registry import config_class
from awac_tr.recipes.base import Count, HiddenSizes, NonNegative, PositiveCount, Section, Seed
from awac_tr.recipes.environment import EnvSection, FoundEnv, WrapperSection, differing_keys

__all__ = [
    "BufferSection",
    "CheckpointSection",
    "CollectSection",
    "DataSection",
    "EnvSection",
    "EvalSection",
    "FoundEnv",
    "HindsightSection",
    "LogSection",
    "OfflineSection",
    "OnlineSection",
    "PolicySection",
    "QValueSection",
    "Recipe",
    "WrapperSection",
    "differing_keys",
    "recipe_model",
]

Activation = Literal["relu", "tanh", "elu", "gelu", "silu"]
Dropout = Annotated[float, Field(ge=0, lt=1, description="share of a hidden layer's outputs dropped in training")]


class DataSection(Section):
    """The offline data, and how observations are standardised by it."""

    datasets: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="card names (datasets/NAME.yaml) or paths of .hdf5 files, in loading order"),
    ]
    normalize_observations: Annotated[
        bool,
        Field(description="standardise by the offline data's mean and deviation, which travel in every checkpoint"),
    ] = True
    held_out: Annotated[
        float,
        Field(ge=0, lt=1, description="share of the episodes that nothing learns from, for the likelihood of a model"),
    ] = 0.0
    action_margin: Annotated[
        NonNegative | None,
        Field(description="actions of the data are pulled this far inside their bounds; null: 0, tanh_normal: 1e-3"),
    ] = None
    out_of_bounds: Annotated[
        Literal["clip", "refuse"] | None,
        Field(
            description="actions of the data beyond the environment's bounds; null: clipped, but refused where a fifth"
            " of them are, or a fifth of the rows far beyond"
        ),
    ] = None


class PolicySection(Section):
    """pi_theta: a Gaussian whose mean is an MLP of the (standardised) observation."""

    distribution: Annotated[
        Literal["normal", "tanh_normal"],
        Field(description="normal: mean = tanh(MLP), as the authors; tanh_normal: TorchRL's squashed Gaussian"),
    ] = "normal"
    squash_mean: Annotated[
        bool, Field(description="of normal: mean = tanh(MLP); false: the MLP itself, which the bounds do not hold")
    ] = True
    hidden_sizes: HiddenSizes = (256, 256, 256, 256)
    activation: Activation = "relu"
    std: Annotated[
        Literal["independent", "dependent"],
        Field(description="standard deviation: one learnt vector, or a second head of the MLP"),
    ] = "independent"
    dropout: Dropout = 0.0
    log_std_min: float = -6.0
    log_std_max: float = 0.0
    log_std_map: Annotated[
        Literal["sigmoid", "clamp"],
        Field(description="log_std = min + (max - min) * sigmoid(p), at first exp(-3) = 0.0498; or p clamped, first 1"),
    ] = "sigmoid"
    init_from: Annotated[
        str | None,
        Field(description="policy checkpoint to start from, or 'clone': the clone that made the recipe's bc dataset"),
    ] = None


class QValueSection(Section):
    """Q_phi: an ensemble of MLPs of (standardised observation, action)."""

    hidden_sizes: HiddenSizes = (256, 256, 256, 256)
    activation: Activation = "relu"
    count: Annotated[PositiveCount, Field(description="how many critics; their minimum is used")] = 2
    layer_norm: Annotated[bool, Field(description="normalise what enters each activation")] = False
    dropout: Dropout = 0.0


class OfflineSection(Section):
    """num_offline_steps of Algorithm 1."""

    updates: Count = 25_000
    batch_size: PositiveCount = 1024


class OnlineSection(Section):
    """Rounds of environment steps and updates after the offline phase."""

    steps: Annotated[Count, Field(description="environment steps in all; 0: offline only")] = 0
    batch_size: PositiveCount = 1024
    steps_per_round: PositiveCount = 1000
    updates_per_step: Annotated[NonNegative, Field(description="Table 1: 1")] = 1.0


class _Collect(Section):
    """Who takes the online environment steps, and when."""

    workers: Annotated[
        PositiveCount, Field(description="environments stepped side by side; more than 1: a process each")
    ] = 1

    @property
    def ahead(self) -> bool:
        """The value of ``async``, which is a keyword in Python."""
        return bool(getattr(self, "async"))


if TYPE_CHECKING:
    CollectSection = _Collect
else:
    _ASYNC = Annotated[
        bool,
        Field(description="next round's steps in other processes, during the updates, by the policy before them"),
    ]
    CollectSection = create_model(
        "CollectSection", __base__=_Collect, __doc__=_Collect.__doc__, __module__=__name__, **{"async": (_ASYNC, False)}
    )


Share = Annotated[float, Field(ge=0, le=1)]


class BufferSection(Section):
    """beta of Algorithm 1."""

    capacity: PositiveCount = 1_000_000
    storage: Annotated[
        Literal["memory", "memmap"],
        Field(description="memory, or memmap: files on disk, for more data than memory; same numbers, slower samples"),
    ] = "memory"
    mix: Annotated[
        Literal["union"] | Share,
        Field(description="union: all rows drawn alike (paper); or the share of a batch that is offline"),
    ] = "union"
    n_steps: Annotated[
        PositiveCount, Field(description="steps whose rewards a transition sums up before it bootstraps")
    ] = 1


class HindsightSection(Section):
    """Goals of the transitions in a batch, in goal environments; the three shares sum to 1 (the paper: .2, .5, .3)."""

    kept: Annotated[Share, Field(description="share of a batch that keeps the goals it was recorded with")] = 1.0
    fresh: Annotated[
        Share, Field(description="share with other goals of the environment's: sample_goals, or those of other rows")
    ] = 0.0
    future: Annotated[
        Share, Field(description="share with goals achieved from there on in the same episode, all steps alike")
    ] = 0.0

    @property
    def relabels(self) -> bool:
        """Whether any goal is replaced."""
        return self.kept < 1


class EvalSection(Section):
    """Evaluation during training: always at the start, at the border between the phases and at the end."""

    every: Annotated[Count, Field(description="updates between evaluations; 0: only start, border and end")] = 5_000
    episodes: PositiveCount = 50
    seed: Annotated[Seed, Field(description="evaluation episodes use seeds seed, seed+1, ...")] = 1_000_000
    action: Literal["mean", "sample"] = "mean"
    clone: Annotated[
        bool,
        Field(description="also measure the clone that made the recipe's bc dataset, once, with the second evaluation"),
    ] = True
    workers: Annotated[
        PositiveCount, Field(description="processes to spread the episodes over; the numbers do not depend on it")
    ] = 1
    background: Annotated[
        bool, Field(description="train on while episodes are played; the numbers do not depend on it")
    ] = False


class LogSection(Section):
    """Metrics. metrics.jsonl is always written."""

    every: Annotated[PositiveCount, Field(description="updates between rows of metrics")] = 500
    csv: bool = True
    tensorboard: bool = False
    wandb: Annotated[
        Literal["off", "offline", "online"], Field(description="Weights & Biases; offline needs no account, no network")
    ] = "off"
    wandb_project: str = "awac-tr"


class CheckpointSection(Section):
    """checkpoints/last.pt and checkpoints/best.pt (by measure)."""

    every: Annotated[Count, Field(description="updates between checkpoints; 0: border and end only")] = 10_000
    measure: Annotated[
        Literal["success_any", "success_last", "success_share", "success_steps", "return"] | None,
        Field(description="what best.pt is best by; null: success_any, or return where there is no success"),
    ] = None


class Recipe(Section):
    """A whole experiment; :func:`recipe_model` has ``algorithm`` narrowed to the section of one algorithm."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    algorithm: AlgorithmConfig
    seed: Seed = 0
    deterministic: Annotated[
        bool, Field(description="only algorithms that repeat themselves; costs speed on GPUs, where it matters")
    ] = False
    threads: Annotated[
        PositiveCount | None, Field(description="intra-op threads of an update; null: torch's choice")
    ] = None
    device: Annotated[str, Field(description="cpu, cuda, cuda:0 or auto")] = "auto"
    precision: Annotated[
        Literal["fp32", "bf16", "auto"],
        Field(description="bf16: hidden layers in bfloat16, all from the last layers on fp32; auto: the faster one"),
    ] = "fp32"
    compile: Annotated[
        bool | Literal["auto"],
        Field(description="compile the update (half a minute, once); auto: in runs of at least 20,000 updates"),
    ] = "auto"
    on_divergence: Annotated[
        Literal["stop", "warn"],
        Field(description="where values pass a hundred times any return: end the run, or say it and go on"),
    ] = "stop"
    env: EnvSection
    data: DataSection
    policy: PolicySection = PolicySection()
    qvalue: QValueSection = QValueSection()
    offline: OfflineSection = OfflineSection()
    online: OnlineSection = OnlineSection()
    collect: CollectSection = CollectSection()
    buffer: BufferSection = BufferSection()
    hindsight: HindsightSection = HindsightSection()
    eval: EvalSection = EvalSection()
    log: LogSection = LogSection()
    checkpoint: CheckpointSection = CheckpointSection()


@cache
def recipe_model(algorithm: str) -> type[Recipe]:
    """The recipe of an algorithm, with its keys in the section ``algorithm``.

    Raises:
        KeyError: there is no such algorithm.

    >>> recipe_model("awac").model_fields["algorithm"].annotation.__name__
    'AWACConfig'
    """
    config = config_class(algorithm)
    return create_model("Recipe", __base__=Recipe, __doc__=Recipe.__doc__, algorithm=(config, config()))  # type: ignore[call-arg]
