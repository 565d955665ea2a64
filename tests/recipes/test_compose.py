"""A task's recipe with a method's keys, by ``--method`` or by ``base`` and ``method`` in a file."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from awac_tr.algorithms.registry import ALGORITHMS
from awac_tr.errors import RecipeError
from awac_tr.recipes.library import methods, recipes
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.recipes.resolved import resolved_yaml

IQL = "algorithm: {name: iql, expectile: 0.8}\noffline: {batch_size: 512}\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("iql-mine.yaml").write_text(IQL)


def written(text: str, *overrides: str, method: str | None = None) -> LoadedRecipe:
    Path("mine.yaml").write_text(text)
    return load_recipe("mine.yaml", overrides, method=method)


@pytest.mark.parametrize(("task", "method"), list(itertools.product(recipes(), methods())))
def test_every_method_goes_with_every_task(task: str, method: str) -> None:
    loaded, alone = load_recipe(task, method=method), load_recipe(task).recipe
    assert loaded.recipe.name == f"{task}-{method}"
    assert (loaded.recipe.env, loaded.recipe.data.datasets) == (alone.env, alone.data.datasets)


def test_every_algorithm_has_a_method() -> None:
    assert {load_recipe("door", method=name).recipe.algorithm.name for name in methods()} == set(ALGORITHMS)


def test_the_order_is_base_preset_method_file_command_line() -> None:
    text = "base: door\nmethod: iql-mine.yaml\nonline: {batch_size: 64}\nseed: 1\n"
    loaded = written(text, "seed=2")
    recipe, sources = loaded.recipe, loaded.sources
    found = {
        "env.id": recipe.env.id,
        "policy.hidden_sizes": recipe.policy.hidden_sizes,
        "offline.batch_size": recipe.offline.batch_size,
        "online.batch_size": recipe.online.batch_size,
        "seed": recipe.seed,
        "threads": recipe.threads,
    }
    assert {key: (value, sources[key]) for key, value in found.items()} == {
        "env.id": ("door-binary-v0", "base"),
        "policy.hidden_sizes": ((256, 256), "preset"),
        "offline.batch_size": (512, "method"),
        "online.batch_size": (64, "recipe"),
        "seed": (2, "override"),
        "threads": (None, "default"),
    }
    assert recipe.name == "door-iql-mine"


def test_the_resolved_recipe_loads_to_the_same(tmp_path: Path) -> None:
    loaded = written("base: door\nmethod: iql\nalgorithm: {expectile: 0.9}\n")
    Path("resolved.yaml").write_text(resolved_yaml(loaded))
    assert load_recipe("resolved.yaml").recipe == loaded.recipe
    assert loaded.recipe.algorithm.model_dump()["expectile"] == 0.9


def test_a_base_alone_is_changed_by_the_file() -> None:
    Path("task.yaml").write_text(recipes()["door"].read_text())
    recipe = written("base: task.yaml\nalgorithm: {temperature: 2}\n").recipe
    assert recipe.name == "mine"
    assert recipe.algorithm.model_dump()["temperature"] == 2
    assert recipe.algorithm.model_dump()["weight_max"] == 100


def test_the_task_keeps_its_keys_of_the_same_algorithm() -> None:
    changed = load_recipe("door", method="awac").recipe
    assert changed.model_copy(update={"name": "door"}) == load_recipe("door").recipe
    authors = load_recipe("door", method="awac-authors").recipe.algorithm.model_dump()
    assert (authors["weighting"], authors["preset"]) == ("softmax", "authors")
    assert load_recipe("door-authors", method="awac").recipe.algorithm.preset == "paper"


def test_a_method_of_the_command_line_takes_the_place_of_the_files() -> None:
    text = "base: door\nmethod: iql\nalgorithm: {expectile: 0.9}\nseed: 4\n"
    recipe = written(text, method="awac").recipe
    assert (recipe.algorithm.name, recipe.seed) == ("awac", 4)
    assert recipe.policy.hidden_sizes == (256,) * 4


def test_a_preset_of_the_command_line_comes_before_the_task() -> None:
    recipe = load_recipe("door", ["algorithm.preset=authors"], method="awac").recipe
    assert recipe.policy.hidden_sizes == (256, 256)
    assert load_recipe("door", ["algorithm.preset=authors"]).recipe.policy.hidden_sizes == (256,) * 4


@pytest.mark.parametrize(
    ("text", "method", "said"),
    [
        ("base: dor\n", None, "no recipe 'dor'"),
        ("base: door\nmethod: iqll\n", None, "no method 'iqll'; did you mean 'iql'?"),
        ("base: 3\n", None, "a name or a path is expected, not 3"),
        ("base: second.yaml\n", None, "second.yaml, the base of mine.yaml, has a base itself"),
        ("base: door\npolcy: {}\n", "iql", "unknown key; did you mean 'policy'?"),
        ("base: door\n", "task.yaml", "belongs to a task, not to a method"),
        ("base: door\n", "empty.yaml", "is missing: a method says which algorithm it is"),
        ("base: door\nmethod: iql\nalgorithm: {temperature: 1}\n", None, ", not of iql"),
        ("base: bad.yaml\nmethod: iql\n", None, "line 1 of bad.yaml  unknown key"),
    ],
)
def test_mistakes(text: str, method: str | None, said: str) -> None:
    Path("second.yaml").write_text("base: door\n")
    Path("bad.yaml").write_text("offlin: {updates: 3}\n")
    Path("task.yaml").write_text("algorithm: {name: iql}\ndata: {datasets: [a]}\n")
    Path("empty.yaml").write_text("seed: 3\n")
    with pytest.raises(RecipeError) as caught:
        written(text, method=method)
    assert said in str(caught.value)
