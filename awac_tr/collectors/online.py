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
import pickle
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDict
from torch import Tensor

from awac_tr import keys
from awac_tr.collectors.collector import ActorModule, FastCollector
from awac_tr.collectors.stepper import TRAJ_IDS, EpisodeState
from awac_tr.collectors.workers import LocalWorker, Workers
from awac_tr.envs.make import make_torchrl_env
from awac_tr.errors import AwacError
from awac_tr.keys import NOISE, Key
from awac_tr.policies.actor import Actor, actor_of

if TYPE_CHECKING:
    from tensordict.nn import TensorDictModuleBase

    from awac_tr.recipes.schema import CollectSection, EnvSection

__all__ = ["EnvRounds", "OnlineCollector", "Share", "episode_seed"]

Floats = NDArray[np.float32]

_log = logging.getLogger(__name__)

_LIMIT: Final = 2**31
_KEPT: Final[tuple[Key, ...]] = (
    *(keys.OBSERVATION, keys.ACTION, keys.REWARD, keys.NEXT_OBSERVATION),
    *(keys.TERMINATED, keys.TRUNCATED, keys.DONE),
)


class Share(NamedTuple):
    """What one environment did in a round.

    Attributes:
        columns: key -> [T, ...].
        state: where the environment stands now.
        there: False: it did not get back to where the round began, and began an episode instead.
        dropped: why episodes were dropped, one message each.
    """

    columns: dict[Key, NDArray[Any]]
    state: EpisodeState
    there: bool
    dropped: list[str]


class EnvRounds:
    """One of the environments that are stepped side by side; lives in a process of its own, or in this one."""

    def __init__(self, section: EnvSection, seed: int, worker: int) -> None:
        self._worker = worker
        self._collector = FastCollector(
            make_torchrl_env(section, success=True),
            ActorModule(None),
            seed_at=partial(episode_seed, seed, worker=worker),
            frames_per_batch=1,
            trust_policy=True,
            auto_register_policy_transforms=False,
        )

    def take(self, state: EpisodeState, actor: Actor | bytes, noise: Floats, begin: int) -> Share:
        """A share of a round, from where the environment has to stand; it is brought there if it does not.

        Args:
            state: where that is.
            actor: acts; pickled if it comes from another process.
            noise: [T, noise_size], a row for each step.
            begin: steps before the round, of all environments.
        """
        collector = self._collector
        there = state.equals(collector.episode_state) or collector.restore(state)
        actor = pickle.loads(actor) if isinstance(actor, bytes) else actor  # noqa: S301  (our own pipe)
        rows = collector.take(actor, noise, begin=begin)
        columns: dict[Key, NDArray[Any]] = {key: rows[key].numpy().copy() for key in _KEPT}
        if collector.tells_success:
            columns[keys.SUCCESS] = rows[keys.SUCCESS].numpy().copy()
        if keys.ACHIEVED_GOAL in rows.keys():  # noqa: SIM118  (a TensorDict)
            columns |= {key: rows[key].numpy().copy() for key in (keys.ACHIEVED_GOAL, keys.NEXT_ACHIEVED_GOAL)}
            columns[keys.DESIRED_GOAL] = columns[keys.OBSERVATION][:, -columns[keys.ACHIEVED_GOAL].shape[1] :].copy()
        # an environment's share always stands in the same place, and steps are far fewer than 2**40
        columns[keys.EPISODE] = rows[TRAJ_IDS].numpy()[:, None] + (self._worker << 40)
        return Share(columns, collector.episode_state, there, collector.dropped)

    def close(self) -> None:
        """Free the environment."""
        self._collector.shutdown()


