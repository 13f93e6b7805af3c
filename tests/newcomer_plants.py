"""Plants as a newcomer writes them from textbooks, with goals that are no single point."""

from dataclasses import replace

from numpy import cos, sin, tan

from trc_core import System


def motor_dynamics(x, u, inertia, friction, constant, resistance, inductance):
    """A DC motor: Franklin, Powell, Emami-Naeini, Feedback Control of Dynamic Systems, 2.3."""
    speed, current = x
    return [
        (constant * current - friction * speed) / inertia,
        (u[0] - resistance * current - constant * speed) / inductance,
    ]


motor = System(
    name='motor',
    dynamics=motor_dynamics,
    state_names=('speed', 'current'),
    state_units=('rad/s', 'A'),
    control_names=('voltage',),
    control_units=('V',),
    joints=(),
    dt=0.02,
    horizon=40,
    u_min=[-24.0],
    u_max=[24.0],
    Q=[1.0, 0.01],
    R=[0.01],
    x0_box=[30.0, 2.0],
    goal_box=[30.0, 0.0],
    goal_tolerance=[1.0, None],
    u_trim='equilibrium',
    parameters={
        'inertia': 0.01,
        'friction': 0.01,
        'constant': 0.5,
        'resistance': 1.0,
        'inductance': 0.05,
    },
)
"""Turns at any speed that its voltage can hold; u_trim holds each."""

untrimmed_motor = replace(motor, name='untrimmed_motor', u_trim=None)
"""The same by someone who has not heard of u_trim: it pays for the voltage that holds a speed."""


def arm_dynamics(x, u, gravity):
    """Two links of 1 m and 1 kg with point masses at their ends: Spong, Robot Modeling, 7.3."""
    q1, q2, w1, w2 = x
    h = -sin(q2)
    m11, m12, m22 = 3.0 + 2.0 * cos(q2), 1.0 + cos(q2), 1.0
    g2 = gravity * cos(q1 + q2)
    g1 = 2.0 * gravity * cos(q1) + g2
    a1 = u[0] - h * w2 * (2.0 * w1 + w2) - g1
    a2 = u[1] + h * w1**2 - g2
    determinant = m11 * m22 - m12**2
    return [w1, w2, (m22 * a1 - m12 * a2) / determinant, (m11 * a2 - m12 * a1) / determinant]


arm = System(
    name='arm',
    dynamics=arm_dynamics,
    state_names=('shoulder', 'elbow', 'shoulder_rate', 'elbow_rate'),
    state_units=('rad', 'rad', 'rad/s', 'rad/s'),
    control_names=('shoulder_torque', 'elbow_torque'),
    control_units=('Nm', 'Nm'),
    joints=(),
    dt=0.04,
    horizon=40,
    u_min=[-60.0, -30.0],
    u_max=[60.0, 30.0],
    Q=[10.0, 10.0, 1.0, 1.0],
    R=[0.01, 0.01],
    x0_box=[1.0, 1.0, 0.5, 0.5],
    goal_box=[1.0, 1.0, 0.0, 0.0],
    u_trim='equilibrium',
    parameters={'gravity': 9.81},
)
"""A two-link arm that holds any pose against gravity."""


