"""Where a dataset comes from, drawn as a tree: this file, who acted, what that was learnt from, and so on up.

A parent is noted in a file by name and content hash. It is looked for among the datasets beside the file, by its hash:
a file that was renamed is found, one that holds other rows by now is not taken for it, and what is missing is said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from awac_tr.data.format.meta import DatasetMeta, Parent, meta_from_attributes
from awac_tr.data.storage.hdf5 import clear_errors, open_hdf5, read_attributes
from awac_tr.data.storage.paths import SUFFIXES
from awac_tr.errors import DatasetError

__all__ = ["Ancestor", "Kind", "State", "lineage"]

Kind = Literal["dataset", "policy", "origin"]
State = Literal["this", "found", "missing", "changed", "seen", "noted"]

_MAX_PARENTS: Final = 32
_MAX_DEPTH: Final = 32
_MAX_POLICY_BYTES: Final = 1 << 30
_ORIGINS: Final = {"random": "uniform actions", "ou": "noise", "policy": "a policy", "demos": "demonstrator"}


@dataclass(frozen=True)
class Ancestor:
    """A dataset, a policy or an origin, and what it was made from.

    Args:
        kind: ``dataset``; ``policy``: what acted; ``origin``: where the rows came from, with nothing above it.
        name: file or words.
        state: ``this``: the file that was asked about; ``found``: beside it, with the noted hash; ``missing``: no file
            beside it has that hash; ``changed``: one of that name is there, with another hash; ``seen``: a dataset
            that stands in the tree already; ``noted``: words, or a packaged
            demonstrator: nothing to be looked for.
        detail: a few more words, such as counts; may be empty.
        hash: content hash of a dataset, ``sha256:`` and hash of the bytes of a policy file; empty where unknown.
        path: the file, where there is one.
        parents: what it was made from.
    """

    kind: Kind
    name: str
    state: State
    detail: str = ""
    hash: str = ""
    path: str | None = None
    parents: tuple[Ancestor, ...] = ()

    def walk(self) -> Iterator[Ancestor]:
        """This one and all above it, depth first."""
        yield self
        for parent in self.parents:
            yield from parent.walk()


def lineage(path: str | Path) -> Ancestor:
    """The tree of a dataset file, whose parents are looked for in its folder; only attributes are read.

    Raises:
        DatasetError: the file itself cannot be read.
    """
    path = Path(path)
    about = _About.read(path)
    return _Search(path.parent).dataset(about, "this", ())


@dataclass(frozen=True)
class _About:
    """What a file says of itself; ``meta`` is None for files of others."""

    path: Path
    hash: str
    counts: str
    meta: DatasetMeta | None

    @classmethod
    def read(cls, path: Path) -> _About:
        with open_hdf5(path) as file:
            found = read_attributes(path, file)
        if not found:
            return cls(path, "", "", None)
        counts = [
            f"{found[f'n_{what}']:,} {what}"
            for what in ("episodes", "transitions")
            if isinstance(found.get(f"n_{what}"), int)
        ]
        return cls(path, str(found.get("content_hash", "")), ", ".join(counts), meta_from_attributes(found))


class _Search:
    """Looks for parents in a folder; hashes of its files are read once, when the first parent is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] | None = None
        self._seen: set[str] = set()

    @property
    def _by_hash(self) -> dict[str, Path]:
        if self._files is None:
            self._files = {}
            for path in sorted(self._folder.iterdir()):
                noted = _noted_hash(path) if path.suffix in SUFFIXES else ""
                if noted:
                    self._files.setdefault(noted, path)
        return self._files

    def _with_hash(self, digest: str) -> _About | None:
        path = self._by_hash.get(digest)
        try:
            return None if path is None else _About.read(path)
        except DatasetError:
            return None

    def dataset(self, about: _About, state: State, above: tuple[str, ...]) -> Ancestor:
        """A file and all above it; ``above`` are the hashes between it and the file that was asked about."""
        said = (about.meta.source, _deed(about.meta.extra)) if about.meta else ("not written by awac-tr",)
        words = ", ".join(filter(None, [about.counts, *said]))
        node = Ancestor("dataset", about.path.name, state, words, about.hash, str(about.path))
        if about.hash:
            self._seen.add(about.hash)
        if about.meta is None:
            return replace(node, parents=(Ancestor("origin", "unknown: the file does not say", "noted"),))
        return replace(node, parents=self._makers(about.meta, (*above, about.hash)))

    def _makers(self, meta: DatasetMeta, above: tuple[str, ...]) -> tuple[Ancestor, ...]:
        """Who acted and what it was learnt from; for copies and parts of datasets, those."""
        parents = tuple(self._parent(parent, above) for parent in meta.parents[:_MAX_PARENTS])
        left = len(meta.parents) - _MAX_PARENTS
        if left > 0:
            parents += (Ancestor("origin", f"and {left:,} more", "noted"),)
        actor = self._actor(meta, learnt=bool(parents))
        if actor is None:
            return parents
        return (replace(actor, parents=parents),) if actor.kind == "policy" else (actor, *parents)

    def _parent(self, parent: Parent, above: tuple[str, ...]) -> Ancestor:
        noted = Ancestor("dataset", str(parent.name), "missing", str(parent.source), str(parent.hash))
        if noted.hash in above:
            return replace(noted, state="seen", detail="itself: no file can be made from its own rows")
        if len(above) >= _MAX_DEPTH:
            return replace(noted, detail=f"not followed beyond {_MAX_DEPTH} generations")
        about = self._with_hash(noted.hash)
        if about is None:
            return self._why_missing(noted)
        if noted.hash in self._seen:
            return replace(noted, name=about.path.name, state="seen", path=str(about.path))
        return self.dataset(about, "found", above)

    def _why_missing(self, noted: Ancestor) -> Ancestor:
        stem = Path(noted.name).name.removesuffix(".hdf5").removesuffix(".h5")
        alike = [path for path in self._by_hash.values() if path.stem == stem]
        return replace(noted, state="changed", path=str(alike[0])) if alike else noted

    def _actor(self, meta: DatasetMeta, *, learnt: bool) -> Ancestor | None:
        """The policy, or the origin of rows that no policy of ours made; None where the parents say it all."""
        if learnt and _deed(meta.extra):
            return None  # what else it notes is its parents' story
        file, digest, more = _policy_file(meta.extra)
        if file:
            words = ", ".join(filter(None, [meta.policy, more]))
            policy = Ancestor("policy", file, "missing", words, digest)
            return replace(policy, state="noted") if meta.source == "demos" else self._beside(policy)
        imported = meta.extra.get("imported_from")
        if imported:
            kind = meta.extra.get("format")
            words = ", ".join(
                filter(None, [f"{kind} file" if kind else "", meta.policy, str(meta.extra.get("left_out") or "")])
            )
            return Ancestor("origin", str(imported), "noted", words)
        if learnt:
            return None
        return Ancestor("origin", meta.policy or _ORIGINS.get(meta.source, "not said"), "noted")

    def _beside(self, policy: Ancestor) -> Ancestor:
        """A policy file as found in the folder."""
        path = self._folder / Path(policy.name).name
        if not path.is_file() or path.stat().st_size > _MAX_POLICY_BYTES:
            return policy
        with path.open("rb") as file:
            same = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest() == policy.hash
        return replace(policy, state="found" if same else "changed", path=str(path))


