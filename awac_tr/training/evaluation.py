"""How good a policy is, in episodes of its own: the four success measures and the return."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from awac_tr.envs.facts import env_facts
from awac_tr.envs.measures import measure
from awac_tr.envs.rollout import Controller, rollouts
from awac_tr.policies.controllers import NetworkController
from awac_tr.training.threads import intra_op_threads

if TYPE_CHECKING:
    from awac_tr.envs.rollout import Episode

__all__ = ["evaluate_policy"]


def evaluate_policy(
    policy: torch.nn.Module | Controller,
    env_id: str,
    *,
    kwargs: Mapping[str, Any] | None = None,
    horizon: int | None = None,
    episodes: int,
    seed: int,
    action: Literal["mean", "sample"] = "mean",
    workers: int = 1,
    check: Callable[[], None] | None = None,
) -> dict[str, float]:
    """Mean of every measure over episodes with the seeds ``seed, seed + 1, ...``.

    Torch's global generator is neither read nor changed.

    Args:
        policy: a policy module (copied to the CPU), or a controller.
        env_id: the environment.
        kwargs: its keyword arguments.
        horizon: steps before an episode is cut; None: as registered.
        episodes: how many.
        seed: seed of the first.
        action: the distribution's deterministic action, or a sample (policy modules only).
        workers: processes; the result does not depend on it.
        check: called after each episode; an exception from it ends the evaluation.

    Returns:
        Of the measures in :mod:`awac_tr.envs.measures` that the environment allows, the means.
    """
    controller = NetworkController(_on_cpu(policy), action) if isinstance(policy, torch.nn.Module) else policy
    seeds = range(seed, seed + episodes)
    source = rollouts(env_id, partial(_same, controller), seeds, kwargs=kwargs, horizon=horizon, workers=workers)
    played: list[Episode] = []
    with intra_op_threads(1), closing(source):  # closed early, workers end as well
        for episode in source:
            played.append(episode)
            if check is not None:
                check()
    measured = measure(played, env_facts(env_id, kwargs).goal_steps)
    return {name: float(np.mean(values)) for name, values in measured.items()}


def _same(controller: Controller) -> Controller:
    return controller


def _on_cpu(policy: torch.nn.Module) -> Any:
    if all(parameter.device.type == "cpu" for parameter in policy.parameters()):
        return policy
    return copy.deepcopy(policy).cpu()
