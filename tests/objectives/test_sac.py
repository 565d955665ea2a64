"""SAC: numbers by hand, those of TorchRL's loss, gradients in their places, alpha 0 and tuned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor
from torchrl.objectives import SACLoss as TorchRLLoss
from torchrl.objectives import SoftUpdate, ValueEstimators

from awac_tr.objectives import BatchError, BCLoss, SACLoss

ROWS = ("ordinary", "terminal", "truncated")


@pytest.fixture
def make_sac(networks: Callable[..., tuple[Any, list[Any]]]) -> Callable[..., SACLoss]:
    def build(*, gamma: float = 0.75, count: int = 2, policy: Any = None, **options: Any) -> SACLoss:
        loss = SACLoss(*networks(count=count, **(policy or {})), **options)
        loss.make_value_estimator(ValueEstimators.TD0, gamma=gamma)
        SoftUpdate(loss, tau=0.5)
        for target in loss.target_qvalue_network_params.data.values(True, True):
            target.mul_(1.25)
        return loss

    return build


class Known:
    """A policy whose samples have this log-probability."""

    def __init__(self, likelihood: list[float]) -> None:
        self.likelihood = torch.tensor(likelihood, dtype=torch.float64)

    def sample(self) -> Tensor:
        return torch.zeros(len(self.likelihood), 2, dtype=torch.float64)

    rsample = sample

    def log_prob(self, action: Tensor) -> Tensor:
        return self.likelihood


def answered(monkeypatch: pytest.MonkeyPatch, loss: SACLoss, *values: list[float]) -> None:
    """Every critic's Q of whatever it is asked, one list a critic."""
    fixed = torch.tensor(values, dtype=torch.float64).unsqueeze(-1)
    monkeypatch.setattr(loss, "_qvalues", lambda *_, **__: (fixed,))


