"""The benchmark's section about peers: they solve our problems, and are judged by our dynamics."""

import ctypes
import json
import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import casadi as ca
import numpy as np
import pytest

from trc_core.lab.benchmark.command import CROCODDYL, main
from trc_core.lab.benchmark.options import Options
from trc_core.lab.benchmark.peers import acados_peer
from trc_core.lab.benchmark.peers import race as racing
from trc_core.lab.benchmark.peers.acados_peer import Acados
from trc_core.lab.benchmark.peers.casadi_peers import fatrop_peer, sqp_peer
from trc_core.lab.benchmark.peers.crocoddyl_peer import Crocoddyl
from trc_core.lab.benchmark.peers.ours import MppiPeer, Ours
from trc_core.lab.benchmark.peers.page import draw, pages
from trc_core.lab.benchmark.peers.peer import flown, later
from trc_core.lab.benchmark.peers.race import CLASSICAL, race
from trc_core.lab.benchmark.peers.stage_functions import stage_functions
from trc_core.numerics.cost import constraint_values, trajectory_cost, violations
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.solvers import nlp
from trc_core.solvers.problem import Problem
from trc_core.systems import get_system
from trc_core.systems.bicycle_circles import bicycle_circles

SYSTEM = replace(get_system('van_der_pol'), horizon=20)
START, GOAL = np.array([1.5, -0.5]), np.zeros(2)
PEERS = {
    'fatrop': fatrop_peer,
    'sqpmethod': lambda system: sqp_peer(system, 50),
    'trc': lambda system: Ours(system, Controller.classical(system)),
}


def first(problem):
    states, controls = nlp.start(problem)
    return Plan(controls, states, np.nan, 'start')


def solves_two_ticks(peer, share):
    """The first plan to 1e-5, the next within a share of the optimum."""
    problem = Problem.of(SYSTEM, START, GOAL)
    plan, seconds = peer.plan(problem, None, first(problem))
    assert plan.cost == pytest.approx(nlp.solve(SYSTEM, START, GOAL).cost, rel=1e-5)
    x = plan.states[1] + [0.01, -0.01]
    problem = Problem.of(SYSTEM, x, GOAL)
    plan, again = peer.plan(problem, plan, first(problem))
    assert plan.cost == pytest.approx(nlp.solve(SYSTEM, x, GOAL).cost, rel=share)
    np.testing.assert_array_equal(plan.states[0], x)
    assert seconds > 0.0 and again > 0.0


@pytest.mark.parametrize('name', PEERS)
def test_a_peer_finds_the_optimum_of_ipopt_first_and_a_tick_later(name):
    solves_two_ticks(PEERS[name](SYSTEM), 1e-2 if name == 'trc' else 1e-5)  # one sweep a tick


def test_an_iteration_of_mppi_is_no_worse_than_what_it_begins_from():
    problem = Problem.of(SYSTEM, START, GOAL)
    begun, peer = first(problem), MppiPeer(SYSTEM)
    plan, seconds = peer.plan(problem, None, begun)
    assert plan.cost < flown(problem, begun.controls).cost
    assert seconds > 0.0


@pytest.mark.long
def test_crocoddyl_finds_the_optimum_of_ipopt_first_and_a_tick_later():
    if not os.environ.get(CROCODDYL):
        pytest.skip(f'needs {CROCODDYL}, a Python with Crocoddyl, and a C++ compiler')
    solves_two_ticks(Crocoddyl(SYSTEM, 50, os.environ[CROCODDYL]), 1e-5)


def test_without_crocoddyl_it_says_what_would_bring_it():
    with pytest.raises(FileNotFoundError, match='--crocoddyl-python PATH'):
        Crocoddyl(SYSTEM, 1, '')


@pytest.mark.long
def test_acados_finds_the_optimum_of_ipopt_first_and_a_tick_later():
    pytest.importorskip('acados_template', reason='needs acados, which is on no package index')
    solves_two_ticks(Acados(SYSTEM, 50), 1e-5)


@pytest.mark.long
def test_real_time_iterations_of_acados_lead_to_the_optimum_of_ipopt():
    pytest.importorskip('acados_template', reason='needs acados, which is on no package index')
    problem, peer = Problem.of(SYSTEM, START, GOAL), Acados(SYSTEM, 1)
    plan = first(problem)
    for _ in range(8):
        plan = flown(problem, peer.solve(problem, plan.states, plan.controls, True)[0])
    assert plan.cost == pytest.approx(nlp.solve(SYSTEM, START, GOAL).cost, rel=1e-5)


def test_without_acados_it_says_what_would_bring_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'acados_template', None)
    with pytest.raises(FileNotFoundError, match='build it as its documentation says'):
        Acados(SYSTEM, 1)


