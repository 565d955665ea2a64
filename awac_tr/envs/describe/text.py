"""What an environment asks for, pays and ends by, in words: ours by heart, others by what their documentation says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from awac_tr.envs.goals import DOOR_HINGE, PEN_DISTANCE, PEN_SIMILARITY, RELOCATE_DISTANCE
from awac_tr.envs.sawyer.task import SUCCESS_DISTANCE

__all__ = ["NEVER", "Words", "brief_reward", "documented", "own_words", "settings_of"]


@dataclass(frozen=True)
class Words:
    """An environment in words; empty where nobody says.

    Attributes:
        task: what is to be done.
        reward: what a step is worth.
        success: what counts as success.
        end: when an episode ends before its horizon.
        parts: names and sizes of the parts of an observation, in order; empty where unknown.
    """

    task: str = ""
    reward: str = ""
    success: str = ""
    end: str = ""
    parts: tuple[tuple[str, int], ...] = ()


NEVER: Final = "never: only the horizon cuts an episode"

_OURS: Final = {
    "pen-binary-v0": Words(
        task="turn the pen in the hand into the direction of the green one, without dropping it",
        reward="0 where the pen is within {distance:g} m of its place and the cosine between its direction and the "
        "target's is at least {similarity:g}, -1 elsewhere",
        success="a step with reward 0",
        end=NEVER,
        parts=(
            ("hand joints (rad)", 24),
            ("pen position (m)", 3),
            ("pen velocity, linear and angular", 6),
            ("pen direction", 3),
            ("target direction", 3),
            ("pen position - place of the target", 3),
            ("pen direction - target direction", 3),
        ),
    ),
    "door-binary-v0": Words(
        task="undo the latch and pull the door open",
        reward="0 where the door's hinge is open by more than {hinge:g} rad, -1 elsewhere",
        success="a step with reward 0",
        end=NEVER,
        parts=(
            ("arm and hand joints, less the arm's first (m, rad)", 27),
            ("latch (rad)", 1),
            ("door hinge (rad)", 1),
            ("palm (m)", 3),
            ("handle (m)", 3),
            ("palm - handle (m)", 3),
            ("1 where the hinge is beyond 1 rad, else -1", 1),
        ),
    ),
    "relocate-binary-v0": Words(
        task="pick the ball up and carry it to the green place in the air",
        reward="0 where the ball is within {distance:g} m of the place, -1 elsewhere",
        success="a step with reward 0",
        end=NEVER,
        parts=(
            ("arm and hand joints (m, rad)", 30),
            ("palm - ball (m)", 3),
            ("palm - place (m)", 3),
            ("ball - place (m)", 3),
        ),
    ),
    "SawyerPush-v0": Words(
        task="push the puck over the table to the green place",
        reward="minus the distance between puck and goal in metres",
        success="the puck is nearer to its goal than {distance:g} m",
        end=NEVER,
        parts=(
            ("hand x, y (m)", 2),
            ("puck x, y (m)", 2),
            ("goal of the hand, which nothing depends on (m)", 2),
            ("goal of the puck (m)", 2),
        ),
    ),
}

_THRESHOLDS: Final[dict[str, dict[str, float]]] = {
    "pen-binary-v0": {"distance": PEN_DISTANCE, "similarity": PEN_SIMILARITY},
    "door-binary-v0": {"hinge": DOOR_HINGE},
    "relocate-binary-v0": {"distance": RELOCATE_DISTANCE},
    "SawyerPush-v0": {"distance": SUCCESS_DISTANCE},
}

_BRIEF: Final = {
    "pen-binary-v0": "-1, 0 at the goal",
    "door-binary-v0": "-1, 0 at the goal",
    "relocate-binary-v0": "-1, 0 at the goal",
    "SawyerPush-v0": "-distance (m)",
    "HalfCheetah": "speed - effort",
    "Ant": "1 + speed - effort",
    "Walker2d": "1 + speed - effort",
}


def brief_reward(env_id: str) -> str:
    """The reward of one of the paper's environments in a few words; of others nothing.

    >>> brief_reward("SawyerPush-v0"), brief_reward("Ant-v5"), brief_reward("Antarctica-v0")
    ('-distance (m)', '1 + speed - effort', '')
    """
    return _BRIEF.get(env_id) or _BRIEF.get(re.sub(r"-v[45]$", "", env_id), "")


def own_words(env_id: str, kwargs: Mapping[str, Any]) -> Words | None:
    """Words for one of our environments, with the thresholds among ``kwargs``; None where there are none by heart.

    >>> own_words("door-binary-v0", {"hinge": 1.35}).reward
    "0 where the door's hinge is open by more than 1.35 rad, -1 elsewhere"
    """
    words = _OURS.get(env_id)
    if words is None:
        return None
    numbers = {**_THRESHOLDS[env_id], **kwargs}
    reward, success = words.reward.format_map(numbers), words.success.format_map(numbers)
    return Words(words.task, reward, success, words.end, words.parts)


_SETTINGS: Final = ("_weight", "_reward", "_range")
_HEADING: Final = r"^[ \t]*#+[ \t]*(?:{})[ \t]*\n(.*?)(?=^[ \t]*## |\Z)"
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_AIM: Final = re.compile(r"\b[Tt]he (?:goal|task)\b")
_LONGEST: Final = 600


def documented(doc: str | None) -> Words:
    r"""Words from a docstring in the form that Gymnasium's own environments have, or none.

    Args:
        doc: with headings ``## Description``, ``## Rewards``, ``## Episode End``; of other docstrings only the first
            line is taken.

    >>> documented("## Rewards\nThe total reward is: ***reward*** *=* *speed - cost*.\n\n- more").reward
    'The total reward is: reward = speed - cost.'
    """
    if not doc:
        return Words()
    end = _section(doc, "Episode (?:End|Termination)")
    inner = re.split(r"^\s*#+\s*Truncation.*", end, maxsplit=1, flags=re.MULTILINE)[0]
    end = re.sub(r"^\s*#+\s*Termination\s*$", "", inner, flags=re.MULTILINE)
    return Words(task=_task(doc), reward=_opening(_section(doc, "Rewards?")), end=_opening(end))


def settings_of(env: Any) -> dict[str, Any]:
    """Weights and ranges that an unwrapped environment keeps under such names, as Gymnasium's MuJoCo ones do.

    >>> from types import SimpleNamespace
    >>> settings_of(SimpleNamespace(_ctrl_cost_weight=0.1, _healthy_z_range=(0.2, 1.0), frame_skip=5))
    {'ctrl_cost_weight': 0.1, 'healthy_z_range': (0.2, 1.0)}
    """
    found = {name.lstrip("_"): value for name, value in vars(env).items() if name.endswith(_SETTINGS)}
    return {name: value for name, value in sorted(found.items()) if type(value) in (int, float, tuple)}


def _section(doc: str, title: str) -> str:
    found = re.search(_HEADING.format(title), doc, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def _task(doc: str) -> str:
    """The sentence about the aim, else the first one."""
    told = _section(doc, "Description") or doc.strip().partition("\n\n")[0]
    sentences = _SENTENCE.split(_plain(told))
    return next((one for one in sentences if _AIM.search(one)), sentences[0])[:_LONGEST]


def _opening(text: str) -> str:
    """The first paragraph, with what follows where that only announces it."""
    paragraphs = [_plain(one) for one in re.split(r"\n\s*\n", text) if one.strip()]
    if not paragraphs:
        return ""
    words = paragraphs[0]
    if words.endswith(":") and len(paragraphs) > 1:
        words = f"{words} {paragraphs[1]}"
    return words if len(words) <= _LONGEST else words[:_LONGEST].rsplit(" ", 1)[0] + " ..."


def _plain(text: str) -> str:
    """Markdown as bare words in one line."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<sup>(.*?)</sup>", r"^\1", text)
    text = re.sub(r"(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)|[`$]", "", text)
    return " ".join(text.split())
