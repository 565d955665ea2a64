r"""What an update has to multiply, counted from the recipe alone.

A linear layer n -> m on B rows costs ``F = 2 B n m`` floating-point operations forward, F again for the gradient of
its weights, and F for that of its input, which the first layer of a network does not need: its input is data. With W
the sum of n m over the layers of a network, W1 its first layer, N critics and K sampled actions a state:

==============================  ============================
policy, forward on s            ``2 B W``
policy, backward                ``2 B (2 W - W1)``
policy, forward on s'           ``2 B W``
critics, forward on (s, a)      ``N 2 B W``
critics, backward               ``N 2 B (2 W - W1)``
critics, forward on (s, pi(s))  ``N K 2 B W``
targets, forward on (s', a')    ``N 2 B W``
==============================  ============================

Everything else (activations, losses, Adam, the targets' step) is not a product and is not counted: a share of the
machine's limit that leaves it out can only be too low.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from awac_tr.envs.facts import EnvFacts
    from awac_tr.recipes.schema import PolicySection, Recipe

__all__ = ["Network", "networks", "update_flops", "widest_layer"]


@dataclass(frozen=True)
class Network:
    """Layers (n, m) of an MLP, in order; several heads on the last hidden layer all count.

    Attributes:
        layers: inputs and outputs of each linear layer.
    """

    layers: tuple[tuple[int, int], ...]

    @classmethod
    def mlp(cls, inputs: int, hidden_sizes: Sequence[int], *heads: int) -> Network:
        """From sizes.

        Example:
            >>> Network.mlp(3, [8, 8], 2).layers
            ((3, 8), (8, 8), (8, 2))
        """
        trunk = tuple(pairwise((inputs, *hidden_sizes)))
        return cls((*trunk, *((hidden_sizes[-1], head) for head in heads)))

    @property
    def forward(self) -> int:
        """Floating-point operations for one row forward.

        Example:
            >>> Network.mlp(3, [8], 2).forward == 2 * (3 * 8 + 8 * 2)
            True
        """
        return 2 * sum(n * m for n, m in self.layers)

    @property
    def backward(self) -> int:
        """The same for the gradients of all weights, the input's left out.

        Example:
            >>> Network.mlp(3, [8], 2).backward == 2 * (3 * 8 + 2 * 8 * 2)
            True
        """
        n, m = self.layers[0]
        return 2 * self.forward - 2 * n * m


def networks(recipe: Recipe, env: EnvFacts) -> tuple[Network, Network]:
    """Policy and critic of a recipe; for cloning the critic is there but not used."""
    observation, action = env.observation_size, env.action_size
    heads = (action, action) if recipe.policy.std == "dependent" else (action,)
    policy = Network.mlp(observation, recipe.policy.hidden_sizes, *heads)
    return policy, Network.mlp(observation + action, recipe.qvalue.hidden_sizes, 1)


def update_flops(recipe: Recipe, env: EnvFacts, batch_size: int) -> dict[str, int]:
    """Floating-point operations of one update, by part; see the module's table.

    Args:
        recipe: sizes of the networks, how many critics and sampled actions.
        env: sizes of observations and actions.
        batch_size: B.

    Returns:
        Part -> operations; their sum is the update's.

    Example:
        >>> from awac_tr.envs.facts import env_facts
        >>> from awac_tr.recipes.loader import load_recipe
        >>> parts = update_flops(load_recipe("door").recipe, env_facts("door-binary-v0"), 1024)
        >>> round(sum(parts.values()) / 1e9, 2)
        6.04
    """
    policy, critic = networks(recipe, env)
    if recipe.algorithm == "bc":
        return {
            "policy, forward": batch_size * policy.forward,
            "policy, backward": batch_size * _clone_backward(recipe.policy, policy, env, mse=recipe.bc.loss == "mse"),
        }
    actions = recipe.awac.value_samples if recipe.awac.value_estimate == "sample" else 1
    critics = batch_size * recipe.qvalue.count
    return {
        "policy, forward on s": batch_size * policy.forward,
        "policy, backward": batch_size * policy.backward,
        "policy, forward on s'": batch_size * policy.forward,
        "critics, forward on (s, a)": critics * critic.forward,
        "critics, backward": critics * critic.backward,
        "critics, forward on (s, pi(s))": critics * actions * critic.forward,
        "targets, forward on (s', a')": critics * critic.forward,
    }


def _clone_backward(section: PolicySection, policy: Network, env: EnvFacts, *, mse: bool) -> int:
    """The squared error reaches the head of the mean only."""
    if mse and section.std == "dependent":
        return Network.mlp(env.observation_size, section.hidden_sizes, env.action_size).backward
    return policy.backward


def widest_layer(recipe: Recipe, env: EnvFacts) -> tuple[int, int]:
    """The layer shape (n, m) that most of an update's operations are spent in.

    Example:
        >>> from awac_tr.envs.facts import env_facts
        >>> from awac_tr.recipes.loader import load_recipe
        >>> widest_layer(load_recipe("door").recipe, env_facts("door-binary-v0"))
        (256, 256)
    """
    policy, critic = networks(recipe, env)
    spent: Counter[tuple[int, int]] = Counter()
    for network, count in ((policy, 1), (critic, 0 if recipe.algorithm == "bc" else recipe.qvalue.count)):
        for n, m in network.layers:
            spent[n, m] += count * n * m
    return spent.most_common(1)[0][0]
