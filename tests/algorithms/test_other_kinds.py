"""Algorithms of other kinds fit in: whole trajectories (as AWR's), fresh rounds (as DAPG's), unequal update numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, ClassVar, Literal

import pytest
import torch
from small_runs import stop_after, weights
from tensordict import TensorDict, TensorDictBase

from awac_tr.algorithms import registry
from awac_tr.algorithms.config import AlgorithmConfig, Needs
from awac_tr.algorithms.gradient_learner import GradientLearner, GradientStep
from awac_tr.algorithms.parts import Parts
from awac_tr.buffers.sampling import Sampling
from awac_tr.keys import DONE, REWARD, STEPS_TO_NEXT
from awac_tr.objectives.bc import BCLoss
from awac_tr.recipes.schema import recipe_model
from awac_tr.training.interrupt import TrainingInterrupted
from awac_tr.training.train import train

seen: dict[str, list[Any]] = {}


class ReturnsConfig(AlgorithmConfig):
    """Cloning weighted by the return of whole episodes."""

    name: Literal["returns"] = "returns"
    reads: ClassVar[frozenset[str]] = frozenset({"qvalue"})

    def needs(self) -> Needs:
        return Needs(offline="trajectories", online="trajectories", keys=("episode", "next_action"))

    def discount(self) -> float | None:
        return 0.9


class RoundsConfig(AlgorithmConfig):
    """Cloning of demonstrations, then of each fresh round, in two parts of an update's round."""

    name: Literal["rounds"] = "rounds"
    reads: ClassVar[frozenset[str]] = frozenset({"qvalue"})

    def needs(self) -> Needs:
        return Needs(online="round", demonstrations=True)


def build_returns(config: ReturnsConfig, parts: Parts) -> GradientLearner:
    policy = parts.policy()
    loss = BCLoss(policy)

    def losses(batch: TensorDictBase) -> TensorDict:
        ends = batch[DONE].reshape(-1).nonzero()[:, 0]
        seen.setdefault("episodes", []).append(batch["episode"].reshape(-1).clone())
        seen.setdefault("ends", []).append(ends.tolist())
        seen.setdefault("rewards", []).append(batch[REWARD].clone())
        return loss(batch)

    return GradientLearner(policy, loss, [GradientStep(losses, [(loss.parameters(), 1e-3, 0.0)])])


def build_rounds(config: RoundsConfig, parts: Parts) -> GradientLearner:
    policy = parts.policy()
    loss = BCLoss(policy)

    def counted(name: str) -> Any:
        def losses(batch: TensorDictBase) -> TensorDictBase:
            seen.setdefault(name, []).append(len(batch))
            seen.setdefault("demonstrations", []).append("demonstrations" in batch)
            return loss(batch)

        return losses

    groups = [(list(loss.parameters()), 1e-3, 0.0)]
    steps = [GradientStep(counted("first"), groups, count=3), GradientStep(counted("second"), groups, first=3, every=2)]
    return GradientLearner(policy, loss, steps)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The two learners among the algorithms."""
    for name, config, build in (("returns", ReturnsConfig, build_returns), ("rounds", RoundsConfig, build_rounds)):
        monkeypatch.setitem(registry.ALGORITHMS, name, config.__name__)
        for part, content in (("config", {config.__name__: config}), ("learner", {"build": build})):
            module = ModuleType(f"awac_tr.algorithms.{name}.{part}")
            vars(module).update(content)
            monkeypatch.setitem(sys.modules, module.__name__, module)
    seen.clear()
    yield
    registry.config_class.cache_clear()
    recipe_model.cache_clear()


@pytest.mark.parametrize("name", ["returns", "rounds"])
def test_it_resumes_to_the_bit(name: str, small: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(small(name), run_dir=tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_after(patch, updates=33)
        with pytest.raises(TrainingInterrupted):
            train(small(name), run_dir=tmp_path / "stopped", quiet=True)
    stopped = train(small(name), resume=tmp_path / "stopped", quiet=True)
    one, other = weights(whole), weights(stopped)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_batches_are_whole_episodes(small: Any, tmp_path: Any) -> None:
    train(small("returns"), run_dir=tmp_path / "run", quiet=True)
    assert len(seen["episodes"]) == 20 + 40
    for episodes, ends in zip(seen["episodes"], seen["ends"], strict=True):
        assert len(episodes) >= 32
        borders = (episodes[1:] != episodes[:-1]).nonzero()[:, 0].tolist()
        assert [*borders, len(episodes) - 1] == ends


def test_rounds_are_fresh_and_parts_take_turns(small: Any, tmp_path: Any) -> None:
    train(small("rounds"), run_dir=tmp_path / "run", quiet=True)
    # offline 20 updates on batches of 32; then two rounds of 20 steps with 20 updates each
    assert seen["first"] == [32] * 3 + [20] * 6
    assert seen["second"] == [32] * 8 + [20] * 16
    assert seen["demonstrations"] == [True] * 11 + [False] * 22


def test_n_step_transitions(small: Any, tmp_path: Any) -> None:
    from awac_tr.training.experiment_setup import prepare

    recipe = small("awac", "buffer.n_steps=3", "algorithm.gamma=0.5").recipe
    buffer = prepare(recipe).buffer
    rows, batch = buffer[:], buffer.sample(200)
    for each in batch:
        row = int((rows["observation"] == each["observation"]).all(-1).nonzero()[0])
        last = min(row + 2, row + int(rows[DONE][row:].reshape(-1).nonzero()[0]))
        expected = sum(0.5**k * rows[REWARD][row + k] for k in range(last - row + 1))
        torch.testing.assert_close(each[REWARD], expected)
        assert int(each[STEPS_TO_NEXT]) == last - row + 1
        assert torch.equal(each["next", "observation"], rows["next", "observation"][last])
        assert torch.equal(each[DONE], rows[DONE][last])


def test_half_of_a_batch_is_offline(small: Any, tmp_path: Any) -> None:
    from awac_tr.training.experiment_setup import prepare

    rig = prepare(small("awac", "buffer.mix=0.5").recipe)
    offline = rig.buffer[:]["observation"].clone()
    assert rig.buffer.sample(10).batch_size == torch.Size([10])
    rig.buffer.extend(rig.collector_after(0).collect(20))
    batch = rig.buffer.sample(10)["observation"]
    known = [(offline == each).all(-1).any().item() for each in batch]
    assert known == [True] * 5 + [False] * 5


def test_a_discount_of_zero_is_one_for_n_steps_too(small: Any) -> None:
    assert Sampling.of(small("awac", "buffer.n_steps=3", "algorithm.gamma=0").recipe).gamma == 0
    assert Sampling.of(small("bc").recipe).gamma == 1
