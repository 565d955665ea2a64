"""``awac-tr data report`` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.episode import Episode


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "report", *map(str, arguments)])


@pytest.fixture
def _dataset(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "datasets" / "mine.hdf5", DatasetMeta("", "ou", [-1], [1])) as writer:
        states, last = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32), np.arange(8) == 7
        none = np.zeros(8, np.float32)
        writer.append(Episode(states[:-1], none[:, None], none, states[1:], last & False, last, {}, 0))
        writer.finish()


@pytest.mark.usefixtures("_dataset")
def test_a_page_named_after_its_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awac_tr.data.report.build.draw_picture", lambda *_, **__: b"drawn elsewhere")
    result = run("mine")
    assert (result.exit_code, result.stdout) == (0, "mine.html\n")
    assert (tmp_path / "mine.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    found = json.loads(run("mine", "--out", "b.html", "--json").stdout)
    assert found == {"path": "b.html", "datasets": [str(tmp_path / "datasets" / "mine.hdf5")]}


@pytest.mark.usefixtures("_dataset")
def test_mistakes(tmp_path: Path) -> None:
    for arguments, message in ((("mine", "--out", "a.txt"), "ends in .html"), (("mnie",), "Did you mean")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["datasets"]
