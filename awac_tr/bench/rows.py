"""The transitions that are measured with: the recipe's datasets, or noise of the same sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from tensordict import TensorDict

from awac_tr.buffers.buffer import TransitionBuffer, build_buffer, load_buffer
from awac_tr.buffers.sampling import Sampling
from awac_tr.data.storage.paths import SUFFIXES, dataset_path
from awac_tr.errors import RecipeError
from awac_tr.keys import ACTION, DONE, NEXT_OBSERVATION, OBSERVATION, REWARD, TERMINATED, TRUNCATED
from awac_tr.recipes.cards import load_card
from awac_tr.training.experiment_setup import action_margin
from awac_tr.training.seeding import Seeds

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.recipes.schema import Recipe

__all__ = ["Rows", "noise", "rows_of"]

_ANY: Final = 100_000
"""Rows of noise where no card says how many a dataset has: about what the paper's tasks have."""


@dataclass(frozen=True)
class Rows:
    """The recipe's buffer with its offline transitions, and how long it took to load them.

    Attributes:
        buffer: on the device of the updates.
        transitions: how many were put in.
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
        return {
            "source": "files" if self.files else "noise",
            "transitions": self.transitions,
            "files": list(self.files),
            "missing": list(self.missing),
            "load_seconds": self.seconds,
        }


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
        return Rows(buffer, len(buffer), missing=missing)
    before = time.perf_counter()
    buffer = load_buffer(
        paths,
        capacity,
        env=env,
        action_margin=action_margin(recipe),
        out_of_bounds=recipe.data.out_of_bounds,
        storage=recipe.buffer.storage,
        growth=recipe.online.steps,
        device=device,
        generator=generator,
        sampling=Sampling.of(recipe),
    )
    return Rows(buffer, len(buffer), files=tuple(map(str, paths)), seconds=time.perf_counter() - before)


def _rows_of_card(name: str, horizon: int) -> int:
    try:
        card = load_card(name) if not name.endswith(SUFFIXES) else None
    except RecipeError:
        card = None
    return card.n * horizon if card is not None and card.n is not None else _ANY


def noise(rows: int, env: EnvInfo) -> TensorDict:
    """Transitions of nothing, with the sizes, dtypes and episode ends of the real thing.

    Args:
        rows: how many, at least 1.
        env: sizes; every ``horizon`` rows an episode is cut.

    Returns:
        As :func:`awac_tr.buffers.buffer.load_transitions`, [rows].
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
