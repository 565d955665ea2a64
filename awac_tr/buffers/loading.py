"""Rows of dataset files as TensorDicts: validated, in their order, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from tensordict import TensorDict

from awac_tr.data.storage.action_reader import ActionReader, ActionRules, OutOfBounds, refuse_other_units
from awac_tr.data.storage.goal_arrays import GOAL_ARRAYS, GoalArrays
from awac_tr.data.storage.reader import Dataset, open_dataset
from awac_tr.data.storage.views import as_tensordict
from awac_tr.data.validation.validate import scan
from awac_tr.errors import DatasetError
from awac_tr.keys import GOALS

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo
    from awac_tr.envs.goal_rule import GoalRule

__all__ = ["demonstration_rows", "load_transitions", "open_all", "read_rows"]

Array = np.ndarray[Any, Any]

_DEMONSTRATED: Final = ("demos", "import", "teleop")
"""Sources of datasets that hold demonstrations; what others recorded is taken for some."""


def load_transitions(
    paths: Sequence[str | Path],
    *,
    env: EnvInfo | None = None,
    action_margin: float = 0.0,
    out_of_bounds: OutOfBounds = None,
) -> TensorDict:
    """Read and validate dataset files into one TensorDict.

    Args:
        paths: files, in the order their rows shall have.
        env: environment they must fit, to whose units and bounds actions are converted; None: only that they fit each
            other.
        action_margin: actions are pulled this far inside their bounds; 0: to the bounds themselves.
        out_of_bounds: what becomes of actions beyond the bounds of ``env``: ``clip``, ``refuse``; None: clipped, but
            refused where they are a fifth of all or a fifth of the rows are far beyond.

    Returns:
        TensorDict of batch size [N]: ``observation``, ``action``, ``("next", "observation")`` float32 [N, d],
        ``("next", "reward")`` float32 [N, 1], ``terminated``, ``truncated``, ``done`` under ``next`` bool [N, 1].

    Raises:
        DatasetError: a file cannot be read or does not pass validation, sizes disagree, or ``paths`` is empty.
    """
    with ExitStack() as files:
        datasets = open_all(files, paths)
        rows = _Rows(sum(dataset.n_transitions for dataset in datasets))
        read_rows(datasets, env, ActionRules(action_margin, out_of_bounds), rows.append)
        return rows.all


def open_all(files: ExitStack, paths: Sequence[str | Path]) -> list[Dataset]:
    """Open files that fit each other.

    Args:
        files: closes them.
        paths: at least one.

    Raises:
        DatasetError: one cannot be read, sizes disagree, or there is none.
    """
    if not paths:
        raise DatasetError("no dataset was named")
    datasets = [files.enter_context(open_dataset(path)) for path in paths]
    _refuse_other_sizes(datasets)
    return datasets


def _refuse_other_sizes(datasets: Sequence[Dataset]) -> None:
    first = datasets[0]
    for dataset in datasets[1:]:
        for name in ("observations", "actions"):
            if dataset.shape(name)[1:] != first.shape(name)[1:]:
                sizes = f"{dataset.shape(name)[1]} numbers a row, {first.path} has {first.shape(name)[1]}"
                hint = "Files of one buffer come from one task."
                raise DatasetError(f"dataset {dataset.path}: {name} have {sizes}", hint)


def read_rows(
    datasets: Sequence[Dataset],
    env: EnvInfo | None,
    rules: ActionRules,
    take: Callable[[TensorDict], Any],
    rule: GoalRule | None = None,
) -> None:
    """Validate files, and hand on all rows in their order, in blocks.

    Args:
        datasets: open files.
        env: environment they must fit; None: none in particular.
        rules: what is done to actions.
        take: given each block.
        rule: hand on goals as well, held against it; None: no goals.

    Raises:
        DatasetError: something is wrong with a file.
    """
    if env is None:
        refuse_other_units(datasets)
    for dataset in datasets:
        actions = ActionReader(dataset, env, rules)
        goals = None if rule is None else GoalArrays(dataset, rule)
        see = partial(_hand_on, dataset.n_transitions, actions, goals, take)
        scan(dataset, env=env, see=see, further=() if rule is None else GOAL_ARRAYS)
        actions.report()
        if goals is not None:
            goals.report()


def demonstration_rows(datasets: Sequence[Dataset]) -> torch.Tensor:
    """Numbers of the rows that come from demonstrations, [M] int64.

    Raises:
        DatasetError: there are none.
    """
    ends = np.cumsum([dataset.n_transitions for dataset in datasets])
    found = [
        torch.arange(end - dataset.n_transitions, end)
        for end, dataset in zip(ends, datasets, strict=True)
        if dataset.meta.source in _DEMONSTRATED
    ]
    if not found:
        sources = ", ".join(f"{dataset.path.name} ({dataset.meta.source})" for dataset in datasets)
        hint = "Add a dataset of demonstrations to data.datasets, made with --source demos or imported."
        raise DatasetError(f"the algorithm needs demonstrations, and none of these are any: {sources}", hint)
    return torch.cat(found)


def _hand_on(
    rows: int,
    actions: ActionReader,
    goals: GoalArrays | None,
    take: Callable[[TensorDict], Any],
    start: int,
    block: Mapping[str, Array],
) -> None:
    """A block of a file of so many rows, as transitions; the last row ends an episode."""
    arrays = {**block, "actions": actions(block["actions"])}
    if start + len(arrays["rewards"]) == rows:
        arrays["timeouts"] = arrays["timeouts"].copy()
        arrays["timeouts"][-1] |= not arrays["terminals"][-1]
    batch = as_tensordict(arrays)
    for name, found in (goals(block) if goals is not None else {}).items():
        batch.set(GOALS[name], torch.from_numpy(found))
    take(batch)


class _Rows:
    """A TensorDict of a known number of rows that is filled from its first row on."""

    def __init__(self, total: int) -> None:
        self._total, self._filled = total, 0
        self.all = TensorDict({}, batch_size=[total])

    def append(self, block: TensorDict) -> None:
        if not self._filled:
            self.all = block[:1].expand(self._total).apply(torch.empty_like)
        self.all[self._filled : self._filled + len(block)] = block
        self._filled += len(block)
