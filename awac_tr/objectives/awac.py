"""AWACLoss: advantage-weighted actor-critic (Nair et al., 2020) as a TorchRL loss, usable without the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase, TensorDictParams, unravel_key
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule, dispatch
from torch import Tensor
from torch.distributions import Distribution
from torchrl.objectives import ValueEstimators, distance_loss

from awac_tr.objectives.base import ActorLoss, check_choice, check_rules, deterministic_action, log_prob, set_td0
from awac_tr.objectives.batch import require_column, require_terminated, working_copy
from awac_tr.objectives.ensemble import critic_list, ensemble_values, keep_parameters
from awac_tr.objectives.weights import WEIGHTS, weight_diagnostics

__all__ = ["AWACLoss"]

OUT_KEYS: Final = (
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


class AWACLoss(ActorLoss):
    r"""Eq. 3 and Eq. 10 of "Accelerating Online Reinforcement Learning with Offline Datasets".

    For transitions (s, a, r, s', terminated) from a buffer, i over the critics:

    - critic, Eq. 3, with the minimum over target critics of TD3 (A.3):
      ``y = r + gamma * (1 - terminated) * clamp(min_i Q_target_i(s', a'))``, ``a' ~ pi(. | s')``,
      ``loss_qvalue = mean_B sum_i (Q_i(s, a) - y)^2``. Only the next value is clamped to ``value_bounds``: a clamp on
      the prediction would leave critics outside the bounds without gradient.
    - actor, Eq. 10 (Eq. 20) with Z(s) dropped: ``loss_actor = -mean_B w * log pi(a | s)``,
      ``w = exp(A / lmbda)`` or ``w = B * softmax(A / lmbda)``, without gradient through w, where
      ``A = clamp(min_i Q_i(s, a)) - V(s)`` and V(s) is the mean of ``clamp(min_i Q_i(s, a_k))`` over
      ``a_k ~ pi(. | s)``, or that at the policy's deterministic action.

    One :meth:`forward` evaluates Q(s, a) once, for both losses: the advantage is that of the critic before the step.
    No gradient flows from ``loss_actor`` to the critics nor from ``loss_qvalue`` to the actor, so that their sum may be
    differentiated in one pass. The caller's batch is not written to.

    Args:
        actor_network: pi; its log-probabilities must have the batch's shape [B], as those of TorchRL's
            ``IndependentNormal`` and ``TanhNormal``.
        qvalue_network: Q. A list of separately initialised critics of one architecture is kept as given (parameters
            are stacked). A single module for several critics is re-drawn by TorchRL for each, which is logged.

    Keyword Args:
        num_qvalue_nets: how many critics; None: the length of the list, or 2 for a single module.
        lmbda: lambda of Eq. 10, divides the advantage; in units of return.
        weighting: ``exp`` (the paper) or ``softmax`` (the authors' code).
        advantage_max: cap on A before weighting; None: none.
        weight_max: cap on w; None: none.
        value_estimate: ``sample`` or ``mean``: V(s) from sampled actions, or at the deterministic action.
        value_samples: K, sampled actions a state for ``sample``.
        value_bounds: (low, high) in units of return, for next values and the Q of the advantage; None: open.
            Rewards in [-1, 0] give (-1 / (1 - gamma), 0).
        ignore_terminals: bootstrap through terminal states (the authors' hand tasks); the flags must be there still.
        loss_function: ``l2`` (Eq. 3), ``l1`` or ``smooth_l1``: distance between prediction and target.
        deactivate_vmap: evaluate critics one after another instead of by ``torch.vmap``, with the same results.
        reduction: ``mean`` or ``sum`` over the batch, or ``none``: losses of shape [B].

    The discount is set by ``make_value_estimator(ValueEstimators.TD0, gamma=...)``; 0.99 until then. Other estimators
    are refused: single transitions out of a buffer hold no trajectory to trace. ``steps_to_next_obs`` in the batch
    (TorchRL's multi-step transform) raises gamma to that power. Target parameters are moved by TorchRL's ``SoftUpdate``
    or ``HardUpdate``.

    Batch (keys can be renamed by :meth:`set_keys`): ``action`` [B, action_size], ``("next", "reward")`` [B, 1],
    ``("next", "terminated")`` bool [B, 1], and the inputs of both networks, those also under ``next``. ``done`` is not
    read.

    Returns:
        From :meth:`forward`, a TensorDict without batch size: ``loss_actor`` and ``loss_qvalue``, and, detached,
        scalars over the batch: ``advantage`` (mean of A before caps), ``effective_sample_size`` of the weights (in
        samples, 1 to B), ``capped_fraction`` (share of samples at a cap), ``weight_max`` (largest weight after caps),
        ``log_prob`` (mean of log pi(a | s)), ``qvalue`` (mean of Q_i(s, a) over batch and critics), ``target_value``
        (mean of y).

    Raises:
        BatchError: from :meth:`forward`, a batch without ``terminated`` or with wrong shapes.
        ValueError: from the constructor, an option out of its range.

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
        >>> loss = AWACLoss(actor, critics, lmbda=0.3, value_bounds=(-100.0, 0.0))
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
    """

    @dataclass
    class _AcceptedKeys:
        """Keys that ``set_keys(name=key)`` changes; reward and terminated are looked for under ``next``.

        Attributes:
            action: actions, read from the batch and by the critics.
            state_action_value: where the critics write Q [B, 1].
            reward: rewards [B, 1] under ``next``.
            terminated: bool flags [B, 1] under ``next``.
        """

        action: NestedKey = "action"
        state_action_value: NestedKey = "state_action_value"
        reward: NestedKey = "reward"
        terminated: NestedKey = "terminated"

    default_keys = _AcceptedKeys
    tensor_keys: _AcceptedKeys
    default_value_estimator = ValueEstimators.TD0
    out_keys: ClassVar[list[str]] = list(OUT_KEYS)

    qvalue_network: TensorDictModule
    qvalue_network_params: TensorDictParams
    target_qvalue_network_params: TensorDictParams

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule],
        *,
        num_qvalue_nets: int | None = None,
        lmbda: float = 0.3,
        weighting: Literal["exp", "softmax"] = "exp",
        advantage_max: float | None = None,
        weight_max: float | None = None,
        value_estimate: Literal["sample", "mean"] = "sample",
        value_samples: int = 1,
        value_bounds: tuple[float | None, float | None] = (None, None),
        ignore_terminals: bool = False,
        loss_function: Literal["l2", "l1", "smooth_l1"] = "l2",
        deactivate_vmap: bool = False,
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> None:
        super().__init__()
        self.lmbda = lmbda
        self.weighting = weighting
        self.advantage_max = advantage_max
        self.weight_max = weight_max
        self.value_estimate = value_estimate
        self.value_samples = value_samples
        self.value_bounds = value_bounds
        self.ignore_terminals = ignore_terminals
        self.loss_function = loss_function
        self.deactivate_vmap = deactivate_vmap
        self.reduction = reduction
        self._check_options()
        self.convert_to_functional(actor_network, "actor_network")
        critics, self.num_qvalue_nets = critic_list(qvalue_network, num_qvalue_nets)
        self.convert_to_functional(critics, "qvalue_network", self.num_qvalue_nets, create_target_params=True)
        if self.num_qvalue_nets == 1:
            # by name among the children: asking for targets warns where nothing updates them yet
            keep_parameters(critics, *(params for name, params in self.named_children() if "qvalue" in name))
        self.make_value_estimator()  # at once, so that gamma is in the state dict from the beginning

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Both losses and the diagnostics; shapes and keys in the class docstring."""
        batch = self._batch(tensordict)
        policy, next_policy = self._policies(batch, batch.get("next"))
        qvalues, value = self._qvalues(self.qvalue_network_params, batch, self._acting(batch, policy))
        critic = self._qvalue_terms(batch, qvalues, next_policy)
        actor = self._actor_terms(batch, qvalues.detach(), value, policy)
        return _output(actor | critic)

    def loss_actor(self, tensordict: TensorDictBase) -> TensorDict:
        """The part of :meth:`forward` that trains the actor (Eq. 10), with its diagnostics, for the same batch."""
        batch = self._batch(tensordict)
        (policy,) = self._policies(batch)
        with torch.no_grad():
            qvalues, value = self._qvalues(self.qvalue_network_params, batch, self._acting(batch, policy))
        return _output(self._actor_terms(batch, qvalues, value, policy))

    def loss_qvalue(self, tensordict: TensorDictBase) -> TensorDict:
        """The part of :meth:`forward` that trains the critics (Eq. 3), with its diagnostics, for the same batch."""
        batch = self._batch(tensordict)
        with torch.no_grad():
            (next_policy,) = self._policies(batch.get("next"))
        (qvalues,) = self._qvalues(self.qvalue_network_params, batch)
        return _output(self._qvalue_terms(batch, qvalues, next_policy))

    def _qvalue_terms(self, batch: TensorDict, qvalues: Tensor, next_policy: Distribution) -> dict[str, Tensor]:
        """Eq. 3 for Q(s, a) [N, *B, 1]."""
        target = self._target_value(batch, next_policy).to(qvalues.dtype)
        distance = distance_loss(qvalues, target.expand_as(qvalues), self.loss_function)
        return {
            "loss_qvalue": self._reduce_loss(distance.sum(0).squeeze(-1)),
            "qvalue": qvalues.detach().mean(),
            "target_value": target.mean(),
        }

    @torch.no_grad()
    def _target_value(self, batch: TensorDict, next_policy: Distribution) -> Tensor:
        """The y of Eq. 3, [*B, 1]."""
        following = batch.get("next").copy()
        following.set(self.tensor_keys.action, next_policy.sample())
        (qvalues,) = self._qvalues(self.target_qvalue_network_params, following)
        target: Tensor = self.value_estimator.value_estimate(batch, next_value=self._clamped_min(qvalues))
        return target

    def _actor_terms(
        self, batch: TensorDict, qvalues: Tensor, acting: Tensor, policy: Distribution
    ) -> dict[str, Tensor]:
        """Eq. 10 for Q(s, a) [N, *B, 1] and Q(s, a_k) [N, K, *B, 1], both without gradient."""
        likelihood = log_prob(policy, batch.get(self.tensor_keys.action), batch)
        value = self._clamped_min(acting).mean(0)
        advantage = (self._clamped_min(qvalues) - value).squeeze(-1)
        caps = {"advantage_max": self.advantage_max, "weight_max": self.weight_max}
        weights = WEIGHTS[self.weighting](advantage, self.lmbda, **caps)
        diagnostics = weight_diagnostics(advantage, weights, **caps) | {"log_prob": likelihood.detach().mean()}
        return {"loss_actor": self._reduce_loss(-weights * likelihood)} | diagnostics

    @torch.no_grad()
    def _acting(self, batch: TensorDict, policy: Distribution) -> TensorDict:
        """States with actions a_k of the policy, batch size [K, *B]: where V(s) looks at Q."""
        if self.value_estimate == "mean":
            actions = deterministic_action(policy).unsqueeze(0)
        else:
            actions = policy.sample((self.value_samples,))
        states = batch.exclude("next").expand(actions.shape[0], *batch.batch_size)
        return states.set(self.tensor_keys.action, actions)

    def _qvalues(self, params: TensorDictParams, *inputs: TensorDict) -> tuple[Tensor, ...]:
        """Q of every critic, [N, *B, 1] for each of the inputs [*B]; gradient flows through the first only."""
        randomness = None if self.deactivate_vmap else self.vmap_randomness
        reads = [each.select(*self.qvalue_network.in_keys) for each in inputs]
        key = self.tensor_keys.state_action_value
        return ensemble_values(self.qvalue_network, params, key, reads, vmap_randomness=randomness)

    def _clamped_min(self, qvalues: Tensor) -> Tensor:
        """clamp(min_i Q_i) over the first dimension."""
        low, high = self.value_bounds
        value = qvalues.min(0)[0]
        return value if low is None and high is None else value.clamp(low, high)

    def _batch(self, tensordict: TensorDictBase) -> TensorDict:
        """The entries that are used, checked, in a TensorDict of our own."""
        self._refuse_masks(tensordict)
        reward, terminated = ("next", self.tensor_keys.reward), ("next", self.tensor_keys.terminated)
        flags = require_terminated(tensordict, terminated)
        batch = working_copy(tensordict, self.tensor_keys.action, self.in_keys, optional=["steps_to_next_obs"])
        require_column(batch, reward)
        require_column(batch, terminated)
        if self.ignore_terminals:
            batch.set(terminated, torch.zeros_like(flags))
        return batch

    def _wanted_keys(self) -> list[NestedKey]:
        keys, states = self.tensor_keys, self.actor_network.in_keys
        action = unravel_key(keys.action)
        if action not in self.qvalue_network.in_keys:
            raise ValueError(f"the critics read {self.qvalue_network.in_keys}, not the action {action!r}: see set_keys")
        states = [*states, *(key for key in self.qvalue_network.in_keys if key != action)]
        following: list[NestedKey] = [("next", key) for key in states]
        return [*states, keys.action, ("next", keys.reward), ("next", keys.terminated), *following]

    def make_value_estimator(self, value_type: Any = None, **hyperparams: Any) -> AWACLoss:
        """Set the discount: ``make_value_estimator(ValueEstimators.TD0, gamma=0.99)``.

        Args:
            value_type: ``ValueEstimators.TD0``, ``TD0Estimator`` or an instance of it; None: the first.
            hyperparams: of the estimator; ``gamma`` in [0, 1].

        Returns:
            This loss.

        Raises:
            NotImplementedError: another estimator.
        """
        set_td0(self, value_type, hyperparams)
        return self

    def _check_options(self) -> None:
        check_choice("weighting", self.weighting, tuple(WEIGHTS))
        check_choice("value_estimate", self.value_estimate, ("sample", "mean"))
        check_choice("loss_function", self.loss_function, ("l2", "l1", "smooth_l1"))
        check_choice("reduction", self.reduction, ("mean", "sum", "none"))
        low, high = self.value_bounds
        check_rules(
            {
                f"lmbda is {self.lmbda}, it must be above 0": self.lmbda > 0,
                f"value_samples is {self.value_samples}, it must be at least 1": self.value_samples >= 1,
                f"weight_max is {self.weight_max}, it must be above 0": self.weight_max is None or self.weight_max > 0,
                f"value_bounds {self.value_bounds} must be (low, high)": low is None or high is None or low < high,
            }
        )


def _output(terms: dict[str, Tensor]) -> TensorDict:
    return TensorDict({key: terms[key] for key in OUT_KEYS if key in terms}, batch_size=[])
