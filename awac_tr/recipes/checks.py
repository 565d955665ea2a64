"""What no single key can tell: keys that make no sense together, and keys that the algorithm never looks at."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Final

from awac_tr.algorithms.config import Conflict
from awac_tr.recipes.build import fields_of, get_path
from awac_tr.recipes.resolved import LoadedRecipe
from awac_tr.recipes.schema import Recipe
from awac_tr.recipes.yaml_text import KeyPath, dotted

__all__ = ["conflicts", "is_unused", "say_unused_keys", "unused_keys"]

_log = logging.getLogger(__name__)

_SUM_TOLERANCE: Final = 1e-6


def conflicts(recipe: Recipe) -> list[Conflict]:
    """All contradictions of a recipe, each with the dotted keys it involves."""
    found: list[Conflict] = []
    for check in (_device, _policy, _batches, _phases, _samples, _held_out, _collect, _init_from, _hindsight, _buffer):
        found += check(recipe)
    return [*recipe.algorithm.conflicts(), *found]


def is_unused(recipe: Recipe, path: KeyPath) -> bool:
    """Whether a key has no effect on training with the recipe's algorithm."""
    config, key = recipe.algorithm, dotted(path)
    names = [name for name in (*config.OPTIONAL, *config.ignores) if key == name or key.startswith(f"{name}.")]
    return bool(names) and not config.reads.intersection(names)


def unused_keys(loaded: LoadedRecipe) -> list[str]:
    """Dotted keys, in the order of the schema, that have no effect and hold another value than the default.

    A key that an override sets is not among them: that is an error already when the recipe is loaded.

    >>> from awac_tr.recipes.loader import load_recipe
    >>> unused_keys(load_recipe("door"))
    []
    """
    recipe = loaded.recipe
    plain = recipe.model_dump()
    usual = {path: field.get_default(call_default_factory=True) for path, field in fields_of(type(recipe))}
    return [dotted(path) for path in usual if is_unused(recipe, path) and get_path(plain, path) != usual[path]]


def say_unused_keys(loaded: LoadedRecipe) -> None:
    """Note :func:`unused_keys`, which a recipe has that was written for another algorithm."""
    keys = unused_keys(loaded)
    if keys:
        verb = "has" if len(keys) == 1 else "have"
        _log.info("%s %s no effect with algorithm %s.", ", ".join(keys), verb, loaded.recipe.algorithm.name)


def _device(recipe: Recipe) -> Iterator[Conflict]:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", recipe.device):
        yield ("device",), f"expected auto, cpu, cuda, cuda:N or mps, got {recipe.device!r}"


def _policy(recipe: Recipe) -> Iterator[Conflict]:
    policy, margin = recipe.policy, recipe.data.action_margin
    if policy.log_std_min >= policy.log_std_max:
        text = f"must be below policy.log_std_max: {policy.log_std_min:g} is not below {policy.log_std_max:g}"
        yield ("policy.log_std_min", "policy.log_std_max"), text
    if policy.distribution not in recipe.algorithm.distributions:
        text = f"{policy.distribution} with algorithm.name {recipe.algorithm.name}, which needs tanh_normal"
        yield ("policy.distribution", "algorithm.name"), text
    if policy.distribution == "tanh_normal" and not policy.squash_mean:
        text = "false has no effect with policy.distribution tanh_normal, which squashes actions; leave it out"
        yield ("policy.squash_mean", "policy.distribution"), text
    if policy.distribution == "tanh_normal" and margin == 0:
        text = (
            "0 with policy.distribution tanh_normal: log-densities at the action bounds are infinite; use null or 0.001"
        )
        yield ("data.action_margin", "policy.distribution"), text


def _batches(recipe: Recipe) -> Iterator[Conflict]:
    capacity = recipe.buffer.capacity
    for phase, size in (("offline", recipe.offline.batch_size), ("online", recipe.online.batch_size)):
        if size > capacity:
            yield (f"{phase}.batch_size", "buffer.capacity"), f"{size} is more than buffer.capacity {capacity} holds"


