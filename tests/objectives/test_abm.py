"""ABM: the weights of A.4 and of the authors' code, the losses in numpy, and who gets which gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchrl.objectives import SoftUpdate, ValueEstimators

from awac_tr.objectives import ABMLoss, BatchError
from awac_tr.objectives.weights import exp_weights, indicator_weights, sign_weights, softmax_weights

ADVANTAGE = torch.tensor([0.3, -0.1, 0.0, 1.2], dtype=torch.float64)
ROWS = ("ordinary", "terminal", "truncated")
FIXED = {"next", "observation", "action"}


@pytest.fixture
def make_abm(networks: Callable[..., tuple[Any, list[Any]]]) -> Callable[..., ABMLoss]:
    def build(*, policy: dict[str, Any] | None = None, **options: Any) -> ABMLoss:
        actor, critics = networks(**(policy or {}))
        prior = copy.deepcopy(actor)
        for parameter in prior.parameters():
            torch.nn.init.normal_(parameter, std=0.6)
        loss = ABMLoss(actor, prior, critics, **options)
        loss.make_value_estimator(ValueEstimators.TD0, gamma=0.75)
        SoftUpdate(loss, tau=0.5)
        for target in loss.target_qvalue_network_params.data.values(True, True):
            target.mul_(1.25)
        return loss

    return build


def test_weights_of_the_sheet() -> None:
    expected = {
        "indicator": (indicator_weights(ADVANTAGE), (1, 0, 0, 1)),
        "exp": (exp_weights(ADVANTAGE, 0.5), (1.822119, 0.818731, 1, 11.023176)),
        "softmax": (softmax_weights(ADVANTAGE, 0.5), (0.497031, 0.223330, 0.272776, 3.006862)),
        "sign": (sign_weights(ADVANTAGE, 0.5), (1.857311, 0.034018, 0.251360, 1.857311)),
        "capped": (exp_weights(ADVANTAGE, 1.0, weight_max=20.0), (1.349859, 0.904837, 1, 3.320117)),
    }
    for name, (found, numbers) in expected.items():
        np.testing.assert_allclose(found.numpy(), numbers, atol=5e-7, err_msg=name)


def both(loss: ABMLoss, batch: Any) -> tuple[Any, Any, Any]:
    """(pi, pi_abm, min_i Q(s, action)) of the loss's own parameters."""
    policy = loss.actor_network.get_dist(batch.select("observation"))
    with loss.prior_network_params.to_module(loss.prior_network):
        prior = loss.prior_network.get_dist(batch.select("observation"))

    def q(action: torch.Tensor) -> torch.Tensor:
        values = []
        for i in range(2):
            with loss.qvalue_network_params[i].to_module(loss.qvalue_network):
                asked = batch.select("observation").set("action", action)
                values.append(loss.qvalue_network(asked)["state_action_value"][:, 0])
        return torch.stack(values).min(0)[0]

    return policy, prior, q


