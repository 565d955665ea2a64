"""Files made to cost far more than they are large: refused in one message, or read, within limits of time and memory.

Each runs in a process of its own, which may take 20 s of the processor and 1 GiB of memory, and the promised multiples
in SECURITY.md are far below that for files of this size.
"""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from bounded import bounded

from awac_tr.collectors.episodes import rollout
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.envs.make import make_env
from awac_tr.policies.noise import RandomController
from awac_tr.recipes.schema import EnvSection

Make = Callable[[], tuple[object, ...]]

BEYOND = "would stand for more than"
TEXT = h5py.string_dtype()


def number(value: int) -> bytes:
    return struct.pack("<I", value)


# Checkpoints: torch's zip with another data.pkl


def checkpoint(program: bytes) -> tuple[object, ...]:
    torch.save({"a": torch.zeros(3)}, "base.pt")
    with zipfile.ZipFile("base.pt") as old, zipfile.ZipFile("x.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, b"\x80\x02" + program + b"." if name.endswith("data.pkl") else old.read(name))
    return "eval", "x.pt"


def doubled(first: bytes, begin: bytes, end: bytes, count: int = 60) -> bytes:
    """A list or tuple that holds the one before twice, and so on; the last stays in slot 60 of memory."""
    twice = [begin + (b"h" + bytes([slot])) * 2 + end + b"q" + bytes([slot + 1]) for slot in range(count)]
    return first + b"q\x00" + b"".join(twice)


def saved(content: Any) -> tuple[object, ...]:
    torch.save(content, "x.pt")
    return "eval", "x.pt"


def many_views() -> dict[str, torch.Tensor]:
    whole = torch.zeros(1 << 18)
    return {str(place): whole[place:] for place in range(2000)}


CHECKPOINTS: dict[str, tuple[Make, str]] = {
    "a list in itself": (lambda: checkpoint(b"]q\x00h\x00a"), BEYOND),
    "a dict in itself": (lambda: checkpoint(b"}q\x00K\x01h\x00s"), BEYOND),
    "lists of lists, twice each": (lambda: checkpoint(doubled(b"]", b"](", b"e")), BEYOND),
    "tuples of tuples, twice each": (lambda: checkpoint(doubled(b")", b"(", b"t")), BEYOND),
    "tuples of tuples as a key": (lambda: checkpoint(doubled(b")", b"(", b"t") + b"}h\x3cK\x01s"), "was not opened"),
    "a key in an OrderedDict's pairs": (
        lambda: checkpoint(doubled(b")", b"(", b"t") + b"ccollections\nOrderedDict\n]](h\x3cK\x01ea\x85R"),
        "was not opened",
    ),
    "one text in many places": (
        lambda: checkpoint(b"X" + number(1 << 20) + b"x" * (1 << 20) + b"q\x00](" + b"h\x00" * 5000 + b"e"),
        BEYOND,
    ),
    "room for many bytes": (
        lambda: checkpoint(b"cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x10\x85R"),
        "was not opened",
    ),
    "a number of a million digits": (lambda: checkpoint(b"\x8b" + number(1 << 19) + b"\x7f" * (1 << 19)), "not opened"),
    "one storage, many tensors": (lambda: saved(many_views()), BEYOND),
    "tensors of rows without numbers": (lambda: saved({"a": torch.zeros(1 << 40, 0)}), BEYOND),
}


# Pickles in hand_dapg's layout

HEAD = (
    b"\x80\x02](cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01cnumpy\ndtype\nq\x02U\x02f4K\x00K\x01\x87R"
    b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbq\x03"
)
"""numpy's names and a type, in the first four slots of memory."""


def imported(content: bytes) -> tuple[object, ...]:
    Path("x.pickle").write_bytes(content)
    return "data", "import", "x.pickle", "--env", "door-binary-v0", "--out", "out.hdf5"


def episodes(count: int, **shared: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {"observations": rng.normal(size=(2, 39)), "actions": rng.uniform(-0.5, 0.5, (2, 28)), **shared}
        for _ in range(count)
    ]


def text_as_arrays() -> bytes:
    size = 2 << 20
    one = b"h\x00h\x01K\x00\x85U\x01b\x87R(K\x01J" + struct.pack("<i", size // 4) + b"\x85h\x03\x89h\x04tb"
    return HEAD + b"T" + number(size) + b"\0" * size + b"q\x04" + one * 2000 + b"e."


def text_as_bytes() -> bytes:
    size = 2 << 20
    text = b"X" + number(size) + b"x" * size + b"q\x04X\x06\x00\x00\x00latin1q\x05c_codecs\nencode\nq\x06"
    return HEAD + text + b"h\x06h\x04h\x05\x86R" * 2000 + b"e."


PICKLES: dict[str, tuple[Make, str]] = {
    "a list in itself": (lambda: imported(b"\x80\x02]q\x00h\x00a."), BEYOND),
    "lists of lists, twice each": (lambda: imported(b"\x80\x02" + doubled(b"]", b"](", b"e") + b"."), BEYOND),
    "tuples of tuples as a key": (
        lambda: imported(b"\x80\x02" + doubled(b")", b"(", b"t") + b"}h\x3cK\x01s."),
        "a key of type",
    ),
    "tuples of tuples as keys": (
        lambda: imported(b"\x80\x02" + doubled(b")", b"(", b"t") + b"}(h\x3cK\x01h\x3bK\x01u."),
        "a key of type",
    ),
    "a dict made of tuples of tuples": (
        lambda: imported(b"\x80\x02" + doubled(b")", b"(", b"t") + b"(h\x3cK\x01d."),
        "a key of type",
    ),
    "one text as many arrays": (lambda: imported(text_as_arrays()), BEYOND),
    "one text as bytes many times": (lambda: imported(text_as_bytes()), BEYOND),
    "one start state": (
        lambda: imported(pickle.dumps(episodes(150, init_state_dict={"qpos": np.zeros(1 << 16)}), 2)),
        BEYOND,
    ),
    "one array of observations": (
        lambda: imported(pickle.dumps(episodes(3000, observations=np.zeros((99, 39))))),
        BEYOND,
    ),
    "room for many bytes": (lambda: imported(b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"."), "cannot be read"),
    "a number of many digits": (
        lambda: imported(b"\x80\x02\x8b" + number(1 << 20) + b"\x7f" * (1 << 20) + b"."),
        "LONG4",
    ),
}


# HDF5


def dataset(change: Callable[[h5py.File], None], *command: str) -> tuple[object, ...]:
    """One of ours, changed."""
    low, high = np.full(1, -2.0, np.float32), np.full(1, 2.0, np.float32)
    env = EnvSection(id="Pendulum-v1", horizon=8)
    with DatasetWriter("x.hdf5", DatasetMeta("Pendulum-v1", "random", low, high, horizon=8)) as writer:
        writer.append(rollout(make_env(env), RandomController(low, high), 0))
        writer.finish()
    with h5py.File("x.hdf5", "r+", libver="latest") as file:
        change(file)
    return "data", *(command or ("validate",)), "x.hdf5"


def attributes(file: h5py.File) -> None:
    for place in range(6000):
        file.attrs[f"a{place}"] = "x" * 8


def texts(file: h5py.File) -> None:
    """900 attributes of one short text each, beside one of 2 MB: who adds up the longest gets gigabytes."""
    file.attrs.create("long", np.array(["x" * (2 << 20)], dtype=TEXT))
    for place in range(900):
        file.attrs[f"a{place}"] = "x"


def heaps(file: h5py.File) -> None:
    """Heaps inside of heaps: the signature of one in each entry of the one before."""
    entry = struct.pack("<HHIQ", 1, 1, 0, 16) + b"GCOL\x01\x00\x00\x00" + struct.pack("<Q", 0)
    raw = bytearray(entry * (1 << 16))
    for place in range(0, len(raw), 32):
        struct.pack_into("<Q", raw, place + 24, len(raw) - place - 16)
    file["heaps"] = np.frombuffer(bytes(raw), np.uint8)
    file.attrs["description"] = "of variable length"


def deep(file: h5py.File) -> None:
    group: Any = file
    for _ in range(3000):
        group = group.create_group("g")


def hollow(file: h5py.File) -> None:
    for place in range(3000):
        file.create_dataset(f"episodes/a{place}", (1 << 18,), np.float32, chunks=(1 << 18,))


def packed(file: h5py.File) -> None:
    for place in range(3):
        file.create_dataset(
            f"episodes/a{place}", data=np.zeros((1, 1 << 24), np.float32), chunks=(1, 1 << 20), compression=9
        )


def twice(file: h5py.File) -> None:
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((1, 1 << 20))
    layout.set_deflate(9)
    layout.set_deflate(9)
    space = h5py.h5s.create_simple((1, 1 << 20))
    array = h5py.h5d.create(file.id, b"episodes/a", h5py.h5t.IEEE_F32LE, space, layout)
    array.write(h5py.h5s.ALL, h5py.h5s.ALL, np.tile(np.random.default_rng(0).random(1 << 12, np.float32), 256))


def flat(rows: int, **others: Any) -> tuple[object, ...]:
    """D4RL's file, packed: an episode a row."""
    arrays = {"observations": np.zeros((rows, 1), np.float32), "actions": np.zeros((rows, 1), np.float32)}
    arrays |= {
        "rewards": np.zeros(rows, np.float32),
        "terminals": np.ones(rows, bool),
        "timeouts": np.zeros(rows, bool),
    }
    with h5py.File("x.hdf5", "w") as file:
        for name, array in (arrays | others).items():
            file.create_dataset(name, data=array, compression=9 if array.dtype.kind != "O" else None, dtype=array.dtype)
    return "data", "import", "x.hdf5", "--out", "out.hdf5", "--horizon", 9


def sequences() -> tuple[object, ...]:
    """robomimic's file, in which every observation is a sequence of another length."""
    with h5py.File("x.hdf5", "w") as file:
        kind = h5py.vlen_dtype(np.float32)
        rows = np.empty(2000, object)
        rows[:] = [np.zeros(1 << 17 if row == 0 else 1, np.float32) for row in range(2000)]
        for name in ("obs/x", "next_obs/x"):
            file[f"data/demo_0/{name}"] = np.zeros((2000, 2))
        file.create_dataset("data/demo_0/actions", data=rows, dtype=kind)
    return "data", "import", "x.hdf5", "--out", "out.hdf5", "--reward", 0


HDF5: dict[str, tuple[Make, str]] = {
    "many attributes": (lambda: dataset(attributes), "attributes; up to 1,000 are read"),
    "many texts beside a long one": (lambda: dataset(texts), BEYOND),
    "heaps inside of heaps": (lambda: dataset(heaps), "its heaps overlap"),
    "groups in groups": (lambda: dataset(deep), "groups more than 32 deep"),
    "rows without numbers": (
        lambda: dataset(lambda file: file.create_dataset("episodes/a", (1 << 40, 0), np.float32)),
        "claims",
    ),
    "many arrays without data": (lambda: dataset(hollow), BEYOND),
    "zeros, packed": (lambda: dataset(packed), BEYOND),
    "zeros, packed twice": (lambda: dataset(twice), "packed more than once"),
    "an episode a row": (lambda: flat(3_000_000), BEYOND),
    "sequences of any length": (sequences, BEYOND),
}


# Everything else


def expert(arrays: dict[str, np.ndarray]) -> tuple[object, ...]:
    np.savez_compressed("x.npz", **arrays)  # type: ignore[arg-type]
    return "collect", "--source", "policy", "--policy", "x.npz", "--env", "Pendulum-v1", "--out", "out.hdf5"


LAYERS = {"W0": np.zeros((2, 3), np.float32), "b0": np.zeros(2, np.float32)}


def lerobot(rows: int, episode: np.ndarray) -> tuple[object, ...]:
    """LeRobot's folder, whose columns hold one number again and again."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    widths = {"observation.state": ("float32", 1), "action": ("float32", 1), "episode_index": ("int64", 1)}
    features = {name: {"dtype": kind, "shape": [width]} for name, (kind, width) in widths.items()}
    features["frame_index"] = {"dtype": "int64", "shape": [1]}
    info = {"codebase_version": "v3.0", "features": features, "total_episodes": 1, "total_frames": rows, "fps": 10}
    Path("x/meta").mkdir(parents=True)
    Path("x/meta/info.json").write_text(json.dumps(info))
    Path("x/data/chunk-000").mkdir(parents=True)
    zeros = pa.array(np.zeros(rows, np.float32))
    table = pa.table(
        {
            "observation.state": zeros,
            "action": zeros,
            "episode_index": pa.array(episode),
            "frame_index": pa.array(np.zeros(rows, np.int64)),
        }
    )
    parquet.write_table(table, "x/data/chunk-000/file-000.parquet", compression="gzip")
    return "data", "import", "x", "--out", "out.hdf5", "--reward", 0


def run_folder(row: str, recipe: str = "name: a") -> tuple[object, ...]:
    Path("run").mkdir()
    Path("run/metrics.jsonl").write_text(row + "\n")
    Path("run/recipe.yaml").write_text(recipe)
    Path("run/record.json").write_text("{}")
    return "plot", "run", "--out", "a.png"


def recipe(text: str) -> tuple[object, ...]:
    Path("x.yaml").write_text(text)
    return "recipes", "check", "x.yaml"


EVALUATED = '{"event": "eval", "phase": "online", "update": 1, "env_step": 1, "wall": 1.0, "return": 1.0}'

OTHERS: dict[str, tuple[Make, str]] = {
    "expert: no rows of any width": (
        lambda: expert({"W0": np.zeros((0, 1 << 30), np.float32), "b0": np.zeros(0, np.float32)}),
        BEYOND,
    ),
    "expert: zeros": (lambda: expert(LAYERS | {"a": np.zeros(1 << 24)}), BEYOND),
    "expert: many arrays": (lambda: expert(LAYERS | {f"a{place}": np.zeros(1) for place in range(1500)}), BEYOND),
    "LeRobot: zeros in one episode": (lambda: lerobot(9_000_000, np.zeros(9_000_000, np.int64)), BEYOND),
    "metrics: lists in lists": (lambda: run_folder("[" * 1_000_000), "not a row of metrics"),
    "metrics: a number of many digits": (lambda: run_folder("1" * 1_000_000), "not a row of metrics"),
    "metrics: a fraction of many digits": (lambda: run_folder("0." + "1" * 2_000_000), "not a row of metrics"),
    "recipe of a run: aliases": (
        lambda: run_folder(EVALUATED, "a: &a [x, x]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(60))),
        "aliases",
    ),
    "recipe of a run: large": (lambda: run_folder(EVALUATED, "a: 1\n" * 20_000), "up to 65,536 are read"),
}


RECIPES = {
    "keys that are unknown": "".join(f"a{n}: 1\n" for n in range(7_000)),
    "keys like known ones": "".join(f"gamma{n}: 1\n" for n in range(5_000)),
    "values that are long": "seed: [" + "1, " * 20_000 + "1]",
    "lists in lists": "a: " + "[" * 65_000,
    "question marks": "? " * 32_000,
    "dashes": "- " * 32_000,
    "one long line": "a: " + "x y " * 16_000,
    "a number of many digits": "seed: " + "1" * 65_000,
    "a fraction of many digits": "gamma: 0." + "1" * 65_000,
}


@pytest.mark.parametrize("text", RECIPES.values(), ids=RECIPES.keys())
def test_recipes(text: str) -> None:
    assert bounded(*recipe(text)).code == 2


@pytest.mark.parametrize(("make", "message"), OTHERS.values(), ids=OTHERS.keys())
def test_others(make: Make, message: str) -> None:
    refused(make, message)


@pytest.mark.parametrize(("make", "message"), CHECKPOINTS.values(), ids=CHECKPOINTS.keys())
def test_checkpoints(make: Make, message: str) -> None:
    refused(make, message)


@pytest.mark.parametrize(("make", "message"), PICKLES.values(), ids=PICKLES.keys())
def test_pickles(make: Make, message: str) -> None:
    refused(make, message)


@pytest.mark.parametrize(("make", "message"), HDF5.values(), ids=HDF5.keys())
def test_hdf5(make: Make, message: str) -> None:
    refused(make, message)


def refused(make: Make, message: str) -> None:
    """One message and exit code 2, and nothing written."""
    arguments = make()
    before = sorted(Path().iterdir())
    ended = bounded(*arguments)
    assert (ended.code, message in ended.said) == (2, True), ended
    assert sorted(Path().iterdir()) == before


def test_a_sound_file_that_is_packed_well_is_read() -> None:
    """Zeros, in the 230,000 bytes and the shape of a recording of someone else."""
    ends = np.arange(1_000_000) % 500 == 499
    arguments = flat(1_000_000, terminals=np.zeros(1_000_000, bool), timeouts=ends)
    assert Path("x.hdf5").stat().st_size < 300_000
    assert bounded(*arguments[:-2]).code == 0
