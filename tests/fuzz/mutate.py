"""Damage: bytes, text, JSON, archives, HDF5 and pickles changed at random, but always the same for the same seed."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

Rng = random.Random

NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    16,
    64,
    127,
    128,
    255,
    256,
    1000,
    1024,
    4096,
    65535,
    65536,
    10**6,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
NUMBERS += (2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = (
    "null",
    "true",
    "~",
    "0",
    "-1",
    "1e999",
    ".nan",
    ".inf",
    "1_000",
    "1e-400",
    "''",
    "[]",
    "{}",
    "[[]]",
    "{a: {b: 1}}",
    "!!python/object/apply:os.system ['touch ran']",
    "&a [*a]",
    "*a",
    "<<: *a",
    "- - - -",
    "? :",
    "|",
    ">-",
    "%YAML 9.9",
    "---",
    "...",
    "#",
    "\t",
    "\x00",
    "\ufeff",
    "\u2028",
    "\ud7ff",
    "é" * 50,
    "9" * 5000,
    "9" * 400,
    "1:30",
    "0x1F",
    "off",
    "../../../../tmp/elsewhere",
    "/etc/passwd",
    "awac_fuzz_canary:Task-v0",
    "awac_fuzz_canary",
    "a" * 10_000,
    "[" * 2000,
    "{a: " * 300,
    "$(touch ran)",
    "%s%n",
    "door-binary-v0",
    "awac",
    "datasets",
    "\x1b[31m",
    "Infinity",
    "NaN",
    "1" + "0" * 308,
)
JUNK: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    3,
    10**6,
    2**31,
    2**53,
    2**63,
    10**400,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "awac_fuzz_canary:Task-v0",
    "awac_fuzz_canary",
    "../../x",
    "a" * 5000,
    "1",
    "null",
    "\x00",
    "\ud7ff",
    [],
    {},
    [[]],
    [1, "a"],
    {"a": [None]},
    [0] * 3000,
    {"": 0},
    [[1.0, 2.0], [3.0]],
    {"id": 1},
    "Hopper-v5",
    "door-binary-v0",
)


def damage(rng: Rng, data: bytes, others: list[bytes] = ()) -> bytes:  # type: ignore[assignment]
    """A few changes to bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 8, 16))):
        rng.choice(_BYTES)(rng, changed)
    if others and rng.random() < 0.08:
        other = rng.choice(others)
        cut, at = rng.randrange(len(changed) + 1), rng.randrange(len(other) + 1)
        return bytes(changed[:cut]) + other[at:]
    return bytes(changed)


def _span(rng: Rng, changed: bytearray) -> tuple[int, int]:
    start = rng.randrange(len(changed) + 1)
    return start, min(len(changed), start + rng.choice((1, 2, 4, 8, 16, 64, 256, 1024)))


def _flip(rng: Rng, changed: bytearray) -> None:
    if changed:
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)


def _set(rng: Rng, changed: bytearray) -> None:
    if changed:
        changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(rng: Rng, changed: bytearray) -> None:
    kind = rng.choice("BHIQ")
    size = struct.calcsize(kind)
    if len(changed) < size:
        return
    at = rng.randrange(len(changed) - size + 1)
    order = rng.choice("<<<>")
    old = struct.unpack_from(order + kind, changed, at)[0]
    new = rng.choice((*NUMBERS, len(changed), old + 1, old - 1, old * 2, old + rng.randrange(-64, 64), old << 8))
    struct.pack_into(order + kind, changed, at, new % (1 << (8 * size)))


def _delete(rng: Rng, changed: bytearray) -> None:
    start, stop = _span(rng, changed)
    del changed[start:stop]


def _double(rng: Rng, changed: bytearray) -> None:
    start, stop = _span(rng, changed)
    changed[start:start] = changed[start:stop] * rng.choice((1, 1, 2, 50))


def _insert(rng: Rng, changed: bytearray) -> None:
    start, _ = _span(rng, changed)
    changed[start:start] = rng.randbytes(rng.choice((1, 2, 8, 64)))


def _cut(rng: Rng, changed: bytearray) -> None:
    del changed[rng.randrange(len(changed) + 1) :]


