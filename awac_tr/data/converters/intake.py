"""Importing: recorded episodes of any format become one dataset of ours, and everything done to them is said."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from awac_tr.data.converters.recording import ImportSettings, Recorded, Recording
from awac_tr.data.converters.registry import HAND_DAPG, detect, reader_of
from awac_tr.data.converters.target import Target, check_rewards, check_sizes, find_target, matrix
from awac_tr.data.hand_dapg import ImportReport, import_hand_dapg
from awac_tr.data.writer import DatasetWriter
from awac_tr.errors import DatasetError
from awac_tr.recipes.schema import EnvSection

if TYPE_CHECKING:
    from awac_tr.envs.rollout import Episode

__all__ = ["ImportReport", "ImportSettings", "import_dataset"]

_LOG = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]


def import_dataset(
    source: str | Path,
    out: str | Path,
    *,
    format_name: str = "auto",
    settings: ImportSettings | None = None,
    overwrite: bool = False,
) -> ImportReport:
    """Make a dataset of a recording in another format.

    Args:
        source: file, folder, or Minari id.
        out: dataset file to make; appears when it is whole.
        format_name: ``auto``, or one of :data:`awac_tr.data.converters.registry.IMPORTS`.
        settings: what the user says about the recording.
        overwrite: replace an existing file.

    Raises:
        DatasetError: the recording cannot be read, lacks something that cannot be made up, or ``out`` exists.
        EnvError: the named environment is unknown.
    """
    settings = settings or ImportSettings()
    found = detect(str(source), format_name)
    _refuse_itself(source, out)
    if found == HAND_DAPG:
        return _import_pickle(source, out, settings, overwrite=overwrite)
    with reader_of(found).open_recording(str(source), settings) as recording:
        return _import(recording, Path(out), settings, overwrite=overwrite)


def _refuse_itself(source: str | Path, out: str | Path) -> None:
    if Path(source).exists() and Path(out).exists() and Path(source).samefile(out):
        raise DatasetError(f"{out} is the recording itself", "Choose another --out.")


def _import_pickle(source: str | Path, out: str | Path, settings: ImportSettings, *, overwrite: bool) -> ImportReport:
    if not settings.env_id:
        hint = "Name the environment they are of, for example --env door-binary-v0."
        raise DatasetError("hand_dapg's demonstrations do not say which environment they are of", hint)
    env = EnvSection.of(settings.env_id)
    if env != EnvSection(id=env.id):
        hint = "Name one of the three hand tasks by its id alone."
        raise DatasetError("hand_dapg's rewards are made anew by the rule of a task as it is registered", hint)
    return import_hand_dapg(source, out, env.id, overwrite=overwrite, licence=settings.licence)


@dataclass
class _Counts:
    """What was done to the rows, beside what the report counts."""

    last_dropped: int = 0
    stand_ins: int = 0
    emptied: int = 0
    narrowed: set[str] = field(default_factory=set)
    rewarded: int = 0


def _import(recording: Recording, out: Path, settings: ImportSettings, *, overwrite: bool) -> ImportReport:
    report, counts = ImportReport(out), _Counts()
    target = find_target(recording, settings)
    with DatasetWriter(out, target.meta, overwrite=overwrite) as writer:
        for one in recording.episodes():
            episode = _Shaper(target, settings, report, counts).episode(one)
            if episode is not None:
                writer.append(episode, per_episode=one.per_episode)
        if not writer.episodes:
            raise DatasetError(f"{recording.origin.name} holds no transition that could be stored")
        report.content_hash = writer.finish()
    report.episodes, report.transitions = writer.episodes, writer.transitions
    report.notes += [*target.notes, *_notes(report, counts, target, settings), *recording.notes]
    for note in report.notes:
        _LOG.info("%s", note)
    passport = recording.origin.passport
    if passport is not None and target.exact and passport.content_hash != report.content_hash:
        _LOG.warning("%s was changed since awac-tr exported it: its arrays are others", recording.origin.name)
    return report


@dataclass(frozen=True)
class _Shaper:
    """Turns a recorded episode into one of the format; the counts grow."""

    target: Target
    settings: ImportSettings
    report: ImportReport
    counts: _Counts

    def episode(self, one: Recorded) -> Episode | None:
        """The episode, None where no row of it has a next observation."""
        from awac_tr.envs.rollout import Episode

        observations, recorded = self._matrices(one)
        following, rows = self._following(one, observations)
        self.report.dropped += len(recorded) - rows
        if not rows:
            self.counts.emptied += 1
            return None
        actions = self._clipped(recorded[:rows])
        rewards, success = self._rewards(one, following)
        infos = {name: np.asarray(info)[:rows] for name, info in one.infos.items()} | success
        self._count(rows, infos.get("success"))
        last = np.arange(rows) == rows - 1
        terminal = one.terminated and rows == len(recorded)
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
        for name in ("observations", "actions"):
            kind = getattr(one, name).dtype
            if kind != np.float32:
                self.counts.narrowed.add(f"{name} ({kind})")
        observations = matrix(one.where, "observations", one.observations)
        actions = matrix(one.where, "actions", one.actions)
        if len(observations) != len(actions):
            raise DatasetError(f"{one.where} has {len(observations)} observations for {len(actions)} actions")
        check_sizes(one, self.target, observations, actions)
        return observations, actions

    def _following(self, one: Recorded, observations: Array) -> tuple[Array, int]:
        """Next observations [rows, o] and the number of rows that have one.

        Where the recording ends with the last action, the state after it is unknown. A row that ended the task is
        kept, with its own observation standing in: no value is asked of that state. Any other last row is dropped, as
        ``d4rl.qlearning_dataset`` does.
        """
        if one.next_observations is not None:
            return matrix(one.where, "next_observations", one.next_observations), len(observations)
        if one.terminated and not self.settings.relabel:
            self.counts.stand_ins += 1
            return np.concatenate([observations[1:], observations[-1:]]), len(observations)
        self.counts.last_dropped += 1
        return observations[1:], len(observations) - 1

    def _clipped(self, recorded: Array) -> Array:
        if self.target.exact:
            return recorded
        low, high = (
            np.asarray(bound, np.float32) for bound in (self.target.meta.action_low, self.target.meta.action_high)
        )
        actions = np.clip(recorded, low, high) if low.shape == recorded.shape[1:] else recorded
        self.report.clipped += int(((actions != recorded) & ~np.isnan(recorded)).sum())
        return actions

    def _rewards(self, one: Recorded, following: Array) -> tuple[Array, dict[str, Array]]:
        """Rewards [rows] float32, and what relabelling says about success."""
        facts, rows = self.target.facts, len(following)
        if self.settings.relabel and facts is not None and facts.reward_rule is not None:
            rewards = facts.reward_rule(following).astype(np.float32)
            return rewards, {"success": rewards >= facts.reward_range[1]}
        if one.rewards is None:
            if self.settings.reward is None:
                hint = "Give every row one with --reward 0 (enough for cloning), or --relabel by the rule of --env."
                raise DatasetError(f"{one.where} has no rewards", hint)
            self.counts.rewarded += rows
            return np.full(rows, self.settings.reward, np.float32), {}
        if one.rewards.size != len(one.actions) or one.rewards.dtype.kind not in "fiub":
            shape = f"shape {one.rewards.shape} and type {one.rewards.dtype}"
            raise DatasetError(f"{one.where} has rewards of {shape} for {len(one.actions)} actions")
        rewards = one.rewards.reshape(-1)[:rows].astype(np.float32)
        check_rewards(one, self.target, rewards)
        return rewards, {}

    def _count(self, rows: int, success: Array | None) -> None:
        self.report.successes += bool(success is not None and success.any())
        horizon = self.target.meta.horizon
        self.report.beyond_horizon += horizon is not None and rows > horizon


def _notes(report: ImportReport, counts: _Counts, target: Target, settings: ImportSettings) -> list[str]:
    """What was done, in sentences; nothing where nothing was done."""
    own = "its own observation stands in, which no value is asked of"
    said = {
        f"{counts.last_dropped} rows dropped: the last of an episode, whose next observation was not recorded": (
            counts.last_dropped
        ),
        f"{counts.stand_ins} rows that end the task have no recorded next observation: {own}": counts.stand_ins,
        f"{counts.emptied} episodes had no row left and are not in the dataset": counts.emptied,
        f"{report.clipped} action entries clipped to the bounds": report.clipped,
        f"read as float32: {', '.join(sorted(counts.narrowed))}": len(counts.narrowed),
        f"{counts.rewarded} rewards set to {settings.reward}: the recording has none": counts.rewarded,
        f"rewards relabelled by {target.meta.env_id} on next observations; those recorded were not used": (
            settings.relabel
        ),
        f"{report.beyond_horizon} episodes are longer than the horizon of {target.meta.horizon} steps: kept whole": (
            report.beyond_horizon
        ),
    }
    return [sentence for sentence, count in said.items() if count]
