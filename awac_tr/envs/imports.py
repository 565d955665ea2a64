"""Code that a description of an environment names, such as ``my_task:sparse``: found, imported, and said once.

Whether it may be imported at all is settled before: :meth:`awac_tr.recipes.environment.EnvSection.of`.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from awac_tr.errors import EnvError

__all__ = ["imported", "imported_module"]

_log = logging.getLogger(__name__)

_HINT: Final = "It is written module:name, for example my_task:sparse for the function sparse of my_task.py here."
_said: set[str] = set()


def imported(name: str) -> Any:
    """What ``module:name`` stands for.

    Raises:
        EnvError: there is no such module, it fails, or nothing of that name is in it.

    >>> imported("gymnasium.wrappers:TimeAwareObservation").__name__
    'TimeAwareObservation'
    """
    module_name, _, path = name.partition(":")
    found: Any = imported_module(module_name)
    place = getattr(found, "__file__", None) or "built in"
    for part in path.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=1)
            hint = f"Did you mean {near[0]}?" if near else _HINT
            raise EnvError(f"{name} cannot be imported: no {part!r} in {module_name} ({place})", hint)
        found = getattr(found, part)
    return found


def imported_module(name: str) -> ModuleType:
    """A module of any package installed, or of the folder one works in, also in a process of its own.

    Raises:
        EnvError: there is none of this name, or it fails while it is imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: it must not stand before anything installed
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        hint = f"Modules are looked for among those installed and in the folder one works in, {here}."
        raise EnvError(f"{name} cannot be imported: {error}", hint) from error
    # Code of others fails as it likes.
    except Exception as error:
        raise EnvError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    if name not in _said:
        _said.add(name)
        _log.info("imported, as the environment's description says: %s (%s)", name, module.__file__ or "built in")
    return module
