"""A plant whose controls act stronger or weaker than its model says."""

import numpy as np
import pytest

from tests.problem.robots import SLIDING
from trc_core import SYSTEMS, Controller, System, get_system
from trc_core.checkpoint import Checkpoint
from trc_core.problem.input_gains import gain_name, with_input_gains
from trc_core.problem.record import system_from_record, system_record

CONSTRAINED = 'bicycle_circles'


def drawn(system, seed=0):
    """A state, a control inside the bounds, and a gain near 1 for every control."""
    rng = np.random.default_rng(seed)
    (x,), _ = system.sample(rng, 1)
    gains = rng.uniform(0.7, 1.0, system.n_u)
    return x, rng.uniform(system.u_min, system.u_max), gains


def with_gains(system, gains):
    named = zip(system.control_names, gains.tolist(), strict=True)
    return with_input_gains(system).with_parameters(**{gain_name(c): g for c, g in named})


@pytest.mark.parametrize('name', SYSTEMS)
def test_a_gain_multiplies_its_control_in_the_dynamics_alone(name):
    system = get_system(name)
    x, u, gains = drawn(system)
    np.testing.assert_allclose(
        with_gains(system, gains).step(x, u), system.step(x, gains * u), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize('name', SYSTEMS)
def test_gains_of_one_change_no_plan(name):
    controller = Controller.load(name, cycles=1)
    x, _, _ = drawn(controller.system)
    goal = controller.system.goal_centre
    plain, able = controller.plan(x, goal), controller.with_input_gains().plan(x, goal)
    assert able.cost == pytest.approx(plain.cost, rel=1e-9)
    np.testing.assert_allclose(able.controls, plain.controls, atol=1e-6)


def test_slopes_that_a_robot_states_are_kept_and_multiplied():
    robot = System.from_urdf(SLIDING, dt=0.02, horizon=20)
    x, u, gains = drawn(robot)
    plant, n_x, n_u = with_gains(robot, gains), robot.n_x, robot.n_u
    assert plant.stated_slopes is not None
    found = plant.slopes.evaluate([*x, *u, *plant.p])
    A, B = np.array(found['A']).reshape(n_x, n_x), np.array(found['B']).reshape(n_x, n_u)
    own = robot.slopes.evaluate([*x, *(gains * u)])
    np.testing.assert_allclose(A.ravel(), np.array(own['A'], dtype=float), rtol=1e-12)
    for i, step in enumerate(1e-3 * np.eye(n_u)):
        change = plant.derivative(x, u + step) - plant.derivative(x, u - step)
        np.testing.assert_allclose(B[:, i], change / 2e-3, atol=1e-9)


def test_a_trim_holds_the_goal_whatever_the_gains():
    system = get_system('quadrotor_2d')
    gains = np.array([0.9, 0.95])
    plant = with_gains(system, gains)
    goal = system.goal_centre
    trim = plant.trims(goal)
    np.testing.assert_allclose(trim, system.u_trim / gains)
    np.testing.assert_allclose(plant.derivative(goal, trim), 0.0, atol=1e-12)


def test_constraints_laws_and_costs_are_those_of_the_commands():
    system = get_system(CONSTRAINED)
    plant = with_gains(system, np.array([0.8, 0.9]))
    x, u, _ = drawn(system)
    goal = system.goal_centre
    for part in ('constraints', 'laws'):
        before = getattr(system.task, part)
        after = getattr(plant.task, part)
        assert after.names == before.names
        np.testing.assert_allclose(
            after.evaluate(x, u, goal, plant.p, 0.3), before.evaluate(x, u, goal, system.p, 0.3)
        )


def test_such_a_plant_is_read_back_from_its_record():
    plant = with_gains(get_system(CONSTRAINED), np.array([0.8, 0.9]))
    again = system_from_record(system_record(plant))
    assert again.digest == plant.digest
    assert with_input_gains(again) is again  # it has its gains already


def test_a_plan_of_a_gain_is_a_plan_of_that_plant():
    system = get_system('pendulum')
    controller = Controller(Checkpoint.classical(system)).with_input_gains()
    plan = controller.plan([0.4, 0.0], [0.0, 0.0], parameters={'torque_gain': 0.8})
    for t in range(0, system.horizon, 10):
        found = system.step(plan.states[t], 0.8 * plan.controls[t])
        np.testing.assert_allclose(plan.states[t + 1], found, atol=1e-9)


def test_a_backend_with_fixed_physics_has_no_such_twin():
    with pytest.raises(ValueError, match="gains need 'numba' or 'numpy'"):
        Controller.load('van_der_pol', 'torch').with_input_gains()
