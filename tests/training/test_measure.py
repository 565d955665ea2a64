"""What best.pt is best by: what the recipe names, and the return where the environment tells no success."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.collect import collect, plan
from awac_tr.policies.checkpoint import read_checkpoint
from awac_tr.recipes.schema import EnvSection
from awac_tr.training.metrics import read_rows

RECIPE = """
name: tiny
env: {id: Pendulum-v1, horizon: 10}
data: {datasets: [play.hdf5]}
policy: {hidden_sizes: [8]}
qvalue: {hidden_sizes: [8]}
offline: {updates: 4, batch_size: 16}
eval: {every: 2, episodes: 1}
log: {every: 2, csv: false}
"""


@pytest.fixture(autouse=True)
def _recipe() -> None:
    collect(plan("random", env=EnvSection(id="Pendulum-v1", horizon=10), n=2, seed=0, out="play.hdf5"))
    Path("tiny.yaml").write_text(RECIPE)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_without_success_a_run_comes_to_its_end_by_the_return() -> None:
    assert invoke("recipes", "check", "tiny.yaml").stdout == "tiny.yaml: ok\n"
    result = invoke("train", "tiny.yaml", "--run", "run")
    assert (result.exit_code, result.stdout) == (0, "run\n"), result.output
    assert result.stderr.count("checkpoint.measure: return, since Pendulum-v1 does not tell success") == 1
    returns = [row["return"] for row in read_rows(Path("run")) if row["event"] == "eval"]
    best = read_checkpoint("run/checkpoints/best.pt")
    assert best["progress"]["best"] == (max(returns), max(returns))
    assert json.loads(Path("run/summary.json").read_text())["finished"]
    assert Path("run/curve.png").is_file()
    for command in (["plot", "run"], ["eval", "run/checkpoints/best.pt", "--episodes", "1"]):
        assert invoke(*command).exit_code == 0, command


@pytest.mark.parametrize("measure", ["success_any", "success_steps"])
def test_a_measure_that_is_named_and_not_there_is_refused_before_anything_is_written(measure: str) -> None:
    Path("tiny.yaml").write_text(f"{RECIPE}checkpoint: {{measure: {measure}}}\n")
    for command in (["train", "tiny.yaml", "--run", "run"], ["recipes", "check", "tiny.yaml"]):
        result = invoke(*command)
        assert result.exit_code == 2, result.output
        assert f"checkpoint.measure: {measure}, which episodes of Pendulum-v1 do not have" in result.output
    assert not Path("run").exists()


def test_rewards_that_cannot_be_learnt_are_said_and_a_scale_is_offered() -> None:
    large = invoke("train", "tiny.yaml", "--run", "large", "algorithm.reward_scale=10000")
    assert large.exit_code == 0, large.output
    assert "algorithm.reward_scale=1 makes it about 100" in large.stderr
    assert "algorithm.reward_scale" not in invoke("train", "tiny.yaml", "--run", "usual").stderr
    first = [next(row for row in read_rows(Path(run)) if row["event"] == "eval") for run in ("large", "usual")]
    assert first[0]["return"] == first[1]["return"]
    losses = [next(row for row in read_rows(Path(run)) if row["event"] == "train") for run in ("large", "usual")]
    assert losses[0]["loss_qvalue"] > 1e6 * losses[1]["loss_qvalue"]
