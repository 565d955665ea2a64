"""AWACLoss: advantage-weighted actor-critic (Nair et al., 2020) as a TorchRL loss, usable without the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule, dispatch
from torch import Tensor, nn
from torch.distributions import Distribution

from awac_tr.objectives.actor_critic import DistanceName
from awac_tr.objectives.advantage import AdvantageLoss
from awac_tr.objectives.base import Reduction, check_choice, log_prob
from awac_tr.objectives.weights import WEIGHTS, weight_diagnostics

__all__ = ["AWACLoss"]


class AWACLoss(AdvantageLoss):
    r"""Eq. 3 and Eq. 10 of "Accelerating Online Reinforcement Learning with Offline Datasets".

    For transitions (s, a, r, s', terminated) from a buffer, i over the critics:

    - critic, Eq. 3, with the minimum over target critics of TD3 (A.3):
      ``y = r + gamma * (1 - terminated) * clamp(min_i Q_target_i(s', a'))``, ``a' ~ pi(. | s')``,
      ``loss_qvalue = mean_B sum_i (Q_i(s, a) - y)^2``. Only the next value is clamped to ``value_bounds``: a clamp on
      the prediction would leave critics outside the bounds without gradient.
    - actor, Eq. 10 (Eq. 20) with Z(s) dropped: ``loss_actor = -mean_B w * log pi(a | s)``,
      ``w = exp(A / temperature)`` or ``w = B * softmax(A / temperature)``, without gradient through w, where
      ``A = clamp(min_i Q_i(s, a)) - V(s)`` and V(s) is the mean of ``clamp(min_i Q_i(s, a_k))`` over
      ``a_k ~ pi(. | s)``, or that at the policy's deterministic action.

    One :meth:`forward` evaluates Q(s, a) once, for both losses: the advantage is that of the critic before the step.
    No gradient flows from ``loss_actor`` to the critics nor from ``loss_qvalue`` to the actor, so that their sum may be
    differentiated in one pass. Into the caller's batch one entry is written, ``td_error`` [B]: the largest |Q_i - y|,
    the priority of prioritised replay (not into a locked batch).

    Args:
        actor_network: pi; its log-probabilities must have the batch's shape [B], as those of TorchRL's
            ``IndependentNormal`` and ``TanhNormal``.
        qvalue_network: Q. A list or ``ModuleList`` of separately initialised critics of one architecture is kept as
            given (parameters are stacked). A single module for several critics is re-drawn by TorchRL for each, which
            is logged.

    Keyword Args:
        num_qvalue_nets: how many critics; None: the length of the list, or 2 for a single module.
        temperature: lambda of Eq. 10; it divides the advantage, so that a larger one makes the weights more alike
            (``IQLLoss``'s factor of this name multiplies). Above 0, in units of return.
        weighting: ``exp`` (the paper) or ``softmax`` (the authors' code).
        advantage_max: cap on A before weighting; None: none.
        weight_max: cap on w; None: none.
        value_estimate: ``sample`` or ``mean``: V(s) from sampled actions, or at the deterministic action.
        value_samples: K, sampled actions a state for ``sample``.
        value_bounds: (low, high) in units of return, for next values and the Q of the advantage; None: open.
            Rewards in [-1, 0] give (-1 / (1 - gamma), 0).
        sub_sample_len: in Eq. 3 the minimum over so many target critics, drawn anew at each call; None: over all.
        ignore_terminals: bootstrap through terminal states (the authors' hand tasks); the flags must be there still.
        loss_function: ``l2`` (Eq. 3), ``l1`` or ``smooth_l1``: distance between prediction and target.
        separate_losses: parameters that the critics share with the actor are trained by ``loss_actor`` only; False, as
            is TorchRL's default: by both (a list of critics is needed then, since a single one is re-drawn).
        deactivate_vmap: evaluate critics one after another instead of by ``torch.vmap``, with the same results.
        reduction: ``mean`` (also None) or ``sum`` over the batch, or ``none``: one number a transition.
        use_prioritized_weights: whether both losses weigh transitions by ``priority_weight``: ``auto``, where the batch
            has it (``mean`` is a weighted mean then); True: it must be there; False.

    ``temperature``, ``advantage_max``, ``weight_max`` and ``value_bounds`` are buffers of the state dict; caps and
    bounds that are None stand there as infinity. They may be set while training, ``loss.temperature = 0.1``, in
    compiled code too. A state dict from before they were in it loads, and leaves them as constructed.

    The discount is set by ``make_value_estimator(ValueEstimators.TD0, gamma=...)``; 0.99 until then. Other estimators
    are refused: single transitions out of a buffer hold no trajectory to trace. ``steps_to_next_obs`` in the batch
    (TorchRL's multi-step transform) raises gamma to that power. Target parameters are moved by TorchRL's ``SoftUpdate``
    or ``HardUpdate``.

    Batch (keys can be renamed by :meth:`set_keys`): ``action`` [B, action_size], ``("next", "reward")`` [B, 1],
    ``("next", "terminated")`` bool [B, 1], and the inputs of both networks, those also under ``next``. ``done`` is
    among ``in_keys``, as in TorchRL's losses, but not read, and may be missing.

    Returns:
        From :meth:`forward`, a TensorDict without batch size: ``loss_actor`` and ``loss_qvalue``, and, detached,
        scalars over the batch: ``advantage`` (mean of A before caps), ``effective_sample_size`` of the weights (in
        samples, 1 to B), ``capped_fraction`` (share of samples at a cap), ``weight_max`` (largest weight after caps),
        ``log_prob`` (mean of log pi(a | s)), ``qvalue`` (mean of Q_i(s, a) over batch and critics), ``target_value``
        (mean of y). Under ``reduction="none"`` the TensorDict has the batch's size [B] and so has every entry: no mean
        over the batch is taken, and what is of the batch as a whole (the three of the weights) is left out.

    Raises:
        BatchError: from :meth:`forward`, a batch without ``terminated``, with wrong shapes, padded or empty.
        ValueError: from the constructor, an option out of its range; from :meth:`forward`, critics that do not read
            the action's key.

    Examples:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential, TensorDictModule
        >>> from torch import nn
        >>> from torchrl.modules import MLP, IndependentNormal, NormalParamExtractor
        >>> from torchrl.objectives import SoftUpdate, ValueEstimators
        >>> from awac_tr.objectives import AWACLoss
        >>> head = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor())
        >>> actor = ProbabilisticTensorDictSequential(
        ...     TensorDictModule(head, in_keys=["observation"], out_keys=["loc", "scale"]),
        ...     ProbabilisticTensorDictModule(
        ...         in_keys=["loc", "scale"], out_keys=["action"], distribution_class=IndependentNormal
        ...     ),
        ... )
        >>> critics = [
        ...     TensorDictModule(
        ...         MLP(in_features=5, out_features=1, num_cells=[8]),
        ...         in_keys=["observation", "action"],
        ...         out_keys=["state_action_value"],
        ...     )
        ...     for _ in range(2)
        ... ]
        >>> loss = AWACLoss(actor, critics, temperature=0.3, value_bounds=(-100.0, 0.0))
        >>> _ = loss.make_value_estimator(ValueEstimators.TD0, gamma=0.99)
        >>> targets = SoftUpdate(loss, tau=5e-3)
        >>> optimizer = torch.optim.Adam(loss.parameters(), lr=3e-4)
        >>> batch = TensorDict(
        ...     {
        ...         "observation": torch.randn(4, 3),
        ...         "action": torch.rand(4, 2) * 2 - 1,
        ...         "next": {
        ...             "observation": torch.randn(4, 3),
        ...             "reward": -torch.ones(4, 1),
        ...             "terminated": torch.zeros(4, 1, dtype=torch.bool),
        ...         },
        ...     },
        ...     batch_size=[4],
        ... )
        >>> out = loss(batch)
        >>> (out["loss_actor"] + out["loss_qvalue"]).backward()
        >>> optimizer.step()
        >>> targets.step()
        >>> batch["td_error"].shape
        torch.Size([4])
        >>> sorted(key for key in out.keys() if not key.startswith("loss_"))
        ['advantage', 'capped_fraction', 'effective_sample_size', 'log_prob', 'qvalue', 'target_value', 'weight_max']

        Without TensorDict, by keywords, in the order of ``out_keys``:

        >>> loss_actor, loss_qvalue, *_ = loss(
        ...     observation=batch["observation"],
        ...     action=batch["action"],
        ...     next_observation=batch["next", "observation"],
        ...     next_reward=batch["next", "reward"],
        ...     next_terminated=batch["next", "terminated"],
        ... )
        >>> loss_actor.shape, loss_qvalue.shape
        (torch.Size([]), torch.Size([]))

        One loss alone, with what there is to say of it:

        >>> loss_qvalue, metadata = loss.qvalue_loss(batch)
        >>> sorted(metadata.keys())
        ['qvalue', 'target_value', 'td_error']
    """

    _out_keys_per_row: ClassVar = ("loss_actor", "loss_qvalue", "advantage", "log_prob", "qvalue", "target_value")
    _out_keys_reduced: ClassVar = (
        "loss_actor",
        "loss_qvalue",
        "advantage",
        "effective_sample_size",
        "capped_fraction",
        "weight_max",
        "log_prob",
        "qvalue",
        "target_value",
    )

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        num_qvalue_nets: int | None = None,
        temperature: float = 0.3,
        weighting: Literal["exp", "softmax"] = "exp",
        advantage_max: float | None = None,
        weight_max: float | None = None,
        value_estimate: Literal["sample", "mean"] = "sample",
        value_samples: int = 1,
        value_bounds: tuple[float | None, float | None] = (None, None),
        sub_sample_len: int | None = None,
        ignore_terminals: bool = False,
        loss_function: DistanceName = "l2",
        separate_losses: bool = True,
        deactivate_vmap: bool = False,
        reduction: Reduction | None = None,
        use_prioritized_weights: bool | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(
            actor_network,
            qvalue_network,
            coefficients={
                "temperature": temperature,
                "advantage_max": advantage_max,
                "weight_max": weight_max,
                "value_bounds": value_bounds,
            },
            value_estimate=value_estimate,
            value_samples=value_samples,
            num_qvalue_nets=num_qvalue_nets,
            sub_sample_len=sub_sample_len,
            loss_function=loss_function,
            ignore_terminals=ignore_terminals,
            separate_losses=separate_losses,
            deactivate_vmap=deactivate_vmap,
            reduction=reduction,
            use_prioritized_weights=use_prioritized_weights,
        )
        check_choice("weighting", weighting, tuple(WEIGHTS))
        self.weighting = weighting

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Both losses and the diagnostics; shapes and keys in the class docstring."""
        batch = self._batch(tensordict)
        policy, next_policy = self._policies(batch, batch.get("next"))
        acting = self._acting(batch, policy)
        qvalues, value = self._qvalues(self._critics(), batch, acting, differentiated=1)
        loss_qvalue, critic = self._qvalue_terms(batch, qvalues, next_policy)
        loss_actor, actor = self._actor_terms(batch, qvalues.detach(), value, policy)
        self._write_priority(tensordict, critic["td_error"])
        return self._output({"loss_actor": loss_actor, "loss_qvalue": loss_qvalue} | actor | critic, batch)

    def actor_loss(self, tensordict: TensorDictBase) -> tuple[Tensor, TensorDict]:
        """Eq. 10 alone.

        Args:
            tensordict: a batch as for :meth:`forward`; not written to.

        Returns:
            The loss, with gradient to the actor only, and a TensorDict without batch size of its diagnostics.
        """
        batch = self._batch(tensordict)
        (policy,) = self._policies(batch)
        with torch.no_grad():
            qvalues, value = self._qvalues(self._critics(), batch, self._acting(batch, policy))
        loss, metadata = self._actor_terms(batch, qvalues, value, policy)
        return loss, TensorDict(metadata)

    def _actor_terms(
        self, batch: TensorDict, qvalues: Tensor, acting: Tensor, policy: Distribution
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 10 for Q(s, a) [N, *B, 1] and Q(s, a_k) [N, K, *B, 1], both without gradient."""
        likelihood = log_prob(policy, batch.get(self.tensor_keys.action), batch)
        value = self._clamped_min(acting).mean(0)
        advantage = (self._clamped_min(qvalues) - value).squeeze(-1)
        caps = {"advantage_max": self.advantage_max, "weight_max": self.weight_max}
        weighed, diagnostics = self._weighed(batch, advantage, value)
        weights = WEIGHTS[self.weighting](weighed, self.weighing_temperature(), **caps)
        diagnostics |= weight_diagnostics(weighed, weights, **caps)
        diagnostics |= {"advantage": self._mean(advantage), "log_prob": self._mean(likelihood)}
        return self._reduce_loss(-weights * likelihood, weights=self._weights(batch)), diagnostics

    def weighing_temperature(self) -> Tensor:
        """Lambda of the weights, a scalar without gradient."""
        return self.temperature

    def _weighed(self, batch: TensorDict, advantage: Tensor, value: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the weights are made of in place of A [*B], given V(s) [*B, 1]; and what there is to say of it."""
        del batch, value
        return advantage, {}
