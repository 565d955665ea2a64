"""Environment steps for the buffer, round by round, taken with the policy as it is now or as it was a round ago.

Synchronous (the default), round k acts with the policy that came of the updates of round k - 1: Algorithm 1 of the
paper. With ``collect.async`` a second process takes the steps of round k + 1 while the updates of round k are made, so
its policy is the one from before them: that of the updates of round k - 1, one round older. The first round is the
policy of the offline phase either way. Which policy acts, with which noise and from which seeds depends on the counters
alone, never on which process was faster, so a run can be repeated.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from awac_tr.envs.steps import Place, Steps
from awac_tr.errors import AwacError
from awac_tr.keys import (
    ACHIEVED_GOAL,
    ACTION,
    DESIRED_GOAL,
    DONE,
    EPISODE,
    NEXT_ACHIEVED_GOAL,
    NEXT_OBSERVATION,
    OBSERVATION,
    REWARD,
    TERMINATED,
    TRUNCATED,
)
from awac_tr.policies.acting import RowPolicy
from awac_tr.training.crew import Alone, Crew, Processes

if TYPE_CHECKING:
    from tensordict.nn import ProbabilisticTensorDictSequential

    from awac_tr.recipes.schema import CollectSection, EnvSection

__all__ = ["SUCCESS", "OnlineCollector"]

_log = logging.getLogger(__name__)

SUCCESS: Final = ("next", "success")
"""Where the environment says that the goal is reached."""


class OnlineCollector:
    """Steps environments with the stochastic policy; episodes go on from one round to the next.

    Actions are clipped to the bounds before they are executed, and it is the clipped ones that are kept: what the
    buffer holds is what the environment saw. The noise is drawn from torch's global generator, a round at a time, and
    an episode is seeded by the number of steps before it. What a checkpoint has to know beyond them is where the
    environments stand, and a round that was begun ahead: :meth:`state_dict`.

    Args:
        section: the environment.
        policy: what acts; its weights are read out when a round begins, wherever they live.
        seed: of the environments' episodes.
        how: who takes the steps, and when; None: this process, when asked.
        env_step: steps taken in earlier sittings.

    Attributes:
        dropped: episodes of the last round in which the environment failed.

    Raises:
        EnvError: the environment cannot be made.
    """

    def __init__(
        self,
        section: EnvSection,
        policy: ProbabilisticTensorDictSequential,
        *,
        seed: int,
        how: CollectSection | None = None,
        env_step: int = 0,
    ) -> None:
        workers, self._ahead = (1, False) if how is None else (how.workers, how.ahead)
        apart = self._ahead or workers > 1
        self._crew: Crew = Processes(section, seed, workers) if apart else Alone(section, seed)
        self._policy = policy
        self._env_step = env_step
        self._under_way: _Round | None = None
        self.dropped = 0

    def collect(self, steps: int, *, then: int = 0) -> TensorDict:
        """Take the steps of a round.

        Args:
            steps: how many; where this round was begun ahead, what was said then.
            then: steps of the round after this one; with ``collect.async`` they are begun at once, with the policy as
                it is now.

        Returns:
            Transitions [steps] with the keys of :mod:`awac_tr.keys`, on the CPU, and ``SUCCESS`` where
            the environment tells it; of a goal environment also goals and ``EPISODE``, a number for each episode of
            the run. Of several environments the first one's come first.

        Raises:
            AwacError: the policy's weights are no finite numbers.
            EnvError: an environment fails again and again, or a process dies so; the round is still to be taken.
        """
        if self._under_way is None:
            self._begin(steps)
        shares = self._crew.results()
        self._under_way = None
        self._env_step += steps
        self._say_dropped(shares)
        if self._ahead and then > 0:
            self._begin(then)
        return _as_tensordict(shares)

    def close(self) -> None:
        """Free environments and processes; a round begun ahead is lost, and is not counted anywhere."""
        self._crew.close()

    def state_dict(self) -> dict[str, Any]:
        """Where the environments stand, and the round that was begun; tensors and plain data."""
        under_way = self._under_way
        return {
            "places": [_plain(place) for place in self._crew.places()],
            "round": None if under_way is None else {"policy": under_way.weights, "noise": under_way.noise},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave: environments get back into the middle of their episodes.

        They do so by the same actions from the same seed. One that does not repeat itself begins an episode, which is
        said.
        """
        if not self._crew.take_up([_place(plain) for plain in state["places"]]):
            _log.warning("the environment does not repeat itself: an episode under way is begun anew")
        if state["round"] is not None:
            module = copy.deepcopy(self._policy)
            module.load_state_dict(state["round"]["policy"])
            self._hand_out(RowPolicy.of(module), _Round(state["round"]["policy"], state["round"]["noise"]))

    def _begin(self, steps: int) -> None:
        policy = RowPolicy.of(self._policy)
        if not policy.is_finite():
            raise AwacError(
                f"training diverged: the policy is no finite number at environment step {self._env_step}",
                "earlier checkpoints are kept. Smaller learning rates, awac.value_bounds or capped weights may help.",
            )
        weights = {name: value.detach().to("cpu", copy=True) for name, value in self._policy.state_dict().items()}
        self._hand_out(policy, _Round(weights, torch.randn(steps, policy.action_size)))

    def _hand_out(self, policy: RowPolicy, work: _Round) -> None:
        self._crew.begin(policy, work.noise.numpy(), self._env_step)
        self._under_way = work

    def _say_dropped(self, shares: Sequence[Steps]) -> None:
        messages = [message for share in shares for message in share.dropped]
        for message in messages:
            _log.warning("an episode was dropped: %s", message)
        self.dropped = len(messages)


