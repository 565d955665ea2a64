"""d3rlpy's IQL, for ``bench --against d3rlpy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from awac_tr.algorithms.iql.config import IQLConfig
    from awac_tr.algorithms.peer_sizes import PeerSizes

__all__ = ["WORK", "config"]

WORK: Final = "updates in another order"
"""In what its update differs from ours."""


def config(d3rlpy: Any, sizes: PeerSizes, section: IQLConfig) -> Any:
    """Its configuration at the recipe's sizes and rates."""
    return d3rlpy.algos.IQLConfig(
        **sizes.actor_critic,
        value_encoder_factory=sizes.actor_critic["critic_encoder_factory"],
        actor_learning_rate=section.policy_lr,
        critic_learning_rate=section.qvalue_lr,
        gamma=section.gamma,
        tau=section.tau,
        expectile=section.expectile,
        weight_temp=section.inverse_temperature,
    )
