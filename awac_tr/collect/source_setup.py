"""Where a plan is carried out and by whom: its environment, what acts in it, and what the dataset will say of both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from awac_tr.collect.plan import Plan
from awac_tr.collect.sources import Source, clone_source, noise_source, policy_source
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.envs.action_units import require_bounds
from awac_tr.envs.env_info import EnvInfo, env_info
from awac_tr.envs.episode import action_bounds
from awac_tr.envs.make import make_env
from awac_tr.errors import AwacError
from awac_tr.policies.demonstrators import demonstrator_path
from awac_tr.recipes.options import CloneSettings, OUOptions, PolicyOptions
from awac_tr.training.cloning import CloneProgress, clone_path

__all__ = ["Stage", "meta_of", "source_of"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """What has to be known of the environment: facts with the plan's horizon, action bounds, whether it has states."""

    facts: EnvInfo
    low: np.ndarray
    high: np.ndarray
    has_state: bool

    @classmethod
    def of(cls, plan: Plan) -> Stage:
        """That of a plan."""
        facts, env = env_info(plan.env), make_env(plan.env)
        try:
            low, high = action_bounds(env)
            simulator = getattr(env.unwrapped, "data", None)
            has_state = plan.record_state and hasattr(simulator, "qpos")
            if plan.record_state and not has_state:
                _log.info("%s has no MuJoCo state, so none is recorded.", facts.id)
            return cls(facts, low, high, has_state)
        finally:
            env.close()


def source_of(
    plan: Plan, stage: Stage, before: Mapping[str, Any] | None, on_check: Callable[[CloneProgress], None]
) -> Source:
    """What acts.

    Args:
        plan: the plan.
        stage: of the plan.
        before: :attr:`Source.facts` of a collection of this plan, whose clone is used if it is there; None: none.
        on_check: called after each held-out check while a clone is trained.
    """
    settings = plan.settings
    if isinstance(settings, CloneSettings):
        return clone_source(
            _named(plan.dataset, "from"),
            stage.facts,
            clone_path(plan.out),
            settings,
            plan.mode,
            seed=plan.seed,
            before=before,
            on_check=on_check,
        )
    if isinstance(settings, PolicyOptions):
        demonstrator = plan.source == "demos"
        path = demonstrator_path(stage.facts.id) if demonstrator else _named(plan.policy, "policy")
        allowed = {"trust": plan.trust, "allow_bounds_mismatch": plan.allow_bounds_mismatch}
        return policy_source(path, stage.facts, plan.mode, settings, packaged=demonstrator, **allowed)
    require_bounds(stage.low, stage.high, stage.facts.id, f"--source {plan.source}")
    return noise_source(stage.low, stage.high, settings if isinstance(settings, OUOptions) else None)


def _named(path: Path | None, option: str) -> Path:
    if path is None:
        raise AwacError(f"this source needs a file: --{option} FILE")
    return path


def meta_of(plan: Plan, stage: Stage, source: Source) -> DatasetMeta:
    """What the dataset will say of itself."""
    return DatasetMeta(
        env_id=stage.facts.env.id,
        env_kwargs=plan.env.kwargs,
        env_options=plan.env.options,
        horizon=stage.facts.horizon,
        source=plan.source,
        policy=source.policy,
        seed=plan.seed,
        action_low=stage.low,
        action_high=stage.high,
        licence=source.licence if plan.licence is None else plan.licence,
        description=plan.description,
        parents=source.parents,
        extra=source.extra,
    )
