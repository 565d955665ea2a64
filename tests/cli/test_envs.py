from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from awac_tr.cli.main import main
from awac_tr.envs import ENV_IDS


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["envs", *args])


def test_list_is_a_table_of_ours_and_those_of_the_recipes() -> None:
    result = run("list")
    assert result.exit_code == 0
    _, header, *rows = result.stdout.splitlines()
    assert header.split() == ["id", "horizon", "observation", "action", "reward", "recipes"]
    assert tuple(row.split()[0] for row in rows[: len(ENV_IDS)]) == ENV_IDS
    door = next(row for row in rows if "door" in row)
    assert door.split()[1:4] == ["200", "39", "28"]
    assert "quickstart" in door


def test_list_filters_and_says_where_nothing_is_left() -> None:
    found = json.loads(run("list", "pendulum", "--all", "--json").stdout)
    assert [entry["id"] for entry in found] == [
        *("InvertedDoublePendulum-v4", "InvertedDoublePendulum-v5", "InvertedPendulum-v4", "InvertedPendulum-v5"),
        *("Pendulum-v1", "phys2d/Pendulum-v0"),
    ]
    assert found[0] == {
        "id": "InvertedDoublePendulum-v4", "origin": "registered", "horizon": 1000, "observation_size": None,
        "action_size": None, "reward": "", "recipes": [],
    }  # fmt: skip
    assert run("list", "zzz").stdout == "no id contains 'zzz'; --all looks at everything registered\n"
    assert run("list", "zzz", "--all", "--json").stdout == "[]\n"


def test_show_tells_it_all() -> None:
    text = run("show", "door-binary-v0", "--env-set", "kwargs.hinge=1.3", "--env-set", "horizon=150").stdout
    for words in (
        "open by more than 1.3 rad", "-1 to 0", "150 steps, 1.5 s", "100 Hz", "more than 25 steps", "never",
        "door-authors", "door-bc", "mujoco", "palm - handle (m)", "28 numbers, -1 to 1 each",
        "gymnasium.make('awac_tr:door-binary-v0', hinge=1.3, max_episode_steps=150)",
    ):  # fmt: skip
        assert words in text


def test_show_as_json() -> None:
    shown = json.loads(run("show", "Ant-v5", "--env-set", "kwargs.healthy_reward=2.5", "--json").stdout)
    assert shown["env"] == {"id": "Ant-v5", "kwargs": {"healthy_reward": 2.5}, "horizon": None}
    assert shown["settings"]["healthy_reward"] == 2.5
    assert shown["observation"]["low"] == [None] * 105
    assert shown["observation"]["parts"][0] == {"name": "qpos", "start": 0, "stop": 13}
    assert (shown["terminates"], shown["trainable"], shown["datasets"]) == (True, True, [])
    assert {"picture", "speed"}.isdisjoint(shown)


def test_show_takes_a_file_that_describes_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("id: Pendulum-v1\nrescale_actions: true\n")
    shown = json.loads(run("show", str(path), "--json").stdout)
    assert (shown["action"]["low"], shown["env"]["rescale_actions"]) == ([-1.0], True)
    assert shown["python"] == ["awac_tr.make_env(EnvSection(id='Pendulum-v1', rescale_actions=True))"]


def test_show_of_discrete_actions_says_why_they_cannot_be_trained() -> None:
    result = run("show", "CartPole-v1")
    assert result.exit_code == 0
    assert "cannot train here: the actions of CartPole-v1 are discrete, Discrete(2)." in result.stdout


def test_an_environment_of_the_folder_one_works_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
        import gymnasium, numpy as np
        class Env(gymnasium.Env):
            "Stand still."
            observation_space = action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
            def reset(self, *, seed=None, options=None):
                return np.zeros(1, np.float32), {}
            def step(self, action):
                raise RuntimeError("no legs")
        gymnasium.register("own_still-v0", entry_point=Env, max_episode_steps=9)
    """
    (tmp_path / "own_still.py").write_text("\n".join(line[8:] for line in code.splitlines()))
    monkeypatch.syspath_prepend(tmp_path)
    result = run("show", "own_still:own_still-v0")
    assert result.exit_code == 0
    assert "Stand still." in result.stdout
    assert "RuntimeError: no legs" in result.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["HalfCheeta-v5"], "Did you mean HalfCheetah-v5"),
        (["door-binary-v0", "--env-set", "kwargs.hinges=1"], "cannot be made with {'hinges': 1}"),
        (["door-binary-v0", "--env-set", "horizn=1"], "did you mean 'horizon'"),
        (["no_such_package:x-v0"], "no_such_package"),
        (["Pendulum-v1", "--seed", "1"], "--seed has no effect without --picture"),
        (["Pendulum-v1", "--picture", "a.jpg"], "should end in .png"),
        (["Pendulum-v1", "--picture", "a.png", "--size", "big"], "expected WIDTHxHEIGHT"),
        (["Pendulum-v1", "--picture", "a.png", "--camera", "left"], "expected KEY=VALUE"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(args: list[str], said: str) -> None:
    result = run("show", *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(Path.cwd().glob("*.png"))


def test_without_gl_the_picture_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "off")
    monkeypatch.setattr("awac_tr.envs.gl._in_use", None)
    result = run("show", "Ant-v5", "--picture", "ant.png")
    assert result.exit_code == 2
    assert "105 numbers" in result.stdout
    assert result.stderr.count("nothing here can draw Ant-v5") == 1
    assert not Path("ant.png").exists()


def test_speed_and_picture_are_in_the_json(tmp_path: Path) -> None:
    from awac_tr.envs.gl import choose_backend

    if choose_backend().backend is None:
        pytest.skip("nothing here can draw")
    drawn = ("--picture", "deep/ant.png", "--size", "64x48", "--camera", "distance=9", "--seed", "4")
    shown = json.loads(run("show", "Ant-v5", "--speed", "--json", *drawn).stdout)
    assert shown["picture"]["path"] == "deep/ant.png"
    assert shown["picture"]["size"] == [64, 48]
    assert Path("deep/ant.png").read_bytes().startswith(b"\x89PNG")
    assert set(shown["speed"]) == {"raw", "awac-tr"}
    assert all(one["wall"] > 0 and one["steps"] > 0 for one in shown["speed"].values())


@pytest.mark.parametrize(
    ("args", "absent"),
    [
        (["list", "--all"], {"torch", "tensordict", "torchrl", "matplotlib"}),
        (["show", "door-binary-v0"], {"torch", "tensordict", "torchrl", "matplotlib"}),
        (["list", "--help"], {"torch", "gymnasium", "mujoco", "numpy"}),
        (["show", "--help"], {"torch", "gymnasium", "mujoco", "numpy"}),
    ],
)
def test_what_is_not_needed_is_not_imported(args: list[str], absent: set[str]) -> None:
    code = f"""
import sys
from awac_tr.cli.main import main
main(["envs", *{args!r}], standalone_mode=False)
print(sorted(set(sys.modules) & {absent!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout.splitlines()[-1] == "[]"
