"""AWACLoss against the paper's equations in numpy, networks included; and wrong equations must be noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tensordict import TensorDict

from awac_tr.objectives import AWACLoss

Array = npt.NDArray[np.float64]
NOISE = np.random.default_rng(5).standard_normal(1000)
GAMMA = 0.75


@pytest.fixture(autouse=True)
def _known_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every draw of a Gaussian takes its noise from the table, from the beginning: the oracle can do the same."""

    def sample(self: torch.distributions.Normal, shape: tuple[int, ...] = ()) -> torch.Tensor:
        size = (*shape, *self.loc.shape)
        noise = torch.from_numpy(NOISE[: int(np.prod(size))].reshape(size)).to(self.loc)
        return (self.loc + self.scale * noise).detach()

    monkeypatch.setattr(torch.distributions.Normal, "sample", sample)


@dataclass(frozen=True)
class Formula:
    """The choices of Eq. 3 and Eq. 10 that a slip could change; the defaults are the paper's."""

    over_critics: Callable[..., Array] = np.min
    discount: float = GAMMA
    end: str = "terminated"
    target: str = "target"
    actor_critic: str = "online"
    next_state: str = "next"
    divide: bool = True
    subtract_value: bool = True
    clamp: bool = True
    clamp_actor: bool = True
    batch_factor: bool = True
    sign: float = -1.0
    sum_critics: Callable[..., Array] = np.sum
    cap_first: bool = True
    cap_last: bool = True
    log_prob_over: Callable[..., Array] = np.sum


