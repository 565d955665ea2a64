"""A dataset of ours as a local Minari dataset, whose environment Minari can recover."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from awac_tr.data.convert.export_card import export_card_text
from awac_tr.data.convert.minari_paths import dataset_place
from awac_tr.data.convert.robomimic import per_episode_of
from awac_tr.data.storage.reader import Dataset
from awac_tr.errors import DatasetError, EnvError, UntrustedCodeError
from awac_tr.utils.atomic import cannot_write

__all__ = ["BEFORE", "FACTS", "export"]

Array = np.ndarray[Any, Any]

FACTS: Final = "awac_tr"
"""Entry of Minari's metadata, and prefix of attributes of an episode, that hold what is ours alone."""

_MAX_ATTRIBUTE: Final = 60_000
"""Bytes; HDF5 has room for 64 kB in the header of an object, names and types included."""

BEFORE: Final = {"qpos", "qvel"}
"""Infos of row t that belong to observation t, the state before the action; all others belong to t + 1."""


def export(dataset: Dataset, out: str, *, overwrite: bool) -> list[str]:
    """Write a dataset into Minari's folder of local datasets, under the id ``out``; gives what is worth knowing.

    Raises:
        DatasetError: not an id, or there is a dataset of that id.
    """
    from minari.dataset.minari_storage import MinariStorage
    from minari.serialization import deserialize_space

    place, before, size = dataset_place(out), _before(dataset), dataset.shape("observations")[1]
    spec, notes = _env_spec(dataset)
    with _whole_folder(place, overwrite=overwrite) as part:
        storage = MinariStorage.new(
            part / "data",
            observation_space=deserialize_space(_space([-np.inf] * size, [np.inf] * size)),
            action_space=deserialize_space(_space(dataset.meta.action_low, dataset.meta.action_high)),
            env_spec=spec,
        )
        storage.update_metadata(_metadata(dataset, out, before))
        storage.update_episodes(_buffers(dataset, before))
        storage.update_episode_metadata(_attributes(dataset))
    _name_namespaces(place, out)
    large = [f"left out, too large for Minari's metadata: {name}" for name in _too_large(dataset)]
    return [*notes, *large, f"written to {place}"]


_UNRECOVERED: Final = "{}: Minari cannot recover it from the export"


def _before(dataset: Dataset) -> list[str]:
    """Infos that belong to the state before the action: the simulator's, and what the reset drew beside it."""
    names = [name.removeprefix("infos/") for name in dataset.array_names if name.startswith("infos/")]
    if not BEFORE & set(names):
        return []
    return [name for name in names if name in BEFORE or dataset.dtype(f"infos/{name}") == np.float64]


def _env_spec(dataset: Dataset) -> tuple[Any, list[str]]:
    """The environment's specification, from which ``recover_environment`` makes it; None where it is unknown here."""
    from awac_tr.envs.make import find_spec

    meta = dataset.meta
    if not meta.env_id:
        return None, [_UNRECOVERED.format("the dataset names no environment")]
    try:
        spec = copy.deepcopy(find_spec(meta.env.checked("the dataset").id))
    except UntrustedCodeError as error:
        return None, [_UNRECOVERED.format(error.message)]
    except EnvError:
        return None, [_UNRECOVERED.format(f"{meta.env_id} is not known here")]
    spec.kwargs = dict(meta.env_kwargs)
    spec.max_episode_steps = meta.horizon or spec.max_episode_steps
    said = ", ".join(meta.env_options)
    lost = [f"the environment that Minari recovers is the bare one: it knows nothing of {said}"] if said else []
    return spec, lost


def _space(low: Sequence[float] | Array, high: Sequence[float] | Array) -> str:
    """A Box of float32 as Minari writes it down."""
    return json.dumps({"type": "Box", "dtype": "float32", "shape": [len(low)], "low": [*low], "high": [*high]})


