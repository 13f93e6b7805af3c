"""Evidence of local optima: it does not depend on units, and an independent solver agrees."""

import time
import warnings
from dataclasses import replace

import numpy as np
import pytest

from trc_core import System
from trc_core.numerics.cost import is_success
from trc_core.planner.controller import Controller
from trc_core.solvers import evidence as module
from trc_core.solvers import ilqr, lqr, multistart, nlp
from trc_core.solvers.evidence import SAMPLE, classical_plan, evidence
from trc_core.solvers.problem import Problem
from trc_core.systems import SYSTEMS, get_system
from trc_core.systems.bicycle_circles import bicycle_circles
from trc_core.systems.draws import drawn_problem


@pytest.mark.parametrize('name', ['double_integrator', 'pendulum'])
def test_the_evidence_does_not_depend_on_units(name):
    system = replace(SYSTEMS[name], angles=())  # a turn has no other unit
    unit = 1000.0  # of every state, like millimetres for metres

    def dynamics(x, u, **parameters):
        return [unit * rate for rate in system.dynamics([e / unit for e in x], u, **parameters)]

    in_small_units = replace(
        system,
        dynamics=dynamics,
        Q=system.Q / unit**2,
        Q_f=system.Q_f / unit**2,
        x0_box=unit * system.x0_box,
        goal_box=unit * system.goal_box,
        goal_tolerance=unit * system.goal_tolerance,
    )
    first, second = evidence(system), evidence(in_small_units)
    assert second.is_enough == first.is_enough
    assert second.share == pytest.approx(first.share, abs=0.1)  # random starts are others


def cart(unit):
    """A cart of 1 kg, pushed by 2 N at most, whose positions are in metres divided by `unit`."""
    return System(
        name='cart',
        dynamics=lambda x, u: [x[1], unit * u[0]],
        state_names=('p', 'v'),
        state_units=('m', 'm/s'),
        control_names=('F',),
        control_units=('N',),
        joints=(),
        dt=0.1,
        horizon=18,
        u_min=[-2.0],
        u_max=[2.0],
        Q=[10.0 / unit**2, 1.0 / unit**2],
        R=[0.1],
        x0_box=[unit, unit],
        goal_box=[0.0, 0.0],
    )


def test_stage_and_success_are_the_same_in_kilometres_and_micrometres():
    found = []
    for unit in (1.0, 1e-3, 1e3, 1e6):
        system = cart(unit)
        x0 = unit * np.random.default_rng(0).uniform(-1, 1, (30, 2))
        reached = []
        for sweeps in (0, 100):
            plans = [ilqr.solve(system, x, np.zeros(2), sweeps=sweeps) for x in x0]
            states = np.array([plan.states for plan in plans])
            reached.append(is_success(system, states, np.zeros(2)).tolist())
        found.append((evidence(system), reached))
    assert all(one == found[0] for one in found[1:])
    assert 0 < sum(found[0][1][1]) < 30  # some plans succeed, and some do not


def test_a_horizon_too_short_for_the_goal_is_no_evidence_of_local_optima():
    short = replace(SYSTEMS['quadrotor_2d'], horizon=15)
    x0, goal = short.sample(np.random.default_rng(0), 20)
    ends = np.array([lqr.solve(short, a, b).states for a, b in zip(x0, goal, strict=True)])
    assert not is_success(short, ends, goal).any()
    assert not evidence(short).is_enough


def test_where_several_starts_win_ipopt_does_not_side_with_the_classical_controller():
    system = SYSTEMS['pendulum']
    x0, goal = system.sample(np.random.default_rng(0), SAMPLE)
    rows = range(12)
    problems = [Problem.of(system, x0[n], goal[n]) for n in rows]
    ladder = [classical_plan(problem) for problem in problems]
    several = [multistart.solve(system, x0[n], goal[n]).cost for n in rows]
    beaten = [n for n in rows if 1.02 * several[n] < ladder[n]]
    assert beaten
    for n in beaten[:2]:
        assert 1.02 * nlp.solve(system, x0[n], goal[n], starts=6).cost < ladder[n]


def test_constraints_are_evidence_too():
    assert evidence(bicycle_circles).is_enough


def test_a_plant_that_no_lqr_stabilises_is_no_reason_for_several_starts():
    runaway = replace(
        SYSTEMS['double_integrator'],
        name='runaway',
        substeps=1,
        dynamics=lambda x, u: [400.0 * x[0], u[0]],
        horizon=100,
    )
    with np.errstate(all='ignore'):
        assert not evidence(runaway).is_enough


def test_a_linear_plant_has_one_optimum():
    found = evidence(SYSTEMS['double_integrator'])
    assert found == (0, SAMPLE) and not found.is_enough
    assert str(found).endswith(f'by more than 2% on 0 of {SAMPLE} problems')


@pytest.mark.parametrize('name', ['pendulum', 'cartpole_swingup'])
def test_what_is_beaten_is_the_controller_that_would_fly(name):
    system, rng = get_system(name), np.random.default_rng(5)
    flown = Controller.classical(system)
    for _ in range(4):
        x0, goal, parameters = drawn_problem(system, rng)
        plan = flown.plan(x0, goal, parameters=parameters)
        ours = classical_plan(Problem.of(system, x0, goal, parameters))
        assert ours == pytest.approx(plan.cost, rel=1e-4)


def one_problem(monkeypatch):
    monkeypatch.setattr(module, 'WORK', 0.0)
    monkeypatch.setattr(module, 'FEWEST', 1)


def test_fewer_problems_are_tried_of_long_dynamics(monkeypatch):
    short, long = SYSTEMS['van_der_pol'], get_system('arm')
    assert module._sample(short) == module._sample(long) == SAMPLE
    assert module.FEWEST < module._sample(replace(long, horizon=2 * long.horizon)) < SAMPLE
    assert module._sample(replace(long, horizon=10 * long.horizon)) == module.FEWEST
    one_problem(monkeypatch)
    found = evidence.__wrapped__(short)
    assert found.problems == 1 and str(found).endswith('on 0 of 1 problems')


def test_evidence_is_the_same_on_a_busy_computer(monkeypatch):
    ticks = iter(range(0, 10**9, 1000))  # [s] between two looks at a clock
    for clock in ('process_time', 'perf_counter', 'thread_time'):
        monkeypatch.setattr(time, clock, lambda: next(ticks))
    assert evidence.__wrapped__(SYSTEMS['double_integrator']) == (0, SAMPLE)


@pytest.mark.parametrize(
    'rates',
    [
        lambda x, u: [0.0 * x[0], 0.0 * x[1]],
        lambda x, u: [50.0 * x[0] ** 3, u[0] + x[1] ** 5],
        lambda x, u: [np.sqrt(x[0] + 1.01) - u[0], u[0] - x[1]],
    ],
    ids=['nothing moves it', 'it runs away', 'it has no rates beside its box'],
)
def test_odd_plants_get_an_answer(rates, monkeypatch):
    one_problem(monkeypatch)
    odd = replace(SYSTEMS['double_integrator'], name='odd', dynamics=rates, substeps=1)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert evidence.__wrapped__(odd).problems == 1
