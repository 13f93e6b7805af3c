"""The quadrotor in space: its physics by matrices and by MuJoCo, its attitudes, its drawing."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.spatial.transform import Rotation

from trc_core import Controller, get_system
from trc_core.evaluation.problems import draw_problems
from trc_core.systems.quadrotor import rotation
from trc_core.systems.robot_view import seen, side_view_of

MASS, INERTIA, LEVER, DRAG_ARM = 1.0, np.array([0.008, 0.008, 0.014]), 0.12, 0.016
MOTORS = LEVER * np.array([[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]])
SPINS = np.array([1.0, -1.0, 1.0, -1.0])
GRAVITY = np.array([0.0, 0.0, -9.81])


@pytest.fixture(scope='module')
def quadrotor():
    return get_system('quadrotor')


def drawn(seed, widths=(1.0, 1.5, 2.0, 4.0)):
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.uniform(-width, width, 3) for width in widths])
    return x, rng.uniform(0.0, 5.0, 4)


def turned(x):
    return Rotation.from_mrp(x[3:6] / 4.0)


def newton_euler(_, y, u, wind=0.0):
    """Rates of position, matrix (body to world), velocity and body rates, each motor a force."""
    R, v, w = y[3:12].reshape(3, 3), y[12:15], y[15:]
    torque = sum(np.cross(at, [0.0, 0.0, f]) for at, f in zip(MOTORS, u, strict=True))
    torque = torque + np.array([0.0, 0.0, DRAG_ARM * SPINS @ u])
    push = R @ [0.0, 0.0, u.sum()] + wind
    skew = np.cross(w, np.eye(3)).T
    turn = (torque - np.cross(w, INERTIA * w)) / INERTIA
    return np.concatenate([v, (R @ skew).ravel(), push / MASS + GRAVITY, turn])


@pytest.mark.parametrize('seed', range(3))
def test_it_flies_as_newton_and_euler_say_with_matrices(quadrotor, seed):
    x, u = drawn(seed)
    wind = np.array([0.5, -1.0, 0.3])
    windy = quadrotor.with_parameters(
        **dict(zip(('wind_x', 'wind_y', 'wind_z'), wind, strict=True))
    )
    y = np.concatenate([x[:3], turned(x).as_matrix().ravel(), x[6:]])
    then = solve_ivp(newton_euler, (0.0, 0.2), y, args=(u, wind), rtol=1e-10, atol=1e-12).y[:, -1]
    for _ in range(100):
        x = windy.step(x, u, 0.002)
    np.testing.assert_allclose(x[:3], then[:3], atol=1e-8)
    np.testing.assert_allclose(turned(x).as_matrix().ravel(), then[3:12], atol=1e-7)
    np.testing.assert_allclose(x[6:], then[12:], atol=1e-7)


def test_without_torques_energy_and_angular_momentum_stay(quadrotor):
    x, _ = drawn(7)
    u = np.full(4, 1.7)  # no torque, but a force along the body's axis
    x[6:9] = 0.0

    def kept(x):
        momentum = turned(x).apply(INERTIA * x[9:])
        return [*momentum, 0.5 * INERTIA @ x[9:] ** 2]

    before = kept(x)
    for _ in range(200):
        x = quadrotor.step(x, u, 0.005)
    np.testing.assert_allclose(kept(x), before, atol=1e-9)
    falling = quadrotor.derivative(x, 0.0 * u)
    np.testing.assert_allclose(falling[6:9], GRAVITY, atol=1e-12)


def test_mujoco_moves_a_free_body_alike(quadrotor):
    mujoco = pytest.importorskip('mujoco')
    x, u = drawn(3, (1.0, 1.0, 1.0, 2.0))
    motors = ''.join(f'<site name="m{i}" pos="{at[0]} {at[1]} 0"/>' for i, at in enumerate(MOTORS))
    thrusts = ''.join(
        f'<motor site="m{i}" gear="0 0 1 0 0 {DRAG_ARM * spin}"/>' for i, spin in enumerate(SPINS)
    )
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><option gravity="0 0 -9.81" timestep="0.0005" integrator="RK4"/><worldbody>'
        '<body><freejoint/><inertial pos="0 0 0" mass="1" diaginertia="0.008 0.008 0.014"/>'
        f'{motors}</body></worldbody><actuator>{thrusts}</actuator></mujoco>'
    )
    data = mujoco.MjData(model)
    data.qpos[:] = [*x[:3], *np.roll(turned(x).as_quat(), 1)]
    data.qvel[:] = x[6:]
    data.ctrl[:] = u
    for _ in range(200):
        mujoco.mj_step(model, data)
    x = quadrotor.step(quadrotor.step(x, u, 0.05), u, 0.05)
    np.testing.assert_allclose(x[:3], data.qpos[:3], atol=1e-4)
    there = Rotation.from_quat(np.roll(data.qpos[3:], -1))
    assert (turned(x) * there.inv()).magnitude() < 1e-3
    np.testing.assert_allclose(x[6:], data.qvel, atol=1e-3)


def test_it_hovers_at_every_goal_and_any_yaw(quadrotor):
    goal = draw_problems(quadrotor, 20).goal
    goal[:, 5] = np.linspace(-4.0, 4.0, 20)
    np.testing.assert_allclose(quadrotor.derivative(goal, quadrotor.trims(goal)), 0.0, atol=1e-12)


def test_a_plan_that_tumbles_stays_finite_and_the_cut_changes_nothing_on_flown_attitudes(
    quadrotor,
):
    x = np.zeros(12)
    x[9:] = [40.0, 30.0, 5.0]  # eight turns a second
    for _ in range(quadrotor.horizon):
        x = quadrotor.step(x, [5.0, 0.0, 0.0, 5.0])
        assert np.isfinite(x).all()
    flip = get_system('quadrotor_flip')
    for i in range(3):
        plan = Controller.classical(flip).plan(*[d[i] for d in draw_problems(flip, 3)[:2]])
        s = np.sum((plan.states[:, 3:6] / 4.0) ** 2, axis=1)
        assert ((s / 16.0) ** 4).max() < 1e-5


def test_flips_start_tilted_by_up_to_141_degrees(quadrotor):
    tilts = []
    for name in ('quadrotor', 'quadrotor_flip'):
        x0 = draw_problems(get_system(name), 2000).x0
        ups = Rotation.from_mrp(x0[:, 3:6] / 4.0).as_matrix()[:, 2, 2]
        tilts.append(np.degrees(np.arccos(ups.min())))
    assert 55.0 < tilts[0] < 59.5
    assert 130.0 < tilts[1] < 141.1


def test_the_drawing_shows_motors_where_they_push(quadrotor):
    x, _ = drawn(5)
    np.testing.assert_allclose(rotation(x[3:6]), turned(x).as_matrix(), atol=1e-12)
    view = side_view_of(quadrotor)
    lines = view.outline(x)
    places = x[:3] + turned(x).apply(MOTORS)
    np.testing.assert_allclose(lines[0], seen(places[[0, 2]]), atol=1e-12)
    for circle, place in zip(lines[-4:], places, strict=True):
        np.testing.assert_allclose(circle[:-1].mean(axis=0), seen(place), atol=1e-12)
    np.testing.assert_allclose(view.path(np.stack([x, x]))[1], seen(x[:3]))