def _copy(rng: Rng, changed: bytearray) -> None:
    start, stop = _span(rng, changed)
    at = rng.randrange(len(changed) + 1)
    changed[at : at + stop - start] = changed[start:stop]


def _fill(rng: Rng, changed: bytearray) -> None:
    start, stop = _span(rng, changed)
    changed[start:stop] = bytes([rng.choice((0, 0xFF, 0x41))]) * (stop - start)


_BYTES: tuple[Callable[[Rng, bytearray], None], ...] = (
    *(_flip, _flip, _set, _set, _number, _number, _number, _delete, _double, _insert, _copy, _fill),
    _cut,
)


def damage_text(rng: Rng, data: bytes, others: list[bytes] = ()) -> bytes:  # type: ignore[assignment]
    """A few changes to the lines and words of a text; sometimes to its bytes."""
    if rng.random() < 0.25:
        return damage(rng, data, others)
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(lines))
        line, indent = lines[at], len(lines[at]) - len(lines[at].lstrip())
        key, colon, value = line.partition(":")
        word = rng.choice(WORDS)
        lines[at : at + 1] = rng.choice(
            (
                [],
                [line, line],
                [key + colon + " " + word],
                [word + colon + value],
                [" " * rng.randrange(6) + line.strip()],
                [line + word],
                [line[: rng.randrange(len(line) + 1)]],
                [" " * indent + word],
                [line, " " * indent + word + ": " + word],
                [line.replace(" ", rng.choice(("\t", "", "  ")))],
                [rng.choice(lines)],
                ["[" + line + "]"],
                [key + colon + " " + str(rng.choice(NUMBERS))],
                [line * rng.choice((2, 40))],
            )
        )
        lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def damage_json(rng: Rng, data: bytes, others: list[bytes] = ()) -> bytes:  # type: ignore[assignment]
    """A few values of JSON (one value, or one a line) replaced, left out, nested; sometimes the text itself."""
    if rng.random() < 0.3:
        return damage_text(rng, data, others)
    try:
        rows = (
            [json.loads(line) for line in data.splitlines()]
            if data[:1] == b"{" and b"\n{" in data
            else [json.loads(data)]
        )
    except ValueError:
        return damage_text(rng, data, others)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(rows))
        rows[at] = _changed_json(rng, rows[at], rng.choice((0, 1, 1, 2, 3, 4)))
    return "\n".join(json.dumps(row) for row in rows).encode("utf-8", "replace") + rng.choice((b"\n", b"\n", b""))


def _changed_json(rng: Rng, value: Any, depth: int) -> Any:
    if depth and isinstance(value, dict) and value:
        key = rng.choice(list(value))
        kept = {name: one for name, one in value.items() if name != key or rng.random() < 0.9}
        return kept | ({key: _changed_json(rng, value[key], depth - 1)} if key in kept else {})
    if depth and isinstance(value, list) and value:
        at = rng.randrange(len(value))
        return rng.choice(
            (value[:at], value * 2, [*value[:at], _changed_json(rng, value[at], depth - 1), *value[at + 1 :]])
        )
    if isinstance(value, str) and value[:1] == "{" and rng.random() < 0.7:
        return damage_json(rng, value.encode("utf-8", "replace")).decode("utf-8", "replace")
    return rng.choice((*JUNK, [value], {"a": value}, str(value)))


def damage_zip(rng: Rng, data: bytes, others: list[bytes] = ()) -> bytes:  # type: ignore[assignment]
    """A member changed and stored with a checksum that fits; sometimes the bytes of the archive."""
    if rng.random() < 0.4:
        return damage(rng, data, others)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    how = rng.random()
    if how < 0.75:
        inner = damage_json if content[:1] == b"{" else damage
        members[at] = (name, inner(rng, content, [other for _, other in members]))
    elif how < 0.82:
        members[at] = (
            rng.choice(("../../elsewhere", "/elsewhere", ".", name * 3, name + "\x00", name.upper())),
            content,
        )
    elif how < 0.88:
        del members[at]
    elif how < 0.94:
        members[at] = (name, rng.choice(members)[1])
    else:
        members[at] = (name, content + bytes(rng.choice((100_000, 5_000_000))))
    packed = io.BytesIO()
    with zipfile.ZipFile(
        packed, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as archive:
        for one, content in members:
            archive.writestr(one, content)
    return packed.getvalue()
