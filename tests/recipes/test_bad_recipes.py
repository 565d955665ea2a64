"""Each mistake, and the exact words it is answered with."""

# ruff: noqa: E501  (tables)

from __future__ import annotations

from pathlib import Path

import pytest

from awac_tr.errors import RecipeError
from awac_tr.recipes.loader import load_recipe, recipe_from_dict

GOOD = "name: mine\nenv:\n  id: door-binary-v0\ndata:\n  datasets: [door-demos]\n"
"""Five lines; what a case adds begins on line 6."""

CASES: dict[str, tuple[str, tuple[str, str, str]]] = {
    "unknown key": ("seeed: 3", ("seeed", "line 6", "unknown key; did you mean 'seed'?")),
    "unknown section": ("polici: {}", ("polici", "line 6", "unknown key; did you mean 'policy'?")),
    "unknown key in a section": (
        "algorithm:\n  lambda: 1",
        ("algorithm.lambda", "line 7", "unknown key; did you mean 'temperature'?"),
    ),
    "key of another section": ("lmbda: 1", ("lmbda", "line 6", "unknown key; did you mean 'algorithm.temperature'?")),
    "unlike any key": (
        "buffer:\n  zzz: 1",
        ("buffer.zzz", "line 7", "unknown key; known here: capacity, storage, mix, n_steps"),
    ),
    "text for a number": (
        "algorithm:\n  temperature: hot",
        ("algorithm.temperature", "line 7", "expected a number above 0, got 'hot'"),
    ),
    "number in quotes": (
        "algorithm:\n  temperature: '0.3'",
        ("algorithm.temperature", "line 7", "expected a number above 0, got '0.3'; write it without quotes"),
    ),
    "null for a number": ("algorithm:\n  temperature:", ("algorithm.temperature", "line 7", "expected a number above 0, got null")),
    "zero where above is asked": ("algorithm:\n  temperature: 0", ("algorithm.temperature", "line 7", "expected a number above 0, got 0")),
    "not a number": ("algorithm:\n  temperature: .nan", ("algorithm.temperature", "line 7", "expected a number above 0, got .nan")),
    "infinite": (
        "algorithm:\n  weight_max: .inf",
        ("algorithm.weight_max", "line 7", "expected a number above 0 or null, got .inf"),
    ),
    "true for a number": ("algorithm:\n  gamma: true", ("algorithm.gamma", "line 7",
        "expected a number of at least 0 and of at most 1, got true")),
    "out of range": ("algorithm:\n  tau: 2", ("algorithm.tau", "line 7", "expected a number above 0 and of at most 1, got 2")),
    "share above one": (
        "hindsight:\n  kept: 1.5",
        ("hindsight.kept", "line 7", "expected a number of at least 0 and of at most 1, got 1.5"),
    ),
    "unknown algorithm": (
        "algorithm:\n  name: awca",
        ("algorithm.name", "line 7", "no algorithm 'awca'; did you mean 'awac'?"),
    ),
    "key of another algorithm": (
        "algorithm:\n  name: bc\n  expectile: 0.7",
        ("algorithm.expectile", "line 8", "is a key of iql, not of bc"),
    ),
    "spelling of version 0.1": (
        "algorithm: awac\nawac: {lmbda: 1, tau: 0.1}",
        ("algorithm", "line 6", "is a section since version 0.2: write algorithm: {name: awac, temperature: 1, tau: 0.1}"),
    ),
    "section of version 0.1": (
        "bc: {lr: 1}",
        ("bc", "line 6", "keys of an algorithm stand in the section algorithm: {name: bc, ...}"),
    ),
    "float for a count": (
        "online:\n  steps: 1e6",
        ("online.steps", "line 7", "expected a whole number of at least 0, got 1000000.0; write 1000000"),
    ),
    "fraction for a count": (
        "online:\n  steps: 0.5",
        ("online.steps", "line 7", "expected a whole number of at least 0, got 0.5"),
    ),
    "negative seed": (
        "seed: -1",
        ("seed", "line 6", "expected a whole number of at least 0 and below 4294967296, got -1"),
    ),
    "yes for true": ("compile: yes", ("compile", "line 6", "expected true or false or auto, got 'yes'; write true")),
    "word not on the list": (
        "algorithm:\n  weighting: sofmax",
        ("algorithm.weighting", "line 7", "expected exp or softmax, got 'sofmax'; did you mean 'softmax'?"),
    ),
    "number for text": ("device: 0", ("device", "line 6", "expected text, got 0")),
    "item of a list": (
        "policy:\n  hidden_sizes: [256, x]",
        ("policy.hidden_sizes", "line 7",
         "expected a list of at least one item, each a whole number of at least 1, got [256, x]"),
    ),
    "empty list": (
        "qvalue:\n  hidden_sizes: []",
        ("qvalue.hidden_sizes", "line 7",
         "expected a list of at least one item, each a whole number of at least 1, got []"),
    ),
    "one bound of two": (
        "algorithm:\n  value_bounds: [0]",
        ("algorithm.value_bounds", "line 7", "expected reward_range or a list of 2 items, each a number or null, got [0]"),
    ),
    "word for bounds": (
        "algorithm:\n  value_bounds: rewards_range",
        ("algorithm.value_bounds", "line 7", "expected reward_range or a list of 2 items, each a number or null, got 'rewards_range'; did you mean 'reward_range'?"),
    ),
    "scalar for a section": (
        "buffer: 3",
        ("buffer", "line 6", "expected a section with keys capacity, storage, mix, n_steps; got 3"),
    ),
    "list for a section": (
        "buffer: [1]",
        ("buffer", "line 6", "expected a section with keys capacity, storage, mix, n_steps; got [1]"),
    ),
    "device": ("device: gpu", ("device", "line 6", "expected auto, cpu, cuda, cuda:N or mps, got 'gpu'")),
    "empty range of deviations": (
        "policy:\n  log_std_min: 1",
        ("policy.log_std_min", "line 7", "must be below policy.log_std_max: 1 is not below 0"),
    ),
    "squashed actions at their bounds": (
        "policy:\n  distribution: tanh_normal\ndata:",
        ("data", "line 8", "given twice; first on line 4"),
    ),
    "bounds the wrong way": (
        "algorithm:\n  value_bounds: [0, -100]",
        ("algorithm.value_bounds", "line 7", "the lower bound 0 must be below the upper bound -100"),
    ),
    "no discount and a range": (
        "algorithm:\n  value_bounds: reward_range\n  gamma: 1",
        ("algorithm.value_bounds", "line 7", "reward_range divides by 1 - gamma: algorithm.gamma must be below 1"),
    ),
    "samples of no use": (
        "algorithm:\n  value_estimate: mean\n  value_samples: 4",
        ("algorithm.value_samples", "line 8",
         "4 has no effect with algorithm.value_estimate mean; leave it out or use sample"),
    ),
    "batch beyond the buffer": (
        "buffer:\n  capacity: 1000",
        ("offline.batch_size", "", "1024 is more than buffer.capacity 1000 holds"),
    ),
    "cloning online": (
        "algorithm: {name: bc}\nonline:\n  steps: 10",
        ("online.steps", "line 8", "10 with algorithm.name bc: it has no online phase; set it to 0, or take another algorithm"),
    ),
    "nothing to do": (
        "offline:\n  updates: 0",
        ("offline.updates", "line 7", "0, and online.steps is 0 as well: nothing would be trained"),
    ),
    "start from a word": (
        "policy:\n  init_from: clones",
        ("policy.init_from", "line 7", "expected null, clone or the path of a checkpoint (.pt), got 'clones'"),
    ),
    "duplicate key": ("seed: 1\nseed: 2", ("seed", "line 7", "given twice; first on line 6")),
    "broken syntax": ("algorithm: {temperature: 1", ("", "line 7", "not readable as YAML: expected ',' or '}', but got '<stream end>'")),
}  # fmt: skip


