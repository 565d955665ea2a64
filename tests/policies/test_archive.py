"""Checkpoints that claim more than they hold: refused before room is made for it."""

from __future__ import annotations

import io
import resource
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from awac_tr.errors import CheckpointError
from awac_tr.models.build import build_policy
from awac_tr.policies.checkpoint import VERSION, load_policy, policy_entry, read_checkpoint, save_checkpoint
from awac_tr.policies.experts import load_expert
from awac_tr.recipes.schema import PolicySection

SPEC = PolicySection(hidden_sizes=(8,))


def payload(**changes: Any) -> dict[str, Any]:
    sizes: dict[str, Any] = {
        "observation_size": 3,
        "action_size": 2,
        "action_low": -np.ones(2),
        "action_high": np.ones(2),
    }
    entry = policy_entry(build_policy(SPEC, 3, 2), SPEC, **sizes) | changes
    env = {"id": "door-binary-v0", "kwargs": {}, "horizon": 200}
    return {"kind": "policy", "policy": entry, "env": env, "info": {}}


def grown(read: Any) -> int:
    """Megabytes by which the most memory this process ever had was raised."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": SPEC.model_dump(mode="json") | {"hidden_sizes": [100_000, 100_000]}},
        {"observation_size": 10**12},
        {"action_size": 2**62},
        {"observation_size": "3"},
        {"state": [1, 2]},
        {"state": {"a": 3}},
    ],
    ids=["wide layers", "wide observations", "wide actions", "text", "a list", "no tensor"],
)
def test_a_network_larger_than_its_tensors_is_not_made(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = save_checkpoint(tmp_path / "a.pt", payload(**changes))

    def read() -> None:
        with pytest.raises(CheckpointError, match="cannot be built from what the file says"):
            load_policy(path)

    assert grown(read) < 500


def test_a_tensor_stretched_over_a_larger_shape_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "a.pt", payload() | {"info": {"x": torch.zeros(1).expand(10**6, 10**6)}})
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match=r"shape \(1000000, 1000000\) without its numbers"):
        read_checkpoint(path)


def test_a_sparse_tensor_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse = torch.sparse_coo_tensor(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1), (10**9,))
        path = save_checkpoint(tmp_path / "a.pt", payload() | {"info": {"x": sparse}})
        with pytest.raises(CheckpointError, match="holds more than tensors and plain data"):
            read_checkpoint(path)


def packed_again(path: Path, change: Any, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(*change(name, content))
    return path


def test_a_compressed_checkpoint_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "a.pt", payload() | {"info": {"x": torch.zeros(10**6)}})
    packed_again(path, lambda name, content: (name, content), zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(path)


def test_a_member_whose_name_is_no_text(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "a.pt", payload())
    raw = path.read_bytes()
    at = raw.rindex(b"data.pkl")
    path.write_bytes(raw[:at] + b"\xff" + raw[at + 1 :])
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("version", [VERSION + 1, 99, 10**30])
def test_a_newer_checkpoint_is_refused_by_its_version(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.pt"
    torch.save({"format": "awac-tr-checkpoint", "version": version, **payload()}, path)
    with pytest.raises(CheckpointError, match=f"format version {version}; this awac-tr reads up to {VERSION}"):
        read_checkpoint(path)


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None])
def test_a_version_that_is_none_is_refused(tmp_path: Path, version: Any) -> None:
    path = tmp_path / "a.pt"
    torch.save({"format": "awac-tr-checkpoint", "version": version, **payload()}, path)
    if version is True:  # counts as 1
        assert read_checkpoint(path)["kind"] == "policy"
        return
    with pytest.raises(CheckpointError, match="no valid version"):
        read_checkpoint(path)


def test_an_expert_that_claims_more_than_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        np.savez(file, W0=np.zeros((2, 3)), b0=np.zeros(2))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**20, 2**20)})

    def change(name: str, content: bytes) -> tuple[str, bytes]:
        return name, header.getvalue() + bytes(48) if name == "W0.npy" else content

    packed_again(path, change)
    with pytest.raises(CheckpointError, match="its arrays would stand for more than"):
        load_expert(path)


def test_an_expert_of_zeros_packed_small(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        np.savez_compressed(file, W0=np.zeros((6000, 6000)), b0=np.zeros(6000))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match="its arrays would stand for more than"):
        load_expert(path)