@pytest.mark.parametrize('system', [SYSTEM, bicycle_circles], ids=lambda s: s.name)
def test_acados_is_given_our_step_our_cost_and_our_constraints(system):
    ocp = SimpleNamespace(
        model=SimpleNamespace(), cost=SimpleNamespace(), constraints=SimpleNamespace()
    )
    acados_peer._state(ocp, system)
    model, cost = ocp.model, ocp.cost
    rng = np.random.default_rng(3)
    x0, goal = system.sample(rng, 1)
    circle = {'x1': 0.4, 'y1': 0.1, 'r1': 0.5} if system is bicycle_circles else {}
    problem = Problem.of(system, x0[0], goal[0], circle)
    controls = rng.uniform(system.u_min, system.u_max, (system.horizon, system.n_u))
    states, _ = problem.replay(controls)
    merit = 0.0
    for t, numbers in enumerate(acados_peer._numbers(problem)):
        last = t == system.horizon
        given = states[t], controls[min(t, len(controls) - 1)], numbers

        def value(expression, given=given):
            f = ca.Function('f', [model.x, model.u, model.p], [expression])
            return np.array(f(*given)).ravel()

        y = value(model.cost_y_expr_e if last else model.cost_y_expr)
        merit += 0.5 * y @ (cost.W_e if last else cost.W) @ y
        if not last:
            np.testing.assert_allclose(value(model.disc_dyn_expr), states[t + 1], rtol=1e-12)
        if circle and t:
            h = value(model.con_h_expr_e if last else model.con_h_expr)
            stated = constraint_values(system, states, controls, problem.r, list(problem.p))
            np.testing.assert_allclose(h, [row[t - 1] for row in stated], rtol=1e-9)
    found = trajectory_cost(system, states, controls, problem.r, p=list(problem.p))
    assert merit == pytest.approx(found, rel=1e-12)


def test_controls_of_a_peer_are_clipped_and_flown():
    problem = Problem.of(SYSTEM, START, GOAL)
    plan = flown(problem, np.full((20, 1), 1e3))
    assert (plan.controls == SYSTEM.u_max).all()
    x = START
    for u in plan.controls:
        x = SYSTEM.step(x, u)
    np.testing.assert_allclose(plan.states[-1], x, rtol=1e-12)


def test_a_plan_goes_on_a_step_later_from_where_the_problem_begins():
    problem = Problem.of(SYSTEM, START, GOAL)
    plan = nlp.solve(SYSTEM, START, GOAL)
    shifted = later(problem, plan)
    np.testing.assert_array_equal(shifted.controls[:-1], plan.controls[1:])
    np.testing.assert_array_equal(shifted.states[1:-1], plan.states[2:])
    np.testing.assert_array_equal(shifted.states[0], START)
    last = SYSTEM.step(plan.states[-1], plan.controls[-1])
    np.testing.assert_array_equal(shifted.states[-1], last)


def rows(array):
    return array.ctypes.data


@pytest.mark.long
@pytest.mark.parametrize('system', [SYSTEM, bicycle_circles], ids=lambda s: s.name)
def test_the_functions_of_a_time_step_are_those_of_the_cost(system):
    rho, rng = 50.0, np.random.default_rng(2)
    functions = stage_functions(system, rho)
    n_x, n_u, T = system.n_x, system.n_u, system.horizon
    x0, goal = system.sample(rng, 1)
    circle = {'x1': 0.4, 'y1': 0.1, 'r1': 0.5} if system is bicycle_circles else {}
    problem = Problem.of(system, x0[0], goal[0], circle)
    controls = rng.uniform(system.u_min, system.u_max, (T, n_u))
    states, _ = problem.replay(controls)
    p, trim = problem.p.copy(), np.ascontiguousarray(problem.trim)
    h = np.zeros((T + 1, max(len(system.task.constraints), 1)))
    pointers = [ctypes.c_void_p] * 6 + [ctypes.c_int64]
    value = ctypes.CFUNCTYPE(ctypes.c_double, *pointers)(functions.value.address)
    slopes = ctypes.CFUNCTYPE(ctypes.c_double, *pointers, *[ctypes.c_void_p] * 7)(
        functions.slopes.address
    )

    def cost(t, x, u):
        xs, us = states.copy(), controls.copy()
        xs[t] = x
        us[min(t, T - 1)] = u
        found = value(*map(rows, (xs, us, problem.r, p, trim, h)), t)
        return found, xs[min(t + 1, T)]

    # the sum over all steps, from NumPy's own cost and constraints
    total = sum(cost(t, states[t], controls[min(t, T - 1)])[0] for t in range(T + 1))
    J = trajectory_cost(system, states, controls, problem.r, p=list(p), trim=trim)
    plan = Plan(controls, states, J, '')
    inside = violations(system, plan, problem.r, list(p))
    assert total == pytest.approx(J + rho / 2 * (inside**2).sum(), rel=1e-9)
    # the slopes, by differences
    t, step = 1, 1e-6
    u, x = controls[t], states[t]
    A, B = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    l_x, l_u = np.empty(n_x), np.empty(n_u)
    others = [np.empty((a, b)) for a, b in ((n_x, n_x), (n_u, n_x), (n_u, n_u))]
    cost(t, x, u)
    given = map(rows, (states, controls, problem.r, p, trim, h))
    slopes(*given, t, *map(rows, (A, B, l_x, l_u, *others)))
    for i, e in enumerate(step * np.eye(n_x)):
        (high, after), (low, before) = cost(t, x + e, u), cost(t, x - e, u)
        assert l_x[i] == pytest.approx((high - low) / (2 * step), rel=1e-4, abs=1e-5)
        np.testing.assert_allclose(A[:, i], (after - before) / (2 * step), rtol=1e-4, atol=1e-6)
    for i, e in enumerate(step * np.eye(n_u)):
        (high, after), (low, before) = cost(t, x, u + e), cost(t, x, u - e)
        assert l_u[i] == pytest.approx((high - low) / (2 * step), rel=1e-4, abs=1e-5)
        np.testing.assert_allclose(B[:, i], (after - before) / (2 * step), rtol=1e-4, atol=1e-6)


