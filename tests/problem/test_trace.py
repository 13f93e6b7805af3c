"""Tracing: one plant in three notations is one plant, and what cannot be traced says why."""

import math
from dataclasses import replace
from types import SimpleNamespace

import casadi as ca
import numpy as np
import pytest
import sympy as sp

from trc_core.problem import trace
from trc_core.problem.graph import Graph
from trc_core.problem.trace import GraphFormula, Signature, dynamics_graph
from trc_core.systems import SYSTEMS


def pendulum_in(library):
    def dynamics(x, u, gravity, damping):
        return [x[1], gravity * library.sin(x[0]) - damping * x[1] + u[0]]

    return dynamics


def cartpole_in(library):
    def dynamics(x, u, gravity, cart_mass, pole_mass, half_length):
        mass = cart_mass + pole_mass
        sine, cosine = library.sin(x[2]), library.cos(x[2])
        push = (u[0] + pole_mass * half_length * x[3] ** 2 * sine) / mass
        inertia = half_length * (4 / 3 - pole_mass * cosine**2 / mass)
        turn = (gravity * sine - cosine * push) / inertia
        return [x[1], push - pole_mass * half_length * turn * cosine / mass, x[3], turn]

    return dynamics


def casadi_vector(x, u, gravity, damping):
    """One SX of two rows, as CasADi users write it."""
    return ca.vertcat(x[1], gravity * ca.sin(x[0]) - damping * x[1] + u[0])


def sympy_vector(x, u, gravity, damping):
    return sp.Matrix([x[1], gravity * sp.sin(x[0]) - damping * x[1] + u[0]])


def numpy_vector(x, u, gravity, damping):
    x, turning = np.array(x), np.array([[0.0, 1.0], [0.0, 0.0]])
    return turning @ x + np.array([0.0, 1.0]) * (gravity * np.sin(x[0]) - damping * x[1] + u[0])


WRITTEN = {
    'pendulum in NumPy': ('pendulum', pendulum_in(np)),
    'pendulum in SymPy': ('pendulum', pendulum_in(sp)),
    'pendulum in CasADi': ('pendulum', pendulum_in(ca)),
    'pendulum as an array': ('pendulum', numpy_vector),
    'pendulum as a Matrix': ('pendulum', sympy_vector),
    'pendulum as an SX': ('pendulum', casadi_vector),
    'cartpole in NumPy': ('cartpole', cartpole_in(np)),
    'cartpole in SymPy': ('cartpole', cartpole_in(sp)),
    'cartpole in CasADi': ('cartpole', cartpole_in(ca)),
}


def graph_of(dynamics, n_x=2, n_u=1, parameters=()):
    return dynamics_graph('mine', dynamics, Signature(n_x, n_u, tuple(parameters)))


@pytest.mark.parametrize('text', WRITTEN)
def test_the_same_plant_in_any_notation_takes_the_same_step(text):
    name, dynamics = WRITTEN[text]
    system = SYSTEMS[name]
    other = replace(system, dynamics=dynamics)
    rng = np.random.default_rng(0)
    x, _ = system.sample(rng, 50)
    u = rng.uniform(system.u_min, system.u_max, (50, system.n_u))
    np.testing.assert_allclose(other.step(x, u), system.step(x, u), rtol=1e-12, atol=1e-12)
    for M, N in zip(
        other.step_jacobian(x[0], u[0]), system.step_jacobian(x[0], u[0]), strict=True
    ):
        np.testing.assert_allclose(M, N, rtol=1e-12, atol=1e-12)


def kinked_in_numpy(x, u):
    friction = np.where(np.abs(x[1]) < 0.5, x[1], np.sign(x[1]) * np.maximum(x[1] ** 2, 0.25))
    return [np.minimum(np.hypot(x[0], x[1]), 2.0), u[0] - friction + np.arctan2(x[0], x[1])]


