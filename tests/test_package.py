"""The package as others meet it: public names, versions, dependencies, what the papers around it say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import resources
from importlib.metadata import entry_points, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import awac_tr
from awac_tr.bench.peer import PEERS
from awac_tr.policies.demonstrators import DEMONSTRATORS

BY_NAME_ONLY = {"gymnasium-robotics", "tensorboard", "metaworld"}
"""Dependencies that our code does not import itself: environments by id, torch.utils.tensorboard, meshes of an arm."""


@pytest.mark.parametrize("name", awac_tr.__all__)
def test_public_name_is_there(name: str) -> None:
    assert getattr(awac_tr, name) is not None
    assert name in dir(awac_tr)


def test_no_public_name_is_also_a_module() -> None:
    # importing the module would put it in the place of the name
    modules = {path.stem for path in Path(awac_tr.__file__).parent.iterdir()}
    assert modules & set(awac_tr.__all__) == set()


def test_public_names_are_told_to_type_checkers_too() -> None:
    tree = ast.parse(Path(awac_tr.__file__).read_text(encoding="utf-8"))
    told = {
        f"{statement.module}.{alias.asname}"
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert told == {f"{home}.{name}" for name, home in awac_tr._HOMES.items()}
    assert set(awac_tr.__all__) == {*awac_tr._HOMES, "__version__"}


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'AWACLos'"):
        awac_tr.AWACLos  # noqa: B018


def test_environments_are_found_through_the_module_prefix() -> None:
    code = "import gymnasium; print(gymnasium.make('awac_tr:door-binary-v0').unwrapped.spec.id)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("door-binary-v0\n", 0), done.stderr


def test_environments_are_registered_when_gymnasium_came_first() -> None:
    code = "import gymnasium, awac_tr; print(gymnasium.spec('pen-binary-v0').max_episode_steps)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("200\n", 0), done.stderr


def test_each_demonstrator_lies_in_the_package_and_nothing_else_does() -> None:
    folder = resources.files("awac_tr.policies.demonstrators")
    lying = [item.name for item in folder.iterdir() if not item.name.startswith("__")]
    assert sorted(lying) == sorted(DEMONSTRATORS.values())


def test_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="awac-tr")
    assert command.load() is __import__("awac_tr.cli.main", fromlist=["main"]).main


def test_citation_has_the_version(repository: Path) -> None:
    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == awac_tr.__version__
    assert citation["license"] == "MIT"


def test_changelog_has_the_version(repository: Path) -> None:
    heads = re.findall(r"^## \[([^\]]+)\]", (repository / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert next(head for head in heads if head != "Unreleased") == awac_tr.__version__


def pins(repository: Path) -> dict[str, str]:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line) for line in lines)
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def needs(repository: Path) -> list[Requirement]:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [line for group in project["dependency-groups"].values() for line in group if isinstance(line, str)]
    extras = [line for extra in project["project"]["optional-dependencies"].values() for line in extra]
    return [
        Requirement(line)
        for line in [*project["project"]["dependencies"], *extras, *groups, *project["build-system"]["requires"]]
    ]


def test_constraints_pin_what_the_project_names_within_its_bounds(repository: Path) -> None:
    pinned = pins(repository)
    for need in needs(repository):
        assert pinned[canonicalize_name(need.name)] in need.specifier, need


def test_constraints_pin_everything_underneath(repository: Path) -> None:
    pinned, queue, seen = pins(repository), ["awac-tr"], {"awac-tr"}
    while queue:
        for line in requires(queue.pop()) or []:
            need = Requirement(line)
            name = canonicalize_name(need.name)
            if name not in seen and (need.marker is None or need.marker.evaluate({"extra": ""})):
                assert name in pinned, f"{name} is installed with the package, but not pinned"
                seen.add(name)
                queue.append(name)
    assert len(seen) > len(needs(repository)) // 2


def test_dependencies_are_those_that_are_imported(repository: Path) -> None:
    imported = set()
    for path in (repository / "awac_tr").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.split(".")[0])
    strangers = imported - set(sys.stdlib_module_names) - {"awac_tr", *PEERS}  # a peer is the user's to install
    homes = packages_distributions()
    found = {canonicalize_name(homes[name][0]) for name in strangers}
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    extras = [line for extra in project["project"]["optional-dependencies"].values() for line in extra]
    declared = {canonicalize_name(Requirement(line).name) for line in [*project["project"]["dependencies"], *extras]}
    assert found - declared == set(), "imported, but not declared"
    assert declared - found - BY_NAME_ONLY == set(), "declared, but not imported"
