"""``awac-tr data validate`` from the command line: what it prints, its exit codes, its copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode

STEPS = 30


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["data", "validate", *map(str, arguments)])


def episode(seed: int) -> Episode:
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(STEPS + 1, 3)).cumsum(axis=0).astype(np.float32)
    return Episode(
        observations=states[:-1],
        actions=rng.uniform(-1, 1, (STEPS, 2)).astype(np.float32),
        rewards=rng.normal(size=STEPS).astype(np.float32),
        next_observations=states[1:],
        terminals=np.zeros(STEPS, bool),
        timeouts=np.arange(STEPS) == STEPS - 1,
        infos={},
        seed=seed,
    )


def write(path: Path, *seeds: int) -> Path:
    meta = DatasetMeta(env_id="", source="random", action_low=[-1, -1], action_high=[1, 1])
    with DatasetWriter(path, meta) as writer:
        for seed in seeds:
            writer.append(episode(seed))
        writer.finish()
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write(tmp_path / "a.hdf5", 0, 1, 2, 3)


@pytest.fixture
def spoilt(dataset: Path) -> Path:
    with h5py.File(dataset, "r+") as file:
        file["actions"][35, 0] = np.nan
    return dataset


def test_a_finding_says_where_what_it_does_and_how_to_mend_it(spoilt: Path) -> None:
    result = run(spoilt)
    assert result.exit_code == 1
    assert "error not-finite: actions: 1 row with NaN or infinite numbers, first row 35" in result.stdout
    assert "at (episode:step) 1:5" in result.stdout
    assert "makes every weight NaN" in result.stdout
    assert "--fix can do it." in result.stdout


def test_findings_for_programs(spoilt: Path) -> None:
    found = json.loads(run(spoilt, "--json").stdout)["findings"][0]
    assert (found["code"], found["rows"], found["steps"], found["count"]) == ("not-finite", [35], [[1, 5]], 1)
    assert found["fixable"] is True
    assert found["harm"]


def test_several_files_are_looked_at_together(dataset: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "b.hdf5", 7, 2)
    result = run(dataset, other)
    assert result.exit_code == 1
    assert f"episode 1 is the same as episode 2 of {dataset}" in result.stdout
    files = json.loads(run(dataset, other, "--json").stdout)["files"]
    assert [[finding["code"] for finding in file["findings"]] for file in files] == [[], ["duplicate"]]


def test_fix_writes_a_sound_copy_and_says_what_it_changed(spoilt: Path, tmp_path: Path) -> None:
    before = spoilt.read_bytes()
    result = run(spoilt, "--fix")
    assert result.exit_code == 0, result.output
    copy = tmp_path / "a-mended.hdf5"
    assert "mended: 1 episode dropped: NaN or infinite numbers" in result.stdout
    assert f"{copy}: sound" in result.stdout
    assert spoilt.read_bytes() == before
    with open_dataset(copy) as mended:
        assert [mended.seed(index) for index in range(mended.n_episodes)] == [0, 2, 3]
    again = run(spoilt, "--fix")
    assert (again.exit_code, copy.exists()) == (2, True)
    assert "exists already" in again.stderr
    assert run(spoilt, "--fix", "--force").exit_code == 0


def test_fix_for_programs(spoilt: Path, tmp_path: Path) -> None:
    out = tmp_path / "copies" / "b.hdf5"
    mended = json.loads(run(spoilt, "--fix", "--out", out, "--json").stdout)["mended"]
    assert (mended["path"], mended["left"]) == (str(out), [])
    assert mended["parent"].startswith("sha256:")
    assert len(mended["changes"]) == 2


def test_fix_refuses_by_name_what_nobody_can_mend(dataset: Path, tmp_path: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        file["next_observations"][10, 1] = 1e6
    result = run(dataset, "--fix")
    assert result.exit_code == 1
    assert "cannot be mended with certainty" in result.stderr
    assert "gap (next_observations): 1 row" in result.stderr
    assert [path.name for path in tmp_path.glob("*.hdf5*")] == ["a.hdf5"]


def test_fix_of_a_sound_file_writes_nothing(dataset: Path, tmp_path: Path) -> None:
    result = run(dataset, "--fix")
    assert result.exit_code == 0
    assert "nothing to mend" in result.stdout
    assert [path.name for path in tmp_path.glob("*.hdf5*")] == ["a.hdf5"]


def test_fix_in_place_is_refused(spoilt: Path) -> None:
    result = run(spoilt, "--fix", "--out", spoilt, "--force")
    assert result.exit_code == 2
    assert "not mended in place" in result.stderr


def test_strict_counts_notes(dataset: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        for name in list(file.attrs):
            del file.attrs[name]
    assert run(dataset).exit_code == 0
    assert run(dataset, "--strict").exit_code == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "b.hdf5"], "--out has no effect without --fix"),
        (["--force"], "--force has no effect without --fix"),
        (["c.hdf5", "--fix"], "one FILE at a time"),
        (["--env", "Hoper-v5"], "unknown environment 'Hoper-v5'"),
    ],
)
def test_wrong_options(dataset: Path, options: list[str], message: str) -> None:
    result = run(dataset, *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_cut_short_is_unreadable(dataset: Path) -> None:
    dataset.write_bytes(dataset.read_bytes()[:-2000])
    result = run(dataset, "--fix")
    assert result.exit_code == 2
    assert "truncated" in result.stderr
