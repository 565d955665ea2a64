"""The CVAE's loss, and BCQ: the targets, the perturbation and the order of rows of the sheet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torchrl.objectives import SoftUpdate, ValueEstimators

from awac_tr.models.build import Keyed, set_observation_statistics
from awac_tr.models.cvae import PerturbationNet, build_cvae
from awac_tr.objectives import BCQLoss
from awac_tr.objectives.batch_constrained import best_mixed_value
from awac_tr.objectives.cvae import CVAEModel, cvae_loss


@pytest.fixture
def make_bcq(networks: Callable[..., tuple[Any, list[Any]]]) -> Callable[..., BCQLoss]:
    def build(**options: Any) -> BCQLoss:
        _, critics = networks()
        perturbation = Keyed(PerturbationNet(3, 2, (5,)).double(), ["observation", "action"], ["action"])
        loss = BCQLoss(perturbation, build_cvae(3, 2, (7, 6)).double(), critics, **options)
        loss.make_value_estimator(ValueEstimators.TD0, gamma=0.99)
        SoftUpdate(loss, tau=0.5)
        return loss

    return build


def test_cvae_loss_of_the_sheet() -> None:
    """Reconstruction (.1, -.2, .3), a (0, 0, .5), mu (.5, -1), sigma (.5, 2): MSE .03, KL mean .875, loss .4675."""
    action, made = torch.tensor([[0.0, 0.0, 0.5]]), torch.tensor([[0.1, -0.2, 0.3]])
    error, divergence = cvae_loss(action, made, torch.tensor([[0.5, -1.0]]), torch.tensor([[0.5, 2.0]]))
    assert float(error) == pytest.approx(0.03)
    assert float(divergence) == pytest.approx(0.875)
    assert float(error + 0.5 * divergence) == pytest.approx(0.4675)


def test_the_cvae_sees_actions_in_units_of_their_bounds(transitions: Any) -> None:
    batch = transitions("ordinary", "ordinary")
    losses = []
    for low, high, action in ((-1.0, 1.0, batch["action"]), (0.0, 10.0, 5 + 5 * batch["action"])):
        torch.manual_seed(3)
        model = CVAEModel(build_cvae(3, 2, (7, 6), action_low=low, action_high=high).double())
        losses.append(model.fit(batch.clone().set("action", action))["loss_cvae"].detach().item())
        _, drawn = model.sample(batch, 200)
        assert low < float(drawn.min()) < float(drawn.max()) < high
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_fitted_to_two_actions_the_cvae_draws_them() -> None:
    """In state -1 the data acts (-.6, .2), in state 1 (.5, -.4): so do the samples."""
    torch.manual_seed(0)
    model = CVAEModel(build_cvae(1, 2, (32, 32)))
    states = torch.tensor([[-1.0], [1.0]]).repeat(32, 1)
    actions = torch.tensor([[-0.6, 0.2], [0.5, -0.4]]).repeat(32, 1)
    batch = TensorDict({"observation": states, "action": actions}, [64])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        model.fit(batch)["loss_cvae"].backward()
        optimizer.step()
    _, drawn = model.sample(batch, 20)
    assert float((drawn - actions).abs().mean()) < 0.05


def test_the_loss_is_the_error_and_half_the_divergence(transitions: Any) -> None:
    out = CVAEModel(build_cvae(3, 2, (7, 6)).double()).fit(transitions("ordinary", "terminal"))
    expected = out["cvae_error"] + 0.5 * out["cvae_kl"]
    assert float(out["loss_cvae"].detach()) == pytest.approx(float(expected), abs=1e-12)
    assert float(out["cvae_kl"]) > 0


@pytest.mark.parametrize(("log_std", "expected"), [(-9.0, -4.0), (-1.0, -1.0), (9.0, 9.0), (30.0, 15.0)])
def test_latents_are_drawn_by_the_clamped_deviation(
    log_std: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder says mean 2 and this logarithm of the deviation, whatever it sees."""
    cvae, seen = build_cvae(3, 2, (7, 6)).double(), []
    constant = torch.tensor([2.0] * 4 + [log_std] * 4, dtype=torch.float64)
    monkeypatch.setattr(cvae.encoder, "forward", lambda s, _: constant.expand(len(s), 8))
    monkeypatch.setattr(cvae, "decode", lambda _, z: seen.append(z) or z[..., :2])
    _, _, mean, std = cvae(torch.zeros(4000, 3).double(), torch.zeros(4000, 2).double())
    assert float(mean[0, 0]) == 2
    assert float(std.log()[0, 0]) == pytest.approx(expected)
    assert float(((seen[0] - 2) / std).std()) == pytest.approx(1, abs=0.03)


