"""What our own simulated environments offer for records and replays, and what a state handed to them must hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from awac_tr.errors import EnvError

__all__ = ["Posed", "State", "check_state"]

State = dict[str, NDArray[np.float64]]


@runtime_checkable
class Posed(Protocol):
    """An environment whose state can be read and set."""

    def get_pose(self) -> State:
        """The part of the state that a picture needs."""

    def get_state(self) -> State:
        """Everything needed to go on exactly as from here."""

    def set_state(self, state: Mapping[str, NDArray[np.float64]]) -> Any:
        """Put the simulator into a state; the observation there."""


def check_state(state: Mapping[str, NDArray[np.float64]], known: State, needed: Iterable[str]) -> None:
    """Refuse a state that does not fit.

    Args:
        state: what somebody wants to set.
        known: a state of the environment, whole.
        needed: names that must not be missing.

    Raises:
        EnvError: an entry is missing, unknown or of another shape.
    """
    wanted = set(needed)
    if wanted - set(state) or set(state) - set(known):
        raise EnvError(f"a state holds {sorted(known)}, of which {sorted(wanted)} are needed; got {sorted(state)}")
    for name, value in state.items():
        if np.shape(value) != known[name].shape:
            raise EnvError(f"state entry {name!r} has shape {np.shape(value)}, expected {known[name].shape}")
