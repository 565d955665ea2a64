"""Importing hand_dapg's demonstrations: pickled lists of human episodes of the Adroit hand.

Every episode is a dict with ``observations`` [T, o] and ``actions`` [T, a]. What we make of it:

- *Next observations.* The file has T observations for T actions, so the state after the last action is unknown. The
  next observation of row t is the observation of row t + 1, and the last row is dropped.
- *Rewards* are the environment's own rule applied to the next observation: the reward of row t is that of the state its
  action led to, as ``env.step`` returns it. Those in the file belong to other rewards and are not used.
- *Actions* are clipped to the bounds, as the simulator does before it executes them.
- *Ends.* Nothing terminates in these tasks: the last row is a timeout. Episodes longer than the horizon are kept.
- *Initial states* (``init_state_dict``) go to ``episodes/init_...``; the recorded observations are the truth, since in
  the published file the hand's initial position is all zero while the first observation has it elsewhere.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from awac_tr.data.convert.left_out import LEFT_OUT, LeftOut
from awac_tr.data.convert.unpickle import PickledArray, load_pickle
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.action_reader import OutOfBounds, refuse_clipped
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.data.validation.fix_episode import finite_rows
from awac_tr.envs.action_units import Clipper
from awac_tr.errors import DatasetError

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.envs.episode import Episode

__all__ = ["ImportReport", "import_hand_dapg"]

_LOG = logging.getLogger(__name__)
_SHAPE = "Expected hand_dapg's layout: a list of dicts with observations [T, o] and actions [T, a]."

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
        dropped: rows left out (the last of every episode).
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


@dataclass(frozen=True)
class _Target:
    """The environment episodes are imported for."""

    facts: EnvInfo
    low: Array
    high: Array

    @classmethod
    def of(cls, env_id: str) -> _Target:
        from awac_tr.envs.env_info import env_info
        from awac_tr.envs.make import make_env

        facts = env_info(env_id)
        if facts.reward_rule is None:
            raise DatasetError(
                f"{env_id} has no reward rule over observations, so recorded episodes cannot be given rewards",
                "Import for pen-binary-v0, door-binary-v0 or relocate-binary-v0.",
            )
        env = make_env(env_id)
        try:
            space: Any = env.action_space
            return cls(facts, np.asarray(space.low, np.float32), np.asarray(space.high, np.float32))
        finally:
            env.close()


def import_hand_dapg(
    source: str | Path,
    out: str | Path,
    env_id: str,
    *,
    overwrite: bool = False,
    licence: str = "",
    out_of_bounds: OutOfBounds = None,
) -> ImportReport:
    """Turn a pickle of hand_dapg demonstrations into a dataset file.

    Args:
        source: the pickle; read without running anything of it.
        out: dataset file to make.
        env_id: environment whose reward rule, bounds and sizes apply, for example ``door-binary-v0``.
        overwrite: replace an existing file.
        licence: licence of the demonstrations, noted in the file.
        out_of_bounds: as of :class:`awac_tr.data.convert.recording.ImportSettings`.

    Raises:
        DatasetError: the pickle is refused or of another layout, sizes are another environment's, or ``out`` exists.
        EnvError: the environment is unknown.
    """
    source, report = Path(source), ImportReport(Path(out))
    target = _Target.of(env_id)
    writer = DatasetWriter(out, _meta(source, target, licence), overwrite=overwrite)
    demonstrations = _demonstrations(source)
    clip, left_out = Clipper(target.low, target.high), LeftOut(str(source))
    with writer:
        for number, demonstration in enumerate(demonstrations):
            where = f"{source}, episode {number}"
            try:
                episode = _episode(where, demonstration, target, report, clip)
                writer.append(episode, per_episode=_initial_state(where, demonstration))
            except UnusableEpisodeError as error:
                left_out.add(error)
        said = left_out.sentence(writer.episodes)
        report.clipped = clip.entries
        refuse_clipped(str(source), clip, out_of_bounds)
        report.episodes, report.transitions = writer.episodes, writer.transitions
        report.notes += [*([said] if said else []), *_notes(report, target), *_whole(demonstrations)]
        report.content_hash = writer.finish({"import_notes": report.notes} | ({LEFT_OUT: said} if said else {}))
    for note in report.notes:
        _LOG.info("%s", note)
    return report


def _meta(source: Path, target: _Target, licence: str) -> DatasetMeta:
    return DatasetMeta(
        env_id=target.facts.id,
        source="import",
        action_low=target.low,
        action_high=target.high,
        horizon=target.facts.horizon,
        policy="human teleoperation",
        licence=licence,
        description="Demonstrations in hand_dapg's format; rewards by the environment's rule on next observations.",
        extra={"imported_from": source.name, "format": "hand_dapg"},
    )


def _demonstrations(source: Path) -> list[dict[str, Any]]:
    """The episodes of the file, each checked to have what is needed."""
    loaded = load_pickle(source)
    if not isinstance(loaded, list) or not loaded:
        raise DatasetError(f"{source} holds {type(loaded).__name__}, not a list of episodes", _SHAPE)
    for number, demonstration in enumerate(loaded):
        where = f"{source}, episode {number}"
        if not isinstance(demonstration, dict):
            raise DatasetError(f"{where} is {type(demonstration).__name__}, not a dict", _SHAPE)
    return loaded


def _matrix(where: str, demonstration: dict[str, Any], name: str) -> Array:
    found = demonstration.get(name)
    if not isinstance(found, PickledArray) or found.array.ndim != 2:  # noqa: PLR2004  (rows and columns)
        raise UnusableEpisodeError(f"{where} has no array {name} with rows and columns", _SHAPE)
    return found.array


def _episode(
    where: str, demonstration: dict[str, Any], target: _Target, report: ImportReport, clip: Clipper
) -> Episode:
    """One demonstration as an episode of T - 1 rows; the report's counts grow."""
    from awac_tr.envs.episode import Episode

    states = _matrix(where, demonstration, "observations").astype(np.float32)
    recorded = _matrix(where, demonstration, "actions").astype(np.float32)
    _refuse_other_sizes(where, states, recorded, target)
    known = len(recorded) - 1
    rows = _finite(where, states, recorded, known)
    states = states[: rows + 1]
    actions = clip(recorded[:rows])
    rewards = target.facts.reward_rule(states[1:]) if target.facts.reward_rule is not None else np.zeros(rows)
    success = rewards >= target.facts.reward_range[1]
    report.dropped += 1
    report.cut_short += known - rows
    report.successes += bool(success.any())
    report.beyond_horizon += rows > target.facts.horizon
    return Episode(
        observations=states[:-1],
        actions=actions,
        rewards=rewards.astype(np.float32),
        next_observations=states[1:],
        terminals=np.zeros(rows, dtype=bool),
        timeouts=np.arange(rows) == rows - 1,
        infos={"success": success},
        seed=-1,
    )


