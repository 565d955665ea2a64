"""Every command that reads a file, given one that is none: exit code 2, one message, and nothing new on the disk."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from awac_tr.cli.main import main


class Runs:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


def zipped() -> bytes:
    with zipfile.ZipFile("made.zip", "w") as archive:
        archive.writestr("../../outside", "x")
        archive.writestr("data.pkl", pickle.dumps(Runs()))
    return Path("made.zip").read_bytes()


def hdf5(*, cut: int | None = None, **attributes: Any) -> bytes:
    with h5py.File("made.hdf5", "w", libver="latest") as file:
        file["observations"] = np.zeros((4, 3))
        file.attrs.update(attributes)
    return Path("made.hdf5").read_bytes()[:cut]


BAD = {
    "nothing": lambda: b"",
    "noise": lambda: np.random.default_rng(0).bytes(5000),
    "a brace": lambda: b"{" * 5000,
    "a program": lambda: pickle.dumps(Runs()),
    "a zip of a program": zipped,
    "another's HDF5": hdf5,
    "half of it": lambda: hdf5(cut=600),
    "of a newer version": lambda: hdf5(format="awac-tr-dataset", format_version=2),
    "text of no language": lambda: b"\xff\xfe\x00: [",
}
COMMANDS: Mapping[str, list[str]] = {
    "data info": ["data", "info", "a.hdf5"],
    "data validate": ["data", "validate", "a.hdf5"],
    "data validate --fix": ["data", "validate", "a.hdf5", "--fix", "--out", "fixed.hdf5"],
    "data plot": ["data", "plot", "a.hdf5", "--out", "a.png"],
    "data report": ["data", "report", "a.hdf5", "--out", "a.html"],
    "data replay": ["data", "replay", "a.hdf5"],
    "data merge": ["data", "merge", "a.hdf5", "a.hdf5", "--out", "b.hdf5"],
    "data split": ["data", "split", "a.hdf5", "--shares", "0.5,0.5"],
    "data filter": ["data", "filter", "a.hdf5", "--where", "return > 0", "--out", "b.hdf5"],
    "data from-run": ["data", "from-run", "run", "--out", "b.hdf5"],
    "data export": ["data", "export", "a.hdf5", "--format", "d4rl", "--out", "b.hdf5"],
    "data import d4rl": ["data", "import", "a.hdf5", "--out", "b.hdf5"],
    "data import pickle": ["data", "import", "a.pickle", "--env", "door-binary-v0", "--out", "b.hdf5"],
    "train": ["train", "a.yaml", "--run", "new"],
    "train on it": ["train", "door", "data.datasets=[a.hdf5]", "--run", "new"],
    "train --resume": ["train", "--resume", "run"],
    "bench": ["bench", "a.yaml"],
    "recipes check": ["recipes", "check", "a.yaml"],
    "recipes show": ["recipes", "show", "a.yaml", "--resolved"],
    "eval checkpoint": ["eval", "a.pt", "--episodes", "1"],
    "eval npz": ["eval", "a.npz", "--env", "door-binary-v0", "--episodes", "1"],
    "eval agent": ["eval", "a.zip", "--env", "door-binary-v0", "--episodes", "1"],
    "collect": [
        "collect",
        "--source",
        "policy",
        "--policy",
        "a.pt",
        "--env",
        "door-binary-v0",
        "--n",
        "1",
        "--out",
        "b.hdf5",
    ],
    "plot": ["plot", "run", "--out", "a.png"],
}


LOOKED_AT = ("data validate", "data validate --fix", "data report")
"""These tell what is wrong with a file that can be opened; the exit code of findings is 1."""


@pytest.mark.parametrize(
    ("command", "bad"),
    [(command, bad) for command in COMMANDS for bad in BAD if bad != "another's HDF5" or command not in LOOKED_AT],
)
def test_exit_code_2_and_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, bad: str) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    content = BAD[bad]()
    Path("run/checkpoints").mkdir(parents=True)
    for suffix in ("hdf5", "pickle", "yaml", "pt", "npz", "zip"):
        Path(f"a.{suffix}").write_bytes(content)
    for name in ("recipe.yaml", "record.json", "metrics.jsonl", "checkpoints/last.pt"):
        Path("run", name).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(main, COMMANDS[command])
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in result.output
    if command != "recipes check":  # it tells of every file, on stdout
        assert result.stderr.count("Error: ") == 1
    assert result.output.strip()
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.name != "locks"] == []
