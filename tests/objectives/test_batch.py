"""What AWACLoss demands of a batch, and that it leaves the batch alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.modules import MLP
from torchrl.objectives import SoftUpdate

from awac_tr.errors import AwacError
from awac_tr.models.build import build_policy
from awac_tr.objectives import AWACLoss, BatchError
from awac_tr.recipes.schema import PolicySection

ROWS = ("ordinary", "terminal", "truncated")


@pytest.fixture
def loss(make_loss: Any) -> AWACLoss:
    return make_loss()


@pytest.fixture
def batch(transitions: Any) -> TensorDict:
    return transitions(*ROWS)


def test_nothing_but_the_priority_is_written(loss: AWACLoss, batch: TensorDict) -> None:
    before, keys = batch.clone(), set(batch.keys(True))
    loss.actor_loss(batch)
    _, metadata = loss.qvalue_loss(batch)
    assert set(batch.keys(True)) == keys
    loss(batch)
    assert set(batch.keys(True)) == {*keys, "td_error"}
    assert batch["td_error"].shape == metadata["td_error"].shape == (3,)
    assert (batch.exclude("td_error") == before).all()


def test_locked_batch_is_accepted(values: Any, loss: AWACLoss, batch: TensorDict) -> None:
    assert values(loss, batch.clone().lock_()) == pytest.approx(values(loss, batch), rel=1e-9)


def test_done_is_not_read(values: Any, loss: AWACLoss, batch: TensorDict) -> None:
    expected = values(loss, batch)
    assert values(loss, batch.exclude(("next", "done"), ("next", "truncated"))) == pytest.approx(expected, rel=1e-9)
    batch["next", "done"] = ~batch["next", "done"]
    assert values(loss, batch) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("ignore", [False, True])
def test_terminated_is_demanded(ignore: bool, make_loss: Any, batch: TensorDict) -> None:
    with pytest.raises(BatchError, match=r"no \('next', 'terminated'\)(.|\n)*time limit into a death") as caught:
        make_loss(ignore_terminals=ignore)(batch.exclude(("next", "terminated")))
    assert isinstance(caught.value, AwacError)
    assert isinstance(caught.value, ValueError)


def test_terminated_is_demanded_of_keywords(loss: AWACLoss, batch: TensorDict) -> None:
    with pytest.raises(BatchError, match="terminated"):
        loss(
            observation=batch["observation"],
            action=batch["action"],
            next_observation=batch["next", "observation"],
            next_reward=batch["next", "reward"],
        )


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        (("next", "reward"), lambda x: x[:, 0], r"reward'\) has shape \[3\], expected \[3, 1\]"),
        (("next", "reward"), lambda x: x.expand(3, 3), r"reward'\) has shape \[3, 3\], expected \[3, 1\]"),
        (("next", "terminated"), lambda x: x[:, 0], r"terminated'\) has shape \[3\], expected \[3, 1\]"),
        (("next", "terminated"), lambda x: x.float(), r"terminated'\) is torch.float32, expected torch.bool"),
        ("action", lambda x: x[:1], r"'observation' has shape \[3, 3\], which does not begin with the \[1\]"),
        ("action", lambda x: x[0], r"'action' has shape \[2\], expected \[B, action_size\]"),
        ("observation", lambda x: x[:2], r"'observation' has shape \[2, 3\]"),
        (("next", "observation"), lambda x: x[:2], r"'observation'\) has shape \[2, 3\]"),
        ("action", lambda x: x[:0], r"batch is empty(.|\n)*at least"),
    ],
)
def test_wrong_shapes_are_refused(key: Any, change: Any, message: str, loss: AWACLoss, batch: TensorDict) -> None:
    loose = TensorDict({k: batch[k] for k in batch.keys(True, True)}, [])
    loose.get("next").batch_size = []
    loose[key] = change(batch[key])
    with pytest.raises(BatchError, match=message):
        loss(loose)


@pytest.mark.parametrize("key", ["observation", "action", ("next", "reward"), ("next", "observation")])
def test_missing_entries_are_named(key: Any, loss: AWACLoss, batch: TensorDict) -> None:
    with pytest.raises(BatchError, match="no entry") as caught:
        loss(batch.exclude(key))
    assert repr(key) in str(caught.value)
    assert "It has: " in str(caught.value)


def test_reward_of_one_row_without_last_dimension_is_refused(loss: AWACLoss, transitions: Any) -> None:
    batch = transitions("ordinary")
    batch["next", "reward"] = batch["next", "reward"][:, 0]
    with pytest.raises(BatchError, match=r"\[1\], expected \[1, 1\]"):
        loss(batch)


def test_sizes_of_one_are_no_batch_dimension() -> None:
    """TensorDict would guess a batch size of [B, 1] from keywords when all features have size 1."""
    actor = build_policy(PolicySection(hidden_sizes=(4,)), 1, 1)
    critic = TensorDictModule(MLP(2, 1, num_cells=[4]), ["observation", "action"], ["state_action_value"])
    loss = AWACLoss(actor, [critic], reduction="none")
    SoftUpdate(loss, tau=0.5)
    entries = {key: torch.zeros(4, 1) for key in ("observation", "action", "next_observation", "next_reward")}
    assert loss(**entries, next_terminated=torch.zeros(4, 1, dtype=torch.bool))[0].shape == (4,)


def test_more_batch_dimensions(values: Any, loss: AWACLoss, transitions: Any) -> None:
    flat = transitions(*ROWS, *ROWS)
    assert values(loss, flat.reshape(2, 3)) == pytest.approx(values(loss, flat), rel=1e-9)


def test_padded_batches_are_refused(values: Any, loss: AWACLoss, batch: TensorDict) -> None:
    expected = values(loss, batch)
    batch["collector", "mask"] = torch.tensor([True, True, False])
    with pytest.raises(BatchError, match="padded"):
        loss(batch)
    loss.loss_mask_key = None
    assert values(loss, batch) == pytest.approx(expected, rel=1e-9)


def test_steps_to_next_obs_raises_gamma(values: Any, make_loss: Any, batch: TensorDict) -> None:
    loss = make_loss(ignore_terminals=True, value_bounds=(1.0, 1.0 + 1e-12))
    batch["steps_to_next_obs"] = torch.full((3, 1), 3)
    expected = (batch["next", "reward"] + 0.75**3).mean().item()
    assert values(loss, batch)["target_value"] == pytest.approx(expected, rel=1e-9)


def test_steps_of_another_shape_are_refused(loss: AWACLoss, batch: TensorDict) -> None:
    batch["steps_to_next_obs"] = torch.ones(3, 2, dtype=torch.int64)
    with pytest.raises(BatchError, match=r"'steps_to_next_obs' has shape \[3, 2\], expected \[3\] or \[3, 1\]"):
        loss(batch)


@pytest.mark.parametrize("weights", [torch.tensor([0.5, 1.0, 2.0]), torch.tensor([[0.5], [1.0], [2.0]])])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_priority_weights_weigh_both_losses(
    reduction: str, weights: torch.Tensor, make_loss: Any, batch: TensorDict
) -> None:
    loss = make_loss(reduction="none", value_estimate="mean", policy={"log_std_max": -1.9})
    torch.manual_seed(3)
    rows = loss(batch.copy())
    loss.reduction, batch["priority_weight"] = reduction, weights
    torch.manual_seed(3)
    out = loss(batch)
    for key in ("loss_actor", "loss_qvalue"):
        weighted = rows[key] * weights.reshape(3)
        expected = {"mean": weighted.sum() / weights.sum(), "sum": weighted.sum(), "none": weighted}[reduction]
        assert torch.allclose(out[key], expected, rtol=1e-6), key


def test_priority_weights_asked_for_or_refused(values: Any, make_loss: Any, batch: TensorDict) -> None:
    plain = values(make_loss(), batch.copy())
    with pytest.raises(BatchError, match="no entry 'priority_weight'"):
        make_loss(use_prioritized_weights=True)(batch)
    batch["priority_weight"] = torch.tensor([0.5, 1.0, 2.0])
    assert values(make_loss(use_prioritized_weights=False), batch.copy()) == plain
    assert values(make_loss(), batch.copy()) != plain
    batch["priority_weight"] = torch.ones(3, 3)
    with pytest.raises(BatchError, match=r"shape \[3, 3\], expected \[3\]"):
        make_loss()(batch)
