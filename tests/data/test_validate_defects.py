"""Files broken on purpose, one defect each, made from really collected episodes: found, and mended where possible."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.format.hashing import content_hash, describe
from awac_tr.data.format.spec import ARRAYS
from awac_tr.data.storage import reader
from awac_tr.data.storage.hdf5_write import write_attributes
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.validation.fix import fix
from awac_tr.data.validation.fix_plan import RefusalError
from awac_tr.data.validation.validate import validate

Arrays = dict[str, Any]
STEPS = 60
NEXT = "next_observations"


def read(path: Path) -> Arrays:
    with open_dataset(path) as dataset:
        return dataset.arrays(dataset.array_names)


def store(path: Path, arrays: Arrays, *, seal: bool = True, foreign: bool = False, **attributes: Any) -> Path:
    """Put arrays into a copy of a sound file as they are, with hashes and counts that fit them."""
    with h5py.File(path, "r+") as file:
        for name in ("observations", "actions", "rewards", "next_observations", *ARRAYS, *arrays):
            if name in file:
                del file[name]
        for name, rows in arrays.items():
            file[name] = rows
        if foreign:
            for name in list(file.attrs):
                del file.attrs[name]
        elif seal:
            _seal(file, arrays)
        write_attributes(file, attributes)
    return path


def _seal(file: h5py.File, arrays: Arrays) -> None:
    lines = {}
    for name, rows in arrays.items():
        digest = hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
        write_attributes(file[name], {"sha256": digest})
        lines[name] = describe(name, rows.dtype.str, rows.shape, digest)
    ends = arrays["terminals"].astype(bool) | arrays["timeouts"].astype(bool)
    episodes = int(ends.sum()) + int(len(ends) > 0 and not ends[-1])
    counts = {"n_transitions": len(arrays["observations"]), "n_episodes": episodes}
    if len(arrays["episodes/seeds"]) != episodes:
        del file["episodes/seeds"], lines["episodes/seeds"]
    write_attributes(file, {**counts, "content_hash": content_hash(lines)})


def ends_of(arrays: Arrays) -> np.ndarray[Any, Any]:
    return np.flatnonzero(arrays["terminals"] | arrays["timeouts"])


def at_ends(arrays: Arrays, name: str) -> Arrays:
    """Something done to the borders of episodes; the last row of the file stays an end unless flags move early."""
    ends, last = ends_of(arrays), len(arrays["rewards"]) - 1
    inner = ends[:-1]
    following = arrays[NEXT].copy()
    if name.startswith("leak"):
        following[inner] = arrays["observations"][inner + 1]
    changed = arrays | {NEXT: following}
    for flag in ("terminals", "timeouts"):
        own, rows = ends[arrays[flag][ends]], np.zeros(last + 1, bool)
        places = {
            "late": np.minimum(own + 1, last),
            "early": own - 1,
            "doubled": np.concatenate([own, np.minimum(own + 1, last)]),
            "leak": own,
        }
        rows[places.get(name, np.setdiff1d(own, ends[3]))] = True
        changed[flag] = rows
    return changed


def change(arrays: Arrays, name: str, rows: Any, value: Any) -> Arrays:
    changed = arrays[name].copy()
    changed[rows] = value(changed[rows]) if callable(value) else value
    return arrays | {name: changed}


def cast(arrays: Arrays, name: str, dtype: Any) -> Arrays:
    return arrays | {name: arrays[name].astype(dtype)}


def swapped(arrays: Arrays) -> Arrays:
    return arrays | {"terminals": arrays["timeouts"], "timeouts": arrays["terminals"]}


def shifted(arrays: Arrays, step: int) -> Arrays:
    return arrays | {"rewards": np.roll(arrays["rewards"], step)}


def one_more(arrays: Arrays, name: str) -> Arrays:
    """T + 1 rows an episode."""
    pieces = np.split(arrays[name], ends_of(arrays)[:-1] + 1)
    extra = np.split(arrays["next_observations"], ends_of(arrays)[:-1] + 1) if name == "observations" else pieces
    return arrays | {name: np.concatenate([np.concatenate([a, b[-1:]]) for a, b in zip(pieces, extra, strict=True)])}


def twice(arrays: Arrays, episode: int) -> Arrays:
    """An episode repeated at the end of the file."""
    stop = int(ends_of(arrays)[episode]) + 1
    rows = np.r_[0 : len(arrays["rewards"]), stop - STEPS : stop]
    changed = {name: value[rows] for name, value in arrays.items() if not name.startswith("episodes/")}
    return changed | {"episodes/seeds": np.append(arrays["episodes/seeds"], 99)}


def with_resets(arrays: Arrays) -> Arrays:
    """Gymnasium's next-step autoreset, written down as steps (cleanrl#499): from the last state to the next first."""
    inner = ends_of(arrays)[:-1]
    rows = np.sort(np.r_[: len(arrays["rewards"]), inner])
    resets = np.flatnonzero(np.diff(rows) == 0) + 1
    once = {name: value for name, value in arrays.items() if name.startswith("episodes/")}
    changed = {name: value[rows] for name, value in arrays.items() if name not in once}
    changed["observations"][resets], changed[NEXT][resets] = arrays[NEXT][inner], arrays["observations"][inner + 1]
    for name in ("rewards", "terminals", "timeouts"):
        changed[name][resets] = 0
    return changed | once


