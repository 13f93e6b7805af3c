"""Sources of starts and flights with surprises: what the experiments about them rest on."""

from itertools import islice

import numpy as np
import pytest

from trc_core.lab.experiments.mppi import mppi
from trc_core.lab.experiments.proposals import KINDS, Line, Tried, _figures, at_equal_ms
from trc_core.lab.experiments.starts import (
    StoredPlans,
    by_law,
    improve,
    left_right,
    random_controls,
)
from trc_core.lab.experiments.surprised_flights import (
    AHEAD,
    SweepsATick,
    appearing,
    as_it_flies,
    fly,
)
from trc_core.planner.controller import Controller
from trc_core.solvers import multistart
from trc_core.solvers.plans import rolled_out
from trc_core.solvers.problem import Problem
from trc_core.systems.bicycle_circles import bicycle_circles, draw

MIRROR = np.array([1.0, -1.0, -1.0, 1.0, -1.0])


@pytest.fixture(scope='module')
def drawn():
    return draw(np.random.default_rng(5))


@pytest.fixture(scope='module')
def problem(drawn):
    return Problem.of(bicycle_circles, *drawn)


@pytest.fixture(scope='module')
def controller():
    return Controller.classical(bicycle_circles)


def test_starts_are_rolled_out_to_the_merit_that_counts(problem):
    controls = random_controls(problem, 3, np.random.default_rng(0))
    starts = rolled_out(problem, controls)
    for n in range(3):
        states, merit = problem.replay(controls[n])
        np.testing.assert_allclose(starts.states[n], states, atol=1e-12)
        assert starts.merit[n] == pytest.approx(merit)


def test_one_start_is_improved_as_the_solvers_do_and_several_end_no_worse(problem):
    starts = left_right(problem)
    best = starts.controls[starts.merit.argmin()].copy()
    states, _ = problem.replay(best)
    merit, _, _ = problem.improve(12, states, best)
    one = improve(problem, starts, 1, 12, 0)
    assert one.merit == pytest.approx(merit, rel=1e-9)
    np.testing.assert_allclose(one.controls, best, atol=1e-9)
    several = improve(problem, starts, 8)
    assert several.merit <= improve(problem, starts, 8, 12, 0).merit <= one.merit
    assert problem.replay(several.controls)[1] == pytest.approx(several.merit, rel=1e-6)


def test_a_stored_plan_is_found_again_also_in_a_mirror_and_in_another_frame(problem):
    plan = multistart.solve(bicycle_circles, problem.x0, problem.goal)
    others = np.repeat(problem.x0[None], 4, 0) + np.linspace(0.1, 0.4, 4)[:, None]
    goals = np.repeat(problem.goal[None], 5, 0)
    controls = np.concatenate([np.zeros((4, 60, 2)), plan.controls[None]])
    table = StoredPlans.of(np.vstack([others, problem.x0]), goals, controls)
    np.testing.assert_array_equal(table.nearest(problem, 1)[0], plan.controls)
    mirrored = Problem.of(bicycle_circles, MIRROR * problem.x0, MIRROR * problem.goal)
    found = table.nearest(mirrored, 1)
    starts = rolled_out(mirrored, found)
    np.testing.assert_allclose(starts.states[0], MIRROR * plan.states, atol=1e-9)
    turned, shift = 0.7, np.array([3.0, -1.0])
    c, s = np.cos(turned), np.sin(turned)
    moved = [x.copy() for x in (problem.x0, problem.goal)]
    for x in moved:
        x[:2], x[2] = shift + np.array([[c, -s], [s, c]]) @ x[:2], x[2] + turned
    elsewhere = Problem.of(bicycle_circles, *moved)
    np.testing.assert_array_equal(table.nearest(elsewhere, 1)[0], plan.controls)


def test_random_samples_lower_the_merit_of_the_line(problem):
    line = by_law(problem, 'line')
    rng = np.random.default_rng(0)
    mean, best = mppi(problem, line.controls[0], 200, 4, rng).merit
    assert max(mean, best) < line.merit[0]


def test_rows_are_judged_by_the_best_that_anything_found():
    truth = [
        Tried(100.0, 100.0, 0.0, 0.0),
        Tried(50.0, 50.0, 0.0, 0.0),
        Tried(9.0, 9.0, np.inf, 0),
    ]
    ours = [Tried(90.0, 90.0, 0.0, 2e-3), Tried(49.0, 69.0, 0.06, 1e-3), Tried(8.0, 30.0, 0.1, 0)]
    theirs = [Tried(92.0, 92.0, 0.0, 0.1), Tried(50.5, 50.5, 0.0, 0.1), Tried(9.0, 31.0, 0.1, 0)]
    figures = _figures({'ours': ours, 'theirs': theirs}, truth)
    assert (figures['problems'], figures['left out'], figures['beaten']) == (2, 1, 1)
    assert [figures['ours'][kind] for kind in KINDS] == [1, 1, 1, 1]
    assert [figures['theirs'][kind] for kind in KINDS] == [1, 1, 0, 0]
    assert figures['theirs']['excess'] == [2222, 1000]
    assert figures['ours']['ms'] == [2.0, 1.0]


def test_sources_are_compared_at_equal_milliseconds():
    shares = dict.fromkeys(KINDS, 0.0)
    table = {
        f'table, B = {B}': Line('', {**shares, 'M wrong': wrong}, 1.0, ms, ms)
        for B, wrong, ms in ((1, 0.3, 2.0), (3, 0.1, 4.0))
    }
    assert at_equal_ms(table, 'table', 3.0) == pytest.approx(0.2)
    assert at_equal_ms(table, 'table', 9.0) == 0.1
    assert at_equal_ms(table, 'table', 1.0) is None


def test_a_pilot_of_one_sweep_plans_what_the_controller_does_while_nothing_surprises(controller):
    x0, goal = np.zeros(5), np.array([5.0, 0.0, 0.0, 0.0, 0.0])
    far = {'x1': 2.5, 'y1': 3.0, 'r1': 0.5}
    first = controller.plan(x0, goal, parameters=far)
    x = bicycle_circles.step(x0, first.controls[0])
    ours = SweepsATick(bicycle_circles, 1)(x, goal, first, far)
    theirs = as_it_flies(controller)(x, goal, first, far)
    np.testing.assert_allclose(ours.controls, theirs.controls, atol=1e-12)
    assert ours.merit == pytest.approx(theirs.merit) and ours.violation == theirs.violation


def test_a_circle_appears_ahead_and_is_hit_by_those_who_do_not_look(controller):
    situations = list(islice(appearing(controller, [1]), 2))
    for one in situations:
        places = {o.x: (o.y, o.radius) for o in bicycle_circles.obstacles if o.x in one.parameters}
        x, (y, r) = list(places.items())[-1]
        gap = np.hypot(one.x[0] - one.parameters[x], one.x[1] - one.parameters[y])
        assert 0.5 * AHEAD[0] < gap < AHEAD[1] + 0.5
        along = np.hypot(*(one.plan.states[:, :2] - [one.parameters[x], one.parameters[y]]).T)
        assert along.min() < one.parameters[r]
        blind = dict(list(one.parameters.items())[:-5])
        seen = fly(
            lambda x, goal, plan, now, blind=blind: controller.plan(
                x, goal, plan, parameters=blind
            ),
            one,
        )
        assert seen.deepest > 0.1
