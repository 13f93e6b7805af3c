"""`trc exam`: public problems are stated as their sources mean them, and judged rightly."""

import json
import math

import numpy as np
import pytest

from trc_core.lab.exam import sitting
from trc_core.lab.exam.command import main
from trc_core.lab.exam.files import load, paths_of
from trc_core.lab.exam.judge import Answers, best_of, marks_of, passes
from trc_core.lab.exam.page import page, reason
from trc_core.lab.exam.sitting import Options, sit
from trc_core.systems.draws import may_start
from trc_core.systems.registry import module_of

PATHS = paths_of([])


def named(name):
    """The names of an exam's file."""
    (path,) = paths_of([name])
    return vars(module_of(path))


def answers(cost, violation=None, merit=None, seconds=None):
    """The answers of a planner that are written down by hand."""
    n = len(cost)
    return Answers(
        np.array(cost),
        np.array(cost if merit is None else merit),
        np.zeros(n) if violation is None else np.array(violation),
        np.ones(n, dtype=bool),
        np.full(n, 1e-3) if seconds is None else np.array(seconds),
    )


# --- the files ---


def test_there_are_twenty_exams_of_several_sources():
    assert len(PATHS) >= 20
    assert len({load(path).source for path in PATHS}) >= 6


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_an_exam_states_its_problem(path):
    exam = load(path)
    system = exam.system
    assert system.name == path.stem and exam.title.endswith('.')
    assert f'trc exam {path.stem}' in path.read_text()
    (x0, goal), *others = exam.problems(3)
    np.testing.assert_array_equal(x0, exam.start)
    assert may_start(system, x0, goal, {}) and len(others) == 2
    r = exam.goal(0.0, x0, goal)
    assert r.shape in ((system.n_x,), (system.horizon + 1, system.n_x)) and np.isfinite(r).all()
    assert np.isfinite(system.derivative(x0, system.u_trim)).all()


@pytest.mark.parametrize(
    ('name', 'pairs'),
    [
        ('scg_cartpole_track', [(0, 1)]),
        ('scg_quadrotor_2d_track', [(0, 1), (2, 3)]),
        ('scg_quadrotor_3d_track', [(0, 1), (2, 3), (4, 5)]),
        ('tinympc_crazyflie', [(0, 6), (1, 7), (2, 8)]),
    ],
)
def test_a_reference_has_the_speeds_of_its_places(name, pairs):
    reference, h = named(name)['reference'], 1e-5
    before, here, after = (reference(time, None) for time in (1.3 - h, 1.3, 1.3 + h))
    for place, speed in pairs:
        np.testing.assert_allclose(here[:, speed], (after - before)[:, place] / (2 * h), atol=1e-6)


def test_the_leaning_figure_eight_lies_in_its_plane():
    r = named('scg_quadrotor_3d_track')['reference'](0.7, None)
    np.testing.assert_allclose(r[:, 2] + (r[:, 4] - 0.5), 0.0, atol=1e-12)


def test_the_race_track_is_a_closed_loop():
    names = named('acados_race_car')
    s = np.linspace(0.0, names['LAP'], 20001)
    bend = names['curvature'](s)
    step = s[1] - s[0]
    heading = np.concatenate([[0.0], np.cumsum(0.5 * step * (bend[1:] + bend[:-1]))])
    assert heading[-1] == pytest.approx(-2.0 * np.pi, abs=1e-3)
    x, y = (np.sum(step * wave(heading[:-1])) for wave in (np.cos, np.sin))
    assert math.hypot(x, y) < 0.05
    assert names['LAP'] == pytest.approx(8.71, abs=0.005)  # of the published track


def test_the_quadrotor_beside_its_helix_moves_as_it_does_in_space():
    names = named('acados_quadrotor')
    slope = names['SLOPE']

    def place(s, n, b):
        turned = s * np.cos(slope)
        helix = np.array([np.sin(turned), 1.0 - np.cos(turned), s * np.sin(slope)])
        _, normal, binormal = names['frame'](s)
        return helix + n * np.array(normal) + b * np.array(binormal)

    rng = np.random.default_rng(0)
    for _ in range(5):
        x, h = np.array(names['START'], float) + rng.uniform(-0.2, 0.2, 20), 1e-6
        rate = names['quadrotor'].derivative(x, np.zeros(4))
        seen = (place(*(x + h * rate)[:3]) - place(*(x - h * rate)[:3])) / (2 * h)
        np.testing.assert_allclose(seen, x[13:16], atol=1e-7)
        x[7:10] = rate[:3]  # the speeds beside the helix are states as well
        after = names['quadrotor'].derivative(x + h * rate, np.zeros(4))[:3]
        before = names['quadrotor'].derivative(x - h * rate, np.zeros(4))[:3]
        np.testing.assert_allclose(rate[7:10], (after - before) / (2 * h), atol=1e-5)
        assert rate[3:7] @ x[3:7] == pytest.approx(0.0, abs=1e-12)  # the quaternion's length


