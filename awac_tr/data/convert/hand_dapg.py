"""hand_dapg's demonstrations: pickled lists of human episodes of the Adroit hand.

Every episode is a dict with ``observations`` [T, o] and ``actions`` [T, a]. What we make of it:

- *Next observations.* The file has T observations for T actions, so the state after the last action is unknown. The
  next observation of row t is the observation of row t + 1, and the last row is dropped.
- *Rewards* are the environment's own rule applied to the next observation: the reward of row t is that of the state its
  action led to, as ``env.step`` returns it. Those in the file belong to other rewards and are not used.
- *Actions* are clipped to the bounds, as the simulator does before it executes them.
- *Ends.* Nothing terminates in these tasks: the last row is a timeout. Episodes longer than the horizon are kept.
- *Initial states* (``init_state_dict``) go to ``episodes/init_...``; the recorded observations are the truth, since in
  the published file the hand's initial position is all zero while the first observation has it elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from awac_tr.data.convert.recording import ImportSettings, Origin, Recorded
from awac_tr.data.convert.unpickle import PickledArray, load_pickle
from awac_tr.data.storage.episode_check import UnusableEpisodeError
from awac_tr.errors import DatasetError
from awac_tr.recipes.schema import EnvSection

__all__ = ["HandDapgRecording", "open_recording"]

Array = np.ndarray[Any, Any]

_SHAPE: Final = "Expected hand_dapg's layout: a list of dicts with observations [T, o] and actions [T, a]."
_MATRIX: Final = 2


@contextmanager
def open_recording(source: str, settings: ImportSettings) -> Iterator[HandDapgRecording]:
    """Read a pickle, without running anything of it.

    Raises:
        DatasetError: it is refused or of another layout, or the environment named has no rule to make rewards by.
    """
    from awac_tr.envs.env_info import env_info

    if not settings.env_id:
        hint = "Name the environment they are of, for example --env door-binary-v0."
        raise DatasetError("hand_dapg's demonstrations do not say which environment they are of", hint)
    env = EnvSection.of(settings.env_id)
    if env != EnvSection(id=env.id):
        hint = "Name one of the three hand tasks by its id alone."
        raise DatasetError("hand_dapg's rewards are made anew by the rule of a task as it is registered", hint)
    if env_info(env).reward_rule is None:
        message = f"{env.id} has no reward rule over observations, so recorded episodes cannot be given rewards"
        raise DatasetError(message, "Import for pen-binary-v0, door-binary-v0 or relocate-binary-v0.")
    yield HandDapgRecording(source, load_pickle(source))


class HandDapgRecording:
    """A pickle's demonstrations, as they were loaded."""

    def __init__(self, source: str, loaded: Any) -> None:
        description = "Demonstrations in hand_dapg's format; rewards by the environment's rule on next observations."
        policy = "human teleoperation"
        self.origin = Origin("hand_dapg", Path(source).name, relabel=True, policy=policy, description=description)
        if not isinstance(loaded, list) or not loaded:
            raise DatasetError(f"{source} holds {type(loaded).__name__}, not a list of episodes", _SHAPE)
        for number, one in enumerate(loaded):
            if not isinstance(one, dict):
                raise DatasetError(f"{source}, episode {number} is {type(one).__name__}, not a dict", _SHAPE)
        self._source, self._demonstrations = source, loaded
        self.notes = self._whole_numbers()

    def _whole_numbers(self) -> list[str]:
        """What to say of actions that are whole numbers."""
        found = [
            one.array.dtype for demo in self._demonstrations if isinstance(one := demo.get("actions"), PickledArray)
        ]
        kinds = sorted({str(dtype) for dtype in found if dtype.kind in "iub"})
        return [f"actions are whole numbers ({kind}): fractions were lost where there were any" for kind in kinds]

    def episodes(self) -> Iterator[Recorded | UnusableEpisodeError]:
        """The demonstrations in their order."""
        for number, demonstration in enumerate(self._demonstrations):
            try:
                yield _recorded(f"{self._source}, episode {number}", demonstration)
            except UnusableEpisodeError as error:
                yield error


def _recorded(where: str, demonstration: dict[str, Any]) -> Recorded:
    states, actions = (_matrix(where, demonstration, name) for name in ("observations", "actions"))
    if len(states) != len(actions) or len(actions) < 2:  # noqa: PLR2004  (a transition needs two states)
        raise UnusableEpisodeError(f"{where} has {len(states)} observations for {len(actions)} actions", _SHAPE)
    initial = demonstration.get("init_state_dict", {})
    if not isinstance(initial, dict):
        raise UnusableEpisodeError(f"{where}: init_state_dict is {type(initial).__name__}, not a dict", _SHAPE)
    once = {f"init_{name}": entry.array for name, entry in initial.items() if isinstance(entry, PickledArray)}
    return Recorded(where, states, actions, None, None, terminated=False, per_episode=once)


def _matrix(where: str, demonstration: dict[str, Any], name: str) -> Array:
    found = demonstration.get(name)
    if not isinstance(found, PickledArray) or found.array.ndim != _MATRIX:
        raise UnusableEpisodeError(f"{where} has no array {name} with rows and columns", _SHAPE)
    return found.array
