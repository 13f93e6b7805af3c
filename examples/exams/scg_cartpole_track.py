"""The cart of `scg_cartpole` swings to and fro by 1 m every 3 s, its pole upright.

Source: safe-control-gym, examples/mpc, cartpole_track: the circle in the plane zx, of which a cart
follows x, two cycles in 6 s. Run: trc exam scg_cartpole_track
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from trc_core import get_system

RATE = 2.0 * np.pi / 3.0  # rad/s
START = [0.5, 0.0, 0.1, 0.0]

cartpole = replace(
    get_system(str(Path(__file__).with_name('scg_cartpole.py'))),
    name='scg_cartpole_track',
    x0_box=[1.0, 0.1, 0.2, 0.1],
    goal_box=np.zeros(4),
)


def reference(time, x):
    """The circle (T + 1, 4) from `time` on, whatever the state."""
    phase = RATE * (time + cartpole.dt * np.arange(cartpole.horizon + 1))
    return np.stack([np.sin(phase), RATE * np.cos(phase), 0 * phase, 0 * phase], axis=1)
