"""Acting by the best of several actions: which is best, whose randomness, and what a checkpoint keeps of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from awac_tr.errors import CheckpointError
from awac_tr.models.best_of_samples import BestOfCVAE, BestOfPolicy, BestOfSamples, share_parameters
from awac_tr.models.build import build_policy, build_qvalues, set_observation_statistics
from awac_tr.models.cvae import build_cvae, build_perturbation
from awac_tr.policies.actor import actor_of
from awac_tr.policies.best_of_samples import acting_entry
from awac_tr.policies.checkpoint import load_policy, policy_entry, save_checkpoint
from awac_tr.policies.controllers import NetworkController, load_controller
from awac_tr.recipes.schema import PolicySection, QValueSection

SPEC = PolicySection(hidden_sizes=(8,), distribution="tanh_normal", std="dependent", log_std_map="clamp")
CRITICS = QValueSection(hidden_sizes=(9, 7))
BOUNDS: dict[str, Any] = {"action_low": np.array([-1.0, 0.0]), "action_high": np.array([1.0, 4.0])}
STATES = np.random.default_rng(0).standard_normal((6, 3), dtype=np.float32)

Make = Callable[[], BestOfSamples]


def best_of_policy() -> BestOfSamples:
    torch.manual_seed(1)
    return BestOfPolicy(build_policy(SPEC, 3, 2, **BOUNDS), critic(), samples=5)


def best_of_cvae() -> BestOfSamples:
    torch.manual_seed(1)
    made = build_cvae(3, 2, (11, 6), **BOUNDS), build_perturbation(3, 2, (5,), phi=0.1, **BOUNDS)
    return BestOfCVAE(*made, critic(), samples=20)


def critic() -> torch.nn.Module:
    return build_qvalues(CRITICS.model_copy(update={"count": 1}), 3, 2)[0].get_submodule("module")


def payload(module: BestOfSamples) -> dict[str, Any]:
    for part in module.children():
        set_observation_statistics(part, [1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    policy = module.policy if isinstance(module, BestOfPolicy) else torch.nn.Module()
    entry = policy_entry(
        policy, SPEC, observation_size=3, action_size=2, acting=acting_entry(module, CRITICS), **BOUNDS
    )
    return {"kind": "policy", "policy": entry, "env": {"id": "door-binary-v0", "kwargs": {}, "horizon": 200}}


@pytest.mark.parametrize("make", [best_of_policy, best_of_cvae])
def test_it_takes_the_candidate_that_the_critic_values_most(make: Make) -> None:
    module = make()
    noise = torch.randn(module.samples, 6, module.noise_size)
    states = torch.from_numpy(STATES)
    actions = module.candidates(states.expand(module.samples, 6, 3), noise)
    values = torch.stack([module.qvalue(states, each) for each in actions]).squeeze(-1)
    best = torch.stack([actions[values[:, row].argmax(), row] for row in range(6)])
    assert torch.equal(module.best(states, noise), best)
    assert len({int(values[:, row].argmax()) for row in range(6)}) > 1
    assert bool((best[:, 1] > 0).all())
    assert bool((best[:, 1] < 4).all())


def test_candidates_of_a_policy_are_samples_of_it() -> None:
    module = best_of_policy()
    states = torch.from_numpy(STATES).expand(5, 6, 3)
    assert isinstance(module, BestOfPolicy)
    policy = module.policy.get_dist(TensorDict({"observation": states}, [5, 6]))
    torch.manual_seed(0)
    noise = torch.randn(5, 6, 2)
    torch.manual_seed(0)
    torch.testing.assert_close(module.candidates(states, noise), policy.rsample())


@pytest.mark.parametrize("make", [best_of_policy, best_of_cvae])
def test_an_actor_does_what_the_module_does(make: Make) -> None:
    module = make()
    actor, noise = actor_of(module), np.random.default_rng(1).standard_normal((6, 5 * 2), dtype=np.float32)
    if isinstance(module, BestOfCVAE):
        noise = np.random.default_rng(1).standard_normal((6, 20 * 4), dtype=np.float32)
    drawn = torch.from_numpy(noise).reshape(6, module.samples, module.noise_size).movedim(1, 0)
    expected = module.best(torch.from_numpy(STATES), drawn).numpy()
    np.testing.assert_allclose(actor.act(STATES, noise), expected, atol=1e-6)
    np.testing.assert_allclose(actor.act(STATES[2], noise[2]), expected[2], atol=1e-6)
    assert np.array_equal(actor.act(STATES[2]), actor.act(STATES[2]))


def test_evaluations_draw_by_the_seed_of_the_episode_and_leave_the_global_stream_alone() -> None:
    controller = NetworkController(best_of_policy(), "mean")
    before = torch.get_rng_state()

    def episode(seed: int) -> np.ndarray:
        controller.reset(seed)
        return np.array([controller.act(row) for row in STATES])

    assert np.array_equal(episode(3), episode(3))
    assert not np.array_equal(episode(3), episode(4))
    controller.reset(3)
    assert not np.array_equal(controller.act(STATES[0]), controller.act(STATES[0]))
    assert torch.equal(before, torch.get_rng_state())


def test_a_shared_critic_follows_the_parameters_that_it_shares() -> None:
    critics = build_qvalues(CRITICS, 3, 2)
    stack = torch.stack([TensorDict.from_module(each.module).data for each in critics])
    network = critic()
    share_parameters(network, stack[0])
    states, actions = torch.randn(4, 3), torch.randn(4, 2)
    assert torch.equal(network(states, actions), critics[0].module(states, actions))
    stack["mlp", "last", "bias"] += 1
    torch.testing.assert_close(network(states, actions), critics[0].module(states, actions) + 1)
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("make", [best_of_policy, best_of_cvae])
def test_a_checkpoint_acts_as_what_was_saved(make: Make, tmp_path: Path) -> None:
    module = make()
    path = save_checkpoint(tmp_path / "a.pt", payload(module))
    loaded = load_policy(path)
    assert torch.load(path, weights_only=True)["version"] == 2
    assert (loaded.module is None) == (make is best_of_cvae)
    np.testing.assert_array_equal(loaded.act(STATES), actor_of(module).act(STATES))
    controller, own = load_controller(path), NetworkController(module)
    for each in (controller, own):
        each.reset(5)
    assert np.array_equal(controller.act(STATES[0]), own.act(STATES[0]))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda acting: acting["spec"].update(samples=0), "ActingSection"),
        (lambda acting: acting["spec"].update(samples=10**9), "ActingSection"),
        (lambda acting: acting["spec"].update(kind="worst"), "ActingSection"),
        (lambda acting: acting["spec"].update(cvae_hidden_sizes=[10**6, 10**6]), "are described"),
        (lambda acting: acting["spec"]["qvalue"].update(hidden_sizes=[10**6, 10**6]), "are described"),
        (lambda acting: acting["state"].pop("qvalue.mlp.last.bias"), "loading state_dict"),
        (lambda acting: acting["state"]["qvalue.mlp.last.bias"].fill_(torch.nan), "not finite"),
        (lambda acting: acting.pop("state"), "state"),
        (lambda acting: acting["spec"].update(kind="best_of_policy"), "has none"),
    ],
)
def test_a_part_that_cannot_be_is_refused(change: Callable[[Any], Any], text: str, tmp_path: Path) -> None:
    content = copy.deepcopy(payload(best_of_cvae()))
    change(content["policy"]["acting"])
    save_checkpoint(tmp_path / "a.pt", content)
    with pytest.raises(CheckpointError, match=text):
        load_policy(tmp_path / "a.pt")


@pytest.mark.parametrize("make", [best_of_policy, best_of_cvae])
@pytest.mark.parametrize(
    "changes",
    [
        {"acting": None},
        {"acting": 5},
        {"action_low": [float("nan"), 0.0]},
        {"action_low": [2.0, 0.0]},
        {"action_low": [0.0]},
        {"action_size": -2},
        {"observation_size": -1},
    ],
    ids=str,
)
def test_a_policy_that_cannot_be_is_refused(make: Make, changes: dict[str, Any], tmp_path: Path) -> None:
    """Nor does it act by its own mean where the entry that says otherwise is empty."""
    content = payload(make())
    content["policy"].update(changes)
    save_checkpoint(tmp_path / "a.pt", content)
    with pytest.raises(CheckpointError, match=r"cannot be built|without 'acting'"):
        load_policy(tmp_path / "a.pt")
