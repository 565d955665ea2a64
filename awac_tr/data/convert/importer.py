"""Importing: recorded episodes of any format become one dataset of ours, and everything done to them is said."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.data.convert.formats import FORMATS, takers
from awac_tr.data.convert.hand_dapg import ImportReport, import_hand_dapg
from awac_tr.data.convert.left_out import LEFT_OUT, LeftOut
from awac_tr.data.convert.recording import ImportSettings, Recorded, Recording, no_effect
from awac_tr.data.convert.registry import HAND_DAPG, detect, reader_of
from awac_tr.data.convert.target import Target, check_rewards, check_sizes, find_target, matrix
from awac_tr.data.storage.action_reader import refuse_clipped
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.data.validation.fix_episode import finite_rows
from awac_tr.errors import DatasetError
from awac_tr.recipes.schema import EnvSection

if TYPE_CHECKING:
    from awac_tr.envs.action_units import Clipper
    from awac_tr.envs.episode import Episode

__all__ = ["ImportReport", "ImportSettings", "import_dataset"]

_LOG = logging.getLogger(__name__)

_WIDE: Final = 1.25
_FILLED: Final = 0.95

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
        format_name: ``auto``, or one of :data:`awac_tr.data.convert.formats.FORMATS`.
        settings: what the user says about the recording.
        overwrite: replace an existing file.

    Raises:
        DatasetError: the recording cannot be read, lacks something that cannot be made up, or ``out`` exists.
        EnvError: the named environment is unknown.
    """
    settings = settings or ImportSettings()
    found = detect(str(source), format_name)
    _refuse_idle(found, settings)
    _refuse_itself(source, out)
    if found == HAND_DAPG:
        return _import_pickle(source, out, settings, overwrite=overwrite)
    with reader_of(found).open_recording(str(source), settings) as recording:
        return _import(recording, Path(out), settings, overwrite=overwrite)


def _refuse_idle(format_name: str, settings: ImportSettings) -> None:
    """Refuse what the user says of a recording that an import of this format does not look at."""
    taken = {*FORMATS[format_name].options, "env_id", "licence"}
    for one in fields(settings):
        if getattr(settings, one.name) != one.default and one.name not in taken:
            only = " and ".join(takers(one.name))
            raise no_effect(one.name, f"on the format {format_name}, only on {only}")


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
    how: dict[str, Any] = {"licence": settings.licence, "out_of_bounds": settings.out_of_bounds}
    return import_hand_dapg(source, out, env.id, overwrite=overwrite, **how)


@dataclass
class _Counts:
    """What was done to the rows, beside what the report counts."""

    last_dropped: int = 0
    stand_ins: int = 0
    unknown_last: int = 0
    emptied: int = 0
    narrowed: set[str] = field(default_factory=set)
    rewarded: int = 0
    clip: Clipper | None = None
    most: float = 0.0


def _import(recording: Recording, out: Path, settings: ImportSettings, *, overwrite: bool) -> ImportReport:
    from awac_tr.envs.action_units import Clipper

    target = find_target(recording, settings)
    report, counts, left_out = ImportReport(out), _Counts(), LeftOut(recording.origin.name)
    if not target.exact:
        counts.clip = Clipper(target.meta.action_low, target.meta.action_high)
    shaper = _Shaper(target, settings, report, counts)
    with DatasetWriter(out, target.meta, overwrite=overwrite) as writer:
        for one in recording.episodes():
            try:
                _store(one, shaper, writer)
            except UnusableEpisodeError as error:
                left_out.add(error)
        said = left_out.sentence(writer.episodes)
        if not writer.episodes:
            raise DatasetError(f"{recording.origin.name} holds no transition that could be stored")
        if settings.reward is not None and not counts.rewarded:
            raise no_effect("reward", "here: every row has one, or gets one by --relabel")
        if counts.clip is not None:
            report.clipped = counts.clip.entries
            refuse_clipped(recording.origin.name, counts.clip, settings.out_of_bounds)
        report.notes += [*([said] if said else []), *target.notes, *_notes(report, counts, target, settings)]
        report.notes += recording.notes
        extra: dict[str, Any] = {} if target.exact else {"import_notes": report.notes}
        report.content_hash = writer.finish(extra | ({LEFT_OUT: said} if said else {}))
    report.episodes, report.transitions = writer.episodes, writer.transitions
    for note in report.notes:
        _LOG.info("%s", note)
    export_card = recording.origin.export_card
    if export_card is not None and target.exact and export_card.content_hash != report.content_hash:
        _LOG.warning("%s was changed since awac-tr exported it: its arrays are others", recording.origin.name)
    return report


def _store(one: Recorded | UnusableEpisodeError, shaper: _Shaper, writer: DatasetWriter) -> None:
    if isinstance(one, UnusableEpisodeError):
        raise one
    episode = shaper.episode(one)
    if episode is not None:
        writer.append(episode, per_episode=one.per_episode)