@pytest.fixture(scope='module')
def raced():
    """A race of one start between the classical controller and a peer that cannot start."""
    patch = pytest.MonkeyPatch()
    chosen = {
        CLASSICAL: racing.PEERS[CLASSICAL],
        'fatrop, tol 1e-6': racing.PEERS['fatrop, tol 1e-6'],
        'acados RTI': racing.PEERS['acados RTI'],
    }
    patch.setattr(racing, 'PEERS', chosen)
    patch.setattr(racing, 'TICKS', 2)
    found = race(SYSTEM, Options(states=1))
    patch.undo()
    return found


def test_a_race_judges_every_solver_by_the_best_plan(raced):
    for row in raced['figures'].values():
        assert 1.0 - 1e-9 <= row['cold']['ratio'] < 1.01
        assert row['cold']['count'] == 1 and row['warm']['count'] == 2
        assert row['warm']['violation'] == 0.0 and row['warm']['near'] == 1.0
    assert 0.0 < raced['figures']['fatrop, tol 1e-6']['functions'] < 1.0


def test_the_page_shows_who_is_absent_and_who_is_faster_at_that_merit(raced):
    figures = {k: row for k, row in raced['figures'].items() if not k.startswith('acados')}
    theirs = figures['fatrop, tol 1e-6']
    figures[CLASSICAL] = {
        **theirs,
        'warm': {**theirs['warm'], 'p50': 300.0, 'ratio p90': 1.0},
    }
    for label, p50, merit in (('good', 900.0, 1.0), ('quick', 100.0, 1.5)):
        warm = {**theirs['warm'], 'p50': p50, 'ratio p90': merit}
        figures[f'fatrop, {label}'] = {**theirs, 'warm': warm}
    del figures['fatrop, tol 1e-6']
    absent = {**raced['absent'], 'acados RTI': acados_peer.HOW}
    found = {'van_der_pol': {**raced, 'figures': figures, 'absent': absent}, 'QP solver': 'hpipm'}
    text = '\n'.join(pages(found))
    assert 'acados RTI: acados is on no package index' in text and '| **trc, classical** |' in text
    [duel] = [line for line in text.splitlines() if line.startswith('| van_der_pol | trc')]
    assert duel.split('|')[5].strip() == 'fatrop, good'  # the quick one is worse
    assert duel.split('|')[-3].strip() == '3.0'
    assert float(duel.split('|')[-2]) == pytest.approx(3.0 * (1 - theirs['functions']), abs=0.051)


@pytest.mark.long
def test_the_picture_has_a_panel_for_every_system(raced):
    assert len(draw({'van_der_pol': raced}).axes) == 1 and draw({}) is None


def test_an_interrupted_run_goes_on_and_another_command_is_refused(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(racing, 'race', lambda system, options: asked.append(system.name) or {})
    flags = ['--sections', 'peers', '--systems', 'van_der_pol,cartpole', '--core', '-1']
    flags += ['--output', str(tmp_path)]
    main(flags)
    path = tmp_path / 'benchmark.json'
    held = json.loads(path.read_text())
    del held['peers']['cartpole']
    path.write_text(json.dumps({**held, 'interrupted': 'peers'}))
    main([*flags, '--resume'])
    assert asked == ['van_der_pol', 'cartpole', 'cartpole']
    assert 'interrupted' not in json.loads(path.read_text())
    with pytest.raises(SystemExit):
        main([*flags, '--states', '3', '--resume'])
    assert 'give the same flags' in capsys.readouterr().err
