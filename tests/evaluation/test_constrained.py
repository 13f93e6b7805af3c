"""Scores of constrained problems: drawn to be solvable, counted by hand, best known by merit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trc_core import get_system
from trc_core.commands.evaluate import main
from trc_core.evaluation.baselines import baseline_planners, default_baselines
from trc_core.evaluation.evaluator import Scores, score, with_constraints
from trc_core.evaluation.problems import Problems, draw_problems, fresh_problems
from trc_core.evaluation.reference import Optima, best_feasible, best_known_optima
from trc_core.numerics.plan import Plan
from trc_core.systems import SYSTEMS, bicycle_circles, draws
from trc_core.systems.bicycle_circles import bicycle_circles as car
from trc_core.systems.double_integrator import multi_axis

FILE = str(Path(bicycle_circles.__file__))


def in_front_of_a_wall(x, wall):
    return {'wall': wall - x[0]}


WALLED = replace(
    multi_axis(1),
    name='walled',
    horizon=20,
    parameters={'wall': -9.0},
    dynamics=lambda x, u, wall: [x[1], u[0]],
    constraints=in_front_of_a_wall,
    ranges={'wall': (-1.0, 0.0)},
)


def test_starts_inside_a_constraint_are_drawn_again(monkeypatch):
    x0, goal, parameters = draw_problems(WALLED, 40, seed=3)
    walls = np.array([row['wall'] for row in parameters])
    assert np.all(x0[:, 0] >= walls) and np.all((walls >= -1.0) & (walls <= 0.0))
    blind, _ = fresh_problems(WALLED, 40, seed=3)
    assert np.any(blind[:, 0] < -1.0)
    assert goal.shape == x0.shape == (40, 2) and len(set(walls)) == 40
    again = draw_problems(WALLED, 40, seed=3)
    np.testing.assert_array_equal(again.x0, x0)
    monkeypatch.setattr(draws, 'REDRAWS', 1)
    with pytest.raises(ValueError, match="every start of 'walled' violates a constraint"):
        draw_problems(WALLED, 40, seed=3)


@pytest.mark.parametrize('system', [car, get_system(FILE)], ids=['catalogue', 'file'])
def test_circles_are_drawn_by_the_system_itself(system):
    for x0, goal, row in zip(*draw_problems(system, 5), strict=True):
        count = len(row) // 5
        assert 3 <= count <= 6 and set(row) <= set(system.parameters)
        for k in range(1, count + 1):
            for point in (x0, goal):
                assert np.hypot(point[0] - row[f'x{k}'], point[1] - row[f'y{k}']) > row[f'r{k}']
            assert row[f'vx{k}'] == 0.0


def test_systems_without_ranges_have_the_problems_of_always():
    system = SYSTEMS['van_der_pol']
    drawn = draw_problems(system, 7)
    x0, goal = fresh_problems(system, 7)
    np.testing.assert_array_equal(drawn.x0, x0)
    np.testing.assert_array_equal(drawn.goal, goal)
    assert drawn.parameters is None and drawn.arguments(0) == {}


def test_wrong_counts_dear_plans_and_collisions():
    ratio = np.array([1.0, 1.03, 0.9, 1.0, np.nan])
    merit = np.array([1.0, 1.03, 1.5, 1.001, np.nan])
    violation = np.array([0.0, 0.0, 0.06, 0.009, 0.0])
    found = with_constraints(Scores.of(ratio, np.ones(5, bool)), ratio, merit, violation)
    assert found.wrong == pytest.approx(3 / 5)
    assert found.merit_wrong == pytest.approx(3 / 5)
    assert (found.violation, found.colliding, found.deep) == (0.06, 0.2, 0.2)


def test_planners_get_the_parameters_of_each_problem():
    rows = [{'wall': -0.5}, {'wall': -0.25}]
    asking = Problems(np.zeros((2, 2)), np.zeros((2, 2)), rows)
    optima = Optima(np.ones(2), np.ones(2), np.ones(2, bool))
    asked = []

    def planner(x0, goal, parameters):
        asked.append(parameters)
        states, controls = np.zeros((21, 2)), np.zeros((20, 1))
        return Plan(controls, states, 1.0, 'test', violation=0.02, merit=3.0)

    scores = score(WALLED, planner, asking, optima)
    assert asked == rows
    assert (scores.mean, scores.merit, scores.wrong, scores.deep) == (1.0, 3.0, 1.0, 0.0)


@pytest.mark.long
def test_the_best_known_plan_keeps_out_and_is_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr('trc_core.evaluation.reference.cache_folder', lambda: tmp_path)
    drawn = draw_problems(WALLED, 3, seed=1)
    monkeypatch.setattr('trc_core.evaluation.reference._on_every_core', one_by_one)
    optima = best_known_optima(WALLED, drawn, starts=2)
    assert optima.solved.all()
    np.testing.assert_allclose(optima.merit, optima.cost, rtol=1e-6)
    for name in ('ilqr', 'nlp', 'fatrop'):
        planner = baseline_planners(WALLED, [name])[name]
        for i in range(3):
            plan = planner(drawn.x0[i], drawn.goal[i], **drawn.arguments(i))
            assert plan.merit >= optima.merit[i] * (1 - 1e-6)
    monkeypatch.setattr('trc_core.evaluation.reference.best_feasible', None)
    again = best_known_optima(WALLED, drawn, starts=2)
    np.testing.assert_array_equal(again.cost, optima.cost)


def one_by_one(system, solve, rows, away=True):
    return [solve(*row) for row in rows]


@pytest.mark.long
def test_the_best_known_plan_among_circles_beats_every_single_start():
    x0, goal, row = (part[0] for part in draw_problems(car, 1))
    J, merit, solved = best_feasible(car, x0, goal, row, starts=5)
    assert solved and merit == pytest.approx(J, rel=1e-5)
    for planner in baseline_planners(car, ['nlp', 'fatrop', 'ilqr20']).values():
        assert planner(x0, goal, parameters=row).merit >= merit * (1 - 1e-3)


def test_experts_that_know_no_constraints_are_refused():
    assert default_baselines(car) == ('lqr', 'ilqr3', 'ilqr', 'multistart', 'nlp', 'fatrop')
    with pytest.raises(ValueError, match="the expert 'qp' knows no constraints or ranges"):
        baseline_planners(car, ['ilqr', 'qp'])


@pytest.mark.parametrize('what', [['--expert', 'lqr,ilqr20'], ['--checkpoint', 'classical']])
def test_the_table_of_a_constrained_system_shows_merits_and_violations(
    what, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr('trc_core.commands.evaluate.default_baselines', lambda _: ('ilqr20',))
    monkeypatch.setattr('trc_core.evaluation.reference.STARTS', 1)
    monkeypatch.setattr('trc_core.evaluation.reference._on_every_core', one_by_one)
    output = tmp_path / 'figures.json'
    main([*what, '--system', FILE, '--states', '2', '--output', str(output)])
    out = capsys.readouterr().out
    assert 'M/M*' in out and '> 0.05' in out
    figures = json.loads(output.read_text())
    assert figures['ilqr20']['merit'] >= 1.0 - 1e-3
    if 'classical' in what:
        ours = figures['trc, classical']
        assert ours['merit'] <= figures['ilqr20']['merit'] * 1.02
        assert ours['violation'] >= 0.0 and 0.0 <= ours['colliding'] <= ours['wrong'] <= 1.0
    else:
        assert figures['lqr']['colliding'] == 1.0 and figures['lqr']['violation'] > 0.05
