"""``awac-tr data plot`` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.data.plot import _PICTURES
from awac_tr.cli.main import main
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.plots.plot import PICTURES
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "plot", *map(str, arguments)])


@pytest.fixture
def _datasets(tmp_path: Path) -> None:
    """Named far and near, in the folder of datasets; far's states are all out of reach of near's."""
    for name, offset in (("near", 0.0), ("far", 1e3)):
        with DatasetWriter(tmp_path / "datasets" / f"{name}.hdf5", DatasetMeta("", "ou", [-1], [1])) as writer:
            for seed in range(3):
                states = (np.random.default_rng(seed).normal(size=(21, 2)) + offset).astype(np.float32)
                last, none = np.arange(20) == 19, np.zeros(20, np.float32)
                writer.append(Episode(states[:-1], none[:, None], none, states[1:], last & False, last, {}, seed))
            writer.finish()


@pytest.mark.usefixtures("_datasets")
def test_a_picture_named_after_its_dataset(tmp_path: Path) -> None:
    result = run("near", "--only", "states")
    assert (result.exit_code, result.stdout) == (0, "near.png\n")
    assert (tmp_path / "near.png").read_bytes().startswith(b"\x89PNG")
    assert run("near", "far", "--only", "states", "--dark").stdout == "datasets.png\n"


@pytest.mark.usefixtures("_datasets")
def test_coverage_in_words_and_in_json() -> None:
    result = run("near", "--against", "far", "--only", "returns", "--out", "a.png")
    assert result.stdout.splitlines() == ["a.png", "near covers 0% of far's states; far covers 0% of near's"]
    found = json.loads(run("near", "far", "--against", "near", "--only", "returns", "--out", "a.png", "--json").stdout)
    row = {"dataset": "far", "against": "near", "covers": 0, "covered": 0, "states": [60, 60]}
    assert found == {"path": "a.png", "datasets": ["near", "far"], "coverage": [row]}


@pytest.mark.usefixtures("_datasets")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("near", "--out", "a.jpg"), "Name a file that ends in .png"),
        (("nearr",), "Did you mean"),
        (("near", "--only", "stats"), "'stats' is not one of"),
        (("near", "--against", "near"), "compared with itself"),
        ((), "Missing argument"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["datasets"]


def test_the_pictures_of_the_help_text_are_those_there_are() -> None:
    assert tuple(PICTURES) == _PICTURES
