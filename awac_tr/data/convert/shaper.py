"""A recorded episode as one of the format: what is dropped, clipped, narrowed and made up on the way is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.data.convert.recording import ImportSettings, Recorded
from awac_tr.data.convert.target import Target, check_rewards, check_sizes, matrix
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.data.validation.fix_episode import finite_rows

if TYPE_CHECKING:
    from awac_tr.envs.episode import Episode

__all__ = ["EpisodeShaper", "ImportReport"]

_WIDE: Final = 1.25
_FILLED: Final = 0.95
_SCALED: Final = "no action goes beyond -1 and 1, and the bounds are wider: if they are scaled, say --actions scaled"

Array = np.ndarray[Any, Any]


@dataclass
class ImportReport:
    """What an import did.

    Attributes:
        path: the file made.
        content_hash: its content hash.
        episodes: episodes stored.
        transitions: rows stored.
        clipped: action entries outside the bounds, moved onto them.
        dropped: rows left out: last ones without a next observation, and those that are no steps.
        successes: episodes that reach the goal at any step.
        cut_short: rows left out before those, with NaN or infinite numbers at the end of an episode.
        beyond_horizon: episodes longer than the environment's horizon, kept whole.
        notes: all this in sentences, with what else is worth knowing.
    """

    path: Path
    content_hash: str = ""
    episodes: int = 0
    transitions: int = 0
    clipped: int = 0
    dropped: int = 0
    successes: int = 0
    cut_short: int = 0
    beyond_horizon: int = 0
    notes: list[str] = field(default_factory=list)


class EpisodeShaper:
    """Turns recorded episodes into those of the format, as target and settings say; the counts of the report grow.

    Attributes:
        clip: what moves actions into the bounds; None: they are taken as they are.
        rewarded: rows that were given ``settings.reward``.
    """

    def __init__(self, target: Target, settings: ImportSettings, report: ImportReport) -> None:
        from awac_tr.envs.action_units import Clipper

        self._target, self._settings, self._report = target, settings, report
        self.clip = None if target.exact else Clipper(target.meta.action_low, target.meta.action_high)
        self.rewarded = self._last_dropped = self._stand_ins = self._unknown_last = self._emptied = 0
        self._narrowed: set[str] = set()
        self._most = 0.0

    def episode(self, one: Recorded) -> Episode | None:
        """The episode, None where no row of it has a next observation.

        Raises:
            UnusableEpisodeError: its arrays do not fit each other, or hold NaN or infinite numbers before its end.
        """
        from awac_tr.envs.episode import Episode

        observations, recorded = self._matrices(one)
        rewards, following = self._recorded_rewards(one), self._following(one, observations)
        known, terminal = len(following), one.terminated and len(following) == len(recorded)
        arrays = {"observations": observations, "actions": recorded, "rewards": rewards, "next_observations": following}
        rows, stands_in = _finite(one.where, arrays, known, terminal=terminal)
        self._count_rows(one, len(recorded), known, rows, stands_in=stands_in)
        if not rows:
            return None
        following, terminal = following[:rows], terminal and rows == known
        actions = self._actions(recorded[:rows])
        rewards, success = self._rewards(one, rewards, following)
        infos = {name: np.asarray(info)[:rows] for name, info in one.infos.items()} | success
        self._report.successes += bool("success" in infos and infos["success"].any())
        last = np.arange(rows) == rows - 1
        return Episode(
            observations=observations[:rows],
            actions=actions,
            rewards=rewards,
            next_observations=following,
            terminals=last & terminal,
            timeouts=last & (not terminal),
            infos=infos,
            seed=one.seed,
        )

    def _matrices(self, one: Recorded) -> tuple[Array, Array]:
        observations = matrix(one.where, "observations", one.observations)
        actions = matrix(one.where, "actions", one.actions)
        if len(observations) != len(actions):
            message = f"{one.where} has {len(observations)} observations for {len(actions)} actions"
            raise UnusableEpisodeError(message)
        if not len(actions):
            raise UnusableEpisodeError(f"{one.where} has no actions")
        check_sizes(one, self._target, observations, actions)
        kinds = {"observations": one.observations.dtype, "actions": one.actions.dtype}
        self._narrowed |= {f"{name} ({kind})" for name, kind in kinds.items() if kind != np.float32}
        return observations, actions

    def _recorded_rewards(self, one: Recorded) -> Array | None:
        """Rewards [T] float32; None where they are made, or relabelled."""
        if self._settings.relabel:
            return None
        if one.rewards is None:
            if self._settings.reward is None:
                hint = "Give every row one with --reward 0 (enough for cloning), or --relabel by the rule of --env."
                raise UnusableEpisodeError(f"{one.where} has no rewards", hint)
            return None
        if one.rewards.size != len(one.actions) or one.rewards.dtype.kind not in "fiub":
            shape = f"shape {one.rewards.shape} and type {one.rewards.dtype}"
            raise UnusableEpisodeError(f"{one.where} has rewards of {shape} for {len(one.actions)} actions")
        with np.errstate(over="ignore"):  # becomes infinite, which is looked for
            return one.rewards.reshape(-1).astype(np.float32)

    def _following(self, one: Recorded, observations: Array) -> Array:
        """Next observations [rows, o], of all rows that have one.

        Where the recording ends with the last action, the state after it is unknown. A row that ended the task is
        kept, with its own observation standing in: no value is asked of that state. Any other last row is dropped, as
        ``d4rl.qlearning_dataset`` does.
        """
        if one.next_observations is not None:
            following = matrix(one.where, "next_observations", one.next_observations)
            if len(following) != len(observations):
                message = f"{one.where} has {len(following)} next observations for {len(observations)} observations"
                raise UnusableEpisodeError(message)
            return following
        if self._stands_in(one):
            return np.concatenate([observations[1:], observations[-1:]])
        return observations[1:]

    def _stands_in(self, one: Recorded) -> bool:
        return one.next_observations is None and one.terminated and not self._settings.relabel

    def _count_rows(self, one: Recorded, recorded: int, known: int, rows: int, *, stands_in: bool) -> None:
        horizon = self._target.meta.horizon
        self._report.dropped += recorded - known + one.skipped
        self._report.cut_short += known - rows
        self._report.beyond_horizon += horizon is not None and rows > horizon
        self._last_dropped += recorded - known
        self._stand_ins += self._stands_in(one) and rows == known
        self._unknown_last += stands_in
        self._emptied += not rows

    def _actions(self, recorded: Array) -> Array:
        """As they are stored: in the units of the environment, within its bounds."""
        if self.clip is None:
            return recorded
        self._most = max(self._most, float(np.nan_to_num(np.abs(recorded)).max(initial=0)))
        if self._target.conversion is not None:
            recorded = self._target.conversion(recorded)
        return self.clip(recorded)

    def _rewards(self, one: Recorded, recorded: Array | None, following: Array) -> tuple[Array, dict[str, Array]]:
        """Rewards [rows] float32, and what relabelling says about success."""
        facts, rows = self._target.facts, len(following)
        if self._settings.relabel and facts is not None and facts.reward_rule is not None:
            rewards = facts.reward_rule(following).astype(np.float32)
            return rewards, {"success": rewards >= facts.reward_range[1]}
        if recorded is None:
            self.rewarded += rows
            return np.full(rows, self._settings.reward, np.float32), {}
        check_rewards(one, self._target, recorded[:rows])
        return recorded[:rows], {}

    def _may_be_scaled(self) -> bool:
        """Taken as raw, the actions fill [-1, 1], and the environment's own bounds are wider."""
        units = None if self._target.facts is None else self._target.facts.units
        if self._settings.actions is not None or units is None or units.raw is None or self._target.exact:
            return False
        wide = np.minimum(np.asarray(units.raw[1]), -np.asarray(units.raw[0])).min() > _WIDE
        return bool(wide and _FILLED <= self._most <= 1)

    def notes(self) -> list[str]:
        """What was done, in sentences; nothing where nothing was done. The report's count of episodes must be known."""
        report, meta, relabel = self._report, self._target.meta, self._settings.relabel
        report.clipped = 0 if self.clip is None else self.clip.entries
        dropped = "rows dropped: the last of an episode, whose next observation was not recorded"
        own = "its own observation stands in, which no value is asked of"
        said: list[tuple[Any, str]] = [
            (self._last_dropped, f"{self._last_dropped} {dropped}"),
            (report.cut_short, f"{report.cut_short} rows dropped at the end of an episode: NaN or infinite numbers"),
            (
                self._unknown_last,
                f"{self._unknown_last} rows that end the task lead to NaN or infinite numbers: {own}",
            ),
            (self._stand_ins, f"{self._stand_ins} rows that end the task have no recorded next observation: {own}"),
            (self._emptied, f"{self._emptied} episodes had no row left and are not in the dataset"),
            (report.clipped, f"{report.clipped} action entries clipped to the bounds: {self.clip}"),
            (self._may_be_scaled(), _SCALED),
            (self._narrowed, f"read as float32: {', '.join(sorted(self._narrowed))}"),
            (self.rewarded, f"{self.rewarded} rewards set to {self._settings.reward}: the recording has none"),
            (relabel, f"rewards relabelled by {meta.env_id} on next observations; those recorded were not used"),
            (relabel, f"{report.successes} of {report.episodes} episodes reach the goal"),
            (
                report.beyond_horizon,
                f"{report.beyond_horizon} episodes are longer than the horizon of {meta.horizon} steps: kept whole",
            ),
        ]
        return [sentence for count, sentence in said if count]


def _finite(where: str, arrays: dict[str, Array | None], rows: int, *, terminal: bool) -> tuple[int, bool]:
    """Rows before those with NaN at the end, and whether a state stood in for one that is NaN."""
    known = {name: np.zeros(rows) if array is None else array[:rows] for name, array in arrays.items()}
    finite, stands_in = finite_rows(known, terminal=terminal)
    if rows and not finite:
        name = next(name for name, array in known.items() if not np.isfinite(array).all())
        row = int(np.argmin(np.isfinite(known[name]).reshape(rows, -1).all(axis=1)))
        what = f"{name.replace('_', ' ')} that are NaN or infinite in float32, first in step {row}"
        raise UnusableEpisodeError(f"{where} has {what}")
    return finite, stands_in
