"""Environments named on the command line and in cards: ids, files, single keys, and every mistake in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from awac_tr.errors import RecipeError
from awac_tr.recipes.cards import read_card
from awac_tr.recipes.env_files import chosen_env, env_with, read_env
from awac_tr.recipes.environment import FoundEnv, differing_keys
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.schema import EnvSection, WrapperSection

WHOLE = """\
id: Pendulum-v1
kwargs: {g: 5.0}
horizon: 100
wrappers: [a:B, {name: "c:D", kwargs: {x: 1}}]
reward: my_task:sparse
reward_range: [-1, 0]
rescale_actions: true
"""
SECTION = EnvSection(
    id="Pendulum-v1",
    kwargs={"g": 5.0},
    horizon=100,
    wrappers=("a:B", WrapperSection(name="c:D", kwargs={"x": 1})),
    reward="my_task:sparse",
    reward_range=(-1.0, 0.0),
    rescale_actions=True,
)
CHANGES = (
    "kwargs.g=5.0",
    "horizon=100",
    "wrappers=[a:B, {name: c:D, kwargs: {x: 1}}]",
    "reward=my_task:sparse",
    "reward_range=[-1, 0]",
    "rescale_actions=true",
)


def written(text: str) -> str:
    Path("env.yaml").write_text(text)
    return "env.yaml"


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def test_an_id_a_file_a_recipe_and_single_keys_say_the_same() -> None:
    assert read_env("Pendulum-v1") == EnvSection(id="Pendulum-v1")
    assert read_env(written(WHOLE)) == SECTION
    assert read_env(written(f"name: x\nenv:\n{indented(WHOLE)}")) == SECTION
    assert read_env(written("env: Pendulum-v1\n")) == EnvSection(id="Pendulum-v1")
    assert env_with(EnvSection(id="Pendulum-v1"), CHANGES) == SECTION
    Path("recipe.yaml").write_text(f"name: x\nenv:\n{indented(WHOLE)}data:\n  datasets: [a]\n")
    assert load_recipe("recipe.yaml").recipe.env == SECTION


def test_it_comes_back_from_plain_json() -> None:
    assert EnvSection.from_plain(SECTION.to_plain()) == SECTION
    assert set(SECTION.options) == {"wrappers", "reward", "reward_range", "rescale_actions"}
    assert EnvSection(id="Pendulum-v1", kwargs={"g": 1.0}, horizon=3).options == {}


def test_changes_of_a_description_leave_the_rest() -> None:
    changed = env_with(SECTION, ["kwargs.l=2.0", "reward=null"])
    assert changed == SECTION.model_copy(update={"kwargs": {"g": 5.0, "l": 2.0}, "reward": None})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("rewards=a:b", "unknown key; did you mean 'reward'?"),
        ("reward=nothing", "expected text written module:name or null, got 'nothing'"),
        ("wrappers=a:B", "expected a list, each text written module:name or a mapping of name and kwargs"),
        ("reward_range=[0, -1]", "the smallest reward must be below the largest, got [0, -1]"),
        ("reward_range=[0]", "expected a list of 2 items, each a number or null"),
        ("horizon=0", "expected a whole number of at least 1 or null, got 0"),
        ("rescale_actions=yes", "true"),
        ("horizon", "expected KEY=VALUE"),
        ("kwargs.g=[1", "not readable as YAML"),
        ("reward.x=1", "unknown key"),
    ],
)
def test_mistakes_are_named(change: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        env_with(EnvSection(id="Pendulum-v1"), [change])
    assert said in str(caught.value)


def test_all_mistakes_of_a_file_come_together_with_their_lines() -> None:
    with pytest.raises(RecipeError) as caught:
        read_env(written("name: x\nenv:\n  idd: Pendulum-v1\n  horizon: long\n"))
    said = str(caught.value)
    assert "env.idd" in said and "line 3" in said  # noqa: PT018
    assert "env.horizon" in said and "line 4" in said  # noqa: PT018
    assert "env.id " in said


@pytest.mark.parametrize("text", ["[1, 2]\n", "env: [1]\n", "env: 3\n", "", "a: [\n"])
def test_files_that_describe_nothing(text: str) -> None:
    with pytest.raises(RecipeError):
        read_env(written(text))


def card(env: str) -> Path:
    path = Path("mine.yaml")
    path.write_text(f"name: mine\nenv: {env}\nsource: random\nn: 3\nlicence: MIT\n")
    return path


def test_a_card_takes_an_id_or_a_section() -> None:
    assert read_card(card("Pendulum-v1\nenv_kwargs: {g: 5.0}")).section == EnvSection(
        id="Pendulum-v1", kwargs={"g": 5.0}
    )
    assert read_card(card(f"\n{indented(WHOLE)}")).section == SECTION


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("{id: Pendulum-v1, rewrd: a:b}", "env.rewrd"),
        ("{id: Pendulum-v1, rewrd: a:b}", "did you mean 'reward'?"),
        ("{kwargs: {g: 5.0}}", "env.id"),
        ("{id: Pendulum-v1}\nenv_kwargs: {g: 5.0}", "has no effect beside a section env"),
        ("3", "env"),
    ],
)
def test_mistakes_in_a_card_are_named(env: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_card(card(env))
    assert said in str(caught.value)


def test_what_differs_between_two_descriptions() -> None:
    found = EnvSection(id="m:A-v0", reward="a:b", kwargs={"x": (1, 2)}, horizon=3, reward_range=(0, 1))
    assert differing_keys(found, EnvSection(id="A-v0", reward="a:b", kwargs={"x": [1, 2]})) == {}
    wanted = EnvSection(id="B-v0", rescale_actions=True, wrappers=("c:D",))
    assert set(differing_keys(found, wanted)) == {"id", "reward", "kwargs", "rescale_actions", "wrappers"}


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        (None, {"id": "A-v0", "rescale_actions": True}),
        ("A-v0", {"id": "A-v0", "rescale_actions": True}),
        ("m:A-v0", {"id": "m:A-v0", "rescale_actions": True}),
        ("B-v0", {"id": "B-v0"}),
        (EnvSection(id="A-v0", horizon=3), {"id": "A-v0", "horizon": 3}),
    ],
)
def test_an_id_stands_for_what_the_file_says_of_it_and_a_description_for_itself(
    said: Any, chosen: dict[str, Any]
) -> None:
    found = FoundEnv(id="A-v0", rescale_actions=True)
    assert chosen_env("file", found, said, trust=False) == EnvSection(**chosen)
