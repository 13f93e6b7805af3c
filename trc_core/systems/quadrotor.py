"""A quadrotor of 1 kg in space, lifted and turned by four motors in an X.

The attitude is a = 4 tan(angle / 4) along the axis of rotation, four times the modified Rodrigues
parameters: a rotation vector while it is small, and singular at a full turn only. Source: Schaub
and Junkins, Stereographic orientation parameters for attitude dynamics (1996).
"""

import numpy as np

from trc_core.problem.system import Array, Joint, System
from trc_core.systems.perspective import seen
from trc_core.systems.shipped import Body, Part, Recipe, ShippedSystem, SideView

GRAVITY = 9.81  # [m/s^2]
LEVER = 0.12  # [m] of a motor, about both horizontal axes of the body
PROPELLER = 0.09  # [m] its radius, in drawings
CUT = 16.0  # |a / 4|^2, at 304 degrees, beyond which attitudes are hardly changed any more


def dynamics(x, u, mass, Ix, Iz, lever, drag_arm, wind_x, wind_y, wind_z):
    """The rigid body: velocities in the fixed frame (z up), rates in that of the body.

    Motors 1 to 4 pull along the body's z axis, at (l, l), (l, -l), (-l, -l) and (-l, l) from its
    centre, where l is the lever; 1 and 3 turn the other way than 2 and 4. A plan that tumbles
    through a full turn would escape to infinity, so rates of the attitude are divided by
    1 + (s / 16)^4, with s = |a / 4|^2: by less than 1 + 2e-5 up to 180 degrees. The wind is a
    constant force [N].
    """
    p_x, p_y, p_z = 0.25 * x[3], 0.25 * x[4], 0.25 * x[5]
    w_x, w_y, w_z = x[9], x[10], x[11]
    s = p_x * p_x + p_y * p_y + p_z * p_z
    along = p_x * w_x + p_y * w_y + p_z * w_z
    cut = 1 + (s / CUT) ** 4
    pull = (u[0] + u[1] + u[2] + u[3]) / mass
    scale = 4 * pull / (1 + s) ** 2
    return [
        *x[6:9],
        ((1 - s) * w_x + 2 * (p_y * w_z - p_z * w_y) + 2 * p_x * along) / cut,
        ((1 - s) * w_y + 2 * (p_z * w_x - p_x * w_z) + 2 * p_y * along) / cut,
        ((1 - s) * w_z + 2 * (p_x * w_y - p_y * w_x) + 2 * p_z * along) / cut,
        scale * (2 * p_x * p_z + (1 - s) * p_y) + wind_x / mass,
        scale * (2 * p_y * p_z - (1 - s) * p_x) + wind_y / mass,
        scale * 2 * (p_z * p_z - s) + pull + wind_z / mass - GRAVITY,
        (lever * (u[0] - u[1] - u[2] + u[3]) - (Iz - Ix) * w_y * w_z) / Ix,
        (lever * (u[2] + u[3] - u[0] - u[1]) + (Iz - Ix) * w_x * w_z) / Ix,
        drag_arm * (u[0] - u[1] + u[2] - u[3]) / Iz,
    ]


AXES = ('x', 'y', 'z')
quadrotor = System(
    name='quadrotor',
    dynamics=dynamics,
    state_names=(
        *AXES,
        *(f'turn_{axis}' for axis in AXES),
        *(f'{axis}_velocity' for axis in AXES),
        *(f'rate_{axis}' for axis in AXES),
    ),
    state_units=(*['m'] * 3, *['1'] * 3, *['m/s'] * 3, *['rad/s'] * 3),
    control_names=tuple(f'thrust_{motor}' for motor in range(1, 5)),
    control_units=('N',) * 4,
    joints=tuple(
        Joint(name, place, place + 6)
        for place, name in enumerate((*AXES, *(f'turn_{axis}' for axis in AXES)))
    ),
    dt=0.04,
    horizon=50,
    u_min=[0.0] * 4,
    u_max=[5.0] * 4,
    u_trim=[GRAVITY / 4] * 4,
    Q=[10.0] * 3 + [3.0] * 3 + [1.0] * 3 + [0.1] * 3,
    R=[0.1] * 4,
    x0_box=[1.0] * 3 + [0.75] * 3 + [1.0] * 3 + [2.0] * 3,
    goal_box=[1.0] * 3 + [0.0] * 9,
    goal_tolerance=[0.1] * 12,
    parameters={
        'mass': 1.0,
        'Ix': 0.008,
        'Iz': 0.014,
        'lever': LEVER,
        'drag_arm': 0.016,
        'wind_x': 0.0,
        'wind_y': 0.0,
        'wind_z': 0.0,
    },
)


MOTORS = LEVER * np.array([[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]])  # (4, 3)
ROUND = np.linspace(0.0, 2 * np.pi, 9)
CIRCLE = PROPELLER * np.stack([np.cos(ROUND), np.sin(ROUND), 0 * ROUND], axis=1)  # (9, 3)
HUB = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.06]])  # shows which side is up


def outline(x: Array) -> list[Array]:
    """Both beams, the four propellers and a stroke upwards, each (N, 2), at a state (12,)."""
    beams = [MOTORS[[0, 2]], MOTORS[[1, 3]], HUB]
    turned = rotation(x[3:6]).T
    return [seen(x[:3] + line @ turned) for line in (*beams, *(CIRCLE + m for m in MOTORS))]


def rotation(a: Array) -> Array:
    """The matrix (3, 3) that turns vectors of the body into the fixed frame, at an attitude (3,).

    R = 1 + (8 [p]^2 + 4 (1 - s) [p]) / (1 + s)^2, with p = a / 4 and s = |p|^2.
    """
    p = 0.25 * a
    s, cross = p @ p, np.cross(np.eye(3), p)
    return np.eye(3) + (8 * cross @ cross + 4 * (1 - s) * cross) / (1 + s) ** 2


shipped = ShippedSystem(
    quadrotor,
    recipes={
        'quadrotor': Recipe(
            'quadrotor',
            overrides={
                'steps': 4500,
                'ladder': [1.0, 10.0, 100.0],
                'beam': [4, 2, 1],
                'sweeps': 1,
                'latent_dim': 96,
                'hidden_dim': 80,
            },
        )
    },
    pose_axes=(*AXES, *(f'mrp_{axis}' for axis in AXES)),
    body=Body((Part((0.08, 0.08, 0.05)), *(Part((0.18, 0.18, 0.01), m) for m in MOTORS))),
    side_view=SideView(outline, path=lambda states: seen(states[:, :3])),
)
