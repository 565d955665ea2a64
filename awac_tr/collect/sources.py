"""Who acts when data is collected: for each ``--source`` a controller that worker processes can make, and what to say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field

from awac_tr.collect.plan import Mode
from awac_tr.data.meta import Parent
from awac_tr.data.reader import open_dataset
from awac_tr.policies.controllers import NoisyController, OUController, RandomController, load_controller
from awac_tr.policies.demonstrators import demonstrator_path
from awac_tr.recipes.build import build
from awac_tr.recipes.problems import problems_error
from awac_tr.recipes.schema import BCSection, NonNegative, PolicySection, PositiveCount, Section
from awac_tr.training.cloning import CloneProgress, clone

if TYPE_CHECKING:
    from awac_tr.envs.facts import EnvFacts
    from awac_tr.envs.rollout import Controller

__all__ = [
    "CloneSettings",
    "Source",
    "clone_settings",
    "clone_source",
    "demos_source",
    "noise_source",
    "policy_source",
]


class CloneSettings(Section):
    """How the ``bc`` source clones its dataset: two recipe sections and a budget."""

    policy: PolicySection = PolicySection(hidden_sizes=(256, 256))
    bc: BCSection = BCSection()
    max_updates: Annotated[PositiveCount, Field(description="gradient steps at most")] = 20_000
    batch_size: PositiveCount = 256
    observation_noise: Annotated[
        NonNegative, Field(description="deviation of noise on observations in training, in units of each entry's deviation")
    ] = 0.1


_DEFAULTS: Final = CloneSettings()


def clone_settings(options: Mapping[str, Any]) -> CloneSettings:
    """The defaults with some keys changed, as a card's ``options`` or ``--set`` give them.

    Args:
        options: nested dicts, for example ``{"policy": {"hidden_sizes": [64, 64]}, "max_updates": 5000}``.

    Raises:
        RecipeError: unknown keys, wrong types; all named together.

    >>> clone_settings({"bc": {"lr": 3e-4}}).policy.hidden_sizes
    (256, 256)
    """
    merged: dict[str, Any] = _DEFAULTS.model_dump(mode="json")
    for key, value in options.items():
        inner = merged.get(key)
        merged[key] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, Mapping) else value
    settings, problems, _ = build(CloneSettings, merged, lambda path: "")
    if settings is None:
        raise problems_error("the settings of the clone", problems)
    return settings


@dataclass(frozen=True)
class Source:
    """A controller and its story.

    Attributes:
        make_clean: makes the controller without any added noise; can be pickled.
        policy: what acts, in words, for the dataset's ``policy``.
        licence: licence of what was learnt from; empty where nothing was.
        parents: datasets it was learnt from.
        extra: further facts for the dataset, plain JSON.
        noise: deviation of Gaussian noise added to its actions.
    """

    make_clean: Callable[[], Controller]
    policy: str
    licence: str = ""
    parents: tuple[Parent, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    noise: float = 0.0

    @property
    def make_controller(self) -> Callable[[], Controller]:
        """Makes the controller that acts; can be pickled."""
        return partial(_noisy, self.make_clean, self.noise) if self.noise else self.make_clean

    def with_noise(self, sigma: float) -> Source:
        """The same with Gaussian noise of this deviation on its actions."""
        words = f"{self.policy}, plus Gaussian noise of deviation {sigma:g} on the actions"
        return replace(self, policy=words, noise=sigma, extra={**self.extra, "action_noise": sigma})


def noise_source(kind: Literal["ou", "random"], low: np.ndarray, high: np.ndarray, *, theta: float = 0.15, sigma: float = 0.3) -> Source:
    """Ornstein-Uhlenbeck noise, or uniform actions, between the bounds [action_size]."""
    if kind == "random":
        return Source(partial(RandomController, low, high), "uniform actions")
    return Source(
        partial(OUController, low, high, theta, sigma),
        f"Ornstein-Uhlenbeck noise, theta {theta:g}, sigma {sigma:g}",
        extra={"theta": theta, "sigma": sigma},
    )


def policy_source(path: Path, env: EnvFacts, mode: Mode) -> Source:
    """A policy file: an expert's ``.npz`` or a checkpoint.

    Raises:
        CheckpointError: it cannot be used, or belongs to another task.
    """
    load_controller(path, mode, env=env)  # here and now, so that a bad file is refused before any work
    return Source(
        partial(load_controller, path.resolve(), mode, env=env),
        f"{path.name}, {_MODE_WORDS[mode]}",
        extra={"policy_file": path.name, "policy_sha256": _sha256(path), "action": mode},
    )


def demos_source(env: EnvFacts, mode: Mode) -> Source:
    """The demonstrator packaged for an environment.

    Raises:
        EnvError: there is none.
    """
    source = policy_source(demonstrator_path(env.id), env, mode)
    return replace(source, policy=f"packaged demonstrator {source.policy}", licence="MIT")


def clone_source(
    dataset: Path,
    env: EnvFacts,
    out: Path,
    settings: CloneSettings,
    mode: Mode,
    *,
    seed: int,
    env_kwargs: Mapping[str, Any],
    on_check: Callable[[CloneProgress], None] | None,
) -> Source:
    """Clone a dataset into the checkpoint ``out``, and act by the clone.

    Raises:
        DatasetError: the dataset cannot be used, or belongs to another task.
    """
    with open_dataset(dataset) as opened:
        parent = Parent(dataset.stem, opened.content_hash, opened.meta.source)
        licence = opened.meta.licence
    report = clone(
        [dataset],
        env,
        settings.policy,
        settings.bc,
        seed=seed,
        max_updates=settings.max_updates,
        batch_size=settings.batch_size,
        out=out,
        observation_noise=settings.observation_noise,
        env_kwargs=dict(env_kwargs),
        on_check=on_check,
    )
    made = {
        "file": out.name,
        "sha256": _sha256(out),
        "settings": settings.model_dump(mode="json"),
        "updates": report.updates,
        "best_update": report.best_update,
        "validation_loss": report.validation_loss,
    }
    return Source(
        partial(load_controller, out.resolve(), mode, env=env),
        f"clone of {parent.name}, {_MODE_WORDS[mode]}",
        licence,
        (parent,),
        {"clone": made, "action": mode},
    )


_MODE_WORDS: Final[dict[Mode, str]] = {"mean": "mean actions", "sample": "sampled actions"}


def _noisy(make_controller: Callable[[], Controller], sigma: float) -> Controller:
    return NoisyController(make_controller(), sigma)


def _sha256(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
