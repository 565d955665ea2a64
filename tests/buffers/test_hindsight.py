"""Relabelled batches, row by row against loops in Python."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from tensordict import TensorDict

from awac_tr.buffers.buffer import TransitionBuffer, load_buffer, observation_statistics
from awac_tr.buffers.sampling import Sampling
from awac_tr.buffers.storage import MappedRows, RowStorage
from awac_tr.collectors.episodes import rollouts
from awac_tr.data.format.meta import DatasetMeta
from awac_tr.data.storage.writer import DatasetWriter
from awac_tr.data.validation.validate import validate
from awac_tr.envs.env_info import EnvInfo, env_info
from awac_tr.envs.goal_rule import GoalRule
from awac_tr.envs.make import make_env
from awac_tr.errors import DatasetError, RecipeError
from awac_tr.keys import (
    ACHIEVED_GOAL,
    ACTION,
    DESIRED_GOAL,
    DONE,
    EPISODE,
    GOALS,
    NEXT_ACHIEVED_GOAL,
    NEXT_OBSERVATION,
    OBSERVATION,
    REWARD,
    TERMINATED,
    TRUNCATED,
)
from awac_tr.policies.controllers import RandomController
from awac_tr.recipes.schema import EnvSection, HindsightSection

PAPER = HindsightSection(kept=0.2, fresh=0.5, future=0.3)


class Anyhow:
    """Makes the controller; picklable."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self) -> RandomController:
        return RandomController(-np.ones(self._size, np.float32), np.ones(self._size, np.float32))


def collect(path: Path, env: str | EnvSection, episodes: int, horizon: int | None = None) -> EnvInfo:
    section = EnvSection.of(env).model_copy(update={"horizon": horizon})
    facts = env_info(section)
    bound = [1.0] * facts.action_size
    meta = DatasetMeta(facts.id, "random", [-one for one in bound], bound, horizon=facts.horizon)
    with DatasetWriter(path, meta) as writer:
        for episode in rollouts(section, Anyhow(facts.action_size), range(episodes)):
            writer.append(episode)
        writer.finish()
    return facts


def load(path: Path, facts: EnvInfo, shares: HindsightSection = PAPER, **options: Any) -> TransitionBuffer:
    generator = torch.Generator().manual_seed(3)
    plain: dict[str, Any] = {
        "env": facts,
        "generator": generator,
        "sampling": Sampling(hindsight=shares),
        "folder": path.parent,
    }
    return load_buffer([path], **{"capacity": 5000, "batch_size": 1000, **plain, **options})


@pytest.fixture
def walks(tmp_path: Path, goal_point: str) -> tuple[Path, EnvInfo]:
    """Forty walks of up to thirty steps."""
    path = tmp_path / "walks.hdf5"
    return path, collect(path, goal_point, 40)


@pytest.mark.parametrize("storage", ["memory", "memmap"])
def test_every_row_against_a_loop(walks: tuple[Path, EnvInfo], storage: str) -> None:
    """The toy's rule, written out once more: near is 0 and over, elsewhere -1."""
    buffer = load(*walks, storage=storage)
    rows = buffer[:].clone()
    of = np.cumsum(rows[DONE].numpy()[:, 0]) - rows[DONE].numpy()[:, 0]
    assert len(set(np.bincount(of))) > 3  # lengths
    batch = buffer.sample()
    changed = {REWARD, TERMINATED, DONE, OBSERVATION, NEXT_OBSERVATION, DESIRED_GOAL, "index"}
    for place, row in enumerate(batch["index"].tolist()):
        was, now = rows[row], batch[place]
        for key in set(was.keys(True, True)) - (changed if place >= 200 else {"index"}):
            assert torch.equal(was[key], now[key]), (place, key)
        goal = now[DESIRED_GOAL].tolist()
        for key in (OBSERVATION, NEXT_OBSERVATION):
            assert torch.equal(now[key][:3], was[key][:3])
            assert now[key][3:].tolist() == goal
        x, y = was[NEXT_ACHIEVED_GOAL].tolist()
        near = math.hypot(x - goal[0], y - goal[1]) <= 0.15
        assert now[REWARD].item() == near - 1
        assert now[TERMINATED].item() == near
        assert now[DONE].item() == (near or was[TRUNCATED].item())
        if place >= 700:
            rest = [later for later in range(row, len(rows)) if of[later] == of[row]]
            assert goal in rows[NEXT_ACHIEVED_GOAL][rest].tolist()
        elif place >= 200:
            assert goal not in rows[DESIRED_GOAL].tolist()
            assert max(map(abs, goal)) <= 0.7
    assert (batch[REWARD][700:] == 0).float().mean() > 0.1


