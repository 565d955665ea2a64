"""Checkpoints: the round trip, and every kind of file that must be refused."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from awac_tr.errors import CheckpointError
from awac_tr.models.build import build_policy, set_observation_statistics
from awac_tr.policies.checkpoint import FORMAT, VERSION, load_policy, policy_entry, read_checkpoint, save_checkpoint
from awac_tr.recipes.schema import EnvSection, PolicySection

SPEC = PolicySection(hidden_sizes=(8, 8), activation="tanh")


def payload(spec: PolicySection = SPEC) -> dict[str, Any]:
    module = build_policy(spec, 5, 3)
    set_observation_statistics(module, np.arange(5.0), np.full(5, 2.0))
    sizes = {"observation_size": 5, "action_size": 3, "action_low": -np.ones(3), "action_high": np.ones(3)}
    return {
        "kind": "policy",
        "policy": policy_entry(module, spec, **sizes),
        "env": {"id": "door-binary-v0", "kwargs": {"hinge": 1.2}, "horizon": 200},
        "info": {"note": "made by a test", "losses": [1.0, 0.5]},
    }


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        PolicySection(hidden_sizes=(8,), std="dependent"),
        PolicySection(hidden_sizes=(8,), distribution="tanh_normal"),
    ],
    ids=["independent", "dependent", "squashed"],
)
def test_a_policy_comes_back_as_it_was_saved(tmp_path: Path, spec: PolicySection) -> None:
    saved = payload(spec)
    original = build_policy(spec, 5, 3)
    original.load_state_dict(saved["policy"]["state"])
    save_checkpoint(tmp_path / "deep" / "a.pt", saved)

    loaded = load_policy(tmp_path / "deep" / "a.pt")

    batch = TensorDict({"observation": torch.randn(7, 5)}, [7])
    expected, found = original.get_dist(batch.clone()), loaded.module.get_dist(batch.clone())
    action = torch.tanh(torch.randn(7, 3))
    assert torch.equal(expected.log_prob(action), found.log_prob(action))
    assert loaded.env == EnvSection(id="door-binary-v0", kwargs={"hinge": 1.2}, horizon=200)
    assert (loaded.spec, loaded.info["losses"], loaded.kind) == (spec, [1.0, 0.5], "policy")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.pt"]


def test_saving_copies_the_tensors() -> None:
    module = build_policy(SPEC, 5, 3)
    entry = policy_entry(module, SPEC, observation_size=5, action_size=3, action_low=[-1.0], action_high=[1.0])
    before = {name: value.clone() for name, value in entry["state"].items()}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(before[name], value) for name, value in entry["state"].items())
    assert entry["action_low"] == [-1.0, -1.0, -1.0]


def test_loading_leaves_the_random_stream_alone(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", payload())
    before = torch.get_rng_state()
    load_policy(tmp_path / "a.pt")
    assert torch.equal(before, torch.get_rng_state())


def test_numbers_of_a_random_state_survive(tmp_path: Path) -> None:
    state = np.random.default_rng(3).bit_generator.state
    saved = {
        **payload(),
        "kind": "train",
        "rng": {"torch": torch.get_rng_state(), "numpy": state},
        "step": {0: (1, 2.5, None)},
    }
    save_checkpoint(tmp_path / "a.pt", saved)
    found = read_checkpoint(tmp_path / "a.pt", kind="train")
    assert found["rng"]["numpy"] == state
    assert torch.equal(found["rng"]["torch"], torch.get_rng_state())
    assert found["step"] == {0: (1, 2.5, None)}


@pytest.mark.parametrize(
    "value", [Path("x"), np.zeros(2), {1.5: 2}, {"deep": [object()]}], ids=["path", "array", "key", "object"]
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError, match=r"checkpoint.info"):
        save_checkpoint(tmp_path / "a.pt", {**payload(), "info": value})
    assert not list(tmp_path.iterdir())


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("owned"),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({**payload(), "format": FORMAT, "version": VERSION, "info": Hostile()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="could run foreign code"):
        load_policy(tmp_path / "a.pt")
    assert not Path("owned").exists()


def test_code_in_a_bare_pickle_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(CheckpointError, match="pickles can run foreign code"):
        read_checkpoint(tmp_path / "a.pt")
    assert not Path("owned").exists()


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.95, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: float) -> None:
    whole = save_checkpoint(tmp_path / "a.pt", payload()).read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"is truncated|is no checkpoint|is damaged"):
        read_checkpoint(tmp_path / "a.pt")


def test_a_flipped_byte_of_the_weights_is_noticed(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "a.pt", payload())
    damaged = bytearray(path.read_bytes())
    weights = max(read_checkpoint(path)["policy"]["state"].values(), key=lambda value: value.numel())
    damaged[damaged.index(weights.numpy().tobytes())] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(CheckpointError, match="is damaged"):
        read_checkpoint(path)


def write(path: Path, **changes: Any) -> Path:
    torch.save({**payload(), "format": FORMAT, "version": 1, **changes}, path)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "something else"}, "was not written by awac-tr"),
        ({"version": VERSION + 1}, "upgrade awac-tr"),
        ({"version": "1"}, "no valid version"),
        ({"version": VERSION}, "version 2 without 'acting'"),
        ({"policy": {**payload()["policy"], "acting": {}}}, "version 1 with 'acting'"),
        ({"kind": "weights"}, "unknown kind 'weights'"),
        ({"policy": {"spec": {}}}, "lacks state, observation_size"),
        ({"env": None}, "lacks id, kwargs, horizon"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(write(tmp_path / "a.pt", **changes))


def test_a_list_of_tensors_is_not_a_checkpoint(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="was not written by awac-tr"):
        read_checkpoint(tmp_path / "a.pt")


def test_a_missing_file_and_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="a train checkpoint is needed"):
        read_checkpoint(write(tmp_path / "a.pt"), kind="train")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"hidden_sizes": [16]}, "cannot be built"),
        ({"hidden_sizes": [8, 8], "activation": "sine"}, "cannot be built"),
        ({"hiden": [8]}, "cannot be built"),
    ],
)
def test_tensors_that_do_not_fit_the_description_are_refused(
    tmp_path: Path, spec: dict[str, Any], message: str
) -> None:
    entry = {**payload()["policy"], "spec": spec}
    with pytest.raises(CheckpointError, match=message):
        load_policy(write(tmp_path / "a.pt", policy=entry))


def test_a_policy_that_diverged_is_refused(tmp_path: Path) -> None:
    saved = payload()
    next(iter(saved["policy"]["state"].values())).fill_(float("nan"))
    with pytest.raises(CheckpointError, match="not finite"):
        load_policy(save_checkpoint(tmp_path / "a.pt", saved))


@pytest.mark.parametrize(
    "task",
    [("pen-binary-v0", 5, 3), ("door-binary-v0", 6, 3), ("door-binary-v0", 5, 4)],
    ids=["env", "observations", "actions"],
)
def test_a_policy_of_another_task_is_refused(tmp_path: Path, task: tuple[str, int, int]) -> None:
    policy = load_policy(save_checkpoint(tmp_path / "a.pt", payload()))
    policy.require("door-binary-v0", 5, 3)
    with pytest.raises(CheckpointError, match=r"is a policy for door-binary-v0 .observations 5, actions 3., not for"):
        policy.require(*task)


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = save_checkpoint(tmp_path / "a.pt", payload()).read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(tmp_path / "a.pt", payload())
    assert (tmp_path / "a.pt").read_bytes() == older
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]
