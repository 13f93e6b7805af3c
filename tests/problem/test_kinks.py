"""Kinks and edges of operations: every reader has the same slope there, and none has NaN."""

import itertools

import casadi as ca
import numpy as np
import pytest
import sympy as sp
import torch

from tests.problem.test_graph import in_machine_code
from trc_core.compile.casadi_reader import CASADI
from trc_core.compile.torch_reader import TORCH, torch_step
from trc_core.problem.derivative import jacobian
from trc_core.problem.expression import EXPRESSIONS, Tape
from trc_core.problem.graph import OPERANDS
from trc_core.solvers.experts import EXPERTS
from trc_core.systems import System

PLACES = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


@pytest.fixture
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path))


def with_slopes(formula, count):
    """The graph of a formula of `count` numbers, and that with its slopes."""
    tape = Tape()
    arguments = tape.inputs(count)
    y = tape.expression(formula(*arguments))
    slopes = jacobian([y], arguments)[0]
    inputs = {'x': count}
    return tape.graph(inputs, {'y': [y]}), tape.graph(inputs, {'y': [y], 'slopes': slopes})


def slopes_by_torch(graph, point):
    """The gradient that automatic differentiation of tensors finds."""
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    (y,) = graph.evaluate(list(x), TORCH)['y']
    if not (isinstance(y, torch.Tensor) and y.requires_grad):
        return np.zeros(len(point))
    (gradient,) = torch.autograd.grad(y, x)
    return gradient.numpy()


def slopes_by_casadi(graph, count):
    """The gradient that IPOPT is given."""
    x = ca.SX.sym('x', count)
    (y,) = graph.evaluate(ca.vertsplit(x), CASADI)['y']
    return ca.Function('slopes', [x], [ca.gradient(ca.SX(y), x)])


def require_agreement(formula, count, points):
    """All readers have the same slopes, finite ones, wherever the value is finite."""
    graph, sloped = with_slopes(formula, count)
    gradient = slopes_by_casadi(graph, count)
    for point in points:
        (value,) = graph.evaluate(np.array(point))['y']
        if not np.isfinite(value):
            continue
        expected = np.array(sloped.evaluate(np.array(point))['slopes'], dtype=float)
        assert np.isfinite(expected).all(), point
        for found in (
            in_machine_code(sloped, point)['slopes'],
            slopes_by_torch(graph, point),
            np.array(gradient(point)).ravel(),
        ):
            np.testing.assert_allclose(found, expected, 1e-12, 1e-12, err_msg=str(point))


@pytest.mark.parametrize('name', sorted(OPERANDS))
def test_readers_agree_on_the_slope_of_an_operation_also_at_its_kinks(name, cache_of_its_own):
    count = OPERANDS[name]
    require_agreement(EXPRESSIONS[name], count, itertools.product(PLACES, repeat=count))


FORMULAS = {
    'a norm': lambda a, b: np.hypot(a, b),
    'quadratic drag': lambda a, b: (a * a + b * b) ** 0.5 * a,
    'a power of 1.5': lambda a, b: abs(a) ** 1.5 * b,
    'a root of each sign': lambda a, b: np.cbrt(a) + b,
    'a direction': lambda a, b: np.arctan2(b, a) * a,
    'a quotient where it is one': lambda a, b: np.where(b, a / b, 0.0),
    'a root where it is one': lambda a, b: np.where(a > 0.0, a**0.5, b),
    'a logarithm where it is one': lambda a, b: np.where(a > 0.0, np.log(a), b),
    'a power where it is one': lambda a, b: np.where(a > 0.0, a**1.7, 0.0),
    'a dead band': lambda a, b: np.maximum(abs(a) - 0.5, 0.0) * np.sign(a),
    'a clip': lambda a, b: np.clip(a, -0.5, 0.5) * b,
    'friction': lambda a, b: np.tanh(1e6 * a) + b,
    'an angle of a chord': lambda a, b: np.arcsin(np.clip(a, -1.0, 1.0)) * b,
}


@pytest.mark.parametrize('formula', FORMULAS.values(), ids=FORMULAS)
def test_readers_agree_on_the_slopes_of_formulas_at_their_kinks(formula, cache_of_its_own):
    require_agreement(formula, 2, itertools.product(PLACES, repeat=2))


@pytest.mark.parametrize(
    ('name', 'at', 'expected'),
    [
        ('sqrt', (0.0,), [0.0]),
        ('abs', (0.0,), [0.0]),
        ('sign', (0.0,), [0.0]),
        ('floor', (1.0,), [0.0]),
        ('acos', (1.0,), [0.0]),
        ('tanh', (400.0,), [0.0]),
        ('atan2', (0.0, 0.0), [0.0, 0.0]),
        ('maximum', (1.0, 1.0), [1.0, 0.0]),
        ('minimum', (1.0, 1.0), [1.0, 0.0]),
        ('pow', (0.0, 0.4), [0.0, 0.0]),
        ('pow', (0.0, 1.0), [1.0, 0.0]),
    ],
)
def test_the_slope_at_a_kink_is_that_of_one_side_or_zero(name, at, expected):
    _, sloped = with_slopes(EXPRESSIONS[name], len(at))
    assert sloped.evaluate(np.array(at))['slopes'] == expected


def puck(dynamics, **words):
    """A puck on a table with some dynamics of position and velocity, both in the plane."""
    given = {
        'state_names': ('x', 'y', 'vx', 'vy'),
        'state_units': ('m', 'm', 'm/s', 'm/s'),
        'control_names': ('ax', 'ay'),
        'control_units': ('m/s^2',) * 2,
        'joints': (),
        'dt': 0.1,
        'horizon': 10,
        'u_min': [-2.0] * 2,
        'u_max': [2.0] * 2,
        'Q': [1.0] * 4,
        'R': [0.1] * 2,
        'x0_box': [3.0, 3.0, 2.0, 2.0],
        'goal_box': [0.0] * 4,
    }
    return System(name='puck', dynamics=dynamics, **{**given, **words})


def drag(x, u):
    v = sp.sqrt(x[2] ** 2 + x[3] ** 2)
    return [x[2], x[3], u[0] - 0.1 * v * x[2], u[1] - 0.1 * v * x[3]]


def test_a_puck_with_quadratic_drag_has_the_slopes_of_a_free_one_at_rest():
    system, free = puck(drag), puck(lambda x, u: [x[2], x[3], u[0], u[1]])
    rest, still = np.zeros(4), np.zeros(2)
    expected = np.concatenate(free.step_jacobian(rest, still), axis=1)
    found = np.concatenate(system.step_jacobian(rest, still), axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    step = torch_step(system)
    arguments = torch.zeros(4, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    by_torch = torch.autograd.functional.jacobian(step, arguments)
    np.testing.assert_allclose(torch.cat(by_torch, dim=1).numpy(), expected, atol=1e-12)


def test_ipopt_plans_from_rest_at_the_goal_with_quadratic_drag():
    plan = EXPERTS['nlp'].solve(puck(drag), np.zeros(4), np.zeros(4))
    np.testing.assert_allclose(plan.controls, 0.0, atol=1e-6)
    moved = EXPERTS['nlp'].solve(puck(drag), np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(4))
    swept = EXPERTS['ilqr'].solve(puck(drag), np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(4))
    assert moved.cost == pytest.approx(swept.cost, rel=1e-6)