def rows(message: str) -> list[tuple[str, ...]]:
    """The aligned rows of an error message, as tuples of their cells."""
    lines = [line for line in message.splitlines()[1:] if line.startswith("  ")]
    return [tuple(cell.strip() for cell in line.split("  ") if cell.strip()) for line in lines]


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_told_with_line_key_expectation_and_finding(case: str, tmp_path: Path) -> None:
    addition, problem = CASES[case]
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD + addition + "\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert rows(caught.value.message)[0] == tuple(cell for cell in problem if cell)
    assert caught.value.message.startswith(f"recipe {path} has ")


OVERRIDES: dict[str, tuple[str, str]] = {
    "seeed=3": ("seeed", "unknown key; did you mean 'seed'?"),
    "lmbda=3": ("lmbda", "unknown key; did you mean 'algorithm.temperature'?"),
    "algorithm.temprature=3": ("algorithm.temprature", "unknown key; did you mean 'temperature'?"),
    "algorithm.temperature.x=3": ("algorithm.temperature.x", "unknown key; algorithm.temperature has no keys inside"),
    "algorithm=3": ("algorithm", "is a section; set its keys one by one: algorithm.name=..."),
    "awac.lmbda=1": ("awac.lmbda", "keys of an algorithm stand in the section algorithm: algorithm.temperature"),
    "algorithm.name=awca": ("algorithm.name", "no algorithm 'awca'; did you mean 'awac'?"),
    "algorithm.temperature=hot": ("algorithm.temperature", "expected a number above 0, got 'hot'"),
    "algorithm.temperature=": ("algorithm.temperature", "expected a number above 0, got null"),
    "algorithm.temperature=a=b": ("algorithm.temperature", "expected a number above 0, got 'a=b'"),
    "online.steps=1e6": ("online.steps", "expected a whole number of at least 0, got 1000000.0; write 1000000"),
    "seed": ("seed", "expected key=value, for example seed=3"),
    "=3": ("=3", "expected key=value, for example seed=3"),
    "data.datasets=[a": ("data.datasets", "not readable as YAML: expected ',' or ']', but got '<stream end>'"),
    "data.datasets=a": ("data.datasets", "expected a list of at least one item, each text, got 'a'"),
    "buffer.capacity=100": ("offline.batch_size", "256 is more than buffer.capacity 100 holds"),
    "device=gpu": ("device", "expected auto, cpu, cuda, cuda:N or mps, got 'gpu'"),
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_each_bad_override_is_told_as_such(override: str) -> None:
    key, text = OVERRIDES[override]
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", [override])
    first = rows(caught.value.message)[0]
    assert (first[0], first[-1]) == (key, text)
    if override != "buffer.capacity=100":
        assert first[1] == "(override)"


def test_all_mistakes_of_file_and_overrides_come_in_one_message(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("nam: x\nenv:\n  id: 3\nalgorithm:\n  tau: 7\n  tau: 8\nbuffer:\n  capacity: 10\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, ["algorithm.temperature=hot", "seeed=1"])
    assert str(caught.value) == (
        f"recipe {path} has 10 problems\n"
        "  algorithm.tau          line 6      given twice; first on line 5\n"
        "  seeed                  (override)  unknown key; did you mean 'seed'?\n"
        "  name                               missing; expected text that matches ^[A-Za-z0-9][A-Za-z0-9_.-]*$\n"
        "  algorithm.tau          line 5      expected a number above 0 and of at most 1, got 7\n"
        "  algorithm.temperature  (override)  expected a number above 0, got 'hot'\n"
        "  env.id                 line 3      expected text, got 3\n"
        "  data.datasets                      missing; expected a list of at least one item, each text\n"
        "  nam                    line 1      unknown key; did you mean 'name'?\n"
        "  offline.batch_size                 1024 is more than buffer.capacity 10 holds\n"
        "  online.batch_size                  1024 is more than buffer.capacity 10 holds\n"
        "See all keys with: awac-tr recipes show door --resolved"
    )


def test_an_empty_file_misses_what_is_required(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert [row[0] for row in rows(caught.value.message)] == ["name", "env.id", "data.datasets"]


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "3\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="expected a mapping"):
        load_recipe(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(RecipeError, match=r"not UTF-8 text \(byte 6\)"):
        load_recipe(path)


def test_squashed_policies_refuse_a_margin_of_zero(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD + "  action_margin: 0\npolicy: {distribution: tanh_normal}\n")
    with pytest.raises(RecipeError, match=r"log-densities at the action bounds are infinite; use null or 0\.001"):
        load_recipe(path)
    assert load_recipe(path, ["data.action_margin=null"]).recipe.policy.distribution == "tanh_normal"


def test_a_conflict_is_not_told_twice_when_one_of_its_keys_is_wrong_anyway(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD + "buffer:\n  capacity: few\noffline:\n  batch_size: 2000000\n")
    with pytest.raises(RecipeError, match="has 1 problem\n"):
        load_recipe(path)


def test_dicts_are_held_to_the_same_rules() -> None:
    data = {"name": "a", "env": {"id": "door-binary-v0"}, "data": {"datasets": ["door-demos"]}, "seeed": 1, "seed": "1"}
    with pytest.raises(RecipeError) as caught:
        recipe_from_dict(data)
    assert [row[0] for row in rows(caught.value.message)] == ["seed", "seeed"]
