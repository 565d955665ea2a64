"""Everything that comes with awac-tr is valid, and the presets say what the paper and the authors' code say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from awac_tr.collect import plan, plan_of_card
from awac_tr.data.storage.paths import dataset_path
from awac_tr.recipes.cards import load_card
from awac_tr.recipes.library import cards, purpose, recipes
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.schema import Recipe
from awac_tr.recipes.verify import verify

TASKS = ("door", "pen", "relocate")
LOCOMOTION = {
    "halfcheetah": ("HalfCheetah-v5", {}, "tqc"),
    "walker2d": ("Walker2d-v5", {}, "tqc"),
    "ant": ("Ant-v5", {"include_cfrc_ext_in_observation": False}, "trpo"),
}
"""Name -> environment, its arguments, and whose rollouts were cloned."""


def test_all_are_there() -> None:
    presets = {f"{task}{kind}" for task in (*TASKS, *LOCOMOTION) for kind in ("", "-authors")}
    assert presets | {"quickstart", "sawyer-push"} == set(recipes())
    kinds = ("demos", "bc", "expert", "demonstrator")
    made = {f"{task}-{kind}" for task in (*TASKS, *LOCOMOTION) for kind in kinds}
    others = {"door-human", "door-human-bc", "quickstart-demos", "quickstart-bc", "sawyerpush-ou"}
    assert made | others == set(cards())


@pytest.mark.parametrize("name", [*recipes(), *cards()])
def test_each_is_valid_with_all_it_stands_on(name: str) -> None:
    assert verify(name) == {**cards(), **recipes()}[name]


@pytest.mark.parametrize("name", recipes())
def test_each_recipe_opens_with_purpose_command_data_and_expectation(name: str) -> None:
    path = recipes()[name]
    header = [line for line in path.read_text().split("name:")[0].splitlines() if line.startswith("#")]
    assert purpose(path).endswith(".")
    for start in (f"# Run:     awac-tr train recipes/{name}.yaml", "# Data:    ", "# Expect:  "):
        assert any(line.startswith(start) for line in header), start
    assert load_recipe(name).recipe.name == name


@pytest.mark.parametrize("name", cards())
def test_each_card_has_licence_purpose_and_a_count_to_expect(name: str) -> None:
    card = load_card(name)
    assert card.licence in ("MIT", "Apache-2.0")
    assert card.description
    assert purpose(cards()[name]).endswith(".")
    assert card.expected["episodes"] == (card.n or 25)


def as_in_table_1(recipe: Recipe) -> None:
    awac, four = recipe.algorithm, (256, 256, 256, 256)
    assert (recipe.policy.hidden_sizes, recipe.policy.activation) == (four, "relu")
    assert (recipe.qvalue.hidden_sizes, recipe.qvalue.activation) == (four, "relu")
    assert (awac.policy_lr, awac.policy_weight_decay) == (3e-4, 1e-4)
    assert (awac.qvalue_lr, awac.qvalue_weight_decay) == (3e-4, 0.0)
    assert (awac.gamma, awac.tau) == (0.99, 5e-3)
    assert (recipe.offline.updates, recipe.offline.batch_size, recipe.online.batch_size) == (25_000, 1024, 1024)
    assert recipe.online.updates_per_step == 1
    assert recipe.buffer.capacity == 1_000_000


@pytest.mark.parametrize(("task", "steps"), [("door", 300_000), ("pen", 120_000), ("relocate", 1_000_000)])
def test_the_paper_preset_is_table_1_and_appendix_a3_with_a_floor_and_a_cap(task: str, steps: int) -> None:
    recipe = load_recipe(task).recipe
    as_in_table_1(recipe)
    awac = recipe.algorithm
    assert (awac.temperature, awac.weighting, awac.advantage_max, awac.weight_max) == (0.3, "exp", None, 100.0)
    assert (awac.value_estimate, awac.value_samples, awac.value_bounds) == ("sample", 1, "reward_range")
    assert not awac.ignore_terminals
    assert recipe.env.id == f"{task}-binary-v0"
    assert recipe.data.datasets == (f"{task}-demos", f"{task}-bc")
    assert (recipe.online.steps, recipe.online.steps_per_round) == (steps, 1000)
    assert [load_card(name).n for name in recipe.data.datasets] == [25, 500]


def different(task: str) -> dict[str, object]:
    """What the authors' preset of a task has where the paper's has something else."""
    paper, authors = load_recipe(task).recipe.model_dump(), load_recipe(f"{task}-authors").recipe.model_dump()
    return {
        f"{section}.{key}": authors[section][key]
        for section, values in paper.items()
        if isinstance(values, dict)
        for key, value in values.items()
        if authors[section][key] != value
    }


@pytest.mark.parametrize("task", TASKS)
def test_the_authors_preset_differs_where_their_code_does_and_nowhere_else(task: str) -> None:
    assert different(task) == {
        "algorithm.preset": "authors",
        "algorithm.weight_max": None,
        "algorithm.value_bounds": (None, 0.0),
        "policy.hidden_sizes": (256, 256),
        "qvalue.hidden_sizes": (256, 256),
        "algorithm.temperature": 0.5,
        "algorithm.weighting": "softmax",
        "algorithm.advantage_max": 0.5,
        "algorithm.value_estimate": "mean",
        "algorithm.ignore_terminals": True,
        "offline.batch_size": 128,
    }


@pytest.mark.parametrize("task", LOCOMOTION)
def test_the_paper_preset_of_locomotion_has_its_lambda_its_data_no_bounds_and_a_cap(task: str) -> None:
    recipe = load_recipe(task).recipe
    as_in_table_1(recipe)
    awac = recipe.algorithm
    assert (awac.temperature, awac.weighting, awac.advantage_max, awac.weight_max) == (1.0, "exp", None, 100.0)
    assert (awac.value_estimate, awac.value_samples, awac.value_bounds) == ("sample", 1, (None, None))
    assert not awac.ignore_terminals
    assert (recipe.env.id, recipe.env.kwargs) == LOCOMOTION[task][:2]
    assert recipe.data.datasets == (f"{task}-demos", f"{task}-bc")
    assert (recipe.online.steps, recipe.online.steps_per_round) == (500_000, 1000)
    assert recipe.checkpoint.measure == "return"


@pytest.mark.parametrize("task", LOCOMOTION)
def test_the_authors_preset_of_locomotion_differs_where_their_code_does_and_nowhere_else(task: str) -> None:
    assert different(task) == {
        "algorithm.preset": "authors-mujoco",
        "qvalue.hidden_sizes": (256, 256),
        "algorithm.temperature": 2.0,
        "algorithm.weighting": "softmax",
        "algorithm.weight_max": None,
        "offline.updates": 50_000,
        "offline.batch_size": 128,
    }


@pytest.mark.parametrize("task", LOCOMOTION)
def test_the_data_of_locomotion_are_15_demonstrations_and_100_rollouts_of_their_clone(task: str) -> None:
    demos, rollouts = (load_card(name) for name in load_recipe(task).recipe.data.datasets)
    assert (demos.source, demos.n, demos.action) == ("demos", 15, "mean")
    assert (rollouts.source, rollouts.n, rollouts.action, rollouts.parent) == ("bc", 100, "sample", demos.name)
    for kind in ("demos", "bc", "expert", "demonstrator"):
        card = load_card(f"{task}-{kind}")
        assert (card.env, card.env_kwargs) == LOCOMOTION[task][:2]


@pytest.mark.parametrize("task", LOCOMOTION)
def test_what_collect_makes_unasked_is_what_the_cards_of_locomotion_say(task: str) -> None:
    for source in ("demos", "bc"):
        card = load_card(f"{task}-{source}")
        out = dataset_path(card.name)
        assert plan(card.source, env=card.env) == replace(plan_of_card(card, out), licence=None, description="")


@pytest.mark.parametrize("task", [*TASKS, *LOCOMOTION])
def test_paper_and_authors_act_by_a_gaussian_that_starts_narrow(task: str) -> None:
    for name in (task, f"{task}-authors"):
        policy = load_recipe(name).recipe.policy
        assert (policy.distribution, policy.std) == ("normal", "independent")
        assert (policy.log_std_min + policy.log_std_max) / 2 == -3


@pytest.mark.parametrize("name", recipes())
def test_observations_are_standardised_everywhere(name: str) -> None:
    assert load_recipe(name).recipe.data.normalize_observations


@pytest.mark.parametrize("task", TASKS)
def test_demonstrators_are_clones_of_experts(task: str) -> None:
    card = load_card(f"{task}-demonstrator")
    assert (card.source, card.env, card.parent, card.action) == ("bc", f"{task}-binary-v0", f"{task}-expert", "mean")
    expert = load_card(f"{task}-expert")
    assert (expert.source, expert.env, expert.policy) == ("policy", card.env, f"dapg_{task}.npz")


@pytest.mark.parametrize("task", LOCOMOTION)
def test_demonstrators_of_locomotion_are_clones_of_experts(task: str) -> None:
    card, expert = load_card(f"{task}-demonstrator"), load_card(f"{task}-expert")
    assert (card.source, card.parent, card.action) == ("bc", expert.name, "mean")
    assert (expert.source, expert.policy) == ("policy", f"sb3_{task}_{LOCOMOTION[task][2]}.npz")
    assert expert.options["label"] == "clean"
