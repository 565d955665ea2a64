"""The layers import one way, and what must start quickly stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from awac_tr.cli.main import COMMANDS

PACKAGE = Path(__file__).resolve().parent.parent / "awac_tr"
VERBS = ("bench", "collect", "doctor", "replay", "video")
HEAVY = ("torch", "tensordict", "torchrl", "gymnasium", "gymnasium_robotics", "mujoco", "h5py", "matplotlib", "wandb")

BELOW_RECIPES = ("errors", "keys", "utils")
BELOW_ALGORITHMS = (*BELOW_RECIPES, "recipes", "envs", "data", "models", "policies", "objectives")
BELOW_TRAINING = (*BELOW_ALGORITHMS, "algorithms", "buffers", "collectors", "evaluation")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": (),
    "keys": (),
    "utils": ("errors",),
    "recipes": BELOW_RECIPES,
    "envs": (*BELOW_RECIPES, "recipes"),
    "data": (*BELOW_RECIPES, "recipes", "envs"),
    "models": (*BELOW_RECIPES, "recipes", "envs"),
    "policies": (*BELOW_RECIPES, "recipes", "envs", "models"),
    "objectives": (*BELOW_RECIPES, "recipes"),
    "algorithms": BELOW_ALGORITHMS,
    "buffers": (*BELOW_RECIPES, "recipes", "envs", "data"),
    "collectors": (*BELOW_RECIPES, "recipes", "envs", "policies"),
    "evaluation": (*BELOW_RECIPES, "recipes", "envs", "policies", "collectors"),
    "training": BELOW_TRAINING,
    **dict.fromkeys(VERBS, (*BELOW_TRAINING, "training", *VERBS)),
    "experiments": (*BELOW_TRAINING, "training"),
    "cli": (*BELOW_TRAINING, "training", "experiments", *VERBS),
    "__main__": ("cli",),
}
"""Part of the package -> the other parts it may import. It may always import itself, and the package's version."""


RECIPES_LAYER = re.compile(r"awac_tr\.algorithms\.((\w+\.)?config|registry)(\.|$)")
"""What algorithms tell recipes, without torch."""


def part_of(module: str) -> str:
    """``awac_tr.data.storage.reader`` -> ``data``; the package itself -> the empty string."""
    return "recipes" if RECIPES_LAYER.match(module) else [*module.split("."), ""][1]


def imports_of(path: Path, root: Path) -> set[str]:
    """Every module of ours that a file imports anywhere, also inside functions and under TYPE_CHECKING."""
    own = ".".join(path.relative_to(root.parent).with_suffix("").parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*own.split(".")[: -node.level], *filter(None, [base])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("awac_tr.") and name != "awac_tr.__version__"}


def wrong_way(root: Path) -> list[str]:
    """Imports that go against the layers, one line each."""
    wrong = []
    for path in sorted(root.rglob("*.py")):
        part = part_of(".".join(path.relative_to(root.parent).with_suffix("").parts))
        if part == "__init__":
            continue  # the public names come from everywhere; they are imported lazily
        allowed = {part, *MAY_IMPORT.get(part, ())}
        wrong += [
            f"{path.relative_to(root)} imports {name}"
            for name in sorted(imports_of(path, root))
            if part_of(name) not in allowed
        ]
    return wrong


def test_every_part_of_the_package_has_a_place_among_the_layers() -> None:
    parts = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__init__", "__pycache__", "_shipped"} <= set(MAY_IMPORT)


def test_imports_go_one_way() -> None:
    assert wrong_way(PACKAGE) == []


def test_no_circle_exists() -> None:
    """Not even of type-only imports: what a file stands on can be read from the top down."""
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {
        module: {known for name in imports_of(path, PACKAGE) if (known := _module_of(name, modules)) != module}
        for module, path in modules.items()
        if module != "awac_tr"
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the files


def _module_of(name: str, modules: dict[str, Path]) -> str:
    """The file that an imported name is of."""
    while name not in modules:
        name = name.rpartition(".")[0]
    return name


def test_only_envs_imports_gymnasium() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        if "envs" in path.relative_to(PACKAGE).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0].startswith("gymnasium")], path


@pytest.mark.parametrize(
    "line", ["from awac_tr.training.train import train", "import awac_tr.cli.main", "from .. import evaluate"]
)
def test_an_import_against_the_layers_is_found(tmp_path: Path, line: str) -> None:
    module = tmp_path / "awac_tr" / "data" / "reader.py"
    module.parent.mkdir(parents=True)
    module.write_text(f"def late():\n    {line}\n", encoding="utf-8")
    assert len(wrong_way(tmp_path / "awac_tr")) == 1


LIGHT = {
    "the package": "import awac_tr",
    "the recipe loader": "import awac_tr.recipes.loader",
    "the command line": "from awac_tr.cli.main import main; main(['--help'], standalone_mode=False)",
    **{
        f"{name} --help": f"from awac_tr.cli.main import main; main(['{name}', '--help'], standalone_mode=False)"
        for name in COMMANDS
    },
}


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT.keys())
def test_light_things_import_nothing_heavy(code: str) -> None:
    report = f"import sys; {code}; print('heavy:', sorted(set(sys.modules) & {set(HEAVY)!r}))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout.splitlines()[-1] == "heavy: []"
