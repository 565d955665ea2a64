"""What to collect: everything that decides what a dataset will hold, with what was not said filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from awac_tr.data.storage.paths import dataset_path
from awac_tr.errors import CheckpointError
from awac_tr.recipes.base import Section
from awac_tr.recipes.build import build
from awac_tr.recipes.cards import OPTIONS, DatasetCard, NoOptions, load_card
from awac_tr.recipes.compose import merged
from awac_tr.recipes.env_files import EnvChanges, EnvSaid, chosen_env
from awac_tr.recipes.library import cards
from awac_tr.recipes.schema import EnvSection, FoundEnv
from awac_tr.recipes.yaml_text import problems_error

__all__ = ["SOURCES", "Kind", "Mode", "Plan", "default_name", "plan"]

Kind = Literal["demos", "bc", "ou", "random", "policy"]
Mode = Literal["mean", "sample"]
SOURCES: Final[tuple[Kind, ...]] = ("demos", "bc", "ou", "random", "policy")

DEFAULT_ENV: Final = "door-binary-v0"

_EPISODES: Final[dict[Kind, int]] = {"demos": 25, "bc": 500, "ou": 100, "random": 100, "policy": 100}


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a collected dataset will hold, and where it goes.

    Attributes:
        source: who acts.
        env: the environment.
        n: episodes.
        seed: of the whole collection, the clone's training included.
        out: the file.
        mode: mean or sampled actions, of sources that are policies.
        policy: the file of source ``policy``.
        trust: let Stable-Baselines3 load that file, which runs code that stands in it; files of ours need no trust.
        allow_bounds_mismatch: a policy may act where actions are bounded otherwise than where it was trained.
        dataset: what source ``bc`` clones.
        settings: of the source, the model that :data:`awac_tr.recipes.cards.OPTIONS` has for it.
        record_state: keep the simulator's state before each action in ``infos``.
        licence: of the dataset; None: that of what the source was learnt from.
        description: of the dataset.
    """

    source: Kind
    env: EnvSection
    n: int
    seed: int
    out: Path
    mode: Mode = "mean"
    policy: Path | None = None
    trust: bool = False
    allow_bounds_mismatch: bool = False
    dataset: Path | None = None
    settings: Section = field(default_factory=NoOptions)
    record_state: bool = True
    licence: str | None = None
    description: str = ""


def plan(
    source: Kind,
    *,
    env: EnvSaid | None = None,
    n: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    mode: Mode | None = None,
    dataset: str | Path | None = None,
    options: dict[str, Any] | None = None,
    policy: str | Path | None = None,
    trust: bool = False,
    **more: Any,
) -> Plan:
    """A plan with what was not said filled in: from the shipped card of this environment and source, if there is one.

    Args:
        source: who acts.
        env: a Gymnasium id, the whole description, or changes; what an id or changes do not say is the checkpoint's of
            ``policy``, or the card's. None: the checkpoint's, or the door.
        n: episodes; None: the card's, else 25 demos, 500 of a clone, 100 otherwise.
        seed: None: the card's, else 0.
        out: None: ``datasets/ENV-SOURCE.hdf5``.
        mode: None: the card's, else sampled for ``bc`` and mean for the others.
        dataset: what ``bc`` clones, a name or a file; None: the environment's demonstrations.
        options: settings of the source; those not given are the card's, else the defaults.
        policy: the file of source ``policy``.
        trust: as of :class:`Plan`.
        **more: further fields of :class:`Plan`.

    Raises:
        CheckpointError: the policy cannot be read, or is of a kind that does not name its environment.
        UntrustedCodeError: its file names code, ``env`` does not, and ``trust`` is False.
        RecipeError: unknown options, or values of the wrong type, all named together.

    >>> plan("bc", options={"bc": {"lr": 3e-4}}).settings.policy.hidden_sizes
    (256, 256)
    """
    policy = None if policy is None else Path(policy)
    described = chosen_env(policy, *_env_of(policy, env), trust=trust)
    name = default_name(described.id, source)
    card = _card_of(name, described.id, source)
    if card is not None and not described.kwargs:
        described = described.model_copy(update={"kwargs": card.section.kwargs})
    if dataset is None and source == "bc":
        dataset = (card.parent if card else None) or default_name(described.id, "demos")
    return Plan(
        source=source,
        env=described,
        n=n if n is not None else (card.n if card and card.n else _EPISODES[source]),
        seed=seed if seed is not None else (card.seed if card else 0),
        out=Path(out) if out is not None else dataset_path(name),
        mode=mode or (card.action if card else ("sample" if source == "bc" else "mean")),
        dataset=None if dataset is None else dataset_path(dataset),
        policy=policy,
        trust=trust,
        settings=_settings(source, merged(options or {}, card.options if card else {})),
        **more,
    )


def _env_of(policy: Path | None, said: EnvSaid | None) -> tuple[FoundEnv | None, EnvSaid | None]:
    """Where a checkpoint belongs, and what is said of it; files of others do not know."""
    if policy is None or policy.suffix in (".npz", ".zip"):
        nothing = said is None or (isinstance(said, EnvChanges) and said.id is None)
        if nothing and policy is not None and policy.suffix == ".zip":
            raise CheckpointError(f"{policy} does not say which environment it is for", "name it with --env.")
        return FoundEnv(id=DEFAULT_ENV) if nothing else None, said
    from awac_tr.policies.checkpoint import load_policy

    return load_policy(policy).env, said


def _settings(source: Kind, options: Mapping[str, Any]) -> Section:
    settings, problems, _ = build(OPTIONS[source], options, lambda _: "")
    if settings is None:
        raise problems_error(f"the settings of source {source}", problems)
    return settings


def default_name(env_id: str, source: str) -> str:
    """The dataset's name where none is given.

    >>> default_name("door-binary-v0", "bc"), default_name("HalfCheetah-v5", "random")
    ('door-bc', 'halfcheetah-random')
    """
    short = re.sub(r"(-binary)?-v\d+$", "", env_id.rpartition(":")[2])
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '-', short).lower()}-{source}"


def _card_of(name: str, env_id: str, source: str) -> DatasetCard | None:
    """The shipped card that describes this very dataset, if there is one."""
    if name not in cards():
        return None
    card = load_card(name)
    return card if (card.section.name, card.source) == (env_id.rpartition(":")[2], source) else None
