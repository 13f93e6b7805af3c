"""A six-joint arm, as large a plant as the kernels are meant for: the time of one iLQR sweep.

The arm has the sizes and masses of a UR5 (link lengths, masses and inertias as its maker states
them, rounded). Its dynamics are the articulated-body algorithm in spatial vectors. Source:
Featherstone, Rigid Body Dynamics Algorithms (2008), section 7.3.

Run `python benchmarks/six_joint_arm.py`; CPU seconds of the thread, the best of many.
"""

from __future__ import annotations

import time

import numpy as np
from numpy import cos, sin

from trc_core import System
from trc_core.compile.binding import code_of, plant_of
from trc_core.numerics.batch import improve_plans
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.rollout import Trajectory

LINKS = (
    # mass [kg], centre of mass [m], principal inertias [kg m^2]
    (3.70, (0.0, -0.02561, 0.00193), (0.0149, 0.0149, 0.0104)),
    (8.39, (0.2125, 0.0, 0.11336), (0.1338, 0.1338, 0.0151)),
    (2.33, (0.15, 0.0, 0.0265), (0.0312, 0.0312, 0.0041)),
    (1.22, (0.0, -0.0018, 0.01634), (0.0026, 0.0026, 0.0022)),
    (1.22, (0.0, 0.0018, 0.01634), (0.0026, 0.0026, 0.0022)),
    (0.19, (0.0, 0.0, -0.001159), (0.0001, 0.0001, 0.0001)),
)
PLACES = (
    # where a joint's frame stands in its parent's: rotation about x [rad], translation [m]
    (0.0, (0.0, 0.0, 0.0892)),
    (np.pi / 2, (0.0, 0.0, 0.0)),
    (0.0, (-0.425, 0.0, 0.0)),
    (0.0, (-0.39225, 0.0, 0.10915)),
    (np.pi / 2, (0.0, -0.09465, 0.0)),
    (-np.pi / 2, (0.0, 0.0823, 0.0)),
)
GRAVITY = 9.81
AXIS = np.eye(6)[2]  # every joint turns about its own z


def skew(a):
    """The matrix of a cross product."""
    x, y, z = a
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def into_child(tilt, place, angle):
    """The spatial motion transform (6, 6) from a parent's frame into its child's."""
    c, s, ct, st = cos(angle), sin(angle), np.cos(tilt).round(12), np.sin(tilt).round(12)
    E = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.array(
        [[1.0, 0.0, 0.0], [0.0, ct, st], [0.0, -st, ct]]
    )
    zeros = np.zeros((3, 3))
    return np.block([[E, zeros], [-E @ skew(place), E]])


def inertia(mass, centre, principal):
    """The spatial inertia (6, 6) of a link about its joint's frame."""
    C = skew(centre)
    top = np.diag(principal) + mass * C @ C.T
    return np.block([[top, mass * C], [mass * C.T, mass * np.eye(3)]])


def cross(v):
    """The matrix (6, 6) of the spatial cross product of motions."""
    w, u = skew(v[:3]), skew(v[3:])
    return np.block([[w, np.zeros((3, 3))], [u, w]])


def dynamics(x, u):
    """Joint angles and speeds; accelerations by the articulated-body algorithm."""
    n = len(u)
    q, speed = x[:n], x[n:]
    v, X, bias, I_A, p_A = np.zeros(6), [], [], [], []
    for i in range(n):  # outwards: velocities
        X.append(into_child(*PLACES[i], q[i]))
        v = X[i] @ v + AXIS * speed[i]
        bias.append(cross(v) @ (AXIS * speed[i]))
        I_A.append(inertia(*LINKS[i]))
        p_A.append(-cross(v).T @ (I_A[i] @ v))
    U, D, tau = [None] * n, [None] * n, [None] * n
    for i in reversed(range(n)):  # inwards: articulated inertias
        U[i], D[i], tau[i] = I_A[i][:, 2], I_A[i][2, 2], u[i] - p_A[i][2]
        if i:
            I_a = I_A[i] - np.outer(U[i], U[i]) / D[i]
            p_a = p_A[i] + I_a @ bias[i] + U[i] * (tau[i] / D[i])
            I_A[i - 1] = I_A[i - 1] + X[i].T @ I_a @ X[i]
            p_A[i - 1] = p_A[i - 1] + X[i].T @ p_a
    a, acceleration = np.array([0.0, 0.0, 0.0, 0.0, 0.0, GRAVITY]), []
    for i in range(n):  # outwards: accelerations
        a = X[i] @ a + bias[i]
        acceleration.append((tau[i] - U[i] @ a) / D[i])
        a = a + AXIS * acceleration[i]
    return [*speed, *acceleration]


def arm(joints: int = 6) -> System:
    """The first joints of the arm as a system; dt 0.02 s, 50 steps."""
    limits = np.array([150.0, 150.0, 150.0, 28.0, 28.0, 28.0])[:joints]
    return System(
        name='six_joint_arm',
        dynamics=dynamics,
        state_names=(
            *(f'angle_{i}' for i in range(joints)),
            *(f'speed_{i}' for i in range(joints)),
        ),
        state_units=('rad',) * joints + ('rad/s',) * joints,
        control_names=tuple(f'torque_{i}' for i in range(joints)),
        control_units=('N m',) * joints,
        joints=(),
        dt=0.02,
        horizon=50,
        u_min=-limits,
        u_max=limits,
        Q=[10.0] * joints + [0.1] * joints,
        R=[1e-3] * joints,
        x0_box=[1.0] * (2 * joints),
        goal_box=[1.0] * joints + [0.0] * joints,
    )


def main() -> None:
    """Prints the size of the graphs, the seconds of their compilation and the time of a sweep."""
    began = time.process_time()
    system = arm()
    print(f'dynamics: {len(system.graph.instructions)} instructions, {_since(began):.2f} s')
    began = time.process_time()
    print(f'machine code: {sorted(code_of(system).addresses)}, {_since(began):.2f} s')
    plant = plant_of(system)
    x0, goal = system.sample(np.random.default_rng(0), 1)
    times = []
    for sweeps in (1, 2, 3, 4, 5, 6) * 20:
        plans = Trajectory(np.zeros((1, 51, 12)), np.zeros((1, 50, 6)))
        plans.x[:, 0] = x0
        began = time.thread_time()
        outcome = improve_plans(plant, constant_reference(goal, 50), sweeps, plans)
        times.append((sweeps, time.thread_time() - began, outcome.J[0]))
    best = {n: min(t for m, t, _ in times if m == n) for n in (1, 6)}
    print(
        f'a sweep: {(best[6] - best[1]) / 5 * 1e3:.3f} ms, '
        f'J {times[0][2]:.6g} -> {times[5][2]:.6g}'
    )


def _since(began: float) -> float:
    return time.process_time() - began


if __name__ == '__main__':
    main()