def test_the_cvae_sees_standardised_observations(transitions: Any) -> None:
    """Observations moved and stretched make no difference, once the network knows by how much."""
    batch, outputs = transitions("ordinary", "terminal"), []
    for shift, scale in ((0.0, 1.0), (5.0, 3.0)):
        torch.manual_seed(3)
        cvae = build_cvae(3, 2, (7, 6)).double()
        set_observation_statistics(cvae, [shift] * 3, [scale] * 3)
        outputs.append(cvae(batch["observation"] * scale + shift, batch["action"]))
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_latents_that_are_decoded_are_clamped(monkeypatch: pytest.MonkeyPatch, transitions: Any) -> None:
    model, seen = CVAEModel(build_cvae(3, 2, (7, 6)).double()), []
    decode = model.cvae_network.decode
    monkeypatch.setattr(model.cvae_network, "decode", lambda s, z: seen.append(z) or decode(s, z))
    model.sample(transitions("ordinary"), 500)
    assert float(seen[0].abs().max()) == 0.5
    assert float((seen[0].abs() == 0.5).double().mean()) == pytest.approx(0.617, abs=0.03)


def test_mixed_values_of_the_sheet() -> None:
    """Q_1 (1, 3, 2), Q_2 (2, 1, 2.5), r .5: y 2.60375; the best before mixing would give 3.09875, the minimum 2.48."""
    q = torch.tensor([[1.0, 3.0, 2.0], [2.0, 1.0, 2.5]]).reshape(2, 3, 1)
    assert float(0.5 + 0.99 * best_mixed_value(q, 0.75)) == pytest.approx(2.60375)
    assert float(0.5 + 0.99 * best_mixed_value(q, 1.0)) == pytest.approx(2.48)


@pytest.mark.parametrize(("action", "expected"), [(0.98, 1.0), (-0.2, -0.17)])
def test_perturbations_of_the_sheet(action: float, expected: float) -> None:
    net = PerturbationNet(1, 1, (2,), phi=0.05)
    for parameter in net.parameters():
        parameter.data.zero_()
    net.mlp.last.bias.data.fill_(float(torch.atanh(torch.tensor(0.6))))
    assert net(torch.zeros(1, 1), torch.full((1, 1), action)).detach().item() == pytest.approx(expected)


def test_a_perturbation_is_in_units_of_the_bounds() -> None:
    affine = torch.tensor([5.0]), torch.tensor([5.0])
    net = PerturbationNet(1, 1, (2,), phi=0.05, affine=affine)
    net.mlp.last.bias.data.fill_(100.0)
    assert net(torch.zeros(1, 1), torch.full((1, 1), 5.0)).detach().item() == pytest.approx(5.25)
    assert net(torch.zeros(1, 1), torch.full((1, 1), 9.9)).detach().item() == pytest.approx(10.0)


