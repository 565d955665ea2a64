"""The compiled update: the numbers of the eager one, one graph, no recompiles; precision in its place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tensordict import TensorDict
from torch._dynamo.utils import counters

from awac_tr.algorithms.awac import AWACLearner
from awac_tr.algorithms.base import Statistics
from awac_tr.algorithms.hardware import cannot_compile
from awac_tr.algorithms.registry import build_learner
from awac_tr.envs.facts import EnvFacts
from awac_tr.recipes.loader import recipe_from_dict

FACTS = EnvFacts("toy", 10, (-1.0, 0.0), None, None, 5, 2)
CPU = torch.device("cpu")
SIZE = 32

pytestmark = pytest.mark.skipif(cannot_compile(CPU) is not None, reason=f"cannot compile here: {cannot_compile(CPU)}")


def learner(*, compiled: bool, precision: str = "fp32") -> AWACLearner:
    """The paper's update with every part of the loss at work."""
    made = recipe_from_dict(
        {
            "name": "toy",
            "env": {"id": "toy"},
            "data": {"datasets": ["toy"]},
            "policy": {"hidden_sizes": [16]},
            "qvalue": {"hidden_sizes": [16]},
            "awac": {"weight_max": 100.0, "value_bounds": "reward_range", "lmbda": 0.3},
            "compile": compiled,
            "precision": precision,
        }
    )
    torch.manual_seed(0)
    statistics = Statistics(torch.full((5,), 0.5), torch.full((5,), 2.0))
    built = build_learner(made, FACTS, statistics)
    assert isinstance(built, AWACLearner)
    return built


def batch(seed: int) -> TensorDict:
    generator = torch.Generator().manual_seed(seed)
    observation = torch.randn(SIZE, 5, generator=generator)
    end = torch.rand(SIZE, 1, generator=generator) > 0.8
    return TensorDict(
        {
            "observation": observation,
            "action": torch.tanh(observation[:, :2]),
            "next": {
                "observation": torch.randn(SIZE, 5, generator=generator),
                "reward": -torch.rand(SIZE, 1, generator=generator).round(),
                "terminated": end,
                "truncated": torch.zeros_like(end),
                "done": end,
            },
        },
        batch_size=[SIZE],
    )


def trained(made: AWACLearner, updates: int) -> list[dict[str, float]]:
    """What each update returned; the random numbers are the same at every call."""
    torch.manual_seed(1)
    return [{name: float(value) for name, value in made.update(batch(seed)).items()} for seed in range(updates)]


@pytest.fixture(scope="module")
def compiled() -> Iterator[AWACLearner]:
    torch._dynamo.reset()
    counters.clear()
    yield learner(compiled=True)
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def history(compiled: AWACLearner) -> list[dict[str, float]]:
    """The first update compiles; any recompile after it is an error."""
    torch.manual_seed(1)
    first = {name: float(value) for name, value in compiled.update(batch(0)).items()}
    with torch._dynamo.config.patch(error_on_recompile=True):
        later = [compiled.update(batch(seed)).to_dict() for seed in range(1, 30)]
    return [first, *({name: float(value) for name, value in row.items()} for row in later)]


def test_one_graph_for_the_losses_and_their_gradients(history: list[dict[str, float]]) -> None:
    assert len(history) == 30
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


def test_losses_are_those_of_the_eager_update(history: list[dict[str, float]]) -> None:
    for mine, theirs in zip(history, trained(learner(compiled=False), len(history)), strict=True):
        assert mine == pytest.approx(theirs, rel=2e-4, abs=2e-5)


def test_parameters_and_targets_are_those_of_the_eager_update(
    compiled: AWACLearner, history: list[dict[str, float]]
) -> None:
    eager = learner(compiled=False)
    trained(eager, len(history))
    mine, theirs = compiled.loss.state_dict(), eager.loss.state_dict()
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_gradients_lie_in_memory_as_their_parameters_do(compiled: AWACLearner, history: list[dict[str, float]]) -> None:
    # fused Adam pairs numbers by their place in memory: with other strides it would mix up entries, in silence
    assert history
    _, gradients = compiled._evaluate(batch(0))
    for parameter, gradient in zip(compiled._parameters, gradients, strict=True):
        assert parameter.is_contiguous()
        assert gradient.is_contiguous()


def test_another_learner_gets_a_graph_of_its_own(compiled: AWACLearner, history: list[dict[str, float]]) -> None:
    # without guards, a graph found by the code alone would run this learner in the other's precision
    assert history
    other = learner(compiled=True, precision="bf16")
    rows, eager = trained(other, 3), trained(learner(compiled=False, precision="bf16"), 3)
    fp32 = trained(learner(compiled=False), 3)
    assert rows[0]["loss_qvalue"] != fp32[0]["loss_qvalue"]
    for mine, theirs in zip(rows, eager, strict=True):
        assert mine["loss_qvalue"] == pytest.approx(theirs["loss_qvalue"], rel=0.02)
        assert mine["advantage"] == pytest.approx(theirs["advantage"], abs=0.01)


def test_a_state_loaded_after_compiling_is_used(compiled: AWACLearner, history: list[dict[str, float]]) -> None:
    assert history
    fresh = learner(compiled=False)
    compiled.load_state_dict(fresh.state_dict())
    assert trained(compiled, 2)[1] == pytest.approx(trained(fresh, 2)[1], rel=2e-4, abs=2e-5)
