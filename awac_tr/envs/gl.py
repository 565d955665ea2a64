"""Choose how MuJoCo draws off screen, before anything that draws is imported.

MuJoCo's Python package and Gymnasium both read ``MUJOCO_GL``; importing ``mujoco`` with a backend that is not
installed fails outright, and a broken driver can take the whole process down. So every candidate first draws one
small picture in a short-lived process of its own, and only one that came through is put into the environment. Who only
simulates need not wait for pictures: :func:`import_mujoco` does without drawing where the backend is missing.

Importing this module imports neither gymnasium nor mujoco.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

__all__ = [
    "BACKENDS",
    "GLChoice",
    "GLProbe",
    "choose_backend",
    "import_mujoco",
    "install_hint",
    "lighten",
    "probe",
    "use_backend",
]

_log = logging.getLogger(__name__)

BACKENDS: tuple[str, ...] = ("egl", "osmesa", "glfw") if sys.platform.startswith("linux") else ("glfw",)
"""In the order they are tried: EGL may use a GPU and needs no display, OSMesa needs neither, GLFW needs a display."""

PROBE_SECONDS = 30.0
_VARIABLE = "MUJOCO_GL"
_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader")
_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
_OFF = frozenset({"disable", "disabled", "off", "false", "0"})
_ANY = frozenset({"", "enable", "enabled", "on", "true", "1"})
_GLFW_NAMES = frozenset({"glfw", "glx", "wgl", "cgl"})

_PROBE_SCRIPT = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    '<mujoco><worldbody><light pos="0 0 2"/><geom type="sphere" size=".3" rgba="1 .5 .2 1"/></worldbody></mujoco>'
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 64, 64)
renderer.update_scene(data)
picture = renderer.render()
if picture.std() < 1:
    raise SystemExit("the picture came out in one colour")
try:
    from OpenGL import GL
    name = GL.glGetString(GL.GL_RENDERER).decode()
except Exception:
    name = "unnamed"
print("renderer=" + name)
"""


@dataclass(frozen=True)
class GLProbe:
    """What became of one backend's picture.

    Attributes:
        backend: ``egl``, ``osmesa`` or ``glfw``.
        works: a picture with more than one colour was drawn.
        renderer: the driver's own name, for example ``llvmpipe (LLVM 15.0.6, 256 bits)``; empty if it does not work.
        problem: the last thing the attempt said; empty if it works.
        seconds: how long the attempt took.
    """

    backend: str
    works: bool
    renderer: str
    problem: str
    seconds: float


@dataclass(frozen=True)
class GLChoice:
    """The backend to draw with, and how it was found.

    Attributes:
        backend: name for ``MUJOCO_GL``, or None where nothing can draw.
        requested: what the user had put into ``MUJOCO_GL``; None if nothing in particular.
        probes: the attempts, in order; the last one works if any does.
    """

    backend: str | None
    requested: str | None
    probes: tuple[GLProbe, ...]

    @property
    def renderer(self) -> str:
        """The driver's name for the chosen backend, empty without one."""
        return self.probes[-1].renderer if self.backend else ""

    @property
    def software(self) -> bool:
        """Pictures are drawn by the processor."""
        return any(name in self.renderer.lower() for name in _SOFTWARE)

    def explain(self) -> str:
        """Why there is no backend, one line an attempt; empty if there is one."""
        if self.backend:
            return ""
        if not self.probes:
            return f"{_VARIABLE}={self.requested} " + (
                "switches drawing off." if self.requested in _OFF else f"is not one of {', '.join(BACKENDS)}."
            )
        return "\n".join(f"{item.backend}: {item.problem}" for item in self.probes)


def probe(backend: str, timeout: float = PROBE_SECONDS) -> GLProbe:
    """Draw one 64x64 picture in a process of its own; a crash, a hang and a missing library are answers too.

    Args:
        backend: a value of ``MUJOCO_GL``.
        timeout: seconds before the attempt is given up.
    """
    environment = os.environ | {_VARIABLE: backend, "PYTHONSAFEPATH": "1"}
    # Left over from another backend, PyOpenGL's own variable makes mujoco refuse this one.
    environment.pop("PYOPENGL_PLATFORM", None)
    begin = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE_SCRIPT],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=timeout, check=False,
        )  # fmt: skip
        works, renderer, problem = _verdict(backend, done)
    except subprocess.TimeoutExpired:
        works, renderer, problem = False, "", f"no picture within {timeout:g} s"
    except OSError as error:
        works, renderer, problem = False, "", str(error)
    return GLProbe(backend, works, renderer, problem, time.monotonic() - begin)


def _verdict(backend: str, done: subprocess.CompletedProcess[str]) -> tuple[bool, str, str]:
    """Read a finished attempt: (works, driver name, problem)."""
    names = [line.removeprefix("renderer=") for line in done.stdout.splitlines() if line.startswith("renderer=")]
    if done.returncode == 0 and names:
        return True, names[-1], ""
    if done.returncode < 0:
        return False, "", f"the process died of signal {-done.returncode}"
    return False, "", _reason(backend, done.stderr) or f"exit status {done.returncode}"


