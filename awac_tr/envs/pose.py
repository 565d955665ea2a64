"""What our own simulated environments offer for records, replays and copies, and what their states hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from awac_tr.errors import EnvError

__all__ = ["SimulatedEnv", "State", "check_state"]

State = dict[str, NDArray[np.float64]]


class SimulatedEnv:
    """An environment whose state can be read and set, and which can be copied and pickled at any step.

    A copy goes on exactly from there, on its own.
    Gymnasium's MuJoCo environments come back as they were made. Here simulator and renderer are made anew as well, and
    the simulator is put into the state of the original; all other attributes (random numbers, spaces, spec) are kept.
    Changes made by hand to the MuJoCo model, and to its camera, are not.
    """

    _simulator: ClassVar[tuple[str, ...]]
    """Attributes that :meth:`_build` makes."""

    def _build(self) -> None:
        """Make the simulator, as the environment's arguments say."""
        raise NotImplementedError

    def get_pose(self) -> State:
        """The part of the state that a picture needs."""
        raise NotImplementedError

    def get_state(self) -> State:
        """Everything needed to go on exactly as from here."""
        raise NotImplementedError

    def set_state(self, state: Mapping[str, NDArray[np.float64]]) -> Any:
        """Put the simulator into a state; the observation there."""
        raise NotImplementedError

    def __getstate__(self) -> tuple[dict[str, Any], State]:
        kept = {name: value for name, value in vars(self).items() if name not in self._simulator}
        return kept, self.get_state()

    def __setstate__(self, saved: tuple[dict[str, Any], State]) -> None:
        kept, state = saved
        vars(self).update(kept)
        self._build()
        self.set_state(state)


def check_state(state: Mapping[str, NDArray[np.float64]], known: State, needed: Iterable[str]) -> None:
    """Refuse a state that lacks a ``needed`` entry, or has one unlike those of ``known``, a whole state.

    Raises:
        EnvError: an entry is missing, unknown or of another shape.
    """
    wanted = set(needed)
    if wanted - set(state) or set(state) - set(known):
        raise EnvError(f"a state holds {sorted(known)}, of which {sorted(wanted)} are needed; got {sorted(state)}")
    for name, value in state.items():
        if np.shape(value) != known[name].shape:
            raise EnvError(f"state entry {name!r} has shape {np.shape(value)}, expected {known[name].shape}")
