"""What acts, as a collector sees it: numpy in, numpy out, its randomness given from outside."""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from tensordict import TensorDict
from tensordict.nn import TensorDictModuleBase

from awac_tr.keys import ACTION, OBSERVATION
from awac_tr.models.best_of_samples import BestOfSamples
from awac_tr.policies.acting import RowPolicy
from awac_tr.policies.best_of_samples import BestOfSamplesActor

__all__ = ["Actor", "TensorDictActor", "actor_of"]

Array = NDArray[np.float32]

_SEED_NUMBERS: Final = 2
"""Two normal float32 numbers are enough to seed a generator."""


class Actor(Protocol):
    """Acts as its weights stand; can be pickled, which copies it.

    One with a true attribute ``always_random`` is given noise in evaluations too.

    Attributes:
        noise_size: standard normal numbers that a random action is made of.
    """

    noise_size: int

    def act(self, observation: ArrayLike, noise: Array | None = None) -> Array:
        """Actions [a] or [B, a] float32, not clipped, for observations [o] or [B, o].

        Args:
            observation: one, or a batch.
            noise: [noise_size] or [B, noise_size]: the action is random, and a function of it; None: it is the
                policy's deterministic action.
        """


class TensorDictActor:
    """Any TensorDict policy as an :class:`Actor`, at the price of a TensorDict for each call.

    Args:
        module: reads ``observation`` and writes ``action``, on any device.
    """

    noise_size = _SEED_NUMBERS

    def __init__(self, module: TensorDictModuleBase) -> None:
        self.module = module

    @torch.no_grad()
    def act(self, observation: ArrayLike, noise: Array | None = None) -> Array:
        """As :meth:`Actor.act`; torch's global generator is left as it was."""
        from torchrl.envs.utils import ExplorationType, set_exploration_type

        device = next((tensor.device for tensor in self.module.state_dict().values()), torch.device("cpu"))
        rows = torch.from_numpy(np.array(observation, np.float32)).to(device)
        kind = ExplorationType.DETERMINISTIC if noise is None else ExplorationType.RANDOM
        with set_exploration_type(kind), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            if noise is not None:
                torch.manual_seed(int.from_bytes(noise.tobytes(), "little") % 2**63)
            found = self.module(TensorDict({OBSERVATION: rows}, batch_size=rows.shape[:-1]))
        action: Array = found[ACTION].to("cpu", torch.float32).numpy()
        return action


def actor_of(policy: Any) -> Actor:
    """The fastest actor for a policy, with its weights as they stand now.

    Args:
        policy: a module of :func:`awac_tr.models.build.build_policy`, on any device; any other TensorDict module
            from ``observation`` to ``action``; or an actor already.

    Raises:
        TypeError: it is none of these.
    """
    if hasattr(policy, "act"):
        actor: Actor = policy
        return actor
    if isinstance(policy, BestOfSamples):
        return BestOfSamplesActor(policy)
    try:
        return RowPolicy.of(policy)
    except TypeError:
        if not isinstance(policy, TensorDictModuleBase):
            raise
        return TensorDictActor(policy)
