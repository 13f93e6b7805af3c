"""A quadrotor in a vertical plane, lifted and tilted by two rotors."""

import numpy as np
from numpy import cos, sin

from trc_core.problem.system import Array, Joint, System
from trc_core.systems.shipped import Body, Part, Recipe, ShippedSystem, SideView

ARM = 0.2  # [m] from the centre to a rotor


def dynamics(x, u, mass, arm, inertia, gravity):
    """The tilt is 0 when level; thrust acts along the body's up axis."""
    _, _, tilt, *velocities = x
    lift = (u[0] + u[1]) / mass
    return [
        *velocities,
        -lift * sin(tilt),
        lift * cos(tilt) - gravity,
        arm * (u[1] - u[0]) / inertia,
    ]


quadrotor_2d = System(
    name='quadrotor_2d',
    dynamics=dynamics,
    state_names=('y', 'z', 'tilt', 'y_velocity', 'z_velocity', 'tilt_rate'),
    state_units=('m', 'm', 'rad', 'm/s', 'm/s', 'rad/s'),
    control_names=('left_thrust', 'right_thrust'),
    control_units=('N', 'N'),
    joints=(Joint('y', 0, 3), Joint('z', 1, 4), Joint('tilt', 2, 5)),
    dt=0.04,
    horizon=50,
    u_min=[0.0, 0.0],
    u_max=[9.81, 9.81],
    u_trim=[4.905, 4.905],
    Q=[10.0, 10.0, 5.0, 1.0, 1.0, 0.5],
    R=[0.1, 0.1],
    x0_box=[1.0, 1.0, 0.5, 1.0, 1.0, 1.0],
    goal_box=[1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
    goal_tolerance=[0.1] * 6,
    parameters={'mass': 1.0, 'arm': ARM, 'inertia': 0.02, 'gravity': 9.81},
)


def outline(x: Array) -> list[Array]:
    """The beam between the rotors and both rotors, each (2, 2), for a state (y, z, tilt, ...)."""
    along = ARM * np.array([np.cos(x[2]), np.sin(x[2])])
    up = 0.3 * np.array([-along[1], along[0]])
    ends = x[:2] - along, x[:2] + along
    return [np.array(ends), *(np.array([end, end + up]) for end in ends)]


shipped = ShippedSystem(
    quadrotor_2d,
    recipes={'quadrotor_2d': Recipe('quadrotor_2d', overrides={'steps': 4000})},
    pose_axes=('y', 'z', 'roll'),
    body=Body((Part((0.1, 0.4, 0.04)), Part((0.1, 0.1, 0.1)))),
    side_view=SideView(outline, path=lambda states: states[:, :2]),
)
