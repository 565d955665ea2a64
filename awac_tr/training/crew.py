"""Who takes the environment steps of a round: this process, or one or several others.

What other processes import stands here and is kept light: torch and the simulator, nothing of TorchRL.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.steps import Place, Stepper, Steps
from awac_tr.envs.workers import WorkerDiedError, Workers, died_is_an_error
from awac_tr.errors import EnvError
from awac_tr.policies.acting import RowPolicy
from awac_tr.training.seeding import episode_seed

if TYPE_CHECKING:
    from awac_tr.recipes.schema import EnvSection

__all__ = ["Alone", "Crew", "Processes"]

Floats = NDArray[np.float32]
_Share = tuple[Steps, Place]

_log = logging.getLogger(__name__)
_DEATHS: Final = 3
"""Deaths of a process in a row after which it is no accident."""


class Crew(Protocol):
    """Takes rounds of steps, one round at a time."""

    def begin(self, policy: RowPolicy, noise: Floats, env_step: int) -> None:
        """Begin a round of as many steps as there are rows of noise [T, a], after ``env_step`` steps."""

    def results(self) -> list[Steps]:
        """The steps of the round that was begun."""

    def places(self) -> list[Place]:
        """Where each environment stood when the last results were taken."""

    def take_up(self, places: Sequence[Place]) -> bool:
        """Get the environments back to such places; whether all of them are there."""

    def close(self) -> None:
        """Free environments and processes."""


class Alone:
    """Takes the steps in this process, when their results are asked for.

    Args:
        section: the environment.
        seed: of its episodes, see :func:`awac_tr.training.seeding.episode_seed`.
    """

    def __init__(self, section: EnvSection, seed: int) -> None:
        self._stepper = _stepper(section, seed, 0)
        self._place = self._stepper.place
        self._round: tuple[RowPolicy, Floats, int] | None = None

    def begin(self, policy: RowPolicy, noise: Floats, env_step: int) -> None:
        """Note what to do."""
        self._round = (policy, noise, env_step)

    def results(self) -> list[Steps]:
        """Do it."""
        if self._round is None:
            raise RuntimeError("no round was begun")
        work, self._round = self._round, None
        steps = self._stepper.take(*work)
        self._place = self._stepper.place
        return [steps]

    def places(self) -> list[Place]:
        """Where the environment stood at the last results."""
        return [self._place]

    def take_up(self, places: Sequence[Place]) -> bool:
        """Get it back there."""
        there = self._stepper.take_up(places[0])
        self._place = self._stepper.place
        return there

    def close(self) -> None:
        """Free the environment."""
        self._stepper.close()


class Processes:
    """Shares the steps of a round among processes, each with an environment of its own.

    Args:
        section: the environment.
        seed: of the episodes; each environment has seeds of its own, the first one those of :class:`Alone`.
        count: how many.
    """

    def __init__(self, section: EnvSection, seed: int, count: int) -> None:
        self._task = (section, seed)
        self._workers = [Workers(1, _settle, section, seed, index) for index in range(count)]
        self._places: list[Place | None] = [None] * count
        self._round: list[tuple[int, Future[_Share], tuple[bytes, Floats, int]]] = []

    def begin(self, policy: RowPolicy, noise: Floats, env_step: int) -> None:
        """Hand out the round: the policy as it stands, and equal shares of the noise in order."""
        script = pickle.dumps(policy)
        shares = np.array_split(noise, len(self._workers))
        work = [(index, (script, share, env_step)) for index, share in enumerate(shares) if len(share)]
        self._round = [(index, self._workers[index].submit(_take, *share), share) for index, share in work]

    def results(self) -> list[Steps]:
        """Each environment's steps, waiting for them; a process that died is replaced by one that goes on for it.

        Raises:
            EnvError: of an environment.
            WorkerDiedError: a process died again and again.
        """
        found = [(index, self._result(index, future, share)) for index, future, share in self._round]
        for index, (_, place) in found:
            self._places[index] = place
        return [steps for _, (steps, _) in found]

    def _result(self, index: int, future: Future[_Share], share: tuple[bytes, Floats, int]) -> _Share:
        for death in range(_DEATHS + 1):
            try:
                with died_is_an_error():
                    return future.result()
            except WorkerDiedError:
                if death == _DEATHS:
                    raise
                _log.warning("a collecting process died: a new one repeats its steps of this round, seeds and all")
                self._workers[index].close()
                self._workers[index] = Workers(1, _settle, *self._task, index)
                self._workers[index].submit(_take_up, self._places[index])
                future = self._workers[index].submit(_take, *share)
        raise RuntimeError("not reached")

    def places(self) -> list[Place]:
        """Where each environment stood at the last results; one without steps so far stands at a border."""
        nothing = np.empty((0, 0), np.float32)
        return [Place(0, None, 0, nothing, nothing[:0]) if place is None else place for place in self._places]

    def take_up(self, places: Sequence[Place]) -> bool:
        """Get the environments back there."""
        self._places = list(places)
        there = [worker.submit(_take_up, place) for worker, place in zip(self._workers, places, strict=True)]
        with died_is_an_error():
            return all([one.result() for one in there])  # noqa: C419  (all of them are waited for)

    def close(self) -> None:
        """End the processes; a round under way is lost."""
        for worker in self._workers:
            worker.close()


def _stepper(section: EnvSection, seed: int, worker: int) -> Stepper:
    seed_at = partial(episode_seed, seed, worker=worker)
    return Stepper(section, seed_at=seed_at)


_here: Stepper | None = None


def _settle(section: EnvSection, seed: int, worker: int) -> None:
    """Runs first in every process."""
    global _here
    _here = _stepper(section, seed, worker)


def _take(script: bytes, noise: Floats, env_step: int) -> _Share:
    """A share of a round, in a process."""
    policy: Any = pickle.loads(script)  # noqa: S301  (our own, through our own pipe)
    stepper = _require_here()
    return stepper.take(policy, noise, env_step), stepper.place


def _take_up(place: Place | None) -> bool:
    return place is None or _require_here().take_up(place)


def _require_here() -> Stepper:
    if _here is None:
        raise EnvError("a collecting process was not set up")
    return _here
