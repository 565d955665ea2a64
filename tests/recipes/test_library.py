from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from awac_tr.errors import AwacError, RecipeError
from awac_tr.recipes import library
from awac_tr.recipes.library import copy_file, find_any, find_card, find_recipe, purpose
from awac_tr.utils.suggest import closest, did_you_mean


@pytest.fixture
def as_wheel(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package laid out as a wheel installs it: recipes and cards inside, nothing beside."""
    package = tmp_path / "site-packages" / "awac_tr"
    for kind in ("recipes", "datasets"):
        shutil.copytree(repository / kind, package / "_shipped" / kind, ignore=shutil.ignore_patterns("*.hdf5", "*.pt"))
    monkeypatch.setattr(library, "_PACKAGE", package)
    return package


def test_shipped_files_are_found_in_a_checkout(repository: Path) -> None:
    assert library.recipes()["door"] == repository / "recipes" / "door.yaml"
    assert library.cards()["door-bc"] == repository / "datasets" / "door-bc.yaml"
    assert list(library.recipes()) == sorted(library.recipes())


def test_shipped_files_are_found_in_a_wheel(as_wheel: Path) -> None:
    assert find_recipe("recipes/door.yaml") == as_wheel / "_shipped" / "recipes" / "door.yaml"
    assert find_card("door-bc") == as_wheel / "_shipped" / "datasets" / "door-bc.yaml"


def test_an_installation_without_them_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_PACKAGE", tmp_path / "awac_tr")
    with pytest.raises(AwacError, match="the recipes that come with awac-tr are missing"):
        library.recipes()


@pytest.mark.parametrize("ref", ["door.yaml", "recipes/door.yaml", "recipes/door"])
def test_a_path_that_is_not_here_means_the_shipped_recipe_and_this_is_said(
    ref: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "awac_tr"):
        assert find_recipe(ref) == library.recipes()["door"]
    assert caplog.messages == [f"there is no {ref} here; using the recipe 'door' that comes with awac-tr"]


def test_a_bare_name_means_the_shipped_recipe_and_needs_no_word(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "awac_tr"):
        assert find_recipe("door") == library.recipes()["door"]
    assert caplog.messages == []


def test_a_file_that_is_here_comes_before_the_shipped_one() -> None:
    own = Path("recipes/door.yaml")
    own.parent.mkdir()
    own.write_text("name: own\n")
    assert find_recipe("recipes/door.yaml") == own


@pytest.mark.parametrize(
    ("ref", "near"),
    [("dor", "door"), ("recipes/pne.yaml", "pen"), ("experiments/door.yaml", "door"), ("quick-start", "quickstart")],
)
def test_unknown_recipes_come_back_with_the_closest(ref: str, near: str) -> None:
    with pytest.raises(RecipeError) as caught:
        find_recipe(ref)
    assert caught.value.message == f"no recipe {ref!r}"
    assert caught.value.hint.startswith(f"Did you mean {near!r}, which comes with awac-tr?")


def test_cards_of_the_user_come_before_shipped_ones() -> None:
    folder = library.dataset_folder()
    folder.mkdir()
    (folder / "door-bc.yaml").write_text("name: door-bc\n")
    assert find_card("door-bc") == folder / "door-bc.yaml"
    assert find_card("pen-bc") == library.cards()["pen-bc"]


def test_the_dataset_folder_is_datasets_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWAC_TR_DATA", "elsewhere")
    assert library.dataset_folder() == Path("elsewhere")
    monkeypatch.delenv("AWAC_TR_DATA")
    assert library.dataset_folder() == Path("datasets")


def test_unknown_cards_come_back_with_the_closest() -> None:
    with pytest.raises(RecipeError, match=r"no dataset card 'dor-bc'; did you mean 'door-bc'\?"):
        find_card("dor-bc")


def test_any_finds_recipes_first_then_cards() -> None:
    assert find_any("door") == library.recipes()["door"]
    assert find_any("door-demos") == library.cards()["door-demos"]
    assert find_any("recipes/door.yaml") == library.recipes()["door"]
    with pytest.raises(RecipeError, match="no dataset card 'door-dmeos'; did you mean 'door-demos'"):
        find_any("door-dmeos")
    with pytest.raises(RecipeError, match="no recipe 'dor'"):
        find_any("dor")


def test_purpose_is_the_first_comment_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("# What it is for.\n# More.\nname: a\n")
    assert purpose(path) == "What it is for."
    path.write_text("name: a\n# Later.\n")
    assert purpose(path) == ""


@pytest.mark.parametrize(
    ("dest", "made"), [("mine.yaml", "mine.yaml"), ("deep/er/mine", "deep/er/mine.yaml"), (".", "door.yaml")]
)
def test_copies_are_the_same_text(dest: str, made: str) -> None:
    source = library.recipes()["door"]
    assert copy_file(source, dest) == Path(made)
    assert Path(made).read_text() == source.read_text()
    assert not list(Path().rglob("*.part"))


def test_copying_replaces_only_when_forced() -> None:
    target = Path("mine.yaml")
    target.write_text("precious")
    with pytest.raises(RecipeError, match=r"mine\.yaml exists already"):
        copy_file(library.recipes()["door"], target)
    assert target.read_text() == "precious"
    copy_file(library.recipes()["door"], target, force=True)
    assert target.read_text().startswith("# ")


def test_a_copy_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RecipeError, match="cannot be written"):
        copy_file(library.recipes()["door"], tmp_path / "file" / "mine.yaml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_closest_ignores_case_and_refuses_the_far_away() -> None:
    assert closest("LMBDA", ["lmbda", "gamma"]) == "lmbda"
    assert closest("Door-Binary-v0", ["DOOR-binary-v0"]) == "DOOR-binary-v0"
    assert did_you_mean("qqq", ["lmbda"]) == ""
