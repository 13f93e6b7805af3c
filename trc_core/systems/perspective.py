"""The eye of drawings in space: where points of three coordinates are seen."""

import numpy as np

from trc_core.problem.system import Array

AZIMUTH, ELEVATION = np.radians(-60.0), np.radians(20.0)  # of the eye
ACROSS = np.array([-np.sin(AZIMUTH), np.cos(AZIMUTH), 0.0])
UP = np.array(
    [
        -np.sin(ELEVATION) * np.cos(AZIMUTH),
        -np.sin(ELEVATION) * np.sin(AZIMUTH),
        np.cos(ELEVATION),
    ]
)
EYE = np.stack([ACROSS, UP], axis=1)  # (3, 2)


def seen(points: Array) -> Array:
    """The points (..., 2) of a picture where points (..., 3) in space are seen."""
    return points @ EYE
