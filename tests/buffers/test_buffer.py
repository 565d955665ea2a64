"""From files into TorchRL's buffer: keys, types, speed."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from tensordict import TensorDict

from awac_tr.buffers.buffer import (
    build_buffer,
    load_buffer,
    load_transitions,
    observation_statistics,
    select_transitions,
)
from awac_tr.buffers.sampling import Sampling
from awac_tr.data.format.spec import ARRAYS
from awac_tr.errors import DatasetError
from awac_tr.keys import ACTION, DISK_TO_MEMORY, DONE, NEXT_OBSERVATION, OBSERVATION, REWARD, TERMINATED, TRUNCATED
from awac_tr.recipes.schema import EnvSection

FLOATS = {OBSERVATION: 3, ACTION: 2, NEXT_OBSERVATION: 3, REWARD: 1}
FLAGS = (TERMINATED, TRUNCATED, DONE)


def check_keys(batch: TensorDict, rows: int) -> None:
    assert batch.batch_size == torch.Size([rows])
    for key, width in FLOATS.items():
        assert (batch[key].shape, batch[key].dtype) == ((rows, width), torch.float32)
    for key in FLAGS:
        assert (batch[key].shape, batch[key].dtype) == ((rows, 1), torch.bool)


def test_rows_of_several_files_in_order(three: Path, tmp_path: Path, make_episode: Any, write_dataset: Any) -> None:
    write_dataset(tmp_path / "more.hdf5", [make_episode(8, 4)])
    batch = load_transitions([three, tmp_path / "more.hdf5"])
    check_keys(batch, 17)
    for path, rows in ((three, slice(0, 13)), (tmp_path / "more.hdf5", slice(13, 17))):
        with h5py.File(path) as file:
            for name, key in DISK_TO_MEMORY.items():
                np.testing.assert_array_equal(batch[key][rows].numpy().squeeze(), file[name][:].squeeze())
    assert batch[TERMINATED].nonzero()[:, 0].tolist() == [5]
    assert batch[DONE].nonzero()[:, 0].tolist() == [4, 5, 12, 16]


def test_a_file_of_others_without_a_last_end_is_cut_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    states = np.arange(5, dtype=np.float64)[:, None]
    arrays = {"observations": states[:-1], "actions": np.zeros((4, 1)), "next_observations": states[1:]}
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name in ARRAYS:
            file[name] = arrays.get(name, np.zeros(4))
    batch = load_transitions([tmp_path / "a.hdf5"])
    assert batch[TRUNCATED].squeeze().tolist() == [False, False, False, True]
    assert "has no end: no flag is set in the last row; read as cut there" in caplog.text


def test_files_that_do_not_fit_each_other(three: Path, tmp_path: Path, make_episode: Any, write_dataset: Any) -> None:
    write_dataset(tmp_path / "wide.hdf5", [make_episode(sizes=(4, 2))])
    with pytest.raises(DatasetError, match=r"wide.hdf5: observations have 4 numbers a row, .*three.hdf5 has 3"):
        load_transitions([three, tmp_path / "wide.hdf5"])
    with pytest.raises(DatasetError, match="no dataset was named"):
        load_transitions([])


def test_actions_are_pulled_inside_by_the_margin(three: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain, pulled = load_transitions([three])[ACTION], load_transitions([three], action_margin=0.25)[ACTION]
    torch.testing.assert_close(pulled, plain.clamp(-0.75, 0.75))
    moved = int((plain.abs() > 0.75).sum())
    assert moved > 0
    with caplog.at_level("INFO"):
        load_transitions([three], action_margin=0.25)
    assert f"{moved} of 26 action entries pulled 0.25 inside the bounds" in caplog.text


def test_a_sample_has_the_rows_it_names(three: Path) -> None:
    transitions = load_transitions([three])
    buffer = build_buffer(transitions, 100, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(5):
        batch = buffer.sample()
        check_keys(batch, 8)
        for key in (*FLOATS, *FLAGS):
            assert torch.equal(batch[key], transitions[key][batch["index"]])
    assert "index" not in transitions.keys()  # noqa: SIM118  (a TensorDict iterates over rows)


def test_samples_follow_from_the_generator(three: Path) -> None:
    transitions = load_transitions([three])
    buffers = [build_buffer(transitions, 50, 16, generator=torch.Generator().manual_seed(4)) for _ in range(2)]
    torch.manual_seed(1)
    first = buffers[0].sample()["index"]
    torch.manual_seed(2)
    assert torch.equal(first, buffers[1].sample()["index"])


def test_all_rows_are_drawn(three: Path) -> None:
    buffer = build_buffer(load_transitions([three]), 50, 500, generator=torch.Generator().manual_seed(0))
    assert set(buffer.sample()["index"].tolist()) == set(range(13))


def test_a_full_buffer_forgets_the_oldest(three: Path) -> None:
    transitions = load_transitions([three])
    buffer = build_buffer(transitions, 15, 64)
    buffer.extend(transitions[:4])
    assert len(buffer) == 15
    assert torch.equal(buffer[:2][OBSERVATION], transitions[2:4][OBSERVATION])
    assert torch.equal(buffer[2:13][OBSERVATION], transitions[2:][OBSERVATION])
    buffer.sample()


def test_too_small_a_buffer(three: Path) -> None:
    with pytest.raises(DatasetError, match="13 transitions do not fit into a buffer of 12"):
        build_buffer(load_transitions([three]), 12, 4)


def collected(rows: TensorDict, shape: tuple[int, ...]) -> TensorDict:
    """Transitions as a collector hands them over: more keys, more dimensions."""
    data = rows.clone()
    data["next", "success"] = torch.zeros(len(rows), 1, dtype=torch.bool)
    data["loc"] = torch.zeros(len(rows), 2)
    data["done"] = torch.zeros(len(rows), 1, dtype=torch.bool)
    data["collector", "traj_ids"] = torch.arange(len(rows))
    return data.reshape(shape)


@pytest.mark.parametrize("shape", [(12,), (3, 4)])
def test_a_collectors_output_is_taken_and_left_as_it_was(three: Path, shape: tuple[int, ...]) -> None:
    transitions = load_transitions([three])
    buffer = build_buffer(transitions, 40, 8)
    data = collected(transitions[:12], shape)
    keys = set(data.keys(include_nested=True))
    buffer.extend(data)
    assert len(buffer) == 25
    assert set(data.keys(include_nested=True)) == keys
    assert torch.equal(buffer[13:25][ACTION], transitions[:12][ACTION])
    assert "loc" not in buffer.sample().keys()  # noqa: SIM118


def test_terminated_is_never_guessed(three: Path) -> None:
    data = load_transitions([three])
    del data["next", "terminated"]
    with pytest.raises(KeyError, match="terminated"):
        select_transitions(data)


def test_a_real_collector_fills_the_buffer(
    tmp_path: Path, make_episode: Any, make_meta: Any, write_dataset: Any
) -> None:
    from torchrl.collectors import Collector

    from awac_tr.envs.make import make_torchrl_env

    about = make_meta(action_low=[-1] * 28, action_high=[1] * 28)
    write_dataset(tmp_path / "a.hdf5", [make_episode(sizes=(39, 28))], about)
    buffer = build_buffer(load_transitions([tmp_path / "a.hdf5"]), 100, 16)
    collector = Collector(
        make_torchrl_env(EnvSection(id="door-binary-v0", horizon=4)), None, frames_per_batch=10, total_frames=10
    )
    try:
        for data in collector:
            buffer.extend(data)
            rows = data.reshape(-1)
    finally:
        collector.shutdown()
    assert len(buffer) == 15
    stored = buffer[5:]
    for key in (*FLOATS, *FLAGS):
        assert torch.equal(stored[key], rows[key]), key
        assert stored[key].dtype == buffer.sample()[key].dtype
    assert stored[TRUNCATED].squeeze().nonzero().squeeze().tolist() == [3, 7]
    assert not stored[TERMINATED].any()


def test_state_of_the_buffer_comes_back(three: Path) -> None:
    transitions = load_transitions([three])
    buffer = build_buffer(transitions, 50, 8, generator=torch.Generator().manual_seed(0))
    other = build_buffer(transitions[:2], 50, 8, generator=torch.Generator().manual_seed(0))
    other.load_state_dict(buffer.state_dict())
    assert len(other) == 13
    assert torch.equal(other.sample()[OBSERVATION], buffer.sample()[OBSERVATION])


def test_statistics_of_observations(three: Path) -> None:
    transitions = load_transitions([three])
    transitions[OBSERVATION][:, 1] = 7
    mean, deviation = observation_statistics(transitions)
    states = transitions[OBSERVATION].double().numpy()
    np.testing.assert_allclose(mean.numpy(), states.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation.numpy()[[0, 2]], states.std(axis=0)[[0, 2]], rtol=1e-6)
    assert (mean.dtype, deviation.dtype, deviation[1].item()) == (torch.float32, torch.float32, 1)


def test_statistics_of_large_numbers_keep_their_digits() -> None:
    states = 10_000 + torch.arange(100_000, dtype=torch.float64)[:, None] % 2
    mean, deviation = observation_statistics(TensorDict({OBSERVATION: states.float()}, [100_000]))
    assert mean.item() == pytest.approx(10_000.5)
    assert deviation.item() == pytest.approx(0.5)


def test_a_hundred_thousand_door_transitions_load_within_a_second(
    tmp_path: Path, make_episode: Any, make_meta: Any, write_dataset: Any
) -> None:
    episode = make_episode(0, 200, sizes=(39, 28))
    write_dataset(tmp_path / "a.hdf5", [episode] * 500, make_meta(action_low=[-1] * 28, action_high=[1] * 28))
    # Time of the processor, on one thread: what else the machine is doing is not ours to time.
    start = time.process_time()
    buffer = build_buffer(load_transitions([tmp_path / "a.hdf5"]), 1_000_000, 1024)
    seconds = time.process_time() - start
    assert len(buffer) == 100_000
    assert seconds < 1


@pytest.mark.parametrize("storage", ["memory", "memmap"])
def test_torchrl_reports_no_storage_and_keeps_its_voice(
    three: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, storage: Any
) -> None:
    logger = logging.getLogger("torchrl")
    caplog.set_level(logging.INFO, "torchrl")
    logger.addHandler(caplog.handler)  # it does not propagate
    try:
        load_buffer([three], 20, storage=storage, folder=tmp_path)
        assert [record.name for record in caplog.records if record.name.startswith("torchrl")] == []
        logger.info("still heard")
    finally:
        logger.removeHandler(caplog.handler)
    assert "still heard" in caplog.text


def test_an_emptied_buffer_begins_anew(three: Path) -> None:
    buffer = load_buffer([three], 20, sampling=Sampling(keys=("episode",)))
    rows = buffer[:].clone()
    buffer.empty()
    assert len(buffer) == 0
    where = buffer.extend(rows[6:13])
    assert where.tolist() == list(range(7))
    assert len(set(buffer.sample(50)["episode"].reshape(-1).tolist())) == 1
    assert torch.equal(buffer[:][OBSERVATION], rows[6:13][OBSERVATION])
