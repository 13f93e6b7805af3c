"""Symbolic scalars: their slopes, their simplifications, and NumPy's functions on them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.random_graphs import random_graph
from trc_core.problem.derivative import PARTIALS, jacobian
from trc_core.problem.expression import EXPRESSIONS, KNOWN, Expression, Tape, apply
from trc_core.problem.graph import NUMPY, OPERANDS

POINTS = {  # operands inside the domain of an operation and away from its kinks
    'acosh': [[1.5], [4.0]],
    'atanh': [[-0.7], [0.4]],
    'asin': [[-0.7], [0.4]],
    'acos': [[-0.7], [0.4]],
    'sqrt': [[0.3], [2.5]],
    'log': [[0.3], [2.5]],
    'pow': [[0.3, 1.7], [2.5, -0.4], [1.2, 3.0]],
    'div': [[0.3, -1.7], [2.5, 0.4]],
    'atan2': [[0.3, -1.7], [-2.5, 0.4], [-0.3, -0.4]],
    'select': [[0.0, 1.2, -0.7], [1.0, 1.2, -0.7], [-2.0, 0.3, 0.4]],
}


def points(name):
    default = {1: [[-1.3], [0.4], [1.7]], 2: [[0.3, -1.7], [-2.5, 0.4]]}
    return POINTS.get(name) or default[OPERANDS[name]]


def value(expressions, inputs):
    """Numbers (n,) of expressions at inputs."""
    tape = expressions[0].tape
    graph = tape.graph({'x': len(inputs)}, {'y': expressions})
    return np.array(graph.evaluate(inputs)['y'], dtype=float)


def central(function, inputs, k, h=1e-6):
    high, low = list(inputs), list(inputs)
    high[k] += h
    low[k] -= h
    return (function(*high) - function(*low)) / (2 * h)


@pytest.mark.parametrize('name', OPERANDS)
def test_slopes_are_those_of_central_differences(name):
    x = Tape().inputs(OPERANDS[name])
    (slopes,) = jacobian([apply(name, *x)], x)
    for point in points(name):
        ours = value(slopes, point)
        for k in range(len(point)):
            if name == 'select' and k == 0:
                assert ours[k] == 0.0  # where the condition jumps there is no slope
                continue
            theirs = central(NUMPY[name], point, k)
            assert ours[k] == pytest.approx(theirs, rel=1e-7, abs=1e-8)


def test_every_operation_has_slopes():
    assert {*PARTIALS, 'select'} == set(OPERANDS)


@pytest.mark.parametrize('exponent', [-17, -3, -1, -0.5, 0, 0.5, 1, 2, 3, 7, 16, 17, 2.5])
def test_powers_of_numbers_and_their_slopes_are_those_of_python(exponent):
    (x,) = tape = Tape().inputs(1)
    y = x**exponent
    ((slope,),) = jacobian([y], tape)
    for point in (0.4, 1.3):
        assert value([y], [point])[0] == pytest.approx(point**exponent, rel=1e-13)
        expected = exponent * point ** (exponent - 1)
        assert value([slope], [point])[0] == pytest.approx(expected, rel=1e-13)
    if exponent == int(exponent):
        assert value([y], [-1.3])[0] == pytest.approx((-1.3) ** exponent, rel=1e-13)


@pytest.mark.parametrize('seed', range(20))
def test_a_graph_written_anew_is_simplified_and_keeps_its_values(seed):
    graph, values = random_graph(seed)
    tape = Tape()
    found = graph.evaluate(tape.inputs(len(values)), EXPRESSIONS)
    outputs = {
        name: [e if isinstance(e, Expression) else tape.constant(e) for e in expressions]
        for name, expressions in found.items()
    }
    again = tape.graph(graph.inputs, outputs)
    assert len(again.instructions) <= len(graph.instructions)
    expected, ours = graph.evaluate(values), again.evaluate(values)
    for name in graph.outputs:
        for a, b in zip(ours[name], expected[name], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('seed', range(20))
def test_slopes_of_whole_graphs_are_those_of_central_differences(seed):
    graph, values = random_graph(seed, size=30, points=3)
    tape = Tape()
    x = tape.inputs(len(values))
    outputs = [tape.constant(0.0) + e for e in graph.evaluate(x, EXPRESSIONS)['second']]
    slopes = [value(row, list(values[:, 0])) for row in jacobian(outputs, x)]

    def function(*point):
        return np.array(graph.evaluate(point)['second'], dtype=float)

    for k in range(len(x)):
        theirs = central(function, values[:, 0], k, h=1e-7)
        np.testing.assert_allclose(np.array(slopes)[:, k], theirs, rtol=1e-5, atol=1e-5)


numbers = st.floats(-5.0, 5.0).filter(lambda a: abs(a) > 1e-3)
SIMPLIFIED = {
    'x + 0': (lambda x: x + 0, 'x'),
    '0 + x': (lambda x: 0 + x, 'x'),
    'x - 0': (lambda x: x - 0, 'x'),
    'x - x': (lambda x: x - x, 0.0),
    '0 - x': (lambda x: 0 - x, '-x'),
    'x * 1': (lambda x: x * 1, 'x'),
    '1 * x': (lambda x: 1 * x, 'x'),
    'x * 0': (lambda x: x * 0, 0.0),
    'x * -1': (lambda x: x * -1, '-x'),
    'x / 1': (lambda x: x / 1, 'x'),
    '0 / x': (lambda x: 0 / x, 0.0),
    '-(-x)': (lambda x: -(-1.0 * x), 'x'),
    'x ** 1': (lambda x: x**1, 'x'),
    'x ** 0': (lambda x: x**0, 1.0),
    'where(1, x, 3)': (lambda x: np.where(x - x + 1, x, 3.0), 'x'),
    'where(0, 3, x)': (lambda x: np.where(x - x, 3.0, x), 'x'),
    'where(x, x, x)': (lambda x: np.where(x, x, x), 'x'),
}


@pytest.mark.parametrize('text', SIMPLIFIED)
def test_what_needs_no_instruction_gets_none(text):
    function, expected = SIMPLIFIED[text]
    (x,) = Tape().inputs(1)
    found = function(x)
    if isinstance(expected, float):
        assert found.number == expected
    else:
        assert found.place == (x if expected == 'x' else -x).place


@settings(max_examples=100, deadline=None)
@given(numbers, numbers)
def test_simplified_arithmetic_keeps_its_value(a, b):
    x, y = Tape().inputs(2)
    formulas = [
        lambda x, y: (x + y) * (x - y) / 2 - y / 4 + 3 * x,
        lambda x, y: -(-1.0 * x) * -1.0 + 0.0 * y - (0.0 - y),
        lambda x, y: (x * y) ** 2 + x**3 / y**2 + 2.0**x,
        lambda x, y: abs(x) ** 0.5 + abs(y) ** 1.5,
        lambda x, y: 1.0 * (x > y) + 2.0 * (x <= y) + 4.0 * (x >= 1.0) + 8.0 * (y > 1.0),
        lambda x, y: 1.0 * (x == y) + 2.0 * (x != y),
        lambda x, y: ((x > 0) & (y > 0)) * 1.0 + ((x > 0) | (y > 0)) * 2.0,
        lambda x, y: +x - np.float64(2.5) * y + np.float64(1.0) / y,
    ]
    expected = [float(formula(a, b)) for formula in formulas]
    found = value([formula(x, y) for formula in formulas], [a, b])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_equal_subexpressions_are_one_instruction():
    x, y = (tape := Tape()).inputs(2)
    assert (x + y).place == (y + x).place and (x * y).place == (y * x).place
    assert (x - y).place != (y - x).place
    before = len(tape.instructions)
    _ = np.sin(x + y) * np.sin(y + x)
    assert len(tape.instructions) == before + 2  # one sine, one product


def test_a_tape_ends():
    x, y = Tape(longest=4).inputs(2)
    _ = x + y, x * y
    with pytest.raises(OverflowError, match='more than 4 instructions'):
        _ = x - y


@pytest.mark.parametrize('number', [math.nan, math.inf, -math.inf])
def test_a_constant_that_is_no_number_is_refused(number):
    (x,) = Tape().inputs(1)
    with pytest.raises(ValueError, match=f'contains the constant {number}'):
        _ = x * number


BINARY = [
    *('hypot', 'fmin', 'fmax', 'minimum', 'maximum', 'arctan2', 'heaviside', 'power'),
    *('float_power', 'add', 'subtract', 'multiply', 'divide', 'greater', 'greater_equal'),
    *('less', 'less_equal', 'equal', 'not_equal', 'logical_and', 'logical_or'),
]
UNARY = sorted(KNOWN - {*BINARY, 'where', 'clip'})
ENTRY_BY_ENTRY = {  # NumPy compares inside object arrays, or has no loop for them
    *('sign', 'logical_not', 'fmin', 'fmax', 'minimum', 'maximum', 'heaviside', 'float_power'),
    *('greater', 'greater_equal', 'less', 'less_equal', 'equal', 'not_equal'),
    *('logical_and', 'logical_or'),
}


@pytest.mark.parametrize('name', UNARY)
def test_functions_of_one_number_are_those_of_numpy(name):
    function, point = getattr(np, name), 1.5 if name == 'arccosh' else 0.4
    x = Tape().inputs(2)
    assert value([function(x[0])], [point, 0.0])[0] == pytest.approx(
        float(function(point)), rel=1e-13
    )
    array, at = np.array(x, dtype=object), [point, point + 0.25]
    if name in ENTRY_BY_ENTRY:
        with pytest.raises(TypeError, match='single entries'):
            function(array)
    else:
        np.testing.assert_allclose(value(list(function(array)), at), function(at), rtol=1e-13)


@pytest.mark.parametrize('name', BINARY)
def test_functions_of_two_numbers_are_those_of_numpy(name):
    function = getattr(np, name)
    x, y = Tape().inputs(2)
    for a, b in ((0.4, 1.7), (2.5, 0.3), (0.6, 0.6), (1.0, 0.0)):
        if name in ('divide', 'power', 'float_power') and b == 0.0:
            continue
        expected = float(function(a, b))
        cases = [function(x, y), function(x, b), function(a, y)]
        cases += list(function(np.array([a, a]), y)) + list(function(x, np.array([b, b])))
        arrays = np.array([x, x], dtype=object), np.array([b, y], dtype=object)
        if name in ENTRY_BY_ENTRY:
            with pytest.raises(TypeError, match=r'single entries|not supported|cast'):
                function(*arrays)
        else:
            cases += list(function(*arrays))
        np.testing.assert_allclose(value(cases, [a, b]), expected, rtol=1e-13, atol=1e-15)


def test_a_clipped_or_chosen_value_is_that_of_numpy():
    x, y = Tape().inputs(2)
    for a in (-2.0, -0.5, 0.25, 1.0, 3.0):
        cases = [np.clip(x, -0.5, 1.0), np.clip(x, y, 1.0), np.where(x > y, x, 2 * y)]
        cases += [np.where(True, x, y), np.where(0, x, y), np.where(x > 0, 1.0, 2.0)]
        expected = [np.clip(a, -0.5, 1), np.clip(a, -0.5, 1), a if a > -0.5 else -1.0]
        expected += [a, -0.5, 1.0 if a > 0 else 2.0]
        np.testing.assert_allclose(value(cases, [a, -0.5]), expected, rtol=1e-15)


def test_matrices_of_numbers_multiply_vectors_of_expressions():
    rng = np.random.default_rng(0)
    A, B, x = rng.normal(size=(3, 4)), rng.normal(size=(4, 4)), rng.normal(size=4)
    symbols = np.array(Tape().inputs(4), dtype=object)
    cases = {
        'A @ x': (A @ symbols, A @ x),
        'x @ B': (symbols @ B, x @ B),
        'x B x': ([symbols @ B @ symbols], [x @ B @ x]),
        'dot': ([np.dot(symbols, symbols)], [x @ x]),
        'sum': ([symbols.sum()], [x.sum()]),
        'prod': ([np.prod(symbols)], [np.prod(x)]),
        'cumsum': (np.cumsum(symbols), np.cumsum(x)),
        'cross': (np.cross(symbols[:3], A[0, :3]), np.cross(x[:3], A[0, :3])),
        'outer': (np.outer(symbols, symbols).ravel(), np.outer(x, x).ravel()),
        'norm': ([np.sqrt(np.sum(symbols**2))], [np.linalg.norm(x)]),
        'mixed': (2.0 * symbols - x + symbols / (1 + x**2), 2 * x - x + x / (1 + x**2)),
        'sin': (np.sin(symbols) * np.exp(-symbols), np.sin(x) * np.exp(-x)),
    }
    for name, (found, expected) in cases.items():
        np.testing.assert_allclose(value(list(found), list(x)), expected, 1e-13, err_msg=name)


@pytest.mark.parametrize(
    ('function', 'message'),
    [
        (lambda x: 1.0 if x > 0 else 2.0, 'cannot branch on a value .* write numpy.where'),
        (lambda x: max(x, 0.0), 'cannot branch on a value .* write numpy.where'),
        (lambda x: min(0.0, x), 'cannot branch on a value .* write numpy.where'),
        (lambda x: x and 1.0, 'cannot branch on a value'),
        (lambda x: x in (1.0, 2.0), 'cannot branch on a value'),
        (lambda x: np.maximum(np.array([x, x]), 0.0), 'numpy.maximum of single entries'),
        (lambda x: np.clip(np.array([x, x]), 0.0, 1.0), 'numpy.maximum of single entries'),
        (lambda x: np.where(np.array([x, x]) > 0, x, 0.0), 'numpy.maximum of single entries'),
        (lambda x: math.sin(x), r'write numpy.sin\(x\), not math.sin\(x\)'),
        (lambda x: math.copysign(1.0, x), r'write numpy.sin\(x\), not math.sin\(x\)'),
        (lambda x: float(x), r'write numpy.sin\(x\), not math.sin\(x\)'),
        (lambda x: np.interp(x, [0, 1], [0, 2]), r'write numpy.sin\(x\), not math.sin\(x\)'),
        (lambda x: np.spacing(x), r"numpy.spacing has no expression; choose from \['abs"),
        (lambda x: np.fmod(x, 2.0), 'numpy.fmod has no expression; choose from'),
        (lambda x: x + 'fast', 'unsupported operand'),
        (lambda x: x * 1j, 'unsupported operand'),
    ],
)
def test_what_no_formula_can_do_is_a_clear_error(function, message):
    (x,) = Tape().inputs(1)
    with pytest.raises(TypeError, match=message):
        function(x)
