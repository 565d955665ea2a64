"""d3rlpy's SAC, for ``bench --against d3rlpy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from awac_tr.algorithms.peer_sizes import PeerSizes
    from awac_tr.algorithms.sac.config import SACConfig

__all__ = ["WORK", "config"]

WORK: Final = "squashes its actions, and always learns its temperature"
"""In what its update differs from ours."""


def config(d3rlpy: Any, sizes: PeerSizes, section: SACConfig) -> Any:
    """Its configuration at the recipe's sizes and rates."""
    return d3rlpy.algos.SACConfig(
        **sizes.actor_critic,
        actor_learning_rate=section.policy_lr,
        critic_learning_rate=section.qvalue_lr,
        gamma=section.gamma,
        tau=section.tau,
        temp_learning_rate=section.policy_lr,
    )
