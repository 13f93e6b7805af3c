"""Experts of constrained problems, references, parameters and residuals."""

from dataclasses import replace

import daqp
import numpy as np
import pytest

from trc_core.numerics.cost import constraint_values
from trc_core.numerics.reference import moving_trims
from trc_core.problem.system import System
from trc_core.solvers import fatrop, ilqr, multistart, nlp, qp
from trc_core.solvers.affine import predict
from trc_core.solvers.problem import Problem
from trc_core.solvers.qp import condensed
from trc_core.solvers.transcription import program_of
from trc_core.systems import SYSTEMS
from trc_core.systems.bicycle_circles import bicycle_circles, draw
from trc_core.systems.double_integrator import multi_axis

FREE = replace(multi_axis(1), name='free', horizon=30)
WALL, TOP_SPEED = -0.02, 1.2


def behind_a_wall(x):
    return {'wall': WALL - x[0]}


WALLED = replace(FREE, name='walled', constraints=behind_a_wall, x_max=[None, TOP_SPEED])
START, ORIGIN = np.array([2.0, -1.0]), np.zeros(2)
AT_THE_WALL = np.array([0.4, -1.8])
SOLVERS = {'nlp': nlp, 'fatrop': fatrop, 'ilqr': ilqr}
every_solver = pytest.mark.parametrize('solver', list(SOLVERS.values()), ids=list(SOLVERS))


def walled_optimum(x0, goal):
    """J and controls of the condensed QP with the wall and the speed limit, by DAQP."""
    prediction = predict(FREE, x0)
    H, f = condensed(FREE, prediction, goal)
    rows = np.vstack([prediction.reach[1:, 0], prediction.reach[1:, 1]])
    free = np.concatenate([prediction.free[1:, 0], prediction.free[1:, 1]])
    n, T = len(f), FREE.horizon
    lower = np.concatenate([np.tile(FREE.u_min, T), WALL - free[:T], np.full(T, -1e30)])
    upper = np.concatenate([np.tile(FREE.u_max, T), np.full(T, 1e30), TOP_SPEED - free[T:]])
    w, _, flag, _ = daqp.solve(H, f, rows, upper, lower, np.zeros(n + 2 * T, dtype=np.int32))
    assert flag == 1
    states, J = Problem.of(FREE, x0, goal).replay(w.reshape(T, 1))
    return J, states


@every_solver
def test_a_wall_and_a_speed_limit_give_the_optimum_of_the_qp(solver):
    for x0, goal in ((AT_THE_WALL, ORIGIN), (np.array([0.0, 0.0]), np.array([2.5, 0.0]))):
        J, states = walled_optimum(x0, goal)
        plan = solver.solve(WALLED, x0, goal)
        assert plan.cost == pytest.approx(J, rel=2e-5)
        assert plan.violation <= (1e-4 if solver is ilqr else 1e-6)
        np.testing.assert_allclose(plan.states, states, atol=0.02)
        assert plan.merit >= plan.cost
        if solver is not ilqr:
            assert plan.converged and plan.cost == pytest.approx(J, rel=1e-7)
    # each of them matters in one of the two problems
    assert qp.solve(FREE, AT_THE_WALL, ORIGIN).states[:, 0].min() < WALL - 0.01
    assert qp.solve(FREE, np.zeros(2), goal).states[:, 1].max() > TOP_SPEED + 0.1


@every_solver
def test_a_constraint_on_the_control_is_a_bound(solver):
    gentle = replace(
        FREE, name='gentle', constraints=lambda u: {'push': u[0] - 0.7, 'pull': -0.7 - u[0]}
    )
    bounded = replace(FREE, u_min=[-0.7], u_max=[0.7])
    plan, expected = solver.solve(gentle, START, ORIGIN), qp.solve(bounded, START, ORIGIN)
    assert plan.cost == pytest.approx(expected.cost, rel=3e-3 if solver is ilqr else 1e-7)
    assert np.abs(plan.controls).max() <= 0.7 + 1e-4


