"""Films: the right episodes, whole files or none, and what is seen when they are decoded again."""

from __future__ import annotations

import dataclasses
import logging
import re
import resource
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from awac_tr.envs.gl import choose_backend
from awac_tr.evaluation.evaluate import Evaluation, evaluate
from awac_tr.video.film import Captions, film, pick_episodes, video_folder
from awac_tr.video.mp4 import SIZE, Film, Picture, VideoError


def decode(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """What the file says of itself, and its pictures [T, height, width, 3]."""
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), *raw], capture_output=True, check=True)
    stream = next(line for line in done.stderr.decode().splitlines() if "Video: h264" in line)
    width, height = (int(number) for number in re.search(r", (\d+)x(\d+)", stream).groups())  # type: ignore[union-attr]
    fps = float(re.search(r"([\d.]+) fps", stream).group(1))  # type: ignore[union-attr]
    meta = {"size": (width, height), "fps": fps, "yuv420p": "yuv420p" in stream}
    return meta, np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def atoms(path: Path) -> list[str]:
    """Names of the top-level boxes of an mp4 file, in order."""
    data, place, names = path.read_bytes(), 0, []
    while place < len(data):
        names.append(data[place + 4 : place + 8].decode())
        place += int.from_bytes(data[place : place + 4], "big")
    return names


def pictures(count: int) -> Iterator[Picture]:
    for index in range(count):
        yield np.full((SIZE[1], SIZE[0], 3), 20 * index, np.uint8)


def interrupted() -> Iterator[Picture]:
    yield from pictures(1)
    raise KeyboardInterrupt


def shoot(path: Path, scenes: Iterable[Picture]) -> None:
    with Film(path, fps=10) as reel:
        for picture in scenes:
            reel.add(picture)


@pytest.fixture
def evaluation(door_checkpoint: Path) -> Evaluation:
    return evaluate(door_checkpoint, episodes=3)


@pytest.fixture
def drawing() -> None:
    choice = choose_backend()
    if choice.backend is None:
        pytest.skip(f"nothing here can draw: {choice.explain()}")


def row(seed: int, value: float, goals: int = 0) -> dict[str, Any]:
    return {"seed": seed, "return": value, "goal_count": goals}


