"""Films of episodes: H.264 in mp4, with the numbers drawn into the picture."""

from __future__ import annotations

from awac_tr.video.film import FILM_FPS, Clip, drawing_env, film, pick_episodes, video_folder
from awac_tr.video.mp4 import SIZE, Film, VideoError

__all__ = ["FILM_FPS", "SIZE", "Clip", "Film", "VideoError", "drawing_env", "film", "pick_episodes", "video_folder"]
