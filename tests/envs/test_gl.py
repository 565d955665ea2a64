"""The choice of how to draw: tried in processes of their own, the user's word first, and never fatal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from awac_tr.envs import gl
from awac_tr.envs.make import make_env
from awac_tr.recipes.schema import EnvSection


@pytest.fixture(autouse=True)
def _undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing chosen, nothing requested, and everything as before afterwards."""
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(gl, "_in_use", None)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for the probes: only osmesa works; the backends that were tried."""
    names: list[str] = []

    def stand_in(backend: str) -> gl.GLProbe:
        names.append(backend)
        works = backend == "osmesa"
        return gl.GLProbe(backend, works, "llvmpipe" if works else "", "" if works else "not here", 0.1)

    monkeypatch.setattr(gl, "_probe_once", stand_in)
    monkeypatch.setattr(gl, "BACKENDS", ("egl", "osmesa", "glfw"))
    return names


def test_first_that_works_in_order(tried: list[str]) -> None:
    choice = gl.choose_backend()
    assert (choice.backend, choice.requested, choice.renderer, choice.explain()) == ("osmesa", None, "llvmpipe", "")
    assert choice.software
    assert tried == ["egl", "osmesa"]


@pytest.mark.parametrize("word", ["on", "1", "enable"])
def test_enabled_means_any(tried: list[str], monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("MUJOCO_GL", word)
    assert gl.choose_backend().backend == "osmesa"


@pytest.mark.parametrize(("word", "backend"), [("egl", "egl"), (" EGL ", "egl"), ("glx", "glfw")])
def test_what_the_user_names_is_the_only_one_tried(
    tried: list[str], monkeypatch: pytest.MonkeyPatch, word: str, backend: str
) -> None:
    monkeypatch.setenv("MUJOCO_GL", word)
    choice = gl.choose_backend()
    assert (choice.backend, tried) == (None, [backend])
    assert choice.explain() == f"{backend}: not here"
    assert "Unset MUJOCO_GL" in gl.install_hint(choice)


@pytest.mark.parametrize(
    ("word", "said"), [("off", "switches drawing off"), ("vulkan", "not one of egl, osmesa, glfw")]
)
def test_nothing_is_tried_for_off_and_for_nonsense(
    tried: list[str], monkeypatch: pytest.MonkeyPatch, word: str, said: str
) -> None:
    monkeypatch.setenv("MUJOCO_GL", word)
    choice = gl.choose_backend()
    assert (choice.backend, tried) == (None, [])
    assert said in choice.explain()


def test_using_puts_the_choice_into_the_environment_once(tried: list[str]) -> None:
    choice = gl.use_backend()
    assert os.environ["MUJOCO_GL"] == "osmesa"
    assert gl.use_backend() is choice
    assert gl.choose_backend() is choice
    assert tried == ["egl", "osmesa"]


def test_without_any_drawing_is_switched_off_and_simulating_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    assert gl.use_backend().backend is None
    script = "from awac_tr.envs.make import make_env; print(make_env('door-binary-v0').reset(seed=0)[0].shape)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "(39,)\n", done.stderr
    # and this is why: with what the user had set, the import alone fails
    os.environ["MUJOCO_GL"] = "nonsense"
    assert subprocess.run([sys.executable, "-c", "import mujoco"], capture_output=True, check=False).returncode != 0


def test_the_hint_for_linux_names_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    hint = gl.install_hint(gl.GLChoice(None, None, ()))
    assert "libosmesa6" in hint
    assert "libegl1" in hint


def test_choosing_imports_no_mujoco() -> None:
    script = "import sys, awac_tr.envs.gl; print(sorted({'mujoco', 'OpenGL', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_crash_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_PROBE_SCRIPT", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert gl.probe("egl").problem == "the process died of signal 11"


def test_a_hang_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_PROBE_SCRIPT", "import time; time.sleep(60)")
    found = gl.probe("egl", timeout=0.3)
    assert (found.works, found.problem) == (False, "no picture within 0.3 s")
    assert found.seconds < 30


def test_an_empty_picture_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_PROBE_SCRIPT", "raise SystemExit('the picture came out in one colour')")
    assert gl.probe("egl").problem == "the picture came out in one colour"


@pytest.mark.parametrize(
    ("backend", "stderr", "reason"),
    [
        ("egl", "AttributeError: 'NoneType' object has no attribute 'eglQueryString'\n", "libEGL is not installed"),
        ("osmesa", "AttributeError: 'NoneType' object has no attribute 'glGetError'\n", "libOSMesa is not installed"),
        (
            "glfw",
            "x.py:9: GLFWError: (65550) b'X11: no display'\n  warn()\nTraceback\nFatalError: none\n",
            "X11: no display",
        ),
        (
            "egl",
            "Traceback\nImportError: no device\nException ignored in: <x>\nTypeError: y\n",
            "ImportError: no device",
        ),
    ],
)
def test_reasons_are_readable(backend: str, stderr: str, reason: str) -> None:
    done = subprocess.CompletedProcess([], 1, "", stderr)
    assert gl._verdict(backend, done) == (False, "", reason)


def test_a_missing_display_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    found = gl.probe("glfw")
    assert not found.works
    assert "DISPLAY" in found.problem or "Wayland" in found.problem


def test_what_is_chosen_draws_the_door() -> None:
    choice = gl.use_backend()
    if choice.backend is None:
        pytest.skip(f"nothing here can draw: {choice.explain()}")
    assert choice.renderer
    env: Any = make_env(EnvSection(id="door-binary-v0", kwargs={"width": 96, "height": 64}), render_mode="rgb_array")
    if choice.software:
        gl.lighten(env)
    try:
        env.reset(seed=0)
        first = env.render()
        for _ in range(5):
            env.step(env.action_space.high)
        assert first.shape == (64, 96, 3)
        assert first.std() > 10
        assert (env.render() != first).any()
    finally:
        env.close()


def test_lightening_leaves_the_simulation_alone() -> None:
    plain: Any = make_env("door-binary-v0")
    light: Any = make_env("door-binary-v0")
    gl.lighten(light)
    assert light.unwrapped.model.vis.quality.shadowsize == 1024
    for env in (plain, light):
        env.reset(seed=3)
    for _ in range(5):
        assert (plain.step(plain.action_space.high)[0] == light.step(light.action_space.high)[0]).all()


PLAY = """
import logging, os, sys
logging.basicConfig(format="%(levelname)s %(message)s")  # first: importing a collector chooses
import numpy as np
from awac_tr.envs import gl
from awac_tr.collectors.episodes import rollouts
from awac_tr.recipes.schema import EnvSection

