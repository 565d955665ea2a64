"""Every environment that Gymnasium knows of, without making one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Final

from gymnasium.envs.registration import EnvSpec, registry

__all__ = ["may_be_continuous", "registered", "without_notice"]

_ROBOTICS: Final = "gymnasium_robotics"

_DISCRETE: Final = (
    *("gymnasium.envs.toy_text", "gymnasium.envs.tabular", "gymnasium.envs.phys2d.cartpole", "ale_py"),
    *(f"gymnasium.envs.classic_control.{name}:" for name in ("acrobot", "cartpole", "mountain_car")),
    *("gymnasium.envs.box2d.lunar_lander", "minigrid"),
)
"""Entry points whose actions are a choice among a few, unless they are made with ``continuous=True``."""

_GONE: Final = ("gymnasium_robotics.envs.mujoco.", "gymnasium_robotics.envs.maze.ant_maze_v3")
"""They need mujoco-py, which nobody can install any more; so do classes whose names begin as below."""
_GONE_CLASS: Final = ":MujocoPy"


@contextmanager
def without_notice() -> Iterator[None]:
    """Keep gymnasium-robotics from announcing, at import, that its dense Adroit rewards changed: none is used here."""
    try:
        from farama_notifications import notifications
    except ImportError:
        notifications = {}
    notices = notifications.pop(_ROBOTICS, None)
    try:
        yield
    finally:
        if notices is not None:
            notifications[_ROBOTICS] = notices


def registered() -> dict[str, EnvSpec]:
    """All specifications by id, with those of gymnasium-robotics, which are known to Gymnasium only from here on.

    >>> registered()["AdroitHandHammer-v1"].max_episode_steps
    200
    """
    with suppress(ImportError), without_notice():
        import_module(_ROBOTICS)
    return dict(registry)


def may_be_continuous(spec: EnvSpec) -> bool:
    """Whether an environment may have vectors of real numbers for actions; only making it tells for certain.

    Those that Gymnasium keeps only to say that they are gone are none.

    >>> [name for name in ("CartPole-v1", "Pendulum-v1", "Hopper-v2") if may_be_continuous(registry[name])]
    ['Pendulum-v1']
    """
    entry = spec.entry_point
    if entry is None or spec.kwargs.get("continuous"):
        return entry is not None
    if isinstance(entry, str):
        return not entry.startswith(_DISCRETE + _GONE) and _GONE_CLASS not in entry
    return not getattr(entry, "__name__", "").startswith("_raise")
