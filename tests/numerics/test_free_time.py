"""Plans of a free duration, beside closed forms, IPOPT and finite differences."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core import Controller, Norm, System, get_system
from trc_core.numerics.free_time.binding import for_problem, timed_plant
from trc_core.numerics.free_time.flights import Solver
from trc_core.numerics.plan import Plan
from trc_core.problem.free_time import RESULTS, expansion_graph, forward_graph, moved_graph
from trc_core.problem.record import system_from_record, system_record
from trc_core.solvers import free_time, nlp

WEIGHT = 2.0  # of time, beside the integral of u^2


def double_integrator(x, u):
    return [x[1], u[0]]


fastest = System(
    name='fastest_double_integrator',
    dynamics=double_integrator,
    state_names=('position', 'speed'),
    state_units=('m', 'm/s'),
    control_names=('force',),
    control_units=('N',),
    joints=(),
    dt=0.1,
    horizon=60,
    final_time=(0.05, 30.0),
    time_weight=1.0,
    terminal=('position', 'speed'),
    u_min=[-1.0],
    u_max=[1.0],
    Q=[0.0, 0.0],
    R=[0.0],
    x0_box=[3.0, 2.0],
    goal_box=[0.0, 0.0],
)


def thrust(x, u, dt, mass):
    """A puck in a plane that burns mass by the length of its thrust, the thrust held."""
    a = [u[0] / mass, u[1] / mass - 0.5]
    rest = [x[i] + dt * x[2 + i] + 0.5 * dt**2 * a[i] for i in range(2)]
    fuel = x[4] - dt * np.sqrt(u[0] ** 2 + u[1] ** 2)
    return [*rest, x[2] + dt * a[0], x[3] + dt * a[1], fuel]


def above_ground(x):
    return {'ground': 0.2 * np.sqrt(x[0] ** 2 + 0.01) - 0.02 - x[1]}


puck = System(
    name='puck',
    dynamics=thrust,
    discrete=True,
    parameters={'mass': 1.0},
    constraints=above_ground,
    state_names=('x', 'y', 'v_x', 'v_y', 'fuel'),
    state_units=('m', 'm', 'm/s', 'm/s', 'kg'),
    control_names=('f_x', 'f_y'),
    control_units=('N', 'N'),
    joints=(),
    dt=0.1,
    horizon=20,
    final_time=(1.0, 20.0),
    terminal=('x', 'y', 'v_x', 'v_y'),
    terminal_cost=[0.0, 0.0, 0.0, 0.0, -1.0],
    norms=(Norm(('f_x', 'f_y'), low=0.2, high=1.5),),
    u_min=[-1.5, -1.5],
    u_max=[1.5, 1.5],
    Q=np.zeros(5),
    R=np.zeros(2),
    x0_box=[[-3.0, 2.0, -0.5, -0.5, 10.0], [3.0, 4.0, 0.5, 0.5, 10.0]],
    goal_box=np.zeros(5),
)
START, GOAL = [2.0, 3.0, 0.3, -0.2, 10.0], np.zeros(5)


def bang_bang_time(x: np.ndarray) -> float:
    """The least time in which |u| <= 1 brings (position, speed) to rest at 0.

    Source: Bryson and Ho, Applied Optimal Control (1975), section 3.9.
    """
    position, speed = x
    side = position + 0.5 * speed * abs(speed)
    if side < 0.0:
        position, speed = -position, -speed
    return float(speed + 2.0 * np.sqrt(0.5 * speed**2 + position))


def guess_of(system: System, x: np.ndarray, seconds: float) -> Plan:
    """A plan that does nothing for some seconds."""
    T = system.horizon
    states = np.tile(x, (T + 1, 1))
    times = np.linspace(0.0, seconds, T + 1)
    return Plan(np.zeros((T, system.n_u)), states, 0.0, 'guess', times=times)


@pytest.mark.parametrize('seconds', [0.2, 2.0, 20.0])
def test_the_least_time_is_that_of_bang_bang_control_from_any_first_duration(seconds):
    for x in np.random.default_rng(3).uniform(-1.0, 1.0, (8, 2)) * [3.0, 2.0]:
        plan = free_time.solve(fastest, x, [0.0, 0.0], guess_of(fastest, x, seconds))
        least = bang_bang_time(x)
        assert plan.converged
        assert least * (1.0 - 1e-6) <= plan.times[-1] <= 1.001 * least
        np.testing.assert_allclose(plan.states[-1], 0.0, atol=1e-5)


def test_time_and_energy_are_weighed_as_the_calculus_of_variations_does():
    # rest to rest over d costs w t + 12 d^2 / t^3, which is least at t^4 = 36 d^2 / w
    system = replace(
        fastest, u_min=[-50.0], u_max=[50.0], R=[fastest.dt], time_weight=WEIGHT, horizon=80
    )
    plan = free_time.solve(system, [1.5, 0.0], [0.0, 0.0])
    least = (36.0 * 1.5**2 / WEIGHT) ** 0.25
    assert plan.times[-1] == pytest.approx(least, rel=2e-3)
    assert plan.cost == pytest.approx(4.0 / 3.0 * WEIGHT * least, rel=2e-3)


def arguments_of_a_step(rng: np.random.Generator) -> np.ndarray:
    """Arguments of a step of the puck, with prices of the next state and of the constraint."""
    arguments = for_problem(puck, timed_plant(puck), GOAL, puck.p).numbers.copy()
    arguments[:7], arguments[7:9] = [*START, 0.4, 0.8], [0.5, 3.0]
    arguments[9:15] = [*rng.normal(size=5), rng.uniform()]
    return arguments


def test_local_coordinates_change_the_size_of_a_thrust_and_turn_it():
    arguments, graph = arguments_of_a_step(np.random.default_rng(0)), moved_graph(puck)
    for thrust in ([0.4, 0.8], [-0.4, 0.8], [0.0, -1.0], [-1.2, 0.0]):
        arguments[5:7], arguments[15:17] = thrust, [0.1, 0.6]
        moved = np.array(graph.evaluate(list(arguments))[RESULTS])
        size = np.linalg.norm(thrust)
        assert np.linalg.norm(moved) == pytest.approx(size + 0.1 * (1.5 - 0.2))
        turn = np.arccos(moved @ thrust / size / np.linalg.norm(moved))
        assert turn == pytest.approx(2.0 * np.arctan(0.3))


def test_slopes_and_curvatures_are_those_of_finite_differences():
    arguments = arguments_of_a_step(np.random.default_rng(0))
    n_x, n_u, n = puck.n_x, puck.n_u, puck.n_x + 1 + puck.n_u
    prices, w = arguments[9:14], arguments[14]
    found = np.array(expansion_graph(puck).evaluate(list(arguments))[RESULTS])
    rows = found.reshape(-1, n)
    F, by_cost, C, g, H = np.split(rows, [n_x + 1, n_x + 2, n_x + 3, n_x + 4])
    places = [*range(n_x), n_x + n_u, 15, 16]

    def moved(by: np.ndarray) -> np.ndarray:
        changed = arguments.copy()
        changed[places] += by
        changed[n_x : n_x + n_u] = moved_graph(puck).evaluate(list(changed))[RESULTS]
        after = forward_graph(puck).evaluate(list(changed))[RESULTS]
        return np.array([*after[:n_x], changed[n_x + n_u], *after[n_x:]])

    def lagrangian(by: np.ndarray) -> float:
        values = moved(by)
        return float(values[n_x + 1] + prices @ values[:n_x] + w * values[n_x + 2])

    steps = 1e-4 * np.eye(n)
    slopes = np.array([(moved(e) - moved(-e)) / 2e-4 for e in steps]).T
    np.testing.assert_allclose(np.vstack([F, by_cost, C]), slopes, atol=1e-6)
    np.testing.assert_allclose(
        g[0], [(lagrangian(e) - lagrangian(-e)) / 2e-4 for e in steps], atol=1e-6
    )
    curvature = [
        [
            lagrangian(a + b) - lagrangian(a - b) - lagrangian(b - a) + lagrangian(-a - b)
            for a in steps
        ]
        for b in steps
    ]
    np.testing.assert_allclose(H, np.array(curvature) / 4e-8, atol=1e-5)


def test_sweeps_find_the_fuel_that_ipopt_finds():
    ours = free_time.solve(puck, START, GOAL)
    theirs = nlp.solve(puck, START, GOAL)
    assert ours.converged
    assert theirs.converged
    assert ours.cost == pytest.approx(theirs.cost, rel=1e-5)
    assert ours.times[-1] == pytest.approx(theirs.times[-1], rel=1e-2)
    lengths = np.linalg.norm(ours.controls, axis=1)
    assert lengths.min() >= 0.2
    assert lengths.max() <= 1.5
    assert ours.violation < 1e-5


def cart_pole(x, u):
    sin, cos = np.sin(x[1]), np.cos(x[1])
    push = (u[0] + 0.1 * 0.5 * x[3] ** 2 * sin) / 1.1
    turn = (9.81 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * cos**2 / 1.1))
    return [x[2], x[3], push - 0.1 * 0.5 * turn * cos / 1.1, turn]


def balance(x):
    """The LQR of Q = (10, 10, 1, 1) and R = 0.1 about the upright pole."""
    return [10.0 * x[0] + 66.4 * x[1] + 11.1 * x[2] + 17.2 * x[3]]


def test_the_fastest_cart_pole_is_as_fast_as_that_of_ipopt():
    names = ('position', 'angle', 'speed', 'rate')
    system = System(
        name='fastest_cart_pole',
        dynamics=cart_pole,
        laws={'balance': balance},
        state_names=names,
        state_units=('m', 'rad', 'm/s', 'rad/s'),
        control_names=('force',),
        control_units=('N',),
        joints=(),
        dt=0.05,
        horizon=40,
        substeps=1,
        final_time=(0.2, 5.0),
        time_weight=1.0,
        terminal=names,
        u_min=[-10.0],
        u_max=[10.0],
        Q=np.zeros(4),
        R=[0.0],
        x0_box=[1.0, 0.3, 0.5, 0.5],
        goal_box=np.zeros(4),
    )
    for x in np.random.default_rng(1).uniform(-1.0, 1.0, (4, 4)) * system.x0_box:
        ours = free_time.solve(system, x, np.zeros(4))
        theirs = nlp.solve(system, x, np.zeros(4))
        assert ours.converged
        assert theirs.converged
        assert ours.times[-1] == pytest.approx(theirs.times[-1], rel=1e-4)


def test_a_controller_flies_to_the_goal_while_the_time_left_shrinks():
    controller = Controller.classical(puck)
    x, plan, elapsed = np.array(START), None, 0.5
    while plan is None or plan.times[-1] > elapsed:
        plan = controller.plan(x, GOAL, warm_start=plan, elapsed=elapsed)
        assert plan.violation < 0.05
        assert np.linalg.norm(plan.controls, axis=1).max() <= 1.5
        assert np.linalg.norm(plan.controls, axis=1).min() >= 0.2
        left, step = min(elapsed, plan.times[-1]), plan.times[1]
        for t in range(puck.horizon):
            held = min(step, left - t * step)
            if held > 0.0:
                x = puck.step(x, plan.controls[t], dt=held)
    assert np.abs(x[:4]).max() < 0.02


def test_a_plan_that_misses_its_goal_by_far_is_begun_anew_while_there_is_time():
    controller = Controller.classical(puck)
    lost = controller.plan(START, GOAL, polish=1)
    late = controller.plan(START, GOAL, lost, elapsed=0.0, deadline=0.0)
    assert late.violation > 1.0 and late.cycles == 3
    found = controller.plan(START, GOAL, lost, elapsed=0.0)
    assert found.converged and found.violation < 1e-6
    assert found.cost == pytest.approx(controller.plan(START, GOAL).cost)


def test_what_is_begun_anew_may_last_as_long_as_a_first_plan():
    """A lander from afar, for which durations down to one tick are no help."""
    lander = get_system('rocket_landing')
    far = [-765.455, -5151.308, 3380.120, 82.958, 86.315, -14.963, 3895.696]
    controller = Controller.classical(lander)
    lost = controller.plan(far, np.zeros(7), polish=5)
    found = controller.plan(far, np.zeros(7), lost, elapsed=0.0)
    assert lost.violation > 100.0 and found.converged and found.violation < 1e-3


def test_a_goal_out_of_reach_is_said_and_nothing_is_no_number():
    plan = Controller.classical(puck).plan([2.0, 0.1, 0.0, -5.0, 10.0], GOAL)
    assert np.isfinite(plan.states).all()
    assert np.isfinite(plan.controls).all()
    assert np.linalg.norm(plan.controls, axis=1).max() <= 1.5
    assert any('nothing better was found' in line for line in plan.warnings)


def test_a_record_keeps_the_words_of_a_free_duration():
    again = system_from_record(system_record(puck))
    assert again.final_time == puck.final_time
    assert again.norms == puck.norms
    assert again.terminal == puck.terminal
    assert again.digest == puck.digest
    x, u = np.array(START), np.array([0.3, 0.9])
    np.testing.assert_allclose(again.step(x, u, dt=0.7), puck.step(x, u, dt=0.7))


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ({'final_time': (3.0, 1.0)}, 'shortest, longest'),
        ({'final_time': None}, 'time_weight needs a free duration'),
        ({'terminal': ('position', 'angle')}, 'angle'),
        ({'time_weight': -1.0}, 'at least 0'),
        ({'terminal_cost': [1.0]}, 'terminal_cost'),
        ({'norms': (Norm(('force',), 0.1, 1.0),)}, 'two controls'),
        ({'laws': {'push': lambda time: [time]}}, 'time_to_go'),
    ],
)
def test_a_wrong_word_is_named(words, message):
    with pytest.raises(ValueError, match=message):
        replace(fastest, **words)


def test_a_step_of_one_length_is_refused_where_the_duration_is_free():
    with pytest.raises(ValueError, match='x, u, dt'):
        replace(fastest, discrete=True)


def test_what_needs_a_fixed_duration_says_so():
    controller = Controller.classical(fastest)
    with pytest.raises(ValueError, match='free duration'):
        controller.lqr_plan([0.0, 0.0], [0.0, 0.0])
    with pytest.raises(ValueError, match='references'):
        controller.plan([0.0, 0.0], np.zeros((61, 2)))
    with pytest.raises(ValueError, match='free duration'):
        controller.plan_batch(np.zeros((2, 2)), np.zeros(2))


def test_restarts_count_all_their_sweeps():
    solver, plant = Solver(puck), for_problem(puck, timed_plant(puck), GOAL, puck.p)
    _, outcome = solver.cold(plant, np.array(START), None, 2, 2)
    assert not outcome.converged
    assert outcome.sweeps == 6
