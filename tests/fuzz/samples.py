"""Sound files of every kind that is read, small, made by the package itself or as their formats are published."""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Files = dict[str, bytes]
"""Relative path -> bytes: one file, or the files of a folder."""

ROOT = Path(__file__).resolve().parents[2]


def episode(seed: int, steps: int, *, sizes: tuple[int, int] = (3, 2), terminal: bool = False) -> Any:
    from awac_tr.envs.episode import Episode

    rng = np.random.default_rng(seed)
    states = rng.normal(size=(steps + 1, sizes[0])).astype(np.float32)
    last = np.arange(steps) == steps - 1
    return Episode(
        observations=states[:-1],
        actions=rng.uniform(-1, 1, (steps, sizes[1])).astype(np.float32),
        rewards=np.full(steps, -1, np.float32),
        next_observations=states[1:],
        terminals=last & terminal,
        timeouts=last & (not terminal),
        infos={"success": np.zeros(steps, bool), "qpos": rng.normal(size=(steps, 4))},
        seed=seed,
    )


def dataset(path: Path, *, env_id: str = "", sizes: tuple[int, int] = (3, 2)) -> None:
    from awac_tr.data.format.meta import DatasetMeta
    from awac_tr.data.storage.writer import DatasetWriter

    meta = DatasetMeta(env_id, "random", [-1] * sizes[1], [1] * sizes[1], horizon=7, seed=3, licence="CC0-1.0")
    with DatasetWriter(path, meta) as writer:
        for number, steps in enumerate((5, 1, 7)):
            writer.append(episode(number, steps, sizes=sizes, terminal=number == 1))
        writer.finish()


def with_loose_text(source: Path, target: Path) -> None:
    """A copy of a dataset of ours whose texts are of variable length, as h5py writes them unless told otherwise."""
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        for item in (file, *(file[name] for name in ("observations", "terminals"))):
            for name, value in list(item.attrs.items()):
                if isinstance(value, bytes | str | np.bytes_):
                    item.attrs[name] = value.decode() if isinstance(value, bytes) else value


def foreign_hdf5(path: Path) -> None:
    """A flat file as D4RL's scripts write it: compressed, attributes and metadata of variable length."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(41, 3)).astype(np.float32)
    with h5py.File(path, "w") as file:
        pairs = {"observations": states[:-1], "next_observations": states[1:], "actions": rng.uniform(-1, 1, (40, 2))}
        flags = {"terminals": np.zeros(40, bool), "timeouts": np.arange(40) % 20 == 19, "rewards": rng.normal(size=40)}
        for name, rows in (pairs | flags | {"infos/qpos": rng.normal(size=(40, 4))}).items():
            file.create_dataset(name, data=rows, compression="gzip", chunks=True)
        file["metadata/algorithm"] = "SAC"
        file["metadata/iteration"] = np.array(3)
        file.attrs["source"] = "written with a text of variable length"


def robomimic(path: Path) -> None:
    """Two demonstrations as robomimic's own scripts lay them out."""
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = 9
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "env_type": 1, "env_kwargs": {"a": 1}})
        for name, steps in (("demo_0", 4), ("demo_1", 5)):
            rows = {"object": rng.normal(size=(steps + 1, 4)), "gripper": rng.normal(size=steps + 1)}
            for key, one in rows.items():
                data[f"{name}/obs/{key}"], data[f"{name}/next_obs/{key}"] = one[:-1], one[1:]
            data[f"{name}/actions"] = rng.uniform(-1, 1, (steps, 2))
            data[f"{name}/rewards"] = rng.normal(size=steps)
            data[f"{name}/dones"] = (np.arange(steps) == steps - 1).astype(np.int64)
            data[name].attrs["num_samples"] = steps
            data[name].attrs["model_file"] = "<mujoco/>" * 40
        file["mask/train"] = np.array(["demo_0", "demo_1"], dtype=h5py.string_dtype())


def minari(folder: Path) -> None:
    """A dataset as Minari's hdf5 storage writes it."""
    rng = np.random.default_rng(2)
    (folder / "data").mkdir(parents=True)
    box = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-1.0, -1.0], "high": [1.0, 1.0]}
    metadata = {
        "total_episodes": 2,
        "total_steps": 9,
        "data_format": "hdf5",
        "dataset_id": "own/three-v0",
        "author": ["me"],
        "observation_space": json.dumps({**box, "shape": [3], "low": [-9.0] * 3, "high": [9.0] * 3}),
        "action_space": json.dumps(box),
        "env_spec": json.dumps({"id": "Nobodys-v5", "max_episode_steps": 5, "kwargs": {}}),
        "minari_version": "0.5.3",
    }
    (folder / "data" / "metadata.json").write_text(json.dumps(metadata))
    with h5py.File(folder / "data" / "main_data.hdf5", "w", track_order=True) as file:
        for number, steps in enumerate((4, 5)):
            group = file.create_group(f"episode_{number}")
            group.attrs["id"], group.attrs["total_steps"], group.attrs["seed"] = number, steps, 7
            group.attrs["options"] = "text of variable length"
            ends = {"terminations": np.zeros(steps, bool), "truncations": np.arange(steps) == steps - 1}
            rows = {
                "observations": rng.normal(size=(steps + 1, 3)),
                "actions": rng.uniform(-1, 1, (steps, 2)),
                "rewards": rng.normal(size=steps),
            }
            for name, one in (ends | rows | {"infos/qpos": rng.normal(size=(steps + 1, 4))}).items():
                group.create_dataset(name, data=one, compression="gzip", chunks=True)