def seeds(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {role: picked["seed"] for role, picked in pick_episodes(rows).items()}


def test_best_median_and_worst_by_return() -> None:
    assert seeds([row(1, -5), row(2, -1), row(3, -9), row(4, -2), row(5, -7)]) == {"best": 2, "median": 1, "worst": 3}


def test_ties_go_to_goal_steps_then_to_the_smaller_seed() -> None:
    assert seeds([row(3, -1), row(2, -1), row(1, -1, goals=4)]) == {"best": 1, "median": 2, "worst": 3}


def test_the_median_of_an_even_number_is_the_better_of_the_middle() -> None:
    assert seeds([row(1, -1), row(2, -2), row(3, -3), row(4, -4)])["median"] == 2


def test_few_episodes_are_filmed_once_each() -> None:
    assert seeds([row(1, -1)]) == {"best": 1}
    assert seeds([row(1, -1), row(2, 0)]) == {"best": 2, "worst": 1}


def test_films_go_into_the_run_or_beside_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoints" / "best.pt"
    assert video_folder(checkpoint) == tmp_path / "run" / "checkpoints" / "videos"
    checkpoint.parent.mkdir(parents=True)
    (tmp_path / "run" / "recipe.yaml").touch()
    assert video_folder(checkpoint) == tmp_path / "run" / "videos"


def test_a_film_plays_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.mp4"
    with Film(path, fps=12.5, comment="seed 3") as reel:
        for picture in pictures(10):
            reel.add(picture)
    meta, found = decode(path)
    assert meta == {"size": SIZE, "fps": 12.5, "yuv420p": True}
    assert reel.frames == len(found) == 10
    assert np.abs(found.mean(axis=(1, 2, 3)) - 20 * np.arange(10)).max() < 4
    # players start before the file has arrived only if the index comes first
    assert atoms(path).index("moov") < atoms(path).index("mdat")
    assert b"seed 3" in path.read_bytes()
    assert [left.name for left in path.parent.iterdir()] == ["a.mp4"]


def test_an_error_leaves_nothing_and_keeps_the_older_film(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        shoot(path, interrupted())
    assert path.read_bytes() == b"older"
    assert [left.name for left in tmp_path.iterdir()] == ["a.mp4"]


def test_an_empty_film_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no pictures"), Film(tmp_path / "a.mp4", fps=10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        noise = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
        with pytest.raises(VideoError, match=r"could not write .*a\.mp4"):
            shoot(tmp_path / "a.mp4", [noise] * 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_encoder_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\ncat > /dev/null\necho 'Unknown encoder libx264' >&2\nexit 1\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(fake))
    with pytest.raises(VideoError, match="Unknown encoder libx264"), Film(tmp_path / "a.mp4", fps=10) as reel:
        reel.add(next(pictures(1)))


def test_no_encoder_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(VideoError, match="IMAGEIO_FFMPEG_EXE"):
        Film(tmp_path / "a.mp4", fps=10)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VideoError, match="--out"), Film(tmp_path / "file" / "a.mp4", fps=10):
        pass


@pytest.mark.parametrize("wrong", [np.zeros((480, 320, 3), np.uint8), np.zeros((480, 640, 3), np.float32)])
def test_a_picture_of_another_kind_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected a picture"), Film(tmp_path / "a.mp4", fps=10) as reel:
        reel.add(wrong)


class Reel:
    """Stands in for a film: keeps the pictures."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []

    def add(self, picture: Picture) -> None:
        self.pictures.append(picture)


def captioned(size: tuple[int, int], success: bool | None) -> list[Picture]:
    reel = Reel()
    captions = Captions("title", 4, reel.add)
    picture = np.full((*size, 3), 200, np.uint8)
    captions(picture, 0, float("nan"), success)
    captions(picture, 1, -1.0, success)
    return reel.pictures


def test_captions_and_bar_are_drawn_and_the_rest_is_left_alone() -> None:
    first, second = captioned((480, 640), success=True)
    assert (first[60:470] == 200).all()
    assert (first[:50, 200:400] == 60).all()
    assert (first[:50, :200] == 255).any()
    assert (first[-4] == 200).all()
    assert (second[-4, :159] == (90, 220, 110)).all()
    assert (second[-4, 161:] == 200).all()
    assert (first[:50] != second[:50]).any()


def test_success_is_green_failure_is_grey_and_unknown_is_not_said() -> None:
    def corner(success: bool | None) -> Picture:
        return captioned((480, 640), success)[1][20:50, 500:]

    def has(picture: Picture, colour: tuple[int, int, int]) -> bool:
        return bool((np.abs(picture.astype(int) - colour).max(axis=-1) < 10).any())

    assert has(corner(success=True), (90, 220, 110))
    assert has(corner(success=False), (150, 150, 150))
    assert not has(corner(success=False), (90, 220, 110))
    assert (corner(success=None) == 60).all()


def test_pictures_of_other_sizes_are_fitted() -> None:
    assert captioned((100, 100), success=None)[0].shape == (480, 640, 3)


@pytest.mark.usefixtures("drawing")
def test_films_show_the_episodes_that_were_measured(
    evaluation: Evaluation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    with caplog.at_level(logging.WARNING):
        clips = film(evaluation, tmp_path / "films", on_clip=lambda clip: seen.append(clip.role))
    assert [clip.role for clip in clips] == seen == ["best", "median", "worst"]
    assert sorted(clip.seed for clip in clips) == [row["seed"] for row in evaluation.episodes]
    assert not caplog.records
    for clip in clips:
        meta, found = decode(clip.path)
        assert meta == {"size": SIZE, "fps": 40, "yuv420p": True}
        assert len(found) == (evaluation.env.horizon or 0) + 1
        assert found[:, 60:460].std() > 20
        assert np.abs(found[0, 60:460].astype(int) - found[-1, 60:460]).max() > 50
        assert (clip.fps, clip.speed, clip.frames, clip.replaced) == (40, 0.4, len(found), False)


@pytest.mark.usefixtures("drawing")
def test_a_film_of_something_else_than_was_measured_is_said(
    evaluation: Evaluation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changed = dataclasses.replace(evaluation, episodes=[dict(evaluation.episodes[0]) | {"return": -4.0}])
    with caplog.at_level(logging.WARNING):
        film(changed, tmp_path)
        clips = film(changed, tmp_path)
    assert "not what was measured" in caplog.records[0].getMessage()
    assert clips[0].replaced


def test_without_drawing_there_is_one_message(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "off")
    monkeypatch.setattr("awac_tr.envs.gl._in_use", None)
    with pytest.raises(VideoError, match="switches drawing off") as caught:
        film(evaluation, tmp_path / "films")
    assert "Unset MUJOCO_GL" in caught.value.hint
    assert not (tmp_path / "films").exists()


def test_the_bundled_encoder_is_the_one_of_the_wheel() -> None:
    said = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-encoders"], capture_output=True, text=True, check=True)
    assert "libx264" in said.stdout