def kinked_in_sympy(x, u):
    friction = sp.Piecewise(
        (x[1], sp.Abs(x[1]) < sp.Rational(1, 2)),
        (sp.sign(x[1]) * sp.Max(x[1] ** 2, sp.Rational(1, 4)), True),
    )
    length = sp.sqrt(x[0] ** 2 + x[1] ** 2)
    return [sp.Min(length, 2), u[0] - friction + sp.atan2(x[0], x[1])]


def kinked_in_casadi(x, u):
    faster = ca.sign(x[1]) * ca.fmax(x[1] ** 2, 0.25)
    friction = ca.if_else(ca.fabs(x[1]) < 0.5, x[1], faster)
    return ca.vertcat(ca.fmin(ca.hypot(x[0], x[1]), 2.0), u[0] - friction + ca.atan2(x[0], x[1]))


def kinked_in_python(x, u):
    """The truth, for numbers."""
    friction = x[1] if abs(x[1]) < 0.5 else math.copysign(max(x[1] ** 2, 0.25), x[1])
    return [min(math.hypot(x[0], x[1]), 2.0), u[0] - friction + math.atan2(x[0], x[1])]


@pytest.mark.parametrize('dynamics', [kinked_in_numpy, kinked_in_sympy, kinked_in_casadi])
def test_kinks_and_choices_are_those_of_python(dynamics):
    graph = graph_of(dynamics)
    points = [(a, b, 0.3) for a in (-2.0, -0.3, 0.4, 1.9) for b in (-1.2, -0.5, 0.1, 0.5, 0.7)]
    for *x, u in points:
        found = graph.evaluate([*x, u])['dynamics']
        np.testing.assert_allclose(found, kinked_in_python(x, [u]), rtol=1e-12)


SYMPY_TERMS = [
    (lambda a, b: sp.Piecewise((a, a < b), (b, a > 2 * b), (a * b, True)), 'piecewise'),
    (lambda a, b: sp.Piecewise((a, sp.And(a < b, a > 0)), (b, True)), 'and'),
    (lambda a, b: sp.Piecewise((a, sp.Or(a > 1, b > 1)), (b, True)), 'or'),
    (lambda a, b: sp.Piecewise((a, sp.Not(sp.And(a > 1, b > 1))), (b, True)), 'not'),
    (lambda a, b: sp.Piecewise((a, sp.Eq(a, b)), (b, sp.Ne(a, 0.4)), (3, True)), 'equalities'),
    (lambda a, b: sp.Piecewise((a, a <= b), (b, a >= 2 * b), (7, True)), 'or equal'),
    (lambda a, b: sp.Heaviside(a - b) + sp.floor(3 * a) + sp.ceiling(3 * b), 'steps'),
    (lambda a, b: sp.exp(a) / sp.log(b**2 + 2) - sp.pi * sp.E * a, 'numbers'),
    (lambda a, b: sp.tanh(a) + sp.asinh(b) + sp.acosh(b**2 + 2) + sp.atanh(a / 9), 'hyperbolic'),
    (lambda a, b: sp.sinh(a) * sp.cosh(b) + sp.asin(a / 9) * sp.acos(b / 9) + sp.atan(a), 'arcs'),
    (lambda a, b: sp.Max(a, b, 0.3) - sp.Min(a, b, 0.1) + sp.tan(a / 2), 'extremes'),
    (lambda a, b: a**-2 + (b**2) ** sp.Rational(3, 2) + 2**a + sp.sqrt(2) * b, 'powers'),
    (lambda a, b: 0 * a + 3, 'constant'),
]


@pytest.mark.parametrize(('term', 'name'), SYMPY_TERMS, ids=[name for _, name in SYMPY_TERMS])
def test_sympy_terms_have_the_values_that_sympy_gives_them(term, name):
    graph = graph_of(lambda x, u: [term(*x), sp.sin(u[0])])
    for a, b in ((0.4, 1.2), (-1.3, 0.7), (1.5, 1.5), (0.3, -2.0), (2.6, 1.3)):
        expected = float(sp.sympify(term(sp.Float(a, 30), sp.Float(b, 30))))
        found = graph.evaluate([a, b, 0.0])['dynamics'][0]
        assert found == pytest.approx(expected, rel=1e-12)


