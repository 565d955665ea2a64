"""Who takes the environment steps of a round: this process, or one or several others.

What other processes import stands here and is kept light: torch and the simulator, nothing of TorchRL.
"""

from __future__ import annotations

import pickle
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from awac_tr.envs.steps import Stepper, Steps
from awac_tr.envs.workers import Workers, died_is_an_error
from awac_tr.errors import EnvError
from awac_tr.policies.acting import RowPolicy
from awac_tr.training.seeding import episode_seed

if TYPE_CHECKING:
    from awac_tr.recipes.schema import EnvSection

__all__ = ["Alone", "Crew", "Processes"]

Floats = NDArray[np.float32]


class Crew(Protocol):
    """Takes rounds of steps, one round at a time."""

    def begin(self, policy: RowPolicy, noise: Floats, env_step: int) -> None:
        """Begin a round of as many steps as there are rows of noise [T, a], after ``env_step`` steps."""

    def results(self) -> list[Steps]:
        """The steps of the round that was begun."""

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
        self._round: tuple[RowPolicy, Floats, int] | None = None

    def begin(self, policy: RowPolicy, noise: Floats, env_step: int) -> None:
        """Note what to do."""
        self._round = (policy, noise, env_step)

    def results(self) -> list[Steps]:
        """Do it."""
        if self._round is None:
            raise RuntimeError("no round was begun")
        work, self._round = self._round, None
        return [self._stepper.take(*work)]

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
        self._workers = [Workers(1, _settle, section, seed, index) for index in range(count)]
        self._round: list[Future[Steps]] = []

    def begin(self, policy: RowPolicy, noise: Floats, env_step: int) -> None:
        """Hand out the round: the policy as it stands, and equal shares of the noise in order."""
        script = pickle.dumps(policy)
        shares = np.array_split(noise, len(self._workers))
        self._round = [
            worker.submit(_take, script, share, env_step)
            for worker, share in zip(self._workers, shares, strict=True)
            if len(share)
        ]

    def results(self) -> list[Steps]:
        """Each environment's steps, waiting for them.

        Raises:
            EnvError: of an environment, or a process died.
        """
        with died_is_an_error():
            return [share.result() for share in self._round]

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


def _take(script: bytes, noise: Floats, env_step: int) -> Steps:
    """A share of a round, in a process."""
    if _here is None:
        raise EnvError("a collecting process was not set up")
    policy: Any = pickle.loads(script)  # noqa: S301  (our own, through our own pipe)
    return _here.take(policy, noise, env_step)
