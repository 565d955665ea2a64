"""BCLoss: behaviour cloning as a TorchRL loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import ProbabilisticTensorDictSequential, dispatch

from awac_tr.objectives.base import ActorLoss, Reduction, check_choice, deterministic_action, log_prob
from awac_tr.objectives.batch import working_copy

__all__ = ["BCLoss"]


class BCLoss(ActorLoss):
    """Supervised learning of a policy on recorded actions (A.4 of the paper: the behavioural clone).

    - ``nll``: ``loss_actor = -mean_B log pi(a | s)``, which trains the mean and the deviation;
    - ``mse``: ``loss_actor = mean_B mean_j (mu_j(s) - a_j)^2`` over the dimensions j of an action, mu the policy's
      deterministic action; the deviation is not trained.

    Args:
        actor_network: pi, with log-probabilities of the batch's shape [B].

    Keyword Args:
        loss_function: ``nll`` or ``mse``.
        reduction: ``mean`` (also None) or ``sum`` over the batch, or ``none``: one number a row.

    Batch: ``action`` [B, action_size] (renamed by ``set_keys(action=...)``) and the inputs of the actor. It is not
    written to.

    Returns:
        From :meth:`forward`, a TensorDict without batch size: ``loss_actor``, and, detached, the means ``log_prob`` and
        ``squared_error`` (as under ``mse``). Under ``reduction="none"`` it has the batch's size [B], and so has each.

    Raises:
        BatchError: from :meth:`forward`, an entry is missing or has the wrong shape.
        ValueError: from the constructor, an unknown option.

    Examples:
        >>> import torch
        >>> from tensordict.nn import ProbabilisticTensorDictModule, TensorDictModule
        >>> from torch import nn
        >>> from torchrl.modules import IndependentNormal, NormalParamExtractor
        >>> head = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor())
        >>> actor = ProbabilisticTensorDictSequential(
        ...     TensorDictModule(head, in_keys=["observation"], out_keys=["loc", "scale"]),
        ...     ProbabilisticTensorDictModule(
        ...         in_keys=["loc", "scale"], out_keys=["action"], distribution_class=IndependentNormal
        ...     ),
        ... )
        >>> loss_actor, log_prob, squared_error = BCLoss(actor)(observation=torch.randn(5, 3), action=torch.zeros(5, 2))
        >>> loss_actor.backward()
        >>> bool(loss_actor == -log_prob)
        True
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
    _out_keys_reduced: ClassVar = ("loss_actor", "log_prob", "squared_error")
    _out_keys_per_row: ClassVar = _out_keys_reduced

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        *,
        loss_function: Literal["nll", "mse"] = "nll",
        reduction: Reduction | None = None,
    ) -> None:
        super().__init__(reduction)
        check_choice("loss_function", loss_function, ("nll", "mse"))
        self.loss_function = loss_function
        self.convert_to_functional(actor_network, "actor_network")

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """The loss and the diagnostics; shapes and keys in the class docstring."""
        self._refuse_masks(tensordict)
        batch = working_copy(tensordict, self.tensor_keys.action, self.in_keys)
        (policy,) = self._policies(batch)
        action = batch.get(self.tensor_keys.action)
        likelihood = log_prob(policy, action, batch)
        error = (deterministic_action(policy) - action).square().mean(-1)
        terms = {
            "loss_actor": self._reduce_loss(-likelihood if self.loss_function == "nll" else error),
            "log_prob": self._mean(likelihood),
            "squared_error": self._mean(error),
        }
        return self._output(terms, batch)

    def _wanted_keys(self) -> list[NestedKey]:
        return [*self.actor_network.in_keys, self.tensor_keys.action]
