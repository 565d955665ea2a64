"""Experts as arrays: the forward pass against the formulas of their files, and files that are no experts."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from awac_tr.envs.env_info import env_info
from awac_tr.errors import CheckpointError
from awac_tr.policies.controllers import load_controller
from awac_tr.policies.experts import ExpertController, load_expert

RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def layers(sizes: tuple[int, ...]) -> dict[str, np.ndarray]:
    pairs = list(pairwise(sizes))
    return {f"W{i}": floats(b, a) for i, (a, b) in enumerate(pairs)} | {
        f"b{i}": floats(b) for i, (_, b) in enumerate(pairs)
    }


def dapg() -> dict[str, np.ndarray]:
    scales = {"in_shift": floats(4), "in_scale": np.abs(floats(4)), "out_shift": floats(2), "out_scale": floats(2)}
    return {**layers((4, 8, 8, 2)), **scales, "log_std": np.full(2, -1.0, np.float32)}


def sb3(**changes: Any) -> dict[str, Any]:
    fixed = {"activation": np.array("relu"), "final": np.array("tanh"), "obs_dim": np.array(4)}
    bounds = {"act_low": np.array([-2.0, 0.0], np.float32), "act_high": np.array([2.0, 1.0], np.float32)}
    return {**layers((4, 8, 2)), **fixed, **bounds, **changes}


def test_dapg_arrays_act_as_their_formula_says() -> None:
    a, o = dapg(), floats(4)
    x = (o - a["in_shift"]) / (a["in_scale"] + 1e-8)
    x = np.tanh(a["W1"] @ np.tanh(a["W0"] @ x + a["b0"]) + a["b1"])
    expected = np.clip((a["W2"] @ x + a["b2"]) * a["out_scale"] + a["out_shift"], -1, 1)
    np.testing.assert_allclose(ExpertController(a).act(o), expected, rtol=1e-5)


@pytest.mark.parametrize("final", ["tanh", "clip"])
@pytest.mark.parametrize("normalised", [False, True])
def test_sb3_arrays_act_as_their_formula_says(final: str, normalised: bool) -> None:
    statistics = {
        "obs_mean": floats(4),
        "obs_var": np.abs(floats(4)),
        "obs_eps": np.array(1e-8),
        "obs_clip": np.array(1.5),
    }
    a, o = sb3(final=np.array(final), **(statistics if normalised else {})), floats(6)
    x = o[:4]
    if normalised:
        x = np.clip((x - a["obs_mean"]) / np.sqrt(a["obs_var"] + 1e-8), -1.5, 1.5)
    y = a["W1"] @ np.maximum(a["W0"] @ x + a["b0"], 0) + a["b1"]
    unit = np.tanh(y) if final == "tanh" else np.clip(y, -1, 1)
    expected = a["act_low"] + (unit + 1) / 2 * (a["act_high"] - a["act_low"])
    np.testing.assert_allclose(ExpertController(a).act(o), expected, rtol=1e-5)


@pytest.mark.parametrize("head", [False, True], ids=["vector", "head"])
def test_an_experts_own_noise_has_its_deviation(head: bool) -> None:
    log_std = np.array([-3.0, -2.0], np.float32)
    noise = {"log_std_W": np.zeros((2, 8), np.float32), "log_std_b": log_std} if head else {"log_std": log_std}
    flat = {name: np.zeros_like(value) for name, value in layers((4, 8, 2)).items()}
    controller = ExpertController(sb3(final=np.array("clip"), **flat, **noise), "sample")
    controller.reset(0)
    drawn = np.stack([controller.act(np.ones(4, np.float32)) for _ in range(4000)])
    np.testing.assert_allclose(drawn.std(0), np.exp(log_std) * [2.0, 0.5], rtol=0.05)
    np.testing.assert_allclose(drawn.mean(0), [0.0, 0.5], atol=0.01)


def test_sampling_needs_a_deviation() -> None:
    with pytest.raises(ValueError, match="no standard deviation"):
        ExpertController(sb3(), "sample")


@pytest.mark.parametrize("missing", ["W0", "b1", "out_scale", "in_scale"])
def test_incomplete_arrays_are_refused(tmp_path: Path, missing: str) -> None:
    np.savez(tmp_path / "a.npz", **{name: value for name, value in dapg().items() if name != missing})
    with pytest.raises(CheckpointError, match="is not a policy of DAPG"):
        load_expert(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "changes",
    [{"W1": np.zeros((8, 3))}, {"b0": np.zeros(5)}, {"activation": np.array("sine")}, {"act_low": np.zeros(3)}],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    np.savez(tmp_path / "a.npz", **sb3(**changes))
    with pytest.raises(CheckpointError, match="is not a policy"):
        load_expert(tmp_path / "a.npz")


def test_pickles_inside_or_instead_of_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{**dapg(), "W0": np.array([{"a": 1}], dtype=object)})
    (tmp_path / "b.npz").write_bytes(pickle.dumps({"W0": 1}))
    (tmp_path / "c.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    for name in "abc":
        with pytest.raises(CheckpointError, match=r"not a readable .npz file of plain arrays"):
            load_expert(tmp_path / f"{name}.npz")
    with pytest.raises(CheckpointError, match="no policy at"):
        load_expert(tmp_path / "none.npz")


@pytest.mark.parametrize("name", ["pen", "door", "relocate"])
def test_the_real_dapg_experts_fit_their_tasks_and_no_other(shared_data: Path, name: str) -> None:
    path = shared_data / "experts" / f"dapg_{name}.npz"
    facts = env_info(f"{name}-binary-v0")
    action = load_controller(path, env=facts).act(np.zeros(facts.observation_size, np.float32))
    assert action.shape == (facts.action_size,)
    assert (np.abs(action) <= 1).all()
    other = env_info("door-binary-v0" if name != "door" else "pen-binary-v0")
    with pytest.raises(CheckpointError, match="belongs to another task"):
        load_controller(path, env=other)


@pytest.mark.parametrize(("name", "observations"), [("halfcheetah_tqc", 17), ("walker2d_tqc", 17), ("ant_trpo", 105)])
def test_the_real_sb3_experts_act(shared_data: Path, name: str, observations: int) -> None:
    for mode in ("mean", "sample"):
        controller = load_expert(shared_data / "experts" / f"sb3_{name}.npz", mode)
        controller.reset(0)
        action = controller.act(np.zeros(observations, np.float32))
        assert action.dtype == np.float32
        assert (np.abs(action) <= 1).all()
