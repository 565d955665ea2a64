"""Whole runs, small ones: what they write, and that the numbers in one file follow from those in another."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from stopping import Stopping

from awac_tr.envs.checked_env import CheckedEnv
from awac_tr.errors import AwacError, CheckpointError, DatasetError, EnvError
from awac_tr.policies.checkpoint import load_policy, read_checkpoint
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.training.interrupt import TrainingInterrupted
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train

Tiny = Callable[..., LoadedRecipe]


def strip(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without their clock."""
    return [{key: value for key, value in row.items() if key != "wall"} for row in rows]


def test_a_run_from_end_to_end(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny(), run_dir=tmp_path / "run", quiet=True)
    rows = read_rows(run)
    counters = [(row["update"], row["env_step"]) for row in rows]
    assert counters == sorted(counters)
    assert len({(row["event"], *place) for row, place in zip(rows, counters, strict=True)}) == len(rows)
    assert [row["wall"] for row in rows] == sorted(row["wall"] for row in rows)
    evaluated = [(row["update"], row["env_step"], row["phase"]) for row in rows if row["event"] == "eval"]
    # start, every 10 (20 is the border as well), the end: 20 + 50 * 0.5
    assert evaluated == [
        (0, 0, "offline"),
        (10, 0, "offline"),
        (20, 0, "offline"),
        (30, 20, "online"),
        (40, 40, "online"),
        (45, 50, "online"),
    ]
    assert [(row["update"], row["env_step"]) for row in rows if row["event"] == "round"] == [
        (20, 20),
        (30, 40),
        (40, 50),
    ]
    assert {"success_any", "success_last", "success_share", "success_steps", "return"} <= set(rows[0])
    train_row = next(row for row in rows if row["event"] == "train")
    assert {"loss_actor", "loss_qvalue", "advantage", "effective_sample_size"} <= set(train_row)
    _check_files(run)
    _check_summary(run, rows)


def _check_files(run: Path) -> None:
    assert load_recipe(run / "recipe.yaml").recipe.name == "tiny"
    assert "# default" in (run / "recipe.yaml").read_text(encoding="utf-8")
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    assert set(record) >= {"id", "versions", "commit", "machine", "datasets", "command", "notices", "ended"}
    assert list(record["datasets"]) == ["play.hdf5"]
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (run / "curve.png").stat().st_size > 20_000
    scalars = run / "csv" / "scalars"
    assert [line.split(",")[0] for line in (scalars / "loss_actor.csv").read_text().split()][:2] == ["5", "10"]
    assert not list(run.rglob("*.part"))
    payload = read_checkpoint(run / "checkpoints" / "last.pt", kind="train")
    assert payload["progress"]["update"] == 45
    policy = load_policy(run / "checkpoints" / "best.pt")
    assert (policy.env.id, policy.env.horizon) == ("door-binary-v0", 25)


def _check_summary(run: Path, rows: list[dict[str, Any]]) -> None:
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    returns = [row["return"] for row in rows if row["event"] == "eval"]
    found = summary["measures"]["return"]
    assert found["last"] == returns[-1]
    assert found["best"] == max(returns)
    assert found["mean_last_5"] == pytest.approx(sum(returns[-5:]) / 5)
    assert summary["finished"] is True
    assert json.loads((run / "record.json").read_text())["ended_by"] is None
    assert summary["points"]["clone"] is None
    assert summary["points"]["after_offline"]["update"] == 20
    assert summary["points"]["final"] | {"phase": 0} == {
        **summary["points"]["final"],
        "phase": 0,
        "update": 45,
        "env_step": 50,
    }
    times = summary["wall_seconds"]
    assert times["total"] == pytest.approx(sum(value for part, value in times.items() if part != "total"), abs=0.01)


def test_offline_only(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("online.steps=0", "eval.every=0"), run_dir=tmp_path / "run", quiet=True)
    rows = read_rows(run)
    assert {row["phase"] for row in rows} == {"offline"}
    assert [row["update"] for row in rows if row["event"] == "eval"] == [0, 20]
    assert not (run / "checkpoints" / "online").exists()


