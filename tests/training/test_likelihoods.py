"""Figure 2.4 in small: what is held out is learnt by nobody, and the likelihoods that a run writes down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import stop_after, weights
from tensordict import TensorDict

from awac_tr.buffers.held_out import HeldOut
from awac_tr.errors import DatasetError, RecipeError
from awac_tr.recipes.loader import LoadedRecipe, load_recipe
from awac_tr.training.experiment_setup import prepare
from awac_tr.training.interrupt import TrainingInterrupted
from awac_tr.training.metrics import read_rows
from awac_tr.training.train import train

MODEL = "algorithm.behaviour_model=true"
Tiny = Callable[..., LoadedRecipe]


def rows(lengths: list[int]) -> TensorDict:
    """Episodes of these lengths, each row with the number of its episode."""
    number = torch.cat([torch.full((length, 1), float(index)) for index, length in enumerate(lengths)])
    done = torch.zeros(len(number), 1, dtype=torch.bool)
    done[torch.tensor(lengths).cumsum(0) - 1] = True
    return TensorDict({"observation": number, "next": {"done": done}}, [len(number)])


@pytest.mark.parametrize("block", [1, 3, 100])
def test_whole_episodes_are_held_out_whatever_the_blocks(block: int) -> None:
    lengths, taken = [4, 1, 7, 3, 5] * 8, []
    data = rows(lengths)
    apart = HeldOut(0.3, 5, taken.append)
    for start in range(0, len(data), block):
        apart(data[start : start + block])
    kept, others = apart.rows["observation"], torch.cat(taken)["observation"]
    out = set(kept.flatten().tolist())
    assert len(out) == apart.episodes
    assert len(out) == 12
    assert out.isdisjoint(others.flatten().tolist())
    assert len(kept) == sum(lengths[int(number)] for number in out)
    assert len(kept) + len(others) == len(data)


def test_the_seed_chooses() -> None:
    data = rows([2] * 50)

    def chosen(seed: int) -> list[float]:
        apart = HeldOut(0.5, seed, lambda _: None)
        apart(data)
        return apart.rows["observation"].flatten().tolist()

    assert chosen(1) == chosen(1)
    assert len({tuple(chosen(seed)) for seed in range(8)}) > 1


def test_a_run_writes_the_likelihoods_down(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny(MODEL, "data.held_out=0.5", "eval.every=10"), run_dir=tmp_path / "run", quiet=True)
    found = read_rows(run)
    evaluated = [row for row in found if row["event"] == "eval" and row["phase"] != "clone"]
    columns = [f"behaviour_log_prob_{name}" for name in ("buffer", "offline", "held_out")]
    assert all(isinstance(row[column], float) for row in evaluated for column in columns)
    rounds = [row for row in found if row["event"] == "round"]
    assert rounds
    assert all(isinstance(row["behaviour_log_prob_new"], float) for row in rounds)
    assert evaluated[-1][columns[1]] > evaluated[0][columns[1]]


def test_they_change_nothing_that_is_learnt(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_them = weights(train(tiny(MODEL), run_dir=tmp_path / "with", quiet=True))
    monkeypatch.setattr("awac_tr.training.experiment_setup._likelihoods", lambda *_: None)
    without = weights(train(tiny(MODEL), run_dir=tmp_path / "without", quiet=True))
    assert all(torch.equal(value, without[key]) for key, value in with_them.items())


def test_the_model_changes_nothing_that_the_policy_learns(tiny: Tiny, tmp_path: Path) -> None:
    """Nor which numbers are drawn for V(s) and in the environment: no stream is reseeded in between."""
    with_it = weights(train(tiny(MODEL), run_dir=tmp_path / "with", quiet=True))
    without = weights(train(tiny(), run_dir=tmp_path / "without", quiet=True))
    assert all(torch.equal(value, with_it[key]) for key, value in without.items())


def test_held_out_rows_are_in_no_buffer(tiny: Tiny) -> None:
    whole, part = prepare(tiny(MODEL).recipe), prepare(tiny(MODEL, "data.held_out=0.5").recipe)
    apart = part.buffer.held_out
    assert len(part.buffer) + len(apart) == len(whole.buffer)
    assert len(apart)
    mine = {tuple(row) for row in part.buffer[:]["observation"].tolist()}
    assert not any(tuple(row) in mine for row in apart["observation"].tolist())


def test_resumed_runs_write_the_same(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = (MODEL, "data.held_out=0.3", "algorithm.target_kl=0.2", "algorithm.partition_samples=3", "eval.every=5")
    whole = train(tiny(*settings), run_dir=tmp_path / "whole", quiet=True)
    stop_after(monkeypatch, updates=13)
    with pytest.raises(TrainingInterrupted):
        train(tiny(*settings), run_dir=tmp_path / "part", quiet=True)
    monkeypatch.undo()
    part = train(load_recipe(tmp_path / "part" / "recipe.yaml"), resume=tmp_path / "part", quiet=True)
    one, other = ([{k: v for k, v in row.items() if k != "wall"} for row in read_rows(run)] for run in (whole, part))
    assert one == other
    assert {"kl", "temperature", "log_partition"} <= {key for row in one for key in row}
    temperatures = [row["temperature"] for row in one if row["event"] == "train"]
    assert temperatures[-1] != temperatures[0]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (("data.held_out=0.2",), "fits no model of the behaviour"),
        (("algorithm.partition_samples=10",), "needs the model"),
        (("algorithm.target_kl=0.1",), "needs the model"),
    ],
)
def test_what_needs_the_model_is_refused_without_it(settings: tuple[str, ...], text: str, tiny: Tiny) -> None:
    with pytest.raises(RecipeError, match="1 problem") as caught:
        tiny(*settings)
    assert text in str(caught.value)


def test_holding_everything_out_is_refused(tiny: Any) -> None:
    with pytest.raises(DatasetError, match="episodes are held out"):
        prepare(tiny(MODEL, "data.held_out=0.999999").recipe)