@pytest.mark.parametrize(
    ("alpha", "terminated", "expected"), [(0.2, False, -12.583), (0.2, True, -1.0), (0.0, False, -12.88)]
)
def test_targets_of_the_sheet(
    alpha: float, terminated: bool, expected: float, make_sac: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = make_sac(alpha=alpha, tune_alpha=False, gamma=0.99)
    batch = transitions("terminal" if terminated else "ordinary")
    batch["next", "reward"] = -torch.ones(1, 1, dtype=torch.float64)
    answered(monkeypatch, loss, [-10.0], [-12.0])
    value = loss.next_value(batch["next"], Known([-1.5]))
    assert float(loss.value_estimator.value_estimate(batch, next_value=value)) == pytest.approx(expected)


def test_alphas_loss_and_gradient_of_the_sheet(
    make_sac: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the gradient's sign a policy that is too sure of itself, log pi above -target, is given a larger alpha."""
    loss = make_sac(target_entropy=-2.0)
    loss.log_alpha.data.fill_(0.5)
    monkeypatch.setattr(loss, "_policies", lambda *_: (Known([-1.5]),))
    out = loss.alpha_loss(transitions("ordinary"))["loss_alpha"]
    (gradient,) = torch.autograd.grad(out, [loss.log_alpha])
    assert (float(out.detach()), float(gradient)) == pytest.approx((1.75, 3.5))


def test_actor_with_demonstrations_of_the_sheet(
    make_sac: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = make_sac(alpha=0.2, tune_alpha=False)
    answered(monkeypatch, loss, [-10.0, -8.0], [-9.0, -7.0])
    actor, found = loss._actor_terms(loss._batch(transitions("ordinary", "ordinary")), Known([-1.5, 0.5]))
    assert float(actor) == pytest.approx(8.9)
    assert float(found["actor_qvalue"]) == pytest.approx(-9)
    cloning = BCLoss(loss.actor_network)
    monkeypatch.setattr(cloning, "_policies", lambda *_: (_clone([1.2, 2.2]),))
    assert float(actor + cloning(transitions("ordinary", "ordinary"))["loss_actor"]) == pytest.approx(7.2)


def _clone(likelihood: list[float]) -> Any:
    known = Known(likelihood)
    known.mean = known.sample()  # type: ignore[attr-defined]
    return known


@pytest.mark.parametrize("distribution", ["normal", "tanh_normal"])
@pytest.mark.parametrize("tuned", [True, False])
def test_numbers_are_those_of_torchrl(
    distribution: str, tuned: bool, make_sac: Any, networks: Any, transitions: Any
) -> None:
    ours = make_sac(alpha=0.3, tune_alpha=tuned, target_entropy=-2.0, policy={"distribution": distribution})
    actor, critics = networks(distribution=distribution)
    theirs = TorchRLLoss(
        actor, critics, num_qvalue_nets=2, loss_function="l2", alpha_init=0.3, fixed_alpha=not tuned, target_entropy=-2
    )
    theirs.make_value_estimator(ValueEstimators.TD0, gamma=0.75)
    SoftUpdate(theirs, tau=0.5)
    for target in theirs.target_qvalue_network_params.data.values(True, True):
        target.mul_(1.25)
    found = []
    for loss in (ours, theirs):
        torch.manual_seed(2)
        out = loss(transitions(*ROWS))
        leaves = [leaf for leaf in loss.actor_network_params.values(True, True) if leaf.requires_grad]
        gradients = torch.autograd.grad(out["loss_actor"], leaves)
        found.append((out["loss_actor"], out["loss_qvalue"], *gradients))
    for mine, others in zip(*found, strict=True):
        torch.testing.assert_close(mine, others, rtol=1e-6, atol=1e-7)


def test_gradients_reach_their_own_networks_only(make_sac: Any, transitions: Any) -> None:
    loss = make_sac()
    groups = {
        name: [leaf for leaf in getattr(loss, f"{name}_params").values(True, True) if leaf.requires_grad]
        for name in ("actor_network", "qvalue_network")
    } | {"alpha": [loss.log_alpha]}
    for losses, own in (("loss_actor", "actor_network"), ("loss_qvalue", "qvalue_network"), ("loss_alpha", "alpha")):
        out = (loss.alpha_loss if own == "alpha" else loss)(transitions(*ROWS))
        for name, leaves in groups.items():
            gradients = torch.autograd.grad(out[losses], leaves, retain_graph=True, allow_unused=True)
            assert all((gradient is not None and bool(gradient.any())) == (name == own) for gradient in gradients)


def test_the_end_hides_the_next_state_and_a_time_limit_does_not(make_sac: Any, transitions: Any) -> None:
    for row, changes in (("terminal", False), ("truncated", True)):
        loss, batch = make_sac(), transitions(row)
        torch.manual_seed(0)
        before = loss(batch)["target_value"]
        batch["next", "observation"] += 1
        torch.manual_seed(0)
        assert (loss(batch)["target_value"] != before) == changes


def test_terminals_may_be_ignored_and_values_bounded(make_sac: Any, transitions: Any) -> None:
    loss = make_sac(alpha=0.0, tune_alpha=False, value_bounds=(-50.0, -40.0), ignore_terminals=True)
    batch = transitions("terminal")
    assert float(loss(batch)["target_value"]) == pytest.approx(float(batch["next", "reward"]) - 0.75 * 40)


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_shapes(rows: int, count: int, make_sac: Any, transitions: Any) -> None:
    loss, batch = make_sac(count=count), transitions(*["ordinary"] * rows)
    assert all(value.shape == () for value in loss(batch).values())
    apart = make_sac(count=count, reduction="none")(batch)
    assert apart.batch_size == (rows,)
    batch["next", "reward"] = batch["next", "reward"].squeeze(-1)
    with pytest.raises(BatchError, match="expected"):
        loss(batch)


def test_alpha_may_change_where_it_is_fixed(make_sac: Any, transitions: Any) -> None:
    loss = make_sac(alpha=0.0, tune_alpha=False)
    loss.alpha = 0.5
    assert float(loss(transitions(*ROWS))["alpha"]) == 0.5
    with pytest.raises(ValueError, match="at least 0"):
        loss.alpha = -1.0
    with pytest.raises(ValueError, match="above 0 where it is tuned"):
        make_sac(alpha=0.0)


def test_next_states_share_one_action_a_row(make_sac: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both targets look at the same action."""
    loss, asked = make_sac(), []
    whole = loss._target_qvalues
    monkeypatch.setattr(
        loss, "_target_qvalues", lambda states, actions: asked.append(actions) or whole(states, actions)
    )
    loss(transitions(*ROWS))
    assert [tuple(each.shape) for each in asked] == [(3, 2)]


def test_works_by_keywords(make_sac: Any, transitions: Any) -> None:
    batch: TensorDict = transitions(*ROWS)
    out = make_sac()(
        observation=batch["observation"],
        action=batch["action"],
        next_observation=batch["next", "observation"],
        next_reward=batch["next", "reward"],
        next_terminated=batch["next", "terminated"],
    )
    assert len(out) == 8