CASADI_TERMS = [
    (lambda a, b: ca.if_else(a < b, a, b * a), 'if_else'),
    (lambda a, b: ca.if_else(ca.logic_and(a > 0, b > 1), a, b), 'and'),
    (lambda a, b: ca.if_else(ca.logic_or(a > 1, b > 1), a, b), 'or'),
    (lambda a, b: ca.if_else(ca.logic_not(a > 1), a, b), 'not'),
    (lambda a, b: ca.if_else(a == b, 1, 2) + ca.if_else(a != b, 3, 4), 'equalities'),
    (lambda a, b: ca.if_else(a <= b, 1, 2) + ca.if_else(a >= b, 3, 4), 'or equal'),
    (lambda a, b: ca.floor(3 * a) + ca.ceil(3 * b) + ca.sign(a), 'steps'),
    (lambda a, b: ca.exp(a) / ca.log(b**2 + 2) + ca.expm1(a) + ca.log1p(b**2), 'logarithms'),
    (lambda a, b: ca.tanh(a) + ca.asinh(b) + ca.acosh(b**2 + 2) + ca.atanh(a / 9), 'hyperbolic'),
    (lambda a, b: ca.sinh(a) * ca.cosh(b) + ca.asin(a / 9) * ca.acos(b / 9) + ca.atan(a), 'arcs'),
    (lambda a, b: ca.fmax(a, ca.fmin(b, 0.3)) + ca.fabs(a) + ca.tan(a / 2), 'extremes'),
    (lambda a, b: a**-2 + (b**2) ** 1.5 + 2**a + ca.sqrt(2) * b + (b**2) ** a + 2 * a, 'powers'),
    (lambda a, b: ca.hypot(a, b) + ca.atan2(a, b) + 1 / a + a**2, 'planes'),
    (lambda a, b: ca.dot(ca.vertcat(a, b), ca.DM([2, 3])), 'vectors'),
    (lambda a, b: 0 * a + 3, 'constant'),
]


@pytest.mark.parametrize(('term', 'name'), CASADI_TERMS, ids=[name for _, name in CASADI_TERMS])
def test_casadi_terms_have_the_values_that_casadi_gives_them(term, name):
    graph = graph_of(lambda x, u: ca.vertcat(term(*x), ca.sin(u[0])))
    for a, b in ((0.4, 1.2), (-1.3, 0.7), (1.5, 1.5), (0.3, -2.0), (2.6, 1.3)):
        expected = float(term(ca.DM(a), ca.DM(b)))
        found = graph.evaluate([a, b, 0.0])['dynamics'][0]
        assert found == pytest.approx(expected, rel=1e-12)


def test_numbers_and_symbols_may_stand_side_by_side():
    for dynamics in (
        lambda x, u: [0, x[0] * np.float64(2.0)],
        lambda x, u: [0, 2 * sp.sin(sp.asin(x[0]))],
        lambda x, u: [0, 2 * ca.sin(ca.asin(x[0]))],
        lambda x, u: (0.0, 2 * x[0]),
        lambda x, u: iter([sp.Integer(0), 2 * x[0]]),
    ):
        assert graph_of(dynamics).evaluate([0.7, 0, 0])['dynamics'] == pytest.approx([0, 1.4])


def test_comparisons_are_one_where_they_hold_and_zero_elsewhere():
    graph = graph_of(lambda x, u: [x[0] > 0.5, x[1] <= 0.5])
    assert graph.evaluate([0.7, 0.4, 0.0])['dynamics'] == [1.0, 1.0]
    assert graph.evaluate([0.3, 0.6, 0.0])['dynamics'] == [0.0, 0.0]


def test_a_formula_that_is_a_graph_is_that_graph():
    graph = SYSTEMS['pendulum'].graph
    formula = GraphFormula(graph)
    assert graph_of(formula, 2, 1, ('gravity', 'damping')) is graph
    found = formula([0.3, -0.2], [0.5], gravity=9.81, damping=0.1)
    expected = SYSTEMS['pendulum'].derivative(np.array([0.3, -0.2]), np.array([0.5]))
    assert isinstance(graph, Graph)
    np.testing.assert_allclose(np.array(found, dtype=float), expected)


