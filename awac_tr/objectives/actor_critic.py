"""What losses with an actor and several critics share: Eq. 3, with a hook for what the next state is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase, TensorDictParams, unravel_key
from tensordict.nn import ProbabilisticTensorDictSequential, TensorDictModule
from torch import Tensor, nn
from torch.distributions import Distribution
from torchrl.objectives import ValueEstimators, distance_loss
from torchrl.objectives.utils import dispatch_value_estimator
from torchrl.objectives.value import TD0Estimator

from awac_tr.objectives.base import ActorLoss, Reduction, check_choice
from awac_tr.objectives.batch import require_column, require_terminated, row_values, working_copy
from awac_tr.objectives.ensemble import (
    critic_list,
    ensemble_values,
    keep_parameters,
    shared_parameters,
    some_critics,
)

__all__ = ["ActorCriticLoss", "DistanceName", "bellman_error"]

DistanceName = Literal["l2", "l1", "smooth_l1"]


def bellman_error(qvalues: Tensor, target: Tensor, loss_function: DistanceName = "l2") -> tuple[Tensor, Tensor]:
    """Eq. 3 before the mean over the batch.

    Args:
        qvalues: Q_i(s, a) of N critics, [N, *B, 1].
        target: y, [*B, 1], without gradient; for a target of its own for each critic [N, *B, 1].
        loss_function: ``l2`` (the paper), ``l1`` or ``smooth_l1``.

    Returns:
        The sum over the critics of the distance between Q_i and y, and the largest |Q_i - y|, detached, both [*B].

    Examples:
        >>> loss, td_error = bellman_error(torch.tensor([[[1.0]], [[4.0]]]), torch.tensor([[2.0]]))
        >>> loss, td_error
        (tensor([5.]), tensor([2.]))
    """
    target = target.to(qvalues.dtype).expand_as(qvalues)
    distance = distance_loss(qvalues, target, loss_function).sum(0)
    return distance.squeeze(-1), (qvalues.detach() - target).abs().amax(0).squeeze(-1)


class ActorCriticLoss(ActorLoss):
    """An actor and N critics with targets that follow them; the critics' loss is Eq. 3.

    Subclasses say in :meth:`next_value` what the next state is worth, and add the actor's loss. Arguments, batch and
    errors are those of :class:`~awac_tr.objectives.AWACLoss`.
    """

    @dataclass
    class _AcceptedKeys:
        """Keys that ``set_keys(name=key)`` changes; reward, done and terminated are looked for under ``next``.

        Attributes:
            action: actions, read from the batch and by the critics.
            state_action_value: where the critics write Q [B, 1].
            reward: rewards [B, 1] under ``next``.
            done: bool flags [B, 1] under ``next``; TorchRL's losses list them, ours never read them.
            terminated: bool flags [B, 1] under ``next``.
            priority: where ``forward`` writes the TD error [B], for prioritised replay.
            priority_weight: importance weights [B] or [B, 1] of prioritised replay.
        """

        action: NestedKey = "action"
        state_action_value: NestedKey = "state_action_value"
        reward: NestedKey = "reward"
        done: NestedKey = "done"
        terminated: NestedKey = "terminated"
        priority: NestedKey = "td_error"
        priority_weight: NestedKey = "priority_weight"

    default_keys = _AcceptedKeys
    tensor_keys: _AcceptedKeys
    _target_actor: ClassVar[bool] = False
    """Whether a target follows the actor, too."""
    default_value_estimator = ValueEstimators.TD0

    qvalue_network: TensorDictModule
    qvalue_network_params: TensorDictParams
    target_qvalue_network_params: TensorDictParams

    def __init__(
        self,
        actor_network: ProbabilisticTensorDictSequential,
        qvalue_network: TensorDictModule | Sequence[TensorDictModule] | nn.ModuleList,
        *,
        num_qvalue_nets: int | None = None,
        sub_sample_len: int | None = None,
        loss_function: DistanceName = "l2",
        ignore_terminals: bool = False,
        separate_losses: bool = True,
        deactivate_vmap: bool = False,
        reduction: Reduction | None = None,
        use_prioritized_weights: bool | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(reduction)
        check_choice("loss_function", loss_function, ("l2", "l1", "smooth_l1"))
        self.loss_function = loss_function
        self.ignore_terminals = ignore_terminals
        self.separate_losses = separate_losses
        self.deactivate_vmap = deactivate_vmap
        self.use_prioritized_weights = use_prioritized_weights
        self.convert_to_functional(actor_network, "actor_network", create_target_params=self._target_actor)
        self._take_critics(*critic_list(qvalue_network, num_qvalue_nets))
        self.sub_sample_len = sub_sample_len
        if sub_sample_len is not None and not 1 <= sub_sample_len <= self.num_qvalue_nets:
            raise ValueError(f"sub_sample_len is {sub_sample_len}, it must be from 1 to {self.num_qvalue_nets} critics")
        self.make_value_estimator()  # at once, so that gamma is in the state dict from the beginning

    def _take_critics(self, critics: TensorDictModule | list[TensorDictModule], count: int) -> None:
        self.num_qvalue_nets = count
        self._trunk = shared_parameters(critics, self.actor_network)
        against = list(self.actor_network.parameters())
        self.convert_to_functional(critics, "qvalue_network", count, create_target_params=True, compare_against=against)
        if count == 1:
            # by name among the children: asking for targets warns where nothing updates them yet
            keep_parameters(
                self.qvalue_network, *(params for name, params in self.named_children() if "qvalue" in name)
            )
        self._share_trunk()

    def _share_trunk(self) -> None:
        """Put the actor's tensors where the critics have the same: a list of critics TorchRL does not compare.

        They keep their gradient: updaters of targets take what has none for a constant.
        """
        params = self.qvalue_network_params
        with params.unlock_():
            for key, source in self._trunk.items():
                tensor = self.actor_network_params.get(source)
                params.set(key, tensor.expand(self.num_qvalue_nets, *tensor.shape))

    def _critics(self) -> TensorDictBase:
        """The parameters of the critics [N], as ``loss_qvalue`` trains them."""
        params = self.qvalue_network_params
        if not self._trunk or not self.separate_losses:
            return params
        own = TensorDict(params.to_dict(), batch_size=params.batch_size)
        return own.update({key: own.get(key).detach() for key in self._trunk})

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy's critics share the trunk of the copy's actor."""
        super().__setstate__(state)
        self._share_trunk()

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any) -> ActorCriticLoss:
        """After a move to a device or dtype the trunk is shared anew."""
        super()._apply(fn, *args)
        self._share_trunk()
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As of any module; the trunk is the actor's afterwards."""
        params = self.qvalue_network_params
        with params.unlock_():
            for key in self._trunk:  # nothing can be copied into one tensor that stands there for several
                params.set(key, params.get(key).data.clone())
        try:
            return super().load_state_dict(state_dict, *args, **kwargs)
        finally:
            self._share_trunk()

    def next_value(self, following: TensorDict, policy: Distribution) -> Tensor:
        """V(s') of Eq. 3, to be discounted, [*B, 1].

        Args:
            following: next states [*B], of which a copy may be written to.
            policy: pi(. | s').
        """
        raise NotImplementedError

    def qvalue_loss(self, tensordict: TensorDictBase) -> tuple[Tensor, TensorDict]:
        """Eq. 3 alone.

        Args:
            tensordict: a batch as for ``forward``; not written to.

        Returns:
            The loss, with gradient to the critics only, and a TensorDict without batch size: ``td_error`` [*B] and the
            diagnostics ``qvalue`` and ``target_value``.
        """
        batch = self._batch(tensordict)
        with torch.no_grad():
            (next_policy,) = self._policies(batch.get("next"))
        (qvalues,) = self._qvalues(self._critics(), batch)
        loss, metadata = self._qvalue_terms(batch, qvalues, next_policy)
        return loss, TensorDict(metadata)

    def _qvalue_terms(
        self, batch: TensorDict, qvalues: Tensor, next_policy: Distribution
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 3 for Q(s, a) [N, *B, 1], and what there is to say of it."""
        with torch.no_grad():
            value = self.next_value(batch.get("next"), next_policy)
            target: Tensor = self.value_estimator.value_estimate(batch, next_value=value)
        loss, td_error = bellman_error(qvalues, target, self.loss_function)
        apart = self.reduction == "none"
        return self._reduce_loss(loss, weights=self._weights(batch)), {
            "td_error": td_error,
            "qvalue": qvalues.detach().mean(0).squeeze(-1) if apart else qvalues.detach().mean(),
            "target_value": self._mean(target.to(qvalues.dtype).squeeze(-1)),
        }

    def _qvalues(
        self, params: TensorDictBase, *inputs: TensorDict, differentiated: int | None = None
    ) -> tuple[Tensor, ...]:
        """Q of every critic, [N, *B, 1] for each of the inputs [*B]; see :func:`ensemble_values`."""
        network = self.qvalue_network
        return ensemble_values(
            network,
            params,
            self.tensor_keys.state_action_value,
            [each.select(*network.in_keys) for each in inputs],
            differentiated=differentiated,
            vmap_randomness=None if self.deactivate_vmap else self.vmap_randomness,
        )

    def _with_actions(self, batch: TensorDict, actions: Tensor) -> TensorDict:
        """The states [*B] with other actions [K, *B, action_size]: batch size [K, *B]."""
        states = batch.exclude("next").expand(actions.shape[0], *batch.batch_size)
        return states.set(self.tensor_keys.action, actions)

    def _target_qvalues(self, states: TensorDict, actions: Tensor) -> Tensor:
        """Q_target(s, a) of all critics or ``sub_sample_len`` drawn ones, [N, *B, 1], for states and actions [*B]."""
        params = some_critics(self.target_qvalue_network_params, self.sub_sample_len)
        return self._qvalues(params, states.copy().set(self.tensor_keys.action, actions))[0]

    def _batch(self, tensordict: TensorDictBase) -> TensorDict:
        """The entries that are used, checked, in a TensorDict of our own."""
        keys, reads = self.tensor_keys, self.qvalue_network.in_keys
        if unravel_key(keys.action) not in reads:
            raise ValueError(f"the critics read {reads}, not the action {unravel_key(keys.action)!r}: see set_keys")
        self._refuse_masks(tensordict)
        reward, terminated, done = (("next", key) for key in (keys.reward, keys.terminated, keys.done))
        flags = require_terminated(tensordict, terminated)
        wanted = [key for key in self.in_keys if key != unravel_key(done)]
        steps = self.value_estimator.tensor_keys.steps_to_next_obs
        batch = working_copy(tensordict, keys.action, wanted, optional=[steps, keys.priority_weight])
        row_values(batch, steps)
        require_column(batch, reward)
        require_column(batch, terminated)
        if self.ignore_terminals:
            batch.set(terminated, torch.zeros_like(flags))
        return batch

    def _weights(self, batch: TensorDict) -> Tensor | None:
        """Importance weights of prioritised replay [*B]; None: every transition counts alike."""
        if self.use_prioritized_weights is False:
            return None
        return row_values(batch, self.tensor_keys.priority_weight, wanted=self.use_prioritized_weights is True)

    def _write_priority(self, tensordict: TensorDictBase, td_error: Tensor) -> None:
        """The TD error, into the caller's batch; not where it is locked, or guessed from keywords in another shape."""
        if not tensordict.is_locked and tensordict.batch_size == td_error.shape[: tensordict.batch_dims]:
            tensordict.set(self.tensor_keys.priority, td_error)

    def _wanted_keys(self) -> list[NestedKey]:
        keys = self.tensor_keys
        states = [*self.actor_network.in_keys, *self.qvalue_network.in_keys]
        states = [key for key in states if key != unravel_key(keys.action)]
        following: list[NestedKey] = [("next", key) for key in states]
        flags: list[NestedKey] = [("next", keys.reward), ("next", keys.terminated)]
        return [*states, keys.action, *flags, *following, ("next", keys.done)]

    def make_value_estimator(self, value_type: Any = None, **hyperparams: Any) -> ActorCriticLoss:
        """Set the discount: ``make_value_estimator(ValueEstimators.TD0, gamma=0.99)``.

        Args:
            value_type: ``ValueEstimators.TD0``, ``TD0Estimator`` or an instance of it; None: the first.
            hyperparams: of the estimator; ``gamma`` in [0, 1].

        Returns:
            This loss.

        Raises:
            NotImplementedError: another estimator: transitions out of a buffer hold no trajectory to trace.
            ValueError: gamma is not in [0, 1].
        """
        if isinstance(value_type, TD0Estimator):
            _check_gamma(value_type.gamma)
            # not through the property: nn.Module would take the name for a child's
            self._value_estimator = value_type
            self.value_type = TD0Estimator
        else:
            _check_gamma(hyperparams.get("gamma", 0.0))
            kind = ValueEstimators.TD0 if value_type is None or value_type is TD0Estimator else value_type
            if kind not in (ValueEstimators.TD0, "td0", "TD0"):
                raise NotImplementedError(
                    f"{type(self).__name__} knows the value estimator TD0 only, not {value_type!r}"
                )
            dispatch_value_estimator(self, kind, supported={ValueEstimators.TD0}, **hyperparams)
        self._forward_value_estimator_keys()  # renamed keys reach the new estimator
        return self


def _check_gamma(gamma: float | Tensor) -> None:
    values = torch.as_tensor(gamma)
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise ValueError(f"gamma is {gamma}, it must be from 0 to 1")
