"""When training has gone wrong for good: found, explained, and never saved over what was good."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensordict import TensorDict
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

from awac_tr.algorithms.awac.config import AWACConfig
from awac_tr.keys import REWARD
from awac_tr.policies.checkpoint import load_policy
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.training.divergence import DivergenceError, DivergenceMonitor, RewardSize, say_scale
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train

SOUND = {"loss_actor": -3.0, "loss_qvalue": 2.0, "qvalue": -40.0, "weight_max": 3.0, "effective_sample_size": 900.0}


def rewards(*values: float) -> TensorDictReplayBuffer:
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(8))
    buffer.extend(TensorDict({REWARD: torch.tensor(values).unsqueeze(-1)}, batch_size=[len(values)]))
    return buffer


def test_the_size_of_rewards_by_hand() -> None:
    size = RewardSize.of(rewards(-3.0, 1.0))
    assert (size.largest, size.usual) == (3.0, pytest.approx(5**0.5))


@pytest.mark.parametrize(
    ("size", "options", "offered"),
    [
        (8.0, {}, None),  # Pendulum, HalfCheetah
        (0.05, {}, None),  # a goal that is seldom reached
        (0.0, {}, None),
        (1e4, {}, "algorithm.reward_scale=0.0001 makes"),
        (1e31, {}, "algorithm.reward_scale=1e-31 makes"),
        (1e-6, {}, "algorithm.reward_scale=1e+06 makes"),
        (1e4, {"reward_scale": 1e-4}, None),
        (8.0, {"qvalue_lr": 1e-6}, "algorithm.reward_scale=0.1 makes"),
        (1e3, {"gamma": 1.0}, "algorithm.reward_scale=0.001 makes"),
    ],
)
def test_rewards_that_critics_cannot_learn_are_said_at_the_start(
    size: float, options: dict[str, float], offered: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    say_scale(RewardSize(size, size), AWACConfig(**options), horizon=200)
    assert (offered in caplog.text) if offered else not caplog.text


def test_rewards_that_are_too_large_are_the_reason_and_not_learning_rates() -> None:
    for row in (None, SOUND | {"weight_max": 3.0}):
        monitor = DivergenceMonitor(1e31, 0.99, 200)
        if row is not None:
            monitor.check(row, 10)
        with pytest.raises(DivergenceError, match=r"rewards reach 1e\+31, and returns 1e\+33") as caught:
            monitor.check(SOUND | {"loss_qvalue": math.inf}, 20)
        assert "algorithm.reward_scale" in caught.value.hint
        assert "learning rates" not in str(caught.value)


def test_sound_rows_pass_and_broken_ones_do_not() -> None:
    monitor = DivergenceMonitor(1.0, 0.99, 200)
    monitor.check(SOUND, 10)
    monitor.check(SOUND | {"qvalue": -900.0}, 20)
    with pytest.raises(
        DivergenceError, match=r"loss_qvalue is no finite number at update 30\. At update 20 the mean Q was"
    ):
        monitor.check(SOUND | {"loss_qvalue": math.nan}, 30)
    with pytest.raises(DivergenceError, match=r"the mean Q is 1e\+07 at update 40.*no return is larger than 100"):
        monitor.check(SOUND | {"qvalue": 1e7}, 40)


def test_the_reason_is_read_from_the_last_sound_row() -> None:
    monitor = DivergenceMonitor(1.0, 0.99, 200)
    monitor.check(SOUND | {"weight_max": 1e12, "effective_sample_size": 1.02}, 46_000)
    with pytest.raises(DivergenceError, match=r"weight was 1e\+12, so that a batch counted as 1\.0 rows") as caught:
        monitor.check(SOUND | {"loss_actor": math.inf}, 46_500)
    assert "algorithm.weight_max" in str(caught.value)
    assert "value_bounds" not in str(caught.value)


def test_values_beyond_any_return_are_said_once_where_the_run_shall_go_on(caplog: pytest.LogCaptureFixture) -> None:
    monitor = DivergenceMonitor(1.0, 0.99, 200, stop=False)
    for update in (10, 20):
        monitor.check(SOUND | {"qvalue": 1e7}, update)
    (said,) = [record.getMessage() for record in caplog.records if "diverged" in record.getMessage()]
    assert "the mean Q is 1e+07 at update 10" in said
    with pytest.raises(DivergenceError, match="loss_qvalue is no finite number"):
        monitor.check(SOUND | {"loss_qvalue": math.nan}, 30)


def test_large_rewards_raise_the_bound() -> None:
    monitor = DivergenceMonitor(1.0, 0.99, 200)
    monitor.observe(1e6)
    monitor.check(SOUND | {"qvalue": 1e7}, 10)


def test_weights_that_are_no_numbers_never_replace_a_checkpoint(
    tiny: Callable[..., LoadedRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spoilt between two rows of losses, where only the saving can notice."""
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    before = (run / "checkpoints" / "last.pt").read_bytes()
    rows = len(read_rows(run))

    def spoil(loop: object) -> None:
        with torch.no_grad():
            next(iter(loop.experiment.learner.policy.parameters())).fill_(math.nan)  # type: ignore[attr-defined]
        loop.save()  # type: ignore[attr-defined]

    monkeypatch.setattr("awac_tr.training.loop.Loop._collect", spoil)
    longer = load_recipe(run / "recipe.yaml", ["online.steps=40"])
    with pytest.raises(DivergenceError, match="the policy is no finite number at update 20"):
        train(longer, resume=run, quiet=True)
    assert (run / "checkpoints" / "last.pt").read_bytes() == before
    assert load_policy(run / "checkpoints" / "last.pt").env.id == "door-binary-v0"
    assert len(read_rows(run)) == rows