def _metadata(dataset: Dataset, out: str, before: list[str]) -> dict[str, Any]:
    from importlib.metadata import version

    meta = dataset.meta
    said = {"algorithm_name": meta.policy, "description": meta.description}
    facts = {"passport": export_card_text(dataset), "before": before}
    return {
        "dataset_id": out,
        "minari_version": version("minari"),
        "requirements": _requirements(dataset),
        FACTS: facts,
        **{name: text for name, text in said.items() if text},
    }


def _requirements(dataset: Dataset) -> list[str]:
    """What recovering the environment takes: our package for our environments, the simulator it was recorded with."""
    from awac_tr.envs import ENV_IDS

    simulator = json.loads(dataset.attributes.get("versions", "{}")).get("mujoco")
    ours = ["awac-tr"] if dataset.meta.env_id in ENV_IDS else []
    return ours + ([f"mujoco=={simulator}"] if ours and simulator else [])


def _buffers(dataset: Dataset, before: list[str]) -> Iterator[Any]:
    """The episodes, one at a time."""
    from minari.data_collector import EpisodeBuffer

    for number in range(dataset.n_episodes):
        episode = dataset.episode(number)
        yield EpisodeBuffer(
            seed=episode.seed if episode.seed >= 0 else None,
            observations=np.concatenate([episode.observations, episode.next_observations[-1:]]),
            actions=episode.actions,
            rewards=episode.rewards,
            terminations=episode.terminals,
            truncations=episode.timeouts,
            infos={name: _one_more(rows, last=name in before) for name, rows in episode.infos.items()} or None,
        )


def _one_more(rows: Array, *, last: bool) -> Array:
    """Infos with the row that we have not: after the last action, or of the reset; NaN, or zero where there is none."""
    filler = np.full_like(rows[:1], np.nan if rows.dtype.kind == "f" else 0)
    return np.concatenate([rows, filler] if last else [filler, rows])


def _attributes(dataset: Dataset) -> Iterator[dict[str, Any]]:
    left = _too_large(dataset)
    for number in range(dataset.n_episodes):
        kept = {name: value for name, value in per_episode_of(dataset, number).items() if name not in left}
        yield {f"{FACTS}/{name}": value for name, value in kept.items()}


def _too_large(dataset: Dataset) -> list[str]:
    """What is true of whole episodes and has more bytes than an HDF5 attribute can."""
    shapes = {name: dataset.shape(name)[1:] for name in dataset.array_names if name.startswith("episodes/")}
    return [
        name.removeprefix("episodes/")
        for name, shape in shapes.items()
        if math.prod(shape) * dataset.dtype(name).itemsize > _MAX_ATTRIBUTE
    ]


@contextmanager
def _whole_folder(place: Path, *, overwrite: bool) -> Iterator[Path]:
    """A hidden folder beside the final one, which gets its name when the block ends, and is gone where it fails."""
    if place.exists() and not overwrite:
        raise DatasetError(f"{place} exists already", "Choose another id, or replace it with --force.")
    part, old = (place.with_name(f".{place.name}.{word}") for word in ("part", "old"))
    made = _make(place, part)
    try:
        yield part
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            place.rename(old)
        part.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        _unmake(part, made)
        raise cannot_write(place, error, DatasetError, done="; nothing was left behind") from error
    except BaseException:
        _unmake(part, made)
        raise


def _make(place: Path, part: Path) -> list[Path]:
    """Make the folder, and say which of those above it were made for it, the innermost first."""
    made = [folder for folder in place.parents if not folder.exists()]
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(place, error, DatasetError) from error
    return made


def _unmake(part: Path, made: list[Path]) -> None:
    shutil.rmtree(part, ignore_errors=True)
    for folder in made:
        if not any(folder.iterdir()):
            folder.rmdir()


def _name_namespaces(place: Path, dataset_id: str) -> None:
    """Minari knows a namespace by a file in its folder."""
    folder = place
    for _ in range(dataset_id.count("/")):
        folder = folder.parent
        marker = folder / "namespace_metadata.json"
        if not marker.exists():
            marker.write_text("{}", encoding="utf-8")
