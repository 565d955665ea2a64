"""The command line: ``awac-tr COMMAND``. Commands live one a file and are imported only when they are named."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, Final, NoReturn

import click

from awac_tr import __version__
from awac_tr.cli.support import (
    EXIT_FAULT,
    EXIT_INTERRUPTED,
    EXIT_USER,
    LazyGroup,
    UserError,
    examples,
    notes_on_stderr,
    orderly_termination,
)
from awac_tr.errors import AwacError, plain
from awac_tr.utils.atomic import reason_of, remedy_for
from awac_tr.utils.terminal import echo, plain_streams

__all__ = ["main"]

COMMANDS: Final = ("collect", "data", "train", "eval", "plot", "bench", "recipes", "envs", "doctor")
"""In the order of the help text; ``awac_tr/cli/NAME.py`` holds the command as ``command``."""

_SIMULATING: Final = frozenset({"collect", "data", "train", "eval", "bench", "envs"})
_HELP: Final = ("-h", "--help")
_ASKED: Final = "awac_tr.arguments"


class CommandLine(LazyGroup):
    """Turns exceptions of its commands into messages and exit codes."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click's; what leaves on stdout and stderr can move no cursor, and where it cannot leave, words say so."""
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # closed by who started us; what is opened must not get its number
                setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        with plain_streams():
            try:
                return super().main(*args, **kwargs)
            except OSError as error:  # of click's own writing, such as a help text
                refused = _refused_by_the_system(error) or _fault(error)
                refused.show()
                sys.exit(refused.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the package's exit codes: 0 done, 1 our fault, 2 the user's mistake, 130 interrupted."""
        debug = bool(ctx.params.get("debug"))
        ctx.meta[_ASKED] = tuple(ctx.args)
        try:
            return super().invoke(ctx)
        except AwacError as error:
            if debug:
                _leave_with_traceback(EXIT_USER)
            raise UserError.of(error) from error
        except KeyboardInterrupt:
            _leave_interrupted()
        except click.UsageError as error:
            setattr(error, "message", plain(error.message))  # noqa: B010  (click calls it final)
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if _came_of_an_interrupt(error):
                _leave_interrupted()
            if debug:
                _leave_with_traceback(EXIT_FAULT)
            raise (_refused_by_the_system(error) or _fault(error)) from error


def _came_of_an_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: TensorDict's context managers answer every exception with one of their own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _leave_interrupted() -> NoReturn:
    echo("interrupted", err=True)
    sys.exit(EXIT_INTERRUPTED)


def _leave_with_traceback(code: int) -> None:
    traceback.print_exc()
    sys.exit(code)


def _refused_by_the_system(error: Exception) -> UserError | None:
    """A disk that is full, a limit that is reached: not our fault, and the user's to mend; None: something else."""
    if not isinstance(error, OSError) or not remedy_for(error):
        return None
    of = f": {error.filename}" if error.filename else ""
    return UserError.of(AwacError(reason_of(error) + of, remedy_for(error)))


def _fault(error: Exception) -> click.ClickException:
    """A mistake of ours, said in two lines; exit code 1."""
    what = plain(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    return click.ClickException(
        f"{what}\nThis looks like a fault of awac-tr itself; awac-tr --debug COMMAND ... shows where."
    )


@click.group(
    cls=CommandLine,
    modules={name: f"awac_tr.cli.{name}" for name in COMMANDS},
    context_settings={"help_option_names": list(_HELP), "max_content_width": 100},
    epilog=examples(
        "awac-tr train recipes/quickstart.yaml",
        "awac-tr collect --source bc --n 500",
        "awac-tr eval runs/NAME/checkpoints/best.pt --episodes 50",
    ),
)
@click.version_option(__version__, prog_name="awac-tr", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("-v", "--verbose", is_flag=True, help="Say more about what is being done.")
@click.pass_context
def main(ctx: click.Context, *, debug: bool, verbose: bool) -> None:  # noqa: ARG001  (debug is read by CommandLine)
    """Start a policy from data and let it keep improving online, by advantage-weighted actor-critic.

    Results go to stdout, notes and progress to stderr. Exit codes: 0 done, 1 a fault of awac-tr,
    2 a mistake in what was asked for, 130 interrupted.
    """
    ctx.with_resource(notes_on_stderr(verbose=verbose))
    ctx.with_resource(orderly_termination())
    if os.environ.get("MUJOCO_GL") and ctx.invoked_subcommand in _SIMULATING and not {*_HELP} & {*ctx.meta[_ASKED]}:
        from awac_tr.envs.gl import import_mujoco

        import_mujoco()  # now, since TorchRL imports mujoco too