def _phases(recipe: Recipe) -> Iterator[Conflict]:
    offline, online = recipe.offline.updates, recipe.online.steps
    if online > 0 and recipe.algorithm.needs().online is None:
        name = recipe.algorithm.name
        text = f"{online} with algorithm.name {name}: it has no online phase; set it to 0, or take another algorithm"
        yield ("online.steps", "algorithm.name"), text
    yield from _without_offline(recipe)
    if offline == 0 and online == 0:
        yield ("offline.updates", "online.steps"), "0, and online.steps is 0 as well: nothing would be trained"


def _samples(recipe: Recipe) -> Iterator[Conflict]:
    """Of algorithms that learn from episodes in order, and draw no transitions."""
    needs, name = recipe.algorithm.needs(), recipe.algorithm.name
    if needs.online not in ("buffer", "round"):
        return
    if recipe.buffer.mix != "union":
        text = f"{recipe.buffer.mix} has no effect with algorithm.name {name}, which draws no rows online; leave it out"
        yield ("buffer.mix", "algorithm.name"), text
    if recipe.collect.workers > 1:
        text = f"{recipe.collect.workers} with algorithm.name {name}, which needs episodes in order; set it to 1"
        yield ("collect.workers", "algorithm.name"), text
    if needs.online == "round" and recipe.collect.ahead:
        text = f"true with algorithm.name {name}, which learns from steps of the policy as it is now; set it to false"
        yield ("collect.async", "algorithm.name"), text


def _held_out(recipe: Recipe) -> Iterator[Conflict]:
    share, name = recipe.data.held_out, recipe.algorithm.name
    if not share:
        return
    if not recipe.algorithm.models_behaviour():
        text = f"{share:g} has no effect with algorithm.name {name} as set here, which fits no model of the behaviour"
        yield ("data.held_out", "algorithm.name"), text
    if recipe.algorithm.needs().demonstrations:
        text = f"{share:g} with algorithm.name {name}, which takes demonstrations apart; set it to 0"
        yield ("data.held_out", "algorithm.name"), text


def _without_offline(recipe: Recipe) -> Iterator[Conflict]:
    """What contradicts a buffer that begins empty."""
    if recipe.algorithm.needs().offline is not None:
        return
    kind = f"algorithm.name {recipe.algorithm.name}, which as set here has no offline phase and an empty buffer"
    if recipe.offline.updates > 0:
        yield ("offline.updates", "algorithm.name"), f"{recipe.offline.updates} with {kind}; set it to 0"
    if recipe.buffer.mix != "union":
        yield ("buffer.mix", "algorithm.name"), f"{recipe.buffer.mix:g} with {kind}; set it to union"


def _collect(recipe: Recipe) -> Iterator[Conflict]:
    workers, steps = recipe.collect.workers, recipe.online.steps_per_round
    if workers > steps:
        text = f"{workers} have nothing to do with online.steps_per_round {steps}: at least a step each is needed"
        yield ("collect.workers", "online.steps_per_round"), text


def _hindsight(recipe: Recipe) -> Iterator[Conflict]:
    shares = recipe.hindsight.model_dump()
    total = sum(shares.values())
    if abs(total - 1) > _SUM_TOLERANCE:
        summed = " + ".join(f"{share:g} {name}" for name, share in shares.items())
        text = f"the shares must sum to 1: {summed} is {total:g}"
        yield tuple(f"hindsight.{name}" for name in shares), text


def _buffer(recipe: Recipe) -> Iterator[Conflict]:
    buffer = recipe.buffer
    if buffer.n_steps > 1 and recipe.hindsight.relabels:
        text = f"{buffer.n_steps} with hindsight: the rewards on the way are of other goals; set it to 1"
        yield ("buffer.n_steps", "hindsight.kept"), text


def _init_from(recipe: Recipe) -> Iterator[Conflict]:
    start = recipe.policy.init_from
    if start is not None and start != "clone" and not start.endswith(".pt"):
        yield ("policy.init_from",), f"expected null, clone or the path of a checkpoint (.pt), got {start!r}"
