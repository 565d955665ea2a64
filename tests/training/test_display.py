"""What a run shows: a panel on a terminal, few plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import io
from typing import Any

import pytest

from awac_tr.recipes.loader import recipe_from_dict
from awac_tr.training.display import Display, LineDisplay, LiveDisplay, make_display
from awac_tr.training.progress import Progress

RECIPE = recipe_from_dict(
    {
        "name": "toy",
        "env": {"id": "toy"},
        "data": {"datasets": ["toy"]},
        "offline": {"updates": 100},
        "online": {"steps": 100},
    }
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def row(event: str, update: int, **values: Any) -> dict[str, Any]:
    return {"event": event, "phase": "offline", "update": update, "env_step": 0, "wall": 1.0, **values}


def test_lines_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    stream = io.StringIO()
    display = make_display(RECIPE, Progress(seconds={"update": 1.0}), "success_any", quiet=False, stream=stream)
    assert isinstance(display, LineDisplay)
    display.start()
    for update in range(1, 50):
        display.activity("updating")
        display.row(row("train", update, loss_actor=1.0))
    display.row(row("eval", 50, success_any=0.25, **{"return": -150.0}))
    display.stop()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "update 1," in lines[0]
    assert "success_any 25.0 %, return -150.0" in lines[1]
    assert "\x1b" not in stream.getvalue()


def test_panel_shows_phase_rate_losses_and_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream, progress = Terminal(), Progress()
    display = make_display(RECIPE, progress, "success_any", quiet=False, stream=stream)
    assert isinstance(display, LiveDisplay)
    display.start()
    progress.update, progress.seconds["update"] = 50, 2.0
    display.row(row("train", 50, loss_actor=1.5, loss_qvalue=None))
    display.row(row("eval", 50, success_any=0.25, **{"return": -150.0}))
    display.stop()
    shown = stream.getvalue()
    for text in (
        "offline",
        "50 of 200, 25.0 a second",
        "0 of 100",
        "left",
        "loss_actor 1.5",
        "loss_qvalue nan",
        "success_any 25.0 %",
    ):
        assert text in shown, text


def test_quiet() -> None:
    assert type(make_display(RECIPE, Progress(), "success_any", quiet=True, stream=Terminal())) is Display
