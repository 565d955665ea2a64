"""The environments there are: ours, those of the recipes, and all that Gymnasium knows of; what comes for each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from awac_tr.envs import ENV_IDS
from awac_tr.envs.describe.registered import may_be_continuous, registered
from awac_tr.envs.describe.text import brief_reward
from awac_tr.envs.env_info import env_info
from awac_tr.errors import EnvError
from awac_tr.recipes.cards import load_card
from awac_tr.recipes.library import cards, recipes
from awac_tr.recipes.loader import load_recipe
from awac_tr.recipes.schema import EnvSection

__all__ = ["Entry", "Uses", "catalogue", "envs_of_recipes", "uses_of"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """An environment in a line; None where only making it would tell.

    Attributes:
        id: as one types it.
        origin: registered by awac-tr, used by a recipe of awac-tr, or just registered.
        horizon: steps before an episode is cut; of recipes as they have it.
        observation_size: length of the observation vector; of recipes as they have it.
        action_size: length of the action vector.
        reward: what a step is worth, in a few words; empty where nobody says.
        recipes: names of those that use it.
    """

    id: str
    origin: Literal["awac-tr", "recipe", "registered"]
    horizon: int | None
    observation_size: int | None
    action_size: int | None
    reward: str
    recipes: tuple[str, ...]


def catalogue(text: str = "", *, everything: bool = False) -> list[Entry]:
    """Ours first, then those that recipes use, then the others by name.

    Args:
        text: only ids that contain this, letter case aside.
        everything: also what else is registered and may have continuous actions; none of these is made.

    >>> [entry.id for entry in catalogue("binary")]
    ['pen-binary-v0', 'door-binary-v0', 'relocate-binary-v0']
    """
    wanted = text.lower()
    return [entry for entry in _entries(wanted, everything) if wanted in entry.id.lower()]


def _entries(wanted: str, everything: bool) -> Iterator[Entry]:  # noqa: FBT001
    used: dict[str, list[str]] = {}
    for name, env in envs_of_recipes().items():
        used.setdefault(env.name, []).append(name)
    first = [*ENV_IDS, *sorted(set(used) - set(ENV_IDS))]
    for env_id in first:
        if wanted in env_id.lower():
            names = tuple(used.get(env_id, ()))
            yield _known(env_id, envs_of_recipes()[names[0]] if names else EnvSection(id=env_id), names)
    for name, spec in sorted(registered().items()) if everything else ():
        if name not in first and may_be_continuous(spec):
            yield Entry(name, "registered", spec.max_episode_steps, None, None, "", ())


def _known(env_id: str, section: EnvSection, used_by: tuple[str, ...]) -> Entry:
    """One whose sizes are known, or found out by making it; what it needs may be missing here."""
    origin: Literal["awac-tr", "recipe"] = "awac-tr" if env_id in ENV_IDS else "recipe"
    shown, reward = env_id if env_id in ENV_IDS else section.id, brief_reward(env_id)
    try:
        facts = env_info(section)
    except EnvError as error:
        _log.info("%s", error)
        return Entry(shown, origin, section.horizon, None, None, reward, used_by)
    return Entry(shown, origin, facts.horizon, facts.observation_size, facts.action_size, reward, used_by)


@dataclass(frozen=True)
class Uses:
    """What comes with awac-tr for an environment.

    Attributes:
        recipes: names of recipes, sorted.
        cards: names of dataset cards, sorted.
        kwargs: what recipes make it with, by the recipe's name; those that give nothing left out.
    """

    recipes: tuple[str, ...]
    cards: tuple[str, ...]
    kwargs: dict[str, dict[str, Any]]


@cache
def envs_of_recipes() -> dict[str, EnvSection]:
    """The environment of each recipe that comes with awac-tr, by the recipe's name."""
    return {name: load_recipe(path).recipe.env for name, path in recipes().items()}


def uses_of(env_id: str) -> Uses:
    """What comes with awac-tr for an environment, by its registered id.

    >>> uses_of("relocate-binary-v0").recipes
    ('relocate', 'relocate-authors')
    """
    mine = {name: env for name, env in envs_of_recipes().items() if env.name == env_id}
    kwargs = {name: env.kwargs for name, env in mine.items() if env.kwargs}
    return Uses(
        tuple(mine), tuple(name for name in cards() if EnvSection.of(load_card(name).env).name == env_id), kwargs
    )