def test_cloning_as_an_algorithm(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("algorithm.name=bc", "online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    assert "squared_error" in read_rows(run)[1]
    assert read_rows(run)[-1]["update"] == 20
    assert any(
        "qvalue.hidden_sizes has no effect" in text for text in json.loads((run / "record.json").read_text())["notices"]
    )


def test_same_seed_same_run(tiny: Tiny, tmp_path: Path) -> None:
    first, second, other = (
        train(tiny(f"seed={seed}"), run_dir=tmp_path / name, quiet=True)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert strip(read_rows(first)) == strip(read_rows(second))
    assert strip(read_rows(first)) != strip(read_rows(other))


def test_no_updates_online(tiny: Tiny, tmp_path: Path) -> None:
    """Collection alone: the policy of the offline phase fills the buffer."""
    run = train(tiny("online.updates_per_step=0.0"), run_dir=tmp_path / "run", quiet=True)
    rows = read_rows(run)
    assert (rows[-1]["update"], rows[-1]["env_step"]) == (20, 50)


def test_what_is_collected_is_kept_and_clipped(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("policy.log_std_max=2.0", "policy.log_std_min=1.0"), run_dir=tmp_path / "run", quiet=True)
    parts = [torch.load(path, weights_only=True) for path in sorted((run / "checkpoints" / "online").glob("*.pt"))]
    actions = torch.cat([part["action"] for part in parts])
    assert actions.shape == (50, 28)
    # deviations of e: nearly everything would lie outside
    assert actions.abs().max() == 1.0
    assert (actions.abs() == 1.0).float().mean() > 0.5
    ends = torch.cat([part["next/truncated"] for part in parts]).flatten()
    assert ends[24]
    assert not torch.cat([part["next/terminated"] for part in parts]).any()
    following = torch.cat([part["next/observation"] for part in parts])
    observed = torch.cat([part["observation"] for part in parts])
    assert torch.equal(following[:24], observed[1:25])


def test_an_existing_folder_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    mine = tmp_path / "run" / "checkpoints" / "mine.pt"
    mine.parent.mkdir(parents=True)
    mine.touch()
    with pytest.raises(AwacError, match="exists"):
        train(tiny(), run_dir=tmp_path / "run", quiet=True)
    assert list((tmp_path / "run").rglob("*")) == [mine.parent, mine]


def test_data_of_another_task_is_refused_before_anything_is_written(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        train(tiny("env.id=pen-binary-v0"), run_dir=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("setting", ["algorithm.policy_lr=1.0e+30", "algorithm.qvalue_lr=1.0e+30"])
def test_divergence_ends_the_run(tiny: Tiny, tmp_path: Path, setting: str) -> None:
    with pytest.raises(AwacError, match="diverged"):
        train(tiny(setting), run_dir=tmp_path / "run", quiet=True)
    _check_unfinished(tmp_path / "run", "DivergenceError: training diverged")


def _check_unfinished(run: Path, ended_by: str) -> None:
    """Rows, a summary that agrees with them, and the reason."""
    rows, summary = read_rows(run), json.loads((run / "summary.json").read_text())
    assert summary["finished"] is False
    assert summary["counts"]["update"] == rows[-1]["update"]
    assert summary["measures"]["return"]["last"] == [row["return"] for row in rows if row["event"] == "eval"][-1]
    assert summary["points"]["final"] is None
    assert json.loads((run / "record.json").read_text())["ended_by"].startswith(ended_by)


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), KeyboardInterrupt("second"), MemoryError()])
def test_a_run_that_dies_leaves_its_summary(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def die(*_: Any) -> None:
        raise error

    monkeypatch.setattr("awac_tr.training.loop.Loop._collect", die)
    with pytest.raises(type(error)):
        train(tiny(), run_dir=tmp_path / "run", quiet=True)
    _check_unfinished(tmp_path / "run", type(error).__name__)


def test_a_full_disk_stops_the_run(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows go to a device that is always full."""
    monkeypatch.setattr("awac_tr.training.metrics._fresh", _always_full)
    with pytest.raises(AwacError, match=r"No space left.*\n.*--resume"):
        train(tiny(), run_dir=tmp_path / "run", quiet=True)
    assert "without a summary" in caplog.text


def _always_full(_path: Path, _kept: list[dict[str, Any]]) -> IO[str]:
    return open("/dev/full", "a", encoding="utf-8")  # noqa: PTH123


WORKERS, AHEAD = ("collect.workers=2",), ("collect.async=true", "eval.background=true")


@pytest.mark.parametrize(
    ("checks", "settings"),
    [*((checks, ()) for checks in (2, 4, 9, 13, 17, 21, 24)), (13, WORKERS), (24, WORKERS), (9, AHEAD), (17, AHEAD)],
)
def test_stopped_and_resumed_is_the_same_run(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checks: int, settings: tuple[str, ...]
) -> None:
    """Wherever it is stopped, in the middle of an episode too, rows and tensors are those of a run that was not."""
    whole = train(tiny(*settings), run_dir=tmp_path / "whole", quiet=True)
    monkeypatch.setattr("awac_tr.training.train.Interruption", Stopping)
    monkeypatch.setattr(Stopping, "remaining", checks)
    with pytest.raises(TrainingInterrupted) as caught:
        train(tiny(*settings), run_dir=tmp_path / "run", quiet=True)
    assert caught.value.signum == 2
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["finished"] is False
    run = train(load_recipe(tmp_path / "run" / "recipe.yaml"), resume=tmp_path / "run", quiet=True)
    assert strip(read_rows(run)) == strip(read_rows(whole))
    last, expected = (read_checkpoint(path / "checkpoints" / "last.pt") for path in (run, whole))
    for name, value in expected["learner"]["loss"].items():
        assert torch.equal(value, last["learner"]["loss"][name]), name


@pytest.mark.parametrize(
    ("works_for", "said"),
    [(10, "in all 2 episodes"), (95, "4 episodes in a row failed.*stuck"), (108, "4 episodes in a row failed.*stuck")],
)
def test_where_the_environment_fails_for_good_the_run_is_saved_and_goes_on_once_it_works(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works_for: int, said: str
) -> None:
    """In its first evaluation, its first round, and in the middle of the episode that goes on into its second."""
    settings = ("eval.every=0", "eval.episodes=2")
    whole = train(tiny(*settings), run_dir=tmp_path / "whole", quiet=True)
    taken, step = 0, CheckedEnv.step

    def fails_later(env: CheckedEnv, action: Any) -> Any:
        nonlocal taken
        taken += env.steps >= 3
        if taken > works_for:
            raise EnvError(f"{env.place}: the gripper is stuck")
        return step(env, action)

    monkeypatch.setattr(CheckedEnv, "step", fails_later)
    with pytest.raises(EnvError, match=said) as caught:
        train(tiny(*settings), run_dir=tmp_path / "run", quiet=True)
    assert caught.value.hint.endswith(f"awac-tr train --resume {tmp_path / 'run'}")
    monkeypatch.setattr(CheckedEnv, "step", step)
    run = train(load_recipe(tmp_path / "run" / "recipe.yaml"), resume=tmp_path / "run", quiet=True)
    assert strip(read_rows(run)) == strip(read_rows(whole))


def test_what_was_collected_after_the_last_checkpoint_is_collected_again(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("checkpoint.every=3"), run_dir=tmp_path / "run", quiet=True)
    stray = run / "checkpoints" / "online" / "000099.pt"
    stray.write_bytes(b"written after the checkpoint")
    longer = load_recipe(run / "recipe.yaml", ["online.steps=60"])
    train(longer, resume=run, quiet=True)
    assert not stray.exists()
    parts = sorted((run / "checkpoints" / "online").glob("*.pt"))
    assert sum(len(torch.load(path, weights_only=True)["action"]) for path in parts) == 60


def test_rows_after_the_checkpoint_do_not_appear_twice(tiny: Tiny, tmp_path: Path) -> None:
    """A run that was killed has rows younger than its checkpoint."""
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    before = strip(read_rows(run))
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "train", "phase": "offline", "update": 25, "env_step": 0, "wall": 1}\n{"event": "tra')
    train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    assert strip(read_rows(run)) == before


def test_a_run_can_be_made_longer(tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = train(tiny("online.steps=20"), run_dir=tmp_path / "run", quiet=True)
    before = (run / "recipe.yaml").read_text()
    longer = load_recipe(run / "recipe.yaml", ["online.steps=40", "precision=bf16"])
    with caplog.at_level(logging.INFO, "awac_tr"):
        train(longer, resume=run, quiet=True)
    assert "is finished" not in caplog.text
    assert read_rows(run)[-1]["env_step"] == 40
    after = (run / "recipe.yaml").read_text()
    changed = [new for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    assert [" ".join(line.split()) for line in changed] == ["precision: bf16 # override", "steps: 40 # override"]
    rows = read_rows(run)
    with caplog.at_level(logging.INFO, "awac_tr"):
        train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)
    assert f"{run} is finished (40 updates, 40 environment steps)" in caplog.text
    assert "larger online.steps" in caplog.text
    assert (read_rows(run), (run / "recipe.yaml").read_text()) == (rows, after)


def test_another_past_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    with pytest.raises(CheckpointError, match=r"algorithm\.temperature"):
        train(load_recipe(run / "recipe.yaml", ["algorithm.temperature=2.0"]), resume=run, quiet=True)
    assert load_recipe(run / "recipe.yaml").recipe.algorithm.temperature == 0.3


def test_changed_data_is_refused(tiny: Tiny, tmp_path: Path, random_play: Path) -> None:
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    path = run / "checkpoints" / "last.pt"
    payload = read_checkpoint(path)
    payload["datasets"] = {random_play.name: "sha256:other"}
    torch.save(payload, path)
    with pytest.raises(CheckpointError, match="datasets have changed"):
        train(load_recipe(run / "recipe.yaml"), resume=run, quiet=True)


def test_a_mapped_buffer_makes_the_same_run_and_may_be_changed_on_resuming(tiny: Tiny, tmp_path: Path) -> None:
    memory = train(tiny(), run_dir=tmp_path / "memory", quiet=True)
    mapped = train(tiny("buffer.storage=memmap"), run_dir=tmp_path / "mapped", quiet=True, scratch=tmp_path)
    assert strip(read_rows(memory)) == strip(read_rows(mapped))
    first = load_recipe(mapped / "recipe.yaml", ["online.steps=60", "buffer.storage=memory"])
    second = load_recipe(memory / "recipe.yaml", ["online.steps=60", "buffer.storage=memmap"])
    train(first, resume=mapped, quiet=True)
    train(second, resume=memory, quiet=True)
    assert strip(read_rows(memory)) == strip(read_rows(mapped))
    assert not list(tmp_path.rglob(".awac-tr-buffer*"))
    with pytest.raises(AwacError, match="there is no folder nowhere for --scratch"):
        train(tiny(), run_dir=tmp_path / "other", scratch="nowhere", quiet=True)
    assert not (tmp_path / "other").exists()
