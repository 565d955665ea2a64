"""The recipes, methods and dataset cards that come with awac-tr: found, listed, copied."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from awac_tr.errors import AwacError, RecipeError
from awac_tr.utils.atomic import cannot_write, write_text
from awac_tr.utils.file_kinds import wrong_kind
from awac_tr.utils.suggest import closest, did_you_mean

__all__ = [
    "YAML_SUFFIXES",
    "cards",
    "copy_file",
    "dataset_folder",
    "find_any",
    "find_card",
    "find_method",
    "find_recipe",
    "methods",
    "purpose",
    "read_text",
    "recipes",
]

_log = logging.getLogger(__name__)
_PACKAGE = Path(__file__).resolve().parents[1]
YAML_SUFFIXES = (".yaml", ".yml")
_MAX_BYTES = 1 << 16
"""YAML takes a hundred times its size in memory and a second for each 20 KiB; ours have up to 10 KiB."""


def recipes() -> dict[str, Path]:
    """Shipped recipes by name, sorted."""
    return _yaml_files(_shipped("recipes"))


def methods() -> dict[str, Path]:
    """Shipped methods by name, sorted: what a recipe says of its algorithm, for any task."""
    return _yaml_files(_shipped("recipes") / "methods")


def cards() -> dict[str, Path]:
    """Shipped dataset cards by name, sorted."""
    return _yaml_files(_shipped("datasets"))


def dataset_folder() -> Path:
    """Where datasets, and cards of the user's own, are looked for: ``$AWAC_TR_DATA``, or ``datasets``."""
    return Path(os.environ.get("AWAC_TR_DATA") or "datasets")


def find_recipe(ref: str | Path) -> Path:
    """The file a reference means.

    An existing file is taken as it is. Otherwise ``door``, ``door.yaml`` and ``recipes/door.yaml`` mean the shipped
    recipe, so that commands of the README work where there is no ``recipes`` folder; this is said once.

    Raises:
        RecipeError: no such file, and no shipped recipe of that name.
    """
    path, known = Path(ref), recipes()
    if path.is_file():
        return path
    name = path.stem if path.suffix in YAML_SUFFIXES else path.name
    if path.exists() and name not in known:
        raise wrong_kind(RecipeError, path, "recipe")
    if name in known and path.parent in (Path(), Path("recipes")):
        if str(ref) != name:
            _log.info("there is no %s here; using the recipe %r that comes with awac-tr", path, name)
        return known[name]
    near = name if name in known else closest(name, known)
    hint = f"Did you mean {near!r}, which comes with awac-tr? " if near else ""
    raise RecipeError(f"no recipe {str(ref)!r}", f"{hint}See all of them with: awac-tr recipes list")


def find_method(ref: str | Path) -> Path:
    """The file a method's name or path means.

    Raises:
        RecipeError: there is none.
    """
    path, known = Path(ref), methods()
    if path.is_file():
        return path
    if str(ref) in known:
        return known[str(ref)]
    raise RecipeError(f"no method {str(ref)!r}{did_you_mean(str(ref), known)}", f"Known methods: {', '.join(known)}.")


def find_card(name: str) -> Path:
    """The card of a dataset: ``NAME.yaml`` in the dataset folder, else the shipped one.

    Raises:
        RecipeError: there is none.
    """
    own, known = dataset_folder() / f"{name}.yaml", cards()
    if own.is_file():
        return own
    if name in known:
        return known[name]
    raise RecipeError(
        f"no dataset card {name!r}{did_you_mean(name, known)}",
        f"Known cards: {', '.join(known)}. A card of your own goes to {own}.",
    )


def find_any(ref: str | Path) -> Path:
    """The file of a recipe, a method or a card: a path, else a name, in this order.

    Raises:
        RecipeError: there is none.
    """
    name, path = str(ref), Path(ref)
    if not path.is_file() and name not in recipes() and name in methods():
        return methods()[name]
    if path.is_file() or name in recipes() or path.parent != Path():
        return find_recipe(ref)
    own = (dataset_folder() / f"{name}.yaml").is_file()
    return find_card(name) if own or closest(name, [*recipes(), *cards()]) in cards() else find_recipe(ref)


def purpose(path: Path) -> str:
    """The first comment line of a recipe or card, without its ``#``; empty if it opens with none."""
    first = read_text(path).split("\n", 1)[0].strip()
    return first.lstrip("#").strip() if first.startswith("#") else ""


def read_text(path: Path) -> str:
    """Read a recipe or a card of the user's as text.

    Raises:
        RecipeError: it cannot be opened, is longer than 64 KiB, or is not UTF-8 text.
    """
    try:
        if (size := path.stat().st_size) > _MAX_BYTES:
            raise RecipeError(f"cannot read {path}: it has {size:,} bytes; up to {_MAX_BYTES:,} are read")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        if path.suffix in YAML_SUFFIXES:
            raise RecipeError(f"cannot read {path}: not UTF-8 text (byte {error.start})") from error
        raise wrong_kind(RecipeError, path, "recipe", "Recipes and cards are UTF-8 text.") from error
    if "\x00" in text:
        raise wrong_kind(RecipeError, path, "recipe")
    return text


def copy_file(source: Path, dest: str | Path, *, force: bool = False) -> Path:
    """Copy a recipe or card, as text, atomically.

    Args:
        source: the file.
        dest: a folder that exists, or a file name; ``.yaml`` is added and folders are made where they are missing.
        force: replace an existing file.

    Returns:
        The path written.

    Raises:
        RecipeError: it is no text, or the file exists and ``force`` is off, or it cannot be written.
    """
    target = Path(dest)
    if target.is_dir():
        target = target / source.name
    elif target.suffix not in YAML_SUFFIXES:
        target = target.with_name(target.name + ".yaml")
    if target.exists() and not force:
        raise RecipeError(f"{target} exists already", "Choose another name, or replace it with --force.")
    text = read_text(source)
    try:
        write_text(target, text)
    except OSError as error:
        raise cannot_write(target, error, RecipeError) from error
    return target


def _shipped(kind: str) -> Path:
    """In a wheel the files lie inside the package; in a checkout beside it."""
    for folder in (_PACKAGE / "_shipped" / kind, _PACKAGE.parent / kind):
        if folder.is_dir():
            return folder
    raise AwacError(f"the {kind} that come with awac-tr are missing from this installation", "Install awac-tr again.")


def _yaml_files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem)}
