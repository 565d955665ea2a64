"""When training has gone wrong for good: found, explained, and never saved over what was good."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensordict import TensorDict
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

from awac_tr.keys import REWARD
from awac_tr.policies.checkpoint import load_policy
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.training.divergence import DivergenceError, Watch, largest_return
from awac_tr.training.loop import train
from awac_tr.training.metrics import read_rows

SOUND = {"loss_actor": -3.0, "loss_qvalue": 2.0, "qvalue": -40.0, "weight_max": 3.0, "effective_sample_size": 900.0}


def rewards(*values: float) -> TensorDictReplayBuffer:
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(8))
    buffer.extend(TensorDict({REWARD: torch.tensor(values).unsqueeze(-1)}, batch_size=[len(values)]))
    return buffer


def test_no_return_is_larger_than_this() -> None:
    assert largest_return(rewards(-3.0, 2.0), 0.99, 200) == pytest.approx(300)
    assert largest_return(rewards(-3.0, 2.0), 1.0, 200) == pytest.approx(600)
    assert largest_return(rewards(0.0), 0.9, 200) == pytest.approx(10)  # not zero: every value would be beyond it


def test_sound_rows_pass_and_broken_ones_do_not() -> None:
    watch = Watch(100.0, 0.99, 200)
    watch.look(SOUND, 10)
    watch.look(SOUND | {"qvalue": -900.0}, 20)
    with pytest.raises(
        DivergenceError, match=r"loss_qvalue is no finite number at update 30\. At update 20 the mean Q was"
    ):
        watch.look(SOUND | {"loss_qvalue": math.nan}, 30)
    with pytest.raises(DivergenceError, match=r"the mean Q is 1e\+07 at update 40.*no return is larger than 100"):
        watch.look(SOUND | {"qvalue": 1e7}, 40)


def test_the_reason_is_read_from_the_last_sound_row() -> None:
    watch = Watch(100.0, 0.99, 200)
    watch.look(SOUND | {"weight_max": 1e12, "effective_sample_size": 1.02}, 46_000)
    with pytest.raises(DivergenceError, match=r"weight was 1e\+12, so that a batch counted as 1\.0 rows") as caught:
        watch.look(SOUND | {"loss_actor": math.inf}, 46_500)
    assert "awac.weight_max" in str(caught.value)
    assert "value_bounds" not in str(caught.value)


def test_large_rewards_raise_the_bound() -> None:
    watch = Watch(100.0, 0.99, 200)
    watch.meet(1e6)
    watch.look(SOUND | {"qvalue": 1e7}, 10)


def test_weights_that_are_no_numbers_never_replace_a_checkpoint(
    tiny: Callable[..., LoadedRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spoilt between two rows of losses, where only the saving can notice."""
    run = train(tiny("online.steps=0"), run_dir=tmp_path / "run", quiet=True)
    before = (run / "checkpoints" / "last.pt").read_bytes()
    rows = len(read_rows(run))

    def spoil(loop: object) -> None:
        with torch.no_grad():
            next(iter(loop.rig.learner.policy.parameters())).fill_(math.nan)  # type: ignore[attr-defined]
        loop.save()  # type: ignore[attr-defined]

    monkeypatch.setattr("awac_tr.training.engine.Loop._collect", spoil)
    longer = load_recipe(run / "recipe.yaml", ["online.steps=40"])
    with pytest.raises(DivergenceError, match="the policy is no finite number at update 20"):
        train(longer, resume=run, quiet=True)
    assert (run / "checkpoints" / "last.pt").read_bytes() == before
    assert load_policy(run / "checkpoints" / "last.pt").env.id == "door-binary-v0"
    assert len(read_rows(run)) == rows