def test_the_chain_hangs_still_where_it_rests():
    names = named('acados_chain')
    chain, rest = names['chain'], names['REST']
    np.testing.assert_allclose(chain.derivative(rest, np.zeros(3)), 0.0, atol=1e-9)
    heights = rest[2:12:3]
    np.testing.assert_allclose(heights[0], heights[2], atol=1e-9)  # both ends are level
    moved = names['START']
    np.testing.assert_allclose(moved[9:12], rest[9:12] + np.array([-1.0, 1.0, 1.0]), atol=1e-9)


def test_the_double_pendulum_keeps_its_energy():
    names = named('dompc_double_pendulum')
    M, m, L, g = 0.6, 0.2, 0.5, 9.80665
    inertia = m * (L / 2) ** 2 / 3

    def energy(x):
        _, a, b, v, w_a, w_b = x[:6]
        first = np.array([v + L / 2 * w_a * np.cos(a), -L / 2 * w_a * np.sin(a)])
        joint = np.array([v + L * w_a * np.cos(a), -L * w_a * np.sin(a)])
        second = joint + L / 2 * w_b * np.array([np.cos(b), -np.sin(b)])
        moving = M * v**2 + m * (first @ first + second @ second) + inertia * (w_a**2 + w_b**2)
        return moving / 2 + m * g * (1.5 * L * np.cos(a) + L / 2 * np.cos(b))

    rng, h = np.random.default_rng(1), 1e-6
    for _ in range(5):
        x = rng.uniform(-2.0, 2.0, 6)
        rate = np.array(names['rates'](*x, 0.0))
        assert energy(x + h * rate) - energy(x - h * rate) == pytest.approx(0.0, abs=1e-10)


def test_the_missing_height_is_potential_energy():
    names, angles = named('dompc_double_pendulum'), np.array([0.4, -2.0])
    x = [0.0, *angles, 0.0, 0.0, 0.0, 0.0]
    weights = 0.2 * 9.80665 * np.array([0.75, 0.25])
    known = np.sum(weights * (1.0 - np.cos(angles)))
    assert np.sum(np.square(names['height'](x))) == pytest.approx(known)


def test_an_exam_without_a_source_or_a_start_is_refused(tmp_path):
    path = tmp_path / 'mine.py'
    text = (PATHS[0].parent / 'crocoddyl_unicycle.py').read_text()
    path.write_text(text.replace('Source: ', 'From '))
    with pytest.raises(ValueError, match='names no source'):
        load(path)
    path.write_text(text.replace('START = ', 'BEGIN = '))
    with pytest.raises(ValueError, match='START, the 3 states'):
        load(path)
    with pytest.raises(FileNotFoundError, match='choose from'):
        paths_of(['no_such_exam'])


# --- the judge ---


def test_the_best_is_the_cheapest_plan_that_keeps_the_constraints():
    honest, cheat = answers([4.0, 4.0]), answers([3.0, 5.0], violation=[0.01, 0.0])
    best = best_of([honest, cheat])
    np.testing.assert_array_equal(best.cost, [4.0, 4.0])
    hopeless = best_of([answers([2.0], violation=[1.0], merit=[9.0])])
    assert hopeless.cost == [2.0] and hopeless.merit == [9.0]  # nobody keeps them


def test_marks_are_those_worked_out_by_hand():
    best = best_of([answers([1.0, 2.0, 4.0, 8.0])])
    found = marks_of(
        answers([1.0, 2.1, 4.0, 8.0], violation=[0.0, 0.0, 2e-3, 5e-4], seconds=[1, 2, 3, 9]),
        best,
    )
    assert found.mean == pytest.approx((1.0 + 1.05 + 1.0 + 1.0) / 4)
    assert (found.worst, found.wrong) == (pytest.approx(1.05), 0.5)
    assert (found.violation, found.milliseconds) == (2e-3, 2500.0)
    assert not found.passes  # by its violation, and by its mean
    assert marks_of(answers([1.0, 2.01, 4.0, 8.0]), best).passes
    assert not marks_of(answers([1.0, 2.0, 4.0, np.nan]), best).passes


