"""Merging, splitting, filtering: what comes out is what went in, and says where it came from."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.format.meta import Parent
from awac_tr.data.format.spec import ARRAYS
from awac_tr.data.ops.filter import Choice, filter_dataset
from awac_tr.data.ops.merge import merge
from awac_tr.data.ops.split import assign_parts, parse_parts, split
from awac_tr.data.storage.episode_table import episode_table
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Borders of blocks lie within episodes and between them."""
    monkeypatch.setattr("awac_tr.data.storage.reader.BLOCK_ROWS", 4)


@pytest.fixture
def named(tmp_path: Path, make_episode: Make, make_meta: Make, write_dataset: Make) -> Callable[..., Path]:
    """A file of episodes with these seeds; returns are minus the length."""

    def write(name: str, *seeds: int, **about: Any) -> Path:
        plain = {"policy": name, "licence": "MIT", "horizon": 20} | about
        episodes = [make_episode(seed, 3 + seed % 5, terminal=seed % 2 == 1) for seed in seeds]
        write_dataset(tmp_path / f"{name}.hdf5", episodes, make_meta(**plain))
        return tmp_path / f"{name}.hdf5"

    return write


def episodes_of(path: Path) -> list[Any]:
    with open_dataset(path) as dataset:
        return [dataset.episode(number) for number in range(dataset.n_episodes)]


def assert_same(found: Any, expected: Any) -> None:
    assert (found.seed, sorted(found.infos)) == (expected.seed, sorted(expected.infos))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name, rows in expected.infos.items():
        np.testing.assert_array_equal(found.infos[name], rows)


def sound(path: Path) -> bool:
    return not [finding for finding in validate(path) if finding.severity == "error"]


def test_a_merged_file_has_all_episodes_in_order_and_knows_their_origin(named: Any, tmp_path: Path) -> None:
    a, b = named("a", 1, 2, 3), named("b", 4, 5, policy="dice", licence="")
    report = merge([a, b], tmp_path / "c.hdf5")
    assert (report.episodes, report.notes) == (5, [])
    for found, expected in zip(episodes_of(report.path), [*episodes_of(a), *episodes_of(b)], strict=True):
        assert_same(found, expected)
    with open_dataset(report.path) as dataset, open_dataset(a) as first, open_dataset(b) as second:
        assert dataset.content_hash == dataset.compute_hash() == report.content_hash
        assert dataset.rows("episodes/source").tolist() == [0, 0, 0, 1, 1]
        assert dataset.rows("episodes/source_episode").tolist() == [0, 1, 2, 0, 1]
        meta = dataset.meta
        assert meta.parents == (Parent("a", first.content_hash, "random"), Parent("b", second.content_hash, "random"))
        assert [source["name"] for source in meta.extra["sources"]] == ["a", "b"]
        assert (meta.licence, meta.policy, meta.horizon) == ("MIT AND NOASSERTION", "a; dice", 20)
        assert meta.extra["made_by"] == {"verb": "merge"}
        assert (meta.description, meta.seed, meta.source) == ("Merge of a, b.", None, "random")
    assert sound(report.path)


