"""The small parts of training: counters, seeds, means, interruption, threads, folders."""

from __future__ import annotations

import logging
import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from awac_tr.collectors.online import episode_seed
from awac_tr.errors import AwacError, CheckpointError
from awac_tr.recipes.loader import recipe_from_dict
from awac_tr.recipes.schema import Recipe
from awac_tr.training.checkpoint import OnlineParts
from awac_tr.training.interrupt import Interruption, StopRequested
from awac_tr.training.progress import Progress, RunningMeans
from awac_tr.training.reproducibility import Seeds, restore_rng, rng_state, seed_everything
from awac_tr.training.run_folder import NoticeKeeper, RunFolder, surroundings
from awac_tr.utils.threads import intra_op_threads


def recipe(**sections: object) -> Recipe:
    base = {"name": "toy", "env": {"id": "toy"}, "data": {"datasets": ["toy"]}}
    return recipe_from_dict({**base, **sections})


def test_updates_owed_never_drift() -> None:
    """Rounds of 7 steps at 1/3 update a step owe 700 / 3 in all, not 100 times round(7 / 3)."""
    made = recipe(offline={"updates": 10}, online={"steps": 700, "updates_per_step": 1 / 3})
    progress = Progress()
    assert (progress.owed(made), progress.phase, progress.at_rest(made)) == (10, "offline", False)
    progress.update = 10
    assert progress.at_rest(made)
    assert not progress.finished(made)
    for _ in range(100):
        progress.env_step += 7
        progress.update += progress.owed(made)
    assert progress.update == 10 + round(700 / 3)
    assert progress.finished(made)
    assert progress.phase == "online"


def test_progress_round_trip() -> None:
    progress = Progress(update=3, env_step=4, evaluated=(1, 0), best=(0.5, -10.0), seconds={"update": 1.5})
    assert Progress.from_plain(progress.to_plain()) == progress


def test_parts_are_timed_even_when_they_fail() -> None:
    progress = Progress()
    with pytest.raises(KeyError), progress.timed("collect"):
        raise KeyError
    assert progress.seconds["collect"] >= 0


def test_seeds_are_independent_and_fixed() -> None:
    many = [Seeds.of(seed) for seed in range(200)]
    assert len({number for seeds in many for number in seeds}) == 600
    assert Seeds.of(5) == Seeds.of(5)
    assert len({episode_seed(many[0].env, step, worker=worker) for step in range(50) for worker in range(3)}) == 150
    assert episode_seed(many[0].env, 0) == many[0].env


def _globally(count: int) -> list[float]:
    """Numbers from numpy's global stream."""
    numbers: list[float] = np.random.standard_normal(count).tolist()  # noqa: NPY002
    return numbers


def test_random_streams_come_back(tmp_path: Path) -> None:
    seed_everything(3)
    _globally(1)  # leaves a second one in the cache
    torch.save(rng_state(), tmp_path / "rng.pt")
    drawn = (random.random(), _globally(3), torch.randn(3).tolist())
    seed_everything(4)
    restore_rng(torch.load(tmp_path / "rng.pt", weights_only=True))
    assert (random.random(), _globally(3), torch.randn(3).tolist()) == drawn


def test_means_in_two_halves() -> None:
    means = RunningMeans()
    for value in (1.0, 2.0):
        means.add(TensorDict({"a": torch.tensor(value), "b": torch.tensor(-value)}))
    other = RunningMeans()
    other.load_state_dict(means.state_dict())
    other.add(TensorDict({"a": torch.tensor(6.0), "b": torch.tensor(0.0)}))
    assert other.take() == {"a": 3.0, "b": -1.0}
    assert other.take() == {}


def test_first_signal_is_noted_and_the_second_acts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as stop:
        stop.check()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signum == signal.SIGINT
        with pytest.raises(StopRequested):
            stop.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with suppress(KeyError), intra_op_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
    with intra_op_threads(None):
        assert torch.get_num_threads() == before


def test_default_folders_do_not_collide() -> None:
    names = {RunFolder.create(recipe(seed=4)).path.name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("toy-") for name in names)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AwacError, match="cannot be written: Not a directory"):
        RunFolder.create(recipe(), tmp_path / "file" / "run")


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"id": 1}'])
def test_a_record_that_is_lost_is_no_reason_not_to_go_on(
    tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if text is not None:
        (tmp_path / "record.json").write_text(text)
    assert RunFolder(tmp_path).read_record() is None
    assert "record.json cannot be read" in caplog.text


def test_surroundings_name_versions() -> None:
    found = surroundings(["awac-tr", "train"])
    assert found["versions"]["torch"] == torch.__version__
    assert found["machine"]["cores"] == os.cpu_count()
    assert found["command"] == ["awac-tr", "train"]


def test_notices_are_kept_once() -> None:
    logger = logging.getLogger("awac_tr.somewhere")
    with NoticeKeeper() as keeper:
        for text in ("clipped", "clipped", "dropped"):
            logger.info(text)
        logger.debug("a detail")
    logger.info("after")
    assert keeper.notices == ["clipped", "dropped"]


def transitions(value: float, count: int) -> TensorDict:
    rows = torch.full((count, 2), value)
    return TensorDict(
        {"observation": rows, "next": {"observation": rows + 1, "done": torch.zeros(count, 1, dtype=torch.bool)}},
        [count],
    )


def test_online_parts_keep_the_order(tmp_path: Path) -> None:
    parts = OnlineParts(RunFolder(tmp_path))
    for value in (1.0, 2.0):
        parts.add(transitions(value, 3))
    parts.flush()
    parts.add(transitions(3.0, 1))
    parts.flush()
    parts.flush()
    assert parts.names == ["000001.pt", "000002.pt"]
    again = OnlineParts(RunFolder(tmp_path))
    read = torch.cat(again.read(parts.names))
    assert read["observation"][:, 0].tolist() == [1.0] * 3 + [2.0] * 3 + [3.0]
    assert read["next", "done"].dtype == torch.bool
    mine = tmp_path / "checkpoints" / "online" / "mine.pt"
    mine.write_bytes(b"of the user's")
    again.go_on_after(parts.names)
    assert mine.exists()
    again.add(transitions(4.0, 1))
    again.flush()
    assert again.names[-1] == "000003.pt"


def test_damaged_online_parts(tmp_path: Path) -> None:
    parts = OnlineParts(RunFolder(tmp_path))
    parts.add(transitions(1.0, 3))
    parts.flush()
    file = tmp_path / "checkpoints" / "online" / "000001.pt"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"000001\.pt"):
        OnlineParts(RunFolder(tmp_path)).read(["000001.pt"])
    with pytest.raises(CheckpointError, match=r"000002\.pt"):
        OnlineParts(RunFolder(tmp_path)).read(["000002.pt"])