def lerobot(folder: Path) -> None:
    """A folder of LeRobot's version 3."""
    import pyarrow as pa
    from pyarrow import parquet

    rng, rows = np.random.default_rng(3), 9
    frames = np.r_[0:4, 0:5]
    flat = {
        "next.reward": rng.random(rows).astype("f4"),
        "next.done": frames == np.r_[[3] * 4, [4] * 5],
        "frame_index": frames,
    }
    flat |= {
        "episode_index": np.repeat([0, 1], [4, 5]),
        "index": np.arange(rows),
        "timestamp": (frames / 10).astype("f4"),
    }
    wide = {
        name: pa.array(rng.random((rows, 2)).tolist(), pa.list_(pa.float32(), 2))
        for name in ("observation.state", "action")
    }
    columns = {name: pa.array(one) for name, one in flat.items()} | wide
    (folder / "data" / "chunk-000").mkdir(parents=True)
    parquet.write_table(pa.table(columns), folder / "data" / "chunk-000" / "file-000.parquet", row_group_size=3)
    features = {
        name: {"dtype": str(one.type) if name not in wide else "float32", "shape": [2 if name in wide else 1]}
        for name, one in columns.items()
    }
    info = {"codebase_version": "v3.0", "total_episodes": 2, "total_frames": rows, "fps": 10, "robot_type": "arm"}
    kinds = {"float": "float32", "double": "float64"}
    for feature in features.values():
        feature["dtype"] = kinds.get(feature["dtype"], feature["dtype"])
    (folder / "meta").mkdir()
    (folder / "meta" / "info.json").write_text(json.dumps(info | {"features": features}))


def demonstrations(protocol: int) -> bytes:
    rng = np.random.default_rng(4)
    return pickle.dumps(
        [
            {
                "observations": rng.normal(size=(6, 39)) * 0.1,
                "actions": rng.uniform(-1.2, 1.2, (6, 28)),
                "rewards": np.full(6, 20.0),
                "init_state_dict": {"qpos": np.zeros(30), "door_body_pos": np.zeros(3)},
            }
            for _ in range(2)
        ],
        protocol=protocol,
    )


def npz(**arrays: Any) -> bytes:
    held = io.BytesIO()
    np.savez(held, **arrays)
    return held.getvalue()


def experts() -> list[bytes]:
    rng = np.random.default_rng(5)
    layers = {
        "W0": rng.normal(size=(8, 4)),
        "b0": rng.normal(size=8),
        "W1": rng.normal(size=(2, 8)),
        "b1": rng.normal(size=2),
    }
    layers = {name: one.astype(np.float32) for name, one in layers.items()}
    scales = {
        "in_shift": np.zeros(4),
        "in_scale": np.ones(4),
        "out_shift": np.zeros(2),
        "out_scale": np.ones(2),
        "log_std": np.zeros(2),
    }
    bounds = {
        "act_low": -np.ones(2),
        "act_high": np.ones(2),
        "activation": np.array("relu"),
        "final": np.array("tanh"),
        "obs_dim": np.array(4),
        "log_std": np.zeros(2),
    }
    return [npz(**layers, **scales), npz(**layers, **bounds)]


def checkpoint(path: Path) -> None:
    from awac_tr.models.build import build_policy
    from awac_tr.policies.checkpoint import policy_entry, save_checkpoint
    from awac_tr.recipes.schema import PolicySection

    spec = PolicySection(hidden_sizes=(8,))
    sizes: dict[str, Any] = {
        "observation_size": 3,
        "action_size": 2,
        "action_low": -np.ones(2),
        "action_high": np.ones(2),
    }
    entry = policy_entry(build_policy(spec, 3, 2), spec, **sizes)
    env = {"id": "door-binary-v0", "kwargs": {"hinge": 1.2}, "horizon": 200}
    save_checkpoint(path, {"kind": "policy", "policy": entry, "env": env, "info": {"note": "small", "losses": [1.0]}})


def online_part() -> bytes:
    import torch

    held = io.BytesIO()
    torch.save({"observation": torch.zeros(4, 3), "action": torch.zeros(4, 2), "next/reward": torch.zeros(4, 1)}, held)
    return held.getvalue()


