"""Files that are no datasets of ours: packed with filters of others, held open, of another kind."""

from __future__ import annotations

import ctypes
import gzip
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from awac_tr.cli.main import main
from awac_tr.data.storage.reader import Dataset
from awac_tr.errors import DatasetError

ROWS = 6
LZ4, BLOSC, OWN = 32004, 32001, 40_000


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> str:
    """What a command that cannot do its work says."""
    result = CliRunner().invoke(main, [*arguments])
    assert result.exit_code == 2, result.output
    return str(result.stderr)


def write(path: Path, **more: Any) -> Path:
    """A recording of two episodes in D4RL's layout."""
    with h5py.File(path, "w", **more) as file:
        file["observations"] = file["next_observations"] = np.zeros((ROWS, 3), np.float32)
        del file["next_observations"]
        file["actions"], file["rewards"] = np.zeros((ROWS, 1), np.float32), np.zeros(ROWS, np.float32)
        file["terminals"] = np.zeros(ROWS, bool)
        file["timeouts"] = np.arange(ROWS) % 3 == 2
    return path


def packed(path: Path, code: int) -> Path:
    """The same, rewards behind a filter that HDF5 does not have; its chunk holds the plain numbers."""
    with h5py.File(write(path), "r+") as file:
        del file["rewards"]
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((ROWS,))
        made.set_filter(code, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((ROWS,))
        array = h5py.h5d.create(file.id, b"rewards", h5py.h5t.IEEE_F32LE, space, made)
        array.write_direct_chunk((0,), np.arange(ROWS, dtype="<f4").tobytes())
    return path


@pytest.mark.parametrize(
    ("code", "said"), [(BLOSC, "blosc (32001)\npip install hdf5plugin\n"), (OWN, "unknown (40000)\nh5repack -f GZIP=4")]
)
def test_a_filter_that_is_missing_is_named_with_what_brings_it(code: int, said: str, tmp_path: Path) -> None:
    """h5py#611."""
    path = packed(tmp_path / "packed.hdf5", code)
    for arguments in (("info",), ("validate",), ("import", "--env", "Pendulum-v1", "--out", "x")):
        message = run("data", arguments[0], str(path), *arguments[1:])
        assert "is whole, but rewards is packed with a filter that is not installed" in message
        assert said in message
        assert "again" not in message


def test_filters_of_hdf5plugin_are_used_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "packed.hdf5", LZ4)
    with pytest.raises(DatasetError, match="lz4"), Dataset(path):
        pass
    (tmp_path / "hdf5plugin.py").write_text("import own_filters\nown_filters.register()\n")
    own, kept = ModuleType("own_filters"), _as_it_is()
    own.register = lambda: h5py.h5z.register_filter(ctypes.addressof(kept))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_filters", own)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with Dataset(path) as dataset:
            assert dataset.rows("rewards").tolist() == [0, 1, 2, 3, 4, 5]
    finally:
        h5py.h5z.unregister_filter(LZ4)
        monkeypatch.delitem(sys.modules, "hdf5plugin")


def _as_it_is() -> ctypes.Structure:
    """A real filter of the library's, which changes nothing: ``H5Z_class2_t`` with a function of ours."""
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    kind = ctypes.CFUNCTYPE(size, ctypes.c_uint, size, pointer, size, pointer, pointer)

    class Filter(ctypes.Structure):
        _fields_ = (
            ("version", ctypes.c_int),
            ("id", ctypes.c_int),
            ("encodes", ctypes.c_uint),
            ("decodes", ctypes.c_uint),
            ("name", ctypes.c_char_p),
            ("can_apply", pointer),
            ("set_local", pointer),
            ("run", kind),
        )

    return Filter(1, LZ4, 1, 1, b"as it is", None, None, kind(lambda _flags, _n, _values, used, *_: used))


def test_a_user_block_is_read_past(tmp_path: Path) -> None:
    """MATLAB writes 512 bytes of its own first."""
    path = write(tmp_path / "matlab.mat", userblock_size=1024)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(1024) + path.read_bytes()[1024:])
    done = CliRunner().invoke(main, ["data", "import", str(path), "--env", "Pendulum-v1", "--out", "x.hdf5"])
    assert (done.exit_code, "read as d4rl" in done.stderr) == (0, True), done.output


HOLDING = "import h5py, sys; held = h5py.File(sys.argv[1], 'r+'); print('held', flush=True); sys.stdin.read()"
LEAVING = "import h5py, os, sys; left = h5py.File(sys.argv[1], 'w', libver='latest'); left.flush(); os._exit(0)"


