"""Who acts when data is collected: for each source a controller that workers can make, and what to say of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.collect.identity import file_sha256, plain
from awac_tr.collect.plan import Mode, Plan
from awac_tr.data.format.meta import DatasetMeta, Parent
from awac_tr.data.storage.reader import open_dataset
from awac_tr.envs.action_units import require_bounds
from awac_tr.errors import AwacError
from awac_tr.policies.controllers import (
    NoisyController,
    OUController,
    RandomController,
    controller_factory,
    load_controller,
)
from awac_tr.policies.demonstrators import demonstrator_path
from awac_tr.recipes.cards import CloneSettings, OUOptions, PolicyOptions
from awac_tr.training.cloning import CloneProgress, CloneReport, clone, clone_path

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.envs.episode import Controller

__all__ = ["Source", "meta_of", "records_state", "source_of"]

_log = logging.getLogger(__name__)


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
    def facts(self) -> dict[str, Any]:
        """The story alone, plain JSON."""
        parents = [vars(parent) for parent in self.parents]
        return plain({"policy": self.policy, "licence": self.licence, "parents": parents, "extra": self.extra})

    @property
    def make_controller(self) -> Callable[[], Controller]:
        """Makes the controller that acts; can be pickled."""
        return partial(_noisy, self.make_clean, self.noise) if self.noise else self.make_clean


def records_state(plan: Plan, env: EnvInfo) -> bool:
    """Whether the simulator's states are recorded: where they are asked for, and there are any."""
    if plan.record_state and not env.has_state:
        _log.info("%s has no MuJoCo state, so none is recorded.", env.id)
    return plan.record_state and env.has_state


def source_of(
    plan: Plan, env: EnvInfo, before: Mapping[str, Any] | None, on_check: Callable[[CloneProgress], None]
) -> Source:
    """What acts.

    Args:
        plan: the plan.
        env: its environment.
        before: :attr:`Source.facts` of a collection of this plan, whose clone is used if it is there; None: none.
        on_check: called after each held-out check while a clone is trained.

    Raises:
        CheckpointError: the policy cannot be used, or belongs to another task.
        DatasetError: the dataset to clone cannot be used, or belongs to another task.
    """
    settings = plan.settings
    if isinstance(settings, CloneSettings):
        return _clone_source(
            _named(plan.dataset, "from"),
            env,
            clone_path(plan.out),
            settings,
            plan.mode,
            seed=plan.seed,
            before=before,
            on_check=on_check,
        )
    if isinstance(settings, PolicyOptions):
        demonstrator = plan.source == "demos"
        path = demonstrator_path(env.id) if demonstrator else _named(plan.policy, "policy")
        allowed = {"trust": plan.trust, "allow_bounds_mismatch": plan.allow_bounds_mismatch}
        return _policy_source(path, env, plan.mode, settings, packaged=demonstrator, **allowed)
    low, high = env.inner_bounds
    require_bounds(low, high, env.id, f"--source {plan.source}")
    return _noise_source(low, high, settings if isinstance(settings, OUOptions) else None)


def _named(path: Path | None, option: str) -> Path:
    if path is None:
        raise AwacError(f"this source needs a file: --{option} FILE")
    return path


def meta_of(plan: Plan, env: EnvInfo, source: Source) -> DatasetMeta:
    """What the dataset will say of itself."""
    low, high = env.inner_bounds
    return DatasetMeta(
        env_id=env.env.id,
        env_kwargs=plan.env.kwargs,
        env_options=plan.env.options,
        horizon=env.horizon,
        source=plan.source,
        policy=source.policy,
        seed=plan.seed,
        action_low=low,
        action_high=high,
        licence=source.licence if plan.licence is None else plan.licence,
        description=plan.description,
        parents=source.parents,
        extra=source.extra,
    )


def _noise_source(low: np.ndarray, high: np.ndarray, ou: OUOptions | None) -> Source:
    """Ornstein-Uhlenbeck noise, or, without ``ou``, uniform actions, between the bounds [action_size]."""
    if ou is None:
        return Source(partial(RandomController, low, high), "uniform actions")
    return Source(
        partial(OUController, low, high, ou.theta, ou.sigma),
        f"Ornstein-Uhlenbeck noise, theta {ou.theta:g}, sigma {ou.sigma:g}",
        extra=ou.model_dump(mode="json"),
    )


def _policy_source(
    path: Path, env: EnvInfo, mode: Mode, options: PolicyOptions, *, packaged: bool = False, **allowed: bool
) -> Source:
    """A policy file: a checkpoint, an expert's ``.npz`` or an SB3 file; ``packaged``: one of our demonstrators."""
    make_clean = controller_factory(path, mode, env, **allowed)
    words = f"{'packaged demonstrator ' if packaged else ''}{path.name}, {_MODE_WORDS[mode]}"
    if options.action_noise:
        words += f", plus Gaussian noise of deviation {options.action_noise:g}"
    facts: dict[str, Any] = {"policy_file": path.name, "policy_sha256": file_sha256(path), "action": mode}
    names = {"trust": "policy_trusted", "allow_bounds_mismatch": "allow_bounds_mismatch"}
    facts |= {names[name]: True for name, value in allowed.items() if value}
    return Source(
        make_clean,
        words,
        "MIT" if packaged else "",
        extra={**facts, **options.model_dump(mode="json")},
        noise=options.action_noise,
    )


def _clone_source(
    dataset: Path,
    env: EnvInfo,
    out: Path,
    settings: CloneSettings,
    mode: Mode,
    *,
    seed: int,
    before: Mapping[str, Any] | None = None,
    on_check: Callable[[CloneProgress], None] | None,
) -> Source:
    """Clone a dataset into the checkpoint ``out``, and act by the clone; used as it is where ``before`` tells of it."""
    with open_dataset(dataset) as opened:
        parent = Parent(dataset.stem, opened.content_hash, opened.meta.source)
        licence = opened.meta.licence
    made = _made_before(out, before)
    if made is None:
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
            on_check=on_check,
        )
        made = _story(report, settings)
    return Source(
        partial(load_controller, out.resolve(), mode, env=env),
        f"clone of {parent.name}, {_MODE_WORDS[mode]}",
        licence,
        (parent,),
        {"clone": made, "action": mode},
    )


def _made_before(out: Path, before: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What is known of the clone that is there already; None where there is none, or another one."""
    if before is None:
        return None
    made: dict[str, Any] = before.get("extra", {}).get("clone", {})
    if out.is_file() and file_sha256(out) == made.get("sha256"):
        _log.info("The clone %s is there already.", out)
        return made
    _log.info("The clone %s is gone or another one; cloning again.", out)
    return None


def _story(report: CloneReport, settings: CloneSettings) -> dict[str, Any]:
    return {
        "file": report.path.name,
        "sha256": file_sha256(report.path),
        "settings": settings.model_dump(mode="json"),
        "updates": report.updates,
        "best_update": report.best_update,
        "validation_loss": report.validation_loss,
    }


_MODE_WORDS: Final[dict[Mode, str]] = {"mean": "mean actions", "sample": "sampled actions"}


def _noisy(make_controller: Callable[[], Controller], sigma: float) -> Controller:
    return NoisyController(make_controller(), sigma)