def sb3(folder: Path) -> list[bytes]:
    """Agents as Stable-Baselines3 saves them, made without it; their pickles tell when somebody opens them."""
    spec = importlib.util.spec_from_file_location("forge", ROOT / "tests" / "policies" / "sb3" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    forge = importlib.util.module_from_spec(spec)
    sys.modules["forge"] = forge
    spec.loader.exec_module(forge)
    return [forge.Forge(folder).of(name).write(f"{name}.zip").read_bytes() for name in ("sac", "td3", "ppo")]


def unfinished(folder: Path) -> bytes:
    """A collection that was stopped after two episodes."""
    from awac_tr.data.format.meta import DatasetMeta
    from awac_tr.data.storage.partial import Partial, partial_path

    out = folder / "unfinished.hdf5"
    partial = Partial(out, None)
    partial.note_plan({"env": "x"}, wanted=3, replaces=False)
    partial.note_actor({"policy": "y"})
    partial.begin(DatasetMeta("", "random", [-1, -1], [1, 1], horizon=7))
    for number in range(2):
        partial.append(episode(number, 4))
    partial.close()
    return partial_path(out).read_bytes()


def run_folder() -> Files:
    files: Files = {}
    source = ROOT / "docs" / "results" / "quickstart"
    for name in ("recipe.yaml", "record.json", "summary.json"):
        files[name] = (source / name).read_bytes()
    rows = [{"event": "train", "phase": "offline", "update": 5, "env_step": 0, "wall": 0.1, "loss_actor": 1.0}]
    measured = {"success_any": 0.5, "success_last": 0.1, "return": -3.5, "length": 9}
    counted = {"event": "eval", "env_step": 0, "wall": 1.0}
    rows += [{**counted, "phase": "offline", "update": update, **measured} for update in (0, 5, 10)]
    rows += [{**counted, "phase": "clone", "update": 0, "success_any": 0.2, "return": -4.0}]
    files["metrics.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return files


def texts(folder: str) -> list[Files]:
    return [{path.name: path.read_bytes()} for path in sorted((ROOT / folder).glob("*.yaml"))]


OVERRIDES = (
    "algorithm.temperature=1",
    "seed=3",
    "policy.hidden_sizes=[256, 256]",
    "data.datasets=[a, b]",
    "env.kwargs={hinge: 0.3}",
    "env.kwargs.hinge=0.3",
    "name=mine",
    "algorithm.value_bounds=[null, 0]",
    "collect.async=true",
    "device=cuda:0",
    "compile=auto",
    "policy.init_from=clone",
)
WHERES = (
    "return > -150 and success_any",
    "50 <= length < 200",
    "not success_any",
    "source in ('a', 'b')",
    "return % 2 == 0 or seed != 3",
)


def samples() -> dict[str, list[Files]]:
    """Kind of file -> sound ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (env_id, sizes) in enumerate((("", (3, 2)), ("door-binary-v0", (39, 28)))):
            dataset(folder / f"own{number}.hdf5", env_id=env_id, sizes=sizes)
        with_loose_text(folder / "own0.hdf5", folder / "loose.hdf5")
        foreign_hdf5(folder / "d4rl.hdf5")
        robomimic(folder / "robomimic.hdf5")
        minari(folder / "minari")
        lerobot(folder / "lerobot")
        checkpoint(folder / "policy.pt")
        agents, stopped = sb3(folder), unfinished(folder)
        from awac_tr.data.convert.exporter import export_dataset

        for kind in ("d4rl", "robomimic"):
            export_dataset(folder / "own0.hdf5", str(folder / f"export_{kind}.hdf5"), format_name=kind)
        one = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        trees = {kind: _tree(folder / kind) for kind in ("minari", "lerobot")}
    return {
        "recipe": texts("recipes"),
        "card": texts("datasets"),
        "override": [{"text": text.encode()} for text in OVERRIDES],
        "where": [{"text": text.encode()} for text in WHERES],
        "dataset": [{"a.hdf5": one[name]} for name in ("own0.hdf5", "own1.hdf5", "loose.hdf5", "d4rl.hdf5")],
        "d4rl": [{"a.hdf5": one[name]} for name in ("d4rl.hdf5", "export_d4rl.hdf5")],
        "robomimic": [{"a.hdf5": one[name]} for name in ("robomimic.hdf5", "export_robomimic.hdf5")],
        "minari": [trees["minari"]],
        "lerobot": [trees["lerobot"]],
        "hand_dapg": [{"a.pickle": demonstrations(protocol)} for protocol in (0, 2, 4, 5)],
        "checkpoint": [{"a.pt": one["policy.pt"]}],
        "online": [{"000001.pt": online_part()}],
        "npz": [{"a.npz": data} for data in experts()],
        "sb3": [{"a.zip": data} for data in agents],
        "partial": [{"a.hdf5.partial": stopped}],
        "run": [run_folder()],
    }


def _tree(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
