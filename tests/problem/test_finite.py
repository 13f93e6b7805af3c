"""Equations that are no numbers somewhere in the boxes are refused: where, and by what."""

from dataclasses import replace

import numpy as np
import pytest

from tests.problem.test_kinks import drag, puck
from trc_core import SYSTEMS, Controller, get_system
from trc_core.commands import systems, train
from trc_core.data import lqr_generator
from trc_core.numerics.representation import REPRESENTATIONS
from trc_core.problem.finite import require_finite
from trc_core.systems import System

TANK = """
from numpy import sqrt
from trc_core import System

def dynamics(x, u):
    return [u[0] - 0.5 * sqrt(x[0])]

tank = System(
    name='tank', dynamics=dynamics, state_names=('level',), state_units=('m',),
    control_names=('inflow',), control_units=('m/s',), joints=(), dt=0.5, horizon=20,
    u_min=[0.0], u_max=[2.0], u_trim='equilibrium', Q=[1.0], R=[0.1],
    x0_box={x0_box}, goal_box=[[1.4], [1.6]],
)
"""
COMMANDS = {'systems': systems.main, 'generate': lqr_generator.main, 'train': train.main}
LEVEL_BELOW_ZERO = (
    "dynamics of 'level' is not a number at level = -0.5 m: sqrt of a negative number; write it "
    'so that it is a number there, or a box that ends where it is one, as a pair: '
    'x0_box=([lowest], [highest])'
)


def cart(dynamics, **words):
    """A system of two states, 'place' and 'speed', with some dynamics."""
    given = {
        'state_names': ('place', 'speed'),
        'state_units': ('m', 'm/s'),
        'joints': (),
        'control_names': ('push',),
        'control_units': ('N',),
        'dt': 0.05,
        'horizon': 20,
        'u_min': [-1.0],
        'u_max': [1.0],
        'Q': [1.0, 1.0],
        'R': [0.1],
        'x0_box': [1.0, 1.0],
        'goal_box': [0.0, 0.0],
    }
    return System(name='cart', dynamics=dynamics, **{**given, **words})


@pytest.mark.parametrize('command', COMMANDS)
def test_a_tank_whose_box_reaches_below_empty_is_refused_by_every_command(
    command, tmp_path, capsys
):
    path = tmp_path / 'tank.py'
    path.write_text(TANK.format(x0_box='[[-0.5], [3.0]]'))
    flags = [str(path)] if command == 'systems' else ['--system', str(path)]
    if command != 'systems':
        flags += ['--output_dir', str(tmp_path / 'out')]
    with pytest.raises(SystemExit) as end:
        COMMANDS[command](flags)
    assert end.value.code == 1 and not (tmp_path / 'out').exists()
    assert capsys.readouterr().err == f"trc {command}: '{path}': {LEVEL_BELOW_ZERO}\n"


def test_a_tank_with_a_box_above_empty_is_planned_around_its_level(tmp_path):
    path = tmp_path / 'tank.py'
    path.write_text(TANK.format(x0_box='[[0.2], [3.0]]'))
    tank = get_system(str(path))
    for kind, make in REPRESENTATIONS.items():
        assert np.isfinite(make(tank).K).all(), kind
    decay = np.exp(-0.25 * tank.dt / np.sqrt(1.5))  # of deviations from the middle of the goals
    A, B = tank.step_jacobian([1.5], tank.u_trim)
    assert A[0, 0] == pytest.approx(decay, rel=1e-4)
    last = B[0, 0] * 20.0 * A[0, 0] / (0.1 + B[0, 0] ** 2 * 20.0)
    assert REPRESENTATIONS['stabilised'](tank).K[-1] == pytest.approx(last)
    plan = Controller.classical(tank).plan([0.3], [1.5])
    assert abs(plan.states[-1, 0] - 1.5) < 0.01


@pytest.mark.parametrize(
    ('dynamics', 'words', 'message'),
    [
        (
            lambda x, u: [x[1], u[0] / x[0]],
            {},
            "'speed' is not a number at place = 0 m, push = 0 N",
        ),
        (lambda x, u: [x[1] / abs(x[1]), u[0]], {}, 'speed = 0 m/s: a division by 0'),
        (lambda x, u: [x[1], np.log(x[0] + 1.0)], {}, 'place = -1 m: log of a number that is not'),
        (
            lambda x, u: [x[1], u[0] + np.arcsin(2.0 * x[0])],
            {},
            'asin of a number beyond -1 and 1',
        ),
        (lambda x, u: [x[1], np.exp(1e4 * x[0])], {}, 'place = 1 m: beyond the largest number'),
        (
            lambda x, u: [x[1], (x[0] + 0.5) ** 1.5],
            {},
            'place = -1 m: a power of a number below 0',
        ),
        (
            lambda x, u, m: [x[1], u[0] / m],
            {'parameters': {'m': 0.0}},
            r'push = 0 N, m = 0: a division by 0',
        ),
        (
            lambda x, u: [x[1], u[0]],
            {'residuals': lambda x: [1.0 / x[0]]},
            r"residual '.*' is not a number at place = 0 m: a division by 0",
        ),
    ],
)
def test_the_message_names_equation_place_and_operation(dynamics, words, message):
    with pytest.raises(ValueError, match=message) as error:
        require_finite(cart(dynamics, **words))
    assert '\n' not in str(error.value)


def test_what_is_a_number_in_the_boxes_is_taken_whatever_it_is_elsewhere():
    far = {'x0_box': [[1.0, -1.0], [2.0, 1.0]], 'goal_box': [[1.5, 0.0], [1.5, 0.0]]}
    require_finite(cart(lambda x, u: [x[1], u[0] / x[0] + np.log(x[0])], **far))
    limited = {'x_min': [0.1, None]}
    require_finite(cart(lambda x, u: [x[1], u[0] / x[0]], goal_box=[[1, 0], [1, 0]], **limited))
    require_finite(cart(lambda x, u: [x[1], np.where(x[0] > 0.0, np.sqrt(x[0]), 0.0)]))
    require_finite(puck(drag))


@pytest.mark.parametrize('system', SYSTEMS.values(), ids=lambda system: system.name)
def test_shipped_systems_are_numbers_everywhere(system):
    require_finite(system)


def test_parameters_are_looked_at_over_their_ranges():
    def dynamics(x, u, m):
        return [x[1], np.sqrt(m) * u[0]]

    require_finite(cart(dynamics, parameters={'m': 1.0}))
    wide = cart(dynamics, parameters={'m': 1.0}, ranges={'m': (-0.5, 1.5)})
    with pytest.raises(ValueError, match=r'm = -0\.\d+: sqrt of a negative number'):
        require_finite(wide)
    narrow = replace(wide, ranges={'m': (0.5, 1.5)})
    require_finite(narrow)
