"""A recipe's sizes in d3rlpy's words, for ``peer.py`` of those algorithms that it has too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from awac_tr.recipes.schema import Recipe

__all__ = ["PeerSizes"]


@dataclass(frozen=True)
class PeerSizes:
    """The recipe's sizes in d3rlpy's words.

    Attributes:
        encoder: hidden sizes -> the factory of a network of ReLUs.
        actor_critic: keywords of the configuration of a method with both.
        one_network: of a method with a policy alone.
    """

    encoder: Callable[[Sequence[int]], Any]
    actor_critic: Mapping[str, Any]
    one_network: Mapping[str, Any]

    @classmethod
    def of(cls, d3rlpy: Any, recipe: Recipe, batch_size: int, device: torch.device) -> PeerSizes:
        """Those of a recipe."""
        make, policy, qvalue = d3rlpy.models.encoders.VectorEncoderFactory, recipe.policy, recipe.qvalue
        both = {"batch_size": batch_size, "compile_graph": device.type == "cuda"}
        actor = make(list(policy.hidden_sizes), policy.activation)
        critics = {
            "actor_encoder_factory": actor,
            "critic_encoder_factory": make(list(qvalue.hidden_sizes), qvalue.activation),
            "n_critics": qvalue.count,
        }
        return cls(lambda sizes: make(list(sizes)), both | critics, both | {"encoder_factory": actor})
