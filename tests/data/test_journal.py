"""An append-only file: whole up to its last record, whatever happened to it."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.data.storage import journal
from awac_tr.data.storage.journal import SIGNATURE, Journal, read_records
from awac_tr.errors import DatasetError

RNG = np.random.default_rng(0)
ARRAYS = {
    "observations": RNG.normal(size=(5, 3)).astype(np.float32),
    "flags": np.array([True, False]),
    "nothing": np.zeros((0, 7), np.float64),
    "seed": np.array([-3], np.int64),
    "pictures": RNG.integers(0, 255, (2, 4, 4, 3)).astype(np.uint8),
}


@pytest.fixture
def three(tmp_path: Path) -> Path:
    path = tmp_path / "a.partial"
    writer = Journal(path)
    for number in range(3):
        writer.append({"kind": "test", "number": number}, ARRAYS if number else None)
    writer.close()
    return path


def numbers(path: Path, **options: Any) -> list[int]:
    return [record.head["number"] for record in read_records(path, **options)]


def test_what_was_appended_is_read_to_the_bit(three: Path) -> None:
    records = list(read_records(three))
    assert [record.head["number"] for record in records] == [0, 1, 2]
    assert records[0].arrays == {}
    for name, rows in ARRAYS.items():
        found = records[2].arrays[name]
        assert (found.dtype, found.shape) == (rows.dtype, rows.shape)
        np.testing.assert_array_equal(found, rows)
    assert records[-1].end == three.stat().st_size
    assert numbers(three, bodies=False) == [0, 1, 2]


def test_cut_anywhere_the_records_before_the_cut_are_there_and_more_can_follow(three: Path) -> None:
    whole = three.read_bytes()
    ends = [record.end for record in read_records(three)]
    for size in range(len(whole) + 1):
        three.write_bytes(whole[:size])
        kept = sum(end <= size for end in ends)
        assert numbers(three) == numbers(three, bodies=False) == list(range(kept))
    three.write_bytes(whole[: ends[1] + 20])
    writer = Journal(three, keep=ends[1])
    writer.append({"number": 7})
    writer.close()
    assert numbers(three) == [0, 1, 7]


def test_a_flipped_bit_ends_the_records_before_it(three: Path) -> None:
    whole = bytearray(three.read_bytes())
    ends = [record.end for record in read_records(three)]
    for place in range(len(SIGNATURE), len(whole), 3):
        whole[place] ^= 16
        three.write_bytes(whole)
        assert numbers(three) == list(range(sum(end <= place for end in ends)))
        whole[place] ^= 16


def test_a_failed_write_leaves_the_records_before_it(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = three.read_bytes()
    writer, room, write = Journal(three, keep=len(before)), 200, os.write

    def full(descriptor: int, data: Any) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(room, len(data))
        room -= taken
        return write(descriptor, data[:taken])

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        with pytest.raises(OSError, match="No space left"):
            writer.append({"number": 3}, ARRAYS)
    assert three.read_bytes() == before
    writer.append({"number": 4}, ARRAYS)
    writer.close()
    assert numbers(three) == [0, 1, 2, 4]


def test_the_disk_is_waited_for_every_few_seconds(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, synced = [0.0], []
    monkeypatch.setattr("awac_tr.data.storage.journal.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("awac_tr.data.storage.journal.os.fdatasync", lambda _: synced.append(clock[0]))
    writer = Journal(three)
    for clock[0] in np.arange(0.0, 20.0, 0.5):
        writer.append({"number": 1})
    assert synced == [0.0, 5.5, 11.0, 16.5]
    writer.close()


def framed(head: bytes, body: bytes = b"") -> bytes:
    frame = struct.pack("<4sIQ", b"REC\n", len(head), len(body)) + head + body
    return frame + struct.pack("<I", journal.zlib.crc32(frame))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"awac-tr-partial 2\n", "of another version of the format than 1"),
        (b"\x89HDF\r\n\x1a\n" * 10, "no unfinished collection of awac-tr"),
        (SIGNATURE + framed(b"[1]"), "a record has no head"),
        (SIGNATURE + framed(b"{"), "a record has no head"),
        (SIGNATURE + framed(b"[" * 100_000), "a record has no head"),
        (SIGNATURE + framed(b'{"arrays": [["a", "<f4", [3]]]}'), "make no sense"),
        (SIGNATURE + framed(b'{"arrays": [["a", "<f4", [-1]]]}', b"1234"), "make no sense"),
        (SIGNATURE + framed(b'{"arrays": [["a", "|O8", [1]]]}', b"12345678"), "make no sense"),
        (SIGNATURE + framed(b'{"arrays": [["a", "<f4", [4611686018427387904]]]}', b"1234"), "make no sense"),
        (SIGNATURE + framed(b'{"arrays": 7}', b"1234"), "make no sense"),
        (SIGNATURE + framed(b'{"arrays": []}', b"1234"), "longer than its arrays"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "strange.partial"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        list(read_records(path))


def test_sizes_beyond_the_file_are_no_records(tmp_path: Path) -> None:
    path = tmp_path / "large.partial"
    for head, body in ((2**31, 0), (0, 2**62), (2**63 % 2**32, 2**63)):
        path.write_bytes(SIGNATURE + struct.pack("<4sIQ", b"REC\n", head, body) + b"x" * 50)
        assert list(read_records(path)) == []


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a.partial").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"):
        Journal(tmp_path / "a.partial")
    assert (tmp_path / "precious").read_text() == "precious"
