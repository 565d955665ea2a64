"""Behaviour cloning of datasets, stopped on the likelihood of episodes it never saw.

Observations are standardised by the statistics of the data it trains on, which travel in the checkpoint; whole episodes
are held out, because neighbouring rows of one episode are near copies of each other. The parameters kept are those with
the best held-out loss.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from awac_tr.algorithms.bc.learner import cloning_learner
from awac_tr.buffers.buffer import load_transitions, observation_statistics
from awac_tr.data.storage.reader import open_dataset
from awac_tr.keys import ACTION, DONE, OBSERVATION
from awac_tr.models.build import build_policy, inner_margin, set_observation_statistics
from awac_tr.policies.checkpoint import policy_entry, save_checkpoint
from awac_tr.utils.threads import intra_op_threads

if TYPE_CHECKING:
    from awac_tr.algorithms.gradient_learner import GradientLearner
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.recipes.cards import CloneFit
    from awac_tr.recipes.schema import PolicySection

__all__ = ["CloneProgress", "CloneReport", "clone", "clone_path"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CloneProgress:
    """What a check tells.

    Attributes:
        update: updates done.
        train_loss: mean loss of the batches since the last check.
        validation_loss: loss of the held-out episodes; None where nothing is held out.
        best: the smallest held-out loss so far; None where nothing is held out.
    """

    update: int
    train_loss: float
    validation_loss: float | None
    best: float | None


@dataclass(frozen=True)
class CloneReport:
    """How a clone was made.

    Attributes:
        path: the checkpoint.
        updates: gradient steps made.
        best_update: the step whose parameters were kept.
        train_loss: mean loss of the batches up to that step's check, since the check before.
        validation_loss: loss of the held-out episodes with the kept parameters; None where nothing was held out.
        episodes: episodes trained on, and held out.
        transitions: transitions trained on, and held out.
        seconds: wall time.
    """

    path: Path
    updates: int
    best_update: int
    train_loss: float
    validation_loss: float | None
    episodes: tuple[int, int]
    transitions: tuple[int, int]
    seconds: float


def clone_path(dataset: Path) -> Path:
    """Where the clone that made a dataset is kept.

    >>> clone_path(Path("door-bc.hdf5")).name
    'door-bc.clone.pt'
    """
    return dataset.with_name(dataset.stem + ".clone.pt")


def clone(
    dataset_paths: Sequence[str | Path],
    env: EnvInfo,
    spec: PolicySection,
    section: CloneFit,
    *,
    seed: int,
    max_updates: int,
    batch_size: int,
    out: str | Path,
    observation_noise: float = 0.0,
    on_check: Callable[[CloneProgress], None] | None = None,
) -> CloneReport:
    """Clone the behaviour in datasets, and save the clone.

    Args:
        dataset_paths: files of format 1, all of this environment's sizes.
        env: the task.
        spec: the policy to build.
        section: loss, learning rate, share of episodes held out, patience.
        seed: of the split, of the initial weights and of the batches.
        max_updates: gradient steps at most.
        batch_size: transitions a step.
        out: where the checkpoint goes.
        observation_noise: deviation of the Gaussian noise added to observations in training, in units of each entry's
            own deviation. A clone that has seen its data blurred keeps to it from further away.
        on_check: called after each held-out check.

    Raises:
        DatasetError: a file cannot be used, or belongs to another task.
        CheckpointError: the clone cannot be written.
    """
    start = time.perf_counter()
    data = load_transitions(list(dataset_paths), env=env, action_margin=inner_margin(spec))
    low, high = _action_bounds(dataset_paths[0], env)
    # one thread: sums over several come out in another order, and a dataset's hash hangs on these weights
    with torch.random.fork_rng(devices=[]), intra_op_threads(1):
        torch.manual_seed(seed)
        split = _Split.of(data, section.validation_fraction, np.random.default_rng(seed))
        module = build_policy(spec, env.observation_size, env.action_size, action_low=low, action_high=high)
        mean, deviation = observation_statistics(split.train)
        set_observation_statistics(module, mean, deviation)
        fitting = _Fitting(cloning_learner(module, section), section, split, batch_size, observation_noise * deviation)
        fitting.run(max_updates, on_check)
    report = fitting.report(Path(out), time.perf_counter() - start)
    sizes: dict[str, Any] = {"observation_size": env.observation_size, "action_size": env.action_size}
    entry = policy_entry(module, spec, **sizes, action_low=low, action_high=high)
    info = _info(report, dataset_paths, section, seed, batch_size)
    save_checkpoint(out, {"kind": "policy", "policy": entry, "env": env.env.to_plain(), "info": info})
    return report


def _info(
    report: CloneReport, paths: Sequence[str | Path], section: CloneFit, seed: int, batch_size: int
) -> dict[str, Any]:
    parents = []
    for path in paths:
        with open_dataset(path) as dataset:
            parents.append({"name": Path(path).stem, "hash": dataset.content_hash, "source": dataset.meta.source})
    facts = {key: value for key, value in asdict(report).items() if key not in ("path", "seconds")}
    return {
        "algorithm": "bc",
        "parents": parents,
        "seed": seed,
        "batch_size": batch_size,
        "bc": section.model_dump(mode="json"),
        "clone": facts,
    }


def _action_bounds(path: str | Path, env: EnvInfo) -> tuple[np.ndarray, np.ndarray]:
    """The environment's, to whose units the data was converted; the file's where they were not looked at."""
    with open_dataset(path) as dataset:
        low, high = env.action_bounds or (dataset.meta.action_low, dataset.meta.action_high)
        return np.asarray(low, np.float32), np.asarray(high, np.float32)


@dataclass(frozen=True)
class _Split:
    """Transitions of the episodes trained on and of those held out (None: nothing held out)."""

    train: TensorDict
    held_out: TensorDict | None
    episodes: tuple[int, int]

    @classmethod
    def of(cls, data: TensorDict, fraction: float, generator: np.random.Generator) -> _Split:
        done = data[DONE].reshape(-1)
        # an episode's number is the count of ends before it, so its last row still belongs to it
        number = torch.cumsum(done, 0) - done.long()
        total = int(number[-1]) + 1
        count = min(max(1, round(fraction * total)), total - 1) if fraction > 0 else 0
        if count == 0:
            if fraction > 0:
                _log.warning("One episode only, so none is held out: all updates are made, without early stopping.")
            return cls(data, None, (total, 0))
        chosen = torch.from_numpy(generator.permutation(total)[:count])
        mask = torch.isin(number, chosen)
        return cls(data[~mask], data[mask], (total - count, count))


class _Fitting:
    """The gradient steps, and the memory of the best parameters."""

    def __init__(
        self, learner: GradientLearner, section: CloneFit, split: _Split, batch_size: int, blur: Tensor
    ) -> None:
        self.learner, self.section, self.split = learner, section, split
        self.blur = blur if bool(blur.any()) else None
        self.batch_size = min(batch_size, len(split.train))
        # two plain tensors are indexed several times faster than a TensorDict
        self.observations, self.actions = split.train[OBSERVATION], split.train[ACTION]
        self.best: float | None = None if split.held_out is None else float("inf")
        self.best_state = copy.deepcopy(learner.loss.state_dict())
        self.updates = self.best_update = 0
        self.train_loss = self.best_train_loss = float("nan")

    def run(self, max_updates: int, on_check: Callable[[CloneProgress], None] | None) -> None:
        waited = 0
        while self.updates < max_updates and waited < self.section.patience:
            self.train_loss = self._steps(min(self.section.check_every, max_updates - self.updates))
            held_out = self._held_out_loss()
            better = held_out is None or self.best is None or held_out < self.best
            waited = 0 if better else waited + 1
            if better:
                self._remember(held_out)
            if on_check is not None:
                on_check(CloneProgress(self.updates, self.train_loss, held_out, self.best))
        self.learner.loss.load_state_dict(self.best_state)
        _log.info("Cloned: %d updates, kept the parameters of update %d.", self.updates, self.best_update)

    def _steps(self, count: int) -> float:
        total = torch.zeros(())
        for _ in range(count):
            rows = torch.randint(len(self.observations), (self.batch_size,))
            observations = self.observations[rows]
            if self.blur is not None:
                observations = observations + self.blur * torch.randn_like(observations)
            total += self.learner.update(_batch(observations, self.actions[rows]))["loss_actor"]
        self.updates += count
        return float(total / count)

    @torch.no_grad()
    def _held_out_loss(self) -> float | None:
        held_out = self.split.held_out
        if held_out is None:
            return None
        return float(self.learner.loss(_batch(held_out[OBSERVATION], held_out[ACTION]))["loss_actor"])

    def _remember(self, held_out: float | None) -> None:
        self.best, self.best_update, self.best_train_loss = held_out, self.updates, self.train_loss
        self.best_state = copy.deepcopy(self.learner.loss.state_dict())

    def report(self, path: Path, seconds: float) -> CloneReport:
        held_out = self.split.held_out
        return CloneReport(
            path=path,
            updates=self.updates,
            best_update=self.best_update,
            train_loss=self.best_train_loss,
            validation_loss=self.best,
            episodes=self.split.episodes,
            transitions=(len(self.split.train), 0 if held_out is None else len(held_out)),
            seconds=seconds,
        )


def _batch(observations: Tensor, actions: Tensor) -> TensorDict:
    return TensorDict({OBSERVATION: observations, ACTION: actions}, batch_size=[len(observations)])
