"""The count of an update's products, against the paper's update counted by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from awac_tr.algorithms.build import build_learner
from awac_tr.bench.flops import Shape, count_products, main_shape
from awac_tr.bench.subject import noise
from awac_tr.envs.env_info import env_info
from awac_tr.recipes.loader import load_recipe

BATCH = 32


def counted(*overrides: str) -> dict[Shape, int]:
    """Of one update of a small recipe."""
    small = ["policy.hidden_sizes=[32, 48]", "compile=false", "precision=fp32"]
    small += [] if "algorithm.name=bc" in overrides else ["qvalue.hidden_sizes=[64]"]
    recipe = load_recipe("door", [*small, *overrides]).recipe
    env = env_info(recipe.env.id)
    learner = build_learner(recipe, env, None, "cpu")
    batch = noise(BATCH, env)
    learner.update(batch)
    return count_products(lambda: learner.update(batch))


def mlp(*sizes: int) -> tuple[int, int]:
    """Operations a row, forward and backward (all weights, all inputs but the data)."""
    layers = [2 * n * m for n, m in pairwise(sizes)]
    return sum(layers), 2 * sum(layers) - layers[0]


POLICY, CRITIC = mlp(39, 32, 48, 28), mlp(39 + 28, 64, 1)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), 2 * POLICY[0] + POLICY[1] + 2 * (3 * CRITIC[0] + CRITIC[1])),
        (("qvalue.count=5",), 2 * POLICY[0] + POLICY[1] + 5 * (3 * CRITIC[0] + CRITIC[1])),
        (("algorithm.value_samples=3",), 2 * POLICY[0] + POLICY[1] + 2 * (5 * CRITIC[0] + CRITIC[1])),
        (("precision=bf16",), 2 * POLICY[0] + POLICY[1] + 2 * (3 * CRITIC[0] + CRITIC[1])),
    ],
    ids=["paper", "five critics", "three actions a state", "half precision"],
)
@pytest.mark.filterwarnings("ignore:.*bf16.*")
def test_an_update_of_awac_by_hand(overrides: tuple[str, ...], expected: int) -> None:
    assert sum(counted(*overrides).values()) == BATCH * expected


def test_a_clone_has_no_critics() -> None:
    assert sum(counted("algorithm.name=bc", "online.steps=0").values()) == BATCH * sum(POLICY)


def test_the_paper_spends_most_in_its_square_layers() -> None:
    assert main_shape(counted("policy.hidden_sizes=[256, 256]", "qvalue.hidden_sizes=[256, 256]"))[1:] == (256, 256)


def test_batched_products_count_each() -> None:
    left, right = torch.zeros(7, 8, 3), torch.zeros(7, 3, 5)
    assert count_products(lambda: torch.bmm(left, right)) == {(8, 3, 5): 7 * 2 * 8 * 3 * 5}
