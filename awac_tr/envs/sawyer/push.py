"""The environment ``SawyerPush-v0`` (A.1.2): a Sawyer's hand pushes a puck over a table, towards a goal.

Task and figures are those of multiworld's ``sawyer_push_leap``, which the authors ran; docs/environments.md says where
the simulation differs, and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from awac_tr.envs.pose import SimulatedEnv, State, check_state
from awac_tr.envs.sawyer.scene import load_scene, reach
from awac_tr.envs.sawyer.task import (
    ACTION_SCALE,
    HIGH,
    LOW,
    PUCK_HIGH,
    PUCK_LOW,
    SEEN_HIGH,
    SEEN_LOW,
    SUCCESS_DISTANCE,
    draw_apart,
    draw_goals,
    goal_reward,
)
from awac_tr.errors import EnvError

__all__ = ["SawyerPushEnv"]

Observation = dict[str, NDArray[np.float32]]

_HAND_Z: Final = 0.06
_MARKER_Z: Final = 0.001
_PUCK_ZERO: Final = np.array([0.0, 0.6])
"""Where the puck stands when its joints are at zero."""
_SIZE: Final[dict[str, Any]] = {"width": 640, "height": 480, "camera_name": "table"}


class SawyerPushEnv(SimulatedEnv, gymnasium.Env[Observation, NDArray[np.float32]]):
    """Push a puck to a drawn place; reward ``-|puck - goal|`` in metres (A.1.2).

    Observations are a dictionary of float32 [4]: ``observation`` and ``achieved_goal`` are hand x, y and puck x, y;
    ``desired_goal`` is the same of the goal, of which the puck's part counts. Actions are float32 [2] in [-1, 1],
    clipped to it: 2 cm of the hand's target each, which stays in the 40 x 20 cm, 6 cm above the table. One step is 50
    simulator steps of 2 ms (10 Hz). ``info["success"]``: the puck is nearer to its goal than ``distance``. Never
    terminated; the registered horizon of 200 steps truncates.

    Args:
        distance: metres; no reward depends on it.
        render_mode: ``"rgb_array"`` for :meth:`render`, or None.
        render_options: ``width``, ``height``, ``camera_name`` and other arguments of gymnasium's ``MujocoRenderer``.

    Raises:
        EnvError: the meshes of the arm are not installed.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  (as in the base class)
    frame_skip = 50
    _simulator = ("_mujoco", "_restarts", "model", "data", "_hand", "_renderer")

    def __init__(
        self, *, distance: float = SUCCESS_DISTANCE, render_mode: str | None = None, **render_options: Any
    ) -> None:
        self.render_mode = render_mode
        self._distance = float(distance)
        self._render_options: dict[str, Any] = _SIZE | render_options
        self._target, self._goal = LOW + (HIGH - LOW) / 2, np.zeros(4, np.float32)
        seen, wanted = _box(SEEN_LOW, SEEN_HIGH), _box(LOW, HIGH)
        space: Any = spaces.Dict({"observation": seen, "achieved_goal": seen, "desired_goal": wanted})
        self.observation_space = space
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._build()
        self._place(self._target, _PUCK_ZERO)

    def _build(self) -> None:
        self.model = load_scene()
        import mujoco

        self._mujoco = mujoco
        trouble = mujoco.mjtWarning
        self._restarts = (trouble.mjWARN_BADQPOS, trouble.mjWARN_BADQVEL, trouble.mjWARN_BADQACC)
        self.data = mujoco.MjData(self.model)
        self._hand = self.model.body("hand").id
        self._renderer: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode: hand, puck and goal are drawn. ``options={"state": state}`` starts it from a state."""
        super().reset(seed=seed)
        hand = self.np_random.uniform(LOW, HIGH)
        self._place(hand, draw_apart(hand[None], self.np_random, PUCK_LOW, PUCK_HIGH)[0])
        self._show_goal(self.sample_goals(1, self.np_random)[0])
        if options and "state" in options:
            self.set_state(options["state"])
        observation = self._observe()
        return observation, {"success": self._judge(observation)[1]}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One action [2]: observation, reward, terminated (False), truncated (False), ``{"success": bool}``.

        Raises:
            EnvError: the simulation became unstable. MuJoCo then restarts it by itself, which no caller would notice.
        """
        data = self.data
        self._target = np.clip(self._target + ACTION_SCALE * np.clip(action, -1.0, 1.0), LOW, HIGH)
        data.mocap_pos[0, :2] = self._target
        self._mujoco.mj_step(self.model, data, self.frame_skip)
        if any(data.warning[kind].number for kind in self._restarts):
            raise EnvError("the simulation became unstable and MuJoCo restarted it")
        # A simulator step ends with new joints and old positions; these belong together in a state.
        self._mujoco.mj_kinematics(self.model, data)
        observation = self._observe()
        reward, success = self._judge(observation)
        return observation, reward, False, False, {"success": success}

    def compute_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any) -> NDArray[np.float32]:
        """Rewards [...] float32 of goals achieved [..., 4] under goals desired [..., 4], as :meth:`step` gives them."""
        return goal_reward(achieved_goal, desired_goal)

    def sample_goals(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Goals [n, 4] float32 as resets draw them; the environment's own random numbers are left alone."""
        return draw_goals(n, rng)

    def get_pose(self) -> State:
        """What a picture needs: ``qpos`` [11], ``qvel`` [11], ``hand_target`` [2] and ``goal`` [4], copies, float64."""
        target, goal = self._target.copy(), self._goal.astype(np.float64)
        return {"qpos": self.data.qpos.copy(), "qvel": self.data.qvel.copy(), "hand_target": target, "goal": goal}

    def get_state(self) -> State:
        """Everything :meth:`set_state` needs to go on exactly: the pose, ``qacc_warmstart`` [11] and ``time`` [1]."""
        exact = {"qacc_warmstart": self.data.qacc_warmstart.copy(), "time": np.array([self.data.time])}
        return self.get_pose() | exact

    def set_state(self, state: Mapping[str, NDArray[np.float64]]) -> Observation:
        """Put the simulator into a state, and return the observation there.

        With all entries of :meth:`get_state`, or from the start of an episode with those of :meth:`get_pose`, the same
        actions then give the same observations, bit for bit; from the middle with a pose, within solver tolerance.

        Raises:
            EnvError: an entry is missing, unknown or of another shape.
        """
        check_state(state, self.get_state(), self.get_pose())
        data = self.data
        self._mujoco.mj_resetData(self.model, data)
        data.qpos[:], data.qvel[:] = state["qpos"], state["qvel"]
        self._settle(np.array(state["hand_target"], np.float64))
        self._show_goal(np.asarray(state["goal"], np.float32))
        if "time" in state:
            data.time = float(state["time"][0])
        if "qacc_warmstart" in state:
            data.qacc_warmstart[:] = state["qacc_warmstart"]
        return self._observe()

    @property
    def mujoco_renderer(self) -> Any:
        """What draws, as in Gymnasium's own MuJoCo environments; made when it is first asked for."""
        if self._renderer is None:
            from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

            self._renderer = MujocoRenderer(self.model, self.data, **self._render_options)
        return self._renderer

    def render(self) -> NDArray[np.uint8]:
        """The present moment as an image [height, width, 3] uint8."""
        frame: NDArray[np.uint8] = self.mujoco_renderer.render("rgb_array")
        return frame

    def close(self) -> None:
        """Free the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _place(self, hand: NDArray[np.float64], puck: NDArray[np.float64]) -> None:
        """Hand and puck at rest; nothing is left of what was before."""
        self._mujoco.mj_resetData(self.model, self.data)
        reach(self.model, self.data, np.array([*hand, _HAND_Z]))
        self.data.qpos[:2] = puck - _PUCK_ZERO
        self._settle(hand)

    def _settle(self, target: NDArray[np.float64]) -> None:
        """The target at its place, and all that follows from the joints computed."""
        self._target = target
        self.data.mocap_pos[0] = (*target, _HAND_Z)
        self._mujoco.mj_forward(self.model, self.data)

    def _show_goal(self, goal: NDArray[np.float32]) -> None:
        self._goal = goal
        self.data.mocap_pos[1] = (*goal[2:], _MARKER_Z)
        self._mujoco.mj_kinematics(self.model, self.data)

    def _observe(self) -> Observation:
        seen = np.empty(4, np.float32)
        seen[:2] = self.data.xpos[self._hand, :2]
        seen[2:] = self.data.qpos[:2] + _PUCK_ZERO
        return {"observation": seen, "achieved_goal": seen.copy(), "desired_goal": self._goal.copy()}

    def _judge(self, observation: Observation) -> tuple[float, bool]:
        """Reward and success; of the numbers that are seen, so that both follow from a record."""
        reward = float(goal_reward(observation["achieved_goal"], self._goal))
        return reward, -reward < self._distance


def _box(low: NDArray[np.float64], high: NDArray[np.float64]) -> spaces.Box:
    return spaces.Box(np.tile(low, 2).astype(np.float32), np.tile(high, 2).astype(np.float32))
