"""Anytime refinement: time limits, early exit, and plans that continue earlier ones."""

import itertools
import sys

import numpy as np
import pytest

from trc_core import SYSTEMS, Controller, get_system
from trc_core.commands.warm_up import main as warm_up
from trc_core.compile import machine_code
from trc_core.compile.binding import readable_plant_of
from trc_core.compile.kernels import compiled
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.rollout import Trajectory, rollout, shift
from trc_core.planner import clock, kernels
from trc_core.planner.problems import Problems
from trc_core.planner.rows import Budget

SMOOTH = ['double_integrator', 'van_der_pol', 'quadrotor_2d']


def problems(name, count, seed=12):
    return SYSTEMS[name].sample(np.random.default_rng(seed), count)


@pytest.mark.parametrize('name', [*SMOOTH, 'cartpole', 'cartpole_swingup'])
def test_early_exit_saves_cycles_and_costs_no_more_than_its_tolerance(name):
    patient = Controller.load(name, cycles=20, tolerance=0.0)
    hasty = Controller.load(name, cycles=20, tolerance=1e-5)
    x, goal = problems(name, 30)
    plans = [(patient.plan(a, b), hasty.plan(a, b)) for a, b in zip(x, goal, strict=True)]
    lost = np.array([b.cost / a.cost - 1 for a, b in plans])
    assert np.mean([b.cycles for _, b in plans]) < 10
    assert all(a.cycles >= b.cycles for a, b in plans)
    assert np.median(lost) <= 1e-4
    assert (lost > -1e-12).all()


def test_a_plan_at_the_goal_needs_no_cycle():
    plan = Controller.load('van_der_pol', cycles=10).plan([1e-4, 0.0], [0.0, 0.0])
    assert plan.cycles == 0
    assert plan.source != 'refined'


def test_refinement_stops_when_the_next_step_would_not_fit(monkeypatch):
    seconds = itertools.count()  # every look at the clock finds it one second later
    monkeypatch.setattr(kernels, 'now', lambda: float(next(seconds)))
    controller = Controller.load('double_integrator', 'numpy', cycles=10, tolerance=0.0)
    x, goal = (a[0] for a in problems('double_integrator', 1))
    full = controller.plan(x, goal)
    assert full.cycles == 10
    budget = Budget(cycles=10, deadline=7.0, tolerance=0.0, seconds=0.5)
    seconds = itertools.count()
    monkeypatch.setattr(kernels, 'now', lambda: float(next(seconds)))
    alone = Problems(x[None], constant_reference(goal[None], controller.system.horizon))
    found = controller._planning.backend.plan(alone, budget)
    # a cycle is found to take a second: begun at 0, 2, 4 and 6, but not at 8
    assert found.cycles[0] == 4
    assert found.seconds[0] == 1.0
    assert found.J[0] <= found.starts[0].min()


def test_compiled_code_reads_the_same_clock():
    import numba

    @numba.njit
    def moment():
        return clock.now()

    moment()
    before, between, after = clock.now(), moment(), clock.now()
    assert before <= between <= after


@pytest.mark.parametrize('name', SMOOTH)
@pytest.mark.parametrize('steps', [0.0, 1.0, 2.5, 1000.0])
def test_a_continued_plan_follows_the_trajectory_it_continues(name, steps):
    system, controller = SYSTEMS[name], Controller.load(name)
    x0, goal = (a[0] for a in problems(name, 1))
    plan = controller.plan(x0, goal)
    law = controller.checkpoint.representation.law
    v = np.empty_like(plan.controls)
    plant, r = readable_plant_of(system), constant_reference(goal, system.horizon)
    shift(plant, law, Trajectory(plan.states, plan.controls), r, steps, v)
    T, k = system.horizon, int(min(steps, system.horizon))
    assert (v[max(T - k, 0) :] == 0).all()  # where the plan ends, the LQR takes over
    if steps in (0.0, 1.0):
        x, u = np.empty_like(plan.states), np.empty_like(plan.controls)
        rollout(plant, law, v, plan.states[k], r, Trajectory(x, u))
        np.testing.assert_allclose(u[: T - k], plan.controls[k:], atol=1e-9)
        np.testing.assert_allclose(x[: T - k], plan.states[k:-1], atol=1e-9)
    elif steps < T:
        middle = plan.controls[k : T - 1] / 2 + plan.controls[k + 1 :] / 2
        x = plan.states[k : T - 1] / 2 + plan.states[k + 1 : T] / 2
        flown = middle - system.u_trim + np.einsum('tij,tj->ti', law.K[: T - 1 - k], x - goal)
        np.testing.assert_allclose(v[: T - 1 - k], flown, atol=1e-9)


