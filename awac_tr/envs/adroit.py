"""``pen-binary-v0``, ``door-binary-v0``, ``relocate-binary-v0``: the paper's tasks on gymnasium-robotics' Adroit hands.

Hand, scene, observation and starting states are gymnasium-robotics'; reward, success and state access are ours. Its own
sparse reward is 10 / -0.1, and its ``info["success"]`` for the door uses 1.35 rad, so neither is reused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from awac_tr.envs.describe.registered import without_notice
from awac_tr.envs.gl import import_mujoco
from awac_tr.envs.goals import DOOR_HINGE, PEN_DISTANCE, PEN_SIMILARITY, RELOCATE_DISTANCE
from awac_tr.envs.pose import SimulatedEnv, State, check_state
from awac_tr.errors import EnvError

if TYPE_CHECKING:
    import mujoco

__all__ = ["AdroitBinaryEnv", "DoorBinaryEnv", "PenBinaryEnv", "RelocateBinaryEnv"]

Observation = NDArray[np.float32]


class AdroitBinaryEnv(SimulatedEnv, gymnasium.Env[Observation, NDArray[np.float32]]):
    """What the three tasks share: a hand of gymnasium-robotics held inside, stepped and observed by us.

    Observations are float32 [o], actions float32 [a] in [-1, 1] and clipped to it; one step is 5 simulator steps of
    2 ms (100 Hz). The reward is goal - 1, so -1 or 0; ``info["success"]`` is the goal as a bool. Never terminated; the
    registered horizon of 200 steps truncates.

    Positions in an observation are those MuJoCo computed at the start of the last simulator step, 2 ms before the joint
    angles beside them. That is how gymnasium-robotics and mj_envs observe, and the goals compare the same numbers.

    Args:
        render_mode: ``"rgb_array"`` for :meth:`render`, or None.
        render_options: further arguments of ``MujocoEnv``, such as ``width``, ``height``, ``camera_name``.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 100}  # noqa: RUF012  (as in the base class)

    _simulator = ("_hand", "model", "data")
    _hand_class: ClassVar[str]
    """The environment of gymnasium-robotics inside."""

    def __init__(self, render_mode: str | None = None, **render_options: Any) -> None:
        self.render_mode, self._render_options = render_mode, render_options
        self._build()
        self.action_space = self._hand.action_space
        size = self._hand.observation_space.shape or ()
        self.observation_space = spaces.Box(-np.inf, np.inf, size, np.float32)

    def _build(self) -> None:
        import_mujoco()
        with without_notice():
            from gymnasium_robotics.envs import adroit_hand
        make: Any = getattr(adroit_hand, self._hand_class)
        self._hand = make(render_mode=self.render_mode, reward_type="sparse", **self._render_options)
        self.model: mujoco.MjModel = self._hand.model
        self.data: mujoco.MjData = self._hand.data

    def _goal(self) -> bool:
        """Whether the simulator's present state is a goal."""
        raise NotImplementedError

    def _layout(self) -> dict[str, NDArray[np.float64]]:
        """What a reset draws: views into the model's arrays, by name."""
        raise NotImplementedError

    def _measure_scene(self) -> None:
        """Renew what the hand keeps about the scene of an episode; most tasks keep nothing."""

    def _observe(self) -> Observation:
        observation: Observation = self._hand._get_obs().astype(np.float32)  # noqa: SLF001  (made for its subclasses, and we stand in for one)
        return observation

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode. ``options={"state": state}`` starts it from a state of :meth:`get_state`."""
        super().reset(seed=seed)
        self._hand.np_random = self.np_random
        self._hand.reset()
        if options and "state" in options:
            return self.set_state(options["state"]), {"success": self._goal()}
        return self._observe(), {"success": self._goal()}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One action [a]: observation, reward in {-1, 0}, terminated (False), truncated (False), ``{"success": bool}``.

        Raises:
            EnvError: the simulation became unstable. MuJoCo then restarts it by itself, which no caller would notice.
        """
        hand, before = self._hand, self.data.time
        clipped = np.clip(action, -1.0, 1.0)
        hand.do_simulation(hand.act_mean + clipped * hand.act_rng, hand.frame_skip)
        if not self.data.time > before:
            raise EnvError("the simulation became unstable and MuJoCo restarted it")
        success = self._goal()
        return self._observe(), float(success) - 1.0, False, False, {"success": success}

    def get_pose(self) -> State:
        """The part of the state that a picture needs, as copies: ``qpos``, ``qvel`` and what the reset drew."""
        drawn = {name: view.copy() for name, view in self._layout().items()}
        return {"qpos": self.data.qpos.copy(), "qvel": self.data.qvel.copy()} | drawn

    def get_state(self) -> State:
        """The simulator's state, as copies: everything :meth:`set_state` needs to go on exactly as from here.

        Returns:
            float64 arrays: ``qpos`` [nq], ``qvel`` [nv], ``qacc_warmstart`` [nv], ``time`` [1], ``xpos`` [nbody, 3],
            ``site_xpos`` [nsite, 3], and what a reset draws under the task's own names.
        """
        data = self.data
        return self.get_pose() | {
            "qacc_warmstart": data.qacc_warmstart.copy(),
            "time": np.array([data.time]),
            "xpos": data.xpos.copy(),
            "site_xpos": data.site_xpos.copy(),
        }

    def set_state(self, state: Mapping[str, NDArray[np.float64]]) -> Observation:
        """Put the simulator into a state, and return the observation [o] float32 there.

        With all entries of :meth:`get_state` the same actions then give the same observations, bit for bit. ``qpos``,
        ``qvel`` and the task's own entries are enough to render a moment, or to go on from it within solver tolerance.

        Raises:
            EnvError: an entry is missing, unknown or of another shape.
        """
        import mujoco

        check_state(state, self.get_state(), {"qpos", "qvel", *self._layout()})
        data = self.data
        mujoco.mj_resetData(self.model, data)
        for name, view in self._layout().items():
            view[:] = state[name]
        data.qpos[:], data.qvel[:] = state["qpos"], state["qvel"]
        mujoco.mj_forward(self.model, data)
        self._measure_scene()
        data.time = float(state["time"][0]) if "time" in state else 0.0
        # After mj_forward: it overwrites them with values of this very moment, which a running simulation lacks.
        for name in ("qacc_warmstart", "xpos", "site_xpos"):
            if name in state:
                getattr(data, name)[:] = state[name]
        return self._observe()

    @property
    def mujoco_renderer(self) -> Any:
        """What draws, as in Gymnasium's own MuJoCo environments: its camera may be moved before the first picture."""
        return self._hand.mujoco_renderer

    def render(self) -> NDArray[np.uint8]:
        """The present moment as an image [height, width, 3] uint8."""
        frame: NDArray[np.uint8] = self._hand.render()
        return frame

    def close(self) -> None:
        """Free the renderer."""
        self._hand.close()


