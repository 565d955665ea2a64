"""Still pictures of environments: what is in them, where they are taken from, and what happens where none can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from awac_tr.envs.gl import choose_backend
from awac_tr.recipes.environment import EnvSection
from awac_tr.video.camera import draw_still
from awac_tr.video.mp4 import VideoError


@pytest.fixture
def drawing() -> None:
    choice = choose_backend()
    if choice.backend is None:
        pytest.skip(f"nothing here can draw: {choice.explain()}")


@pytest.mark.usefixtures("drawing")
def test_a_still_shows_the_task_in_a_small_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "door.png"
    still = draw_still(EnvSection(id="door-binary-v0"), path)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert (still.size, still.replaced, pixels.shape) == ((480, 360), False, (360, 480, 3))
    assert still.bytes == path.stat().st_size < 60_000
    assert pixels.std() > 20
    elsewhere = draw_still(EnvSection(id="door-binary-v0"), path, camera={"azimuth": 120, "lookat": [0, 0, 0.3]})
    with Image.open(path) as picture:
        moved = np.asarray(picture.convert("RGB"))
    assert elsewhere.replaced
    assert np.abs(moved.astype(int) - pixels).mean() > 10
    assert [file.name for file in path.parent.iterdir()] == ["door.png"]


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize(
    ("env_id", "camera", "said"),
    [
        ("HalfCheetah-v5", {"distnace": 2}, "no such camera"),
        ("HalfCheetah-v5", {"lookat": [1, 2]}, "no such camera"),
        ("Pendulum-v1", {"distance": 2}, "cannot be moved|could not be drawn"),
    ],
)
def test_cameras_that_cannot_be_placed_so(env_id: str, camera: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=said):
        draw_still(EnvSection(id=env_id), tmp_path / "still.png", camera=camera)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("drawing")
def test_a_still_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(VideoError, match="cannot be written: Not a directory"):
        draw_still(EnvSection(id="Ant-v5"), tmp_path / "file" / "ant.png", size=(64, 48))


def test_without_drawing_there_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "off")
    monkeypatch.setattr("awac_tr.envs.gl._in_use", None)
    with pytest.raises(VideoError, match="switches drawing off"):
        draw_still(EnvSection(id="HalfCheetah-v5"), tmp_path / "still.png")
    assert not list(tmp_path.iterdir())