def _noted_hash(path: Path) -> str:
    """The content hash in a file; empty where there is none, and for broken files, which ``data list`` shows.

    Nothing else is read, and this only where it has the fixed length that we write: the HDF5 library can run in circles
    over damaged text of variable length, and a bad neighbour must not keep a good file from being looked at.
    """
    try:
        with open_hdf5(path) as file, clear_errors(path):
            if "content_hash" not in file.attrs or file.attrs.get_id("content_hash").get_type().is_variable_str():
                return ""
            found = file.attrs["content_hash"]
    except (DatasetError, OSError, AttributeError):  # the last: it is no text
        return ""
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else ""


def _deed(extra: Mapping[str, Any]) -> str:
    """What made rows of other files into this one: merge, split, filter, mended; empty where they were recorded."""
    made = extra.get("made_by")
    if isinstance(made, Mapping) and made.get("verb"):
        return str(made["verb"])
    return "mended" if extra.get("mended") else ""


def _policy_file(extra: Mapping[str, Any]) -> tuple[str, str, str]:
    """File, hash and story of what acted, as ``awac-tr collect`` notes them; empty where it did not."""
    clone = extra.get("clone")
    if isinstance(clone, Mapping) and clone.get("file"):
        updates = clone.get("updates")
        more = f"{updates:,} updates" if isinstance(updates, int) else ""
        return str(clone["file"]), str(clone.get("sha256", "")), more
    if extra.get("policy_file"):
        return str(extra["policy_file"]), str(extra.get("policy_sha256", "")), ""
    return "", "", ""
