"""Damage to HDF5: whole objects swapped for others of the library's many kinds, then bytes."""

from __future__ import annotations

import io
import random
from typing import Any

import h5py
import numpy as np
from mutate import JUNK, damage


def damage_hdf5(rng: random.Random, data: bytes, others: list[bytes] = ()) -> bytes:  # type: ignore[assignment]
    """Objects and attributes changed through the library, bytes changed without it, or both."""
    how = rng.random()
    if how < 0.6:
        return damage(rng, data, others)
    held = io.BytesIO(data)
    try:
        with h5py.File(held, "r+") as file:
            for _ in range(rng.choice((1, 1, 2, 4))):
                _change(rng, file)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError, NotImplementedError, UnicodeError):
        pass  # what the library will not write stays as it was
    changed = held.getvalue()
    return damage(rng, changed, others) if how > 0.85 else changed


def _change(rng: random.Random, file: h5py.File) -> None:
    names: list[str] = []
    file.visit(names.append)
    name = rng.choice(names)
    if rng.random() < 0.35:
        _attribute(rng, rng.choice((file, file, file[name])))
        return
    rows = file[name].shape[:1] if isinstance(file[name], h5py.Dataset) and file[name].shape else (5,)
    how = rng.randrange(9)
    if how == 0:
        del file[name]
    elif how == 1:
        file[f"{name}_again"] = file[name]
    elif how == 2:
        group = rng.choice(("infos", "episodes", "data", "extra", "metadata"))
        file[f"{group}/{rng.choice(('a', 'é', 'a.b', 'x' * 300))}"] = _array(rng, rows)
    elif how == 3:
        _swap(
            file,
            name,
            rng.choice((h5py.SoftLink("/observations"), h5py.ExternalLink("other.hdf5", "/a"), h5py.SoftLink(name))),
        )
    elif how == 4:
        del file[name]
        file.create_group(name)
    elif how == 5:
        kept = file[name][...] if isinstance(file[name], h5py.Dataset) else _array(rng, rows)
        del file[name]
        filters: dict[str, Any] = rng.choice(
            ({"compression": "lzf"}, {"scaleoffset": 2}, {"fletcher32": True}, {"shuffle": True, "compression": 9})
        )
        file.create_dataset(name, data=kept, chunks=True, **filters)
    elif how == 6:
        del file[name]
        shape = rng.choice(((2**40,), (2**20, 2**20), (10**6, 3), (0, 3), (3, 0), (2**62,), (5, 2**30)))
        file.create_dataset(
            name,
            shape=shape,
            dtype=rng.choice(("f4", "?", "f8")),
            chunks=rng.choice((True, None)),
            fillvalue=rng.choice((None, 1)),
        )
    elif how == 7:
        layout = h5py.VirtualLayout(shape=(5, 3), dtype="f4")
        layout[:] = h5py.VirtualSource("other.hdf5", "observations", shape=(5, 3))
        del file[name]
        file.create_virtual_dataset(name, layout)
    else:
        _swap(file, name, _array(rng, rows))


def _swap(file: h5py.File, name: str, value: Any) -> None:
    del file[name]
    file[name] = value


def _array(rng: random.Random, rows: tuple[int, ...]) -> Any:
    n = rows[0] if rows and rows[0] < 10_000 else 5
    text = h5py.string_dtype()
    return rng.choice(
        (
            np.zeros((n, 3)),
            np.zeros(n, "f2"),
            np.full(n, np.nan),
            np.zeros((n, 1), "i8"),
            np.zeros((n, 2, 2)),
            np.float64(3),
            h5py.Empty("f4"),
            np.zeros(n, [("a", "f4"), ("b", "i4")]),
            np.zeros(n, "c8"),
            np.array([b"x"] * n),
            np.zeros((n, 3), ">f8"),
            np.array(["words"] * n, dtype=text),
            np.zeros(n, "V7"),
            np.full((n, 3), 1e300),
            np.arange(n, dtype="u8"),
            np.zeros((0, 3)),
            np.array([True] * n),
            "a single text",
            np.zeros(n, np.dtype((np.float32, (3,)))),
            np.zeros((n, 3), "f4", order="F"),
            np.full(n, -(2**62)),
            np.zeros((1,) * 30),
        )
    )


def _attribute(rng: random.Random, item: Any) -> None:
    names = list(item.attrs) or ["format"]
    name = rng.choice(
        (*names, *names, "format", "seed", "env_args", "horizon", "complete", "n_transitions", "awac_tr/x")
    )
    if rng.random() < 0.15:
        item.attrs.pop(name, None)
        return
    value = rng.choice(
        (
            *JUNK,
            np.float64(3),
            h5py.Empty("f4"),
            np.zeros(3),
            np.zeros((2, 2)),
            b"\xff\xfe",
            np.array(["a", "b"], dtype=h5py.string_dtype()),
            np.zeros(2, [("a", "f4")]),
            "awac-tr-dataset",
            2,
            1,
            np.int8(1),
            10**30,
            item.ref,
            np.array([b"fixed"]),
            "[]",
            "{}",
            '{"a": 1}',
        )
    )
    item.attrs[name] = value
