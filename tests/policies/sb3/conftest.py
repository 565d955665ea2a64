"""Files as Stable-Baselines3 writes them, made without it; each carries pickles that tell when somebody opens them."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

HIDDEN = 8
MODULES = {
    "sac": "stable_baselines3.sac.policies",
    "tqc": "sb3_contrib.tqc.policies",
    "td3": "stable_baselines3.td3.policies",
    "ddpg": "stable_baselines3.td3.policies",
    "ppo": "stable_baselines3.common.policies",
    "a2c": "stable_baselines3.common.policies",
    "trpo": "stable_baselines3.common.policies",
}


class Evil:
    """Makes a folder where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.place,)


class Forge:
    """Makes files; ``tensors`` and ``data`` are what the next one will hold, to be changed at will."""

    observations, actions = 5, 2
    low, high = "[-2.  0.]", "[2. 1.]"

    def __init__(self, folder: Path) -> None:
        self.folder, self.mark = folder, folder / "unpickled"
        self.tensors: dict[str, Tensor] = {}
        self.data: dict[str, Any] = {}

    def evil(self) -> Evil:
        return Evil(self.mark)

    def opaque(self, kind: str, **shown: Any) -> dict[str, Any]:
        """What JSON cannot say, as SB3 puts it: a pickle, and beside it text for people."""
        return {":type:": kind, ":serialized:": base64.b64encode(pickle.dumps(self.evil())).decode(), **shown}

    def of(self, algorithm: str, **kwargs: Any) -> Forge:
        """An agent with layers of 5, 8, 8 and 2, unless told otherwise; ``kwargs`` as JSON shows policy_kwargs."""
        box = "<class 'gymnasium.spaces.box.Box'>"
        self.data = {
            "policy_class": self.opaque("<class 'abc.ABCMeta'>", __module__=MODULES[algorithm]),
            "policy_kwargs": kwargs if "activation_fn" not in kwargs else self.opaque("<class 'dict'>", **kwargs),
            "observation_space": self.opaque(
                box, dtype="float32", _shape=[self.observations], low="[-inf]", high="[inf]"
            ),
            "action_space": self.opaque(box, dtype="float32", _shape=[self.actions], low=self.low, high=self.high),
            "use_sde": False,
            "sde_sample_freq": -1,
            "_last_original_obs": None,
            "lr_schedule": self.opaque("<class 'function'>"),
        }
        self.tensors = getattr(self, "_" + {"tqc": "sac", "ddpg": "td3"}.get(algorithm, algorithm))()
        return self

    def _sac(self) -> dict[str, Tensor]:
        layers = linear("actor.latent_pi.0", self.observations, HIDDEN) | linear("actor.latent_pi.2", HIDDEN, HIDDEN)
        heads = linear("actor.mu", HIDDEN, self.actions) | linear("actor.log_std", HIDDEN, self.actions)
        return layers | heads | linear("critic.qf0.0", self.observations + self.actions, HIDDEN)

    def _td3(self) -> dict[str, Tensor]:
        layers = linear("actor.mu.0", self.observations, HIDDEN) | linear("actor.mu.2", HIDDEN, HIDDEN)
        return (
            layers | linear("actor.mu.4", HIDDEN, self.actions) | linear("actor_target.mu.0", self.observations, HIDDEN)
        )

    def _ppo(self) -> dict[str, Tensor]:
        net = "mlp_extractor.policy_net"
        layers = linear(f"{net}.0", self.observations, HIDDEN) | linear(f"{net}.2", HIDDEN, HIDDEN)
        values = linear("mlp_extractor.value_net.0", self.observations, HIDDEN) | linear("value_net", HIDDEN, 1)
        return {"log_std": torch.tensor([-1.0, -2.0])} | layers | linear("action_net", HIDDEN, self.actions) | values

    _a2c = _trpo = _ppo

    def policy(self) -> bytes:
        """What ``policy.pth`` holds."""
        return saved(self.tensors)

    def write(self, name: str = "agent.zip", **parts: Any) -> Path:
        """Write the file; ``parts`` are further members, or instead of ``data`` and ``policy`` (bytes)."""
        data = parts.pop("data", json.dumps(self.data).encode())
        policy = parts.pop("policy", None) or self.policy()
        members = {"data": data, "policy.pth": policy, "_stable_baselines3_version": b"2.9.2", **parts}
        path = self.folder / name
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                if content is not None:
                    archive.writestr(member, content)
        return path


def saved(state: Any, **options: Any) -> bytes:
    """What ``torch.save`` writes."""
    stream = io.BytesIO()
    torch.save(state, stream, **options)
    return stream.getvalue()


def linear(name: str, inputs: int, outputs: int) -> dict[str, Tensor]:
    """Weight and bias of a layer."""
    return {f"{name}.{key}": value for key, value in nn.Linear(inputs, outputs).state_dict().items()}


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """Makes files; afterwards nothing in any of them may have been unpickled."""
    made = Forge(tmp_path)
    yield made
    assert not made.mark.exists(), "a pickle of the file was opened"


@pytest.fixture
def save() -> Callable[..., bytes]:
    """``torch.save`` into bytes."""
    return saved