def test_a_constant_that_no_plan_changes_does_not_hide_an_error():
    best = best_of([answers([99.0])])
    assert marks_of(answers([99.5]), best).passes  # half a percent of 99
    assert marks_of(answers([99.5]), best, constant=100.0).mean == pytest.approx(1.5)


def test_answers_survive_their_record():
    before = answers([1.0, np.inf], merit=[1.0, np.nan], violation=[0.0, 0.2])
    after = Answers.read(json.loads(json.dumps(before.record())))
    np.testing.assert_array_equal(after.cost, before.cost)
    np.testing.assert_array_equal(after.merit, [1.0, np.inf])
    np.testing.assert_array_equal(after.violation, before.violation)


# --- taking an exam ---


def test_an_interrupted_exam_goes_on_where_it_was(tmp_path, monkeypatch):
    done = []

    def unit(name, fails=False):
        def work(_):
            done.append(name)
            if fails and done.count(name) == 1:
                raise KeyboardInterrupt
            return {'found': name}

        return work

    units = {'first': unit('first'), 'second': unit('second', fails=True), 'third': unit('third')}
    monkeypatch.setattr(sitting, 'UNITS', units)
    (path,) = paths_of(['crocoddyl_unicycle'])
    options = Options(problems=2, output=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        sit(path, options)
    found = sit(path, options)
    assert done == ['first', 'second', 'second', 'third']
    assert found['first']['found'] == 'first' and found['third']['found'] == 'third'
    sit(path, Options(problems=3, output=tmp_path))  # other problems: nothing of them is known
    assert done.count('first') == 2


def test_what_fails_or_does_not_end_is_shown_and_the_rest_goes_on(tmp_path, monkeypatch):
    def broken(_):
        raise ZeroDivisionError('division by zero')

    def endless(_):
        while True:
            pass

    units = {'broken': broken, 'endless': endless, 'last': lambda _: {'found': 1}}
    monkeypatch.setattr(sitting, 'UNITS', units)
    monkeypatch.setattr(sitting, 'LONGEST', 0.1)
    found = sit(*paths_of(['crocoddyl_unicycle']), Options(problems=2, output=tmp_path))
    assert found['broken']['error'] == 'division by zero'
    assert found['endless']['error'] == 'no answer within 0.1 s of CPU time'
    assert found['last']['found'] == 1


def test_other_seeds_are_other_problems(tmp_path):
    exam = load(*paths_of(['crocoddyl_unicycle']))
    (own, *one), (same, *other) = exam.problems(2, seed=1), exam.problems(2, seed=2)
    np.testing.assert_array_equal(own[0], same[0])  # the source's start
    assert not np.array_equal(one[0][0], other[0][0])


def test_the_page_shows_failures_and_says_why():
    solved = answers([1.0, 2.0]).record()
    head = {'title': 'T.', 'source': 'somebody', 'sizes': [1, 1, 2, 0], 'constant': 0.0}
    rest = {'compile': {'seconds': 1.0}, 'ipopt': solved, 'training': {}}
    good = {'name': 'good', **head, **rest, 'classical': solved}
    bad = {'name': 'bad', **head, **rest, 'classical': answers([1.0, 3.0]).record()}
    refused = {'name': 'refused', 'refused': 'no such word'}
    assert passes(good) and not passes(bad) and not passes(refused)
    record = {
        'exams': [good, bad, refused],
        'options': {'problems': 2, 'seed': 7, 'minutes': 5.0, 'train': True},
        'origin': {'date': 'today'},
    }
    text = page(record)
    assert '**2 of 3 are stated; 1 of those 2 are passed**' in text
    failures = text.partition('## What failed')[2]
    assert '`bad`' in failures and '`refused`: cannot be stated: no such word' in failures
    assert '`good`' not in failures
    assert 'dearer' in reason(bad) and '50%' in reason(bad)


@pytest.mark.long
def test_an_exam_is_taken_by_one_command(tmp_path, capsys):
    flags = ['--problems=2', '--no-train', f'--output_dir={tmp_path}', f'--page={tmp_path}']
    main(['crocoddyl_unicycle', 'scg_cartpole', *flags])
    record = json.loads((tmp_path / 'exams.json').read_text())
    assert [exam['name'] for exam in record['exams']] == ['crocoddyl_unicycle', 'scg_cartpole']
    for exam in record['exams']:
        assert not [unit for unit in exam.values() if isinstance(unit, dict) and 'error' in unit]
    assert passes(record['exams'][1])
    assert record['exams'][1]['loop']['ratio'] == pytest.approx(1.0, abs=1e-3)
    assert (tmp_path / 'exams.md').read_text().startswith('# Public exams')
