"""What a run's checkpoint holds, and how a run is put back to where it was."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from awac_tr.errors import CheckpointError, RecipeError
from awac_tr.models.best_of_samples import BestOfSamples
from awac_tr.policies.best_of_samples import acting_entry
from awac_tr.policies.checkpoint import policy_entry
from awac_tr.recipes.loader import recipe_from_dict
from awac_tr.training.progress import Progress
from awac_tr.training.reproducibility import restore_rng, rng_state

if TYPE_CHECKING:
    from tensordict import TensorDict

    from awac_tr.recipes.schema import Recipe
    from awac_tr.training.checkpoint import OnlineParts
    from awac_tr.training.experiment_setup import Experiment

__all__ = ["kept", "payload", "require_same_experiment", "restore"]

_log = logging.getLogger(__name__)

_FREE: Final = (
    "online.steps", "buffer.storage", "eval", "log", "checkpoint", "threads", "device", "precision", "compile",
    "on_divergence",
)  # fmt: skip
"""Keys (or sections) that may change when a run goes on: none of them changes what was computed so far."""


def payload(
    experiment: Experiment, progress: Progress, parts: OnlineParts, *, metrics_rows: int, means: dict[str, Any]
) -> dict[str, Any]:
    """What a checkpoint of kind ``train`` holds, as things stand; the learner's tensors are not copied."""
    low, high = experiment.action_bounds
    facts, recipe, act = experiment.facts, experiment.recipe, experiment.learner.evaluate
    policy = experiment.learner.policy
    where = {"update": progress.update, "env_step": progress.env_step}
    return {
        "kind": "train",
        "policy": policy_entry(
            torch.nn.Module() if isinstance(policy, BestOfSamples) else policy,
            recipe.policy,
            observation_size=facts.observation_size,
            action_size=facts.action_size,
            action_low=low.numpy(),
            action_high=high.numpy(),
            acting=acting_entry(act, recipe.qvalue) if isinstance(act, BestOfSamples) else None,
        ),
        "env": facts.env.to_plain(),
        "info": {"algorithm": recipe.algorithm.name, "recipe": recipe.name, "seed": recipe.seed, **where},
        "recipe": recipe.model_dump(mode="json"),
        "learner": experiment.learner.state_dict(),
        "progress": progress.to_plain(),
        "metrics_rows": metrics_rows,
        "means": means,
        "online_parts": list(parts.names),
        "datasets": dict(experiment.hashes),
        "collector": None if experiment.collector is None else experiment.collector.state_dict(),
        "rng": {**rng_state(), "buffer": experiment.generator.get_state()},
    }


def kept(value: Any) -> Any:
    """A copy of what :func:`payload` gave, for later, while learning goes on."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: kept(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(kept(item) for item in value)
    return value


def restore(content: dict[str, Any], transitions: Iterable[TensorDict], experiment: Experiment) -> Progress:
    """Put a freshly prepared experiment back to where a checkpoint was written.

    Networks, targets, optimisers, every random stream, the counters, the buffer's contents in their order and the
    environments' episodes under way return, so that the run goes on as if it had not been stopped.

    Args:
        content: the checkpoint.
        transitions: collected online before it, in order.
        experiment: as :func:`awac_tr.training.experiment_setup.prepare` makes it; changed.

    Raises:
        CheckpointError: the checkpoint belongs to another experiment, or its data has changed since.
    """
    require_same_experiment(_recipe_of(content), experiment.recipe)
    if content["datasets"] != experiment.hashes:
        raise CheckpointError(
            "the datasets have changed since the run began", "put the files back that record.json names."
        )
    experiment.learner.load_state_dict(content["learner"])
    progress = Progress.from_plain(content["progress"])
    parts = list(transitions)
    for part in parts:
        experiment.buffer.extend(part)
    if parts:
        steps = (progress.env_step - 1) % experiment.recipe.online.steps_per_round + 1
        experiment.newest_round = torch.cat(parts)[-steps:]
    rng = content["rng"]
    restore_rng(rng)
    experiment.generator.set_state(rng["buffer"])
    collector = content.get("collector")
    if collector is not None:
        experiment.collector_after(progress.env_step).load_state_dict(collector)
    elif progress.env_step:
        _log.info("resumed at step %d: the environment begins a new episode there", progress.env_step)
    return progress


def _recipe_of(content: dict[str, Any]) -> Recipe:
    try:
        return recipe_from_dict(content["recipe"])
    except RecipeError as error:
        raise CheckpointError(
            "the run was made by an earlier version of awac-tr, and this one cannot go on with it",
            "record.json names the version of awac-tr that can; its checkpoints can still be evaluated.",
        ) from error


def require_same_experiment(saved: Recipe, wanted: Recipe) -> None:
    """Refuse to go on with a recipe that would have made another past.

    Raises:
        CheckpointError: a key other than those of :data:`_FREE` differs.
    """
    before, after = _flat(saved.model_dump(mode="json")), _flat(wanted.model_dump(mode="json"))
    changed = [key for key in after if before.get(key) != after[key]]
    refused = [key for key in changed if not any(key == free or key.startswith(free + ".") for free in _FREE)]
    if refused:
        raise CheckpointError(
            f"a run cannot go on with another {', '.join(refused)}", f"what may change on resuming: {', '.join(_FREE)}."
        )
    for key in changed:
        _log.info("going on with %s: %s instead of %s", key, after[key], before.get(key))


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
