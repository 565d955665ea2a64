"""The transitions that are measured with: the recipe's datasets, or noise of the same sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from tensordict import TensorDict

from awac_tr.data.buffer import load_transitions
from awac_tr.data.paths import SUFFIXES, dataset_path
from awac_tr.errors import RecipeError
from awac_tr.keys import ACTION, DONE, NEXT_OBSERVATION, OBSERVATION, REWARD, TERMINATED, TRUNCATED
from awac_tr.recipes.cards import load_card
from awac_tr.training.setup import action_margin

if TYPE_CHECKING:
    from awac_tr.envs.facts import EnvFacts
    from awac_tr.recipes.schema import Recipe

__all__ = ["Rows", "noise", "rows_of"]

_ANY: Final = 100_000
"""Rows of noise where no card says how many a dataset has: about what the paper's tasks have."""


@dataclass(frozen=True)
class Rows:
    """Transitions, and how long it took to load them.

    Attributes:
        transitions: as :func:`awac_tr.data.buffer.load_transitions` gives them.
        files: that were read; none where the rows are noise.
        missing: datasets that are not there, which is why they are.
        seconds: of reading and validating all files; None for noise.
    """

    transitions: TensorDict
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    seconds: float | None = None

    @property
    def bytes_per_row(self) -> int:
        """What a transition takes in a buffer."""
        leaves = self.transitions.values(include_nested=True, leaves_only=True)
        return sum(leaf[0].numel() * leaf.element_size() for leaf in leaves)

    def to_json(self) -> dict[str, Any]:
        """Where the rows come from, in plain values."""
        return {
            "source": "files" if self.files else "noise",
            "transitions": len(self.transitions),
            "files": list(self.files),
            "missing": list(self.missing),
            "load_seconds": self.seconds,
        }


def rows_of(recipe: Recipe, env: EnvFacts) -> Rows:
    """Load the recipe's datasets; where one is missing, make as many rows of noise instead.

    Raises:
        DatasetError: a file is there and cannot be used.
    """
    paths = [dataset_path(name) for name in recipe.data.datasets]
    missing = tuple(name for name, path in zip(recipe.data.datasets, paths, strict=True) if not path.is_file())
    if missing:
        rows = sum(_rows_of_card(name, env.horizon) for name in recipe.data.datasets)
        return Rows(noise(rows, env), missing=missing)
    before = time.perf_counter()
    transitions = load_transitions(paths, env=env, action_margin=action_margin(recipe))
    return Rows(transitions, files=tuple(map(str, paths)), seconds=time.perf_counter() - before)


def _rows_of_card(name: str, horizon: int) -> int:
    try:
        card = load_card(name) if not name.endswith(SUFFIXES) else None
    except RecipeError:
        card = None
    return card.n * horizon if card is not None and card.n is not None else _ANY


def noise(rows: int, env: EnvFacts) -> TensorDict:
    """Transitions of nothing, with the sizes, dtypes and episode ends of the real thing.

    Args:
        rows: how many, at least 1.
        env: sizes; every ``horizon`` rows an episode is cut.

    Returns:
        As :func:`awac_tr.data.buffer.load_transitions`, [rows].
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