def _finite(where: str, states: Array, actions: Array, rows: int) -> int:
    """Rows before those with NaN or infinite numbers at the end of a demonstration."""
    arrays = {"observations": states[:-1], "actions": actions[:rows], "next_observations": states[1:]}
    finite, _ = finite_rows(arrays | {"rewards": np.zeros(rows)}, terminal=False)
    if not finite:
        raise UnusableEpisodeError(f"{where} has NaN or infinite numbers before its last step")
    return finite


def _refuse_other_sizes(where: str, states: Array, actions: Array, target: _Target) -> None:
    facts = target.facts
    if len(states) != len(actions) or len(actions) < 2:  # noqa: PLR2004  (a transition needs two states)
        raise UnusableEpisodeError(f"{where} has {len(states)} observations for {len(actions)} actions", _SHAPE)
    if (states.shape[1], actions.shape[1]) != (facts.observation_size, facts.action_size):
        raise DatasetError(
            f"{where} has observations of {states.shape[1]} and actions of {actions.shape[1]} numbers, "
            f"{facts.id} has {facts.observation_size} and {facts.action_size}",
            "Name the environment the demonstrations are of with --env.",
        )


def _initial_state(where: str, demonstration: dict[str, Any]) -> dict[str, Array]:
    """``init_state_dict`` as rows of ``episodes/init_...``; nothing where there is none."""
    state = demonstration.get("init_state_dict", {})
    if not isinstance(state, dict):
        raise UnusableEpisodeError(f"{where}: init_state_dict is {type(state).__name__}, not a dict", _SHAPE)
    return {f"init_{name}": entry.array for name, entry in state.items() if isinstance(entry, PickledArray)}


def _whole(demonstrations: list[dict[str, Any]]) -> list[str]:
    """What to say of actions that are whole numbers."""
    arrays = [one.array for one in (demo.get("actions") for demo in demonstrations) if isinstance(one, PickledArray)]
    kinds = sorted({str(array.dtype) for array in arrays if array.dtype.kind in "iub"})
    return [f"actions are whole numbers ({kind}): fractions were lost where there were any" for kind in kinds]


def _notes(report: ImportReport, target: _Target) -> list[str]:
    facts = target.facts
    notes = [
        f"{report.dropped} rows dropped: the last of every episode, whose next observation was not recorded",
        f"{report.clipped} action entries clipped to the bounds, as the simulator does",
        f"rewards relabelled by {facts.id} on next observations; those in the file were not used",
        f"{report.successes} of {report.episodes} episodes reach the goal",
    ]
    if report.cut_short:
        notes.append(f"{report.cut_short} rows dropped at the end of an episode: NaN or infinite numbers")
    if report.beyond_horizon:
        notes.append(
            f"{report.beyond_horizon} episodes are longer than the horizon of {facts.horizon} steps: kept whole"
        )
    return notes
