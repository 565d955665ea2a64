"""From dataset files into TorchRL's replay buffer, the one buffer of Algorithm 1."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.data import RandomSampler, TensorDictReplayBuffer

from awac_tr.buffers.episode_index import EpisodeIndex
from awac_tr.buffers.held_out import HeldOut
from awac_tr.buffers.hindsight import Hindsight, goal_rule_of
from awac_tr.buffers.loading import demonstration_rows, load_transitions, open_all, read_rows
from awac_tr.buffers.sampling import MixedSampler, NStep, Sampling
from awac_tr.buffers.storage import MappedRows, RowStorage, draw
from awac_tr.data.storage.action_reader import ActionRules, OutOfBounds
from awac_tr.errors import DatasetError
from awac_tr.keys import ACTION, DEMONSTRATIONS, DISK_TO_MEMORY, DONE, EXTRA, GOALS, OBSERVATION, TRUNCATED

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.envs.goal_rule import GoalRule

__all__ = [
    "TransitionBuffer",
    "build_buffer",
    "load_buffer",
    "load_transitions",
    "observation_statistics",
    "select_transitions",
]

_log = logging.getLogger(__name__)

_CONSTANT: Final = 1e-6
_SUMMED_ROWS: Final = 1 << 13
_KEYS: Final = (*DISK_TO_MEMORY.values(), DONE)


def load_buffer(
    paths: Sequence[str | Path],
    capacity: int,
    batch_size: int | None = None,
    *,
    env: EnvInfo | None = None,
    action_margin: float = 0.0,
    out_of_bounds: OutOfBounds = None,
    storage: Literal["memory", "memmap"] = "memory",
    folder: str | Path = ".",
    growth: int | None = None,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
    sampling: Sampling | None = None,
    held_out: float = 0.0,
    seed: int = 0,
) -> TransitionBuffer:
    """Read and validate dataset files straight into a replay buffer, block by block.

    Beside the buffer there is never more than a block of rows in memory, so with ``storage="memmap"`` the files may be
    larger than the memory.

    Args:
        paths: as of :func:`load_transitions`.
        capacity: as of :func:`build_buffer`.
        batch_size: as of :func:`build_buffer`.
        env: as of :func:`load_transitions`.
        action_margin: as of :func:`load_transitions`.
        out_of_bounds: as of :func:`load_transitions`.
        storage: where rows are kept: in memory on the device, or in mapped files.
        folder: for the mapped files; nothing of them is left there.
        growth: rows that will be added at most, so that mapped files take no more of the disk; None: to the capacity.
        device: where samples appear.
        generator: as of :func:`build_buffer`.
        sampling: how batches are made of rows; with hindsight the rows hold the goals of the files too. None: rows.
        held_out: share of the episodes that are not put into the buffer, but into its ``held_out``.
        seed: of that choice.

    Raises:
        DatasetError: as of :func:`load_transitions`; or the buffer is too small, or the disk; or the files have no
            goals, or rewards that do not follow from them; or none of them are demonstrations that are asked for.
        RecipeError: hindsight without a goal environment.
    """
    sampling = sampling or Sampling()
    rule = goal_rule_of(env) if sampling.relabels else None
    with ExitStack() as files:
        datasets = open_all(files, paths)
        rows = sum(dataset.n_transitions for dataset in datasets)
        _refuse_too_many(rows, capacity)
        if sampling.offline_share is not None and growth is not None:
            # a ring would write over the offline rows first
            _refuse_too_many(rows + growth, capacity)
        size = capacity if growth is None else min(capacity, rows + growth)
        mapped = storage == "memmap"
        kept = MappedRows(size, folder=Path(folder), device=device) if mapped else RowStorage(capacity, device=device)
        buffer = TransitionBuffer(
            storage=kept, batch_size=batch_size, generator=generator, sampling=sampling, rule=rule
        )
        apart = HeldOut(held_out, seed, buffer.extend)
        take = apart if held_out else buffer.extend
        read_rows(datasets, env, ActionRules(action_margin, out_of_bounds), take, rule)
        if not len(buffer):
            raise DatasetError(f"all {apart.episodes} episodes are held out", "make data.held_out smaller.")
        buffer.held_out = apart.rows
        if held_out:
            _log.info("%d episodes are held out, %d transitions", apart.episodes, len(apart.rows))
        buffer.end_of_offline_rows(demonstration_rows(datasets) if sampling.demonstrations else None)
        return buffer


def select_transitions(data: TensorDictBase, *, goals: bool = False) -> TensorDictBase:
    """Our seven keys of any batch of transitions, as rows; whatever else a collector adds is left behind.

    Args:
        data: TensorDict with those keys, of any batch size ([N], [environments, T] ...).
        goals: keep the three keys of goals as well.

    Returns:
        A new TensorDict of batch size [N] that shares the tensors; ``data`` is not changed.

    Raises:
        KeyError: one of the keys is missing; ``terminated`` is never guessed from ``done``.
    """
    return data.select(*_KEYS, *(GOALS.values() if goals else ()), strict=True).reshape(-1)


class TransitionBuffer(TensorDictReplayBuffer):
    """A TorchRL buffer of transitions that takes what a collector gives and keeps :func:`select_transitions` of it.

    Args:
        sampling: how batches are made of rows; what ``buffer[...]`` reads stays as it was recorded. None: rows.
        rule: of the goals, with hindsight.
        **options: of TorchRL's buffer, without ``sampler``.

    Attributes:
        held_out: rows [N] of offline episodes that were not added.
    """

    def __init__(self, *, sampling: Sampling | None = None, rule: GoalRule | None = None, **options: Any) -> None:
        self.sampling = sampling or Sampling()
        share = self.sampling.offline_share
        super().__init__(sampler=RandomSampler() if share is None else MixedSampler(share), **options)
        where = "cpu" if isinstance(self._storage, MappedRows) else self._storage.device
        follows = self.sampling.follows_episodes
        self._episodes = EpisodeIndex(self._storage.max_size, device=where) if follows else None
        self._demonstrations: torch.Tensor | None = None
        self.held_out = TensorDict({}, batch_size=[0])
        self._changes = list(self._changes_of(rule))

    def _changes_of(self, rule: GoalRule | None) -> Iterator[Callable[[TensorDictBase, torch.Tensor], None]]:
        """What is done to a batch [B] of copies of the rows [B], in order."""
        sampling, episodes = self.sampling, self._episodes
        if sampling.relabels and rule is not None and sampling.hindsight is not None and episodes is not None:
            hindsight = Hindsight(rule, sampling.hindsight, episodes)
            yield lambda batch, index: hindsight.relabel(batch, index, self._storage, self._rng)
        if sampling.n_steps > 1 and episodes is not None:
            n_step = NStep(sampling.n_steps, sampling.gamma, episodes)
            yield lambda batch, index: n_step.apply(batch, index, self._storage)
        if sampling.keys:
            yield self._add_keys

    def end_of_offline_rows(self, demonstrations: torch.Tensor | None = None) -> None:
        """Say that all rows so far are the offline ones.

        Args:
            demonstrations: numbers of those of them that are demonstrations, [M] int64.
        """
        if isinstance(self._sampler, MixedSampler):
            self._sampler.offline_rows = len(self)
        self._demonstrations = demonstrations

    def empty(self, empty_write_count: bool = True) -> None:  # noqa: FBT001, FBT002  (as in TorchRL)
        """Forget all rows; what is added next has no offline rows before it."""
        super().empty(empty_write_count)
        if self._episodes is not None:
            self._episodes.clear()
        self.end_of_offline_rows()

    @property
    def demonstrations(self) -> TensorDictBase | None:
        """A copy of the rows that are demonstrations, [M]; None where nobody asked for them."""
        return None if self._demonstrations is None else self._storage.get(self._demonstrations)

    def extend(self, tensordicts: TensorDictBase, *, update_priority: bool | None = None) -> torch.Tensor:
        """Add transitions.

        Args:
            tensordicts: batch of transitions of any batch size, with any other keys. With hindsight they have goals.
                Where episodes are followed, they tell them as :meth:`EpisodeIndex.note` says.
            update_priority: as in TorchRL.

        Returns:
            Where the rows went, [N] int64. Of more rows than the buffer holds only the newest are written.
        """
        rows = select_transitions(tensordicts, goals=self.sampling.relabels)[-self._storage.max_size :]
        index: torch.Tensor = super().extend(rows, update_priority=update_priority)
        if self._episodes is not None:
            self._episodes.note(index, tensordicts)
        return index

    def _sample(self, batch_size: int) -> tuple[Any, dict[str, Any]]:
        batch, info = super()._sample(batch_size)
        for change in self._changes:
            change(batch, info["index"])
        if self._demonstrations is not None:
            drawn = draw(len(self._demonstrations), batch_size, self._rng)
            rows = self._demonstrations[drawn.to(self._demonstrations.device)]
            batch.set(DEMONSTRATIONS, self._storage.get(rows))
        return batch, info

    def sample_trajectories(self, rows: int) -> TensorDictBase:
        """Whole episodes, drawn without replacement, one after another.

        Args:
            rows: at least so many in all, unless there are fewer; at least one episode.

        Returns:
            A batch of transitions [N], rows of an episode in order.

        Raises:
            DatasetError: no whole episode is there.
        """
        episodes = self._episodes
        whole = torch.empty(0) if episodes is None else episodes.whole()
        if episodes is None or not len(whole):
            raise DatasetError("the buffer holds no whole episode", "Raise buffer.capacity above an episode's length.")
        generator = self._rng
        device = "cpu" if generator is None else generator.device
        chosen: list[torch.Tensor] = []
        for drawn in torch.randperm(len(whole), generator=generator, device=device).tolist():
            chosen.append(episodes.rows_of(int(whole[drawn])))
            if sum(map(len, chosen)) >= rows:
                break
        index = torch.cat(chosen)
        batch: TensorDictBase = self._storage.get(index)
        if self.sampling.keys:
            self._add_keys(batch, index)
        return batch

    def in_order(self) -> TensorDictBase:
        """All rows [N], episode by episode, each episode's in order: a copy, on the device of samples.

        The last row of an episode under way is ``truncated`` and ``done`` here: whoever follows the rows must not go on
        into another episode. Of an episode whose first rows were overwritten the others are there.

        Raises:
            DatasetError: it is not known which rows follow each other.
        """
        if self._episodes is None:
            raise DatasetError("the buffer does not follow episodes", "The algorithm has to ask for them: Needs.")
        index, last = self._episodes.in_order(len(self))
        batch: TensorDictBase = self._storage.get(index)
        cut = (last.to(batch.get(DONE).device).unsqueeze(-1)) & ~batch.get(DONE)
        for key in (TRUNCATED, DONE):
            batch.set(key, batch.get(key) | cut)
        return batch

    def _add_keys(self, batch: TensorDictBase, index: torch.Tensor) -> None:
        if self._episodes is None:
            return
        for name in self.sampling.keys:
            if name == "episode":
                batch.set(EXTRA[name], self._episodes.names(index).unsqueeze(-1))
            if name == "next_action":
                following = self._episodes.after(index, 1)
                batch.set(EXTRA[name], self._storage.column(ACTION, torch.where(following < 0, index, following)))


def build_buffer(
    transitions: TensorDictBase,
    capacity: int,
    batch_size: int | None = None,
    *,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> TransitionBuffer:
    """A replay buffer on a device, filled with transitions.

    Args:
        transitions: what :func:`load_transitions` returned.
        capacity: rows the buffer holds; the oldest are overwritten after that.
        batch_size: rows of a sample; None: said at every ``sample(rows)``.
        device: where rows are kept and samples appear.
        generator: source of randomness of the sampler, on the same device; None: torch's global one.

    Raises:
        DatasetError: there are more transitions than the buffer holds.
    """
    _refuse_too_many(len(transitions), capacity)
    buffer = TransitionBuffer(storage=RowStorage(capacity, device=device), batch_size=batch_size, generator=generator)
    buffer.extend(transitions)
    return buffer


def _refuse_too_many(rows: int, capacity: int) -> None:
    if rows > capacity:
        message = f"{rows:,} transitions do not fit into a buffer of {capacity:,}"
        raise DatasetError(message, "Raise buffer.capacity, or load less.")


def observation_statistics(transitions: TensorDictBase | TransitionBuffer) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each observation entry, summed in float64, block by block.

    Args:
        transitions: batch or buffer with ``observation`` [N, o].

    Returns:
        (mean [o], deviation [o]), float32. An entry that does not vary (deviation below 1e-6) gets deviation 1, so that
        standardising only centres it.
    """
    rows = len(transitions)

    def blocks() -> Iterator[torch.Tensor]:
        for start in range(0, rows, _SUMMED_ROWS):
            yield transitions[start : start + _SUMMED_ROWS].get(OBSERVATION).double()

    mean = sum(block.sum(dim=0) for block in blocks()) / rows
    variance = sum(((block - mean) ** 2).sum(dim=0) for block in blocks()) / rows
    deviation = torch.as_tensor(variance).sqrt()
    deviation = torch.where(deviation < _CONSTANT, torch.ones_like(deviation), deviation)
    return torch.as_tensor(mean).float(), deviation.float()
