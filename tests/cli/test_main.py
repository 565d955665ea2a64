"""The command line as a whole: help, exit codes, what an error looks like."""

from __future__ import annotations

import errno
import logging
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result

from awac_tr import __version__
from awac_tr.cli.main import COMMANDS, main
from awac_tr.cli.support import echo_json
from awac_tr.errors import AwacError, DatasetError

Run = Callable[..., Result]


@pytest.fixture
def run_as_collect(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a function as if it were the command ``collect``."""

    def run(body: Callable[[], None], *options: str) -> Result:
        stand_in = SimpleNamespace(command=click.command("collect")(body))
        monkeypatch.setitem(sys.modules, "awac_tr.cli.collect", stand_in)
        return CliRunner().invoke(main, [*options, "collect"])

    return run


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, name
            yield from walk(child, (*path, name))


def test_every_help_text_ends_in_examples() -> None:
    for path, command in walk(main):
        result = CliRunner().invoke(main, [*path, "--help"])
        assert result.exit_code == 0, path
        assert command.help, path
        _, _, shown = result.stdout.partition("\n  Examples:\n")
        lines = [line.strip() for line in shown.strip().splitlines()]
        assert lines, path
        assert all(line.startswith("awac-tr ") for line in lines), lines
        assert not path or any(line.startswith(f"awac-tr {' '.join(path)}") for line in lines), lines


def test_help_lists_every_command() -> None:
    shown = CliRunner().invoke(main, ["--help"]).stdout
    assert [line.split()[0] for line in shown.splitlines() if line.split()[:1] and line.split()[0] in COMMANDS] == list(
        COMMANDS
    )


def test_help_is_quick() -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "awac_tr", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # processor time, since the clock on the wall also counts what other processes take
    assert min(seconds() for _ in range(5)) < 0.3


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout == f"awac-tr {__version__}\n"


def test_unknown_command_comes_back_with_the_closest() -> None:
    result = CliRunner().invoke(main, ["colect"])
    assert result.exit_code == 2
    assert "Did you mean 'collect'" in result.stderr


def test_unknown_option_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["--debg"])
    assert result.exit_code == 2
    assert "--debug" in result.stderr


def test_mistake_of_the_user_is_one_message_and_code_2(run_as_collect: Run) -> None:
    result = run_as_collect(raising(DatasetError("a.hdf5: no terminals", "Add them.")))
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "Error: a.hdf5: no terminals\nAdd them.\n")


def test_fault_of_ours_is_short_and_code_1(run_as_collect: Run) -> None:
    result = run_as_collect(raising(KeyError("lost")))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: KeyError: 'lost'\n")
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("error", "code"), [(AwacError("mistake"), 2), (ValueError("fault"), 1)])
def test_debug_shows_the_traceback(run_as_collect: Run, error: Exception, code: int) -> None:
    result = run_as_collect(raising(error), "--debug")
    assert result.exit_code == code
    assert "Traceback (most recent call last)" in result.stderr
    assert str(error) in result.stderr


def test_interruption_is_code_130(run_as_collect: Run) -> None:
    result = run_as_collect(raising(KeyboardInterrupt()))
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_usage_errors_of_a_command_stay_code_2(run_as_collect: Run) -> None:
    result = run_as_collect(raising(click.UsageError("--n: too many")))
    assert result.exit_code == 2
    assert "too many" in result.stderr


def test_termination_unwinds_the_stack(run_as_collect: Run) -> None:
    cleaned = []

    def body() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            cleaned.append(True)

    before = signal.getsignal(signal.SIGTERM)
    assert run_as_collect(body).exit_code == 143
    assert cleaned
    assert signal.getsignal(signal.SIGTERM) is before


def test_closed_pipe_is_quiet(tmp_path: Path) -> None:
    script = tmp_path / "shout.py"
    script.write_text(
        "import sys, types, click\n"
        "from awac_tr.cli.main import main\n"
        "body = lambda: [click.echo('x' * 1000) for _ in range(10_000)]\n"
        "sys.modules['awac_tr.cli.collect'] = types.SimpleNamespace(command=click.command('collect')(body))\n"
        "main(['collect'])\n",
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("arguments", [["--help"], ["recipes", "list"], ["envs", "list"]])
@pytest.mark.parametrize(("stdout", "code", "said"), [(">/dev/full", 2, "Make room"), (">&-", 0, "")])
def test_stdout_that_is_full_or_closed_is_no_fault_of_ours(
    arguments: list[str], stdout: str, code: int, said: str
) -> None:
    line = f"{shlex.join([sys.executable, '-m', 'awac_tr', *arguments])} {stdout}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "fault" not in done.stderr


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "Make room"), (errno.EMFILE, "ulimit -n"), (errno.EIO, "dmesg")]
)
def test_what_the_system_refuses_is_said_with_a_remedy(run_as_collect: Run, number: int, said: str) -> None:
    result = run_as_collect(raising(OSError(number, os.strerror(number), "there.bin")))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {os.strerror(number)}: there.bin\n")
    assert said in result.stderr
    assert "fault" in run_as_collect(raising(FileNotFoundError(errno.ENOENT, "gone"))).stderr


def test_notes_of_the_library_reach_stderr_once(run_as_collect: Run) -> None:
    def body() -> None:
        logger = logging.getLogger("awac_tr.data")
        logger.debug("detail")
        logger.info("3 actions clipped")
        logger.warning("no licence")

    assert run_as_collect(body).stderr == "3 actions clipped\nwarning: no licence\n"
    assert run_as_collect(body, "--verbose").stderr.startswith("awac_tr.data: detail\n")
    assert not logging.getLogger("awac_tr").handlers


def test_json_holds_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    numpy = pytest.importorskip("numpy")
    echo_json({"a": float("nan"), "b": (1.5, numpy.float32("inf")), "c": numpy.arange(2), "d": Path("x")})
    assert "".join(capsys.readouterr().out.split()) == '{"a":null,"b":[1.5,null],"c":[0,1],"d":"x"}'


@pytest.mark.parametrize("backend", ["nonsense", "egl"])
def test_a_drawing_backend_that_is_missing_keeps_nobody_from_simulating(tmp_path: Path, backend: str) -> None:
    """PyOpenGL's own variable, set to something else, makes mujoco refuse a backend whether it is there or not."""
    environment = os.environ | {"MUJOCO_GL": backend, "PYOPENGL_PLATFORM": "nothing"}
    arguments = ["collect", "--source", "random", "--n", "2", "--horizon", "3", "--out", "a.hdf5"]
    command = [sys.executable, "-m", "awac_tr", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.hdf5").is_file()
    assert done.stderr.count(f"MUJOCO_GL={backend} cannot be used: ") == 1


@pytest.mark.parametrize(
    "arguments", [["train", "--help"], ["data", "-h"], ["data", "info", "--help"], ["recipes", "list"]]
)
def test_mujoco_is_imported_for_simulating_only(arguments: list[str]) -> None:
    code = (
        f"import sys; from awac_tr.cli.main import main; main({arguments}, standalone_mode=False); print(*sys.modules)"
    )
    environment = os.environ | {"MUJOCO_GL": "nonsense"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert {"mujoco", "gymnasium"} & set(done.stdout.splitlines()[-1].split()) == set()
