"""An arm of two links that moves in a vertical plane, from any pose to any other.

Point masses of 1 kg at the ends of links of 1 m: Spong, Hutchinson, Vidyasagar, Robot Modeling
and Control, 7.3. The shoulder's angle is from the horizontal, the elbow's from the first link.
The motors hold every pose against gravity. Run: trc train --system two_link_arm.py
"""

from numpy import cos, sin

from trc_core import System


def dynamics(x, u, gravity):
    """M(q) q'' + C(q, q') + g(q) = torque, solved for q'' by hand."""
    q1, q2, w1, w2 = x
    m11, m12, m22, h = 3.0 + 2.0 * cos(q2), 1.0 + cos(q2), 1.0, sin(q2)
    g2 = gravity * cos(q1 + q2)
    f1 = u[0] + h * w2 * (2.0 * w1 + w2) - 2.0 * gravity * cos(q1) - g2
    f2 = u[1] - h * w1**2 - g2
    determinant = m11 * m22 - m12**2
    return [w1, w2, (m22 * f1 - m12 * f2) / determinant, (m11 * f2 - m12 * f1) / determinant]


two_link_arm = System(
    name='two_link_arm',
    dynamics=dynamics,
    parameters={'gravity': 9.81},
    state_names=('shoulder', 'elbow', 'shoulder_rate', 'elbow_rate'),
    state_units=('rad', 'rad', 'rad/s', 'rad/s'),
    control_names=('shoulder_torque', 'elbow_torque'),
    control_units=('N m', 'N m'),
    joints=(),
    dt=0.04,
    horizon=50,
    u_min=[-60.0, -25.0],
    u_max=[60.0, 25.0],
    u_trim='equilibrium',
    Q=[10.0, 10.0, 0.1, 0.1],
    R=[0.001, 0.001],
    x0_box=[1.5, 1.5, 1.0, 1.0],
    goal_box=[1.5, 1.5, 0.0, 0.0],
)
