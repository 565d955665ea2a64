"""Pickles of strangers: their arrays are read, their code is not."""

from __future__ import annotations

import builtins
import collections
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.data.convert.unpickle import PickledArray, load_pickle
from awac_tr.errors import DatasetError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


ARRAYS = [
    np.arange(6, dtype=np.float64).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    np.arange(4, dtype=">i4"),
    np.array([True, False]),
    np.zeros((0, 3)),
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, ::2],
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_and_arrays_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    mixed = [1, -2, 3.5, None, True, "ü", b"\x00\xff", b"", (), (1,), (1, 2, 3, 4)]
    plain = [{"a": mixed, "b": {1: 2**70, 2: 300, 3: -70000}}]
    file = put(tmp_path / "a.pickle", pickle.dumps([plain, {"x": ARRAYS, "s": np.float32(2.5)}], protocol))
    found_plain, found = load_pickle(file)
    assert found_plain == plain
    assert found["s"].array.item() == 2.5
    for array, read in zip(ARRAYS, found["x"], strict=True):
        assert isinstance(read, PickledArray)
        assert (read.array.dtype.kind, read.array.shape) == (array.dtype.kind, array.shape)
        np.testing.assert_array_equal(read.array, array)


def test_an_array_as_python_2_pickled_it(tmp_path: Path) -> None:
    raw = np.array([1.5, -2.0, 300.25]).tobytes()
    text = b"U" + bytes([len(raw)]) + raw
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(K\x00tU\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = b"\x80\x02}U\x01x" + reconstruct + b"(K\x01(K\x03t" + dtype + b"\x89" + text + b"tbs."
    # numpy itself agrees that this is the array
    np.testing.assert_array_equal(pickle.loads(data, encoding="latin1")["x"], [1.5, -2, 300.25])  # noqa: S301
    np.testing.assert_array_equal(load_pickle(put(tmp_path / "a.pickle", data))["x"].array, [1.5, -2, 300.25])


class Runs:
    """Its pickle calls something when it is read."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = (call, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def marker() -> str:
    return str(Path("ran").absolute())


RUNNING: dict[str, Callable[[], Any]] = {
    "os.system": lambda: Runs(os.system, f"touch {marker()}"),
    "exec": lambda: Runs(exec, f"open({marker()!r}, 'w')"),
    "eval": lambda: Runs(eval, f"open({marker()!r}, 'w')"),
    "open": lambda: Runs(open, marker(), "w"),
    "getattr": lambda: Runs(getattr, "", "join"),
    "import": lambda: Runs(builtins.__import__, "os"),
    "subprocess": lambda: Runs(subprocess.check_output, ["touch", marker()]),
    "numpy.save": lambda: Runs(np.save, marker(), [1]),
    "numpy.load": lambda: Runs(np.load, marker()),
    "numpy.fromfile": lambda: Runs(np.fromfile, "/etc/hostname"),
    "numpy.ndarray itself": lambda: Runs(np.ndarray, (10,)),
    "an object array": lambda: np.array([Runs(os.system, f"touch {marker()}")], dtype=object),
    "a structured array": lambda: np.zeros(2, dtype=[("a", "f4")]),
    "text in an array": lambda: np.array(["a"]),
    "dates in an array": lambda: np.array(["2020-01-01"], dtype="M8[D]"),
    "complex numbers": lambda: np.zeros(2, dtype=complex),
    "a class of ours": lambda: DatasetError("made by a pickle"),
    "an ordered dict": lambda: collections.OrderedDict(a=1),
    "a set": lambda: {1, 2},
    "a path": lambda: Path("/"),
    "complex": lambda: 1j,
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("make", RUNNING.values(), ids=RUNNING.keys())
def test_whatever_is_no_plain_array_is_refused_and_not_run(
    tmp_path: Path, make: Callable[[], Any], protocol: int
) -> None:
    file = put(tmp_path / "a.pickle", pickle.dumps([{"observations": make()}], protocol))
    with pytest.raises(DatasetError, match=r"a\.pickle is refused: .*; nothing of it was run"):
        load_pickle(file)
    assert names(tmp_path) == ["a.pickle"]


def test_the_message_names_what_was_asked_for(tmp_path: Path) -> None:
    file = put(tmp_path / "a.pickle", pickle.dumps(Runs(os.system, "true")))
    with pytest.raises(DatasetError, match=r"it asks for (posix|nt)\.system"):
        load_pickle(file)


DTYPE = b"cnumpy\ndtype\n(S'f8'\nK\x00K\x01tR"
DTYPE_STATE = b"(K\x03S'<'\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
EMPTY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tS'b'\ntR"


def array_of(shape: bytes, raw: bytes, dtype: bytes = DTYPE + DTYPE_STATE) -> bytes:
    """The program that makes one array, from parts that need not fit."""
    return EMPTY + b"(K\x01(" + shape + b"t" + dtype + b"\x89" + raw + b"tb"


def raw(count: int) -> bytes:
    return b"B" + struct.pack("<I", count) + bytes(count)


TRICKS = {
    "less data than the shape says": array_of(b"K\x09", raw(8)),
    "a shape below zero": array_of(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff", raw(8)),
    "a shape beyond all memory": array_of(b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", raw(8)),
    "a shape of text": array_of(b"S'a'\n", raw(8)),
    "objects behind plain bytes": array_of(b"K\x01", raw(8), b"cnumpy\ndtype\n(S'O8'\nK\x00K\x01tR"),
    "fields slipped in by the state of a type": array_of(
        b"K\x01", raw(8), DTYPE + b"(K\x03S'<'\n(S'a'\nt}S'a'\n(" + DTYPE + b"K\x00tsNK\x08K\x01K\x00tb"
    ),
    "a type made of a list": array_of(b"K\x01", raw(8), b"cnumpy\ndtype\n(]K\x00K\x01tR"),
    "a type that is none": array_of(b"K\x01", raw(8), b"K\x01"),
    "a state on a function": b"cnumpy.core.multiarray\n_reconstruct\n}S'__code__'\nNsb",
    "attributes on a function": b"cnumpy.core.multiarray\n_reconstruct\n(N}S'__defaults__'\nNstb",
    "a call of numpy.ndarray": b"cnumpy\nndarray\n(K\x01tR",
    "a call of a number": b"K\x01)R",
    "a state on a list": b"]}S'a'\nK\x01sb",
    "an instance": b"(S'true'\nios\nsystem\n",
    "a new object": b"cnumpy\nndarray\n)\x81",
    "an extension": b"\x82\x01",
    "a persistent object": b"S'a'\nQ",
    "a dotted name": b"\x8c\x05numpy\x8c\x10core.os.system_x\x93",
    "a name behind numpy.core": b"cnumpy.core.numpy.core.multiarray\nscalar\n",
    "bytes of a number": b"c__builtin__\nbytes\n(K\x05tR",
    "encoding by any codec": b"c_codecs\nencode\n(S'a'\nS'zlib'\ntR",
    "a negative slot": b"]p-1\n",
    "bytes that are not there": b"\x8e\xff\xff\xff\xff\xff\xff\x00\x00",
    "a buffer that is not there": b"\x96\xff\xff\xff\xff\xff\xff\x00\x00",
    "an empty stack": b"R",
    "an unhashable key": b"}]K\x01s",
    "no instruction": b"\xff",
    "a missing memory": b"h\x07",
}


@pytest.mark.parametrize("program", TRICKS.values(), ids=TRICKS.keys())
def test_tricks(tmp_path: Path, program: bytes) -> None:
    file = put(tmp_path / "a.pickle", b"\x80\x02" + program + b".")
    with pytest.raises(DatasetError, match=r"a\.pickle (is refused|cannot be read as a pickle)"):
        load_pickle(file)
    assert load_pickle(put(tmp_path / "b.pickle", array_of(b"K\x02", raw(16)) + b".")).array.tolist() == [0, 0]


@pytest.mark.parametrize("instruction", [b"]", b"K\x01", b"(", b"2"], ids=["lists", "numbers", "marks", "copies"])
def test_more_instructions_than_data_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instruction: bytes) -> None:
    monkeypatch.setattr("awac_tr.utils.unpickle._MAX_INSTRUCTIONS", 1_000)
    with pytest.raises(DatasetError, match="more than 1,000 instructions"):
        load_pickle(put(tmp_path / "a.pickle", b"]" + instruction * 1_001 + b"."))


def test_deep_nesting_is_no_crash(tmp_path: Path) -> None:
    file = put(tmp_path / "a.pickle", b"(" * 100_000 + b"t" * 100_000 + b".")
    script = (
        "import sys; from awac_tr.data.convert.unpickle import load_pickle; load_pickle(sys.argv[1]); print('read')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr


def test_tricks_do_not_ask_for_memory(tmp_path: Path) -> None:
    greedy = [TRICKS[name] for name in ("a buffer that is not there", "a shape beyond all memory")]
    for number, program in enumerate([*greedy, b"]r\xff\xff\xff\x7f", b"]p2147483647\n"]):  # slots of memory
        put(tmp_path / f"{number}.pickle", b"\x80\x02" + program + b".")
    script = (
        "import resource; from awac_tr.data.convert.unpickle import load_pickle\n"
        "from awac_tr.errors import DatasetError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))\n"
        "for number in range(4):\n"
        "    try: print(load_pickle(f'{number}.pickle'))\n"
        "    except DatasetError as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[2:] == ["[]", "[]"]
    assert not [line for line in lines if "does not fit into memory" in line]


def test_not_a_pickle(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no file"):
        load_pickle(tmp_path / "none.pickle")
    with pytest.raises(DatasetError, match="cannot be read as a pickle"):
        load_pickle(put(tmp_path / "a.pickle", b""))
    whole = pickle.dumps({"x": np.zeros(100)})
    for length in range(1, len(whole), 37):
        with pytest.raises(DatasetError):
            load_pickle(put(tmp_path / "a.pickle", whole[:length]))


def test_random_bytes_are_refused_one_way_or_another(tmp_path: Path) -> None:
    whole = pickle.dumps([{"x": np.arange(5.0)}], 2)
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(100):
        spoiled = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            spoiled[place] = rng.integers(256)
        try:
            load_pickle(put(tmp_path / "a.pickle", bytes(spoiled)))
            read += 1
        except DatasetError as error:
            assert "a.pickle" in str(error)  # noqa: PT017  (some spoiled files are still good)
    assert read < 100
