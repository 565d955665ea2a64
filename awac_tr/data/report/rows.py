"""What ``dataset_info`` tells of a file, as rows of text: for ``awac-tr data info`` and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from awac_tr.data.statistics.text import entries_text, range_text, readable_bytes

__all__ = [
    "ARRAYS",
    "EVERY_ENTRY",
    "MEASURES",
    "REWARDS",
    "array_rows",
    "entry_rows",
    "every_entry",
    "measure_rows",
    "origin_rows",
    "reward_rows",
]

_OF_MEASURES: Final = ("mean", "std", "min", "median", "max")
_OF_ENTRIES: Final = ("mean", "std", "min", "max")
_MOST: Final = 5

MEASURES: Final = ("per episode", *_OF_MEASURES)
REWARDS: Final = ("value", "rows", "share")
EVERY_ENTRY: Final = ("entry", *_OF_ENTRIES, "at a bound", "")
ARRAYS: Final = ("name", "type", "shape", "min", "max", "on disk", "compression")

Info = Mapping[str, Any]


def origin_rows(info: Info) -> list[tuple[str, str]]:
    """Where a file comes from, and its sizes; what it does not say is left out."""
    meta, storage = info["meta"], info["storage"]
    sizes = {"file": "on disk", "memory": "uncompressed", "buffer": "in a replay buffer"}
    rows = {
        "environment": meta["env_id"] or "unknown",
        "arguments": meta["env_kwargs"] or None,
        **{name.replace("_", " "): value for name, value in meta["env_options"].items()},
        "horizon": meta["horizon"],
        "source": meta["source"],
        "policy": meta["policy"],
        "seed": meta["seed"],
        "licence": meta["licence"] or "not stated",
        "description": meta["description"],
        "format": f"{info['format_version']}" if info["format_version"] else "D4RL-flat, not written by awac-tr",
        "created": info["created"],
        "versions": ", ".join(f"{name} {version}" for name, version in info["versions"].items()),
        "content hash": info["content_hash"],
        "size": ", ".join(f"{readable_bytes(storage[name])} {words}" for name, words in sizes.items()),
        "episodes": f"{info['episodes']:,}: {info['terminals']:,} terminal, {info['timeouts']:,} cut",
        "transitions": f"{info['transitions']:,}",
    }
    return [(name, str(value)) for name, value in rows.items() if value not in (None, "")]


def measure_rows(info: Info) -> list[tuple[str, ...]]:
    """Measures of the episodes, under :data:`MEASURES`."""
    return [(name, *(f"{found[key]:.4g}" for key in _OF_MEASURES)) for name, found in info["measures"].items()]


def reward_rows(info: Info) -> list[tuple[str, ...]]:
    """Every value where they are few, else their range, under :data:`REWARDS`."""
    rewards, rows = info["rewards"], info["transitions"]
    if rewards["values"] is None:
        words = f"{rewards['min']:.4g} to {rewards['max']:.4g}, mean {rewards['mean']:.4g}, std {rewards['std']:.4g}"
        return [(words, f"{rows:,}", "100 %")]
    return [
        (f"{found['value']:.6g}", f"{found['count']:,}", f"{found['count'] / max(rows, 1):.1%}")
        for found in rewards["values"]
    ]


def entry_rows(info: Info) -> Iterator[tuple[str, str]]:
    """Widths, constant entries and saturation, in a line each."""
    for name, found in info["dims"].items():
        words = [f"{len(found['mean'])} numbers", f"std {range_text(found['std'])}"]
        words += [f"constant: {entries_text(found['constant'])}"] if found["constant"] else []
        bad = sum(found["not_finite"])
        words += [f"{bad:,} NaN or infinite"] if bad else []
        yield name, ", ".join(words)
    actions = info["actions"]
    yield "action bounds", f"{range_text(actions['low'])} below, {range_text(actions['high'])} above"
    either = [low + high for low, high in zip(actions["at_low"], actions["at_high"], strict=True)]
    most = sorted(range(len(either)), key=lambda entry: -either[entry])[:_MOST]
    worst = ", ".join(f"{entry} ({either[entry]:.0%})" for entry in most if either[entry] > 0)
    yield "at a bound", f"{actions['saturation']:.1%} of all entries" + (f", most in {worst}" if worst else "")


def every_entry(info: Info, name: str) -> Iterator[tuple[str, ...]]:
    """Every entry of states or actions, under :data:`EVERY_ENTRY`."""
    found, actions = info["dims"][name], info["actions"]
    constant = set(found["constant"])
    for entry in range(len(found["mean"])):
        at = f"{actions['at_low'][entry] + actions['at_high'][entry]:.1%}" if name == "actions" else ""
        moments = (f"{found[key][entry]:.4g}" for key in _OF_ENTRIES)
        yield (f"{name}[{entry}]", *moments, at, "constant" if entry in constant else "")


def array_rows(info: Info) -> list[tuple[str, ...]]:
    """Type, shape and storage of the arrays, under :data:`ARRAYS`."""
    return [
        (
            array["name"],
            array["dtype"],
            " x ".join(f"{size:,}" for size in array["shape"]),
            f"{array['min']:.4g}",
            f"{array['max']:.4g}",
            readable_bytes(array["stored"]),
            array["compression"],
        )
        for array in info["arrays"]
    ]
