"""From a recipe to the things that train: facts, data, buffer, learner, collector. Nothing is written here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDict

from awac_tr.algorithms.base import Learner, Statistics
from awac_tr.algorithms.build import build_learner
from awac_tr.algorithms.config import CriticConfig
from awac_tr.buffers.buffer import TransitionBuffer, load_buffer, observation_statistics
from awac_tr.buffers.sampling import Sampling
from awac_tr.collectors.online import OnlineCollector
from awac_tr.data.storage.paths import dataset_path
from awac_tr.data.storage.reader import open_dataset
from awac_tr.envs.env_info import EnvInfo, env_info
from awac_tr.envs.make import require_env
from awac_tr.envs.measures import chosen_measure
from awac_tr.errors import CheckpointError, RecipeError
from awac_tr.evaluation.evaluator import Evaluator
from awac_tr.models.build import inner_margin
from awac_tr.policies.checkpoint import LoadedPolicy, load_policy
from awac_tr.policies.controllers import load_controller
from awac_tr.recipes.environment import differing_keys
from awac_tr.training.cloning import clone_path
from awac_tr.training.divergence import DivergenceMonitor, RewardSize, say_scale
from awac_tr.training.likelihoods import Likelihoods
from awac_tr.training.reproducibility import Seeds, seed_everything

if TYPE_CHECKING:
    from torch import Tensor

    from awac_tr.recipes.schema import EnvSection, PolicySection, Recipe

__all__ = ["Experiment", "clone_path", "device_of", "prepare", "recipe_buffer", "task_of"]

_log = logging.getLogger(__name__)


@dataclass
class Experiment:
    """Everything a run works with.

    Attributes:
        recipe: the experiment.
        facts: of the environment, ``horizon`` as the recipe wants it.
        action_bounds: (low, high), each [action_size] float32.
        datasets: files of the offline data, in order.
        hashes: content hash of each.
        clone: checkpoint of the clone that made one of them; None: there is none.
        measure: what best.pt is best by.
        generator: draws the buffer's batches.
        buffer: offline transitions, and what is collected.
        learner: the algorithm.
        collector: of online steps; None until it is needed.
        newest_round: transitions of the last online round, in the order they were taken; empty before the first.
        likelihoods: of the algorithm's model of the behaviour; None: it has none.
    """

    recipe: Recipe
    facts: EnvInfo
    action_bounds: tuple[Tensor, Tensor]
    datasets: list[Path]
    hashes: dict[str, str]
    clone: Path | None
    measure: str
    generator: torch.Generator
    buffer: TransitionBuffer
    learner: Learner
    collector: OnlineCollector | None = None
    newest_round: TensorDict = field(default_factory=lambda: TensorDict({}, batch_size=[0]))
    likelihoods: Likelihoods | None = None

    @cached_property
    def evaluator(self) -> Evaluator:
        """Plays the episodes of evaluations; its processes, if any, start when they are needed."""
        return Evaluator(self.recipe.env, self.recipe.eval)

    def monitor(self) -> DivergenceMonitor:
        """Tells when learning has gone wrong for good."""
        config, horizon, size = self.recipe.algorithm, self.facts.horizon, RewardSize.of(self.buffer)
        if not isinstance(config, CriticConfig):
            return DivergenceMonitor(size.largest, 1.0, horizon)
        say_scale(size, config, horizon)
        stop = self.recipe.on_divergence == "stop"
        return DivergenceMonitor(size.largest, config.gamma, horizon, reward_scale=config.reward_scale, stop=stop)

    def collector_after(self, env_step: int) -> OnlineCollector:
        """The collector, made if there is none yet, after so many steps."""
        if self.collector is None:
            recipe, act, seed = self.recipe, self.learner.act, Seeds.of(self.recipe.seed).env
            self.collector = OnlineCollector(
                recipe.env,
                act,
                seed=seed,
                how=recipe.collect,
                env_step=env_step,
                keep_noise=recipe.algorithm.needs().online == "round",
            )
        return self.collector

    def close(self) -> None:
        """Free environments and end processes."""
        try:
            if "evaluator" in vars(self):
                self.evaluator.close()
        finally:
            if self.collector is not None:
                self.collector.close()


def prepare(recipe: Recipe, *, scratch: Path | None = None) -> Experiment:
    """Read the data and build everything; random streams are seeded here.

    Args:
        recipe: the experiment.
        scratch: existing folder on the disk of a buffer in mapped files, which leave nothing there; None: here.

    Raises:
        AwacError: the environment, a dataset or the recipe cannot be used; nothing has been written.
    """
    facts, bounds = task_of(recipe.env)
    measure = chosen_measure(recipe.checkpoint.measure, facts)
    datasets = [dataset_path(name) for name in recipe.data.datasets]
    device = device_of(recipe.device)
    seeds = Seeds.of(recipe.seed)
    generator = torch.Generator(device=device).manual_seed(seeds.buffer)
    buffer = recipe_buffer(recipe, datasets, facts, device, generator, scratch=scratch)
    seed_everything(seeds.learner)
    clone = _find_clone(datasets)
    learner = build_learner(
        recipe,
        facts,
        Statistics(*observation_statistics(buffer)) if recipe.data.normalize_observations else None,
        device,
        action_bounds=bounds,
        initial_policy=_initial_policy(recipe.policy, facts, clone),
        demonstrations=buffer.demonstrations,
    )
    clone = _usable(clone, facts) if recipe.eval.clone else clone
    names = ", ".join(path.name for path in datasets)
    if recipe.algorithm.needs().offline is None:
        buffer.empty()
        _log.info("the buffer begins empty: of %s only the statistics of observations are used", names)
    else:
        _log.info("%d transitions of %s in the buffer", len(buffer), names)
    made = recipe, facts, bounds, datasets, _hashes(datasets), clone, measure, generator, buffer, learner
    return Experiment(*made, likelihoods=_likelihoods(recipe, learner, buffer))


def _likelihoods(recipe: Recipe, learner: Any, buffer: TransitionBuffer) -> Likelihoods | None:
    """Of a learner whose loss has a model of the behaviour."""
    if not recipe.algorithm.models_behaviour():
        return None
    return Likelihoods(learner.loss.behaviour, buffer, buffer.held_out)


def recipe_buffer(
    recipe: Recipe,
    datasets: Sequence[Path],
    env: EnvInfo,
    device: torch.device,
    generator: torch.Generator,
    *,
    scratch: Path | None = None,
) -> TransitionBuffer:
    """Datasets in a buffer as the recipe wants it.

    Raises:
        AwacError: as :func:`load_buffer`.
    """
    return load_buffer(
        datasets,
        recipe.buffer.capacity,
        env=env,
        action_margin=inner_margin(recipe.policy) if recipe.data.action_margin is None else recipe.data.action_margin,
        out_of_bounds=recipe.data.out_of_bounds,
        storage=recipe.buffer.storage,
        folder=scratch or Path(),
        growth=recipe.online.steps,
        device=device,
        generator=generator,
        sampling=Sampling.of(recipe),
        held_out=recipe.data.held_out,
        seed=recipe.seed,
    )


def _find_clone(datasets: Sequence[Path]) -> Path | None:
    found = [clone_path(path) for path in datasets if clone_path(path).is_file()]
    return found[0] if found else None


def _usable(clone: Path | None, facts: EnvInfo) -> Path | None:
    """The clone that evaluation measures as well; None where it cannot act in this environment, which is said."""
    try:
        if clone is not None:
            load_controller(clone, env=facts)
    except CheckpointError as error:
        _log.warning("the clone is not evaluated: %s", error.message)
        return None
    return clone


def task_of(section: EnvSection) -> tuple[EnvInfo, tuple[Tensor, Tensor]]:
    """Facts of an environment, ``horizon`` as the recipe wants it, and its action bounds (low, high).

    Raises:
        EnvError: there is no such environment.
    """
    require_env(section)
    facts = env_info(section)
    low, high = facts.inner_bounds
    return facts, (torch.from_numpy(low), torch.from_numpy(high))


def device_of(name: str) -> torch.device:
    """The device that a recipe means.

    Raises:
        RecipeError: it is none, or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeError(f"device: {name!r} is no device", "write cpu, cuda, cuda:0 or auto.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RecipeError(f"device: {name}, but torch finds no GPU here", "write device=cpu or device=auto.")
    return device


def _hashes(datasets: Sequence[Path]) -> dict[str, str]:
    hashes = {}
    for path in datasets:
        with open_dataset(path) as dataset:
            hashes[path.name] = dataset.content_hash
    return hashes


def _initial_policy(section: PolicySection, facts: EnvInfo, clone: Path | None) -> dict[str, Tensor] | None:
    """Tensors of the policy to start from, observation statistics included: its weights mean nothing without them."""
    wanted = section.init_from
    if wanted is None:
        return None
    if wanted == "clone" and clone is None:
        raise RecipeError(
            "policy.init_from: clone, but no dataset of this recipe has a clone beside it (<dataset>.clone.pt)",
            "name a dataset collected with --source bc, or a policy checkpoint.",
        )
    path = clone if wanted == "clone" and clone is not None else Path(wanted)
    policy = load_policy(path)
    policy.require(facts.id, facts.observation_size, facts.action_size)
    if policy.module is None:
        raise CheckpointError(
            f"policy.init_from: {path} holds no policy, it acts by a model of the data", "name another."
        )
    differing = [
        f"policy.{key}: {getattr(policy.spec, key)}, not {getattr(section, key)}"
        for key in ("distribution", "squash_mean", "std", "log_std_map", "hidden_sizes", "activation")
        if getattr(policy.spec, key) != getattr(section, key)
    ]
    if differing:
        message = f"{path} is a policy of another kind than the recipe's: {'; '.join(differing)}"
        raise CheckpointError(message, "make the recipe's policy section agree with the one it was trained with.")
    _log.info("the policy starts from %s, and keeps its observation statistics", path)
    return _in_units_of(policy, policy.module, facts)


def _in_units_of(policy: LoadedPolicy, learnt: torch.nn.Module, facts: EnvInfo) -> dict[str, Tensor]:
    """The tensors of a policy, which do the same in units of the environment: its outputs are mapped to those.

    Raises:
        CheckpointError: it was trained with other bounds, so that the same tensors would act otherwise.
    """
    units = policy.units(facts)
    if facts.units is not None and not units.same_raw(facts.units):
        raise CheckpointError(
            f"policy.init_from: {policy.path} gives actions of {units}, {facts.id} takes {facts.units}",
            "start from a policy of these bounds, for example a clone (policy.init_from: clone), or leave it out.",
        )
    if facts.units is not None and units.scaled != facts.units.scaled:
        _log.info("actions of %s are converted: %s to %s", policy.path, units, facts.units)
    for text in differing_keys(policy.env, facts.env).values():
        _log.warning("%s was trained with %s as in this recipe", policy.path, text)
    return dict(learnt.state_dict())