def stuck(arrays: Arrays) -> Arrays:
    return arrays | {"next_observations": arrays["observations"]}


def rounded(arrays: Arrays) -> Arrays:
    return change(arrays, "next_observations", slice(3, 20), lambda rows: rows * np.float32(1 + 3e-7))


def one_long(arrays: Arrays) -> Arrays:
    """The first two episodes as one, states running on."""
    first = int(ends_of(arrays)[0])
    joined = change(arrays, "timeouts", first, False)
    step = arrays["next_observations"][first] - arrays["observations"][first + 1]
    ends = slice(first + 1, 2 * STEPS)
    moved = {name: change(joined, name, ends, lambda rows: rows + step)[name] for name in ("observations", NEXT)}
    moved["observations"][first + 1] = moved[NEXT][first] = joined[NEXT][first]
    door = moved[NEXT][:, 28] > 0.3
    return joined | moved | {"rewards": door.astype(np.float32) - 1, "infos/success": door}


@dataclass(frozen=True)
class Defect:
    """A way to break a file.

    Args:
        code: what must be found.
        spoil: arrays -> broken arrays.
        file: the sound file it is done to.
        beside: codes that may come with it.
        mended: ``--fix`` makes a sound file of it.
        store: how it is stored.
    """

    code: str
    spoil: Callable[[Arrays], Arrays]
    file: str = "door"
    beside: frozenset[str] = frozenset()
    mended: bool = True
    store: Mapping[str, Any] | None = None


def d(
    code: str, spoil: Callable[[Arrays], Arrays], *beside: str, file: str = "door", mended: bool = True, **how: Any
) -> Defect:
    return Defect(code, spoil, file, frozenset(beside), mended, how)


def same(arrays: Arrays) -> Arrays:
    return arrays