def test_a_file_that_another_process_holds_open_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "held.hdf5")
    command = [sys.executable, "-c", HOLDING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        said = run("data", "info", str(path))
        process.communicate()
    assert "is held open by another process, which may be writing it\nClose it there. " in said
    assert "HDF5_USE_FILE_LOCKING=FALSE" in said
    subprocess.run([sys.executable, "-c", LEAVING, str(path)], check=True)
    assert f"left open by a process that ended\nIf it ended: h5clear -s {path}" in run("data", "info", str(path))


def _zip(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")


def _folder(path: Path, *names: str) -> None:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("{}")


KINDS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "a.npy": (lambda path: np.save(path, np.zeros(3)), "a NumPy array (.npy)", "data import"),
    "a.npz": (lambda path: np.savez(path, x=np.zeros(3)), "NumPy arrays (.npz)", "data import"),
    "a.pkl": (lambda path: path.write_bytes(pickle.dumps([1])), "a pickle", "data import"),
    "a.parquet": (lambda path: path.write_bytes(b"PAR1" + bytes(99)), "a Parquet file", "data import"),
    "a.zip": (lambda path: _zip(path, "data", "policy.pth"), "a policy of Stable-Baselines3", "awac-tr eval"),
    "b.zip": (lambda path: _zip(path, "readme"), "a zip archive", "Unpack it"),
    "a.pt": (lambda path: torch.save({}, path), "a checkpoint, or another file of torch", "awac-tr eval"),
    "a.gz": (lambda path: path.write_bytes(gzip.compress(b"x")), "a gzip archive", "Unpack it"),
    "a.csv": (lambda path: path.write_text("a,b\n1,2\n"), "a CSV file", ""),
    "a.yaml": (lambda path: path.write_text("name: x\n"), "a YAML file, as recipes are", "recipes check"),
    "a.bin": (lambda path: path.write_bytes(bytes(range(256))), "binary data of an unknown kind", ""),
    "empty.hdf5": (lambda path: path.write_bytes(b""), "an empty file", "again"),
    "page.hdf5": (lambda path: path.write_text("<!DOCTYPE html>..."), "a web page, perhaps of a failed download", ""),
    "lfs.hdf5": (lambda path: path.write_text("version https://git-lfs.github.com"), "a pointer of Git LFS", "git lfs"),
    "v5.mat": (lambda path: path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(512)), "a MATLAB file", "-v7.3"),
    "run": (lambda path: _folder(path, "recipe.yaml", "metrics.jsonl"), "a run folder", "checkpoints/best.pt"),
    "lerobot": (lambda path: _folder(path, "meta/info.json"), "a LeRobot dataset", "data import"),
    "minari": (lambda path: _folder(path, "data/metadata.json"), "a Minari dataset", "data import"),
    "zarr": (lambda path: _folder(path, ".zgroup"), "a Zarr store", ""),
    "sets": (lambda path: _folder(path, "x.hdf5"), "a folder of HDF5 files", "data list"),
    "other": (lambda path: _folder(path, "x.txt"), "a folder with x.txt", ""),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_another_kind_is_told_by_what_it_looks_like(name: str) -> None:
    make, words, advice = KINDS[name]
    make(Path(name))
    for place in (name, f"./{name}", str(Path(name).resolve())):
        for command in ("info", "validate", "plot", "replay"):
            said = run("data", command, place)
            assert f"looks like {words}" in said
            assert advice in said
    if not name.startswith(("a.pt", "a.pkl", "a.zip", "b.zip", "a.npz")):
        assert f"looks like {words}" in run("eval", name)
    if name not in ("a.yaml", "a.csv", "page.hdf5", "lfs.hdf5", "empty.hdf5", "v5.mat"):
        for command in ("train", "bench"):
            assert f"{name} is no recipe: it looks like {words}" in run(command, name)
    if name not in ("a.pkl", "lerobot", "minari"):
        said = run("data", "import", f"./{name}", "--out", "x")
        assert f"is of no format that is read: it looks like {words}" in said
        assert "Read are d4rl (D4RL's flat HDF5 file), minari" in said
    assert not Path("datasets").exists()


def test_hdf5_of_an_unknown_layout_says_what_it_holds(tmp_path: Path) -> None:
    with h5py.File("own.h5", "w") as file:
        file["qpos"] = file["action"] = json.dumps({})
        del file["action"]
    said = run("data", "import", "own.h5", "--out", "x")
    assert "own.h5 is of no format that is read: it looks like an HDF5 file that holds qpos\nRead are d4rl" in said
    assert "own.h5 is no recipe: it looks like an HDF5 file" in run("train", "own.h5")
    assert "own.h5 is no checkpoint: it looks like an HDF5 file" in run("eval", "own.h5")
