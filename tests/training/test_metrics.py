"""Rows of metrics, their copies, and what is made of them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import wandb

from awac_tr.errors import AwacError
from awac_tr.recipes.schema import LogSection
from awac_tr.training.metrics import Metrics, read_rows, rows_before
from awac_tr.training.summary import summarize


def row(event: str, update: int, env_step: int = 0, phase: str = "offline", **values: Any) -> dict[str, Any]:
    return {"event": event, "phase": phase, "update": update, "env_step": env_step, "wall": 1.0, **values}


def metrics(run: Path, *, keep: int = 0, **section: Any) -> Metrics:
    kept = rows_before(run, keep, 10**9, 10**9)
    return Metrics(run, LogSection(**section), run_id="0123abcd", config={"seed": 1}, kept=kept)


def test_rows_are_read_back_and_nan_becomes_null(tmp_path: Path) -> None:
    log = metrics(tmp_path)
    log.write(row("train", 5, loss_actor=0.5))
    log.write(row("train", 10, loss_actor=float("nan")))
    assert [line["loss_actor"] for line in read_rows(tmp_path)] == [0.5, None]  # before closing: rows are flushed
    log.close()
    assert log.rows == 2


def test_csv_agrees_with_the_rows(tmp_path: Path) -> None:
    log = metrics(tmp_path)
    log.write(row("eval", 0, phase="clone", success_any=0.25))
    log.write(row("eval", 0, success_any=0.5))
    log.write(row("train", 5, loss_actor=1.5))
    log.close()
    scalars = tmp_path / "csv" / "scalars"
    assert (scalars / "loss_actor.csv").read_text() == "5,1.5\n"
    assert (scalars / "eval" / "success_any.csv").read_text() == "0,0.5\n"
    assert (scalars / "clone" / "success_any.csv").read_text() == "0,0.25\n"


def test_resuming_drops_rows_everywhere(tmp_path: Path) -> None:
    log = metrics(tmp_path, tensorboard=True)
    for update in (5, 10, 15):
        log.write(row("train", update, loss_actor=float(update)))
    log.close()
    again = metrics(tmp_path, keep=2, tensorboard=True)
    again.write(row("train", 15, loss_actor=-1.0))
    again.close()
    assert [line["loss_actor"] for line in read_rows(tmp_path)] == [5.0, 10.0, -1.0]
    assert (tmp_path / "csv" / "scalars" / "loss_actor.csv").read_text() == "5,5.0\n10,10.0\n15,-1.0\n"
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_tensorboard_holds_the_values(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = metrics(tmp_path, tensorboard=True, csv=False)
    log.write(row("train", 5, loss_actor=0.25))
    log.close()
    assert not (tmp_path / "csv").exists()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss_actor")
    assert [(event.step, event.value) for event in events] == [(5, 0.25)]


@pytest.mark.filterwarnings("default")  # wandb's own
def test_wandb_offline_needs_no_network(tmp_path: Path) -> None:
    log = metrics(tmp_path, wandb="offline", csv=False)
    log.write(row("train", 5, loss_actor=0.25))
    log.write(row("eval", 5, success_any=0.5))
    log.close()
    _require_offline_rows(tmp_path)


@pytest.mark.filterwarnings("default")  # wandb's own
def test_a_service_that_does_not_answer_costs_seconds_and_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wandb.teardown()  # what it was told by the tests before
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setattr("awac_tr.training.metrics._WANDB_SECONDS", 2)
    log = metrics(tmp_path, wandb="online", csv=False)
    log.write(row("train", 5, loss_actor=0.25))
    log.close()
    assert "Weights & Biases cannot be reached" in caplog.text
    assert "WANDB_MODE" not in os.environ
    assert len(read_rows(tmp_path)) == 1
    _require_offline_rows(tmp_path)


def _require_offline_rows(run: Path) -> None:
    files = list((run / "wandb").glob("offline-run-*-0123abcd/run-0123abcd.wandb"))
    assert len(files) == 1
    deadline = time.monotonic() + 30  # wandb's own process writes the file, a little after finish() has returned
    while b"loss_actor" not in files[0].read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_damaged_rows_are_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row("train", 5)) + "\nnonsense\n")
    with pytest.raises(AwacError, match="line 2"):
        read_rows(tmp_path)
    with pytest.raises(AwacError, match="no run folder"):
        read_rows(tmp_path / "elsewhere")


def test_summary_by_hand() -> None:
    success = [0.0, 0.1, 0.4, 0.2, 0.3, 0.2, 0.3]
    rows = [row("eval", 0, phase="clone", success_any=0.05, **{"return": -190.0})]
    for number, value in enumerate(success):
        update, step = 100 * number, max(0, 100 * number - 200)
        rows.append(
            row("eval", update, step, "online" if step else "offline", success_any=value, **{"return": -200.0 + value})
        )
        rows.append(row("train", update + 50, step, loss_actor=1.0))
    found = summarize(rows, offline_updates=200, finished=True, seconds={"update": 2.0, "collect": 0.5}, wall=4.0)
    assert found["measures"]["success_any"] == {
        "last": 0.3,
        "best": 0.4,
        "best_at": {"update": 200, "env_step": 0},
        "mean_last_5": pytest.approx((0.4 + 0.2 + 0.3 + 0.2 + 0.3) / 5),
    }
    points = found["points"]
    assert [points[name]["success_any"] for name in ("clone", "start", "after_offline", "final")] == [
        0.05,
        0.0,
        0.4,
        0.3,
    ]
    assert found["counts"] == {"update": 650, "env_step": 400, "evaluations": 7}
    assert found["wall_seconds"] == {"update": 2.0, "collect": 0.5, "other": 1.5, "total": 4.0}
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(found, allow_nan=False))


def test_summary_of_a_run_without_evaluations() -> None:
    found = summarize([], offline_updates=10, finished=False, seconds={}, wall=0.0)
    assert found["measures"] == {}
    assert set(found["points"].values()) == {None}
