"""Which rows of a ring of transitions follow each other in an episode, whoever wrote them and in however many pieces.

Several collecting environments write their shares of a round one behind the other, so an episode that goes on lies in
pieces all over the ring, and the oldest rows are overwritten. A row is therefore given a number that only says which
episode it belongs to and the how-manieth of it it is; a sorted table of pieces turns such numbers back into rows.
What comes later in an episode was written later, and so is overwritten later: every row that is still there has its
whole known future still there.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDictBase

from awac_tr.keys import DONE, EPISODE

__all__ = ["EpisodeIndex"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Array = np.ndarray[Any, Any]

_TRAJECTORY: Final = ("collector", "traj_ids")
"""TorchRL's collectors' own number for an episode."""

_SHIFT: Final = 40
"""A number is an episode's ordinal times 2**40, plus the step within the episode."""

_PIECE: Final = np.dtype(
    [("number", "i8"), ("row", "i8"), ("size", "i8"), ("written", "i8"), ("episode", "i8"), ("open", "?")]
)
"""Rows of one episode side by side in the ring (modulo its length): number and place of the first, how many, rows ever
written up to its last, the name the episode was given, and whether rows may yet follow the last one."""


class EpisodeIndex:
    """Knows the later rows of each row's episode; costs an array operation or two a batch, never one a transition.

    Args:
        capacity: rows of the ring; the oldest are overwritten.
        device: where rows are asked for.
    """

    def __init__(self, capacity: int, *, device: torch.device | str = "cpu") -> None:
        self._capacity, self._device = capacity, torch.device(device)
        self.clear()

    def clear(self) -> None:
        """Know of no row."""
        self._written = self._episodes = self._ended = 0
        self._pieces: Array = np.empty(0, _PIECE)
        self._numbers = torch.zeros(self._capacity, dtype=torch.int64, device=self._device)
        self._index()

    def note(self, rows: torch.Tensor, batch: TensorDictBase) -> None:
        """Keep track of rows that were written.

        Args:
            rows: where they went, [N] int64.
            batch: them. ``episode`` (or TorchRL's ``("collector", "traj_ids")``) names the episode of each; without
                it they are those of one environment, in order, and the first may go on with the last one's episode.

        Raises:
            ValueError: there are no names, and rows of several environments.
        """
        done = batch.get(DONE).reshape(-1).cpu().numpy()[-len(rows) :]
        names = batch.get(EPISODE, None)
        names = batch.get(_TRAJECTORY, None) if names is None else names
        if names is None and batch.ndim > 1:
            raise ValueError(f"transitions of shape {tuple(batch.batch_size)} need {EPISODE!r} to tell episodes apart")
        if names is None:
            # negative, so that they are no collector's
            episodes = -1 - self._ended - (np.cumsum(done) - done)
            self._ended += int(done.sum())
        else:
            episodes = names.reshape(-1).cpu().numpy()[-len(rows) :]
        self.add(rows, episodes.astype(np.int64), done)

    def add(self, rows: torch.Tensor, episodes: Ints, done: Bools) -> None:
        """Note rows that were just written.

        Args:
            rows: where they went, [N] int64, one behind the other modulo the capacity; N is at most the capacity.
            episodes: [N] name of each row's episode: rows of one name, in this and in later calls, follow each other.
            done: [N] the episode ends with this row; its name is not used again.

        Raises:
            ValueError: a name is used after its episode's end.
        """
        new = self._cut(int(rows[0]), episodes, done)
        bases = self._continue(new)
        numbers = np.repeat(bases, new["size"]) + _counted(new["size"])
        new["number"] = bases
        self._written += len(episodes)
        pieces = np.concatenate([self._pieces, new])
        pieces = pieces[pieces["written"] > self._written - self._capacity]
        self._pieces = pieces[np.argsort(pieces["number"], kind="stable")]
        self._numbers[rows.to(self._device)] = torch.from_numpy(numbers).to(self._device)
        self._index()

    def later(self, rows: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """For each row a row of the same episode that is not before it.

        Args:
            rows: [M] int64, rows that were written.
            share: [M] float64 in [0, 1): how far between the row itself (0) and the newest one of its episode.

        Returns:
            [M] int64; with uniform shares, uniform over the row itself and all later rows of its episode.
        """
        number, end = self._place(rows)
        ahead = end - number
        # rounding may carry a share just below 1 to 1
        chosen = number + torch.minimum((share * ahead).long(), ahead - 1)
        return self._row_of(chosen)

    def after(self, rows: torch.Tensor, steps: int) -> torch.Tensor:
        """For each row the one so many steps later in its episode; -1 where there is none, or none yet.

        Args:
            rows: [M] int64, rows that were written.
            steps: at least 0.
        """
        number, end = self._place(rows)
        there = number + steps < end
        chosen = torch.where(there, number + steps, number)
        return torch.where(there, self._row_of(chosen), -1)

    def names(self, rows: torch.Tensor) -> torch.Tensor:
        """Of each row its episode's ordinal, [M] int64: equal for rows of one episode, and for no others."""
        return self._numbers[rows] >> _SHIFT

    def whole(self) -> torch.Tensor:
        """Ordinals of the episodes that have ended and of which every row is still there, [E] int64, in order."""
        first = self._starts & ((1 << _SHIFT) - 1) == 0
        under_way = self._pieces["number"][self._pieces["open"]] >> _SHIFT
        begun = (self._starts >> _SHIFT)[first]
        return begun[~torch.isin(begun, torch.from_numpy(under_way).to(begun))]

    def rows_of(self, episode: int) -> torch.Tensor:
        """All rows of a whole episode in order, [T] int64."""
        bounds = torch.tensor([episode << _SHIFT, (episode + 1) << _SHIFT], device=self._device)
        first, behind = torch.searchsorted(self._starts, bounds).tolist()
        count = int(self._starts[behind - 1] + self._sizes[behind - 1] - self._starts[first])
        return self._row_of(self._starts[first] + torch.arange(count, device=self._device))

    def in_order(self, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows 0 to ``rows``, episode by episode, each episode's in order.

        Returns:
            Their numbers [rows] int64, and whether each is the last of its episode that is there, [rows] bool.
        """
        numbers, index = torch.sort(self._numbers[:rows])
        episode = numbers >> _SHIFT
        last = torch.ones(rows, dtype=torch.bool, device=self._device)
        last[:-1] = episode[1:] != episode[:-1]
        return index, last

    def _place(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each row its number, and the one behind the newest of its episode."""
        number = self._numbers[rows]
        last = torch.searchsorted(self._starts, ((number >> _SHIFT) + 1) << _SHIFT) - 1
        return number, self._starts[last] + self._sizes[last]

    def _row_of(self, numbers: torch.Tensor) -> torch.Tensor:
        piece = torch.searchsorted(self._starts, numbers, right=True) - 1
        return (self._rows[piece] + numbers - self._starts[piece]) % self._capacity

    def _cut(self, first: int, episodes: Ints, done: Bools) -> Array:
        """New rows as pieces; their numbers are still to be found."""
        goes_on = episodes[1:] == episodes[:-1]
        if (goes_on & done[:-1]).any():
            raise ValueError("rows follow the end of their episode")
        begins = np.concatenate([[0], np.flatnonzero(~goes_on) + 1])
        ends = np.append(begins[1:], len(episodes))
        new: Array = np.empty(len(begins), _PIECE)
        new["row"], new["size"] = (first + begins) % self._capacity, ends - begins
        new["written"] = self._written + ends
        new["episode"], new["open"] = episodes[begins], ~done[ends - 1]
        return new

    def _continue(self, new: Array) -> Ints:
        """Numbers of the first rows of new pieces: behind those of the same episode, old or new, or of a fresh one.

        Marks the pieces that are continued as such.
        """
        names, at, which = np.unique(new["episode"], return_index=True, return_inverse=True)
        bases = np.empty(len(names), np.int64)
        known = self._known(names)
        old = self._pieces[known[known >= 0]]
        bases[known >= 0] = old["number"] + old["size"]
        self._pieces["open"][known[known >= 0]] = False
        fresh = np.flatnonzero(known < 0)
        fresh = fresh[np.argsort(at[fresh])]
        bases[fresh] = (self._episodes + np.arange(len(fresh))) << _SHIFT
        self._episodes += len(fresh)
        order = np.argsort(which, kind="stable")
        sizes = new["size"][order]
        before = np.cumsum(sizes) - sizes
        last = np.append(which[order][1:] != which[order][:-1], True)  # of its episode's pieces
        if not (new["open"][order] | last).all():
            raise ValueError("rows follow the end of their episode")
        new["open"][order] &= last
        start = before[np.concatenate([[True], last[:-1]])]
        numbers: Ints = np.empty(len(new), np.int64)
        numbers[order] = bases[which[order]] + before - start[which[order]]
        return numbers

    def _known(self, names: Ints) -> Ints:
        """The newest piece of each episode that is under way, by its place among the pieces; -1: there is none."""
        places = np.flatnonzero(self._pieces["open"])
        places = places[np.argsort(self._pieces["episode"][places])]
        found: Ints = np.full(len(names), -1, np.int64)
        if len(places):
            under_way = self._pieces["episode"][places]
            spot = np.minimum(np.searchsorted(under_way, names), len(places) - 1)
            same = under_way[spot] == names
            found[same] = places[spot[same]]
        return found

    def _index(self) -> None:
        """What :meth:`later` looks into, on its device."""
        columns = (self._pieces[name].copy() for name in ("number", "row", "size"))
        self._starts, self._rows, self._sizes = (torch.from_numpy(column).to(self._device) for column in columns)


def _counted(sizes: Ints) -> Ints:
    """0, 1, ... within each of pieces of these sizes, one piece behind the other."""
    total = int(sizes.sum())
    return np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
