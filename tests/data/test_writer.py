"""Files appear whole or not at all."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from awac_tr.data.format.meta import DatasetMeta, Parent
from awac_tr.data.format.spec import ARRAYS
from awac_tr.data.storage.reader import open_dataset
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.data.validation.validate import validate
from awac_tr.errors import DatasetError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read(tmp_path: Path, make_episode: Any, make_meta: Any) -> None:
    path = tmp_path / "deep" / "er" / "a.hdf5"
    about = make_meta(
        env_kwargs={"hinge": 1.35},
        horizon=9,
        policy="dice",
        seed=11,
        licence="MIT",
        description="ünï",
        parents=(Parent("p", "sha256:00", "demos"),),
        extra={"a": [1, {"b": None}]},
    )
    episodes = [make_episode(seed, steps) for seed, steps in ((5, 4), (6, 9), (7, 1))]
    with DatasetWriter(path, about) as writer:
        for episode in episodes:
            writer.append(episode, per_episode={"init": np.full((2, 2), episode.seed)})
        digest = writer.finish()
    with open_dataset(path) as dataset:
        assert dataset.meta == about
        assert dataset.content_hash == dataset.compute_hash() == digest
        assert (dataset.n_transitions, dataset.n_episodes) == (14, 3)
        assert dataset.episode_bounds.tolist() == [[0, 4], [4, 13], [13, 14]]
        assert dataset.rows("episodes/init")[:, 0, 0].tolist() == [5, 6, 7]
        for index, episode in enumerate(episodes):
            found = dataset.episode(index)
            assert found.seed == episode.seed
            assert sorted(found.infos) == ["qpos", "success"]
            for name, kind in ARRAYS.items():
                assert getattr(found, name).dtype == np.dtype(kind)
                np.testing.assert_array_equal(getattr(found, name), getattr(episode, name))
            np.testing.assert_array_equal(found.infos["qpos"], episode.infos["qpos"])
        assert dataset.episode(-1).seed == 7
        with pytest.raises(DatasetError, match="has 3 episodes, none of number 3"):
            dataset.episode(3)
    assert validate(path) == []
    assert names(path.parent) == ["a.hdf5"]


def test_plain_h5py_reads_the_file_as_d4rl_does(three: Path) -> None:
    with h5py.File(three) as file:
        assert {name: (file[name].shape[0], file[name].dtype.str) for name in ARRAYS} == {
            name: (13, kind) for name, kind in ARRAYS.items()
        }
        ends = file["terminals"][:] | file["timeouts"][:]
        assert np.flatnonzero(ends).tolist() == [4, 5, 12]
        assert file.attrs["complete"]
        assert (file.attrs["n_transitions"], file.attrs["n_episodes"]) == (13, 3)


def test_content_hash_is_the_documented_one(three: Path) -> None:
    lines = ["awac-tr-dataset"]
    with h5py.File(three) as file:
        noted = file.attrs["content_hash"].decode()
        for name in sorted([*ARRAYS, "infos/success", "infos/qpos", "episodes/seeds"]):
            array = file[name][:]
            digest = hashlib.sha256(array.tobytes()).hexdigest()
            assert file[name].attrs["sha256"].decode() == digest
            lines.append(f"{name} {array.dtype.str} {'x'.join(map(str, array.shape))} {digest}")
    assert noted == "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize(
    "storage", [{"chunks": (2, 3), "compression": "gzip"}, {"chunks": None}, {"chunks": (13, 1), "shuffle": True}]
)
def test_hash_survives_another_chunking_and_compression(three: Path, tmp_path: Path, storage: dict[str, Any]) -> None:
    copy = tmp_path / "copy.hdf5"
    with h5py.File(three) as old, h5py.File(copy, "w") as new:
        new.attrs.update(old.attrs)
        for name in [*ARRAYS, "infos/success", "infos/qpos", "episodes/seeds"]:
            options = storage if old[name].shape == (13, 3) else {}
            new.create_dataset(name, data=old[name][:], **options)
            new[name].attrs.update(old[name].attrs)
    assert validate(copy) == []


def test_nothing_is_left_when_the_block_is_left_early(tmp_path: Path, make_episode: Any, make_meta: Any) -> None:
    path = tmp_path / "a.hdf5"
    with DatasetWriter(path, make_meta()) as writer:
        writer.append(make_episode())
        assert names(tmp_path) == ["a.hdf5.lock", "a.hdf5.part"]
    assert names(tmp_path) == []
    with pytest.raises(DatasetError, match="not being written"):
        writer.append(make_episode())


def test_an_existing_file_is_kept(three: Path, make_episode: Any, make_meta: Any) -> None:
    before = three.read_bytes()
    with pytest.raises(DatasetError, match="exists already"):
        DatasetWriter(three, make_meta())
    with pytest.raises(DatasetError, match="no episode"), DatasetWriter(three, make_meta(), overwrite=True) as writer:
        writer.finish()
    assert three.read_bytes() == before
    with DatasetWriter(three, make_meta(), overwrite=True) as writer:
        writer.append(make_episode(9))
        writer.finish()
    with open_dataset(three) as dataset:
        assert dataset.episode(0).seed == 9


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, make_episode: Any, make_meta: Any) -> None:
    path = tmp_path / "a.hdf5"
    with DatasetWriter(path, make_meta()) as writer:
        writer.append(make_episode())
        path.write_text("theirs")
        with pytest.raises(DatasetError, match="exists already"):
            writer.finish()
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["a.hdf5"]


def test_two_writers_of_one_file(tmp_path: Path, make_episode: Any, make_meta: Any) -> None:
    path = tmp_path / "a.hdf5"
    with DatasetWriter(path, make_meta()) as writer:
        writer.append(make_episode(1))
        with pytest.raises(DatasetError, match="being written by another process"), DatasetWriter(path, make_meta()):
            pass
        writer.append(make_episode(2))
        writer.finish()
    with open_dataset(path) as dataset:
        assert dataset.n_episodes == 2


def test_what_a_killed_writer_left_is_replaced(
    tmp_path: Path, make_episode: Any, make_meta: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.hdf5"
    path.with_name("a.hdf5.part").write_bytes(b"x" * 100_000)
    with caplog.at_level("INFO"), DatasetWriter(path, make_meta()) as writer:
        writer.append(make_episode())
        writer.finish()
    assert "left by a process that was killed" in caplog.text
    assert validate(path) == []


Spoil = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda e: replace(e, actions=np.full((5, 2), np.nan, np.float32)), "actions: 5 rows with NaN"),
        (lambda e: replace(e, observations=e.observations * np.float32(np.inf)), "observations: 5 rows with NaN"),
        (lambda e: replace(e, actions=e.actions * 2 + 2), "outside the action bounds"),
        (lambda e: replace(e, actions=e.actions[:, :1]), "actions: rows of 1 numbers, bounds of 2"),
        (lambda e: replace(e, rewards=e.rewards[:4]), "rows|has shape"),
        (lambda e: replace(e, rewards=e.rewards[:, None]), "rewards: has shape"),
        (lambda e: replace(e, timeouts=np.zeros(5, bool)), "has no end"),
        (lambda e: replace(e, terminals=np.arange(5) == 2), "an end is set before the last row"),
        (lambda e: replace(e, observations=e.observations[::-1].copy()), "not the observation of the row after"),
        (lambda e: replace(e, infos={"success": np.zeros(4, bool)}), "infos/success: has shape"),
        (lambda e: replace(e, infos={"note": np.array(["a"] * 5)}), "infos/note: has type"),
        (lambda e: replace(e, infos={"success": np.zeros(5, bool)}), "differs from those before it in infos/qpos"),
        (lambda e: replace(e, observations=e.observations[:0]), "observations: has shape"),
    ],
)
def test_a_bad_episode_is_refused_and_named(
    tmp_path: Path, make_episode: Any, make_meta: Any, spoil: Spoil, message: str
) -> None:
    with DatasetWriter(tmp_path / "a.hdf5", make_meta()) as writer:
        writer.append(make_episode(0))
        with pytest.raises(DatasetError, match=message):
            writer.append(spoil(make_episode(1)))
        assert (writer.transitions, writer.episodes) == (5, 1)


def test_what_is_not_json_is_refused_before_a_file_is_made(tmp_path: Path, make_meta: Any) -> None:
    with pytest.raises(DatasetError, match="plain JSON"):
        DatasetWriter(tmp_path / "a.hdf5", make_meta(extra={"f": len}))
    with pytest.raises(DatasetError, match="action_low has 1 entries"):
        DatasetMeta("e", "random", [0], [1, 1])
    assert names(tmp_path) == []


def test_a_folder_or_a_closed_folder_is_no_place(tmp_path: Path, make_meta: Any) -> None:
    with pytest.raises(DatasetError, match="is a folder"):
        DatasetWriter(tmp_path, make_meta())
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DatasetError, match="cannot be written"),
        DatasetWriter(tmp_path / "file" / "a.hdf5", make_meta()),
    ):
        pass


FULL_DISK = """
    import resource, sys
    import numpy as np
    from awac_tr.data.format.meta import DatasetMeta
    from awac_tr.data.storage.writer import DatasetWriter
    from awac_tr.envs.episode import Episode
    from awac_tr.errors import DatasetError

    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    rng = np.random.default_rng(0)
    try:
        with DatasetWriter(sys.argv[1], DatasetMeta("", "random", [-1] * 28, [1] * 28)) as writer:
            for seed in range(30):
                s, last = rng.normal(size=(201, 39)).astype("f4"), np.arange(200) == 199
                a, flags = np.zeros((200, 28), "f4"), np.zeros(200, bool)
                writer.append(Episode(s[:-1], a, flags.astype("f4"), s[1:], flags, last, {}, seed))
            writer.finish()
    except DatasetError as error:
        print(error)
"""


@pytest.mark.parametrize("room", [0, 1_000, 100_000, 1_000_000, 2_500_000])
def test_a_full_disk_leaves_nothing_and_the_process_alive(tmp_path: Path, room: int) -> None:
    # The limit on the size of a file makes the kernel refuse writes in the way a full disk does, and needs no rights.
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), "a.hdf5", str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a.hdf5 cannot be written: File too large; the unfinished file was removed" in done.stdout
    assert names(tmp_path) == []


def test_with_room_enough_the_same_program_succeeds(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), "a.hdf5", str(10_000_000)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert not [found for found in validate(tmp_path / "a.hdf5") if found.severity == "error"]


def test_a_killed_process_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    script = textwrap.dedent(FULL_DISK).replace("writer.finish()", "import os; os.kill(os.getpid(), 9)")
    command = [sys.executable, "-c", script, "a.hdf5", "10000000"]
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL
    assert names(tmp_path) == ["a.hdf5.lock", "a.hdf5.part"]
