"""d3rlpy's AWAC, for ``bench --against d3rlpy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from awac_tr.algorithms.awac.config import AWACConfig
    from awac_tr.algorithms.peer_sizes import PeerSizes

__all__ = ["WORK", "config"]

WORK: Final = (
    "updates critics and actor in two passes, weights by softmax, bounds no values, and subtracts log pi of a squashed"
    " action from its targets"
)
"""In what its update differs from ours."""


def config(d3rlpy: Any, sizes: PeerSizes, section: AWACConfig) -> Any:
    """Its configuration at the recipe's sizes and rates."""
    return d3rlpy.algos.AWACConfig(
        **sizes.actor_critic,
        actor_learning_rate=section.policy_lr,
        critic_learning_rate=section.qvalue_lr,
        gamma=section.gamma,
        tau=section.tau,
        n_action_samples=section.value_samples,
        lam=section.temperature,
    )
