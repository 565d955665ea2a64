"""Batches of TorchRL's collectors become whole episodes, whatever their shape and wherever they are cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper, SerialEnv, StepCounter, TransformedEnv

from awac_tr.buffers import load_transitions
from awac_tr.data import DatasetSink, open_dataset
from awac_tr.data.validation.validate import validate
from awac_tr.envs.env_info import env_info
from awac_tr.envs.make import make_env, make_torchrl_env
from awac_tr.errors import DatasetError, EnvError
from awac_tr.recipes.schema import EnvSection


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def one(horizon: int = 7) -> GymWrapper:
    return GymWrapper(make_env(EnvSection(id="Pendulum-v1", horizon=horizon)))


def several() -> SerialEnv:
    return SerialEnv(2, [lambda: TransformedEnv(one(7), StepCounter()), lambda: TransformedEnv(one(11), StepCounter())])


def batches(env: Any, frames: int, total: int, **options: Any) -> Iterator[TensorDict]:
    collector = Collector(env, None, frames_per_batch=frames, total_frames=total, **options)
    try:
        yield from collector
    finally:
        collector.shutdown()


def test_one_environment(tmp_path: Path) -> None:
    path = tmp_path / "pendulum.hdf5"
    seen = []
    with DatasetSink(path, source="random", env="Pendulum-v1", horizon=7, licence="MIT", seed=3) as sink:
        for batch in batches(one(), 10, 40):
            seen.append(batch.clone())
            sink.extend(batch)
            assert not path.exists()
    assert names(tmp_path) == ["pendulum.hdf5"]
    assert [finding for finding in validate(path) if finding.severity != "note"] == []
    with open_dataset(path) as dataset:
        assert dataset.episodes.lengths.tolist() == [7] * 5 + [5]
        assert dataset.content_hash == sink.content_hash
        assert (dataset.meta.env_id, dataset.meta.horizon, dataset.meta.seed) == ("Pendulum-v1", 7, 3)
        assert (dataset.meta.action_low, dataset.meta.action_high) == ((-2.0,), (2.0,))
        assert dataset.episodes.seeds.tolist() == [-1] * 6
        rows, given = dataset.transitions[:], torch.cat(seen)
        for key in ("observation", "action", ("next", "observation"), ("next", "reward"), ("next", "terminated")):
            assert torch.equal(rows[key], given[key])
        assert torch.equal(rows["next", "truncated"][:-1], given["next", "truncated"][:-1])
        assert rows["next", "truncated"][-1].item()
    counts = sink.counts
    assert (counts.episodes, counts.transitions, counts.cut, counts.clipped) == (6, 40, 1, 0)
    assert len(load_transitions([path], env=env_info("Pendulum-v1"))) == 40


@pytest.mark.parametrize("by", ["traj_ids", "lanes", "flat"])
def test_several_environments_interleaved(tmp_path: Path, by: str) -> None:
    path = tmp_path / "pendulum.hdf5"
    lanes: list[TensorDict] = []
    with DatasetSink(path, source="random", env="Pendulum-v1") as sink:
        for batch in batches(several(), 20, 80):
            assert batch.batch_size == (2, 10)
            lanes.append(batch.clone())
            sink.extend(batch.exclude("collector") if by == "lanes" else batch.reshape(-1) if by == "flat" else batch)
    assert validate(path) == []
    both = torch.cat(lanes, dim=1)
    expected = {0: [7] * 5 + [5], 1: [11] * 3 + [7]}
    with open_dataset(path) as dataset:
        assert sorted(dataset.episodes.lengths) == sorted(expected[0] + expected[1])
        found = list(dataset.episodes)
    for lane, lengths in expected.items():
        start = 0
        for length in lengths:
            piece = both[lane, start : start + length]
            match = [
                one
                for one in found
                if len(one) == length and torch.equal(one["observation"][0], piece["observation"][0])
            ]
            assert len(match) == 1
            assert torch.equal(match[0]["next", "observation"], piece["next", "observation"])
            assert torch.equal(match[0]["action"], piece["action"])
            start += length
    assert (sink.counts.episodes, sink.counts.transitions, sink.counts.cut) == (10, 80, 2)


@pytest.mark.filterwarnings("ignore:split_trajs=True produces:UserWarning")
def test_split_trajectories_with_a_mask(tmp_path: Path) -> None:
    path = tmp_path / "pendulum.hdf5"
    with DatasetSink(path, source="random", env="Pendulum-v1") as sink:
        for batch in batches(several(), 20, 80, split_trajs=True):
            assert not batch["collector", "mask"].all()
            sink.extend(batch)
    with open_dataset(path) as dataset:
        assert sorted(dataset.episodes.lengths) == sorted([7] * 5 + [5] + [11] * 3 + [7])
    assert validate(path) == []


def test_a_reset_by_the_collector_cuts(tmp_path: Path) -> None:
    path = tmp_path / "pendulum.hdf5"
    with DatasetSink(path, source="random", env="Pendulum-v1") as sink:
        for batch in batches(one(7), 5, 20, reset_at_each_iter=True):
            sink.extend(batch.exclude("collector"))
    with open_dataset(path) as dataset:
        assert dataset.episodes.lengths.tolist() == [5] * 4
        assert dataset.transitions[:]["next", "truncated"].sum() == 4
    assert sink.counts.cut == 4
    assert validate(path) == []


def test_success_and_other_infos_of_our_environments(tmp_path: Path) -> None:
    path = tmp_path / "door.hdf5"
    env = make_torchrl_env(EnvSection(id="door-binary-v0", horizon=6))
    infos = {"reward_twice": ("next", "twice")}
    with DatasetSink(path, source="random", env="door-binary-v0", infos=infos) as sink:
        for batch in batches(env, 10, 20):
            sink.extend(batch.set(("next", "twice"), 2 * batch["next", "reward"].double()))
    assert [finding for finding in validate(path) if finding.severity != "note"] == []
    with open_dataset(path) as dataset:
        rows = dataset.transitions.including()[:]
        assert rows["next", "success"].dtype == torch.bool
        assert torch.equal(rows["info", "reward_twice"], 2 * rows["next", "reward"].double())
        assert dataset.dtype("infos/reward_twice") == np.float64


def transitions(rows: int = 4, *, terminated: bool = False, offset: float = 0.0) -> TensorDict:
    """One trajectory of a counter, in float64."""
    states = torch.arange(rows + 1, dtype=torch.float64).reshape(-1, 1) + offset
    last = torch.arange(rows).reshape(-1, 1) == rows - 1
    following = {
        "observation": states[1:],
        "reward": torch.ones(rows, 1),
        "terminated": last & terminated,
        "truncated": last & (not terminated),
    }
    return TensorDict(
        {"observation": states[:-1].clone(), "action": torch.full((rows, 2), 0.5), "next": following}, batch_size=[rows]
    )


LIMITS: dict[str, Any] = {"source": "x", "action_low": [-1, -1], "action_high": [1, 1]}


def stored(path: Path, *given: TensorDict, **options: Any) -> list[TensorDict]:
    with DatasetSink(path, **LIMITS | options) as sink:
        for batch in given:
            sink.extend(batch)
    with open_dataset(path) as dataset:
        return list(dataset.episodes)


def test_ends_of_all_kinds(tmp_path: Path) -> None:
    both, done = transitions(terminated=True), transitions()
    both["next", "truncated"] = both["next", "terminated"].clone()
    done["next", "done"] = done["next", "truncated"].clone()
    done["next", "truncated"] = torch.zeros(4, 1, dtype=torch.bool)
    found = stored(tmp_path / "a.hdf5", both, done)
    ends = [(one["next", "terminated"][-1].item(), one["next", "truncated"][-1].item()) for one in found]
    assert ends == [(True, False), (False, True)]


def test_actions_are_clipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wild = transitions()
    wild["action"][1] = torch.tensor([1.5, -0.5])
    caplog.set_level("INFO")
    (found,) = stored(tmp_path / "a.hdf5", wild)
    assert found["action"][1].tolist() == [1.0, -0.5]
    assert "actions outside the bounds are clipped, as the environment does that executes them" in caplog.messages


def test_the_collectors_memory_may_be_used_again(tmp_path: Path) -> None:
    batch = transitions(3)
    batch["next", "truncated"][-1] = False
    with DatasetSink(tmp_path / "a.hdf5", **LIMITS) as sink:
        sink.extend(batch)
        batch["observation"] += 3
        batch["next", "observation"] += 3
        sink.extend(batch)
    with open_dataset(tmp_path / "a.hdf5") as dataset:
        (episode,) = dataset.episodes
        assert episode["observation"].squeeze().tolist() == [0, 1, 2, 3, 4, 5]


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with pytest.raises(DatasetError, match="the bounds of the actions are not known"):
        DatasetSink(path, source="x")
    with pytest.raises(EnvError, match="Did you mean"):
        DatasetSink(path, source="x", env="Pendulm-v1")
    assert names(tmp_path) == []
    cases = {
        r"the batch has no \('next', 'terminated'\)": transitions().exclude(("next", "terminated")),
        "a batch without batch size": transitions()[0],
        r"actions of \(3,\) numbers, bounds of 2": transitions().set("action", torch.zeros(4, 3)),
        r"the batch has no force": transitions(),
        "NaN or infinite": transitions(offset=float("nan")),
    }
    for message, batch in cases.items():
        infos = {"force": "force"} if "force" in message else None
        with pytest.raises(DatasetError, match=message), DatasetSink(path, **LIMITS, infos=infos) as sink:
            sink.extend(batch)
        assert names(tmp_path) == []
    with pytest.raises(DatasetError, match="nothing was recorded"):
        DatasetSink(path, **LIMITS).close()


@pytest.mark.parametrize("on_error", ["keep", "drop"])
def test_an_exception_keeps_or_drops_what_there_was(tmp_path: Path, on_error: Any) -> None:
    path = tmp_path / "a.hdf5"
    unfinished = transitions(3, offset=9)
    unfinished["next", "truncated"][-1] = False

    def collect() -> None:
        with DatasetSink(path, **LIMITS, on_error=on_error) as sink:
            sink.extend(transitions())
            sink.extend(unfinished)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        collect()
    assert names(tmp_path) == (["a.hdf5"] if on_error == "keep" else [])
    if on_error == "keep":
        with open_dataset(path) as dataset:
            assert dataset.episodes.lengths.tolist() == [4, 3]


def test_a_trajectory_that_cannot_be_stored_takes_nothing_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"

    def collect() -> None:
        with DatasetSink(path, **LIMITS) as sink:
            sink.extend(transitions())
            sink.extend(transitions(offset=float("inf")))

    with pytest.raises(DatasetError, match="NaN or infinite"):
        collect()
    with open_dataset(path) as dataset:
        assert dataset.episodes.lengths.tolist() == [4]


def test_goals_and_a_wrapped_environment(tmp_path: Path) -> None:
    env = EnvSection(id="gymnasium_robotics:FetchReach-v4", horizon=6, rescale_actions=True)
    collector = Collector(make_torchrl_env(env), None, frames_per_batch=9, total_frames=18)
    with DatasetSink(tmp_path / "reach.hdf5", source="random", env=env) as sink:
        for batch in collector:
            sink.extend(batch)
    collector.shutdown()
    with open_dataset(tmp_path / "reach.hdf5") as dataset:
        assert dataset.meta.env == env.model_copy(update={"id": "gymnasium_robotics:FetchReach-v4"})
        rows = dataset.arrays(
            ["observations", "infos/achieved_goals", "infos/next_achieved_goals", "infos/desired_goals"]
        )
        assert dataset.n_episodes == 3
    achieved, following = rows["infos/achieved_goals"], rows["infos/next_achieved_goals"]
    assert achieved.shape == (18, 3)
    assert (rows["infos/desired_goals"] == rows["observations"][:, -3:]).all()
    inside = np.arange(17) % 6 != 5  # the last row of an episode is not followed by the next one's first
    assert (following[:-1][inside] == achieved[1:][inside]).all()
    assert [one for one in validate(tmp_path / "reach.hdf5") if one.severity != "note"] == []