@pytest.mark.parametrize('seed', [3, 7, 13])
def test_ipopt_fatrop_and_sweeps_agree_among_circles_that_stand_or_move(seed):
    x0, goal, parameters = draw(np.random.default_rng(seed), moving=seed % 2 == 1)
    swept = ilqr.solve(bicycle_circles, x0, goal, sweeps=300, parameters=parameters)
    plan, staged = (
        solver.solve(bicycle_circles, x0, goal, warm_start=swept, parameters=parameters)
        for solver in (nlp, fatrop)
    )
    assert plan.converged and staged.converged
    assert staged.cost == pytest.approx(plan.cost, rel=1e-6)
    assert swept.cost == pytest.approx(plan.cost, rel=1e-4)
    # a circle is touched, and nothing is entered where it then is
    p = bicycle_circles.parameter_rows(parameters)
    r = np.tile(goal, (61, 1))
    h = constraint_values(bicycle_circles, plan.states, plan.controls, r, list(p))
    circles = np.array(h[: len(bicycle_circles.obstacles)])
    assert -1e-6 < circles.max() < 1e-6
    for k, obstacle in enumerate(bicycle_circles.obstacles[:3]):
        t = 0.1 * np.arange(1, 61)
        x, y, radius, _, vx, vy, _ = (parameters[n] if n else 0.0 for n in obstacle)
        centre = np.stack([x + vx * t, y + vy * t], -1)
        gap = np.linalg.norm(plan.states[1:, :2] - centre, axis=1) - radius
        np.testing.assert_allclose(-circles[k], gap, atol=1e-9)


def test_several_starts_find_the_other_side_and_laws_are_among_them():
    x0, goal, parameters = draw(np.random.default_rng(0))
    one = ilqr.solve(bicycle_circles, x0, goal, parameters=parameters)
    several = multistart.solve(bicycle_circles, x0, goal, starts=8, parameters=parameters)
    assert {'lqr', 'law line', 'law stop', 'line', 'trim'} < set(several.candidates)
    assert several.merit == min(several.candidates.values()) < one.merit
    problem = Problem.of(bicycle_circles, x0, goal, parameters)
    for _, _, merit in problem.fly_laws().values():
        assert one.merit <= merit
    assert several.merit == pytest.approx(
        several.cost + 300.0 * problem.violations(several.states, several.controls)[0]
    )


def test_a_problem_without_a_plan_says_so():
    x0, goal = np.array([2.0, -3.0]), ORIGIN  # cannot stop in front of the wall
    for solver in (nlp, fatrop, ilqr):
        plan = solver.solve(replace(WALLED, u_min=[-0.1], u_max=[0.1]), x0, goal)
        assert not plan.converged
        assert plan.violation > 0.01 and plan.merit > plan.cost


@every_solver
def test_a_reference_is_tracked_at_the_least_cost(solver):
    wide = replace(FREE, u_min=[-50.0], u_max=[50.0])
    t = wide.dt * np.arange(wide.horizon + 1)
    reference = np.stack([np.sin(2.0 * t), 2.0 * np.cos(2.0 * t)], -1)
    # the same as one least-squares problem in all controls
    prediction = predict(wide, START)
    trim = moving_trims(wide, reference[None])[0, :, 0]  # efforts count from there
    rows, values = [np.sqrt(0.5) * np.eye(wide.horizon)], [np.sqrt(0.5) * trim]
    wide = replace(wide, R=[0.5])
    for k in range(1, wide.horizon + 1):
        root = np.linalg.cholesky(wide.Q_f if k == wide.horizon else wide.Q).T
        rows.append(root @ prediction.reach[k])
        values.append(root @ (reference[k] - prediction.free[k]))
    w = np.linalg.lstsq(np.vstack(rows), np.concatenate(values), rcond=None)[0]
    plan = solver.solve(wide, START, reference)
    np.testing.assert_allclose(plan.controls[:, 0], w, atol=1e-4)
    constant = np.tile(ORIGIN, (wide.horizon + 1, 1))
    goal_plan = solver.solve(wide, START, ORIGIN)
    assert solver.solve(wide, START, constant).cost == goal_plan.cost != plan.cost


