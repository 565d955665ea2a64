"""What a file notes of its own arrays, hashes and counts, against what they hold."""

from __future__ import annotations

from collections.abc import Mapping

from awac_tr.data.format.findings import Finding
from awac_tr.data.format.spec import EPISODES
from awac_tr.data.storage.reader import Dataset

__all__ = ["count_findings", "hash_findings"]


def hash_findings(dataset: Dataset, known: Mapping[str, str]) -> list[Finding]:
    """Hashes in the file against those of its arrays.

    Args:
        dataset: a file of ours.
        known: array name -> hash computed just now; of the others the noted hash is believed.
    """
    changed = [name for name, digest in known.items() if dataset.stored_hash(name) != digest]
    message = "its bytes do not match the hash in the file"
    findings = [Finding("error", "hash", name, message) for name in changed]
    if dataset.noted_hash(known) != dataset.content_hash and not findings:
        findings.append(Finding("error", "hash", "content_hash", "does not match the arrays of the file"))
    return findings


def count_findings(dataset: Dataset, episodes: int) -> list[Finding]:
    """Numbers of rows and episodes as noted, and one row an episode where the format says so.

    Args:
        dataset: a file of ours.
        episodes: how many there are by the flags.
    """
    noted = {name: dataset.attributes.get(name) for name in ("n_transitions", "n_episodes")}
    counted = {"n_transitions": dataset.n_transitions, "n_episodes": episodes}
    for name in dataset.array_names:
        if name.startswith(EPISODES + "/"):
            noted[name], counted[name] = (dataset.shape(name) or (None,))[0], episodes
    return [
        Finding("error", "count", name, f"says {noted[name]}, the file has {counted[name]}")
        for name in counted
        if noted[name] != counted[name]
    ]
