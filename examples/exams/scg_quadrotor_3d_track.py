"""The quadrotor of `scg_quadrotor_3d` flies a figure eight of 6 s in a plane that leans over.

Source: safe-control-gym, examples/mpc, quadrotor_3D_track: scale 0.75 m about (0, 0, 1) m, then
projected onto the plane through (0, 0, 0.5) m across (0, 1, 1). Velocities are here the true ones.
Run: trc exam scg_quadrotor_3d_track
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy import cos, sin

from trc_core import get_system

SCALE, RATE = 0.75, 2.0 * np.pi / 6.0  # m, rad/s
START = [0.5, 0.0, 0.5, 0.0, 0.8, 0.0, 0.1, -0.1, 0.1, 0.0, 0.0, 0.0]

quadrotor = replace(
    get_system(str(Path(__file__).with_name('scg_quadrotor_3d.py'))),
    name='scg_quadrotor_3d_track',
)


def reference(time, x):
    """The figure eight (T + 1, 12) from `time` on, whatever the state."""
    phase = RATE * (time + quadrotor.dt * np.arange(quadrotor.horizon + 1))
    up, v_up = 1.0 + SCALE * sin(phase) * cos(phase), SCALE * RATE * cos(2.0 * phase)
    along, v_along = SCALE * sin(phase), SCALE * RATE * cos(phase)
    aside, height, lean = (0.5 - up) / 2.0, (0.5 + up) / 2.0, v_up / 2.0
    moving = np.stack([along, v_along, aside, -lean, height, lean], axis=1)
    return np.hstack([moving, np.zeros_like(moving)])