def test_each_state_has_the_best_of_its_own_actions(
    make_bcq: Any, transitions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q is the state's number plus that of the sample: rows of other states must not mix in; terminal rows have r."""
    loss, batch = make_bcq(next_samples=2), transitions("ordinary", "terminal", "truncated")
    batch["next", "observation"] = torch.tensor([[10.0], [20.0], [30.0]]).double().expand(3, 3)
    monkeypatch.setattr(
        loss.cvae, "sample", lambda states, k: (None, torch.arange(float(k)).double()[:, None, None].expand(k, 3, 2))
    )
    monkeypatch.setattr(loss, "_perturbed", lambda states, k, _: loss.cvae.sample(states, k)[1])

    def values(_: Any, *inputs: Any, **__: Any) -> tuple[torch.Tensor, ...]:
        sums = (each["observation"][..., :1] + each["action"][..., :1] for each in inputs)
        return tuple(value.expand(2, *value.shape) for value in sums)

    monkeypatch.setattr(loss, "_qvalues", values)
    reward = batch["next", "reward"].squeeze(-1)
    expected = reward + 0.99 * torch.tensor([11.0, 0.0, 31.0]).double()
    assert float(loss.critic_losses(batch)["target_value"]) == pytest.approx(float(expected.mean()))


def test_targets_perturb_by_the_target(make_bcq: Any, transitions: Any) -> None:
    loss, batch = make_bcq(next_samples=2), transitions("ordinary", "ordinary")
    unchanged = []
    for params in (loss.actor_network_params, loss.target_actor_network_params):
        torch.manual_seed(0)
        first = loss.next_actions(batch["next"], None)
        params.data.apply_(lambda tensor: tensor + 1)
        torch.manual_seed(0)
        unchanged.append(torch.equal(first, loss.next_actions(batch["next"], None)))
    assert unchanged == [True, False]


def test_each_loss_reaches_its_own_parameters(make_bcq: Any, transitions: Any) -> None:
    loss, batch = make_bcq(), transitions("ordinary", "terminal")
    own = {"loss_cvae": "cvae.", "loss_qvalue": "qvalue_network_params", "loss_actor": "actor_network_params"}
    for name, prefix in own.items():
        loss.zero_grad()
        loss(batch)[name].backward()
        reached = {key for key, value in loss.named_parameters() if value.grad is not None and value.grad.any()}
        assert reached, name
        assert all(key.startswith(prefix) for key in reached), (name, reached)


def test_the_perturbation_climbs_the_first_critic(make_bcq: Any, transitions: Any) -> None:
    loss, batch = make_bcq(), transitions("ordinary", "ordinary")
    torch.manual_seed(1)
    out = loss.actor_losses(batch)
    torch.manual_seed(1)
    (actions,) = loss._perturbed(batch, 1, loss.actor_network_params)
    q = loss._qvalues(loss.qvalue_network_params, batch.clone().set("action", actions.detach()))[0][0]
    assert out["loss_actor"].detach().item() == pytest.approx(-q.mean().detach().item(), abs=1e-9)


def test_the_perturbation_goes_to_the_better_actions_and_no_further_than_phi(make_bcq: Any, transitions: Any) -> None:
    """Q is -(a - .3)^2 in each dimension: xi takes every action Phi nearer to .3, or onto it where it is nearer."""
    loss, batch = make_bcq(), transitions("ordinary", "ordinary")
    drawn = torch.tensor([[[-0.5, 0.9], [0.32, 0.3]]], dtype=torch.float64)
    loss.cvae.sample = lambda *_: (None, drawn)

    def values(_: Any, states: Any) -> tuple[torch.Tensor, ...]:
        return (-(states["action"] - 0.3).square().sum(-1, keepdim=True).expand(2, -1, 1),)

    loss._qvalues = values
    optimizer = torch.optim.Adam(loss.actor_network_params.values(True, True), lr=0.02)
    for _ in range(600):
        optimizer.zero_grad()
        loss.actor_losses(batch)["loss_actor"].backward()
        optimizer.step()
    (moved,) = loss._perturbed(batch, 1, loss.actor_network_params).detach()
    expected = torch.tensor([[-0.45, 0.85], [0.3, 0.3]], dtype=torch.float64)
    torch.testing.assert_close(moved, expected, atol=5e-3, rtol=0)
    assert float((moved - drawn[0]).abs().max()) <= 0.05 + 1e-9


@pytest.mark.parametrize("rows", [("ordinary",), ("ordinary", "terminal")])
def test_batches_of_one_and_two(rows: tuple[str, ...], make_bcq: Any, transitions: Any) -> None:
    out = make_bcq()(transitions(*rows))
    assert all(value.shape == () and bool(torch.isfinite(value)) for value in out.values())
