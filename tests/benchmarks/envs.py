"""Steps a second of environments on one core: the bare simulator, and through make_env as policies step it.

Both run in one process with the same random actions, in alternating blocks; medians over the blocks are printed as
JSON, of wall time and of processor time, which is the fairer one where other programs run. Resets at the ends of
episodes are among the steps. Not collected by pytest::

    OMP_NUM_THREADS=1 taskset -c 0 python tests/benchmarks/envs.py
    OMP_NUM_THREADS=1 python tests/benchmarks/envs.py AdroitHandHammer-v1 --seconds 10
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version

from awac_tr.envs.describe.catalogue import catalogue, envs_of_recipes
from awac_tr.envs.describe.speed import measure_speed
from awac_tr.envs.make import make_bare, make_env
from awac_tr.recipes.env_files import read_env
from awac_tr.recipes.environment import EnvSection


def sections(names: list[str]) -> list[EnvSection]:
    """What was named, or else the environments of ``awac-tr envs list``, as their recipes make them."""
    if names:
        return [read_env(name) for name in names]
    made = {env.name: env for env in envs_of_recipes().values()}
    return [made.get(entry.id, EnvSection(id=entry.id)) for entry in catalogue()]


def rates(section: EnvSection, seconds: float, blocks: int) -> dict[str, object]:
    """Speeds of one environment, bare and made ready."""
    envs = {"raw": make_bare(section), "awac-tr": make_env(section)}
    try:
        found = measure_speed(envs, seconds=seconds, blocks=blocks)
    finally:
        for env in envs.values():
            env.close()
    return {"env": section.to_plain(), **{name: asdict(speed) for name, speed in found.items()}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("envs", nargs="*", metavar="ID")
    parser.add_argument("--seconds", type=float, default=6.0, help="of measuring an environment [default: 6]")
    parser.add_argument("--blocks", type=int, default=15)
    asked = parser.parse_args()
    versions = {name: version(name) for name in ("mujoco", "gymnasium", "gymnasium-robotics")}
    found = [rates(section, asked.seconds, asked.blocks) for section in sections(asked.envs)]
    json.dump({"machine": platform.machine(), "versions": versions, "envs": found}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
