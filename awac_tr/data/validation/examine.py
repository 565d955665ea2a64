"""The close look at a dataset: one pass over the rows, each family of defects fed block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from awac_tr.data.format.findings import Finding, place, worst_first
from awac_tr.data.format.hashing import ArrayHash
from awac_tr.data.format.spec import ARRAYS, MATRICES
from awac_tr.data.storage.goal_arrays import GOAL_ARRAYS, has_goals
from awac_tr.data.storage.reader import Dataset
from awac_tr.data.validation.actions import ActionsCheck
from awac_tr.data.validation.base import SUCCESS, Block, Check, Context
from awac_tr.data.validation.checks import RowCheck, size_findings
from awac_tr.data.validation.duplicates import DuplicatesCheck
from awac_tr.data.validation.ends import EndsCheck
from awac_tr.data.validation.layout import extra_row_findings
from awac_tr.data.validation.metadata import (
    count_findings,
    env_findings,
    flag_findings,
    hash_findings,
    metadata_findings,
)
from awac_tr.data.validation.numbers import NumbersCheck
from awac_tr.data.validation.rewards import RewardsCheck
from awac_tr.data.validation.terminations import TerminationsCheck
from awac_tr.errors import AwacError, UntrustedCodeError
from awac_tr.recipes.env_files import chosen_env
from awac_tr.recipes.schema import EnvSection

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo

__all__ = ["Examination", "Known", "examine"]

Array = np.ndarray[Any, Any]
Known = dict[bytes, tuple[str, int]]
"""Hash of an episode -> the file and the episode it was first met in."""

_NUMBERS: Final = "fiub"
_OF_FLAGS: Final = ("flags-inverted", "both-ends")
"""What flags that are none look like, too."""
_AFTER_BORDERS: Final = ("false-terminal", "missed-terminal", "terminal-at-horizon", "no-terminals", "reward-shift")
"""What cannot be told before flags stand in the right rows; mending looks again when they do."""


@dataclass
class Examination:
    """What a close look found, worst first, and what mending needs of it.

    The families whose lists of rows mending uses are None where the rows could not be looked at.
    """

    path: Path
    context: Context
    findings: list[Finding] = field(default_factory=list)
    ends: EndsCheck | None = None
    terminations: TerminationsCheck | None = None
    actions: ActionsCheck | None = None
    duplicates: DuplicatesCheck | None = None

    @property
    def codes(self) -> set[str]:
        """Codes of all findings."""
        return {finding.code for finding in self.findings}


def examine(
    path: str | Path, *, env: str | EnvSection | None = None, trust: bool = False, known: Known | None = None
) -> Examination:
    """Look at everything in a dataset file, reading it once in blocks.

    Args:
        path: an HDF5 file in our format, or any with D4RL's six arrays.
        env: environment to hold the rows against; None: the one the file names.
        trust: import the code that the file names for its environment; else there is a note, and less is checked.
        known: episodes of files examined before, to find copies over several files; those of this file are added.

    Raises:
        DatasetError: the file cannot be read at all.
        EnvError: ``env`` is unknown, or cannot be made.
        UntrustedCodeError: ``env`` is an id alone, and the file names code beyond it.
    """
    with Dataset(path) as dataset:
        context, findings = _context(dataset, env, trust=trust)
        found = Examination(dataset.path, context, extra_row_findings(dataset) + findings)
        if _readable(dataset):
            _look(dataset, found, known)
        found.findings = worst_first(found.findings)
    return found


def _readable(dataset: Dataset) -> bool:
    """All six arrays are there, of numbers of any type, of the right shape and length."""
    if not set(ARRAYS) <= set(dataset.array_names):
        return False
    shapes = {name: dataset.shape(name) for name in ARRAYS}
    axes = all(len(shape) == (2 if name in MATRICES else 1) for name, shape in shapes.items())
    kinds = all(dataset.dtype(name).kind in _NUMBERS for name in ARRAYS)
    if not (axes and kinds) or len({shape[0] for shape in shapes.values()}) != 1:
        return False
    return shapes["observations"] == shapes["next_observations"] and shapes["observations"][0] > 0


def _context(dataset: Dataset, env: str | EnvSection | None, *, trust: bool) -> tuple[Context, list[Finding]]:
    """What the file can be held against, and what is to be said about that."""
    meta, found = dataset.meta, []
    facts, unknown = _environment(dataset, env, trust=trust)
    found += unknown
    if env and facts is not None:
        found += env_findings(meta, facts)
    low, high = (np.asarray(bound, dtype=np.float32) for bound in (meta.action_low, meta.action_high))
    if not dataset.ours and facts is not None:
        executed = facts.raw_bounds or facts.action_bounds or (low, high)  # which is what others record
        low, high = (np.asarray(bound, np.float32) for bound in executed)
        bounds: dict[str, Any] = {"action_low": low, "action_high": high} if len(low) == len(meta.action_low) else {}
        meta = replace(meta, horizon=facts.horizon, **bounds)
    return Context(meta, dataset.ours, facts, low, high), found


def _environment(
    dataset: Dataset, said: str | EnvSection | None, *, trust: bool
) -> tuple[EnvInfo | None, list[Finding]]:
    from awac_tr.envs.env_info import env_info
    from awac_tr.envs.make import find_spec

    found = dataset.meta.env if dataset.meta.env_id else None
    if not said and found is None:
        return None, []
    try:
        env = chosen_env(dataset.path, found, said or None, trust=trust)
        if not (isinstance(said, EnvSection) and said.horizon) and find_spec(env.id).max_episode_steps:
            env = env.model_copy(update={"horizon": None})  # as registered: the file's own is what is looked at
        return env_info(env), []
    except UntrustedCodeError as error:
        if said:
            raise
        text = f"{error.message}: sizes, rewards and ends were not checked against it"
        return None, [Finding("note", "unknown-env", "env_id", text, error.hint)]
    except AwacError as error:
        if said:
            raise
        message = f"{error.message}: sizes, rewards and ends were not checked against it"
        return None, [Finding("note", "unknown-env", "env_id", message)]


def _look(dataset: Dataset, found: Examination, known: Known | None) -> None:
    """Feed every family, then put together what they found."""
    context = found.context
    light = RowCheck(context.meta, env=context.env, ours=context.ours, light=True)
    found.ends, found.terminations = EndsCheck(ours=context.ours), TerminationsCheck(context)
    found.actions, found.duplicates = ActionsCheck(context), DuplicatesCheck(known, str(dataset.path))
    families: list[Check] = [found.ends, found.terminations, RewardsCheck(context), found.actions]
    families += [NumbersCheck(context), found.duplicates]
    hashes = _hashes(dataset)
    for block in _blocks(dataset, context.env):
        light.feed({name: block.new(name) for name in ARRAYS})
        for family in families:
            family.feed(block)
        for name, digest in hashes.items():
            digest.update(block.new(name))
    if context.env is not None:
        sizes = {name: dataset.shape(name)[1] for name in ("observations", "actions")}
        found.findings += size_findings(sizes, context.env)
    seen = [finding for family in families for finding in family.findings()]
    found.findings += light.findings()
    found.findings += [one for one in seen if not (found.ends.misplaced and one.code in _AFTER_BORDERS)]
    flags = flag_findings(dataset)
    if flags:
        found.findings = [one for one in found.findings if one.code not in _OF_FLAGS]
    found.findings += flags + metadata_findings(context)
    found.findings += _record_findings(dataset, hashes, found.ends)
    found.findings = place(found.findings, found.ends.ends.rows)


def _blocks(dataset: Dataset, env: EnvInfo | None) -> Iterator[Block]:
    """Blocks that overlap by a row, so that every pair of rows lies in one."""
    names = [*ARRAYS, *([SUCCESS] if SUCCESS in dataset.array_names else [])]
    if env is not None and env.goal is not None and has_goals(dataset, env.goal):
        names += GOAL_ARRAYS
    for start, stop in dataset.spans("observations"):
        lead = min(start, 1)
        yield Block(start, lead, {name: dataset.rows(name, start - lead, stop) for name in names})


def _hashes(dataset: Dataset) -> dict[str, ArrayHash]:
    """A hash for each array that is read as it lies on disk."""
    if not dataset.ours:
        return {}
    kinds = {name: kind for name, kind in ARRAYS.items() if dataset.dtype(name) == np.dtype(kind)}
    return {name: ArrayHash(kind, dataset.shape(name)[1:]) for name, kind in kinds.items()}


def _record_findings(dataset: Dataset, hashes: dict[str, ArrayHash], ends: EndsCheck) -> list[Finding]:
    """Hashes, and numbers of rows and episodes, as noted."""
    if not dataset.ours:
        return []
    known = {name: digest.hexdigest() for name, digest in hashes.items()}
    known |= {name: dataset.hash_array(name).hexdigest() for name in dataset.array_names if name not in known}
    last = ends.ends.rows[-1:] + 1
    episodes = ends.ends.count + (not len(last) or int(last[0]) != dataset.n_transitions)
    return hash_findings(dataset, known) + count_findings(dataset, episodes)