class PenBinaryEnv(AdroitBinaryEnv):
    """Turn a pen in the hand into a drawn direction: ``1[|x_p - d_p| <= distance] 1[x_o . d_o >= similarity] - 1``.

    Args:
        distance: metres between pen and target.
        similarity: cosine between pen and target.
        options: see :class:`AdroitBinaryEnv`.
    """

    _hand_class = "AdroitHandPenEnv"

    def __init__(self, *, distance: float = PEN_DISTANCE, similarity: float = PEN_SIMILARITY, **options: Any) -> None:
        super().__init__(**options)
        self._distance, self._similarity = float(distance), float(similarity)

    def _build(self) -> None:
        super()._build()
        import mujoco

        # Known from the start, so that a state can be set before the first reset.
        mujoco.mj_forward(self.model, self.data)
        hand, sites = self._hand, self.data.site_xpos
        hand.pen_length = np.linalg.norm(sites[hand.obj_t_site_id] - sites[hand.obj_b_site_id])

    def _layout(self) -> dict[str, NDArray[np.float64]]:
        return {"target_quat": self.model.body_quat[self._hand.target_obj_body_id]}

    def _measure_scene(self) -> None:
        hand, sites = self._hand, self.data.site_xpos
        hand.tar_length = np.linalg.norm(sites[hand.tar_t_site_id] - sites[hand.tar_b_site_id])

    def _goal(self) -> bool:
        hand, sites = self._hand, self.data.site_xpos
        offset = self.data.xpos[hand.obj_body_id] - sites[hand.eps_ball_site_id]
        pen = (sites[hand.obj_t_site_id] - sites[hand.obj_b_site_id]) / hand.pen_length
        target = (sites[hand.tar_t_site_id] - sites[hand.tar_b_site_id]) / hand.tar_length
        return bool(np.linalg.norm(offset) <= self._distance and pen @ target >= self._similarity)


class DoorBinaryEnv(AdroitBinaryEnv):
    """Undo a latch and open a door whose place is drawn: ``1[d > hinge] - 1``.

    Args:
        hinge: radians the door must be open by; the authors' mj_envs used 1.35.
        options: see :class:`AdroitBinaryEnv`.
    """

    _hand_class = "AdroitHandDoorEnv"

    def __init__(self, *, hinge: float = DOOR_HINGE, **options: Any) -> None:
        super().__init__(**options)
        self._hinge = float(hinge)

    def _layout(self) -> dict[str, NDArray[np.float64]]:
        return {"door_pos": self.model.body_pos[self._hand.door_body_id]}

    def _goal(self) -> bool:
        return bool(self.data.qpos[self._hand.door_hinge_addrs] > self._hinge)


class RelocateBinaryEnv(AdroitBinaryEnv):
    """Carry a ball to a place in the air, both drawn: ``1[|x_p - d_p| <= distance] - 1``.

    Args:
        distance: metres between ball and target.
        options: see :class:`AdroitBinaryEnv`.
    """

    _hand_class = "AdroitHandRelocateEnv"

    def __init__(self, *, distance: float = RELOCATE_DISTANCE, **options: Any) -> None:
        super().__init__(**options)
        self._distance = float(distance)

    def _layout(self) -> dict[str, NDArray[np.float64]]:
        hand = self._hand
        return {
            "ball_pos": self.model.body_pos[hand.obj_body_id],
            "target_pos": self.model.site_pos[hand.target_obj_site_id],
        }

    def _goal(self) -> bool:
        hand = self._hand
        offset = self.data.xpos[hand.obj_body_id] - self.data.site_xpos[hand.target_obj_site_id]
        return bool(np.linalg.norm(offset) <= self._distance)
