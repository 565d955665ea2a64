"""What every test stands on: an empty folder of its own, fixed seeds, one thread, no network, no accounts."""

from __future__ import annotations

import os
import signal

# before anything imports torch or numpy, and inherited by every process that a test starts
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", WANDB_MODE="offline", WANDB_SILENT="true", MPLBACKEND="Agg")

import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LOOPBACK = ("127.", "::1", "localhost")


# A shell that starts the tests in the background leaves SIGINT ignored, also in children: Ctrl-C could not be tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real inputs by others (human demonstrations, trained experts) beside the checkout."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real inputs are absent: no folder {folder}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Any:
    """Refuse connections that leave the machine, so that a test in need of a network fails here as elsewhere."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, _local_only(getattr(socket.socket, name)))
    yield
    patch.undo()


def _local_only(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(LOOPBACK):
            raise OSError(f"tests run without a network: connection to {address} refused")
        return connect(self, address)

    return guarded


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts in an empty folder, with its own place for datasets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWAC_TR_DATA", str(tmp_path / "datasets"))


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def door_checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of a small untrained policy for the door: episodes of 6 steps, and any door counts as open."""
    from awac_tr.models.build import build_policy
    from awac_tr.policies.checkpoint import policy_entry, save_checkpoint
    from awac_tr.recipes.schema import PolicySection

    spec = PolicySection(hidden_sizes=(16,))
    sizes: dict[str, Any] = {"observation_size": 39, "action_size": 28, "action_low": [-1.0], "action_high": [1.0]}
    entry = policy_entry(build_policy(spec, 39, 28), spec, **sizes)
    env = {"id": "door-binary-v0", "kwargs": {"hinge": -1.0}, "horizon": 6}
    return save_checkpoint(tmp_path / "door.pt", {"kind": "policy", "policy": entry, "env": env, "info": {}})


@pytest.fixture
def goal_point(monkeypatch: pytest.MonkeyPatch) -> str:
    """A goal environment with episodes of differing lengths; ``goal_point:PlainPoint-v0`` has only what it must."""
    monkeypatch.syspath_prepend(REPOSITORY / "tests" / "toys")
    return "goal_point:GoalPoint-v0"


@pytest.fixture(params=["pen", "door", "relocate"])
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def toy() -> Iterator[str]:
    """The id of an environment of two numbers with a registered horizon of 5 steps."""
    import gymnasium
    from counting import Counting

    gymnasium.register("toy-v0", entry_point=Counting, max_episode_steps=5)
    yield "toy-v0"
    del gymnasium.registry["toy-v0"]