@dataclass(frozen=True)
class _Shaper:
    """Turns a recorded episode into one of the format; the counts grow."""

    target: Target
    settings: ImportSettings
    report: ImportReport
    counts: _Counts

    def episode(self, one: Recorded) -> Episode | None:
        """The episode, None where no row of it has a next observation.

        Raises:
            UnusableEpisodeError: its arrays do not fit each other, or hold NaN or infinite numbers before its end.
        """
        from awac_tr.envs.episode import Episode

        observations, recorded = self._matrices(one)
        rewards, following = self._recorded_rewards(one), self._following(one, observations)
        known, terminal = len(following), one.terminated and len(following) == len(recorded)
        rows, stands_in = self._finite(one, observations, recorded, rewards, following, terminal=terminal)
        self._count_rows(one, len(recorded), known, rows, stands_in=stands_in)
        if not rows:
            return None
        following, terminal = following[:rows], terminal and rows == known
        actions = self._actions(recorded[:rows])
        rewards, success = self._rewards(one, rewards, following)
        infos = {name: np.asarray(info)[:rows] for name, info in one.infos.items()} | success
        self._count(rows, infos.get("success"))
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
        check_sizes(one, self.target, observations, actions)
        for name in ("observations", "actions"):
            kind = getattr(one, name).dtype
            if kind != np.float32:
                self.counts.narrowed.add(f"{name} ({kind})")
        return observations, actions

    def _recorded_rewards(self, one: Recorded) -> Array | None:
        """Rewards [T] float32; None where they are made, or relabelled."""
        if self.settings.relabel:
            return None
        if one.rewards is None:
            if self.settings.reward is None:
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
        return one.next_observations is None and one.terminated and not self.settings.relabel

    def _finite(
        self, one: Recorded, states: Array, actions: Array, rewards: Array | None, following: Array, *, terminal: bool
    ) -> tuple[int, bool]:
        """Rows before those with NaN at the end, and whether a state stood in for one that is NaN."""
        rows = len(following)
        arrays = {"observations": states, "actions": actions, "rewards": rewards, "next_observations": following}
        known = {name: np.zeros(rows) if array is None else array[:rows] for name, array in arrays.items()}
        finite, stands_in = finite_rows(known, terminal=terminal)
        if rows and not finite:
            name = next(name for name, array in known.items() if not np.isfinite(array).all())
            row = int(np.argmin(np.isfinite(known[name]).reshape(rows, -1).all(axis=1)))
            what = f"{name.replace('_', ' ')} that are NaN or infinite in float32, first in step {row}"
            raise UnusableEpisodeError(f"{one.where} has {what}")
        return finite, stands_in

    def _count_rows(self, one: Recorded, recorded: int, known: int, rows: int, *, stands_in: bool) -> None:
        self.report.dropped += recorded - known + one.skipped
        self.counts.last_dropped += recorded - known
        self.report.cut_short += known - rows
        self.counts.stand_ins += self._stands_in(one) and rows == known
        self.counts.unknown_last += stands_in
        self.counts.emptied += not rows

    def _actions(self, recorded: Array) -> Array:
        """As they are stored: in the units of the environment, within its bounds."""
        if self.counts.clip is None:
            return recorded
        self.counts.most = max(self.counts.most, float(np.nan_to_num(np.abs(recorded)).max(initial=0)))
        if self.target.conversion is not None:
            recorded = self.target.conversion(recorded)
        return self.counts.clip(recorded)

    def _rewards(self, one: Recorded, recorded: Array | None, following: Array) -> tuple[Array, dict[str, Array]]:
        """Rewards [rows] float32, and what relabelling says about success."""
        facts, rows = self.target.facts, len(following)
        if self.settings.relabel and facts is not None and facts.reward_rule is not None:
            rewards = facts.reward_rule(following).astype(np.float32)
            return rewards, {"success": rewards >= facts.reward_range[1]}
        if recorded is None:
            self.counts.rewarded += rows
            return np.full(rows, self.settings.reward, np.float32), {}
        check_rewards(one, self.target, recorded[:rows])
        return recorded[:rows], {}

    def _count(self, rows: int, success: Array | None) -> None:
        self.report.successes += bool(success is not None and success.any())
        horizon = self.target.meta.horizon
        self.report.beyond_horizon += horizon is not None and rows > horizon


_SCALED: Final = "no action goes beyond -1 and 1, and the bounds are wider: if they are scaled, say --actions scaled"


def _may_be_scaled(counts: _Counts, target: Target, settings: ImportSettings) -> bool:
    """Taken as raw, the actions fill [-1, 1], and the environment's own bounds are wider."""
    units = None if target.facts is None else target.facts.units
    if settings.actions is not None or units is None or units.raw is None or target.exact:
        return False
    wide = np.minimum(np.asarray(units.raw[1]), -np.asarray(units.raw[0])).min() > _WIDE
    return bool(wide and _FILLED <= counts.most <= 1)


def _notes(report: ImportReport, counts: _Counts, target: Target, settings: ImportSettings) -> list[str]:
    """What was done, in sentences; nothing where nothing was done."""
    own = "its own observation stands in, which no value is asked of"
    said = {
        f"{counts.last_dropped} rows dropped: the last of an episode, whose next observation was not recorded": (
            counts.last_dropped
        ),
        f"{report.cut_short} rows dropped at the end of an episode: NaN or infinite numbers": report.cut_short,
        f"{counts.unknown_last} rows that end the task lead to NaN or infinite numbers: {own}": counts.unknown_last,
        f"{counts.stand_ins} rows that end the task have no recorded next observation: {own}": counts.stand_ins,
        f"{counts.emptied} episodes had no row left and are not in the dataset": counts.emptied,
        f"{report.clipped} action entries clipped to the bounds: {counts.clip}": report.clipped,
        _SCALED: _may_be_scaled(counts, target, settings),
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
