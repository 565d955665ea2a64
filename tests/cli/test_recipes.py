from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.recipes.library import cards, methods, recipes
from awac_tr.recipes.loader import load_recipe


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["recipes", *args])


def test_list_is_a_table_of_all_tasks_and_one_of_all_methods() -> None:
    result = run("list")
    assert result.exit_code == 0
    tasks, of_methods = (part.splitlines() for part in result.stdout.split("\n\n"))
    assert tasks[0].split() == ["task", "env", "algorithm", "data", "purpose"]
    assert [row.split()[0] for row in tasks[1:]] == list(recipes())
    door = next(row for row in tasks if row.startswith("door "))
    assert door.split("  ")[-1] == load_text("door").splitlines()[0].removeprefix("# ")
    assert of_methods[0].split() == ["method", "algorithm", "preset", "purpose"]
    assert [row.split()[0] for row in of_methods[1:]] == list(methods())


def load_text(name: str) -> str:
    return recipes()[name].read_text()


def test_list_as_json() -> None:
    found = json.loads(run("list", "--json").stdout)
    assert [row["task"] for row in found["tasks"]] == list(recipes())
    door = next(row for row in found["tasks"] if row["task"] == "door")
    assert {"env": "door-binary-v0", "algorithm": "awac", "data": ["door-demos", "door-bc"]}.items() <= door.items()
    authors = next(row for row in found["methods"] if row["method"] == "awac-authors")
    assert (authors["algorithm"], authors["preset"]) == ("awac", "authors")


def test_show_prints_recipes_and_cards_as_they_are() -> None:
    assert run("show", "door").stdout == load_text("door")
    assert run("show", "door-bc").stdout == cards()["door-bc"].read_text()
    assert run("show", "iql").stdout == methods()["iql"].read_text()


def test_show_resolved_can_be_trained_from(tmp_path: Path) -> None:
    result = run("show", "door", "--resolved", "algorithm.temperature=1e-1")
    path = tmp_path / "resolved.yaml"
    path.write_text(result.stdout)
    assert load_recipe(path).recipe == load_recipe("door", ["algorithm.temperature=0.1"]).recipe
    assert "temperature: 0.1 " in result.stdout
    assert "# override" in result.stdout


def test_show_as_json() -> None:
    shown = json.loads(run("show", "door", "--json", "seed=5").stdout)
    assert shown["recipe"]["seed"] == 5
    assert shown["sources"]["seed"] == "override"
    assert shown["recipe"]["algorithm"]["value_bounds"] == "reward_range"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("show", "dor"), "Error: no recipe 'dor'\nDid you mean 'door', which comes with awac-tr?"),
        (("show", "door-cb"), "Error: no dataset card 'door-cb'; did you mean 'door-bc'?"),
        (("show", "door", "seeed=3"), "unknown key; did you mean 'seed'?"),
        (("copy", "dor", "x.yaml"), "Error: no recipe 'dor'"),
        (("chek",), "No such command 'chek'. Did you mean 'check'?"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(args: tuple[str, ...], message: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert list(Path().iterdir()) == []


def test_copy_makes_a_recipe_of_ones_own() -> None:
    result = run("copy", "door", "recipes/mine")
    assert (result.exit_code, result.stdout) == (0, "recipes/mine.yaml\n")
    assert Path("recipes/mine.yaml").read_text() == load_text("door")


def test_copy_does_not_overwrite_unless_forced() -> None:
    Path("mine.yaml").write_text("precious")
    result = run("copy", "door", "mine.yaml")
    assert result.exit_code == 2
    assert "mine.yaml exists already" in result.stderr
    assert Path("mine.yaml").read_text() == "precious"
    assert run("copy", "door", "mine.yaml", "--force").exit_code == 0
    assert Path("mine.yaml").read_text() == load_text("door")


def test_check_without_paths_checks_all_that_is_shipped() -> None:
    result = run("check")
    assert result.exit_code == 0
    shipped = [path for each in (recipes(), methods(), cards()) for path in each.values()]
    assert result.stdout.splitlines() == [f"{path}: ok" for path in shipped]


def test_check_tells_every_file_and_ends_with_2_if_one_is_wrong() -> None:
    Path("bad.yaml").write_text("name: bad\nseeed: 3\n")
    result = run("check", "bad.yaml", "door", "nowhere.yaml")
    assert result.exit_code == 2
    assert "recipe bad.yaml has 3 problems" in result.stdout
    assert "unknown key; did you mean 'seed'?" in result.stdout
    assert "door: ok" in result.stdout
    assert "no recipe 'nowhere.yaml'" in result.stdout
    rows = json.loads(run("check", "bad.yaml", "door", "--json").stdout)
    assert [(row["path"], row["ok"]) for row in rows] == [("bad.yaml", False), ("door", True)]


@pytest.mark.parametrize("args", [("--help",), ("list", "--help"), ("check",), ("list",)])
def test_the_command_imports_nothing_heavy(args: tuple[str, ...]) -> None:
    code = (
        "import sys; from awac_tr.cli.main import main; main(['recipes', *sys.argv[1:]], standalone_mode=False);"
        "print('heavy:', [m for m in ('torch', 'gymnasium', 'h5py', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize("name", ["list", "show", "copy", "check"])
def test_every_help_text_ends_in_examples(name: str) -> None:
    assert f"    awac-tr recipes {name}" in run(name, "--help").stdout.split("Examples:")[-1]