@pytest.mark.parametrize("scheme", ["exp", "softmax", "indicator", "sign"])
@pytest.mark.parametrize("prior_value", ["policy", "prior"])
def test_losses_are_those_of_a4(scheme: Any, prior_value: Any, make_abm: Any, transitions: Any) -> None:
    loss, batch = make_abm(weighting=scheme, prior_weighting=scheme, prior_value=prior_value), transitions(*ROWS * 3)
    drawn: list[torch.Tensor] = []
    sample = torch.distributions.Normal.sample

    def noted(self: Any, shape: Any = ()) -> torch.Tensor:
        drawn.append(sample(self, shape))
        return drawn[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributions.Normal, "sample", noted)
        torch.manual_seed(3)
        out = loss(batch)
    proposed, acting = drawn[0][0], drawn[1][0]
    policy, prior, q = both(loss, batch)
    value = q(acting)
    baseline = value if prior_value == "policy" else q(proposed)

    def weights(a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        soft = np.exp((np.sign(a) if scheme == "sign" else a) / 0.3)
        return {
            "exp": np.minimum(np.exp(a / 0.3), 20),
            "indicator": (a > 0) * 1.0,
        }.get(scheme, np.minimum(len(a) * soft / soft.sum(), 20))

    of_data = (q(batch["action"]) - baseline).detach().numpy()
    of_prior = (q(proposed) - value).detach().numpy()
    expected = {
        "loss_prior": -np.mean(weights(of_data) * prior.log_prob(batch["action"]).detach().numpy()),
        "loss_actor": -np.mean(weights(of_prior) * policy.log_prob(proposed).detach().numpy()),
        "prior_advantage": of_prior.mean(),
        "advantage": (q(batch["action"]) - value).mean().item(),
        "prior_weight": weights(of_data).mean(),
        "effective_sample_size": weights(of_prior).sum() ** 2 / (weights(of_prior) ** 2).sum(),
    }
    for name, number in expected.items():
        assert out[name].item() == pytest.approx(number, rel=1e-9), name


def test_no_better_action_gives_the_prior_nothing(make_abm: Any, transitions: Any) -> None:
    """A mean of zeros and not 0 / 0; and an advantage of exactly 0 is not above 0."""
    loss, batch = make_abm(value_bounds=(10.0, 11.0)), transitions(*ROWS)
    out = loss(batch)
    assert out["advantage"] == 0
    assert out["loss_prior"] == out["prior_weight"] == 0
    out["loss_prior"].backward()
    assert all(not parameter.grad.any() for parameter in gradients(loss, "prior_network_params"))


def gradients(loss: ABMLoss, name: str) -> list[Any]:
    return [leaf for leaf in getattr(loss, name).values(True, True) if leaf.requires_grad]


@pytest.mark.parametrize(
    ("term", "reached"),
    [
        ("loss_actor", "actor_network_params"),
        ("loss_prior", "prior_network_params"),
        ("loss_qvalue", "qvalue_network_params"),
    ],
)
def test_each_loss_reaches_its_own_network_only(term: str, reached: str, make_abm: Any, transitions: Any) -> None:
    loss = make_abm(prior_weighting="exp")
    loss(transitions(*ROWS * 4))[term].backward()
    for name in ("actor_network_params", "prior_network_params", "qvalue_network_params"):
        found = [leaf.grad is not None and bool(leaf.grad.any()) for leaf in gradients(loss, name)]
        assert all(found) if name == reached else not any(found), name
    assert not gradients(loss, "target_qvalue_network_params")


def test_a_terminal_state_has_no_future(make_abm: Any, transitions: Any) -> None:
    for end, same in (("terminal", True), ("truncated", False)):
        loss, batch = make_abm(), transitions(end, end)
        found = []
        for _ in range(2):
            torch.manual_seed(0)
            found.append(loss(batch)["target_value"].item())
            batch["next", "observation"] += 1
        assert (found[0] == found[1]) is same


@pytest.mark.parametrize("rows", [1, 2])
def test_small_batches(rows: int, make_abm: Any, transitions: Any) -> None:
    loss, batch = make_abm(), transitions(*ROWS[:rows])
    assert all(value.isfinite() for value in loss(batch).values())
    batch["next", "reward"] = batch["next", "reward"][:, 0]
    with pytest.raises(BatchError, match="reward"):
        loss(batch)


def test_per_row(make_abm: Any, transitions: Any) -> None:
    batch = transitions(*ROWS)
    torch.manual_seed(1)
    whole = make_abm()(batch)
    torch.manual_seed(1)
    rows = make_abm(reduction="none")(batch)
    for name in ("loss_actor", "loss_prior", "loss_qvalue", "advantage"):
        assert rows[name].shape == (3,)
        torch.testing.assert_close(rows[name].mean(), whole[name])


def test_what_cannot_be_is_refused(networks: Any) -> None:
    actor, critics = networks()
    with pytest.raises(ValueError, match="the prior is the actor itself"):
        ABMLoss(actor, actor, critics)
    with pytest.raises(ValueError, match="prior_weighting is one of"):
        ABMLoss(actor, copy.deepcopy(actor), critics, prior_weighting="best")  # type: ignore[arg-type]
