"""What pictures are drawn from, against numpy on the whole file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from awac_tr.data.plots.sample import BINS, take_sample, take_samples
from awac_tr.data.storage import reader
from awac_tr.errors import DatasetError

Make = Callable[..., Path]


@pytest.mark.parametrize("rows", [1 << 15, 10])
def test_a_sample_is_of_the_file(make: Make, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BLOCK_ROWS", rows)
    path = make()
    sample = take_sample(path, states=40)
    with h5py.File(path) as file:
        states, actions, rewards = (file[name][...] for name in ("observations", "actions", "rewards"))
    chosen = [int(np.flatnonzero((states == state).all(1))[0]) for state in sample.states]
    assert len(set(chosen)) == 40
    assert chosen == sorted(chosen)
    starts, lengths = np.array([0, 30, 37]), np.array([30, 7, 50])
    assert sample.episodes.tolist() == [int(np.searchsorted(starts, row, "right")) - 1 for row in chosen]
    expected = [(row - starts[of]) / (lengths[of] - 1) for row, of in zip(chosen, sample.episodes, strict=True)]
    np.testing.assert_allclose(sample.progress, expected)
    for column in range(3):
        counts = np.histogram(actions[:, column], BINS, (-1, 1))[0]
        assert sample.actions[column].tolist() == counts.tolist()
    np.testing.assert_allclose(sample.at_bound, (np.abs(actions) == 1).mean(0))
    assert sample.measures["length"].tolist() == lengths.tolist()
    assert [line.episode for line in sample.timelines] == [0, 1, 2]
    np.testing.assert_array_equal(sample.timelines[1].rewards, rewards[30:37])


def test_the_same_states_every_time_and_others_for_another_seed(make: Make) -> None:
    path = make()
    first, again, other = (take_sample(path, states=20, seed=seed).states for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(take_sample(path).states) == 87


def test_what_is_not_finite_is_left_out(make: Make) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        file["observations"][5, 2], file["actions"][3, 0], file["actions"][4, 1] = np.nan, np.nan, np.inf
    sample = take_sample(path)
    assert len(sample.states) == len(sample.progress) == len(sample.episodes) == 86
    assert sample.actions.sum(1).tolist() == [86, 86, 87]


def test_actions_without_bounds_lie_in_their_range(make: Make) -> None:
    path = make(action_low=[-1, -np.inf, -1], action_high=[1, np.inf, 1])
    with h5py.File(path, "r+") as file:
        actions = file["actions"][:, 1]
        file.attrs["action_low"] = [-1, -np.inf, 0.5]
        file.attrs["action_high"] = [1, np.inf, 0.5]
    sample = take_sample(path)
    np.testing.assert_allclose(sample.action_bounds, [[-1, 1], [actions.min(), actions.max()], [0, 1]])
    assert sample.actions.sum(1).tolist() == [87, 87, 87]


def test_many_episodes_are_shown_by_some_of_all(make: Make) -> None:
    sample = take_sample(make(lengths=(3,) * 100))
    shown = [line.episode for line in sample.timelines]
    assert (len(shown), shown[0], shown[-1]) == (12, 0, 99)


def test_names_are_told_apart_and_can_be_printed(make: Make, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, odd = make("a"), make("b\x1b\nc" + "x" * 80)
    second = tmp_path / "other" / "a.hdf5"
    second.write_bytes(first.read_bytes())
    names = [sample.name for sample in take_samples([first, second, second, odd])]
    assert names[:3] == [f"{tmp_path.name}/a", "other/a (1)", "other/a (2)"]
    assert names[3].startswith("b c")
    assert names[3].isprintable()
    assert len(names[3]) <= 48


def test_datasets_of_different_widths_do_not_fit(make: Make) -> None:
    with pytest.raises(DatasetError, match=r"b.hdf5 has observations of 4 numbers, .*a.hdf5 of 5"):
        take_samples([make("a"), make("b", width=4)])
