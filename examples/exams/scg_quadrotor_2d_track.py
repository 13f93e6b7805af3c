"""The planar quadrotor of `scg_quadrotor_2d` flies a figure eight of 6 s.

Source: safe-control-gym, examples/mpc, quadrotor_2D_track: scale 0.75 m about (0, 1) m.
Run: trc exam scg_quadrotor_2d_track
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy import cos, sin

from trc_core import get_system

SCALE, RATE = 0.75, 2.0 * np.pi / 6.0  # m, rad/s
START = [0.5, 0.0, 0.8, 0.0, 0.1, 0.0]

quadrotor = replace(
    get_system(str(Path(__file__).with_name('scg_quadrotor_2d.py'))),
    name='scg_quadrotor_2d_track',
)


def reference(time, x):
    """The figure eight (T + 1, 6) from `time` on, whatever the state."""
    phase = RATE * (time + quadrotor.dt * np.arange(quadrotor.horizon + 1))
    along, up = SCALE * sin(phase), 1.0 + SCALE * sin(phase) * cos(phase)
    v_along, v_up = SCALE * RATE * cos(phase), SCALE * RATE * cos(2.0 * phase)
    return np.stack([along, v_along, up, v_up, 0 * phase, 0 * phase], axis=1)
