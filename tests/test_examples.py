"""The examples run as they stand, and do what they say."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from trc_core import Controller, get_system

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / 'examples').glob('*.py'))
EXAMS = sorted((ROOT.parent / 'shared' / 'exams').glob('*.py'))  # public problems of version 1


def run(name, capsys):
    """The names that an example leaves, and the numbers that it prints."""
    names = runpy.run_path(str(ROOT / 'examples' / f'{name}.py'), run_name='__main__')
    return names, [
        float(text) for text in re.findall(r'-?\d+\.?\d*(?:e-?\d+)?', capsys.readouterr().out)
    ]


@pytest.mark.parametrize('path', EXAMPLES, ids=lambda path: path.stem)
def test_an_example_defines_one_system_and_says_how_to_run_it(path):
    assert get_system(str(path)).name
    assert f'python {path.name}' in path.read_text().partition('\n\nimport')[0].replace('\n', ' ')


def test_the_tanks_of_casadi_end_at_their_levels(capsys):
    names, printed = run('casadi_tanks', capsys)
    assert printed == pytest.approx([0.45, 0.8], abs=1e-3)
    tanks, levels = names['tanks'], np.array([0.2, 0.3])
    plan = Controller.classical(tanks).plan(levels, names['goal'])
    for t, pump in enumerate(plan.controls[:, 0]):  # Torricelli's law, in NumPy
        np.testing.assert_allclose(plan.states[t], levels, atol=1e-9)
        upper, lower = np.array([0.004, 0.003]) * np.sqrt(levels)
        levels = levels + 60.0 / 1.2 * np.array([pump - upper, upper - lower])


def test_the_unicycle_drives_around_the_obstacle_wherever_it_is(capsys):
    names, _ = run('unicycle_obstacle', capsys)
    plan = names['plan']  # the last one
    depth = 0.25 - np.hypot(plan.states[:, 0] + 0.3, plan.states[:, 1] + 0.6)
    assert -0.02 < depth.max() < 1e-3  # along its edge
    assert np.linalg.norm(plan.states[-1, :2]) < 0.1
    free = Controller.classical(names['unicycle']).plan(
        names['x'], names['goal'], parameters={'obstacle_x': 9.0}
    )
    assert free.cost < plan.cost


def test_the_car_is_in_the_other_lane_after_a_hundred_metres(capsys):
    _, (along, across, heading) = run('lane_change', capsys)
    assert along == pytest.approx(100.0, abs=0.2)
    assert across == pytest.approx(2.0, abs=0.02) and abs(heading) < 0.01


def test_the_quadrotor_follows_the_eight_within_its_limits(capsys):
    names, (error,) = run('quadrotor_figure_eight', capsys)
    assert error < 25.0  # [mm]
    system, plan = names['quadrotor'], names['plan']
    assert (plan.states <= system.x_max + 1e-3).all()
    assert (plan.states >= system.x_min - 1e-3).all()
    hover = names['MASS'] * names['GRAVITY'] / 2.0
    np.testing.assert_allclose(system.u_trim, hover)


def test_the_quadrotor_learns_what_it_weighs_and_how_the_wind_blows(capsys):
    names, printed = run('quadrotor_in_wind', capsys)
    known, off, learned = np.reshape([e for e in printed if e != 5.0], (3, -1))
    assert known.max() < 1.0 and off.min() > 5.0  # [cm]
    assert learned[0] < 3.0 and learned[-1] < 1.0
    # the reference is what the plant can fly: its thrust alone turns it along the eight
    r, model = names['figure_eight'](0.7), names['model']
    ahead = names['figure_eight'](0.7 + model.dt)
    u = names['controller'].plan(r[0], r).controls[0]
    np.testing.assert_allclose(model.step(r[0], u), ahead[0], atol=0.02)


@pytest.mark.skipif(not EXAMS, reason='the public problems are not beside this checkout')
def test_public_problems_of_version_1_still_load():
    assert len(EXAMS) == 12
    for path in EXAMS:
        system = get_system(str(path))
        assert system.task.is_plain and system.trim is None
        x = system.x0_centre + 0.5 * system.x0_box
        assert np.isfinite(system.step(x, system.u_trim)).all()
