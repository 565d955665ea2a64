"""Every way a stranger's file is read: kind -> a function of the file (or folder) and the folder to write into."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from damage_hdf5 import damage_hdf5
from damage_pickle import damage_pickle
from mutate import damage, damage_json, damage_text, damage_zip

Damage = Callable[[random.Random, bytes, list[bytes]], bytes]
SUFFIXES: Mapping[str, Damage] = {
    ".hdf5": damage_hdf5,
    ".json": damage_json,
    ".jsonl": damage_json,
    ".yaml": damage_text,
    ".pickle": damage_pickle,
    ".npz": damage_zip,
    ".pt": damage_zip,
    ".zip": damage_zip,
    ".parquet": damage,
    ".partial": damage,
    "": damage_text,
}


def read_recipe(path: Path, out: Path) -> None:
    from awac_tr.recipes.loader import load_recipe, resolved_yaml
    from awac_tr.recipes.verify import verify

    resolved_yaml(load_recipe(path))
    verify(path)


def read_override(path: Path, out: Path) -> None:
    from awac_tr.recipes.loader import load_recipe, resolved_yaml

    resolved_yaml(load_recipe("door", path.read_bytes().decode("utf-8", "replace").split("\n")))


def read_where(path: Path, out: Path) -> None:
    from awac_tr.data.ops.where import evaluate_where

    columns = {"return": np.array([-3.0, 0.0]), "length": np.array([5, 7]), "success_any": np.array([True, False])}
    evaluate_where(
        path.read_bytes().decode("utf-8", "replace"), columns | {"seed": np.arange(2), "source": np.array(["a", "b"])}
    )


def read_card(path: Path, out: Path) -> None:
    from awac_tr.recipes.cards import read_card as read
    from awac_tr.recipes.verify import verify

    _ = read(path).settings
    verify(path)


def read_dataset(path: Path, out: Path) -> None:
    """What info, validate, plot, train and validate --fix do with a file, and reading it in Python."""
    from awac_tr.buffers.buffer import load_transitions
    from awac_tr.data.statistics.statistics import dataset_info
    from awac_tr.data.storage.reader import open_dataset
    from awac_tr.data.validation.fix import fix
    from awac_tr.data.validation.validate import validate
    from awac_tr.errors import AwacError

    def opened() -> None:
        with open_dataset(path) as dataset:
            for number in range(min(dataset.n_episodes, 20)):
                dataset.episode(number)
            dataset.compute_hash()

    def mended() -> None:
        fix(path, out / "mended.hdf5")
        (out / "mended.hdf5").unlink(missing_ok=True)  # what the other steps refuse may yet be mended

    steps: tuple[Callable[[], Any], ...] = (opened, lambda: validate(path), lambda: dataset_info(path))
    steps += (lambda: load_transitions([path], env=None, action_margin=0.0), mended)
    refused: AwacError | None = None
    for step in steps:
        try:
            step()
        except AwacError as error:
            refused = error
    if refused is not None:
        raise refused


def importer(format_name: str) -> Callable[[Path, Path], None]:
    def read(path: Path, out: Path) -> None:
        from awac_tr.data.convert.importer import ImportSettings, import_dataset

        settings = ImportSettings(env_id="door-binary-v0") if format_name == "hand_dapg" else ImportSettings(horizon=9)
        import_dataset(path, out / "out.hdf5", format_name=format_name, settings=settings)

    return read


def read_checkpoint(path: Path, out: Path) -> None:
    from awac_tr.policies.controllers import load_controller

    controller: Any = load_controller(path)
    controller.reset(0)
    controller.act(np.zeros(3, np.float32))


def read_agent(path: Path, out: Path) -> None:
    from awac_tr.policies.controllers import load_controller

    controller: Any = load_controller(path)
    controller.reset(0)
    controller.act(np.zeros(5, np.float32))


def read_partial(path: Path, out: Path) -> None:
    from awac_tr.data.storage.partial import read_episodes, summarize_partial

    for check in (False, True):
        str(summarize_partial(path, check=check))
    list(read_episodes(path, 10))


def read_online(path: Path, out: Path) -> None:
    from awac_tr.training.checkpoint import _load_tensors

    _load_tensors(path)


def read_npz(path: Path, out: Path) -> None:
    from awac_tr.policies.experts import load_expert

    for mode in ("mean", "sample"):
        expert = load_expert(path, mode)  # type: ignore[arg-type]
        expert.reset(0)
        expert.act(np.zeros(expert.observation_size, np.float32))


def read_run(path: Path, out: Path) -> None:
    from awac_tr.training.curves import plot_runs
    from awac_tr.training.run_folder import RunFolder

    RunFolder(path).read_record()
    together = sum(one.stat().st_size for one in path.iterdir()) % 2
    plot_runs([path, path] if together else [path], out / "curve.png", measure="success_any" if together else None)


READERS: Mapping[str, Callable[[Path, Path], None]] = {
    "recipe": read_recipe,
    "card": read_card,
    "override": read_override,
    "where": read_where,
    "dataset": read_dataset,
    "d4rl": importer("d4rl"),
    "robomimic": importer("auto"),
    "minari": importer("minari"),
    "lerobot": importer("lerobot"),
    "hand_dapg": importer("hand_dapg"),
    "checkpoint": read_checkpoint,
    "online": read_online,
    "npz": read_npz,
    "sb3": read_agent,
    "partial": read_partial,
    "run": read_run,
}
FOLDERS = frozenset({"minari", "lerobot", "run"})
"""Kinds that are read as a folder."""
