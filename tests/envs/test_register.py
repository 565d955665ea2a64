from __future__ import annotations

import subprocess
import sys

import gymnasium
import pytest

from awac_tr.envs import ENV_IDS, register


@pytest.mark.parametrize("env_id", ["pen-binary-v0", "door-binary-v0", "relocate-binary-v0"])
def test_the_three_ids_are_registered_with_the_papers_horizon(env_id: str) -> None:
    assert env_id in ENV_IDS
    assert gymnasium.spec(env_id).max_episode_steps == 200


def test_registering_again_changes_nothing_and_warns_of_nothing() -> None:
    before = dict(gymnasium.registry)
    register()
    assert dict(gymnasium.registry) == before


@pytest.mark.parametrize(
    "imports",
    ["import gymnasium", "import awac_tr, gymnasium", "import gymnasium, awac_tr", "import awac_tr.envs, gymnasium"],
)
def test_module_prefix_works_whatever_was_imported_first(imports: str) -> None:
    code = f"{imports}; print(gymnasium.make('awac_tr:door-binary-v0').unwrapped)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("<DoorBinaryEnv"), done.stderr
    assert done.stderr == ""
