"""The recipe's learner with other settings, ready to be timed as the training loop runs it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from awac_tr.algorithms.base import Statistics
from awac_tr.algorithms.build import build_learner
from awac_tr.algorithms.hardware import resolve_compile, resolve_precision
from awac_tr.bench.clock import settle
from awac_tr.buffers.buffer import observation_statistics
from awac_tr.training.running_means import RunningMeans
from awac_tr.training.seeding import Seeds, seed_everything

if TYPE_CHECKING:
    from torch import Tensor

    from awac_tr.algorithms.base import Learner
    from awac_tr.buffers.buffer import TransitionBuffer
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.recipes.schema import Recipe

__all__ = ["Bench", "Setting", "Subject", "own_setting"]

WARM_UP: Final = 3
"""Updates before timing; the first compiles, the second sees the optimiser's state for the first time."""


@dataclass(frozen=True, order=True)
class Setting:
    """Recipe keys that change speed and not the algorithm.

    Example:
        >>> Setting("bf16", True).name
        'bf16 compiled'
    """

    precision: str
    compile: bool

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.precision} {'compiled' if self.compile else 'eager'}"

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe with these settings."""
        return recipe.model_copy(update={"precision": self.precision, "compile": self.compile})


@dataclass(frozen=True)
class Subject:
    """A warmed-up learner.

    Attributes:
        learner: that of the setting.
        step: one pass of the training loop's hot path: sample, update, add up what is logged.
        start_seconds: what the first updates took, compiling included.
    """

    learner: Learner
    step: Callable[[], None]
    start_seconds: float


class Bench:
    """What all settings share: the task, its data in a buffer, the device.

    Args:
        recipe: the experiment.
        env: facts of its environment.
        bounds: (low, high) of its actions, each [action_size].
        buffer: holds the offline data.
        device: where updates happen.
    """

    def __init__(
        self,
        recipe: Recipe,
        env: EnvInfo,
        bounds: tuple[Tensor, Tensor],
        buffer: TransitionBuffer,
        device: torch.device,
    ) -> None:
        self.recipe, self.env, self.bounds, self.device = recipe, env, bounds, device
        section = recipe.offline if recipe.offline.updates else recipe.online
        self.batch_size = section.batch_size
        self.statistics = Statistics(*observation_statistics(buffer)) if recipe.data.normalize_observations else None
        self.buffer = buffer

    def subject(self, setting: Setting) -> Subject:
        """Build the learner of a setting and run its first updates; always from the same initial weights."""
        seed_everything(Seeds.of(self.recipe.seed).learner)
        learner = build_learner(
            setting.of(self.recipe), self.env, self.statistics, self.device, action_bounds=self.bounds
        )
        means = RunningMeans()

        def step() -> None:
            means.add(learner.update(self.buffer.sample(self.batch_size)))

        before = time.perf_counter()
        for _ in range(WARM_UP):
            step()
        settle(self.device)
        return Subject(learner, step, time.perf_counter() - before)


def own_setting(recipe: Recipe, device: torch.device) -> Setting:
    """What the recipe itself asks for, ``auto`` resolved for this machine.

    Raises:
        RecipeError: the recipe wants to be compiled where nothing can be.
    """
    precision = resolve_precision(recipe, device) if recipe.precision == "auto" else recipe.precision
    return Setting(precision, resolve_compile(recipe, device))
