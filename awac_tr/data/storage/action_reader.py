"""Actions of a dataset file in the units and bounds of the environment that they are used for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from awac_tr.data.storage.reader import Dataset
from awac_tr.envs.action_units import ActionUnits, Clipper, Conversion, bounds_text, conversion, same_bounds
from awac_tr.errors import DatasetError

if TYPE_CHECKING:
    from awac_tr.envs.env_info import EnvInfo

__all__ = [
    "ActionReader",
    "ActionRules",
    "OutOfBounds",
    "conversion_of",
    "refuse_clipped",
    "refuse_other_units",
    "units_of",
]

Array = np.ndarray[Any, Any]
OutOfBounds = Literal["clip", "refuse"] | None

_LOG = logging.getLogger(__name__)

_IMPORT: Final = "Import it for the recipe's environment, and say its units: awac-tr data import FILE --env RECIPE "
_IMPORT_UNITS: Final = _IMPORT + "--actions raw (or scaled: in [-1, 1] already)."


@dataclass(frozen=True)
class ActionRules:
    """What is done to actions on loading: they are pulled a margin inside their bounds.

    Those beyond the environment's bounds are clipped or refused; None: clipped, unless too many are.
    """

    margin: float = 0.0
    out_of_bounds: OutOfBounds = None


def units_of(dataset: Dataset, env: EnvInfo) -> ActionUnits | None:
    """What the numbers of a file's actions mean, used in an environment; None: nobody can tell.

    A file that names this environment tells; of any other, raw units are those of ``env`` where its bounds are.
    """
    meta, units = dataset.meta, env.units
    if units is None or units.raw is None:
        return None
    named = dataset.ours and bool(meta.env_id)
    if named and meta.env.name == env.id:
        from awac_tr.envs.env_info import units_of_file

        return units_of_file(meta.env, meta.action_low, meta.action_high, env)
    noted = ActionUnits((meta.action_low, meta.action_high), scaled=named and meta.env.rescale_actions)
    if dataset.ours and not noted.scaled and noted.same_raw(units):
        return noted
    # what others put around another environment cannot be known; without scaling, the numbers are taken as they are
    return None if units.scaled or noted.scaled else ActionUnits(units.raw)


def refuse_clipped(where: str, clip: Clipper, rule: OutOfBounds, key: str = "--out-of-bounds ") -> None:
    """Refuse what clipping would have made of actions, by the rule that the user gives under this key.

    Raises:
        DatasetError: the rule is to refuse; or there is none, and too many were clipped.
    """
    if rule == "refuse" and clip.outside:
        raise DatasetError(f"{where}: {clip}", f"{key}clip takes them clipped.")
    if rule is None and clip.too_many:
        hint = f"They may be in other units: see --actions of data import. {key}clip takes them clipped all the same."
        raise DatasetError(f"{where}: {clip}: too many to clip", hint)


def refuse_other_units(datasets: Sequence[Dataset]) -> None:
    """Refuse files of different units that no environment is there to convert to; DatasetError where they differ."""
    ours = [dataset for dataset in datasets if dataset.ours and dataset.meta.env_id]
    for dataset in ours[1:]:
        if dataset.meta.env.rescale_actions != ours[0].meta.env.rescale_actions:
            scaled, raw = sorted((dataset, ours[0]), key=lambda one: not one.meta.env.rescale_actions)
            message = f"the actions of {scaled.path} are scaled to [-1, 1] (rescale_actions), those of {raw.path} raw"
            raise DatasetError(message, "Give the environment (env=), to whose units both are converted.")


class ActionReader:
    """Converts the actions of one file, block by block, clips them, and counts what it moved.

    Without an environment they stay in the file's own units and bounds.

    Raises:
        DatasetError: the file does not tell its units, and they matter; or they cannot be converted.
    """

    def __init__(self, dataset: Dataset, env: EnvInfo | None, rules: ActionRules) -> None:
        self._path, self._rules, self._env_id = dataset.path, rules, "" if env is None else env.id
        self._convert, self._clip, self._pull = None, None, None
        low, high = dataset.meta.action_low, dataset.meta.action_high
        if env is not None and env.units is not None and env.action_bounds is not None:
            if dataset.shape("actions")[1] != len(env.action_bounds[0]):
                return  # what reads the rows refuses it by name
            self._convert = conversion_of(dataset, env, env.units)
            low, high = env.action_bounds
            self._clip = Clipper(low, high)
        if rules.margin > 0:
            margin = np.float32(rules.margin)
            self._pull = Clipper(np.asarray(low, np.float32) + margin, np.asarray(high, np.float32) - margin)

    def __call__(self, actions: Array) -> Array:
        """Actions [n, a] float32 as they are learned from."""
        for step in (self._convert, self._clip, self._pull):
            actions = actions if step is None else step(actions)
        return actions

    def report(self) -> None:
        """Say what was done, once the last block was read.

        Raises:
            DatasetError: more actions were beyond the bounds than the rules allow.
        """
        if self._convert is not None:
            _LOG.info("%s: actions converted, %s", self._path, self._convert)
        if self._clip is not None and self._clip.outside:
            where = f"dataset {self._path}, in {self._env_id}"
            refuse_clipped(where, self._clip, self._rules.out_of_bounds, key="data.out_of_bounds=")
            _LOG.warning("%s: %s; clipped (data.out_of_bounds=refuse refuses them)", where, self._clip)
        if self._pull is not None:
            text = "%s: %d of %d action entries pulled %g inside the bounds"
            _LOG.info(text, self._path, self._pull.entries, self._pull.seen, self._rules.margin)


def conversion_of(dataset: Dataset, env: EnvInfo, units: ActionUnits) -> Conversion | None:
    """How a file's actions, of the environment's size, become those of its units; None: as they stand.

    Raises:
        DatasetError: the file does not tell its units, and they matter; or they cannot be converted.
    """
    found = units_of(dataset, env)
    if found is None and units.scaled and units.raw is not None and same_bounds(units.raw, (-1, 1)):
        return None
    if found is None:
        text = f"dataset {dataset.path} does not tell the units of its actions, and {env.id} takes {units}"
        raise DatasetError(text, _IMPORT_UNITS)
    try:
        converted = conversion(found, units)
    except ValueError as error:
        text = f"dataset {dataset.path} has actions of {found}, {env.id} takes {units}: {error}"
        raise DatasetError(text, "Import the recording again for the recipe's environment.") from error
    if converted is None and dataset.ours and not found.same_raw(units):
        noted = bounds_text(dataset.meta.action_low, dataset.meta.action_high)
        _LOG.warning("dataset %s: its actions have bounds of %s, %s has %s", dataset.path, noted, env.id, units)
    return converted
