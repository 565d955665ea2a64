"""Aggregates over tasks and seeds with stratified bootstrap intervals (Agarwal et al., 2021).

Scores are a sequence with one float64 array a task, its last dimension the runs (seeds) of that task; tasks may have
different numbers of runs. Dimensions before it are kept: points of a learning curve, or resamples. Where all tasks have
equally many runs, every aggregate is that of rliable 1.2.0 (``rliable.metrics``) to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RESAMPLES",
    "Scores",
    "bootstrap_interval",
    "coverage",
    "interquartile_mean",
    "mean",
    "median",
    "optimality_gap",
    "performance_profile",
    "probability_of_improvement",
    "resampled",
]

RESAMPLES: Final = 10_000
_CONFIDENCE: Final = 0.95
_COVERAGE: Final = (0.0, 0.49, 0.75, 0.81, 0.83, 0.86, 0.88, 0.89)
"""Share of 95 % percentile bootstrap intervals of a mean that hold the true one, for 1, 2, ... normal values."""

Floats: TypeAlias = NDArray[np.float64]
Scores: TypeAlias = Sequence[Floats]
Aggregate: TypeAlias = Callable[[Scores], Floats]


def mean(scores: Scores) -> Floats:
    """The mean over tasks of the mean over a task's runs, [...].

    Example:
        >>> float(mean([np.array([0.0, 1.0]), np.array([2.0])]))
        1.25
    """
    return np.asarray(_task_means(scores).mean(-1))


def median(scores: Scores) -> Floats:
    """The median over tasks of the mean over a task's runs, [...]."""
    return np.asarray(np.median(_task_means(scores), axis=-1))


def interquartile_mean(scores: Scores) -> Floats:
    """The mean of the middle half of all runs of all tasks, [...]: a quarter of them, rounded down, is cut at each end.

    Example:
        >>> float(interquartile_mean([np.array([0.0, 1.0, 2.0, 100.0])]))
        1.5
    """
    runs = np.sort(np.concatenate(list(scores), axis=-1), axis=-1)
    cut = runs.shape[-1] // 4
    return np.asarray(runs[..., cut : runs.shape[-1] - cut].mean(-1))


def optimality_gap(scores: Scores, optimum: float = 1.0) -> Floats:
    """By how much runs fall short of ``optimum``, which more is not counted for, as a mean over tasks, [...]."""
    return optimum - mean([np.minimum(task, optimum) for task in scores])


def probability_of_improvement(scores: Scores, others: Scores) -> Floats:
    """P(X > Y) for a run of each on the same task, ties counted half, as a mean over tasks, [...].

    Args:
        scores: of the method that may be better.
        others: of the other, on the same tasks in the same order.

    Example:
        >>> float(probability_of_improvement([np.array([1.0, 3.0])], [np.array([0.0, 1.0])]))
        0.875
    """
    wins = []
    for mine, theirs in zip(scores, others, strict=True):
        pairs = mine[..., :, None], theirs[..., None, :]
        better, equal = np.greater(*pairs), np.equal(*pairs)
        wins.append((better + 0.5 * equal).mean((-2, -1)))
    return np.asarray(np.mean(wins, axis=0))


def performance_profile(scores: Scores, thresholds: Floats) -> Floats:
    """The share of all runs of all tasks that lie above each threshold, [..., thresholds]."""
    runs = np.concatenate(list(scores), axis=-1)
    return np.asarray((runs[..., None, :] > thresholds[:, None]).mean(-1))


def resampled(scores: Scores, seed: int, resamples: int = RESAMPLES) -> list[Floats]:
    """Runs drawn with replacement, each task by itself: stratified resamples, [resamples, ..., runs] a task.

    Args:
        scores: [..., runs] a task.
        seed: the same seed gives the same resamples.
        resamples: how many.
    """
    generator = np.random.default_rng(seed)
    drawn = []
    for task in scores:
        count = task.shape[-1]
        picked = task[..., generator.integers(count, size=(resamples, count))]
        drawn.append(np.moveaxis(picked, -2, 0))
    return drawn


def bootstrap_interval(aggregate: Callable[..., Floats], *resamples: Scores) -> tuple[Floats, Floats]:
    """The 95 % percentile interval of an aggregate.

    Args:
        aggregate: of one or several methods' scores.
        resamples: as :func:`resampled` gives them, for each method by a seed of its own.

    Returns:
        Lower and upper ends, [...] each.
    """
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(aggregate(*resamples), [tail, 1 - tail], axis=0)
    return low, high


def coverage(seeds: int) -> float:
    """How often a 95 % interval over so few runs holds the true mean, where runs scatter normally, in [0, 0.95].

    Percentile intervals are too narrow for few runs: with three they hold it three times in four.
    """
    return _COVERAGE[min(seeds, len(_COVERAGE)) - 1]


def _task_means(scores: Scores) -> Floats:
    """[..., tasks]."""
    return np.stack([task.mean(-1) for task in scores], axis=-1)