def test_goals_of_other_rows_stand_in_where_none_are_offered(
    tmp_path: Path, goal_point: str, caplog: pytest.LogCaptureFixture
) -> None:
    facts = collect(tmp_path / "plain.hdf5", goal_point.replace("GoalPoint", "PlainPoint"), 10)
    assert facts.goal is not None
    assert facts.goal.terminated is None
    with caplog.at_level(logging.INFO):
        buffer = load(tmp_path / "plain.hdf5", facts, HindsightSection(kept=0.5, fresh=0.5))
    assert "goals are those of rows of the buffer" in caplog.text
    batch = buffer.sample()
    fresh = batch[DESIRED_GOAL][500:]
    recorded = torch.unique(buffer[:][DESIRED_GOAL], dim=0)
    assert len(recorded) == 10
    assert torch.equal(torch.unique(fresh, dim=0), recorded)
    assert not batch[TERMINATED].any()
    assert torch.equal(batch[DONE], batch[TRUNCATED])


def test_recorded_rows_stay_and_are_what_observations_are_standardised_by(walks: tuple[Path, EnvInfo]) -> None:
    buffer, plain = load(*walks), load(*walks, HindsightSection())
    before = buffer[:].clone()
    for _ in range(5):
        buffer.sample()
    after = buffer[:]
    for key in before.keys(True, True):
        assert torch.equal(before[key], after[key]), key
    with h5py.File(walks[0]) as file:
        for name, key in GOALS.items():
            np.testing.assert_array_equal(after[key], file[f"infos/{name}"][:])
    for found, expected in zip(observation_statistics(buffer), observation_statistics(plain), strict=True):
        assert torch.equal(found, expected)
    assert DESIRED_GOAL not in set(plain.sample().keys())


def test_batches_follow_from_the_generator_alone(walks: tuple[Path, EnvInfo]) -> None:
    one, other, mapped = load(*walks), load(*walks), load(*walks, storage="memmap")
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    batches = [one.sample() for _ in range(3)]
    torch.manual_seed(2)
    for batch in batches:
        for same in (other.sample(), mapped.sample()):
            for key in batch.keys(True, True):
                assert torch.equal(batch[key], same[key]), key
    assert not torch.equal(batches[0][DESIRED_GOAL], batches[1][DESIRED_GOAL])


def test_shares_and_futures_in_numbers(walks: tuple[Path, EnvInfo]) -> None:
    buffer = load(*walks)
    rows = buffer[:]
    length = int(rows[DONE].nonzero()[0, 0]) + 1
    places = {tuple(goal): step for step, goal in enumerate(rows[NEXT_ACHIEVED_GOAL][:length].tolist())}
    kept, steps = 0, []
    for _ in range(300):
        batch = buffer.sample()
        kept += int((batch[DESIRED_GOAL] == rows[DESIRED_GOAL][batch["index"]]).all(dim=1).sum())
        first = batch[700:][batch["index"][700:] == length - 10]
        steps += [places[tuple(goal)] for goal in first[DESIRED_GOAL].tolist()]
    assert kept == 300 * 200
    assert len(steps) > 50
    assert set(steps) == set(range(length - 10, length))
    counts = np.bincount(np.array(steps) - (length - 10), minlength=10)
    expected = len(steps) / 10
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # chi squared, 9 degrees, one in a thousand


def numbered(episode: int, steps: range, *, ends: bool) -> TensorDict:
    """Rows whose goals say which step of which episode they are of."""
    count = len(steps)
    told = torch.tensor([[episode, step] for step in steps], dtype=torch.float32)
    done = torch.zeros(count, 1, dtype=torch.bool)
    done[-1] = ends
    state = torch.cat([torch.zeros(count, 1), torch.full((count, 2), -1.0)], dim=1)
    data: dict[Any, Any] = {OBSERVATION: state, NEXT_OBSERVATION: state.clone(), ACTION: torch.zeros(count, 1)}
    data |= {REWARD: torch.zeros(count, 1), DONE: done, TERMINATED: torch.zeros_like(done), TRUNCATED: done.clone()}
    data |= {ACHIEVED_GOAL: told - torch.tensor([0, 1]), NEXT_ACHIEVED_GOAL: told}
    data |= {DESIRED_GOAL: torch.full((count, 2), -1.0), EPISODE: torch.full((count, 1), episode)}
    return TensorDict(data, [count])


