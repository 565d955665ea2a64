"""d3rlpy's BCQ, for ``bench --against d3rlpy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from awac_tr.algorithms.bcq.config import BCQConfig
    from awac_tr.algorithms.peer_sizes import PeerSizes

__all__ = ["WORK", "config"]

WORK: Final = "decodes actions without their tanh, in the CVAE's error too"
"""In what its update differs from ours."""


def config(d3rlpy: Any, sizes: PeerSizes, section: BCQConfig) -> Any:
    """Its configuration at the recipe's sizes and rates."""
    return d3rlpy.algos.BCQConfig(
        **{**sizes.actor_critic, "actor_encoder_factory": sizes.encoder(section.perturbation_hidden_sizes)},
        imitator_encoder_factory=sizes.encoder(section.cvae_hidden_sizes),
        actor_learning_rate=section.policy_lr,
        critic_learning_rate=section.qvalue_lr,
        gamma=section.gamma,
        tau=section.tau,
        imitator_learning_rate=section.cvae_lr,
        lam=section.minimum_weight,
        n_action_samples=section.next_samples,
        action_flexibility=section.phi,
    )
