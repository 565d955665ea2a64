"""AWRLoss: advantage-weighted regression (Peng et al., 2019), its two regressions and the weights between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase, TensorDictParams
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModuleBase
from torch import Tensor

from awac_tr.keys import OBSERVATION
from awac_tr.objectives.advantage import cap, positive
from awac_tr.objectives.base import ActorLoss, deterministic_action, log_prob
from awac_tr.objectives.batch import require_column, working_copy
from awac_tr.objectives.ensemble import parameters_in
from awac_tr.objectives.weights import exp_weights, weight_diagnostics

__all__ = ["AWRLoss"]

_PENALTY = 10.0
"""Of the mean's overshoot beyond the action bounds, in the released code."""
_ROWS = 1 << 14


class AWRLoss(ActorLoss):
    """The losses of xbpeng/awr, for batches of states with returns, or with actions and weights.

    - V: ``loss_value = mean_B 1/2 (v(s) - R / scale)^2``, with V(s) = scale v(s) and scale = 1 / (1 - gamma);
    - actor: ``loss_actor = -mean_B w log pi(a | s) + 10 mean_B 1/2 sum_j max(0, |mu_j(s)| - 1)^2``, the mean mu in
      units of half the range of an action, from its middle;
    - ``w = min(exp(A / temperature), weight_max)`` of whitened advantages A (:meth:`weights`).

    Args:
        actor_network: pi.
        value_network: v: ``observation`` -> ``state_value`` [B, 1].

    Keyword Args:
        scale: above 0; returns are divided by it, so that v is of order 1.
        temperature: divides whitened advantages, so it is in units of their deviation; above 0.
        weight_max: cap on w; None: none.
        action_low: [action_size] lower bounds of an action; None: -1.
        action_high: [action_size] upper bounds; None: 1.

    Raises:
        BatchError: an entry is missing or has the wrong shape; [B] for [B, 1] is refused.
        ValueError: from the constructor, an option out of its range.
    """

    @dataclass
    class _AcceptedKeys:
        """Keys that ``set_keys(name=key)`` changes.

        Attributes:
            action: recorded actions [B, action_size].
        """

        action: NestedKey = "action"

    default_keys = _AcceptedKeys
    tensor_keys: _AcceptedKeys
    _coefficients: ClassVar = {
        "temperature": lambda value: positive("temperature", value),
        "weight_max": lambda value: positive("weight_max", cap("weight_max", value)),
    }
    _out_keys_reduced: ClassVar = ("loss_actor", "loss_value")
    _out_keys_per_row: ClassVar = _out_keys_reduced

    temperature: Tensor
    weight_max: Tensor
    scale: Tensor
    value_network: TensorDictModuleBase
    value_network_params: TensorDictParams
    target_value_network_params: TensorDictParams

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        value_network: TensorDictModuleBase,
        *,
        scale: float = 1.0,
        temperature: float = 1.0,
        weight_max: float | None = 20.0,
        action_low: Tensor | None = None,
        action_high: Tensor | None = None,
    ) -> None:
        super().__init__("mean")
        self.convert_to_functional(actor_network, "actor_network")
        self.convert_to_functional(value_network, "value_network")
        self._register_coefficients(temperature=temperature, weight_max=weight_max)
        low = torch.as_tensor(-1.0 if action_low is None else action_low)
        high = torch.as_tensor(1.0 if action_high is None else action_high)
        self.register_buffer("scale", self.temperature.new_tensor(positive("scale", scale)))
        self.register_buffer("middle", ((high + low) / 2).to(self.temperature))
        self.register_buffer("half_range", ((high - low) / 2).to(self.temperature))

    @torch.no_grad()
    def values(self, observation: Tensor) -> Tensor:
        """V(s), [N, 1] in units of return, for any number of observations [N, observation_size], in pieces."""
        starts = range(0, len(observation), _ROWS)
        return torch.cat([self._value(observation[start : start + _ROWS]) for start in starts]) * self.scale

    def weights(self, advantage: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """W [N, 1] for whitened advantages [N, 1], and what there is to say of them."""
        weights = exp_weights(advantage, self.temperature, weight_max=self.weight_max)
        return weights, weight_diagnostics(advantage, weights, weight_max=self.weight_max)

    def value_loss(self, batch: TensorDictBase) -> TensorDict:
        """Of V: ``observation`` [B, o] and ``return`` [B, 1] -> ``loss_value``; ``value``, the mean of V(s)."""
        target = require_column(batch, "return") / self.scale
        value = self._value(batch.get(OBSERVATION))
        loss = 0.5 * (value - target).square().mean()
        return TensorDict({"loss_value": loss, "value": value.detach().mean() * self.scale})

    def actor_loss(self, batch: TensorDictBase) -> TensorDict:
        """Of the actor: ``observation``, ``action`` and ``weight`` [B, 1].

        Returns:
            ``loss_actor``, and, detached, ``log_prob`` (mean of log pi(a | s)) and ``out_of_bounds`` (mean over the
            batch of the sum of squared overshoots).
        """
        rows = working_copy(batch, self.tensor_keys.action, [*self.in_keys, "weight"])
        weight = require_column(rows, "weight").squeeze(-1)
        (policy,) = self._policies(rows)
        likelihood = log_prob(policy, rows.get(self.tensor_keys.action), rows)
        mean = (deterministic_action(policy) - self.middle) / self.half_range
        overshoot = (mean.abs() - 1).clamp_min(0).square().sum(-1).mean()
        loss = -(weight * likelihood).mean() + _PENALTY * 0.5 * overshoot
        diagnostics = {"log_prob": likelihood.detach().mean(), "out_of_bounds": overshoot.detach()}
        return TensorDict({"loss_actor": loss} | diagnostics)

    def _value(self, observation: Tensor) -> Tensor:
        network = self.value_network
        with parameters_in(network, self.value_network_params):
            value: Tensor = network(TensorDict({OBSERVATION: observation}, [len(observation)])).get("state_value")
        return value

    def _wanted_keys(self) -> list[NestedKey]:
        return [*self.actor_network.in_keys, self.tensor_keys.action]