@every_solver
def test_a_parameter_changes_the_plan_as_another_plant_does(solver):
    system = SYSTEMS['van_der_pol']
    x0, goal = np.array([1.5, -0.5]), np.zeros(2)
    plan = solver.solve(system, x0, goal, parameters={'mu': 2.0})
    other = solver.solve(system.with_parameters(mu=2.0), x0, goal)
    assert plan.cost == pytest.approx(other.cost, rel=1e-6)
    assert abs(plan.cost / solver.solve(system, x0, goal).cost - 1.0) > 0.01
    built = program_of.cache_info().misses
    solver.solve(system, x0, goal, parameters={'mu': 0.3})
    assert program_of.cache_info().misses == built  # no program of its own
    with pytest.raises(ValueError, match=r"no parameter \['nu'\]"):
        solver.solve(system, x0, goal, parameters={'nu': 1.0})


@every_solver
def test_residuals_are_a_quadratic_cost_of_the_same_form(solver):
    system = SYSTEMS['van_der_pol']
    q, q_f = np.diag(system.Q), np.diag(system.Q_f)

    def residuals(x, goal):
        return [np.sqrt(q[i]) * (x[i] - goal[i]) for i in range(2)]

    def terminal(x, goal):
        return [np.sqrt(q_f[i]) * (x[i] - goal[i]) for i in range(2)]

    same = replace(
        system,
        name='residual',
        Q=[0.0, 0.0],
        Q_f=[0.0, 0.0],
        residuals=residuals,
        terminal_residuals=terminal,
        goal_tolerance=system.goal_tolerance,
    )
    x0, goal = np.array([1.5, -0.5]), np.array([0.2, 0.0])
    plan, expected = solver.solve(same, x0, goal), solver.solve(system, x0, goal)
    assert plan.cost == pytest.approx(expected.cost, rel=1e-5)
    np.testing.assert_allclose(plan.controls, expected.controls, atol=0.05)


def pushed(x, u, load):
    return [x[1], u[0] - load * x[0]]


SPRING = System(
    name='spring',
    dynamics=pushed,
    state_names=('place', 'speed'),
    state_units=('m', 'm/s'),
    control_names=('push',),
    control_units=('m/s^2',),
    joints=(),
    dt=0.1,
    horizon=20,
    u_min=[-5.0],
    u_max=[5.0],
    Q=[1.0, 0.1],
    R=[0.1],
    x0_box=[1.0, 1.0],
    goal_box=[1.0, 0.0],
    parameters={'load': 2.0},
    u_trim='equilibrium',
)


@every_solver
def test_a_goal_that_needs_a_control_of_its_own_is_held_for_nothing(solver):
    goal = np.array([0.7, 0.0])
    plan = solver.solve(SPRING, goal, goal, parameters={'load': 3.0})
    assert plan.cost == pytest.approx(0.0, abs=1e-8)
    np.testing.assert_allclose(plan.controls, 2.1, atol=1e-3)


def test_the_turn_of_an_angle_costs_nothing():
    pendulum = replace(SYSTEMS['pendulum'], name='turning', angles=('angle',))
    goal = np.zeros(2)
    for solver in (nlp, fatrop):
        plan, turned = (
            solver.solve(pendulum, np.array([0.4 + a, 0.0]), goal) for a in (0.0, 2.0 * np.pi)
        )
        assert plan.converged and turned.converged
        assert turned.cost == pytest.approx(plan.cost, rel=1e-6)


@pytest.mark.parametrize('name', ['cartpole', 'quadrotor_2d', 'van_der_pol'])
def test_fatrop_finds_the_optimum_of_ipopt(name):
    system = SYSTEMS[name]
    for x0, goal in zip(*system.sample(np.random.default_rng(4), 3), strict=True):
        plan, expected = fatrop.solve(system, x0, goal), nlp.solve(system, x0, goal)
        assert plan.converged and plan.source == 'fatrop' and plan.cycles > 0
        assert plan.cost == pytest.approx(expected.cost, rel=1e-6)


def test_what_an_expert_does_not_know_or_have_is_one_line(monkeypatch):
    with pytest.raises(ValueError, match=r"'walled' has constraints .* use the expert nlp"):
        qp.solve(WALLED, START, ORIGIN)
    with pytest.raises(
        ValueError, match=r'goal has shape \(3, 2\), expected \(2,\), or \(31, 2\)'
    ):
        nlp.solve(WALLED, START, np.zeros((3, 2)))
    monkeypatch.setattr(fatrop, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=r'no fatrop; .* take the expert nlp'):
        fatrop.solve(WALLED, START, ORIGIN)
