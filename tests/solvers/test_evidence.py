"""Evidence of local optima: it does not depend on units, and an independent solver agrees."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core.solvers import multistart, nlp
from trc_core.solvers.evidence import SAMPLE, _best, _ladder, evidence
from trc_core.solvers.problem import Problem
from trc_core.systems import SYSTEMS
from trc_core.systems.bicycle_circles import bicycle_circles


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


def test_where_several_starts_win_ipopt_does_not_side_with_the_ladder():
    system = SYSTEMS['pendulum']
    x0, goal = system.sample(np.random.default_rng(0), SAMPLE)
    rows = range(12)
    problems = [Problem.of(system, x0[n], goal[n]) for n in rows]
    ladder = [_best(problem, _ladder(problem), 200) for problem in problems]
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
        dynamics=lambda x, u: [400.0 * x[0], u[0]],
        horizon=100,
    )
    with np.errstate(all='ignore'):
        assert not evidence(runaway).is_enough


def test_a_linear_plant_has_one_optimum():
    found = evidence(SYSTEMS['double_integrator'])
    assert found == (0, SAMPLE) and not found.is_enough
    assert str(found).endswith(f'by more than 2% on 0 of {SAMPLE} states')