def double_pendulum_dynamics(x, u, gravity):
    """Two rods of 0.5 m on a cart, masses at their ends; both angles from upright.

    Manipulator equation with cart 1 kg, masses 0.1 kg each: Bogdanov, Optimal control of a double
    inverted pendulum on a cart (2004).
    """
    _, a, b, v, da, db = x
    m, L = 0.1, 0.5
    c, ca, cb, cd, sd = 1.0 + 2.0 * m, cos(a), cos(b), cos(a - b), sin(a - b)
    # M (v', da', db')' = f
    m12, m13, m22, m23, m33 = 2.0 * m * L * ca, m * L * cb, 2.0 * m * L**2, m * L**2 * cd, m * L**2
    f1 = u[0] + 2.0 * m * L * sin(a) * da**2 + m * L * sin(b) * db**2
    f2 = 2.0 * m * gravity * L * sin(a) - m * L**2 * sd * db**2
    f3 = m * gravity * L * sin(b) + m * L**2 * sd * da**2
    # by the adjugate of a symmetric 3 x 3 matrix
    A11, A12, A13 = m22 * m33 - m23**2, m13 * m23 - m12 * m33, m12 * m23 - m13 * m22
    A22, A23, A33 = c * m33 - m13**2, m12 * m13 - c * m23, c * m22 - m12**2
    determinant = c * A11 + m12 * A12 + m13 * A13
    return [
        v,
        da,
        db,
        (A11 * f1 + A12 * f2 + A13 * f3) / determinant,
        (A12 * f1 + A22 * f2 + A23 * f3) / determinant,
        (A13 * f1 + A23 * f2 + A33 * f3) / determinant,
    ]


double_pendulum = System(
    name='double_pendulum',
    dynamics=double_pendulum_dynamics,
    state_names=('cart', 'lower', 'upper', 'cart_velocity', 'lower_rate', 'upper_rate'),
    state_units=('m', 'rad', 'rad', 'm/s', 'rad/s', 'rad/s'),
    control_names=('force',),
    control_units=('N',),
    joints=(),
    dt=0.03,
    horizon=60,
    u_min=[-20.0],
    u_max=[20.0],
    Q=[10.0, 20.0, 20.0, 1.0, 1.0, 1.0],
    R=[0.01],
    x0_box=[0.5, 0.1, 0.1, 0.2, 0.2, 0.2],
    goal_box=[0.5, 0.0, 0.0, 0.0, 0.0, 0.0],
    parameters={'gravity': 9.81},
)
"""Two poles on a cart, one on the other, balanced at any place of the track."""


def quadrotor_dynamics(x, u, mass):
    """A quadrotor by thrust and body rates, angles roll, pitch, yaw: Beard, Quadrotor Dynamics."""
    _, _, _, vx, vy, vz, roll, pitch, yaw = x
    thrust, p, q, r = u
    a = thrust / mass
    return [
        vx,
        vy,
        vz,
        a * (cos(roll) * sin(pitch) * cos(yaw) + sin(roll) * sin(yaw)),
        a * (cos(roll) * sin(pitch) * sin(yaw) - sin(roll) * cos(yaw)),
        a * cos(roll) * cos(pitch) - 9.81,
        p + (q * sin(roll) + r * cos(roll)) * tan(pitch),
        q * cos(roll) - r * sin(roll),
        (q * sin(roll) + r * cos(roll)) / cos(pitch),
    ]


quadrotor_3d = System(
    name='quadrotor_3d',
    dynamics=quadrotor_dynamics,
    state_names=('x', 'y', 'z', 'vx', 'vy', 'vz', 'roll', 'pitch', 'yaw'),
    state_units=('m', 'm', 'm', 'm/s', 'm/s', 'm/s', 'rad', 'rad', 'rad'),
    control_names=('thrust', 'roll_rate', 'pitch_rate', 'yaw_rate'),
    control_units=('N', 'rad/s', 'rad/s', 'rad/s'),
    joints=(),
    dt=0.05,
    horizon=40,
    u_min=[0.0, -3.0, -3.0, -3.0],
    u_max=[20.0, 3.0, 3.0, 3.0],
    u_trim=[9.81, 0.0, 0.0, 0.0],
    Q=[10.0, 10.0, 10.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0],
    R=[0.1, 0.1, 0.1, 0.1],
    x0_box=[1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3, 0.5],
    goal_box=[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5],
    parameters={'mass': 1.0},
)
"""A quadrotor that hovers at any place of a room."""

PLANTS = {
    plant.name: plant for plant in (motor, untrimmed_motor, arm, double_pendulum, quadrotor_3d)
}
