"""What decides the episodes of a collection, so that one that was interrupted goes on only as what it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from awac_tr.collect.plan import Plan
from awac_tr.data.format.meta import versions
from awac_tr.data.storage.reader import open_dataset
from awac_tr.envs.env_info import EnvInfo
from awac_tr.policies.demonstrators import demonstrator_path

__all__ = ["differences", "file_sha256", "plain", "plan_facts"]


def plan_facts(plan: Plan, env: EnvInfo) -> dict[str, Any]:
    """What decides what the episodes are and what their file says of them, but not how many there are, as plain JSON.

    The first episodes of a collection do not depend on their number, so ``n`` may change.

    Raises:
        DatasetError: the dataset to clone cannot be read.
        EnvError: there is no demonstrator for the environment.
    """
    facts: dict[str, Any] = {
        "source": plan.source,
        "env": env.env.to_plain(),
        "sizes": [env.observation_size, env.action_size],
        "seed": plan.seed,
        "settings": plan.settings.model_dump(mode="json"),
        "state": plan.record_state,
        "licence": plan.licence,
        "description": plan.description,
        "versions": versions(),
    }
    if plan.source not in ("ou", "random"):
        facts["mode"] = plan.mode
    policy = demonstrator_path(env.id) if plan.source == "demos" else plan.policy
    if policy is not None and policy.is_file():
        facts["policy"] = {"file": policy.name, "sha256": file_sha256(policy)}
    if plan.source == "bc" and plan.dataset is not None:
        with open_dataset(plan.dataset) as dataset:
            facts["from"] = {"name": plan.dataset.stem, "hash": dataset.content_hash}
    return plain(facts)


def plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back from a file: lists for tuples, text for keys."""
    read: dict[str, Any] = json.loads(json.dumps(facts))
    return read


def differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Where two descriptions differ, in words.

    >>> list(differences({"seed": 1, "env": {"id": "a"}}, {"seed": 2, "env": {"id": "a"}}))
    ['seed: 1, now 2']
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name}: {_short(before)}, now {_short(now)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  (a line has room for about that)


def file_sha256(path: Path) -> str:
    """``sha256:`` and the hash of a file's bytes."""
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