def test_a_predicted_state_is_planned_from_the_last_plan_alone():
    controller = Controller.load('cartpole_swingup', cycles=1, tolerance=0.0)
    x, goal = problems('cartpole_swingup', 20)
    thorough = Controller.load('cartpole_swingup', cycles=8)
    for a, b in zip(x, goal, strict=True):
        first = thorough.plan(a, b)
        following = controller.plan(first.states[1], b, warm_start=first)
        assert following.cost <= following.candidates['previous']
        assert following.cost <= 1.001 * (first.cost + 1e-9)


def test_a_surprising_state_is_planned_as_from_cold():
    controller = Controller.load('cartpole_swingup')
    x, goal = problems('cartpole_swingup', 10)
    for a, b in zip(x, goal, strict=True):
        elsewhere = controller.plan(-a, b)
        warm, cold = controller.plan(a, b, warm_start=elsewhere), controller.plan(a, b)
        assert warm.cost <= cold.cost * (1 + 1e-6)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match='tolerance must not be negative'):
        Controller.load('van_der_pol', tolerance=-1.0)
    with pytest.raises(ValueError, match='tolerance must not be negative'):
        Controller.load('van_der_pol', tolerance=float('nan'))
    with pytest.raises(ValueError, match='num_threads must be at least 1'):
        Controller.load('van_der_pol', num_threads=0)


def test_after_a_warm_up_no_plan_waits_for_the_compiler_not_even_one_that_breaks_constraints():
    car = Controller.classical(get_system('bicycle_circles'))
    car.warm_up()
    loaded = {kernel for kernel in car._planning.kernels if kernel.signatures}
    here = {'x1': 0.0, 'y1': 0.0, 'r1': 0.9}
    plan = car.plan(np.zeros(5), car.system.goal_centre, parameters=here)
    assert plan.violation > 0.5
    assert {kernel for kernel in car._planning.kernels if kernel.signatures} == loaded


def test_warm_up_compiles_ahead_and_says_so(tmp_path, monkeypatch, capsys):
    controller = Controller.load('van_der_pol')
    controller.warm_up()
    assert controller.is_compiled
    warm_up(['van_der_pol'])
    printed = capsys.readouterr()
    assert 'van_der_pol: ' in printed.out
    assert 'compiling' not in printed.err
    with pytest.raises(SystemExit):
        warm_up(['nothing'])
    assert "no checkpoint 'nothing'" in capsys.readouterr().err


def test_a_fresh_cache_is_known_to_be_empty(tmp_path, monkeypatch):
    controller = Controller.load('van_der_pol')
    controller.warm_up()
    with monkeypatch.context() as fresh:  # the kernels are there, the equations are not
        fresh.setenv('TRC_CACHE_DIR', str(tmp_path))
        fresh.setattr(machine_code, 'LOADED', {})
        assert not controller.is_compiled
    assert controller.is_compiled
    with monkeypatch.context() as fresh:  # the other way round
        fresh.setenv('TRC_CACHE_DIR', str(tmp_path))
        for module in [m for m in sys.modules if m.startswith('trc_compiled_')]:
            fresh.delitem(sys.modules, module)
        compiled.cache_clear()
        assert not Controller.load('van_der_pol').is_compiled
        assert Controller.load('van_der_pol', 'numpy').is_compiled
    compiled.cache_clear()
    assert Controller.load('van_der_pol').is_compiled
