"""Discretisation: one step of the classical Runge-Kutta method (RK4) with the control held.

Written once for every algebra; as an expression graph it also gives the exact Jacobian of the
step, by the chain rule through the four stages. Dynamics in discrete time are a step already.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from trc_core.problem.derivative import jacobian
from trc_core.problem.expression import EXPRESSIONS, Expression, Tape
from trc_core.problem.graph import LONGEST, Graph

RATE, NEXT_STATE = 'dynamics', 'next_state'
"""Outputs of dynamics: the time derivative of x, or in discrete time the state a dt later."""


def output_of(graph: Graph) -> str:
    """The output of dynamics, with or without their slopes: `RATE` or `NEXT_STATE`."""
    return NEXT_STATE if NEXT_STATE in graph.outputs else RATE


def rk4(f: Callable[[Any, Any], Any], x: Any, u: Any, dt: Any) -> Any:
    """One RK4 step of x' = f(x, u), for arrays of any algebra."""
    k1 = f(x, u)
    k2 = f(x + 0.5 * dt * k1, u)
    k3 = f(x + 0.5 * dt * k2, u)
    k4 = f(x + dt * k3, u)
    return x + dt / 6.0 * (k1 + 2.0 * (k2 + k3) + k4)


def rk4_slopes(slopes: Callable[[Any, Any], tuple[Any, Any]], x: Any, u: Any, dt: Any) -> Any:
    """The exact slope (n_x, n_x + n_u) of one RK4 step by (x, u), by the chain rule.

    With stage s taken at y_s = x + c dt k_{s-1}, its slope is D_s = J_s + c dt J_s D_{s-1} (J_s
    times the rows of x), and that of the step I + dt / 6 (D_1 + 2 D_2 + 2 D_3 + D_4).

    Args:
        slopes: the derivative (n_x,) at (x, u), and its slope J (n_x, n_x + n_u).
        x: state (n_x,).
        u: control (n_u,).
        dt: for how long it is held.
    """
    stages: list[Any] = []

    def f(y: Any, u: Any) -> Any:
        derivative, J = slopes(y, u)
        if stages:
            fraction = 1.0 if len(stages) == 3 else 0.5
            J = J + fraction * dt * (J[:, : len(x)] @ stages[-1])
        stages.append(J)
        return derivative

    rk4(f, x, u, dt)
    D1, D2, D3, D4 = stages
    return np.eye(*D1.shape) + dt / 6.0 * (D1 + 2.0 * (D2 + D3) + D4)


@lru_cache(maxsize=64)
def rate_graph(graph: Graph, dt: float) -> Graph:
    """The mean rate of change (x_next - x) / dt of dynamics in discrete time, as a graph."""
    tape = Tape()
    arguments = tape.inputs(sum(graph.inputs.values()))
    after = graph.evaluate(arguments, EXPRESSIONS)[NEXT_STATE]
    rates = [(e - x) / dt for e, x in zip(after, arguments, strict=False)]
    return tape.graph(graph.inputs, {RATE: [tape.expression(e) for e in rates]})


@lru_cache(maxsize=64)
def slopes_graph(graph: Graph, longest: int = LONGEST) -> Graph:
    """The dynamics with their slopes: their own output (n_x), `A` (n_x n_x) and `B` (n_x n_u).

    The slopes are row by row.

    Raises:
        OverflowError: if there are more than `longest` instructions.
    """
    tape = Tape(longest)
    n_x, n_u = graph.inputs['x'], graph.inputs['u']
    arguments = tape.inputs(sum(graph.inputs.values()))
    found = graph.evaluate(arguments, EXPRESSIONS)[output_of(graph)]
    outputs = [tape.expression(e) for e in found]
    slopes = np.array(jacobian(outputs, arguments[: n_x + n_u]), dtype=object)
    A, B = list(slopes[:, :n_x].ravel()), list(slopes[:, n_x:].ravel())
    return tape.graph(graph.inputs, {output_of(graph): outputs, 'A': A, 'B': B})


@lru_cache(maxsize=64)
def with_dt(timed: Graph, dt: float) -> Graph:
    """A step over any time, whose last input is `dt`, as one over a time of its own."""
    tape = Tape()
    inputs = {name: length for name, length in timed.inputs.items() if name != 'dt'}
    arguments = [*tape.inputs(sum(inputs.values())), tape.constant(dt)]
    after = timed.evaluate(arguments, EXPRESSIONS)[NEXT_STATE]
    return tape.graph(inputs, {NEXT_STATE: [tape.expression(e) for e in after]})


def step_graph(graph: Graph, longest: int = LONGEST) -> Graph:
    """The graph of a whole step, with the further input `dt`; output `step` (n_x).

    Args:
        graph: the dynamics; in discrete time they may take `dt` themselves, as their last input.
        longest: how many instructions there may be.

    Raises:
        OverflowError: if there are more.
    """
    tape, x, u, p, dt = _arguments(graph, longest)
    own = [dt] if 'dt' in graph.inputs else []

    def f(x: Any, u: Any) -> Any:
        found = graph.evaluate([*x, *u, *p, *own], EXPRESSIONS)
        return np.array(found[output_of(graph)], dtype=object)

    after = f(x, u) if output_of(graph) == NEXT_STATE else rk4(f, x, u, dt)
    step = [tape.expression(e) for e in after]
    return tape.graph({**graph.inputs, 'dt': 1}, {'step': step})


def step_jacobian_graph(local: Graph, longest: int = LONGEST) -> Graph:
    """The graph of a step's Jacobian; outputs `A` (n_x n_x) and `B` (n_x n_u), row by row.

    Args:
        local: the dynamics with their slopes, as `slopes_graph` returns them.
        longest: how many instructions there may be.

    Raises:
        OverflowError: if there are more.
    """
    tape, x, u, p, dt = _arguments(local, longest)
    n_x, n_u = len(x), len(u)

    def slopes(y: Any, u: Any) -> tuple[Any, Any]:
        found = local.evaluate([*y, *u, *p], EXPRESSIONS)
        by_x = np.array(found['A'], dtype=object).reshape(n_x, n_x)
        by_u = np.array(found['B'], dtype=object).reshape(n_x, n_u)
        values = np.array(found[output_of(local)], dtype=object)
        return values, np.concatenate([by_x, by_u], axis=1)

    step = slopes(x, u)[1] if output_of(local) == NEXT_STATE else rk4_slopes(slopes, x, u, dt)
    A, B = ([tape.expression(e) for e in part.ravel()] for part in np.split(step, [n_x], axis=1))
    return tape.graph({**local.inputs, 'dt': 1}, {'A': A, 'B': B})


def _arguments(graph: Graph, longest: int) -> tuple[Tape, Any, Any, list[Expression], Expression]:
    """A tape, and x, u, p and dt on it."""
    tape = Tape(longest)
    sizes = [graph.inputs[name] for name in ('x', 'u', 'p')]
    *arguments, dt = tape.inputs(sum(sizes) + 1)
    x, u, p = np.split(np.array(arguments, dtype=object), np.cumsum(sizes)[:-1])
    return tape, x, u, list(p), dt
