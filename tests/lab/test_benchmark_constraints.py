"""The benchmark's section about constraints: what is counted, and the page; never how fast."""

import json

import numpy as np
import pytest

from trc_core.lab.benchmark import constrained
from trc_core.lab.benchmark.bars import bars
from trc_core.lab.benchmark.command import main
from trc_core.lab.benchmark.constrained import OURS, Record, depth, fly, moved
from trc_core.planner.controller import Controller
from trc_core.solvers import nlp
from trc_core.solvers.problem import Problem
from trc_core.systems.bicycle_circles import bicycle_circles, draw

STILL = {'x1': 3.0, 'y1': 0.4, 'r1': 0.5, 'vx1': 0.0, 'vy1': 0.0}
MOVING = {**STILL, 'vx1': 0.1, 'vy1': -0.2}


def test_depth_is_that_of_the_deepest_circle():
    x = np.array([3.0, 0.0, 0.0, 0.0, 0.0])
    assert depth(bicycle_circles, x, STILL) == pytest.approx(0.1)
    both = {**STILL, 'x2': 3.3, 'y2': 0.0, 'r2': 0.2, 'vx2': 0.0, 'vy2': 0.0}
    assert depth(bicycle_circles, x, both) == pytest.approx(0.1)
    assert depth(bicycle_circles, x + [-5.0, 0, 0, 0, 0], STILL) < -4.0  # noqa: RUF005


def test_circles_go_on_at_their_speed():
    later = moved(bicycle_circles, MOVING, 2.0)
    assert (later['x1'], later['y1']) == pytest.approx((3.2, 0.0))
    assert later['r1'] == 0.5 and MOVING['x1'] == 3.0


def test_a_flight_without_noise_costs_what_was_planned_and_more_sweeps_cost_no_more():
    controller = Controller.classical(bicycle_circles)
    x0, goal = np.zeros(5), np.array([5.0, 0.0, 0.0, 0.0, 0.0])
    first = controller.plan(x0, goal, parameters=STILL)
    calm = np.zeros((60, 5))
    flight = fly(controller, x0, goal, STILL, calm, polish=0)
    assert flight.cost <= first.cost * 1.01 and flight.cost > 0.9 * first.cost
    assert -0.02 < flight.deepest < 2e-3 and len(flight.seconds) == 59
    blind = fly(controller, x0, goal, {**STILL, 'y1': 50.0}, calm, polish=0)
    assert blind.cost < flight.cost - 0.1  # the circle is in the way


def test_a_plan_is_reached_where_ipopt_finds_nothing_better_from_it():
    x0, goal, parameters = draw(np.random.default_rng(5), moving=True)
    problem = Problem.of(bicycle_circles, x0, goal, parameters)
    best = nlp.solve(bicycle_circles, x0, goal, parameters=parameters)
    line = problem.fly_law('line', problem.r)
    record = Record()
    record.add(problem, best, 0.002)
    record.add(problem, problem.plan(line[1], line[0], line[2], 'line'), 0.004)
    assert record.reached == [True, False]
    figures = record.figures()
    assert figures['reached'] == 0.5 and figures['ms'] == pytest.approx(3.0)
    assert figures['count'] == 2 and figures['wedged'] == 0.0


def test_a_run_writes_a_page_with_plans_and_flights(tmp_path, monkeypatch):
    monkeypatch.setattr(constrained, 'KINDS', {'moving circles': True})
    main(['--sections', 'constraints', '--states', '2', '--output', str(tmp_path), '--core', '-1'])
    results = json.loads((tmp_path / 'benchmark.json').read_text())['constraints']
    assert set(results['plans']) == {OURS, 'IPOPT', 'fatrop'}
    page = (tmp_path / 'benchmark.md').read_text()
    assert '\n## Constraints\n' in page and f'| {OURS} |' in page and '| moving circles |' in page
    judged = {bar.what.split(':')[0] for bar in bars({'constraints': results})}
    assert judged == {'bicycle_circles', 'moving circles'}
    assert results['moving circles']['count'] == 2
