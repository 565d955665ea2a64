"""Does what a file says of itself fit its environment, and do its flags hold flags."""

from __future__ import annotations

from typing import Final

import numpy as np

from awac_tr.data.findings import Finding, finding_of_rows
from awac_tr.data.format import FLAGS
from awac_tr.data.reader import Dataset
from awac_tr.data.semantics.base import Context, RowList

__all__ = ["flag_findings", "metadata_findings"]

_TOLERANCE: Final = 1e-5


def metadata_findings(context: Context) -> list[Finding]:
    """Bounds and horizon as noted, against those of the environment."""
    if not context.ours or context.rules is None or context.env is None:
        return []
    found, meta, rules = [], context.meta, context.rules
    for name, expected in (("action_low", rules.action_low), ("action_high", rules.action_high)):
        noted = np.asarray(getattr(meta, name), dtype=np.float32)
        if noted.shape == expected.shape and np.abs(noted - expected).max(initial=0) > _TOLERANCE:
            entry = int(np.argmax(np.abs(noted - expected)))
            message = f"entry {entry} is {noted[entry]:g}, {context.env.id} has {expected[entry]:g}"
            found.append(Finding("warning", "bounds-env", name, message))
    if meta.horizon and meta.horizon != context.env.horizon:
        message = f"{meta.horizon} steps, {context.env.id} is registered with {context.env.horizon}"
        found.append(Finding("note", "horizon-env", "horizon", message))
    return found


def flag_findings(dataset: Dataset) -> list[Finding]:
    """Flags that are stored as numbers, and hold other numbers than 0 and 1."""
    found = []
    for name in FLAGS:
        if dataset.dtype(name).kind == "b":
            continue
        odd = RowList()
        for start, stop in dataset.spans(name):
            flags = dataset._raw_rows(name, start, stop)  # noqa: SLF001  (rows() makes bools of them)
            odd.add(np.asarray((flags != 0) & (flags != 1)), start)
        if odd.count:
            found.append(finding_of_rows("flag-values", name, odd.rows, count=odd.count))
    return found
