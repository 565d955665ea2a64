"""The compiled update: the numbers of the eager one, one graph, no recompiles; precision in its place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torch._dynamo.utils import counters

from awac_tr.algorithms.base import Statistics
from awac_tr.algorithms.build import build_learner
from awac_tr.algorithms.compilation import Compiled
from awac_tr.algorithms.gradient_learner import GradientLearner
from awac_tr.algorithms.hardware import cannot_compile
from awac_tr.envs.env_info import EnvInfo
from awac_tr.recipes.loader import recipe_from_dict

FACTS = EnvInfo("toy", 10, (-1.0, 0.0), None, None, 5, 2)
CPU = torch.device("cpu")
SIZE = 32

pytestmark = pytest.mark.skipif(cannot_compile(CPU) is not None, reason=f"cannot compile here: {cannot_compile(CPU)}")


def learner(*, compiled: bool, precision: str = "fp32") -> GradientLearner:
    """The paper's update with every part of the loss at work."""
    made = recipe_from_dict(
        {
            "name": "toy",
            "env": {"id": "toy"},
            "data": {"datasets": ["toy"]},
            "policy": {"hidden_sizes": [16]},
            "qvalue": {"hidden_sizes": [16]},
            "algorithm": {"weight_max": 100.0, "value_bounds": "reward_range", "temperature": 0.3},
            "compile": compiled,
            "precision": precision,
        }
    )
    torch.manual_seed(0)
    statistics = Statistics(torch.full((5,), 0.5), torch.full((5,), 2.0))
    built = build_learner(made, FACTS, statistics)
    assert isinstance(built, GradientLearner)
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


def trained(made: GradientLearner, updates: int) -> list[dict[str, float]]:
    """What each update returned; the random numbers are the same at every call."""
    torch.manual_seed(1)
    return [{name: float(value) for name, value in made.update(batch(seed)).items()} for seed in range(updates)]


@pytest.fixture(scope="module")
def compiled() -> Iterator[GradientLearner]:
    torch._dynamo.reset()
    counters.clear()
    yield learner(compiled=True)
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def history(compiled: GradientLearner) -> list[dict[str, float]]:
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
    compiled: GradientLearner, history: list[dict[str, float]]
) -> None:
    eager = learner(compiled=False)
    trained(eager, len(history))
    mine, theirs = compiled.loss.state_dict(), eager.loss.state_dict()
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_gradients_lie_in_memory_as_their_parameters_do(
    compiled: GradientLearner, history: list[dict[str, float]]
) -> None:
    # fused Adam pairs numbers by their place in memory: with other strides it would mix up entries, in silence
    assert history
    (step,) = compiled.steps
    _, gradients = step._evaluate(batch(0))
    for parameter, gradient in zip(step._parameters, gradients, strict=True):
        assert parameter.is_contiguous()
        assert gradient.is_contiguous()


def test_another_learner_gets_a_graph_of_its_own(compiled: GradientLearner, history: list[dict[str, float]]) -> None:
    # without guards, a graph found by the code alone would run this learner in the other's precision
    assert history
    other = learner(compiled=True, precision="bf16")
    rows, eager = trained(other, 3), trained(learner(compiled=False, precision="bf16"), 3)
    fp32 = trained(learner(compiled=False), 3)
    assert rows[0]["loss_qvalue"] != fp32[0]["loss_qvalue"]
    for mine, theirs in zip(rows, eager, strict=True):
        assert mine["loss_qvalue"] == pytest.approx(theirs["loss_qvalue"], rel=0.02)
        assert mine["advantage"] == pytest.approx(theirs["advantage"], abs=0.01)


def test_a_state_loaded_after_compiling_is_used(compiled: GradientLearner, history: list[dict[str, float]]) -> None:
    assert history
    fresh = learner(compiled=False)
    compiled.load_state_dict(fresh.state_dict())
    assert trained(compiled, 2)[1] == pytest.approx(trained(fresh, 2)[1], rel=2e-4, abs=2e-5)


def changed_outputs(made: GradientLearner, change: Callable[[], object]) -> set[str]:
    """What an update from the same state, with the same random numbers, returns otherwise after the change."""
    state = copy.deepcopy(made.state_dict())
    before = trained(made, 1)[0]
    made.load_state_dict(state)
    change()
    after = trained(made, 1)[0]
    made.load_state_dict(state)
    return {name for name, value in after.items() if value != before[name]}


COEFFICIENTS: list[tuple[str, Any, Any, set[str]]] = [
    ("temperature", 0.1, 0.3, {"loss_actor", "weight_max"}),
    ("advantage_max", -0.01, None, {"loss_actor", "capped_fraction"}),
    ("weight_max", 0.9, 100.0, {"loss_actor", "capped_fraction"}),
    ("value_bounds", (-3.0, -1.0), (-100.0, 0.0), {"loss_actor", "loss_qvalue", "target_value"}),
]


@pytest.mark.parametrize("compile_update", [False, True])
def test_what_changes_after_the_first_update_acts(
    compile_update: bool, compiled: GradientLearner, history: list[dict[str, float]]
) -> None:
    assert history
    made = compiled if compile_update else learner(compiled=False)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for name, value, old, expected in COEFFICIENTS:
            assert changed_outputs(made, lambda n=name, v=value: setattr(made.loss, n, v)) >= expected, name
            setattr(made.loss, name, old)
        gamma = partial(made.loss.make_value_estimator, "td0")
        assert changed_outputs(made, partial(gamma, gamma=0.5)) == {"loss_qvalue", "target_value"}
        gamma(gamma=0.99)
        assert changed_outputs(made, lambda: None) == set()


def test_an_option_changed_after_compiling_acts(compiled: GradientLearner, history: list[dict[str, float]]) -> None:
    assert history
    found = changed_outputs(compiled, lambda: setattr(compiled.loss, "weighting", "softmax"))
    compiled.loss.weighting = "exp"
    assert found >= {"loss_actor", "weight_max"}


def test_every_compiled_function_looks_at_shapes_only() -> None:
    """What a library keeps in its globals may grow while environments are stepped."""
    known = {"one": 1}

    def product(rows: TensorDict) -> torch.Tensor:
        total: torch.Tensor = rows["action"].sum() * len(known)
        return total

    both = [Compiled(product), Compiled(product)]
    rows = batch(0)
    expected = [function(rows) for function in both]
    graphs = counters["stats"]["unique_graphs"]
    known["two"] = 2
    for function, value in zip(both, expected, strict=True):
        assert function(rows) == value
    assert counters["stats"]["unique_graphs"] == graphs
