"""Where a plan is carried out and by whom: its environment, what acts in it, and what the dataset will say of both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from awac_tr.collect.plan import Plan
from awac_tr.collect.sources import Source, clone_source, noise_source, policy_source
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.envs.action_units import require_bounds
from awac_tr.envs.env_info import EnvInfo
from awac_tr.errors import AwacError
from awac_tr.policies.demonstrators import demonstrator_path
from awac_tr.recipes.options import CloneSettings, OUOptions, PolicyOptions
from awac_tr.training.cloning import CloneProgress, clone_path

__all__ = ["meta_of", "records_state", "source_of"]

_log = logging.getLogger(__name__)


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
    """
    settings = plan.settings
    if isinstance(settings, CloneSettings):
        return clone_source(
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
        return policy_source(path, env, plan.mode, settings, packaged=demonstrator, **allowed)
    low, high = env.inner_bounds
    require_bounds(low, high, env.id, f"--source {plan.source}")
    return noise_source(low, high, settings if isinstance(settings, OUOptions) else None)


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
