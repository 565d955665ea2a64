"""d3rlpy's BC, for ``bench --against d3rlpy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from awac_tr.algorithms.bc.config import BCConfig
    from awac_tr.algorithms.peer_sizes import PeerSizes

__all__ = ["WORK", "config"]

WORK: Final = "has no likelihood: in place of nll it takes the squared error of a drawn action"
"""In what its update differs from ours."""


def config(d3rlpy: Any, sizes: PeerSizes, section: BCConfig) -> Any:
    """Its configuration at the recipe's sizes and rates."""
    return d3rlpy.algos.BCConfig(
        **sizes.one_network,
        learning_rate=section.lr,
        policy_type="stochastic" if section.loss == "nll" else "deterministic",
    )
