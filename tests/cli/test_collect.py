"""The command: what it prints, what it refuses with exit code 2, and that it touches nothing then."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.data.storage.reader import open_dataset

SHORT = ("--n", "2", "--horizon", "10", "--quiet")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["collect", *arguments])


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.output
    return result.stderr


def test_random_play_lands_under_its_default_name() -> None:
    result = run("--source", "random", "--env", "Pendulum-v1", *SHORT)
    assert result.exit_code == 0, result.output
    path = Path("datasets/pendulum-random.hdf5").resolve()
    with open_dataset(path) as dataset:
        assert dataset.content_hash in result.stdout
    assert result.stdout.startswith(str(path))
    assert "2 of Pendulum-v1, 20 transitions, by uniform actions, seed 0" in result.stdout


def test_the_result_as_json_and_success() -> None:
    result = run("--source", "ou", "--out", "a.hdf5", "--sigma", "0.2", "--seed", "4", "--json", *SHORT)
    report = json.loads(result.stdout)
    assert (report["path"], report["episodes"], report["transitions"], report["seed"]) == ("a.hdf5", 2, 20, 4)
    assert report["measures"]["success_any"] == 0.0
    with open_dataset("a.hdf5") as dataset:
        assert (report["content_hash"], dataset.meta.extra) == (dataset.content_hash, {"theta": 0.15, "sigma": 0.2})


def test_progress_and_success_without_a_terminal() -> None:
    result = run("--source", "random", "--n", "2", "--horizon", "10", "--out", "a.hdf5")
    assert "episodes 2/2:" in result.stderr
    assert "steps/s, success 0.0%" in result.stderr
    assert "success   0.0% at any step" in result.stdout


def test_a_clone_of_a_named_dataset() -> None:
    assert run("--source", "random", "--out", "datasets/play.hdf5", *SHORT).exit_code == 0
    changes = ("--set", "max_updates=10", "--set", "policy.hidden_sizes=[8]", "--set", "bc.lr=1e-2")
    result = run("--source", "bc", "--from", "play", "--out", "a.hdf5", *changes, *SHORT)
    assert result.exit_code == 0, result.output
    assert "clone     a.clone.pt" in result.stdout
    assert Path("a.clone.pt").is_file()
    # the clone knows its environment and its horizon
    again = run("--source", "policy", "--policy", "a.clone.pt", "--sample", "--out", "b.hdf5", "--n", "1", "--quiet")
    assert "1 of door-binary-v0, 10 transitions, by a.clone.pt, sampled actions" in again.stdout, again.output


def test_a_card() -> None:
    Path("datasets").mkdir()
    Path("datasets/swing.yaml").write_text("{name: swing, env: Pendulum-v1, source: random, n: 2, licence: CC0-1.0}")
    result = run("--card", "swing", "--quiet")
    assert result.exit_code == 0, result.output
    assert "2 of Pendulum-v1, 400 transitions" in result.stdout
    assert "exists already" in refused("--card", "swing")
    assert run("--card", "swing", "--quiet", "--force").exit_code == 0


def test_an_existing_file_needs_force() -> None:
    Path("a.hdf5").write_text("precious")
    assert "a.hdf5 exists already" in refused("--source", "random", "--out", "a.hdf5", *SHORT)
    assert Path("a.hdf5").read_text() == "precious"
    assert run("--source", "random", "--out", "a.hdf5", "--force", *SHORT).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give one of --source and --card"),
        (("--source", "random", "--card", "door-bc"), "give one of --source and --card"),
        (("--card", "door-bc", "--seed", "3"), "--seed has no effect with --card"),
        (("--source", "sleep"), "'sleep' is not one of 'demos', 'bc', 'ou', 'random', 'policy'"),
        (("--source", "random", "--theta", "0.1"), "--theta has no effect with --source random, only with ou"),
        (("--source", "random", "--sample"), "--sample/--mean has no effect with --source random"),
        (("--source", "bc", "--action-noise", "0.1"), "--action-noise has no effect with --source bc"),
        (("--source", "demos", "--from", "x"), "--from has no effect with --source demos"),
        (("--source", "demos", "--label", "clean"), "--label has no effect without --action-noise"),
        (("--source", "random", "--description", "", "--card", "x"), "give one of --source and --card"),
        (("--card", "door-bc", "--description", ""), "--description has no effect with --card"),
        (("--source", "random", "--horizon", "3", "--env-set", "horizon=4"), "say the same twice"),
        (("--source", "policy"), "--source policy needs --policy FILE"),
        (("--source", "policy", "--policy", "none.npz"), "no policy at none.npz"),
        (("--source", "policy", "--policy", "none.pt"), "no checkpoint at none.pt"),
        (("--source", "bc", "--set", "bc.lr"), "expected KEY=VALUE"),
        (("--source", "bc", "--set", "bc.rate=1"), "bc.rate"),
        (("--source", "bc", "--from", "none.hdf5"), "no dataset to clone at none.hdf5"),
        (("--source", "demos", "--env", "Hopper-v5"), "--source policy --policy FILE"),
        (("--source", "random", "--env", "dor-binary-v0"), "Did you mean door-binary-v0"),
        (("--source", "random", "--env", "CartPole-v1"), "the actions of CartPole-v1 are discrete"),
        (("--card", "door-human"), "awac-tr data import FILE --format hand_dapg --env door-binary-v0"),
        (("--card", "dor-bc"), "no dataset card 'dor-bc'"),
        (("--source", "random", "--n", "0"), "--n"),
    ],
)
def test_mistakes_are_named_in_one_message_and_nothing_is_written(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments)
    assert not list(Path().iterdir())


def test_the_help_ends_in_examples() -> None:
    result = run("--help")
    assert "awac-tr collect --source bc --n 500" in result.stdout.split("Examples:")[1]


def test_a_second_ctrl_c_stops_at_once_and_what_was_collected_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt  # as the second one does

    monkeypatch.setattr("awac_tr.collect.display.CollectDisplay.on_episode", interrupt)
    result = run("--source", "random", "--out", "a.hdf5", *SHORT)
    assert result.exit_code == 130
    assert "1 of 2 episodes are kept in a.hdf5.partial; --resume goes on." in result.stderr
    assert [path.name for path in Path().iterdir()] == ["a.hdf5.partial"]


def test_an_unfinished_collection_is_gone_on_with_or_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = json.loads(run("--source", "random", "--out", "whole.hdf5", "--json", *SHORT).stdout)
    with monkeypatch.context() as patch:
        patch.setattr("awac_tr.collect.display.CollectDisplay.on_episode", _stop_here)
        stopped = run("--source", "random", "--out", "a.hdf5", *SHORT)
    assert stopped.exit_code == 143
    assert "Saved 1 of 2 episodes. Go on with:\n  awac-tr" in stopped.stderr
    assert stopped.stderr.endswith("--resume\n")
    again = refused("--source", "random", "--out", "a.hdf5", *SHORT)
    assert "a.hdf5.partial is an unfinished collection: 1 of 2 episodes" in again
    assert "--resume, or start anew with --force" in again
    assert "seed: 0, now 3" in refused("--source", "random", "--out", "a.hdf5", "--resume", "--seed", "3", *SHORT)
    assert "give one of the two" in refused("--source", "random", "--out", "a.hdf5", "--resume", "--force", *SHORT)
    assert run("--source", "random", "--out", "b.hdf5", "--resume", *SHORT).exit_code == 0
    resumed = run("--source", "random", "--out", "a.hdf5", "--resume", "--json", *SHORT)
    assert "Going on with a.hdf5.partial: 1 of 2 episodes are there." in resumed.stderr
    assert {**json.loads(resumed.stdout), **_NOT_COMPARED} == {**whole, **_NOT_COMPARED}
    assert sorted(path.name for path in Path().iterdir()) == ["a.hdf5", "b.hdf5", "whole.hdf5"]


_NOT_COMPARED = dict.fromkeys(("path", "seconds", "steps_per_second"))


def _stop_here(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
