from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from awac_tr.errors import RecipeError
from awac_tr.recipes.library import recipes
from awac_tr.recipes.loader import LoadedRecipe, load_recipe, recipe_from_dict, resolved_yaml
from awac_tr.recipes.schema import Recipe

MINIMAL = "name: mine\nenv:\n  id: door-binary-v0\ndata:\n  datasets: [door-demos]\n"


def load(tmp_path: Path, text: str, *overrides: str) -> LoadedRecipe:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_recipe(path, overrides)


def test_values_come_from_the_override_then_the_recipe_then_the_default(tmp_path: Path) -> None:
    loaded = load(tmp_path, MINIMAL + "algorithm:\n  temperature: 1\n  tau: 3e-4\n", "algorithm.tau=1e-2", "seed=7")
    assert (loaded.recipe.algorithm.temperature, loaded.recipe.algorithm.tau, loaded.recipe.algorithm.gamma) == (
        1.0,
        0.01,
        0.99,
    )
    assert loaded.recipe.seed == 7
    assert loaded.path == tmp_path / "mine.yaml"
    keys = ("algorithm.temperature", "algorithm.tau", "algorithm.gamma", "seed", "env.id")
    assert [loaded.sources[key] for key in keys] == ["recipe", "override", "default", "override", "recipe"]


def test_sources_name_every_key_that_holds_a_value_and_no_section(tmp_path: Path) -> None:
    loaded = load(tmp_path, MINIMAL)
    written = {key for key, source in loaded.sources.items() if source == "recipe"}
    assert written == {"name", "env.id", "data.datasets"}
    assert "checkpoint.measure" in loaded.sources
    assert "awac" not in loaded.sources


@pytest.mark.parametrize("key", ["3e-4", "0.0003", "3.0e-4", "3E-04"])
def test_small_numbers_may_be_written_as_people_write_them(key: str, tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL + f"algorithm: {{policy_lr: {key}}}\n").recipe.algorithm.policy_lr == 3e-4
    assert load(tmp_path, MINIMAL, f"algorithm.policy_lr={key}").recipe.algorithm.policy_lr == 3e-4


def test_off_is_the_word_off(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL + "log: {wandb: off}\n").recipe.log.wandb == "off"


def test_lists_and_nulls_in_overrides(tmp_path: Path) -> None:
    overrides = ["policy.hidden_sizes=[64, 32]", "algorithm.value_bounds=[null, 0]", "data.datasets=[a, ./b.hdf5]"]
    recipe = load(tmp_path, MINIMAL, *overrides, "env.horizon=null").recipe
    assert recipe.policy.hidden_sizes == (64, 32)
    assert recipe.algorithm.value_bounds == (None, 0.0)
    assert recipe.data.datasets == ("a", "./b.hdf5")
    assert recipe.env.horizon is None


def test_an_override_is_split_at_its_first_equals_sign(tmp_path: Path) -> None:
    recipe = load(tmp_path, MINIMAL, "log.wandb_project=a=b", "env.kwargs.reward_type=sparse").recipe
    assert recipe.log.wandb_project == "a=b"
    assert recipe.env.kwargs == {"reward_type": "sparse"}


def test_keyword_arguments_of_the_environment_are_added_one_by_one(tmp_path: Path) -> None:
    text = MINIMAL.replace("env:\n", "env:\n  kwargs: {a: 1, b: {c: 2}}\n")
    loaded = load(tmp_path, text, "env.kwargs.a=5", "env.kwargs.b.d=6")
    assert loaded.recipe.env.kwargs == {"a": 5, "b": {"c": 2, "d": 6}}
    assert loaded.sources["env.kwargs"] == "override"


def test_an_override_mends_a_mistake_of_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL + "seed: three\n", "seed=3").recipe.seed == 3


def test_the_last_of_two_overrides_counts_and_this_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "awac_tr"):
        assert load(tmp_path, MINIMAL, "seed=1", "seed=2").recipe.seed == 2
    assert caplog.messages == ["seed is overridden more than once; the last value, 2, counts"]


