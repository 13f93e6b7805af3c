"""CasADi reads expression graphs: symbolic steps for its solvers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import casadi as ca

from trc_core.problem.discretise import output_of, rk4
from trc_core.problem.graph import OPERANDS, Algebra
from trc_core.problem.system import System


def _smooth(
    function: Callable[..., Any],
    holds: Callable[..., Any],
    beyond: Callable[..., Any],
    inside: float = 1.0,
) -> Callable[..., Any]:
    """An operation whose slope is 0 where it would not be finite.

    Args:
        function: the operation.
        holds: where it has a slope.
        beyond: its value elsewhere, as an expression without a slope.
        inside: operands at which it is finite.
    """

    def called(*values: Any) -> Any:
        smooth = holds(*values)
        moved = [ca.if_else(smooth, value, inside) for value in values]
        return ca.if_else(smooth, function(*moved), beyond(*values))

    return called


def _divided(a: Any, b: Any) -> Any:
    return _by_expression(a, b) if isinstance(b, ca.SX) and not b.is_constant() else a / b


def _has_slope(a: Any, b: Any) -> Any:
    """Where a ** b has a slope."""
    whole = ca.logic_and(a < 0.0, ca.eq(b, ca.floor(b)))
    return ca.logic_or(ca.logic_or(a > 0.0, whole), ca.logic_and(ca.eq(a, 0.0), b >= 1.0))


def _power(a: Any, b: Any) -> Any:
    positive = a > 0.0  # elsewhere the exponent is a whole number, and has no slope
    return ca.if_else(positive, ca.if_else(positive, a, 1.0) ** b, a ** ca.floor(b))


def _power_beyond(a: Any, b: Any) -> Any:
    at_zero = ca.if_else(b > 0.0, 0.0, ca.if_else(ca.eq(b, 0.0), 1.0, math.inf))
    return ca.if_else(ca.eq(a, 0.0), at_zero, math.nan)


def _at(place: float, value: float) -> Callable[[Any], Any]:
    """A value at one place; elsewhere there is none."""
    return lambda a: ca.if_else(ca.eq(a, place), value, math.nan)


def _is_inside(a: Any) -> Any:
    return ca.fabs(a) < 1.0


def _at_ends(low: float, high: float) -> Callable[[Any], Any]:
    return lambda a: ca.if_else(ca.eq(a, 1.0), high, ca.if_else(ca.eq(a, -1.0), low, math.nan))


def _is_positive(a: Any) -> Any:
    return a > 0.0


_by_expression = _smooth(
    operator.truediv, lambda a, b: ca.ne(b, 0.0), lambda a, b: ca.sign(a) * math.inf
)
SMOOTH: Algebra = {
    'div': _divided,
    'sqrt': _smooth(ca.sqrt, _is_positive, _at(0.0, 0.0)),
    'log': _smooth(ca.log, _is_positive, _at(0.0, -math.inf)),
    'asin': _smooth(ca.asin, _is_inside, _at_ends(-math.pi / 2, math.pi / 2), 0.5),
    'acos': _smooth(ca.acos, _is_inside, _at_ends(math.pi, 0.0), 0.5),
    'acosh': _smooth(ca.acosh, lambda a: a > 1.0, _at(1.0, 0.0), 2.0),
    'atanh': _smooth(ca.atanh, _is_inside, _at_ends(-math.inf, math.inf), 0.5),
    'atan2': _smooth(
        ca.atan2, lambda a, b: ca.logic_or(ca.ne(a, 0.0), ca.ne(b, 0.0)), lambda a, b: 0.0
    ),
    'pow': _smooth(_power, _has_slope, _power_beyond),
}
"""Operations whose slope is not finite everywhere; there it is 0, as in `problem.derivative`."""
OPERATORS: Algebra = {
    **SMOOTH,
    'add': operator.add,
    'sub': operator.sub,
    'mul': operator.mul,
    'neg': operator.neg,
    'abs': ca.fabs,
    'minimum': lambda a, b: ca.if_else(a <= b, a, b),  # fmin shares the slope of a tie
    'maximum': lambda a, b: ca.if_else(a >= b, a, b),
    'less': ca.lt,
    'less_equal': ca.le,
    'equal': ca.eq,
    'select': ca.if_else,
}
CASADI: Algebra = {name: OPERATORS.get(name) or getattr(ca, name) for name in OPERANDS}
"""CasADi's expressions."""
WRITTEN_OUT = 500  # instructions of dynamics that are written out in every step of a program


def casadi_step(system: System) -> Any:
    """`casadi.Function` step(x, u) -> x_next, with the system's own parameters."""
    kind = _symbols_of(system)
    state, control = kind.sym('x', system.n_x), kind.sym('u', system.n_u)
    x_next = casadi_step_of_parameters(system)(state, control, ca.DM(system.p))
    return ca.Function('step', [state, control], [x_next], ['x', 'u'], ['x_next'])


def casadi_step_of_parameters(system: System) -> Any:
    """`casadi.Function` step(x, u, p) -> x_next, with parameters p (n_p,).

    Long dynamics are a function that a step calls, so that the derivatives of a program of many
    steps are those of one function and not of all its instructions.
    """
    kind = _symbols_of(system)
    state, control = kind.sym('x', system.n_x), kind.sym('u', system.n_u)
    parameters = kind.sym('p', len(system.parameters))
    dynamics = _dynamics(system)

    def held(x: Any, u: Any) -> Any:
        for _ in range(system.substeps):
            x = rk4(lambda x, u: dynamics(x, u, parameters), x, u, system.dt / system.substeps)
        return x

    x_next = dynamics(state, control, parameters) if system.discrete else held(state, control)
    arguments = [state, control, parameters]
    return ca.Function('step', arguments, [x_next], ['x', 'u', 'p'], ['x_next'])


def _symbols_of(system: System) -> Any:
    """Scalars for dynamics that are short enough to be written out; else matrices."""
    return ca.SX if len(system.graph.instructions) <= WRITTEN_OUT else ca.MX


def _dynamics(system: System) -> Any:
    """`casadi.Function` dynamics(x, u, p) -> dx, or in discrete time x_next."""
    sizes = (system.n_x, system.n_u, len(system.parameters))
    arguments = [ca.SX.sym(name, n) for name, n in zip('xup', sizes, strict=True)]
    inputs = [entry for vector in arguments for entry in ca.vertsplit(vector)]
    found = system.graph.evaluate(inputs, CASADI)[output_of(system.graph)]
    return ca.Function('dynamics', arguments, [ca.densify(ca.vertcat(*found))])