def raising(error):
    def dynamics(x, u):
        raise error

    return dynamics


LINE = raising.__code__.co_firstlineno + 2


def misled_by_sympy(x, u):
    return [x[1], sp.sin(u[0]) if x[0] == 0 else u[0]]


def misled_by_casadi(x, u):
    return [x[1], math.copysign(1.0, x[0]) + ca.sin(u[0])]


def half_traced(x, u):
    """Calls a library first, so that NumPy's notation fails there."""
    return [sp.sin(x[1]), missing]  # noqa: F821


class Callable:
    """Dynamics need not be functions."""

    def __call__(self, x, u):
        return [x[1]]


@pytest.mark.parametrize(
    ('dynamics', 'message'),
    [
        (lambda x, u: [x[1]], 'returns 1 expressions, expected 2'),
        (lambda x, u: [x[1], u[0], 0], 'returns 3 expressions, expected 2'),
        (lambda x, u: ca.vertcat(x[1], ca.sin(u[0]), 0), 'returns 3 expressions, expected 2'),
        (lambda x, u: sp.Matrix([sp.sin(x[1])]), 'returns 1 expressions, expected 2'),
        (lambda x, u: x[0], 'expected 2 expressions'),
        (lambda x, u: [x, u], 'which is no number'),
        (lambda x, u: [x[1], None], 'returns None, which is no number'),
        (lambda x, u: [x[1], 1j], 'which is no number'),
        (lambda x, u: [x[1], sp.I * sp.sin(x[0])], 'contains I, which is not real'),
        (lambda x, u: [x[1], sp.Symbol('g') * u[0]], r"unknown symbols \['g'\]; declare them"),
        (lambda x, u: [x[1], ca.SX.sym('g') * u[0]], r"unknown symbols \['g'\]; declare them"),
        (lambda x, u: [x[1], sp.gamma(x[0])], r'uses gamma, which has no operation; choose from'),
        (lambda x, u: [x[1], ca.erf(x[0])], r'uses the CasADi operation \d+, which graphs do not'),
        (lambda x, u: [x[1], math.inf * x[0]], 'the constant inf'),
        (lambda x, u: [x[1], sp.nan * sp.sin(x[0])], 'nan'),
        (lambda x, u: [x[1], ca.sin(x[0]) * ca.inf], 'the constant inf'),
        (lambda x, u, mass: [x[1], u[0]], 'fail on NumPy symbols: TypeError: .*mass'),
        (raising(KeyError('gain')), f"fail on NumPy symbols in line {LINE}: KeyError: 'gain'"),
        (raising(ValueError('two\nlines')), f'in line {LINE}: ValueError: two lines$'),
        (raising(SystemExit(2)), f'in line {LINE}: SystemExit: 2'),
        (half_traced, r"fail on SymPy symbols in line \d+: NameError: name 'missing'"),
        (misled_by_sympy, r'NumPy symbols in line \d+: UnknownValueError: .*cannot branch'),
        (misled_by_casadi, r'NumPy symbols in line \d+: UnknownValueError: .*not math.sin'),
        (Callable(), 'returns 1 expressions, expected 2'),
    ],
)
def test_dynamics_that_cannot_be_traced_say_why_in_one_line(dynamics, message):
    with pytest.raises(ValueError, match=message) as error:
        graph_of(dynamics)
    assert str(error.value).startswith("dynamics of 'mine'")
    assert '\n' not in str(error.value)


def test_a_library_that_nobody_imported_is_not_asked(monkeypatch):
    monkeypatch.setattr(trace, 'sys', SimpleNamespace(modules={}))
    with pytest.raises(ValueError, match='fail on NumPy symbols in line'):
        graph_of(casadi_vector, parameters=('gravity', 'damping'))