class Still:
    def reset(self, seed):
        pass

    def act(self, observation):
        return np.zeros(28, np.float32)

if __name__ == "__main__":
    for workers in map(int, sys.argv[1:]):
        episodes = list(rollouts(EnvSection(id="door-binary-v0", horizon=3), Still, range(2), workers=workers))
        print(workers, len(episodes), os.environ["MUJOCO_GL"])
    print(gl.choose_backend().explain())
"""


def play(tmp_path: Path, *workers: str, **environment: str) -> tuple[list[str], list[str]]:
    """Lines on stdout, and notes on stderr, of a program that simulates with so many workers and draws nothing."""
    script = tmp_path / "play.py"
    script.write_text(PLAY, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), *workers],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if line.startswith("WARNING") and "MUJOCO_GL" in line]
    return done.stdout.splitlines(), notes


def test_a_name_that_is_no_backend_is_said_once_and_simulating_goes_on(tmp_path: Path) -> None:
    lines, notes = play(tmp_path, "2", "1", MUJOCO_GL="nonsense")
    assert lines == ["2 2 disable", "1 2 disable", "MUJOCO_GL=nonsense is not one of " + ", ".join(gl.BACKENDS) + "."]
    (note,) = notes
    assert "MUJOCO_GL=nonsense cannot be used: invalid value" in note


@pytest.mark.parametrize("backend", [name for name in gl.BACKENDS if name != "glfw"])
def test_a_backend_that_is_missing_is_said_once_and_simulating_goes_on(tmp_path: Path, backend: str) -> None:
    """PyOpenGL's own variable, set to something else, makes mujoco refuse a backend whether it is there or not."""
    lines, notes = play(tmp_path, "1", MUJOCO_GL=backend, PYOPENGL_PLATFORM="nothing")
    assert lines[0] == "1 2 disable"
    assert lines[1].startswith(f"{backend}: ")
    (note,) = notes
    assert note.startswith(f"WARNING MUJOCO_GL={backend} cannot be used: ")


@pytest.mark.parametrize("word", ["egl", "osmesa", "glfw", "off"])
def test_simulating_goes_on_whatever_is_there(tmp_path: Path, word: str) -> None:
    lines, notes = play(tmp_path, "1", MUJOCO_GL=word)
    assert lines[0] == f"1 2 {'disable' if notes else word}"
