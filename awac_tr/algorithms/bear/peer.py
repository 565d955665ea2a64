"""d3rlpy's BEAR, for ``bench --against d3rlpy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from awac_tr.algorithms.bear.config import BEARConfig
    from awac_tr.algorithms.peer_sizes import PeerSizes

__all__ = ["WORK", "config"]

WORK: Final = (
    "has an entropy bonus in target and actor, and a temperature for it; decodes actions without their tanh for the"
    " CVAE's error, and with it for the discrepancy to actions before theirs"
)
"""In what its update differs from ours."""


def config(d3rlpy: Any, sizes: PeerSizes, section: BEARConfig) -> Any:
    """Its configuration at the recipe's sizes and rates."""
    return d3rlpy.algos.BEARConfig(
        **sizes.actor_critic,
        imitator_encoder_factory=sizes.encoder(section.cvae_hidden_sizes),
        actor_learning_rate=section.policy_lr,
        critic_learning_rate=section.qvalue_lr,
        gamma=section.gamma,
        tau=section.tau,
        imitator_learning_rate=section.cvae_lr,
        alpha_learning_rate=section.multiplier_lr,
        alpha_threshold=section.threshold,
        lam=section.minimum_weight,
        n_action_samples=section.acting_samples,
        n_target_samples=section.next_samples,
        n_mmd_action_samples=section.samples,
        mmd_kernel=section.kernel,
        mmd_sigma=section.bandwidth,
        warmup_steps=0,
    )
