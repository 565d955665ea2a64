"""What is timed: the recipe's transitions, or noise of the same sizes, and its learner with other settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from tensordict import TensorDict
from torch import Tensor

from awac_tr.algorithms.base import Learner, Statistics
from awac_tr.algorithms.build import build_learner
from awac_tr.algorithms.hardware import resolve_compile, resolve_precision
from awac_tr.bench.clock import settle
from awac_tr.buffers.buffer import TransitionBuffer, build_buffer, observation_statistics
from awac_tr.data.storage.paths import SUFFIXES, dataset_path
from awac_tr.envs.env_info import EnvInfo
from awac_tr.errors import RecipeError
from awac_tr.keys import ACTION, DONE, NEXT_OBSERVATION, OBSERVATION, REWARD, TERMINATED, TRUNCATED
from awac_tr.recipes.cards import load_card
from awac_tr.recipes.schema import Recipe
from awac_tr.training.experiment_setup import recipe_buffer
from awac_tr.training.progress import RunningMeans
from awac_tr.training.reproducibility import Seeds, seed_everything

__all__ = ["Bench", "Rows", "Setting", "Subject", "noise", "own_setting", "rows_of"]

WARM_UP: Final = 3
"""Updates before timing; the first compiles, the second sees the optimiser's state for the first time."""

_ANY: Final = 100_000
"""Rows of noise where no card says how many a dataset has: about what the paper's tasks have."""


@dataclass(frozen=True)
class Rows:
    """The recipe's buffer with its offline transitions, and how long it took to load them.

    Attributes:
        files: that were read; none where the rows are noise.
        missing: datasets that are not there, which is why they are.
        seconds: of reading and validating all files into the buffer; None for noise.
    """

    buffer: TransitionBuffer
    transitions: int
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    seconds: float | None = None

    @property
    def bytes_per_row(self) -> int:
        """What a transition takes in the buffer."""
        leaves = self.buffer[:1].values(include_nested=True, leaves_only=True)
        return sum(leaf.numel() * leaf.element_size() for leaf in leaves)

    def to_json(self) -> dict[str, Any]:
        """Where the rows come from, in plain values."""
        source = {"source": "files" if self.files else "noise", "transitions": self.transitions}
        return source | {"files": list(self.files), "missing": list(self.missing), "load_seconds": self.seconds}


def rows_of(recipe: Recipe, env: EnvInfo, device: torch.device) -> Rows:
    """Load the recipe's datasets into its buffer; where one is missing, as many rows of noise instead.

    Raises:
        DatasetError: a file is there and cannot be used.
    """
    generator = torch.Generator(device).manual_seed(Seeds.of(recipe.seed).buffer)
    capacity = recipe.buffer.capacity
    paths = [dataset_path(name) for name in recipe.data.datasets]
    missing = tuple(name for name, path in zip(recipe.data.datasets, paths, strict=True) if not path.is_file())
    if missing:
        rows = sum(_rows_of_card(name, env.horizon) for name in recipe.data.datasets)
        buffer = build_buffer(noise(min(rows, capacity), env), capacity, device=device, generator=generator)
        if recipe.algorithm.needs().demonstrations:
            buffer.end_of_offline_rows(torch.arange(len(buffer)))
        return Rows(buffer, len(buffer), missing=missing)
    before = time.perf_counter()
    buffer = recipe_buffer(recipe, paths, env, device, generator)
    return Rows(buffer, len(buffer), files=tuple(map(str, paths)), seconds=time.perf_counter() - before)


def _rows_of_card(name: str, horizon: int) -> int:
    try:
        card = load_card(name) if not name.endswith(SUFFIXES) else None
    except RecipeError:
        card = None
    return card.n * horizon if card is not None and card.n is not None else _ANY


def noise(rows: int, env: EnvInfo) -> TensorDict:
    """Transitions of nothing, [rows] (at least 1), with the keys, sizes and dtypes of the real thing.

    Every ``horizon`` rows an episode is cut.
    """
    generator = torch.Generator().manual_seed(0)
    cut = torch.zeros(rows, 1, dtype=torch.bool)
    cut[env.horizon - 1 :: env.horizon] = True
    cut[-1] = True
    sizes = (rows, env.observation_size)
    batch = TensorDict({}, batch_size=[rows])
    batch.set(OBSERVATION, torch.randn(sizes, generator=generator))
    batch.set(ACTION, torch.rand(rows, env.action_size, generator=generator) * 1.8 - 0.9)
    batch.set(REWARD, -(torch.rand(rows, 1, generator=generator) > 0.05).float())  # noqa: PLR2004  (one in twenty)
    batch.set(NEXT_OBSERVATION, torch.randn(sizes, generator=generator))
    batch.set(TERMINATED, torch.zeros_like(cut))
    batch.set(TRUNCATED, cut)
    batch.set(DONE, cut.clone())
    return batch


@dataclass(frozen=True, order=True)
class Setting:
    """Recipe keys that change speed and not the algorithm."""

    precision: str
    compile: bool

    @property
    def name(self) -> str:
        """In words: ``bf16 compiled``."""
        return f"{self.precision} {'compiled' if self.compile else 'eager'}"

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe with these settings."""
        return recipe.model_copy(update={"precision": self.precision, "compile": self.compile})


def own_setting(recipe: Recipe, device: torch.device) -> Setting:
    """What the recipe itself asks for, ``auto`` resolved for this machine.

    Raises:
        RecipeError: the recipe wants to be compiled where nothing can be.
    """
    precision = resolve_precision(recipe, device) if recipe.precision == "auto" else recipe.precision
    return Setting(precision, resolve_compile(recipe, device))


@dataclass(frozen=True)
class Subject:
    """A warmed-up learner, and what its first updates took, compiling included.

    ``step`` is one pass of the training loop's hot path: sample, update, add up what is logged.
    """

    learner: Learner
    step: Callable[[], None]
    start_seconds: float


class Bench:
    """What all settings share: the task, the bounds of its actions ([action_size] each), its data, the device."""

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
            setting.of(self.recipe),
            self.env,
            self.statistics,
            self.device,
            action_bounds=self.bounds,
            demonstrations=self.buffer.demonstrations,
        )
        means = RunningMeans()

        def step() -> None:
            means.add(learner.update(self.buffer.sample(self.batch_size)))

        before = time.perf_counter()
        for _ in range(WARM_UP):
            step()
        settle(self.device)
        return Subject(learner, step, time.perf_counter() - before)
