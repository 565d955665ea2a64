"""Films of episodes, H.264 in mp4 with the numbers drawn into the picture; and still pictures of environments."""

from __future__ import annotations

from awac_tr.video.camera import Camera, drawing_env
from awac_tr.video.film import FILM_FPS, Clip, film, pick_episodes, video_folder
from awac_tr.video.mp4 import SIZE, Film, VideoError
from awac_tr.video.still import CAMERAS, Still, draw_still

__all__ = [
    "CAMERAS",
    "FILM_FPS",
    "SIZE",
    "Camera",
    "Clip",
    "Film",
    "Still",
    "VideoError",
    "draw_still",
    "drawing_env",
    "film",
    "pick_episodes",
    "video_folder",
]
