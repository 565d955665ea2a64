"""Recipes, overrides and cards nobody would write: whatever stands in them, a recipe or one message comes out."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awac_tr.errors import RecipeError
from awac_tr.recipes.build import fields_of
from awac_tr.recipes.cards import DatasetCard, read_card
from awac_tr.recipes.loader import load_recipe, recipe_from_dict, resolved_yaml
from awac_tr.recipes.schema import Recipe
from awac_tr.recipes.yaml_text import parse_yaml

MANY = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from([".".join(path) for path, _ in fields_of(Recipe)])
sections = st.sampled_from(list(Recipe.model_fields))


@MANY
@given(st.dictionaries(sections | st.text(max_size=5), values, max_size=6))
def test_any_data_is_a_recipe_or_refused(data: dict[str, Any]) -> None:
    with suppress(RecipeError):
        recipe = recipe_from_dict(data)
        assert recipe_from_dict(recipe.model_dump(mode="json")) == recipe


@MANY
@given(keys, values)
def test_any_value_of_any_key_is_taken_or_refused(key: str, value: Any) -> None:
    text = f"{key}={json.dumps(value)}"
    with suppress(RecipeError):
        loaded = load_recipe("door", [text])
        assert loaded.sources[key] == "override"
        again = parse_yaml(resolved_yaml(loaded))
        assert not again.problems
        assert recipe_from_dict(again.data) == loaded.recipe


@MANY
@given(st.text(max_size=60))
def test_any_override_is_taken_or_refused(text: str) -> None:
    with suppress(RecipeError):
        load_recipe("door", [text])


@MANY
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200) | values.map(yaml.safe_dump))
def test_any_text_is_a_recipe_a_card_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(text, encoding="utf-8")
    for read in (load_recipe, read_card):
        with suppress(RecipeError):
            read(path)


@MANY
@given(st.dictionaries(st.sampled_from(list(DatasetCard.model_fields)), values, max_size=8))
def test_any_data_is_a_card_or_refused(tmp_path: Path, data: dict[str, Any]) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")
    with suppress(RecipeError):
        read_card(path)
