"""Measure a policy: episodes from fixed seeds, all success measures and the return, and how sure one can be of them.

Intervals. An episode is the unit that is drawn independently, so uncertainty is taken over episodes:

* every measure gets a percentile bootstrap interval: episodes are drawn with replacement ``RESAMPLES`` times, from a
  seed of its own, and the interval runs from the 2.5 % to the 97.5 % quantile of the means (Efron, 1979);
* where all episodes agree (0 of 50 successes), resampling can only agree with itself and the interval has no width.
  Measures that are yes or no for each episode therefore get Wilson's score interval as well (Wilson, 1927), which stays
  honest at 0 and 1: 0 of 50 means at most 7.1 %. It is the one to quote for a success rate.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from awac_tr.errors import CheckpointError
from awac_tr.recipes.env_files import EnvSaid, chosen_env
from awac_tr.recipes.schema import EnvSection, EvalSection

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.envs.episode import Controller, Episode

__all__ = ["DEFAULT_SEED", "RESAMPLES", "Estimate", "Evaluation", "bootstrap", "estimate", "evaluate", "wilson"]

_log = logging.getLogger(__name__)

RESAMPLES: Final = 10_000
DEFAULT_SEED: Final[int] = EvalSection().seed
"""The seed of evaluations during training, so that a checkpoint measured again meets the same episodes."""

CONFIDENCE: Final = 0.95
METHOD: Final = (
    f"{CONFIDENCE:.0%} percentile bootstrap over episodes, {RESAMPLES} resamples; "
    "measures that are yes or no for each episode also Wilson's score interval"
)

_BINARY: Final = frozenset({"success_any", "success_last", "success_steps"})
_BOOTSTRAP_STREAM: Final = 0xB007
_CHUNK: Final = 4_000_000
_Z: Final = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""

Floats = NDArray[np.float64]
Mode = Literal["mean", "sample"]


@dataclass(frozen=True)
class Estimate:
    """One measure over all episodes.

    Attributes:
        mean: over episodes.
        low: lower end of the bootstrap interval.
        high: upper end of the bootstrap interval.
        wilson: Wilson's score interval, for measures that are yes or no for each episode; else None.
        std: standard deviation over episodes (n - 1 in the denominator); 0 for one episode.
        smallest: of one episode.
        largest: of one episode.
    """

    mean: float
    low: float
    high: float
    wilson: tuple[float, float] | None
    std: float
    smallest: float
    largest: float

    @property
    def unanimous(self) -> bool:
        """All episodes gave the same value, so the bootstrap interval has no width and says nothing."""
        return self.smallest == self.largest


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` found.

    Attributes:
        checkpoint: the policy's file.
        env: the environment, with its horizon.
        action: ``mean`` or ``sample``.
        seed: of the first episode; the others follow by one.
        goal_steps: ``success_steps`` asks for more goal steps than this; None where the task has no such measure.
        measures: name -> estimate over the episodes.
        episodes: one mapping an episode in order of seeds: ``seed``, ``return``, ``length``, the success measures, and
            ``goal_count``, the number of goal steps (where the environment reports success).
        seconds: wall time of the episodes.
        trusted: code that the file names was imported, or stands in it was run, if there was any.
        allow_bounds_mismatch: the environment bounds actions otherwise than where the policy was trained, as allowed.
    """

    checkpoint: Path
    env: EnvSection
    action: Literal["mean", "sample"]
    seed: int
    goal_steps: int | None
    measures: Mapping[str, Estimate]
    episodes: Sequence[Mapping[str, Any]]
    seconds: float
    trusted: bool = False
    allow_bounds_mismatch: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, with the method of the intervals and the versions that decide what was simulated."""
        env = self.env
        told = ("action", "trusted", "allow_bounds_mismatch", "seed", "goal_steps", "seconds")
        packages = ("awac-tr", "mujoco", "gymnasium", "gymnasium-robotics", "torch")
        return {
            "checkpoint": str(self.checkpoint),
            "env_id": env.id,
            "env_kwargs": env.kwargs,
            "env_options": env.options,
            "horizon": env.horizon,
            **{name: getattr(self, name) for name in told},
            "measures": {name: asdict(one) for name, one in self.measures.items()},
            "episodes": len(self.episodes),
            "intervals": METHOD,
            "rows": [dict(row) for row in self.episodes],
            "versions": {name: version(name) for name in packages},
        }


def evaluate(
    checkpoint: str | Path,
    *,
    episodes: int = 50,
    seed: int = DEFAULT_SEED,
    action: Literal["mean", "sample"] = "mean",
    workers: int = 1,
    env: EnvSaid | None = None,
    trust: bool = False,
    allow_bounds_mismatch: bool = False,
    on_episode: Callable[[Mapping[str, Any]], None] | None = None,
) -> Evaluation:
    """Roll out a policy from fixed seeds and measure it.

    Args:
        checkpoint: a checkpoint of ours, an expert's ``.npz``, or a Stable-Baselines3 file, ``.zip``.
        episodes: how many, at least 1; their seeds are ``seed``, ``seed + 1``, ...
        seed: of the first episode. The same seed gives the same episodes, whatever the number of workers.
        action: the policy's mean action, or one drawn from it.
        workers: processes to spread the episodes over.
        env: the environment, for files that do not name theirs (``.npz``, ``.zip``); of a checkpoint, the same id or
            :class:`~awac_tr.recipes.env_files.EnvChanges` leave the rest as it was trained, and another task is
            refused. What differs from where it was trained is logged.
        trust: import the code that the file names (wrappers, a reward rule, the module of the environment), or let
            Stable-Baselines3 itself load its file, which runs code that stands in it.
        allow_bounds_mismatch: act although the environment bounds actions otherwise than where the policy was trained.
        on_episode: called with each episode's row as it comes.

    Raises:
        CheckpointError: the file cannot be used, does not name its environment, or belongs to another task.
        EnvError: the environment is unknown or cannot be made.
        UntrustedCodeError: the checkpoint names code, ``env`` does not, and ``trust`` is False.
    """
    from awac_tr.collectors.episodes import rollouts
    from awac_tr.envs.measures import measure

    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    how = {"trust": trust, "allow_bounds_mismatch": allow_bounds_mismatch}
    task = _Task.of(Path(checkpoint), env, action, **how)
    begin, rows = time.perf_counter(), []
    seeds = range(seed, seed + episodes)
    for episode in rollouts(task.env, task.make_controller, seeds, workers=workers):
        rows.append(_row(episode, measure([episode], task.facts.goal_steps)))
        if on_episode is not None:
            on_episode(rows[-1])
    names = [name for name in rows[0] if name not in ("seed", "goal_count")]
    table = np.array([[float(row[name]) for name in names] for row in rows])
    return Evaluation(
        checkpoint=task.path,
        env=task.facts.env,
        action=action,
        seed=seed,
        goal_steps=task.facts.goal_steps,
        measures=estimate(names, table, seed),
        episodes=tuple(rows),
        seconds=time.perf_counter() - begin,
        trusted=trust,
        allow_bounds_mismatch=allow_bounds_mismatch,
    )


@dataclass(frozen=True)
class _Task:
    """A policy file and the environment it acts in, checked against each other."""

    path: Path
    env: EnvSection
    facts: EnvInfo
    make_controller: Callable[[], Controller]

    @classmethod
    def of(cls, path: Path, wanted: EnvSaid | None, action: Mode, *, trust: bool = False, **how: bool) -> _Task:
        from awac_tr.envs.env_info import env_info
        from awac_tr.policies.checkpoint import load_policy
        from awac_tr.policies.controllers import controller_factory, names_its_env

        found = load_policy(path).env if names_its_env(path) else None
        try:
            env = chosen_env(path, found, wanted, trust=trust)
        except ValueError as error:
            hint = "name it with --env, for example --env door-binary-v0."
            raise CheckpointError(f"{path} does not say which environment it is for", hint) from error
        facts = env_info(env)
        return cls(path, env, facts, controller_factory(path, action, facts, trust=trust, **how))


def _row(episode: Episode, measured: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"seed": episode.seed}
    for name, values in measured.items():
        value = values[0].item()
        row[name] = bool(value) if name in _BINARY else int(value) if name == "length" else value
    if "success" in episode.infos:
        row["goal_count"] = int(episode.infos["success"].sum())
    return row


def estimate(names: Sequence[str], table: Floats, seed: int) -> dict[str, Estimate]:
    """Means and intervals of measures.

    Args:
        names: of the measures, m of them.
        table: [n, m] float64, an episode a row.
        seed: of the bootstrap.

    Returns:
        Name -> estimate. All measures share their resamples, as they share their episodes.
    """
    low, high = bootstrap(table, seed)
    spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.zeros(len(names))
    return {
        name: Estimate(
            mean=float(column.mean()),
            low=float(low[index]),
            high=float(high[index]),
            wilson=wilson(round(column.sum()), len(column)) if name in _BINARY else None,
            std=float(spread[index]),
            smallest=float(column.min()),
            largest=float(column.max()),
        )
        for index, (name, column) in enumerate(zip(names, table.T, strict=True))
    }


def bootstrap(table: Floats, seed: int, resamples: int = RESAMPLES) -> tuple[Floats, Floats]:
    """Percentile bootstrap intervals of the means of columns.

    Args:
        table: [n, m] float64, an episode a row, n >= 1.
        seed: the same seed gives the same interval.
        resamples: how many times n rows are drawn with replacement.

    Returns:
        Lower and upper ends, [m] float64 each: the 2.5 % and 97.5 % quantiles of the resampled means.

    Example:
        >>> low, high = bootstrap(np.arange(100.0)[:, None], seed=0)
        >>> bool(43 < low[0] < 45 and 54 < high[0] < 56)
        True
    """
    count = len(table)
    generator = np.random.default_rng([_BOOTSTRAP_STREAM, seed])
    chunk = max(1, _CHUNK // count)
    means = []
    for begin in range(0, resamples, chunk):
        # How often each row was drawn is all that matters of a resample, and is one multinomial draw.
        times = generator.multinomial(count, np.full(count, 1 / count), size=min(chunk, resamples - begin))
        means.append(times @ table / count)
    tail = (1 - CONFIDENCE) / 2
    ends = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    # Resampled sums of equal values round differently from each other; no interval may end beyond the data.
    low, high = np.clip(ends, table.min(axis=0), table.max(axis=0))
    return low, high


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion p of n (Wilson, 1927).

    ``(p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`` with z = 1.96.

    Args:
        successes: in [0, count].
        count: at least 1.

    Example:
        >>> [round(end, 3) for end in wilson(0, 50)]
        [0.0, 0.071]
    """
    share, ratio = successes / count, _Z**2 / count
    middle = share + ratio / 2
    half = _Z * math.sqrt(share * (1 - share) / count + ratio / (4 * count))
    return max(0.0, (middle - half) / (1 + ratio)), min(1.0, (middle + half) / (1 + ratio))
