"""Rows and episodes as TensorDicts: what training would see, read piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torchrl.data import LazyTensorStorage, SliceSampler, TensorDictReplayBuffer

from awac_tr.buffers import load_transitions
from awac_tr.data import Dataset, open_dataset
from awac_tr.errors import DatasetError

KEYS = {
    "observation",
    "action",
    *(("next", name) for name in ("observation", "reward", "terminated", "truncated", "done")),
}
LENGTHS = [5, 1, 7]
ROWS = sum(LENGTHS)


@pytest.fixture
def dataset(three: Path) -> Iterator[Dataset]:
    with open_dataset(three) as opened:
        yield opened


@pytest.fixture
def whole(three: Path) -> TensorDict:
    return load_transitions([three])


def keys(rows: TensorDict) -> set[Any]:
    return set(rows.keys(include_nested=True, leaves_only=True))


def same(found: TensorDict, expected: TensorDict) -> bool:
    assert found.batch_size == expected.batch_size
    assert keys(found) == keys(expected)
    return all(torch.equal(found[key], expected[key]) for key in keys(expected))


def test_rows_are_what_training_loads(dataset: Dataset, whole: TensorDict) -> None:
    assert len(dataset.transitions) == ROWS == len(whole)
    rows = dataset.transitions[:]
    assert keys(rows) == KEYS
    assert same(rows, whole)
    assert rows["next", "reward"].shape == (ROWS, 1)
    assert rows["observation"].dtype == torch.float32


@pytest.mark.parametrize(
    "index",
    [0, -1, 12, np.int64(3), torch.tensor(4), slice(2, 9), slice(-3, None), slice(None, None, -1), slice(10, 1, -4),
     slice(4, 4), slice(9, 2), slice(5, 100), [3, 1, 1, -1], np.array([12, 0]), torch.tensor([7, 2, 7]), []],
    ids=str,
)  # fmt: skip
def test_rows_are_chosen_as_in_numpy(dataset: Dataset, whole: TensorDict, index: Any) -> None:
    expected = whole[torch.from_numpy(np.array(np.arange(ROWS)[index]))]
    assert same(dataset.transitions[index], expected)


@pytest.mark.parametrize("as_mask", [np.array, torch.tensor, list])
def test_rows_are_chosen_by_a_mask(dataset: Dataset, whole: TensorDict, as_mask: Callable[..., Any]) -> None:
    mask = [number % 3 == 0 for number in range(ROWS)]
    assert same(dataset.transitions[as_mask(mask)], whole[torch.tensor(mask)])


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (13, "there are 13 rows, none of number 13"),
        (-14, "none of number -14"),
        ([0, 13], "none of number 13"),
        ([0.5], "not by float64"),
        ([[1, 2]], r"of shape \(1, 2\)"),
        ([True, False], r"a mask of shape \(2,\) for 13 rows"),
    ],
)
def test_rows_that_are_not_there(dataset: Dataset, index: Any, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        dataset.transitions[index]
    with pytest.raises(TypeError):
        dataset.transitions["observations"]  # type: ignore[index]


def test_the_file_is_gone_through_in_blocks(dataset: Dataset, whole: TensorDict) -> None:
    assert [len(block) for block in dataset.transitions.blocks(5)] == [5, 5, 3]
    assert same(torch.cat(list(dataset.transitions.blocks(5))), whole)
    rows = list(dataset.transitions)
    assert len(rows) == ROWS
    assert rows[0].batch_size == ()
    assert same(torch.stack(rows), whole)


def test_episodes(dataset: Dataset, whole: TensorDict) -> None:
    episodes = dataset.episodes
    assert len(episodes) == 3
    assert episodes.lengths.tolist() == LENGTHS
    assert episodes.seeds.tolist() == [0, 1, 2]
    assert same(episodes[1], whole[5:6])
    assert same(episodes[-1], whole[6:])
    assert [len(episode) for episode in episodes] == LENGTHS
    for number in range(3):
        recorded = dataset.episode(number)
        np.testing.assert_array_equal(episodes[number]["observation"], recorded.observations)
        np.testing.assert_array_equal(episodes[number]["next", "terminated"][:, 0], recorded.terminals)
    with pytest.raises(IndexError, match="there are 3 episodes, none of number 3"):
        episodes[3]


def test_some_episodes_are_another_view(dataset: Dataset, whole: TensorDict) -> None:
    last = dataset.episodes[1:]
    assert (len(last), last.lengths.tolist(), last.numbers.tolist()) == (2, [1, 7], [1, 2])
    assert same(last[0], whole[5:6])
    assert last[[1, 0]].lengths.tolist() == [7, 1]
    assert last[::-1][np.array([True, False])].seeds.tolist() == [2]
    long = dataset.episodes[dataset.episodes.lengths > 4]
    assert long.numbers.tolist() == [0, 2]
    rows = long.load()
    assert rows["episode"].tolist() == [0] * 5 + [2] * 7
    assert same(rows.exclude("episode"), torch.cat([whole[:5], whole[6:]]))
    assert len(dataset.episodes[:0].load()) == 0


def test_loaded_episodes_feed_torchrls_slices(dataset: Dataset) -> None:
    rows = dataset.episodes[[0, 2]].load()
    sampler = SliceSampler(slice_len=4, traj_key="episode")
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(len(rows)), sampler=sampler, batch_size=8)
    buffer.extend(rows)
    for piece in buffer.sample().reshape(2, 4):
        assert len(set(piece["episode"].tolist())) == 1
        assert torch.equal(piece["next", "observation"][:-1], piece["observation"][1:])


def test_infos_come_along_when_asked_for(dataset: Dataset) -> None:
    beside = {("next", "success"), ("info", "qpos")}
    assert keys(dataset.transitions.including()[:]) == KEYS | beside
    rows = dataset.transitions.including("qpos")[3:5]
    assert keys(rows) == KEYS | {("info", "qpos")}
    assert rows["info", "qpos"].dtype == torch.float64
    np.testing.assert_array_equal(rows["info", "qpos"], dataset.rows("infos/qpos", 3, 5))
    episode = dataset.episodes[1:].including("success")[1]
    assert episode["next", "success"].shape == (7, 1)
    assert keys(dataset.episodes.including("success")[1:].load()) == KEYS | {("next", "success"), "episode"}
    with pytest.raises(DatasetError, match="has no array 'infos/torque'"):
        dataset.episodes.including("torque")


def test_samples_are_rows_of_the_file(dataset: Dataset, whole: TensorDict) -> None:
    rows = dataset.sample(400, generator=torch.Generator().manual_seed(0))
    assert rows.batch_size == (400,)
    counts = (rows["observation"].unsqueeze(1) == whole["observation"]).all(-1).sum(0)
    assert counts.sum() == 400
    assert counts.min() > 0
    assert same(rows, dataset.transitions.sample(400, generator=torch.Generator().manual_seed(0)))


def test_far_apart_rows_are_read_in_pieces(three: Path, whole: TensorDict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awac_tr.data.storage.views._NEAR", 2)
    read: list[tuple[int, int | None]] = []
    with open_dataset(three) as dataset:
        rows_of = dataset.rows

        def counting(name: str, start: int = 0, stop: int | None = None) -> Any:
            read.append((start, stop))
            return rows_of(name, start, stop)

        monkeypatch.setattr(dataset, "rows", counting)
        index = [12, 0, 2, 11, 7, 0]
        assert same(dataset.transitions[index], whole[torch.tensor(index)])
    assert set(read) == {(0, 3), (7, 8), (11, 13)}


def test_an_open_end_of_others_is_a_cut(three: Path) -> None:
    with h5py.File(three, "r+") as file:
        for name in list(file.attrs):
            del file.attrs[name]
        file["timeouts"][-1] = False
    with open_dataset(three) as dataset:
        assert dataset.transitions[-1]["next", "truncated"].item()
        assert dataset.transitions[-1]["next", "done"].item()
        assert not dataset.transitions[-2]["next", "done"].item()


def test_a_closed_file_says_so(three: Path) -> None:
    with open_dataset(three) as dataset:
        transitions = dataset.transitions
        assert len(transitions) == ROWS
    with pytest.raises(DatasetError, match=r"three\.hdf5 cannot be read"):
        transitions[0]
