"""Keys without effect are said, and only those that somebody set."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from awac_tr.recipes.idle import idle_keys, say_idle_keys
from awac_tr.recipes.library import recipes
from awac_tr.recipes.loader import load_recipe, resolved_yaml

BC = ("algorithm=bc", "online.steps=0")
STOPPING = ["bc.validation_fraction", "bc.patience", "bc.check_every"]


@pytest.mark.parametrize("name", recipes())
def test_shipped_recipes_set_nothing_in_vain(name: str) -> None:
    assert idle_keys(load_recipe(name)) == {}


def test_early_stopping_of_a_clone_is_not_in_train() -> None:
    loaded = load_recipe(
        "quickstart", [*BC, *(f"{key}={value}" for key, value in zip(STOPPING, (0.5, 10, 7), strict=True))]
    )
    (keys,) = (keys for where, keys in idle_keys(loaded).items() if "collect --source bc" in where)
    assert keys == STOPPING


def test_what_bc_looks_at_is_not_named() -> None:
    loaded = load_recipe("quickstart", [*BC, "bc.lr=0.01", "bc.loss=mse", "bc.weight_decay=0"])
    assert [key for keys in idle_keys(loaded).values() for key in keys if key.startswith("bc.")] == []


@pytest.mark.parametrize(
    ("text", "overrides", "level", "said"),
    [
        ("bc: {patience: 3}", BC, logging.WARNING, "bc.patience has no effect in awac-tr train"),
        ("bc: {patience: 10}", BC, None, ""),
        ("", (*BC, "bc.patience=10"), logging.WARNING, "bc.patience has no effect in awac-tr train"),
        ("awac: {lmbda: 1, tau: 0.1}", BC, logging.INFO, "awac.lmbda, awac.tau have no effect with algorithm: bc."),
        ("", (*BC, "qvalue.count=3"), logging.WARNING, "qvalue.count has no effect with algorithm: bc."),
        ("", (*BC, "compile=true"), logging.WARNING, "compile has no effect with algorithm: bc."),
        ("bc: {lr: 0.1}", (), logging.INFO, "bc.lr has no effect with algorithm: awac."),
    ],
)
def test_each_is_said_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    text: str,
    overrides: tuple[str, ...],
    level: int | None,
    said: str,
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"name: mine\nenv: {{id: door-binary-v0}}\ndata: {{datasets: [a.hdf5]}}\n{text}\n", encoding="utf-8"
    )
    loaded = load_recipe(path, overrides)
    with caplog.at_level(logging.INFO, "awac_tr"):
        say_idle_keys(loaded)
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    assert said in caplog.text
    # a run goes on from a recipe that writes every key down
    path.write_text(resolved_yaml(loaded), encoding="utf-8")
    if "bc.patience=10" not in overrides:
        assert idle_keys(load_recipe(path)) == idle_keys(loaded)