class Oracle:
    """Both losses of a small AWACLoss and its diagnostics, in numpy, for one batch."""

    def __init__(self, loss: AWACLoss, batch: TensorDict, formula: Formula) -> None:
        self.loss, self.formula = loss, formula
        self.rows = {key if isinstance(key, str) else key[-1]: _numpy(batch[key]) for key in ("observation", "action")}
        self.next = {key: _numpy(batch["next", key]) for key in ("observation", "reward", "terminated", "done")}
        self.actor = _parameters(loss.actor_network_params)
        self.online, self.target = (
            [{name: value[i] for name, value in _parameters(params).items()} for i in range(loss.num_qvalue_nets)]
            for params in (loss.qvalue_network_params, loss.target_qvalue_network_params)
        )

    def answer(self) -> dict[str, Array]:
        loss, state, action = self.loss, self.rows["observation"], self.rows["action"]
        target, advantage, likelihood = self.target_value(), self.advantage(), self.log_prob(state, action)
        q = self.critics("online", state, action)
        weights, hit = self.weights(advantage)
        reduce = {"mean": np.mean, "sum": np.sum, "none": lambda x: x}[loss.reduction]
        mean: Callable[[Array], Array] = (lambda x: x) if loss.reduction == "none" else np.mean
        out = {
            "loss_qvalue": reduce(self.formula.sum_critics(_distance(loss.loss_function, q - target), axis=0)),
            "loss_actor": reduce(self.formula.sign * weights * likelihood),
            "advantage": mean(advantage),
            "log_prob": mean(likelihood),
            "qvalue": mean(q.mean(0)),
            "target_value": mean(target),
        }
        of_the_batch = {
            "effective_sample_size": weights.sum() ** 2 / (weights**2).sum(),
            "capped_fraction": hit.mean(),
            "weight_max": weights.max(),
        }
        return out if loss.reduction == "none" else out | of_the_batch

    def target_value(self) -> Array:
        f = self.formula
        state = self.next["observation"] if f.next_state == "next" else self.rows["observation"]
        loc, scale = self.gaussian(state)
        action = self.squash(loc + scale * NOISE[: loc.size].reshape(loc.shape))
        value = self.bounded(f.over_critics(self.critics(f.target, state, action), axis=0), f.clamp)
        goes_on = 1.0 if self.loss.ignore_terminals or not f.end else 1.0 - self.next[f.end][:, 0]
        return np.asarray(self.next["reward"][:, 0] + f.discount * goes_on * value)

    def advantage(self) -> Array:
        f, state = self.formula, self.rows["observation"]
        loc, scale = self.gaussian(state)
        if self.loss.value_estimate == "mean":
            actions = self.squash(loc)[None]
        else:
            k = self.loss.value_samples
            actions = self.squash(loc + scale * NOISE[: k * loc.size].reshape(k, *loc.shape))

        def min_q(action: Array) -> Array:
            return self.bounded(f.over_critics(self.critics(f.actor_critic, state, action), axis=0), f.clamp_actor)

        value = np.mean([min_q(action) for action in actions], axis=0)
        return min_q(self.rows["action"]) - (value if f.subtract_value else 0.0)

    def weights(self, advantage: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
        loss, f = self.loss, self.formula
        temperature, a_max, w_max = (float(x) for x in (loss.temperature, loss.advantage_max, loss.weight_max))
        hit = advantage > a_max
        cut = np.minimum(advantage, a_max) if f.cap_first else advantage
        w = np.exp(cut / temperature if f.divide else cut * temperature)
        if loss.weighting == "softmax":
            w = w / w.sum() * (len(w) if f.batch_factor else 1)
        return np.minimum(w, w_max) if f.cap_last else w, hit | (w >= w_max)

    def log_prob(self, state: Array, action: Array) -> Array:
        loc, scale = self.gaussian(state)
        raw = np.arctanh(action) if self.squashed else action
        density = -((raw - loc) ** 2) / (2 * scale**2) - np.log(scale) - 0.5 * np.log(2 * np.pi)
        if self.squashed:
            density = density - np.log(1 - action**2)
        return self.formula.log_prob_over(density, axis=-1)

    @property
    def squashed(self) -> bool:
        return "Tanh" in self.loss.actor_network[-1].distribution_class.__name__

    def squash(self, raw: Array) -> Array:
        return np.tanh(raw) if self.squashed else raw

    def gaussian(self, state: Array) -> tuple[Array, Array]:
        out = _mlp(self.actor, _standardized(self.actor, state))
        scale = np.exp(-2.0 + 2.0 / (1.0 + np.exp(-self.actor["std_parameter"])))
        return (out if self.squashed else np.tanh(out)), np.broadcast_to(scale, out.shape)

    def critics(self, which: str, state: Array, action: Array) -> Array:
        both = self.online if which == "online" else self.target
        return np.stack([_mlp(p, np.concatenate([_standardized(p, state), action], -1))[:, 0] for p in both])

    def bounded(self, value: Array, clamp: bool) -> Array:
        return np.clip(value, *self.loss.value_bounds.tolist()) if clamp else value


def _mlp(p: dict[str, Array], x: Array) -> Array:
    for i in range(2):
        x = np.maximum(x @ p[f"mlp.hidden.{i}.weight"].T + p[f"mlp.hidden.{i}.bias"], 0.0)
    return np.asarray(x @ p["mlp.last.weight"].T + p["mlp.last.bias"])


def _standardized(p: dict[str, Array], x: Array) -> Array:
    return np.asarray((x - p["standardize.loc"]) / p["standardize.scale"])


def _distance(name: str, error: Array) -> Array:
    size = np.abs(error)
    return {"l2": error**2, "l1": size, "smooth_l1": np.where(size < 1, 0.5 * size**2, size - 0.5)}[name]


def _numpy(tensor: torch.Tensor) -> Array:
    return tensor.detach().double().numpy()


def _parameters(params: Any) -> dict[str, Array]:
    """Names from the network on, without the modules that only carry keys."""
    flat = {".".join(key): _numpy(value) for key, value in params.items(True, True)}
    return {name.removeprefix("module.").removeprefix("0.module."): value for name, value in flat.items()}


def disagreements(loss: AWACLoss, batch: TensorDict, formula: Formula | None = None) -> list[str]:
    """Outputs of the loss that are not what the formula gives."""
    out, expected = loss(batch.copy()), Oracle(loss, batch, formula or Formula()).answer()
    assert set(out.keys()) == set(expected)
    return [k for k, v in expected.items() if not np.allclose(_numpy(out[k]), v, rtol=1e-9, atol=1e-12)]


ROWS = ("ordinary", "terminal", "truncated")
BOUNDS = (0.1, 0.5)  # within the range of the small critics' values
CASES: dict[str, dict[str, Any]] = {
    "paper": {},
    "authors": {"weighting": "softmax", "value_estimate": "mean", "temperature": 0.5, "advantage_max": 0.4},
    "several samples": {"value_samples": 4},
    "softmax of samples": {"weighting": "softmax", "value_samples": 3, "weight_max": 1.1},
    "mean action": {"value_estimate": "mean"},
    "bounds": {"value_bounds": BOUNDS},
    "bound above": {"value_bounds": (None, BOUNDS[1])},
    "advantage cap": {"advantage_max": 0.1},
    "weight cap": {"weight_max": 1.5},
    "both caps": {"advantage_max": 0.3, "weight_max": 1.5},
    "no terminals": {"ignore_terminals": True},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "l1": {"loss_function": "l1"},
    "smooth l1": {"loss_function": "smooth_l1"},
    "loop": {"deactivate_vmap": True, "value_samples": 2},
    "one critic": {"count": 1},
    "three critics": {"count": 3},
    "tanh_normal": {"policy": {"distribution": "tanh_normal"}, "value_samples": 2},
    "tanh_normal mean": {"policy": {"distribution": "tanh_normal"}, "value_estimate": "mean"},
}


@pytest.mark.parametrize("rows", [("ordinary",), ("terminal",), ("truncated",), ROWS], ids="-".join)
@pytest.mark.parametrize("case", CASES)
def test_equals_the_equations(case: str, rows: tuple[str, ...], make_loss: Any, transitions: Any) -> None:
    assert disagreements(make_loss(**CASES[case]), transitions(*rows)) == []


@pytest.mark.parametrize(
    "case", [name for name, options in CASES.items() if {"advantage_max", "weight_max"} & set(options)]
)
def test_caps_of_the_cases_bite(case: str, make_loss: Any, transitions: Any) -> None:
    assert 0 < make_loss(**CASES[case])(transitions(*ROWS))["capped_fraction"] < 1


SLIPS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "multiplies by lambda": ("paper", {"divide": False}, {"loss_actor"}),
    "bootstraps through terminals": ("paper", {"end": ""}, {"loss_qvalue"}),
    "takes done for terminated": ("paper", {"end": "done"}, {"loss_qvalue"}),
    "largest critic": ("paper", {"over_critics": np.max}, {"loss_qvalue", "loss_actor"}),
    "mean of critics": ("paper", {"over_critics": np.mean}, {"loss_qvalue", "loss_actor"}),
    "no discount": ("paper", {"discount": 1.0}, {"loss_qvalue"}),
    "target from the trained critic": ("paper", {"target": "online"}, {"loss_qvalue"}),
    "advantage from the target critic": ("paper", {"actor_critic": "target"}, {"loss_actor"}),
    "bootstraps from the same state": ("paper", {"next_state": "same"}, {"loss_qvalue"}),
    "Q instead of A": ("paper", {"subtract_value": False}, {"loss_actor"}),
    "sign of the likelihood": ("paper", {"sign": 1.0}, {"loss_actor"}),
    "mean over action dimensions": ("paper", {"log_prob_over": np.mean}, {"loss_actor"}),
    "critics averaged": ("paper", {"sum_critics": np.mean}, {"loss_qvalue"}),
    "softmax without the batch size": ("authors", {"batch_factor": False}, {"loss_actor"}),
    "unclamped target": ("bounds", {"clamp": False}, {"loss_qvalue"}),
    "unclamped advantage": ("bounds", {"clamp_actor": False}, {"loss_actor"}),
    "cap on the advantage forgotten": ("advantage cap", {"cap_first": False}, {"loss_actor"}),
    "cap on the weight forgotten": ("weight cap", {"cap_last": False}, {"loss_actor"}),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_wrong_formula_is_noticed(slip: str, make_loss: Any, transitions: Any) -> None:
    case, change, wrong = SLIPS[slip]
    found = set(disagreements(make_loss(**CASES[case]), transitions(*ROWS), replace(Formula(), **change)))
    assert wrong <= found
    assert found & {"loss_actor", "loss_qvalue"} == wrong


def test_prediction_is_not_clamped(make_loss: Any, transitions: Any) -> None:
    """Outside the bounds critics must still learn: the clamp is on what they are compared with."""
    loss, batch = make_loss(value_bounds=(10.0, 11.0)), transitions(*ROWS)
    assert disagreements(loss, batch) == []
    loss(batch)["loss_qvalue"].backward()
    bias = loss.qvalue_network_params.get(("module", "mlp", "last", "bias")).grad
    assert (bias.abs() > 1e-3).all()