def test_a_section_without_keys_keeps_its_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL + "algorithm:\n  # tau: 1\n").recipe == load(tmp_path, MINIMAL).recipe


def test_recipes_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path, MINIMAL).recipe.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", recipes())
def test_resolved_yaml_loads_to_an_equal_recipe_with_us_and_with_any_yaml_reader(name: str, tmp_path: Path) -> None:
    loaded = load_recipe(name, ["seed=3", "env.kwargs={label: off, limit: 1e-5}", "algorithm.weight_max=2.5e3"])
    text = resolved_yaml(loaded)
    path = tmp_path / "resolved.yaml"
    path.write_text(text)
    again = load_recipe(path)
    assert again.recipe == loaded.recipe
    assert set(again.sources.values()) == {"recipe"}
    assert recipe_from_dict(yaml.safe_load(text)) == loaded.recipe


def test_resolved_yaml_of_wrappers_with_arguments(tmp_path: Path) -> None:
    limit = '{name: "gymnasium.wrappers:TimeLimit", kwargs: {max_episode_steps: 9}}'
    wrappers = f'env.wrappers=["gymnasium.wrappers:ClipAction", {limit}]'
    loaded = load_recipe("door", [wrappers])
    path = tmp_path / "resolved.yaml"
    path.write_text(resolved_yaml(loaded))
    assert load_recipe(path).recipe == loaded.recipe


def test_resolved_yaml_tells_where_each_value_came_from() -> None:
    lines = resolved_yaml(load_recipe("door", ["seed=3"])).splitlines()
    ends = {line.split(":")[0]: line.rsplit(" # ", 1)[-1] for line in lines[1:] if " # " in line}
    assert (ends["seed"], ends["  temperature"], ends["compile"]) == ("override", "recipe", "default")
    assert set(ends.values()) == {"override", "recipe", "default"}
    assert lines[0].startswith("# Recipe door, resolved from ")


def test_a_dict_makes_the_recipe_its_dump_came_from(tmp_path: Path) -> None:
    recipe = load(tmp_path, MINIMAL + "algorithm: {value_bounds: [null, 0.0]}\n").recipe
    assert recipe_from_dict(recipe.model_dump()) == recipe
    assert isinstance(recipe, Recipe)


def test_values_no_recipe_can_hold_are_refused() -> None:
    data = {"name": "a", "env": {"id": "x", "kwargs": {"f": print}}, "data": {"datasets": ["d"]}}
    with pytest.raises(RecipeError, match="plain values"):
        recipe_from_dict(data)


def test_loading_takes_neither_torch_nor_gymnasium_nor_numpy() -> None:
    code = (
        "import sys; from awac_tr.recipes.loader import load_recipe; from awac_tr.recipes.cards import load_card;"
        "load_recipe('door'); load_card('door-bc');"
        "print([m for m in ('torch', 'gymnasium', 'h5py', 'numpy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_shares_of_hindsight_sum_to_one(tmp_path: Path) -> None:
    assert not load(tmp_path, MINIMAL + "hindsight: null\n").recipe.hindsight.relabels
    paper = load(tmp_path, MINIMAL + "hindsight: {kept: 0.2, fresh: 0.5, future: 0.3}\n").recipe.hindsight
    assert (paper.kept, paper.fresh, paper.future, paper.relabels) == (0.2, 0.5, 0.3, True)
    text = r"hindsight.kept.*line \d+.*must sum to 1: 0.2 kept \+ 0.5 fresh \+ 0 future is 0.7"
    with pytest.raises(RecipeError, match=text):
        load(tmp_path, MINIMAL + "hindsight: {kept: 0.2, fresh: 0.5}\n")
    with pytest.raises(RecipeError, match=r"1 kept .* 0.3 future is 1.3"):
        load(tmp_path, MINIMAL, "hindsight.future=0.3")
    with pytest.raises(RecipeError, match=r"hindsight\.fresh.*a number of at least 0 and of at most 1"):
        load(tmp_path, MINIMAL, "hindsight.fresh=-0.5", "hindsight.future=0.5")