def _reason(backend: str, stderr: str) -> str:
    """The line of a failed attempt that a reader can do something with."""
    # PyOpenGL puts None for a library it did not find, and stumbles over it later.
    if "'NoneType' object has no attribute" in stderr:
        return f"lib{_LIBRARIES.get(backend, 'GL')} is not installed"
    # GLFW warns of the reason long before MuJoCo gives up; what follows a traceback is only objects being collected.
    lines = [line.strip() for line in stderr.split("Exception ignored", maxsplit=1)[0].splitlines() if line.strip()]
    warned = re.findall(r"GLFWError: \(\d+\) b'(.*)'", stderr)
    return (warned[:1] or lines[-1:] or [""])[0]


def choose_backend() -> GLChoice:
    """Find a backend that draws: the one the user named in ``MUJOCO_GL``, else the first of ``BACKENDS`` that works.

    Nothing is changed; every backend is tried at most once in the life of the process.
    """
    if _in_use is not None:
        return _in_use
    requested = _requested()
    if requested in _ANY:
        return _first_working(BACKENDS, None)
    name = "glfw" if requested in _GLFW_NAMES else requested
    return _first_working((name,) if name in BACKENDS else (), requested)


def _requested() -> str:
    return os.environ.get(_VARIABLE, "").strip().lower()


def _first_working(backends: tuple[str, ...], requested: str | None) -> GLChoice:
    probes: list[GLProbe] = []
    for backend in backends:
        probes.append(_probe_once(backend))
        if probes[-1].works:
            return GLChoice(backend, requested, tuple(probes))
    return GLChoice(None, requested, tuple(probes))


_probe_once = cache(probe)
_in_use: GLChoice | None = None


def use_backend() -> GLChoice:
    """Choose a backend and put it into ``MUJOCO_GL``, for this process and those it starts.

    Call it before ``mujoco`` is imported. Where nothing can draw, drawing is switched off, so that simulating goes on:
    with the name of a missing backend in ``MUJOCO_GL``, ``import mujoco`` itself would fail.

    Returns:
        The choice; the same one at every later call in this process.
    """
    global _in_use
    if _in_use is None:
        _in_use = choose_backend()
        if _in_use.backend:
            _log.info("Drawing with %s (%s).", _in_use.backend.upper(), _in_use.renderer)
    os.environ[_VARIABLE] = _in_use.backend or "disable"
    return _in_use


def import_mujoco() -> None:
    """Import ``mujoco`` where ``MUJOCO_GL`` could keep it from importing; drawing is switched off if it does.

    Called before environments are made and processes for them are started, which inherit what is decided here. A
    backend that is there is left as it is, one that is not is said once.
    """
    global _in_use
    requested = _requested()
    if "mujoco" in sys.modules or requested in _ANY | _OFF | _GLFW_NAMES:
        return
    begin = time.monotonic()
    try:
        import_module("mujoco")
    # Libraries that are missing or broken fail in a dozen ways. Where it was not the drawing, the second try says so.
    except Exception as error:  # noqa: BLE001
        os.environ[_VARIABLE] = "disable"
        import_module("mujoco")
        reason = _reason(requested, str(error)) or type(error).__name__
        seconds = time.monotonic() - begin
        tried = GLProbe(requested, works=False, renderer="", problem=reason, seconds=seconds)
        _in_use = GLChoice(None, requested, (tried,) if requested in BACKENDS else ())
        _log.warning("%s=%s cannot be used: %s. Nothing can be drawn; all else goes on.", _VARIABLE, requested, reason)


def lighten(env: Any) -> None:
    """Spend less on each picture of a MuJoCo environment, before its first one: coarser shadows, no smoothing of edges.

    For renderers without a GPU: a picture of the door at 640x480 takes 33 to 38 ms of one core instead of 96. Other
    environments are left alone; the simulation is never touched.
    """
    model: Any = getattr(env.unwrapped, "model", None)
    if hasattr(model, "vis"):
        model.vis.quality.shadowsize = min(model.vis.quality.shadowsize, 1024)
        model.vis.quality.offsamples = 0


def install_hint(choice: GLChoice) -> str:
    """What to do where ``choice`` found no backend: one or two sentences."""
    if choice.requested is not None:
        return f"Unset {_VARIABLE} to let awac-tr choose, or set it to one of: {', '.join(BACKENDS)}."
    if not sys.platform.startswith("linux"):
        return "Drawing needs a graphical session: run this from a desktop login."
    return (
        "Install a software renderer: apt-get install libegl1 libgl1 libgl1-mesa-dri (Debian, Ubuntu), "
        "or libosmesa6 alone; dnf install mesa-libEGL mesa-libGL mesa-dri-drivers (Fedora). "
        "Neither a GPU nor a display is needed."
    )
