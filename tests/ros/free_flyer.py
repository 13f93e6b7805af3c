"""A body in space: forces and torques in its own frame, its attitude three parameters."""

from trc_core import Joint, System

AXES = ('x', 'y', 'z')
MRP = ('mrp_x', 'mrp_y', 'mrp_z')


def dynamics(x, u, inertia, **_):
    """p' = v, a' = (1 - s) w + 2 q x w + 2 q (q . w), v' = R(a) f, w' = torque / inertia."""
    v, w, (fx, fy, fz) = x[6:9], x[9:12], u[:3]
    q = [0.25 * a for a in x[3:6]]
    s = q[0] * q[0] + q[1] * q[1] + q[2] * q[2]
    along = q[0] * w[0] + q[1] * w[1] + q[2] * w[2]
    qw = cross(q, w)
    turning = [(1 - s) * w[i] + 2 * qw[i] + 2 * q[i] * along for i in range(3)]
    # R f = f + (8 q x (q x f) + 4 (1 - s) q x f) / (1 + s)^2
    qf = cross(q, (fx, fy, fz))
    qqf = cross(q, qf)
    scale = (1 + s) * (1 + s)
    force = [f + (8 * qqf[i] + 4 * (1 - s) * qf[i]) / scale for i, f in enumerate((fx, fy, fz))]
    return [*v, *turning, *force, *(u[3 + i] / inertia for i in range(3))]


def cross(a, b):
    return [a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]


free_flyer = System(
    name='free_flyer',
    dynamics=dynamics,
    parameters={'inertia': 0.5},
    state_names=(
        *AXES,
        *(f'a_{axis}' for axis in AXES),
        *(f'v_{axis}' for axis in AXES),
        *(f'w_{axis}' for axis in AXES),
    ),
    state_units=(*['m'] * 3, *['1'] * 3, *['m/s'] * 3, *['rad/s'] * 3),
    control_names=(*(f'force_{axis}' for axis in AXES), *(f'torque_{axis}' for axis in AXES)),
    control_units=(*['N'] * 3, *['N m'] * 3),
    joints=tuple(
        Joint(name, place, place + 6)
        for place, name in enumerate((*AXES, *(f'turn_{axis}' for axis in AXES)))
    ),
    dt=0.1,
    horizon=20,
    u_min=[-2.0] * 6,
    u_max=[2.0] * 6,
    Q=[10.0] * 3 + [3.0] * 3 + [1.0] * 3 + [0.1] * 3,
    R=[0.1] * 6,
    x0_box=[1.0] * 12,
    goal_box=[1.0] * 6 + [0.0] * 6,
)
