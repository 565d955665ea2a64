"""Everything that is checked before a change lands: ``pip install -c constraints.txt nox && nox``.

``nox -s tests -- tests/data -x`` runs one session and hands the rest to its tool. Sessions that need the whole
package share one environment, so that torch is unpacked once for all of them and once for the clean installation.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
CONSTRAINTS = str(ROOT / "constraints.txt")
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PEER = ROOT / "tests" / "benchmarks" / "d3rlpy.txt"
SHARED = ROOT / ".nox" / "shared"

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["lint", "recipes", "types", "docs", "package", "tests"]


def wanted(*what: str, groups: tuple[str, ...] = ()) -> list[str]:
    """Arguments for pip: packages and dependency groups of pyproject.toml, at the versions of the constraints file."""
    return ["-c", CONSTRAINTS, *nox.project.dependency_groups(PYPROJECT, *groups), *what]


def run_in_shared_environment(session: nox.Session, *command: str) -> None:
    """Run a command where the package and all tools are installed."""
    python = SHARED / "bin" / "python"
    if not python.exists():
        session.run(sys.executable, "-m", "virtualenv", "--quiet", str(SHARED), external=True)
    packages = wanted("-e", ".", groups=("dev",))
    session.run(str(python), "-m", "pip", "install", "--quiet", *packages, external=True)
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    session.run(str(python), "-m", *command, env={"PATH": path, "VIRTUAL_ENV": str(SHARED)}, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Style: ruff's rules and ruff's formatting."""
    session.install(*wanted(groups=("lint",)))
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def recipes(session: nox.Session) -> None:
    """Check every shipped recipe and dataset card; with nothing installed that a recipe does not need."""
    session.install(*wanted("click", "pydantic", "pyyaml", "rich"))
    session.install("--no-deps", "-e", ".")
    session.run("awac-tr", "recipes", "check", *session.posargs)


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Types: mypy, strict."""
    run_in_shared_environment(session, "mypy", *session.posargs)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Run the examples of the docstrings and of the Markdown pages, and parse every command line shown there."""
    run_in_shared_environment(session, "pytest", "tests/test_docs.py", *session.posargs)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """The test suite; warnings are errors."""
    run_in_shared_environment(session, "pytest", *(session.posargs or ["--ignore=tests/test_docs.py"]))


@nox.session(venv_backend="none", default=False)
def coverage(session: nox.Session) -> None:
    """The test suite with coverage by branch (not run by default)."""
    run_in_shared_environment(session, "pytest", "--cov", "--cov-branch", "--cov-report=term-missing", *session.posargs)


@nox.session(venv_backend="none", default=False)
def fuzz(session: nox.Session) -> None:
    """Damaged files for every reader (not run by default): ``nox -s fuzz -- --seconds 1500 --keep findings``."""
    run_in_shared_environment(session, "tests.fuzz.campaign", *(session.posargs or ["--seconds", "600"]))


@nox.session(venv_backend="none", default=False)
def faults(session: nox.Session) -> None:
    """Kill collections and runs at every moment: ``nox -s faults -- 60`` kills each so often (not run by default)."""
    os.environ["AWAC_TR_KILLS"] = session.posargs[0] if session.posargs else "20"
    tests = ("tests/test_collect_kills.py", "tests/training/test_train_kills.py")
    run_in_shared_environment(session, "pytest", "-s", *tests)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Speed on this machine, beside d3rlpy (not run by default); arguments go to ``awac-tr bench``."""
    session.install(*wanted("-e", "."))
    # d3rlpy asks for gymnasium 1.0.0, with which this package does not run; its AWAC runs with a later one as well.
    # The file names all that d3rlpy needs beside the constraints file, so that pip has nothing to resolve.
    session.install("--no-deps", "-r", str(PEER))
    recipe = [] if session.posargs and not session.posargs[0].startswith("-") else ["recipes/door.yaml"]
    session.run("awac-tr", "bench", *recipe, *session.posargs, "--against", "d3rlpy")


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist, from it the wheel, install that in a clean environment and use it from an empty folder."""
    dist = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.install(*wanted("hatchling", groups=("package",)))
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(dist), str(ROOT))
    wheel = str(next(dist.glob("*.whl")))
    session.install(*wanted(wheel))
    # once more by force: an environment kept by nox -r has the same version already
    session.install("--force-reinstall", "--no-deps", wheel)
    with session.chdir(_empty_folder(dist)):
        use_installed(session)


def _empty_folder(dist: Path) -> Path:
    folder = dist.parent / "elsewhere"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def use_installed(session: nox.Session) -> None:
    """From help to evaluation, each at its smallest; nothing here may come from the checkout."""
    tiny = ["offline.updates=4", "offline.batch_size=32", "online.steps=0", "eval.episodes=1", "threads=1"]
    for command in (
        ["--help"],
        ["recipes", "list"],
        ["recipes", "check"],
        ["doctor"],
        ["collect", "--source", "demos", "--env", "door-binary-v0", "--n", "2", "--out", "demos.hdf5"],
        ["collect", "--source", "demos", "--env", "Ant-v5", "--n", "1", "--out", "ant.hdf5"],
        ["data", "validate", "demos.hdf5"],
        ["train", "door", "data.datasets=[demos.hdf5]", *tiny, "--run", "run"],
        ["eval", "run/checkpoints/last.pt", "--episodes", "1", "--json"],
    ):
        session.run("awac-tr", *command)
