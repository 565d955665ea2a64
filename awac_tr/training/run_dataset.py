"""What a run collected online, as a dataset: "prior runs of RL" are data for the next one (section 1 of the paper)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from tensordict import TensorDict

from awac_tr.data.format.meta import Parent
from awac_tr.data.recording.torchrl_sink import DatasetSink
from awac_tr.errors import CheckpointError, DatasetError
from awac_tr.recipes.schema import EnvSection, FoundEnv
from awac_tr.training.checkpoint import OnlineParts, Saved, read_newest
from awac_tr.training.run_folder import RunFolder

__all__ = ["RunDataset", "dataset_from_run"]

_LANE: Final = ("collector", "traj_ids")


@dataclass(frozen=True)
class RunDataset:
    """What was written.

    Attributes:
        path: the file.
        content_hash: over its arrays.
        episodes: how many.
        transitions: how many.
        cut: of the episodes, those that were under way at the last checkpoint, or broken off; they end in a timeout.
        env_step: environment steps of the run up to its last checkpoint.
    """

    path: Path
    content_hash: str
    episodes: int
    transitions: int
    cut: int
    env_step: int


def dataset_from_run(
    run: str | Path,
    out: str | Path,
    *,
    licence: str = "",
    description: str = "",
    overwrite: bool = False,
    trust: bool = False,
) -> RunDataset:
    """Write the online episodes of a run up to its last checkpoint as a dataset.

    The run may be finished, stopped or still going; nothing of it is changed. Rewards are the environment's, actions
    those that it executed. The datasets the run was trained on are noted as parents; they are not copied.

    Args:
        run: its folder.
        out: the file to make.
        licence: of the data, SPDX where possible.
        description: of the new file; empty: one that names the run.
        overwrite: replace ``out``.
        trust: code and files that the run names for its environment may be used, to ask for the bounds of its actions.

    Raises:
        AwacError: ``run`` is no run folder.
        UntrustedCodeError: its environment is made by code that nobody said to trust.
        CheckpointError: no checkpoint can be read.
        DatasetError: the run collected nothing, or ``out`` cannot be written.
    """
    folder = RunFolder(Path(run))
    folder.require_run()
    saved = read_newest(folder, OnlineParts(folder))
    if saved is None:
        raise CheckpointError(
            f"{folder.path} has no checkpoint yet", "one is written at the border between the phases."
        )
    if not saved.transitions:
        raise DatasetError(
            f"{folder.path} collected nothing online up to its last checkpoint",
            "a run with online.steps above 0 has online episodes once its first online checkpoint is written.",
        )
    env = FoundEnv.from_plain(saved.content["env"]).checked(folder.path, trust=trust)
    with _sink(saved, folder, out, env, licence=licence, description=description, overwrite=overwrite) as sink:
        for lane in _lanes(saved):
            sink.extend(lane)
    counts = sink.counts
    steps = saved.content["progress"]["env_step"]
    return RunDataset(Path(out), sink.content_hash, counts.episodes, counts.transitions, counts.cut, steps)


def _sink(
    saved: Saved, folder: RunFolder, out: str | Path, env: EnvSection, *, description: str, **options: Any
) -> DatasetSink:
    content = saved.content
    recipe, info = content["recipe"], content["info"]
    policy = f"{info['algorithm']} while it learns, run {folder.path.name}"
    noted = {"run": folder.path.name, "recipe": recipe["name"]}
    noted |= {name: info[name] for name in ("algorithm", "update", "env_step")}
    return DatasetSink(
        out,
        source="run",
        env=env,
        policy=policy,
        seed=recipe["seed"],
        description=description or f"Online episodes of {policy}.",
        parents=[Parent(name, digest) for name, digest in content["datasets"].items()],
        extra={"made_by": {"verb": "from-run", **noted}},
        on_error="drop",
        **options,
    )


def _lanes(saved: Saved) -> Iterator[TensorDict]:
    """The transitions of each environment in each round, in the order of time.

    A round's steps are shared out to ``collect.workers`` environments, whose shares stand one behind the other. A part
    on disk holds whole rounds, of which the last one before a resume may be short.
    """
    recipe = saved.content["recipe"]
    workers, steps = recipe["collect"]["workers"], recipe["online"]["steps_per_round"]
    for round_ in (round_ for part in saved.transitions for round_ in part.split(steps)):
        for worker, share in enumerate(round_.tensor_split(workers) if workers > 1 else [round_]):
            if len(share):
                lane = share.copy()
                yield lane.set(_LANE, torch.full(lane.batch_size, worker, dtype=torch.int64))
