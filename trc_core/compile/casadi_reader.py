"""CasADi reads expression graphs: symbolic steps for its solvers."""

from __future__ import annotations

import operator
from typing import Any

import casadi as ca

from trc_core.problem.discretise import rk4
from trc_core.problem.graph import OPERANDS, Algebra
from trc_core.problem.system import System

OPERATORS: Algebra = {
    'add': operator.add,
    'sub': operator.sub,
    'mul': operator.mul,
    'div': operator.truediv,
    'pow': operator.pow,
    'neg': operator.neg,
    'abs': ca.fabs,
    'minimum': ca.fmin,
    'maximum': ca.fmax,
    'less': ca.lt,
    'less_equal': ca.le,
    'equal': ca.eq,
    'select': ca.if_else,
}
CASADI: Algebra = {name: OPERATORS.get(name) or getattr(ca, name) for name in OPERANDS}
"""CasADi's expressions."""


def casadi_step(system: System) -> Any:
    """`casadi.Function` step(x, u) -> x_next, with the system's own parameters."""
    state, control = ca.SX.sym('x', system.n_x), ca.SX.sym('u', system.n_u)
    x_next = casadi_step_of_parameters(system)(state, control, ca.DM(system.p))
    return ca.Function('step', [state, control], [x_next], ['x', 'u'], ['x_next'])


def casadi_step_of_parameters(system: System) -> Any:
    """`casadi.Function` step(x, u, p) -> x_next, with parameters p (n_p,)."""
    state, control = ca.SX.sym('x', system.n_x), ca.SX.sym('u', system.n_u)
    parameters = ca.SX.sym('p', len(system.parameters))
    p = ca.vertsplit(parameters)

    def derivative(x: Any, u: Any) -> Any:
        inputs = [*ca.vertsplit(x), *ca.vertsplit(u), *p]
        return ca.vertcat(*system.graph.evaluate(inputs, CASADI)['dynamics'])

    x = state
    for _ in range(system.substeps):
        x = rk4(derivative, x, control, system.dt / system.substeps)
    arguments = [state, control, parameters]
    return ca.Function('step', arguments, [x], ['x', 'u', 'p'], ['x_next'])
