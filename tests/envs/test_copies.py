"""Copies and pickles of our environments go on from where the original was; a spec makes the same wrappers again."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence

from awac_tr.envs import ENV_IDS
from awac_tr.envs.gl import use_backend
from awac_tr.envs.imports import imported
from awac_tr.envs.make import make_env
from awac_tr.envs.recorder import EpisodeRecorder
from awac_tr.envs.wrappers import GoalObservation, NewReward, StretchedActions
from awac_tr.recipes.schema import EnvSection

AJAR = """
from awac_tr.envs.adroit import DoorBinaryEnv

class Ajar(DoorBinaryEnv):
    def __init__(self, angle):
        super().__init__(hinge=angle)
"""
RULE = "def rule(observation, action, next_observation, info):\n    return float(abs(action).sum())\n"
COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),  # noqa: S301
    "cloudpickle": lambda env: pickle.loads(cloudpickle.dumps(env)),  # noqa: S301
}


@pytest.fixture(params=COPIES)
def copied(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return COPIES[request.param]


@pytest.fixture
def everything(tmp_path: Path) -> Callable[[str], gymnasium.Env[Any, Any]]:
    """Makes an environment in all the wrappers that a description can ask for."""
    name = f"mine_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(RULE, encoding="utf-8")
    sticky = {"name": "gymnasium.wrappers:StickyAction", "kwargs": {"repeat_action_probability": 0.5}}
    asked = {"wrappers": (sticky,), "reward": f"{name}:rule", "reward_range": (0.0, 99.0)}
    return lambda env_id: make_env(EnvSection.model_validate({"id": env_id, "rescale_actions": True, **asked}))


def actions_of(env: Any, steps: int) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, env.action_space.shape).astype(np.float32) for _ in range(steps)]


def played(env: Any, steps: int = 8) -> list[Any]:
    """Some steps, what the spaces draw, and the start of an episode that no seed is given for."""
    seen = [env.step(action) for action in actions_of(env, steps)]
    return [*seen, env.action_space.sample(), env.reset(), env.step(env.action_space.sample())]


def test_a_copy_goes_on_exactly_and_alone(copied: Callable[[Any], Any], everything: Any) -> None:
    for env_id in ENV_IDS:
        for make in (gymnasium.make, make_env, everything, lambda name: gymnasium.make(name).unwrapped):
            env = make(env_id)
            env.reset(seed=1)
            env.action_space.seed(2)
            for action in actions_of(env, 5):
                env.step(action)
            other = copied(env)
            third = copied(other)
            assert str(other) == str(env)
            assert other.spec == env.spec
            assert other.unwrapped.spec == env.unwrapped.spec
            expected = played(env)
            assert data_equivalence(played(other), expected, exact=True), env
            assert data_equivalence(played(third), expected, exact=True), env


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_copy_before_the_first_episode_and_after_closing(copied: Callable[[Any], Any], env_id: str) -> None:
    env = make_env(env_id)
    env.action_space.seed(0)
    fresh = copied(env)
    first = env.reset(seed=3)
    env.close()
    assert data_equivalence(fresh.reset(seed=3), first, exact=True)
    assert data_equivalence(played(copied(env)), played(fresh), exact=True)


def test_a_copy_is_cut_where_the_original_is(copied: Callable[[Any], Any]) -> None:
    env = make_env(EnvSection(id="SawyerPush-v0", horizon=7))
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.ones(2, np.float32))
    other = copied(env)
    assert [other.step(np.ones(2, np.float32))[3] for _ in range(3)] == [False, False, True]


def test_a_copy_keeps_the_arguments_and_so_does_one_of_a_subclass(copied: Callable[[Any], Any], tmp_path: Path) -> None:
    made: Any = gymnasium.make("door-binary-v0", hinge=-1.0)
    made.reset(seed=0)
    assert copied(made).step(np.zeros(28, np.float32))[4] == {"success": True}
    (tmp_path / f"ajar_{tmp_path.name}.py").write_text(AJAR, encoding="utf-8")
    env = imported(f"ajar_{tmp_path.name}:Ajar")(angle=-1.0)
    env.reset(seed=0)
    assert copied(env).step(np.zeros(28, np.float32))[4] == {"success": True}


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_a_pickle_goes_on_in_another_process(env_id: str, everything: Any, tmp_path: Path) -> None:
    env = everything(env_id)
    env.reset(seed=1)
    env.step(np.ones(env.action_space.shape, np.float32))
    (tmp_path / "env.pickle").write_bytes(pickle.dumps(env))
    script = tmp_path / "elsewhere" / "go_on.py"  # whose folder, not this one, python looks for modules in
    script.parent.mkdir()
    script.write_text(
        "import pickle, numpy as np\n"
        "env = pickle.load(open('env.pickle', 'rb'))\n"
        "print(env.spec.id, env.step(-np.ones(env.action_space.shape, np.float32))[0].tobytes().hex())\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    expected = env.step(-np.ones(env.action_space.shape, np.float32))[0].tobytes().hex()
    assert done.stdout.split() == [env_id, expected], done.stderr


@pytest.mark.parametrize("env_id", ["door-binary-v0", "SawyerPush-v0"])
def test_a_copy_draws_what_the_original_draws(copied: Callable[[Any], Any], env_id: str) -> None:
    if not use_backend().backend:
        pytest.skip("nothing here can draw")
    env = make_env(EnvSection(id=env_id, kwargs={"width": 64, "height": 48}), render_mode="rgb_array")
    env.reset(seed=0)
    other = copied(env)  # Gymnasium's camera looks at the middle of what is there at the first picture
    for _ in range(2):
        np.testing.assert_array_equal(other.render(), env.render())
        for each in (env, other):
            each.step(np.ones(each.action_space.shape, np.float32))
    other = copied(env)
    env.close()
    assert other.render() is not None
    other.close()


def test_a_copy_of_a_recorder_records_by_itself() -> None:
    episodes: list[Any] = []
    env = EpisodeRecorder(make_env("SawyerPush-v0"), partial(list.append, episodes))
    env.reset(seed=0)
    env.step(np.ones(2, np.float32))
    other = copy.deepcopy(env)
    other.step(np.ones(2, np.float32))
    other.close()
    assert episodes == []
    env.close()
    assert [len(episode) for episode in episodes] == [1]


@pytest.mark.parametrize("env_id", ["HalfCheetah-v5", "Walker2d-v5", "Ant-v5"])
def test_those_of_gymnasium_are_made_anew(copied: Callable[[Any], Any], env_id: str) -> None:
    env = make_env(env_id)
    env.reset(seed=0)
    other = copied(env)
    assert other.spec == env.spec
    for each in (env, other):
        each.reset(seed=1)
    actions = actions_of(env, 8)
    some, others = ([each.step(action) for action in actions] for each in (env, other))
    assert data_equivalence(some, others, exact=True)


@pytest.mark.parametrize("env_id", [*ENV_IDS, "HalfCheetah-v5", "Walker2d-v5", "Ant-v5"])
def test_a_spec_makes_the_same_environment_again(env_id: str, everything: Any) -> None:
    for make in (gymnasium.make, make_env, everything):
        env = make(env_id)
        spec = EnvSpec.from_json(env.spec.to_json())
        assert spec == env.spec
        for again in (gymnasium.make(env.spec), gymnasium.make(spec)):
            assert str(again) == str(env)
            assert (again.observation_space, again.action_space) == (env.observation_space, env.action_space)
            assert data_equivalence(again.reset(seed=4), env.reset(seed=4), exact=True)
            action = actions_of(env, 1)[0]
            assert data_equivalence(again.step(action), env.step(action), exact=True)


def test_every_wrapper_was_worn(everything: Any) -> None:
    env, worn = everything("SawyerPush-v0"), set()
    while isinstance(env, gymnasium.Wrapper):
        worn.add(type(env))
        env = env.env
    assert worn >= {NewReward, GoalObservation, StretchedActions}