def ring(capacity: int, kind: str, folder: Path) -> TransitionBuffer:
    rule = GoalRule(2, reward=lambda achieved, desired: (achieved == desired).all(axis=1).astype(np.float32))
    storage = MappedRows(capacity, folder=folder) if kind == "memmap" else RowStorage(capacity)
    sampling = Sampling(hindsight=HindsightSection(kept=0.25, future=0.75))
    generator = torch.Generator().manual_seed(1)
    return TransitionBuffer(storage=storage, batch_size=400, generator=generator, sampling=sampling, rule=rule)


@pytest.mark.parametrize("kind", ["memory", "memmap"])
def test_workers_take_turns_in_a_ring_that_is_written_over(kind: str, tmp_path: Path) -> None:
    """Three workers, episodes of 1 to 9 steps that go on from round to round, a ring of 50 rows."""
    rng = np.random.default_rng(5)
    buffer = ring(50, kind, tmp_path)
    state = {worker: (worker, 0, int(rng.integers(1, 10))) for worker in range(3)}
    newest: dict[int, int] = {}
    for _ in range(60):
        shares = []
        for worker, stand in state.items():
            episode, step, length = stand
            steps = int(rng.integers(1, 6))
            while steps:
                take = min(steps, length - step)
                shares.append(numbered(episode, range(step, step + take), ends=step + take == length))
                newest[episode], steps = step + take - 1, steps - take
                step += take
                if step == length:
                    episode, step, length = episode + 3, 0, int(rng.integers(1, 10))
            state[worker] = (episode, step, length)
        buffer.extend(torch.cat(shares))
        rows, batch = buffer[:], buffer.sample()
        own, goals = rows[NEXT_ACHIEVED_GOAL][batch["index"]][100:], batch[DESIRED_GOAL][100:]
        there = set(map(tuple, rows[NEXT_ACHIEVED_GOAL].tolist()))
        assert (goals[:, 0] == own[:, 0]).all()
        assert (goals[:, 1] >= own[:, 1]).all()
        assert set(map(tuple, goals.tolist())) <= there
        assert all(step <= newest[int(episode)] for episode, step in goals.tolist())
        assert torch.equal(batch[REWARD][100:, 0] == 1, goals[:, 1] == own[:, 1])
        assert (batch[DESIRED_GOAL][:100] == -1).all()
    assert len(buffer) == 50


def test_more_rows_than_the_ring_holds(tmp_path: Path) -> None:
    buffer = ring(20, "memory", tmp_path)
    buffer.extend(numbered(1, range(5), ends=False))
    buffer.extend(torch.cat([numbered(1, range(5, 10), ends=True), numbered(2, range(30), ends=False)]))
    assert len(buffer) == 20
    assert sorted(buffer[:][NEXT_ACHIEVED_GOAL][:, 1].tolist()) == list(range(10, 30))
    buffer.extend(numbered(2, range(30, 33), ends=True))
    batch = buffer.sample()
    own, goals = buffer[:][NEXT_ACHIEVED_GOAL][batch["index"]][100:], batch[DESIRED_GOAL][100:]
    assert (goals[:, 0] == 2).all()
    assert (goals[:, 1] >= own[:, 1]).all()
    assert goals[:, 1].max() == 32


def test_rows_without_names_are_those_of_one_environment(tmp_path: Path) -> None:
    buffer = ring(20, "memory", tmp_path)
    for part in (
        numbered(1, range(4), ends=False),
        numbered(1, range(4, 6), ends=True),
        numbered(2, range(3), ends=True),
    ):
        buffer.extend(part.exclude(EPISODE))
    batch = buffer.sample()
    own, goals = buffer[:][NEXT_ACHIEVED_GOAL][batch["index"]][100:], batch[DESIRED_GOAL][100:]
    assert (goals[:, 0] == own[:, 0]).all()
    assert ((own[:, 0] == 1) & (own[:, 1] < 4) & (goals[:, 1] >= 4)).any()
    several: Any = torch.stack([numbered(4, range(3), ends=False), numbered(5, range(3), ends=False)])
    with pytest.raises(ValueError, match="need 'episode'"):
        buffer.extend(several.exclude(EPISODE))
    buffer.extend(several.exclude(EPISODE).set(("collector", "traj_ids"), several[EPISODE]))
    assert len(buffer) > 9


