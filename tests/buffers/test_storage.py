"""Mapped files hold the rows that memory would, with less of it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from awac_tr.buffers.buffer import TransitionBuffer, load_buffer, load_transitions, observation_statistics
from awac_tr.errors import DatasetError
from awac_tr.keys import ACTION, OBSERVATION, TRUNCATED


def buffer_of(path: Path, storage: Any, **options: Any) -> TransitionBuffer:
    generator = torch.Generator().manual_seed(3)
    return load_buffer([path], 40, 8, storage=storage, folder=path.parent, generator=generator, **options)


@pytest.mark.parametrize("storage", ["memory", "memmap"])
def test_a_file_loaded_in_blocks_is_the_file(three: Path, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from awac_tr.buffers import buffer
    from awac_tr.data.storage import reader

    whole = load_transitions([three, three], action_margin=0.25)
    monkeypatch.setattr(reader, "BLOCK_ROWS", 4)
    monkeypatch.setattr(buffer, "_SUMMED_ROWS", 3)
    filled = load_buffer([three, three], 40, storage=storage, folder=three.parent, action_margin=0.25)
    assert len(filled) == 26
    for key in whole.keys(include_nested=True, leaves_only=True):
        assert torch.equal(filled[:][key], whole[key]), key
    states = whole[OBSERVATION].double()
    expected_statistics = states.mean(dim=0).float(), states.std(dim=0, correction=0).float()
    for found, expected in zip(observation_statistics(filled), expected_statistics, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_mapped_rows_are_drawn_as_those_in_memory(three: Path) -> None:
    mapped, memory = buffer_of(three, "memmap"), buffer_of(three, "memory")
    more = load_transitions([three])[:9]
    for _ in range(5):
        left, right = mapped.sample(), memory.sample()
        for key in right.keys(include_nested=True, leaves_only=True):
            assert torch.equal(left[key], right[key]), key
            assert type(left[key]) is torch.Tensor
        for one in (mapped, memory):
            one.extend(more)
    assert len(mapped) == len(memory) == 40
    assert torch.equal(mapped[:][ACTION], memory[:][ACTION])
    assert torch.equal(mapped[torch.tensor([3, 1])][TRUNCATED], memory[torch.tensor([3, 1])][TRUNCATED])


def test_no_file_is_left_where_the_rows_lie(three: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        mapped = buffer_of(three, "memmap", growth=2)
    assert [path.name for path in three.parent.iterdir()] == ["three.hdf5"]
    assert "freed when the process ends" in caplog.text
    mapped.extend(load_transitions([three])[:2])
    assert len(mapped) == 15
    assert mapped.sample()[OBSERVATION].shape == (8, 3)


def test_a_folder_that_cannot_be_used(three: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"a buffer of 40 rows, .* cannot be made in .*nowhere: No such file"
    ) as caught:
        load_buffer([three], 40, storage="memmap", folder="nowhere")
    assert "--scratch" in (caught.value.hint or "")
    with pytest.raises(DatasetError, match="13 transitions do not fit into a buffer of 12"):
        load_buffer([three], 12, storage="memmap")


SMALL_DISK = """
    import resource, sys
    from awac_tr.buffers.buffer import load_buffer
    from awac_tr.errors import DatasetError

    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    try:
        load_buffer(["three.hdf5"], 1_000_000, storage="memmap")
    except DatasetError as error:
        print(error)
"""


def test_a_full_disk_is_an_error_at_the_start(three: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(SMALL_DISK)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=three.parent)
    assert done.returncode == 0, done.stderr
    assert "a buffer of 1,000,000 rows, 0.047 GB, cannot be made in ." in done.stdout
    assert [path.name for path in three.parent.iterdir()] == ["three.hdf5"]


LIMITED = """
    import resource, sys
    import torch
    from awac_tr.buffers.buffer import load_buffer, observation_statistics

    kind, room = sys.argv[1], int(sys.argv[2])
    load_buffer(["small.hdf5"], 100, storage=kind).sample(5)
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    used = int(status["VmData"].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + room, used + room))
    buffer = load_buffer(["large.hdf5"], 200_000, storage=kind)
    observation_statistics(buffer)
    for _ in range(20):
        buffer.sample(1024)
    print(len(buffer))
"""


@pytest.mark.parametrize(("kind", "passes"), [("memmap", True), ("memory", False)])
def test_a_file_larger_than_the_memory_is_loaded_and_sampled(
    tmp_path: Path, make_episode: Any, make_meta: Any, write_dataset: Any, kind: str, passes: bool
) -> None:
    about = make_meta(action_low=[-1] * 28, action_high=[1] * 28)
    write_dataset(tmp_path / "small.hdf5", [make_episode(0, 50, sizes=(39, 28))], about)
    write_dataset(tmp_path / "large.hdf5", [make_episode(0, 1000, sizes=(39, 28))] * 200, about)
    assert (tmp_path / "large.hdf5").stat().st_size > 85_000_000
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), kind, str(60_000_000)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    (tmp_path / "large.hdf5").unlink()
    if passes:
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.split()[-1] == "200000"
    else:
        assert done.returncode != 0
        assert "allocate" in done.stderr or "MemoryError" in done.stderr