class _Round(NamedTuple):
    """A round that was begun: the policy's tensors as they were, and the noise [T, a]."""

    weights: dict[str, Tensor]
    noise: Tensor


def _plain(place: Place) -> dict[str, Any]:
    arrays = {name: torch.from_numpy(getattr(place, name)) for name in ("actions", "observation")}
    return {**place._asdict(), **arrays}


def _place(plain: dict[str, Any]) -> Place:
    return Place(**{**plain, **{name: plain[name].numpy() for name in ("actions", "observation")}})


def _as_tensordict(shares: Sequence[Steps]) -> TensorDict:
    """Steps as transitions; flags, rewards and success get a last axis of 1."""
    terminated, truncated = _column(shares, "terminated"), _column(shares, "truncated")
    data = {
        OBSERVATION: _rows(shares, "observations"),
        ACTION: _rows(shares, "actions"),
        REWARD: _column(shares, "rewards"),
        NEXT_OBSERVATION: _rows(shares, "next_observations"),
        TERMINATED: terminated,
        TRUNCATED: truncated,
        DONE: terminated | truncated,
    }
    if all(share.success is not None for share in shares):
        data[SUCCESS] = _column(shares, "success")
    if size := shares[0].achieved.shape[1]:
        data[ACHIEVED_GOAL], data[NEXT_ACHIEVED_GOAL] = _rows(shares, "achieved"), _rows(shares, "next_achieved")
        data[DESIRED_GOAL] = data[OBSERVATION][:, -size:].clone()
        # a worker's share always stands in the same place, and steps are far fewer than 2**40
        names = [share.episodes + (worker << 40) for worker, share in enumerate(shares)]
        data[EPISODE] = torch.from_numpy(np.concatenate(names)).unsqueeze(-1)
    return TensorDict(data, batch_size=[len(terminated)])


def _rows(shares: Sequence[Steps], name: str) -> Tensor:
    arrays: list[Any] = [getattr(share, name) for share in shares]
    return torch.from_numpy(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))


def _column(shares: Sequence[Steps], name: str) -> Tensor:
    return _rows(shares, name).unsqueeze(-1)
