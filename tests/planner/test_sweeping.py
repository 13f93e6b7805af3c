"""References, parameters, weights and constraints of a plan call; plans that go on by sweeps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trc_core import Controller
from trc_core.numerics.cost import trajectory_cost
from trc_core.numerics.reference import moving_trims
from trc_core.solvers import ilqr
from trc_core.systems import SYSTEMS, get_system
from trc_core.systems.bicycle_circles import bicycle_circles, draw
from trc_core.systems.registry import module_of

MASS, QUADROTOR = SYSTEMS['double_integrator'], SYSTEMS['quadrotor_2d']
WEIGHTS = {'Q': [500.0, 5.0], 'R': [0.001]}


@pytest.fixture(scope='module')
def car():
    return Controller.classical(bicycle_circles)


@pytest.fixture(scope='module')
def mass():
    return Controller.load('double_integrator')


def sine(system, start, amplitude=0.5, frequency=0.5):
    """A sine of the first state and its rate, from a time on."""
    t = start + system.dt * np.arange(system.horizon + 1)
    w = 2 * np.pi * frequency
    reference = np.zeros((len(t), system.n_x))
    reference[:, 0] = amplitude * np.sin(w * t)
    reference[:, 1] = amplitude * w * np.cos(w * t)
    return reference


def flown(controller, system, planned, ticks=40, **planning):
    """Cost of a flight along a moving sine with `planned` sweeps a tick."""
    rng, x, plan, J = np.random.default_rng(0), np.zeros(system.n_x), None, 0.0
    for k in range(ticks):
        r = sine(system, k * system.dt, frequency=0.1)
        plan = controller.plan(x, r, warm_start=plan, polish=planned, **planning)
        error = x - r[0]
        J += error @ system.Q @ error + plan.controls[0] @ system.R @ plan.controls[0]
        x = system.step(x, plan.controls[0]) + 0.01 * rng.normal(size=system.n_x)
    return J


def test_a_reference_is_followed_as_well_with_one_sweep_as_with_many(mass):
    assert flown(mass, MASS, 1) <= 1.001 * flown(mass, MASS, 50)


def test_the_trim_of_a_reference_that_the_plant_can_fly_follows_it():
    rng, system = np.random.default_rng(1), QUADROTOR
    u = system.u_trim + rng.uniform(-1.0, 1.0, (system.horizon, 2))
    states = [np.zeros(6)]
    for control in u:
        states.append(system.step(states[-1], control))
    np.testing.assert_allclose(moving_trims(system, np.array([states]))[0], u, atol=1e-6)


def test_a_constant_reference_is_its_goal(mass):
    goal = np.array([1.0, 0.0])
    a = mass.plan([-1.0, 0.5], goal, polish=3)
    b = mass.plan([-1.0, 0.5], np.tile(goal, (MASS.horizon + 1, 1)), polish=3)
    np.testing.assert_allclose(a.controls, b.controls, atol=1e-9)
    np.testing.assert_allclose(a.times, MASS.dt * np.arange(MASS.horizon + 1))


def test_the_cost_of_a_plan_is_that_of_its_reference_and_weights(mass):
    r = sine(MASS, 0.3)
    plan = mass.plan([0.2, 0.0], r, weights=WEIGHTS)
    changed = replace(MASS, Q=WEIGHTS['Q'], R=WEIGHTS['R'], Q_f=MASS.Q_f)
    trim = moving_trims(MASS, r[None])[0]
    J = trajectory_cost(changed, plan.states, plan.controls, r, trim=trim)
    assert plan.cost == plan.merit == pytest.approx(J, rel=1e-12)


@pytest.mark.parametrize('factor', [100.0, 0.01])
def test_other_weights_are_planned_for_within_two_ticks(factor):
    system, controller = QUADROTOR, Controller.load('quadrotor_2d')
    x, goal = system.x0_box / 3, np.zeros(6)
    weights = {'Q': factor * system.Q, 'Q_f': factor * system.Q_f}
    plan = controller.plan(x, goal)
    for _ in range(2):
        plan = controller.plan(x, goal, warm_start=plan, elapsed=0.0, weights=weights)
    optimum = ilqr.solve(replace(system, **weights), x, goal, sweeps=300)
    assert plan.cost <= 1.01 * optimum.cost


def test_unknown_weights_parameters_and_shapes_are_refused_in_one_line(mass, car):
    x, goal = [0.0, 0.0], [1.0, 0.0]
    for wanted, message in (
        ({'weights': {'W': [1.0]}}, r"unknown weights \['W'\]; choose from \['Q', 'R', 'Q_f'\]"),
        ({'weights': {'R': [-1.0]}}, 'R must be positive definite'),
        ({'weights': {'Q': [1.0]}}, 'Q has shape'),
        ({'weights': {'Q': 'heavy'}}, 'write numbers'),
        ({'parameters': {'mass': 1.0}}, 'has no parameter'),
    ):
        with pytest.raises(ValueError, match=message):
            mass.plan(x, goal, **wanted)
    with pytest.raises(ValueError, match='write a finite number'):
        car.plan(np.zeros(5), bicycle_circles.goal_centre, parameters={'x1': np.nan})
    with pytest.raises(ValueError, match=r'expected \(2,\), or \(16, 2\) for a reference'):
        mass.plan(x, np.zeros((15, 2)))
    bad = sine(MASS, 0.0)
    bad[3, 1] = np.inf
    with pytest.raises(ValueError, match='the reference is not finite in row 3'):
        mass.plan(x, bad)


def test_a_warm_start_of_other_constraints_is_refused(car):
    free = Controller.classical(replace(bicycle_circles, constraints=None, laws={}, obstacles=()))
    x, goal = bicycle_circles.x0_centre, bicycle_circles.goal_centre
    with pytest.raises(ValueError, match='it is no plan of bicycle_circles'):
        car.plan(x, goal, warm_start=free.plan(x, goal))


def test_networks_of_other_backends_refuse_what_they_do_not_know():
    torch = Controller.load('double_integrator', backend='torch')
    with pytest.raises(ValueError, match="need 'numba' or 'numpy'"):
        torch.plan([0.0, 0.0], sine(MASS, 0.0))


def test_a_car_goes_round_circles_and_says_how_it_is(car):
    for seed in (12, 13):
        x, goal, parameters = draw(np.random.default_rng(seed))
        plan = car.plan(x, goal, parameters=parameters)
        position = plan.states[1:, :2]
        depth = max(
            parameters[f'r{k}']
            - np.hypot(*(position - [parameters[f'x{k}'], parameters[f'y{k}']]).T).min()
            for k in range(1, len(parameters) // 5 + 1)
        )
        assert depth <= plan.violation + 1e-9
        assert plan.merit >= plan.cost and plan.merit <= min(plan.candidates.values())
        assert plan.violation < 1e-3 or any('is violated by' in line for line in plan.warnings)


def test_plans_go_on_from_tick_to_tick_through_noise(car):
    rng = np.random.default_rng(3)
    x, goal, parameters = draw(rng)
    plan, deepest = car.plan(x, goal, parameters=parameters), 0.0
    for _ in range(60):
        x = bicycle_circles.step(x, plan.controls[0])
        x = x + rng.normal(size=5) * [0.005, 0.005, 0.01, 0.02, 0.005]
        plan = car.plan(x, goal, warm_start=plan, parameters=parameters)
        for k in range(1, len(parameters) // 5 + 1):
            centre = parameters[f'x{k}'], parameters[f'y{k}']
            deepest = max(deepest, parameters[f'r{k}'] - np.hypot(*(x[:2] - centre)))
    assert deepest < 0.03
    assert np.abs(x - goal)[:2].max() < 0.15


def test_where_there_is_no_way_the_car_stops_and_says_so(car):
    """Shut in: it cannot leave, so the least violation is to stay, and a warning names it."""
    x, goal = np.array([0.0, 0.0, 0.0, 0.0, 0.0]), np.array([5.0, 0.0, 0.0, 0.0, 0.0])
    parameters = {'x1': 1.2, 'y1': 0.0, 'r1': 0.9}
    for k, angle in enumerate((1.2, 2.1, -1.2, -2.1, np.pi), start=2):
        row = {f'x{k}': 1.2 * np.cos(angle), f'y{k}': 1.2 * np.sin(angle), f'r{k}': 0.9}
        parameters.update(row)
    plan = car.plan(x, goal, parameters=parameters)
    assert np.hypot(*plan.states[-1, :2]) < 0.5
    blocked = car.plan(
        np.array([0.0, 0.0, 0.0, 1.5, 0.0]), goal, parameters={**parameters, 'x1': 0.95}
    )
    assert any("constraint 'circle_1' is violated" in line for line in blocked.warnings)
    assert np.isfinite(blocked.controls).all()


def test_a_fleet_has_parameters_of_its_own(car):
    problems = [draw(np.random.default_rng(seed)) for seed in (20, 21, 22)]
    x, goal = (np.array([p[i] for p in problems]) for i in range(2))
    names = sorted({name for p in problems for name in p[2]})
    fleet = {
        n: np.array([p[2].get(n, bicycle_circles.parameters[n]) for p in problems]) for n in names
    }
    plans = car.plan_batch(x, goal, parameters=fleet)
    for b, (a, g, parameters) in enumerate(problems):
        alone = car.plan(a, g, parameters=parameters)
        assert plans.merit[b] == pytest.approx(alone.merit, rel=1e-6)
        assert plans.violation[b] == pytest.approx(alone.violation, abs=1e-6)


def test_an_angle_that_arrives_wrapped_gets_the_same_plan():
    system = SYSTEMS['pendulum']
    controller = Controller.classical(replace(system, angles=('angle',)))
    plans = [controller.plan([3.0 + turn, 0.4], [0.0, 0.0]) for turn in (0.0, -2 * np.pi)]
    np.testing.assert_allclose(plans[0].controls, plans[1].controls, atol=1e-9)
    assert plans[1].states[0, 0] == pytest.approx(3.0 - 2 * np.pi)


def test_a_trim_that_depends_on_the_goal_holds_every_goal():
    """A pendulum held at any angle by the torque that gravity asks for there."""
    system = replace(
        SYSTEMS['pendulum'],
        u_trim='equilibrium',
        u_min=[-20.0],
        u_max=[20.0],
        goal_box=[1.0, 0.0],
        angles=(),
    )
    controller = Controller.classical(system)
    goal = np.array([0.7, 0.0])
    plan = controller.plan(goal, goal)
    assert plan.cost == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(plan.controls, -9.81 * np.sin(0.7), atol=1e-9)
    function = replace(system, u_trim=lambda goal, gravity, **_: [-gravity * np.sin(goal[0])])
    assert Controller.classical(function).plan(goal, goal).cost == pytest.approx(0.0, abs=1e-9)


def test_classical_needs_a_plant_and_is_a_backend_of_its_own():
    with pytest.raises(ValueError, match="'classical' needs a plant"):
        Controller.load('classical')
    controller = Controller.load('classical', system=MASS)
    assert controller.backend == 'classical'
    plan = controller.plan([1.0, 0.0], [0.0, 0.0])
    assert plan.cost == pytest.approx(ilqr.solve(MASS, [1.0, 0.0], [0.0, 0.0]).cost, rel=1e-6)


def test_plans_that_run_beside_a_track_come_back_under_stiffer_penalties():
    """A race car, whose coordinates are singular beside its track, beside what IPOPT finds."""
    car = get_system('examples/exams/acados_race_car.py')
    reference = vars(module_of(Path('examples/exams/acados_race_car.py')))['reference']
    x0 = np.array([4.64914, 0.01029, -0.05252, 0.26919, 0.17331, -0.03479])
    plan = Controller.classical(car).plan(x0, reference(0.0, x0))
    assert plan.cost == pytest.approx(3.17502, rel=2e-3)  # of IPOPT, from three starts
    assert plan.violation <= 1e-3


@pytest.mark.parametrize(('answers', 'most'), [([True], 0), ([False, True], 4), ([False] * 3, 12)])
def test_a_first_plan_without_a_network_ends_with_its_deadline(answers, most):
    controller = Controller.classical(bicycle_circles)
    x, goal = np.zeros(5), np.array([5.0, 1.0, 0.0, 0.0, 0.0])
    controller.watch.script = [*answers, *[True] * 100]
    plan = controller.plan(x, goal, deadline=60.0)
    assert plan.cycles <= most < Controller.classical(bicycle_circles).plan(x, goal).cycles
    assert np.isfinite(plan.cost) and plan.merit <= min(plan.candidates.values())
