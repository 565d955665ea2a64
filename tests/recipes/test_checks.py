"""Keys without effect: an error where an override sets them, a note where the recipe is for another algorithm."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from awac_tr.errors import RecipeError
from awac_tr.recipes.checks import say_unused_keys, unused_keys
from awac_tr.recipes.library import recipes
from awac_tr.recipes.loader import load_recipe, resolved_yaml

BC = ("algorithm.name=bc", "online.steps=0")


@pytest.mark.parametrize("name", recipes())
def test_shipped_recipes_set_nothing_in_vain(name: str) -> None:
    assert unused_keys(load_recipe(name)) == []


@pytest.mark.parametrize("override", ["qvalue.count=3", "hindsight.kept=1"])
def test_an_override_without_effect_is_an_error(override: str) -> None:
    with pytest.raises(
        RecipeError, match=rf"{override.split('=', maxsplit=1)[0]} +\(override\) +has no effect with algorithm bc"
    ):
        load_recipe("quickstart", [*BC, override])


def test_what_bc_looks_at_may_be_set() -> None:
    load_recipe("quickstart", [*BC, "algorithm.lr=0.01", "algorithm.loss=mse", "policy.std=dependent", "compile=true"])


def test_keys_for_another_algorithm_are_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nalgorithm: {name: bc}\nenv: {id: door-binary-v0}\ndata: {datasets: [a.hdf5]}\n"
        "qvalue: {count: 3, activation: relu}\n",
        encoding="utf-8",
    )
    loaded = load_recipe(path)
    with caplog.at_level(logging.INFO, "awac_tr"):
        say_unused_keys(loaded)
    assert caplog.messages == ["qvalue.count has no effect with algorithm bc."]
    # a run goes on from a recipe that writes every key down
    path.write_text(resolved_yaml(loaded), encoding="utf-8")
    assert unused_keys(load_recipe(path)) == ["qvalue.count"]
