"""A pole on a cart (Barto, Sutton, Anderson 1983, as in Gymnasium), balanced by a force."""

import numpy as np
from numpy import cos, sin

from trc_core.problem.system import Array, Joint, System
from trc_core.systems.shipped import Body, Part, Recipe, ShippedSystem, SideView

POLE = Part((0.04, 0.04, 1.0), centre=(0.0, 0.0, 0.5))
CART = Part((0.4, 0.2, 0.15), turns=False)
CART_OUTLINE = np.array([[-0.2, -0.1], [0.2, -0.1], [0.2, 0.1], [-0.2, 0.1], [-0.2, -0.1]])


def dynamics(x, u, gravity, cart_mass, pole_mass, half_length):
    """The angle is 0 upright; the pole is a uniform rod of twice the half-length."""
    _, velocity, angle, rate = x
    mass = cart_mass + pole_mass
    push = (u[0] + pole_mass * half_length * rate**2 * sin(angle)) / mass
    inertia = half_length * (4 / 3 - pole_mass * cos(angle) ** 2 / mass)
    turn = (gravity * sin(angle) - cos(angle) * push) / inertia
    return [velocity, push - pole_mass * half_length * turn * cos(angle) / mass, rate, turn]


cartpole = System(
    name='cartpole',
    dynamics=dynamics,
    state_names=('cart_position', 'cart_velocity', 'pole_angle', 'pole_rate'),
    state_units=('m', 'm/s', 'rad', 'rad/s'),
    control_names=('force',),
    control_units=('N',),
    joints=(
        Joint('cart', position=0, velocity=1, effort=0),
        Joint('pole', position=2, velocity=3),
    ),
    dt=0.04,
    horizon=75,
    u_min=[-10.0],
    u_max=[10.0],
    Q=[10.0, 1.0, 20.0, 1.0],
    R=[0.01],
    x0_box=[1.0, 0.5, 0.3, 0.5],
    goal_box=[1.0, 0.0, 0.0, 0.0],
    goal_tolerance=[0.1] * 4,
    parameters={'gravity': 9.8, 'cart_mass': 1.0, 'pole_mass': 0.1, 'half_length': 0.5},
)


def outline(x: Array) -> list[Array]:
    """Cart and pole, each (N, 2), for a state (position, velocity, angle from upright, rate)."""
    foot = np.array([x[0], 0.0])
    return [CART_OUTLINE + foot, np.array([foot, _tip(x)])]


def tip_path(states: Array) -> Array:
    """The tip of the pole (N, 2) along states (N, 4)."""
    return np.array([_tip(x) for x in states])


def _tip(x: Array) -> Array:
    return np.array([x[0] + np.sin(x[2]), np.cos(x[2])])


shipped = ShippedSystem(
    cartpole,
    recipes={
        'cartpole': Recipe(
            'cartpole',
            overrides={'steps': 4000, 'ladder': [1.0, 10.0, 100.0], 'box': 1.15, 'sweeps': 1},
        )
    },
    pose_axes=('x', 'pitch'),
    body=Body((CART, POLE), tip=(0.0, 0.0, 1.0)),
    side_view=SideView(outline, tip_path),
)
