from __future__ import annotations

from pathlib import Path

import pytest

from awac_tr.errors import RecipeError
from awac_tr.recipes.library import dataset_folder
from awac_tr.recipes.verify import kind_of, verify

RECIPE = "name: mine\nenv:\n  id: door-binary-v0\ndata:\n  datasets: [{}]\n"


def recipe(datasets: str, more: str = "") -> Path:
    path = Path("mine.yaml")
    path.write_text(RECIPE.format(datasets) + more)
    return path


def card(name: str, text: str) -> None:
    dataset_folder().mkdir(exist_ok=True)
    (dataset_folder() / f"{name}.yaml").write_text(f"name: {name}\nenv: door-binary-v0\nlicence: MIT\n{text}\n")


def test_recipes_and_cards_are_told_apart() -> None:
    card("noise", "source: ou\nn: 3")
    assert kind_of(dataset_folder() / "noise.yaml") == "card"
    assert kind_of(recipe("door-demos")) == "recipe"


def test_a_recipe_of_known_cards_and_files_is_fine() -> None:
    card("noise", "source: ou\nn: 3")
    (dataset_folder() / "logged.hdf5").touch()
    path = recipe("door-demos, noise, logged, ./else.hdf5")
    assert verify(path) == path


@pytest.mark.parametrize(
    ("datasets", "more", "message"),
    [
        ("door-dmeos", "", "no dataset card 'door-dmeos'; did you mean 'door-demos'?"),
        ("pen-demos", "", "pen-demos is of pen-binary-v0, not of env.id door-binary-v0"),
        ("door-demos", "policy: {init_from: clone}\n", "none of data.datasets has source bc"),
    ],
)
def test_datasets_that_do_not_fit_are_refused(datasets: str, more: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        verify(recipe(datasets, more))
    assert message in caught.value.message


def test_environments_may_be_named_with_the_module_that_registers_them() -> None:
    path = recipe("door-demos")
    path.write_text(path.read_text().replace("door-binary-v0", "awac_tr:door-binary-v0"))
    assert verify(path) == path


def test_a_clone_to_start_from_is_found_where_there_is_a_bc_dataset() -> None:
    path = recipe("door-demos, door-bc", "policy: {init_from: clone}\n")
    assert verify(path) == path


def test_parents_must_be_there_and_end_somewhere() -> None:
    card("a", "source: bc\nn: 3\nparent: b")
    with pytest.raises(RecipeError, match="no dataset card 'b'"):
        verify("a")
    card("b", "source: bc\nn: 3\nparent: a")
    with pytest.raises(RecipeError, match="the parents of dataset a form a circle: a -> b -> a"):
        verify("a")