class OnlineCollector:
    """Steps environments with a policy, at random; episodes go on from one round to the next.

    Actions are clipped to the bounds before they are executed, and it is the clipped ones that are kept: what the
    buffer holds is what the environment saw. The noise is drawn from torch's global generator, a round at a time, and
    an episode is seeded by the number of steps before it. What a checkpoint has to know beyond them is where the
    environments stand, and a round that was begun ahead: :meth:`state_dict`.

    Args:
        section: the environment.
        policy: what acts, see :func:`awac_tr.policies.actor.actor_of`; its weights are read out when a round begins,
            wherever they live.
        seed: of the environments' episodes.
        how: who takes the steps, and when; None: this process, when asked.
        env_step: steps taken before the run was resumed.
        keep_noise: whether rounds have ``NOISE`` [steps, noise_size] too, by which the action before it was clipped can
            be told: from one environment.

    Attributes:
        dropped: episodes of the last round in which the environment failed.
    """

    def __init__(
        self,
        section: EnvSection,
        policy: TensorDictModuleBase,
        *,
        seed: int,
        how: CollectSection | None = None,
        env_step: int = 0,
        keep_noise: bool = False,
    ) -> None:
        count, self._ahead = (1, False) if how is None else (how.workers, how.ahead)
        make = partial(Workers, 1) if self._ahead or count > 1 else LocalWorker
        self._workers = [make(EnvRounds, section, seed, index) for index in range(count)]
        self._apart = make is not LocalWorker
        self._states = [EpisodeState()] * count
        self._policy = policy
        self._env_step, self._keep_noise = env_step, keep_noise
        self._round: _Round | None = None
        self.dropped = 0

    def collect(self, steps: int, *, then: int = 0) -> TensorDict:
        """Take the steps of a round.

        Args:
            steps: how many; where this round was begun ahead, what was said then.
            then: steps of the round after this one; with ``collect.async`` they are begun at once, with the policy as
                it is now.

        Returns:
            Transitions [steps] with the keys of :mod:`awac_tr.keys`, on the CPU, among them ``EPISODE``, a number for
            each episode of the run, ``SUCCESS`` where the environment tells it, and goals of a goal environment. Of
            several environments the first one's come first.

        Raises:
            AwacError: the policy's weights are no finite numbers.
            EnvError: an environment cannot be made or fails again and again, or a process dies so; the round is still
                to be taken.
        """
        if self._round is None:
            self._begin(steps)
        noise = self._round.noise if self._round is not None else None
        shares = self._finish()
        self._env_step += steps
        if self._ahead and then > 0:
            self._begin(then)
        told = [key for key in shares[0].columns if all(key in share.columns for share in shares)]
        columns = {key: torch.from_numpy(np.concatenate([share.columns[key] for share in shares])) for key in told}
        if self._keep_noise and noise is not None:
            columns[NOISE] = noise
        return TensorDict(columns, batch_size=[steps])

    def close(self) -> None:
        """Free environments and processes; a round begun ahead is lost, and is not counted anywhere."""
        for worker in self._workers:
            worker.close()

    def state_dict(self) -> dict[str, Any]:
        """Where the environments stand, and the round that was begun; tensors and plain data."""
        begun = self._round
        return {
            "places": [state.to_plain() for state in self._states],
            "round": None if begun is None else {"policy": begun.weights, "noise": begun.noise},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave: environments get back into the middle of their episodes.

        They do so with their next step, by the same actions from the same seed. One that does not repeat itself begins
        an episode, which is said.
        """
        self._states = [EpisodeState.from_plain(plain) for plain in state["places"]]
        if state["round"] is not None:
            policy = copy.deepcopy(self._policy)
            policy.load_state_dict(state["round"]["policy"])
            self._hand_out(actor_of(policy), state["round"]["policy"], state["round"]["noise"])

    def _begin(self, steps: int) -> None:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self._policy.parameters()):
            raise AwacError(
                f"training diverged: the policy is no finite number at environment step {self._env_step}",
                "earlier checkpoints are kept. Smaller learning rates, bounds on values or capped weights may help.",
            )
        actor = actor_of(self._policy)
        weights = {name: value.detach().to("cpu", copy=True) for name, value in self._policy.state_dict().items()}
        self._hand_out(actor, weights, torch.randn(steps, actor.noise_size))

    def _hand_out(self, actor: Actor, weights: dict[str, Tensor], noise: Tensor) -> None:
        """Begin the round: the actor as it stands, and equal shares of the noise in order."""
        acting = pickle.dumps(actor) if self._apart else actor
        shares = np.array_split(noise.numpy(), len(self._workers))
        work = [(index, (self._states[index], acting, share, self._env_step)) for index, share in enumerate(shares)]
        batches = {index: self._workers[index].start("take", [task]) for index, task in work if len(task[2])}
        self._round = _Round(weights, noise, batches)

    def _finish(self) -> list[Share]:
        """Each environment's share of the round that was begun; after an error it is still to be taken."""
        if self._round is None:
            raise RuntimeError("no round was begun")
        shares: dict[int, Share] = {index: next(iter(batch)) for index, batch in self._round.batches.items()}
        self._round = None
        for index, share in shares.items():
            self._states[index] = share.state
            if not share.there:
                _log.warning("the environment does not repeat itself: an episode under way is begun anew")
            for message in share.dropped:
                _log.warning("an episode was dropped: %s", message)
        self.dropped = sum(len(share.dropped) for share in shares.values())
        return list(shares.values())


class _Round(NamedTuple):
    """A round that was begun: the policy's tensors as they were, the noise [T, noise_size], what workers are at."""

    weights: dict[str, Tensor]
    noise: Tensor
    batches: dict[int, Any]


def episode_seed(seed: int, env_step: int, failures: int = 0, *, worker: int = 0) -> int:
    """Seed of the online episode that begins after so many steps: neither a resume nor a process changes it.

    Args:
        seed: of the environment (``Seeds.env``); the seed of the very first episode.
        env_step: steps taken before.
        failures: episodes in a row before it in which the environment failed.
        worker: which of several environments that are stepped side by side.
    """
    if env_step == failures == worker == 0:
        return seed
    # numbers only where there are some: the seeds of earlier versions stay what they were
    words = [seed, env_step, worker, failures] if failures else [seed, env_step, worker] if worker else [seed, env_step]
    return int(np.random.SeedSequence(words).generate_state(1)[0]) % _LIMIT