DEFECTS = {
    "timeouts stored as terminals": d("false-terminal", swapped),
    "time limits as terminals, by the rule of falling": d("false-terminal", swapped, file="short"),
    "terminals stored as timeouts": d("missed-terminal", swapped, file="hopper"),
    "both flags at the ends": d("both-ends", lambda a: a | {"terminals": a["timeouts"]}, "false-terminal"),
    "border a row late": d("border-late", partial(at_ends, name="late"), "length"),
    "border a row early": d("border-early", partial(at_ends, name="early"), "open-end"),
    "border marked twice": d("border-doubled", partial(at_ends, name="doubled"), "one-step", "count"),
    "border a row late, of falls": d("border-late", partial(at_ends, name="late"), file="hopper"),
    "border a row early, of falls": d("border-early", partial(at_ends, name="early"), "open-end", file="hopper"),
    "falls marked twice": d("border-doubled", partial(at_ends, name="doubled"), file="hopper"),
    "a fall not marked": d("gap", partial(at_ends, name="unmarked"), file="hopper"),
    "falls that hold the state after the reset": d(
        "leak-terminal", partial(at_ends, name="leak"), file="hopper", mended=False
    ),
    "border not marked": d("gap", partial(at_ends, name="unmarked"), "length"),
    "next observation from after the reset": d("leak", partial(at_ends, name="leak")),
    "and the border not marked": d(
        "unmarked-border",
        partial(at_ends, name="leak-unmarked"),
        *("leak", "length", "reward-rule", "success"),
        mended=False,
    ),
    "resets as steps": d("autoreset", with_resets, "length", "reward-rule", "success"),
    "resets as steps, of falls": d("autoreset", with_resets, file="hopper"),
    "resets as steps, few": d("autoreset", with_resets, "length", file="pendulum"),
    "last episode without end": d("open-end", lambda a: change(a, "timeouts", -1, False)),
    "flags inverted": d(
        "flags-inverted", lambda a: a | {"timeouts": ~a["timeouts"]}, "open-end", "one-step", mended=False
    ),
    "every row an end": d("border-doubled", lambda a: change(a, "timeouts", slice(0, 200), True), "count"),
    "beyond the horizon": d("length", one_long, "action-bounds", mended=False),
    "observations one more an episode": d("extra-rows", partial(one_more, name="observations")),
    "rewards one more an episode": d("extra-rows", partial(one_more, name="rewards"), mended=False),
    "rewards one more in all": d(
        "rows", lambda a: a | {"rewards": np.append(a["rewards"], np.float32(0))}, mended=False
    ),
    "reward of the row before": d("reward-shift", partial(shifted, step=1)),
    "reward of the row after": d("reward-shift", partial(shifted, step=-1)),
    "dense reward of the row before": d("reward-shift", partial(shifted, step=1), file="cheetah", mended=False),
    "dense reward of the row after": d("reward-shift", partial(shifted, step=-1), file="cheetah", mended=False),
    "rewards 10 and -0.1": d(
        "reward-range", lambda a: a | {"rewards": np.where(a["rewards"] == 0, 10, -0.1).astype(np.float32)}
    ),
    "rewards 1 and 0": d("reward-range", lambda a: a | {"rewards": a["rewards"] + 1}),
    "rewards against the rule": d("reward-rule", lambda a: change(a, "rewards", slice(5, 9), 0)),
    "success against the rule": d("success", lambda a: change(a, "infos/success", slice(5, 9), True)),
    "actions out of bounds": d("action-bounds", lambda a: change(a, "actions", slice(5, 9), lambda rows: rows * 9)),
    "actions in raw units": d(
        "action-scale",
        lambda a: change(a, "actions", slice(None), lambda rows: rows * 50),
        "action-bounds",
        mended=False,
    ),
    "actions in other units": d(
        "action-scale", lambda a: change(a, "actions", slice(None), lambda rows: rows * 0.01), mended=False
    ),
    "actions of a fifth of their size": d(
        "action-range", lambda a: change(a, "actions", slice(None), lambda rows: rows * 0.2), mended=False
    ),
    "actions never written": d("action-constant", lambda a: change(a, "actions", slice(None), 0), mended=False),
    "a dead joint": d("action-constant", lambda a: change(a, "actions", (slice(None), 7), 0.25), mended=False),
    "actions clipped from raw units": d(
        "action-saturated", lambda a: change(a, "actions", slice(None), np.sign), mended=False
    ),
    "NaN in a state": d("not-finite", lambda a: change(a, "observations", (slice(70, 72), 3), np.nan)),
    "infinite reward": d("not-finite", lambda a: change(a, "rewards", 70, np.inf), "reward-range", file="cheetah"),
    "denormal actions": d("denormal", lambda a: change(a, "actions", (slice(0, 99), 2), 1e-40)),
    "float64 rewards": d("dtype", partial(cast, name="rewards", dtype=np.float64)),
    "float64 states": d("dtype", partial(cast, name="observations", dtype=np.float64)),
    "uint8 flags": d("dtype", partial(cast, name="timeouts", dtype=np.uint8)),
    "integer actions": d(
        "dtype", partial(cast, name="actions", dtype=np.int32), "action-constant", "action-saturated", mended=False
    ),
    "rewards of 1e31": d(
        "huge", lambda a: change(a, "rewards", slice(None), lambda rows: rows * 1e30), file="cheetah", mended=False
    ),
    "a state of 1e9": d(
        "huge", lambda a: change(change(a, "observations", (7, 3), 1e9), NEXT, (6, 3), 1e9), mended=False
    ),
    "NaN as flags": d(
        "flag-values",
        lambda a: a | {"terminals": np.where(a["terminals"], 1, np.nan)},
        mended=False,
        foreign=True,
        file="hopper",
    ),
    "flags of 255": d(
        "flag-values", lambda a: a | {"timeouts": a["timeouts"] * np.uint8(255)}, mended=False, foreign=True
    ),
    "an episode twice": d("duplicate", partial(twice, episode=2)),
    "states outside their space": d(
        "observation-space",
        lambda a: change(change(a, "observations", (7, 0), 1.5), NEXT, (6, 0), 1.5),
        file="pendulum",
        mended=False,
    ),
    "next states are the states": d("next-is-current", stuck, "reward-rule", "reward-shift", "success"),
    "a damaged next state": d("gap", lambda a: change(a, NEXT, (7, 2), 3.0), mended=False),
    "next states rounded": d("rounding", rounded),
    "no rows": d("empty", lambda a: {name: rows[:0] for name, rows in a.items()}, mended=False),
    "changed after it was written": d("hash", lambda a: change(a, "observations", (0, 2), 0.125), seal=False),
    "counts edited": d("count", same, "hash", n_episodes=4),
    "bounds of another robot": d("bounds-env", same, mended=False, action_high=np.full(28, 2.0)),
    "never finished": d("incomplete", same, mended=False, complete=False),
    "widths of another environment": d("size", same, mended=False, env_id="pen-binary-v0", env_kwargs="{}"),
    "a matrix too flat": d("shape", lambda a: a | {"rewards": a["rewards"][:, None]}, mended=False),
    "states of two widths": d("width", lambda a: a | {NEXT: a[NEXT][:, 1:]}, mended=False),
    "no timeouts": d("missing-array", same, mended=False, foreign=True, without="timeouts"),
    "bounds of another width": d("bounds", same, "action-bounds", mended=False, action_low=[-1.0], action_high=[1.0]),
}


