"""The formula for an update's operations against torch's own count of what a real learner multiplies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from awac_tr.algorithms.registry import build_learner
from awac_tr.bench.flops import update_flops, widest_layer
from awac_tr.bench.rows import noise
from awac_tr.envs.facts import env_facts
from awac_tr.recipes.loader import load_recipe

BATCH = 32
SETTINGS = {
    "as it is": [],
    "other widths": ["policy.hidden_sizes=[24, 40]", "qvalue.hidden_sizes=[48]"],
    "five critics": ["qvalue.count=5"],
    "three actions a state": ["awac.value_estimate=sample", "awac.value_samples=3"],
    "the mean action": ["awac.value_estimate=mean"],
    "a second head": ["policy.std=dependent"],
    "a squashed policy": ["policy.distribution=tanh_normal"],
    "half precision": ["precision=bf16"],
    "another task": ["env.id=pen-binary-v0"],
    "cloning": ["algorithm=bc", "online.steps=0"],
    "cloning, second head": ["algorithm=bc", "online.steps=0", "policy.std=dependent"],
    "cloning the mean": ["algorithm=bc", "online.steps=0", "policy.std=dependent", "bc.loss=mse"],
}


class Counter(TorchDispatchMode):
    """Counts what torch is asked to multiply, by torch's own formulas for each of its operations.

    ``FlopCounterMode`` itself walks the modules, and breaks down on those of TensorDict.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.total += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def counted(overrides: list[str]) -> tuple[int, int]:
    """(by the formula, by torch) for one update of a small recipe."""
    small = ["policy.hidden_sizes=[32, 32]", "qvalue.hidden_sizes=[32, 32]", "compile=false", "precision=fp32"]
    changed = {text.partition("=")[0] for text in overrides}
    recipe = load_recipe(
        "door", [*(text for text in small if text.partition("=")[0] not in changed), *overrides]
    ).recipe
    env = env_facts(recipe.env.id)
    learner = build_learner(recipe, env, None, "cpu")
    batch = noise(BATCH, env)
    learner.update(batch)  # the first also makes what the optimiser keeps
    with Counter() as counter:
        learner.update(batch)
    return sum(update_flops(recipe, env, BATCH).values()), counter.total


@pytest.mark.parametrize("overrides", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_formula_is_what_a_learner_multiplies(overrides: list[str]) -> None:
    formula, real = counted(overrides)
    assert formula == real


def test_the_count_sees_a_single_layer() -> None:
    with Counter() as counter:
        torch.nn.functional.linear(torch.zeros(8, 3), torch.zeros(5, 3))
    assert counter.total == 2 * 8 * 3 * 5


def test_the_paper_s_update_by_hand() -> None:
    recipe, env = load_recipe("door").recipe, env_facts("door-binary-v0")
    parts = update_flops(recipe, env, 1024)
    policy = 39 * 256 + 3 * 256 * 256 + 256 * 28
    critic = 67 * 256 + 3 * 256 * 256 + 256
    assert parts["policy, forward on s"] == 2 * 1024 * policy
    assert parts["policy, backward"] == 2 * 1024 * (2 * policy - 39 * 256)
    assert parts["critics, backward"] == 2 * 2 * 1024 * (2 * critic - 67 * 256)
    assert parts["targets, forward on (s', a')"] == 2 * 2 * 1024 * critic


@pytest.mark.parametrize(
    ("overrides", "layer"),
    [
        ([], (256, 256)),
        (["policy.hidden_sizes=[1024]"], (256, 256)),  # two critics of three such layers weigh more
        (["qvalue.hidden_sizes=[512, 384]"], (512, 384)),
        (["algorithm=bc", "online.steps=0", "qvalue.hidden_sizes=[4096, 4096]"], (256, 256)),
        (["policy.hidden_sizes=[8]", "qvalue.hidden_sizes=[16]"], (67, 16)),
    ],
)
def test_the_layer_most_is_spent_in(overrides: list[str], layer: tuple[int, int]) -> None:
    assert widest_layer(load_recipe("door", overrides).recipe, env_facts("door-binary-v0")) == layer