def test_a_real_environment_of_another_package(tmp_path: Path) -> None:
    """FetchReach: rewards as its own method gives them for one row, and as it gave them while it was played."""
    pytest.importorskip("gymnasium_robotics")
    facts = collect(tmp_path / "reach.hdf5", "gymnasium_robotics:FetchReach-v4", 8, horizon=20)
    assert facts.goal is not None
    assert (facts.goal.size, facts.observation_size, facts.goal.terminated) == (3, 13, None)
    buffer = load(tmp_path / "reach.hdf5", facts)
    env: Any = make_env("gymnasium_robotics:FetchReach-v4")
    batch = buffer.sample()
    for row in batch:
        alone = env.unwrapped.compute_reward(row[NEXT_ACHIEVED_GOAL].numpy(), row[DESIRED_GOAL].numpy(), {})
        assert row[REWARD].item() == alone
        assert torch.equal(row[OBSERVATION][-3:], row[DESIRED_GOAL])
    env.close()
    assert set(batch[REWARD][700:].flatten().tolist()) == {-1.0, 0.0}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.pop("infos/desired_goals"), "has no goals: infos/desired_goals is missing"),
        (lambda file: file["rewards"].__setitem__(slice(0, 100), 0.25), "are not what compute_reward"),
        (lambda file: file["infos/desired_goals"].__setitem__(3, 0.5), "do not end with the desired goals"),
        (lambda file: file["infos/achieved_goals"].__setitem__(3, np.nan), "NaN or infinity"),
    ],
)
def test_files_that_cannot_be_relabelled(walks: tuple[Path, EnvInfo], spoil: Callable[[Any], Any], said: str) -> None:
    path, facts = walks
    with h5py.File(path, "r+") as file:
        spoil(file)
        del file.attrs["format"]  # a file of others: nothing is known of its bytes
    with pytest.raises(DatasetError, match=said):
        load(path, facts)
    assert len(load(path, facts, HindsightSection())) > 100


def test_changed_goals_are_noticed(walks: tuple[Path, EnvInfo]) -> None:
    with h5py.File(walks[0], "r+") as file:
        file["infos/achieved_goals"][3] = 0.25
    with pytest.raises(DatasetError, match="achieved_goals"):
        load(*walks)


def test_environments_that_cannot_be_relabelled(tmp_path: Path, goal_point: str) -> None:
    facts = collect(tmp_path / "walks.hdf5", goal_point, 2)
    with pytest.raises(RecipeError, match="Pendulum-v1 is no goal environment"):
        load(tmp_path / "walks.hdf5", env_info("Pendulum-v1"))
    (tmp_path / "mine.py").write_text("def worth(before, action, after, info):\n    return 0.0\n")
    other = env_info(EnvSection(id=goal_point, reward="mine:worth"))
    assert other.goal is None
    with pytest.raises(RecipeError, match=r"env\.reward hides how the rewards"):
        load(tmp_path / "walks.hdf5", other)
    assert facts.goal is not None


def test_validation_holds_rewards_against_the_goal_rule(walks: tuple[Path, EnvInfo], goal_point: str) -> None:
    path = walks[0]
    codes = {finding.code for finding in validate(path, env=goal_point)}
    assert not codes & {"reward-rule", "reward-shift", "extra-rows", "success"}, codes
    assert not [finding for finding in validate(path, env=goal_point) if finding.severity == "error"]
    with h5py.File(path, "r+") as file:
        rewards = file["rewards"][:]
        file["rewards"][:30] = -1 - rewards[:30]
    spoiled = {finding.code: finding for finding in validate(path, env=goal_point)}
    assert spoiled["reward-rule"].count == 30
    assert not spoiled["reward-rule"].fixable
    with h5py.File(path, "r+") as file:
        file["rewards"][:] = np.concatenate([[-1], rewards[:-1]])
    assert "reward-shift" in {finding.code for finding in validate(path, env=goal_point)}
