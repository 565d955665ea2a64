"""What the pages, the help texts and the docstrings show is run, or at least parsed by the real command line."""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from awac_tr.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCTESTED = sorted(path for path in (ROOT / "awac_tr").rglob("*.py") if ">>>" in path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


def shell_lines(page: Path) -> list[str]:
    """Command lines of a page: all of bash blocks, of console blocks those behind a ``$``; continued lines joined."""
    lines = [line for body in blocks(page, "bash", "sh") for line in body.replace("\\\n", " ").splitlines()]
    for body in blocks(page, "console"):
        lines += [line[2:] for line in body.replace("\\\n", " ").splitlines() if line.startswith("$ ")]
    return lines


def calls(line: str) -> list[list[str]]:
    """The calls of awac-tr in a command line, as argument lists."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = []
    current: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("|&;<>()"):
            found += [current[1:]] if current[:1] == ["awac-tr"] else []
            current = []
        else:
            current.append(word)
    return found


def complaint(arguments: list[str]) -> str:
    """What the command line says against these arguments; empty where it would run, given the files named."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click.Command, "invoke", lambda *_: None)
        result = CliRunner().invoke(main, arguments)
    return "" if result.exit_code == 0 or "does not exist" in result.stderr else result.output


def help_texts(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    yield CliRunner().invoke(main, [*path, "--help"]).stdout
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            assert child is not None, name
            yield from help_texts(child, (*path, name))


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        (
            "ls && awac-tr doctor; awac-tr recipes list --json | head  # awac-tr plot",
            [["doctor"], ["recipes", "list", "--json"]],
        ),
        ("awac-tr train door 'data.datasets=[a, b]' >log 2>&1", [["train", "door", "data.datasets=[a, b]"]]),
        ("pip install awac-tr", []),
    ],
)
def test_calls_are_found_in_a_command_line(line: str, arguments: list[list[str]]) -> None:
    assert calls(line) == arguments


@pytest.mark.parametrize("line", ["awac-tr colect", "awac-tr recipes list --jsn", "awac-tr eval"])
def test_a_wrong_command_line_draws_a_complaint(line: str) -> None:
    assert complaint(calls(line)[0])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_on_a_page_parse(page: Path) -> None:
    for line in shell_lines(page):
        for arguments in calls(line):
            assert not complaint(arguments), line


def test_examples_of_the_help_texts_parse() -> None:
    for text in help_texts(main):
        for line in text.partition("\n  Examples:\n")[2].splitlines():
            for arguments in calls(line):
                assert not complaint(arguments), line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_in_commands_on_a_page_exist(page: Path) -> None:
    named = {
        word
        for line in shell_lines(page)
        for word in re.findall(r"(?:recipes|datasets|docs)/[\w./-]+\.(?:yaml|md)", line)
    }
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_continuous_integration_runs_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^as_typed '(.*)'$", script, re.MULTILINE) == [
        line for line in shell_lines(ROOT / "README.md") if "constraints.txt" in line
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_on_a_page_runs(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for body in blocks(page, "python"):
        exec(compile(body, str(page), "exec"), namespace)  # noqa: S102  (our own pages)


@pytest.mark.parametrize("path", DOCTESTED, ids=name_of)
def test_examples_of_docstrings_run(path: Path) -> None:
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    for file, test in re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", page.read_text(encoding="utf-8")):
        assert (ROOT / file).is_file(), file
        assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8"), test
