"""MPO, Eq. 21: weights over a state's samples, the loss in numpy, and that the released code's fault is a fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchrl.objectives import SoftUpdate, ValueEstimators

from awac_tr.objectives import BatchError, MPOLoss

ROWS = ("ordinary", "terminal", "truncated")


@pytest.fixture
def make_mpo(networks: Callable[..., tuple[Any, list[Any]]]) -> Callable[..., MPOLoss]:
    def build(*, policy: dict[str, Any] | None = None, **options: Any) -> MPOLoss:
        loss = MPOLoss(*networks(**(policy or {})), **options)
        loss.make_value_estimator(ValueEstimators.TD0, gamma=0.75)
        SoftUpdate(loss, tau=0.5)
        for target in loss.target_qvalue_network_params.data.values(True, True):
            target.mul_(1.25)
        return loss

    return build


def leaves(loss: MPOLoss, name: str) -> list[Any]:
    return [leaf for leaf in getattr(loss, name).values(True, True) if leaf.requires_grad]


def test_weights_of_the_sheet(make_mpo: Any) -> None:
    loss = make_mpo(temperature=2.0, samples=3)
    weights, size = loss._weighted(torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64), None)
    np.testing.assert_allclose(weights[:, 0].numpy(), (0.140244, 0.231224, 0.628532), atol=5e-7)
    kl = float((weights * (3 * weights).log()).sum())
    assert kl == pytest.approx(0.192653, abs=5e-7)
    assert float(size) == pytest.approx(1 / sum(w**2 for w in (0.140244, 0.231224, 0.628532)), rel=1e-5)


def test_each_state_has_its_own_softmax(make_mpo: Any) -> None:
    """States must not be mixed, and what is added to all values of one changes nothing."""
    loss = make_mpo(temperature=0.5, samples=2)
    qvalues = torch.tensor([[1.0, -70.0, 3.0], [2.0, -71.0, 3.0]], dtype=torch.float64)
    weights, _ = loss._weighted(qvalues, None)
    torch.testing.assert_close(weights.sum(0), torch.ones(3, dtype=torch.float64))
    shifted, _ = loss._weighted(qvalues + torch.tensor([5.0, -100.0, 0.1]), None)
    torch.testing.assert_close(weights, shifted)
    assert weights[0, 1] == pytest.approx(1 / (1 + np.exp(-2)))


@pytest.mark.parametrize("weighting", ["samples", "batch"])
def test_loss_is_eq_21(weighting: Any, make_mpo: Any, transitions: Any) -> None:
    loss, batch = make_mpo(weighting=weighting, samples=4, advantage_max=None), transitions(*ROWS)
    drawn: list[torch.Tensor] = []
    rsample, sample = torch.distributions.Normal.rsample, torch.distributions.Normal.sample
    with pytest.MonkeyPatch.context() as patch:
        for name, draw in (("rsample", rsample), ("sample", sample)):
            patch.setattr(
                torch.distributions.Normal,
                name,
                lambda self, shape=(), draw=draw: drawn.append(draw(self, shape)) or drawn[-1],
            )
        out = loss(batch)
    actions = drawn[0].detach()
    policy = loss.actor_network.get_dist(batch.select("observation"))

    def q(action: torch.Tensor) -> np.ndarray[Any, Any]:
        values = []
        for i in range(2):
            with loss.qvalue_network_params[i].to_module(loss.qvalue_network):
                asked = batch.select("observation").set("action", action)
                values.append(loss.qvalue_network(asked)["state_action_value"][:, 0].detach().numpy())
        return np.min(values, axis=0)

    scores = np.array([q(action) for action in actions])
    if weighting == "batch":
        scores = scores - q(drawn[1][0])
    weights = np.exp(scores / 0.3)
    weights /= weights.sum(0) if weighting == "samples" else weights.mean() * 4
    likelihood = policy.log_prob(actions).detach().numpy()
    assert out["loss_actor"].item() == pytest.approx(-np.mean((weights * likelihood).sum(0)), rel=1e-9)
    assert out["log_prob"].item() == pytest.approx(likelihood.mean(), rel=1e-9)


def test_undetached_samples_move_no_mean(make_mpo: Any, transitions: Any) -> None:
    """Row 1 of what goes wrong: the gradient in the mean is 0, that in log std the weight. Detached, both are not."""
    for detach in (True, False):
        loss = make_mpo(weighting="batch", samples=1, detach=detach)
        loss(transitions(*ROWS * 5))["loss_actor"].backward()
        params = loss.actor_network_params
        mean = params.get(("module", "0", "module", "mlp", "last", "bias")).grad
        spread = params.get(("module", "0", "module", "std_parameter"))
        assert mean.abs().max() > 1e-3 if detach else mean.abs().max() < 1e-12
        if not detach:  # d log std / d p = 2 sigmoid' = 0.5 at 0, for bounds -2 and 0; the mean weight is 1
            sigmoid = torch.sigmoid(spread.detach())
            torch.testing.assert_close(spread.grad, 2 * sigmoid * (1 - sigmoid))


@pytest.mark.parametrize(
    ("term", "reached"), [("loss_actor", "actor_network_params"), ("loss_qvalue", "qvalue_network_params")]
)
@pytest.mark.parametrize("detach", [True, False])
def test_each_loss_reaches_its_own_network_only(
    term: str, reached: str, detach: bool, make_mpo: Any, transitions: Any
) -> None:
    loss = make_mpo(detach=detach)
    loss(transitions(*ROWS * 4))[term].backward()
    for name in ("actor_network_params", "qvalue_network_params"):
        found = [leaf.grad is not None and bool(leaf.grad.any()) for leaf in leaves(loss, name)]
        assert any(found) is (name == reached), name
    assert not leaves(loss, "target_qvalue_network_params")


def test_a_terminal_state_has_no_future(make_mpo: Any, transitions: Any) -> None:
    for end, same in (("terminal", True), ("truncated", False)):
        loss, batch = make_mpo(), transitions(end, end)
        found = []
        for _ in range(2):
            torch.manual_seed(0)
            found.append(loss(batch)["target_value"].item())
            batch["next", "observation"] += 1
        assert (found[0] == found[1]) is same


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("weighting", ["samples", "batch"])
def test_small_batches(rows: int, weighting: Any, make_mpo: Any, transitions: Any) -> None:
    loss, batch = make_mpo(weighting=weighting), transitions(*ROWS[:rows])
    assert all(value.isfinite() for value in loss(batch).values())
    batch["next", "reward"] = batch["next", "reward"][:, 0]
    with pytest.raises(BatchError, match="reward"):
        loss(batch)


def test_one_sample_has_no_better_one(networks: Any) -> None:
    with pytest.raises(ValueError, match="samples is 1, it must be at least 2"):
        MPOLoss(*networks(), samples=1)


def test_states_go_from_one_loss_to_another(make_mpo: Any) -> None:
    loss = make_mpo(temperature=0.7, weighting="batch", advantage_max=2.0)
    other = make_mpo()
    other.load_state_dict(loss.state_dict())
    assert other.temperature.item() == pytest.approx(0.7)
    assert other.advantage_max.item() == 2


def test_the_temperature_by_its_dual(make_mpo: Any) -> None:
    """Q (1, 2, 4), epsilon .1: at T 2 the loss is 2.931513; it is least at 2.82864, where the KL is .1."""
    loss = make_mpo(temperature=2.0, samples=3, target_kl=0.1)
    qvalues = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    assert loss.temperature_loss(qvalues).detach().item() == pytest.approx(2.931513, abs=1e-6)
    optimizer = torch.optim.Adam([loss.raw_temperature], lr=1e-2)
    for _ in range(1500):
        optimizer.zero_grad()
        loss.temperature_loss(qvalues).backward()
        optimizer.step()
    assert loss.sampling_temperature().detach().item() == pytest.approx(2.82864, abs=1e-3)
    weights, _ = loss._weighted(qvalues, None)
    assert float((weights * (3 * weights).log()).sum()) == pytest.approx(0.1, abs=1e-4)


def test_a_learnt_temperature_is_reached_by_its_own_loss_alone(make_mpo: Any, transitions: Any) -> None:
    loss, batch = make_mpo(samples=3, target_kl=0.1), transitions(*ROWS)
    out = loss(batch)
    (out["loss_actor"] + out["loss_qvalue"]).backward()
    assert loss.raw_temperature.grad is None
    loss.zero_grad()
    loss(batch)["loss_temperature"].backward()
    reached = {name for name, value in loss.named_parameters() if value.grad is not None and value.grad.any()}
    assert reached == {"raw_temperature"}
    assert float(out["temperature"]) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="weighting must be samples"):
        make_mpo(weighting="batch", target_kl=0.1)