def test_origins_survive_merging_filtering_and_splitting_again(named: Any, tmp_path: Path) -> None:
    ab = merge([named("a", 1, 2), named("b", 3, source="ou")], tmp_path / "ab.hdf5").path
    abc = merge([ab, named("c", 4, 5)], tmp_path / "abc.hdf5").path
    some = filter_dataset(abc, tmp_path / "some.hdf5", Choice(where="source in ('b', 'c') and seed != 4")).made
    assert some is not None
    with open_dataset(some.path) as dataset:
        table = episode_table(dataset).columns
        assert table["source"].tolist() == ["b", "c"]
        assert table["source_episode"].tolist() == [0, 1]
        assert table["seed"].tolist() == [3, 5]
        assert [parent.name for parent in dataset.meta.parents] == ["abc"]
        assert dataset.meta.extra["made_by"]["where"] == "source in ('b', 'c') and seed != 4"
        assert dataset.meta.source == "mixed"
    parts = split(some.path, {"x": 0.5, "y": 0.5})
    origins = set()
    for part in parts.values():
        with open_dataset(part.path) as dataset:
            origins |= set(episode_table(dataset).columns["source"].tolist())
    assert origins == {"b", "c"}


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"env_id": "door-binary-v0"}, "environment: .*b.hdf5 has door-binary-v0, .*a.hdf5 none"),
        ({"env_kwargs": {"hinge": 2}}, r"environment arguments: .*b.hdf5 has {'hinge': 2}, .*a.hdf5 {}"),
        ({"horizon": 9}, "horizon: .*b.hdf5 has 9, .*a.hdf5 20"),
        ({"action_high": [2, 2]}, r"action_high: .*b.hdf5 has \(2.0, 2.0\)"),
    ],
)
def test_files_of_other_tasks_are_refused(named: Any, tmp_path: Path, about: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        merge([named("a", 1), named("b", 2, **about)], tmp_path / "c.hdf5", allow_version_mismatch=True)
    assert not (tmp_path / "c.hdf5").exists()


def test_all_differences_are_told_at_once(
    named: Any, tmp_path: Path, make_episode: Make, make_meta: Make, write_dataset: Make
) -> None:
    wide = tmp_path / "wide.hdf5"
    write_dataset(wide, [make_episode(sizes=(4, 2))], make_meta(horizon=None))
    with pytest.raises(DatasetError) as caught:
        merge([named("a", 1), wide, named("b", 2, horizon=7)], tmp_path / "c.hdf5")
    assert str(caught.value).count("horizon: ") == 2
    assert "observation size: " in str(caught.value)


def test_other_simulators_are_refused_or_said(named: Any, tmp_path: Path) -> None:
    a, b = named("a", 1), named("b", 2)
    with h5py.File(b, "r+") as file:
        versions = file.attrs["versions"].decode().replace('"mujoco": "', '"mujoco": "9')
        file.attrs["versions"] = np.bytes_(versions.encode())
    with pytest.raises(DatasetError, match=r"(?s)mujoco: .*b.hdf5 was made with 9.*--allow-version-mismatch") as caught:
        merge([a, b], tmp_path / "c.hdf5")
    assert "gymnasium:" not in str(caught.value)
    report = merge([a, b], tmp_path / "c.hdf5", allow_version_mismatch=True)
    assert len(report.notes) == 1
    with open_dataset(report.path) as dataset, open_dataset(a) as first:
        assert "mujoco" not in dataset.attributes["versions"]
        assert '"gymnasium": ' in dataset.attributes["versions"]
    # a file made of others was not simulated here and now: it keeps the versions of its parents
    part = filter_dataset(b, tmp_path / "d.hdf5", Choice())
    with open_dataset(part.made.path) as dataset:  # type: ignore[union-attr]
        assert '"mujoco": "9' in dataset.attributes["versions"]
    assert '"mujoco": "9' not in first.attributes["versions"]


def test_duplicates_are_said_or_dropped(named: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a, b = named("a", 1, 2, 1), named("b", 2, 3)
    kept = merge([a, b], tmp_path / "c.hdf5")
    assert [entry["duplicates"] for entry in kept.inputs] == [1, 1]
    assert (kept.episodes, len(kept.notes)) == (5, 2)
    assert "a.hdf5: 1 of 3 episodes were met before: kept" in caplog.text
    dropped = merge([a, b], tmp_path / "d.hdf5", drop_duplicates=True)
    assert [episode.seed for episode in episodes_of(dropped.path)] == [1, 2, 3]
    with pytest.raises(DatasetError, match=r"is one of the files"):
        merge([a, a], a, overwrite=True)


def test_optional_arrays_that_not_all_have_are_left_out_aloud(
    named: Any, tmp_path: Path, make_episode: Make, make_meta: Make, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "b.hdf5"
    with DatasetWriter(path, make_meta(horizon=20)) as writer:
        for seed in (8, 9):
            one = make_episode(seed)
            infos = {"success": one.infos["success"], "speed": np.ones(5)}
            writer.append(replace(one, infos=infos), per_episode={"weight": np.float64(seed)})
        writer.finish()
    with caplog.at_level("INFO"):
        report = merge([named("a", 1), path], tmp_path / "c.hdf5")
    assert report.notes == [
        "episodes/weight is left out: not in a.hdf5",
        "infos/qpos is left out: not in b.hdf5",
        "infos/speed is left out: not in a.hdf5",
    ]
    assert report.notes[0] in caplog.text
    with open_dataset(report.path) as dataset:
        assert [name for name in dataset.array_names if "/" in name] == [
            "infos/success",
            "episodes/seeds",
            "episodes/source",
            "episodes/source_episode",
        ]
    heavy = filter_dataset(path, tmp_path / "d.hdf5", Choice(where="weight > 8"))
    with open_dataset(heavy.made.path) as dataset:  # type: ignore[union-attr]
        assert dataset.rows("episodes/weight").tolist() == [9]
        assert dataset.rows("infos/speed").tolist() == [1] * 5


def test_files_of_others_become_ours(tmp_path: Path, make_episode: Make) -> None:
    one, two = make_episode(1), make_episode(2)
    with h5py.File(tmp_path / "theirs.hdf5", "w") as file:
        for name in ARRAYS:
            rows = np.concatenate([getattr(one, name), getattr(two, name)])
            file[name] = rows.astype("f8")
        file["timeouts"][-1] = 0
        file["terminals"][4] = 1
    report = filter_dataset(tmp_path / "theirs.hdf5", tmp_path / "ours.hdf5", Choice())
    assert report.episodes == (2, 2)
    first, second = episodes_of(tmp_path / "ours.hdf5")
    assert (first.terminals[-1], first.timeouts[-1], second.timeouts[-1]) == (True, False, True)
    assert (first.seed, second.seed) == (-1, -1)
    np.testing.assert_array_equal(second.observations, two.observations)
    assert sound(tmp_path / "ours.hdf5")


def test_a_changed_file_is_refused(named: Any, tmp_path: Path) -> None:
    a, b = named("a", 1, 2), named("b", 3)
    with h5py.File(a, "r+") as file:
        file["infos/qpos"][0, 0] += 1
    for act in (
        lambda: merge([b, a], tmp_path / "c.hdf5"),
        lambda: split(a, {"x": 0.5, "y": 0.5}),
        lambda: filter_dataset(a, tmp_path / "c.hdf5", Choice(episodes="1")),
    ):
        with pytest.raises(DatasetError, match=r"a.hdf5: infos/qpos: the bytes do not match"):
            act()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.hdf5", "b.hdf5"]


def test_unsound_rows_are_refused(named: Any, tmp_path: Path) -> None:
    a = named("a", 1, 2)
    with h5py.File(a, "r+") as file:
        file["rewards"][3] = np.nan
    with pytest.raises(DatasetError, match=r"a.hdf5: .*rewards: 1 row with NaN"):
        filter_dataset(a, tmp_path / "c.hdf5", Choice())
    assert not (tmp_path / "c.hdf5").exists()


@pytest.mark.parametrize(
    ("choice", "seeds"),
    [
        (Choice(episodes="0-1,4"), [0, 1, 4]),
        (Choice(where="return > -5"), [0, 1, 5, 6]),
        (Choice(where="terminal"), [1, 3, 5, 7]),
        (Choice(top_fraction=0.25), [0, 5]),
        (Choice(top_fraction=0.01), [0]),
        (Choice(where="length > 4", top_fraction=0.5), [2, 7]),
        (Choice(limit=3), [0, 1, 2]),
        (Choice(episodes="3-7", where="length >= 4", top_fraction=1.0, limit=2), [3, 4]),
    ],
)
def test_filtering_keeps_what_is_chosen(named: Any, tmp_path: Path, choice: Choice, seeds: list[int]) -> None:
    a = named("a", 0, 1, 2, 3, 4, 5, 6, 7)
    originals = episodes_of(a)
    report = filter_dataset(a, tmp_path / "c.hdf5", choice)
    assert report.episodes == (len(seeds), 8)
    found = episodes_of(tmp_path / "c.hdf5")
    for seed, episode in zip(seeds, found, strict=True):
        assert_same(episode, originals[seed])
    assert report.transitions[0] == sum(len(episode) for episode in found)
    assert report.measures["return"][0] == pytest.approx(np.mean([episode.rewards.sum() for episode in found]))
    assert report == replace(filter_dataset(a, None, choice), made=report.made)
    assert sound(tmp_path / "c.hdf5")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(where="return > 0"), r"no episode of .*a.hdf5 is chosen\nIt has 2 episodes: return -5 to -4"),
        (Choice(episodes="2"), "episodes 2: there are 2, 0 to 1"),
        (Choice(episodes="1-0"), "episodes 1-0"),
        (Choice(episodes="all"), "'all' is no number"),
        (Choice(top_fraction=1.5), "between 0 and 1"),
        (Choice(where="colour"), "no column 'colour'"),
    ],
)
def test_choices_that_cannot_be(named: Any, tmp_path: Path, choice: Choice, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        filter_dataset(named("a", 1, 2), tmp_path / "c.hdf5", choice)
    assert not (tmp_path / "c.hdf5").exists()


def test_a_split_is_the_same_every_time_and_loses_nothing(named: Any, tmp_path: Path) -> None:
    a = named("a", *range(20))
    first = split(a, {"train": 0.8, "valid": 0.2}, seed=3)
    again = split(a, {"train": 0.8, "valid": 0.2}, seed=3, out=str(tmp_path / "again-{name}-{part}.hdf5"))
    assert {name: part.content_hash for name, part in first.items()} == {
        name: part.content_hash for name, part in again.items()
    }
    assert [part.path.name for part in first.values()] == ["a-train.hdf5", "a-valid.hdf5"]
    assert again["train"].path.name == "again-a-train.hdf5"
    seeds = {name: [episode.seed for episode in episodes_of(part.path)] for name, part in first.items()}
    assert sorted(seeds["train"] + seeds["valid"]) == list(range(20))
    assert (len(seeds["valid"]), seeds["train"]) == (4, sorted(seeds["train"]))
    with open_dataset(first["valid"].path) as dataset:
        made_by = {"verb": "split", "seed": 3, "parts": {"train": 0.8, "valid": 0.2}, "part": "valid"}
        assert dataset.meta.extra["made_by"] == made_by
    other = split(a, {"train": 0.8, "valid": 0.2}, seed=4, overwrite=True)
    assert other["valid"].content_hash != first["valid"].content_hash
    assert sound(first["train"].path)


def test_the_draw_itself_is_fixed() -> None:
    assert np.flatnonzero(assign_parts(10, [0.7, 0.3], seed=0) == 1).tolist() == [3, 5, 8]
    assert (assign_parts(7, [1 / 3, 1 / 3], seed=1) == -1).sum() == 3
    assert np.bincount(assign_parts(10, [0.15, 0.85], 0)).tolist() in ([1, 9], [2, 8])
    assert np.bincount(assign_parts(1000, [0.1] * 10, 5)).tolist() == [100] * 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train", "'train' is no part"),
        ("train=x", "'train=x' is no part"),
        ("a/b=0.1", "'a/b=0.1' is no part"),
        ("a=0.5,a=0.5", "'a=0.5' is no part"),
        ("a=0.7,b=0.7", "together at most 1"),
        ("a=0", "each above 0"),
        ("a=0.01,b=0.9", "part a would be empty: 4 episodes"),
    ],
)
def test_parts_that_cannot_be(named: Any, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        split(named("a", 1, 2, 3, 4), parse_parts(text))


def test_a_split_appears_whole_or_not_at_all(named: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = named("a", 1, 2, 3, 4)
    (tmp_path / "a-y.hdf5").write_text("mine")
    with pytest.raises(DatasetError, match=r"a-y.hdf5 exists already"):
        split(a, {"x": 0.5, "y": 0.5})
    (tmp_path / "a-y.hdf5").unlink()
    finish = DatasetWriter.finish

    def full(self: DatasetWriter) -> str:
        if self.path.name == "a-y.hdf5":
            raise DatasetError("the disk is full")
        return finish(self)

    monkeypatch.setattr(DatasetWriter, "finish", full)
    with pytest.raises(DatasetError, match="the disk is full"):
        split(a, {"x": 0.5, "y": 0.5})
    with pytest.raises(DatasetError, match="two parts would have the same file"):
        split(a, {"x": 0.5, "y": 0.5}, out=str(tmp_path / "one.hdf5"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.hdf5"]


LIMITED = """
    import resource
    from pathlib import Path
    from awac_tr.data.ops.filter import Choice, filter_dataset
    from awac_tr.data.ops.merge import merge
    from awac_tr.data.ops.split import split

    filter_dataset("small.hdf5", "other.hdf5", Choice(where="length > 1"))
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    used = int(status["VmData"].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + 48_000_000, used + 48_000_000))
    assert filter_dataset("large.hdf5", "c.hdf5", Choice(where="episode % 2 == 0")).episodes == (100, 200)
    Path("c.hdf5").unlink()
    assert [part.episodes for part in split("large.hdf5", {"a": 0.3, "b": 0.7}).values()] == [60, 140]
    Path("large.hdf5").unlink()
    assert merge(["large-a.hdf5", "large-b.hdf5"], "d.hdf5").episodes == 200
    try:
        held = bytearray(60_000_000)
    except MemoryError:
        print("limited")
"""


def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, make_episode: Make, make_meta: Make, write_dataset: Make
) -> None:
    about = make_meta(action_low=[-1] * 28, action_high=[1] * 28)
    write_dataset(tmp_path / "small.hdf5", [make_episode(0, 50, sizes=(39, 28))], about)
    write_dataset(tmp_path / "large.hdf5", [make_episode(seed, 1000, sizes=(39, 28)) for seed in range(200)], about)
    assert (tmp_path / "large.hdf5").stat().st_size > 85_000_000
    command = [sys.executable, "-c", textwrap.dedent(LIMITED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    for path in tmp_path.glob("*.hdf5"):
        path.unlink()
    assert (done.returncode, done.stdout) == (0, "limited\n"), done.stderr[-2000:]