@pytest.fixture
def broken(request: pytest.FixtureRequest, sound: Mapping[str, Path], tmp_path: Path) -> tuple[Defect, Path]:
    defect: Defect = DEFECTS[request.param]
    path = tmp_path / "broken.hdf5"
    shutil.copy(sound[defect.file], path)
    how = dict(defect.store or {})
    without = how.pop("without", None)
    arrays = defect.spoil(read(path))
    if without:
        with h5py.File(path, "r+") as file:
            del file[without], arrays[without]
    return defect, store(path, arrays, **how)


@pytest.mark.parametrize("block_rows", [37, 1 << 15])
@pytest.mark.parametrize("name", ["door", "hopper", "short", "cheetah", "pendulum"])
def test_sound_files_are_called_sound(
    sound: Mapping[str, Path], name: str, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_ROWS", block_rows)
    assert {finding.code for finding in validate(sound[name]) if finding.severity != "note"} == set()


@pytest.mark.parametrize("broken", DEFECTS, indirect=True)
def test_each_defect_is_found_and_nothing_else(broken: tuple[Defect, Path]) -> None:
    defect, path = broken
    findings = validate(path)
    assert defect.code in {finding.code for finding in findings}
    loud = {finding.code for finding in findings if finding.severity != "note"}
    assert loud <= {defect.code} | defect.beside
    found = next(finding for finding in findings if finding.code == defect.code)
    assert found.harm
    assert found.remedy


@pytest.mark.parametrize("broken", DEFECTS, indirect=True)
def test_what_can_be_mended_is_and_the_rest_refused_by_name(broken: tuple[Defect, Path], tmp_path: Path) -> None:
    defect, path = broken
    before = path.read_bytes()
    out = tmp_path / "mended.hdf5"
    if defect.mended:
        report = fix(path, out)
        assert report.path == out
        assert report.changes
        assert [finding for finding in validate(out) if finding.severity != "note"] == []
        with open_dataset(out) as dataset:
            assert dataset.meta.parents[0].hash == report.parent
            assert dataset.meta.extra["mended"] == report.changes
            assert dataset.content_hash == report.content_hash
    else:
        try:
            report = fix(path, out)
        except RefusalError as error:
            assert f"{defect.code} (" in str(error)  # noqa: PT017  (a mild defect is left, said and not refused)
        else:
            assert report.path is None or defect.code in {finding.code for finding in validate(out)}
    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} <= {"broken.hdf5", "mended.hdf5"}
