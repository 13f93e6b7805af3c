"""Graphs of a problem whose duration is free: its steps, and their first and second slopes.

All take one vector of arguments and give one vector, so that kernels call every plant alike:

    arguments  x (n_x), u (n_u), dt, k, lambda (n_x), w (n_h), z (n_u), unit (n_u), p (n_p),
               r (n_x), v (n_u)
    forward    x_next (n_x), cost, h (n_h)
    expansion  F (m), l, C (n_h), g and H (width), all of them rows (width,)
    end        cost, h (n_h), g (m), H (m, m), l (m), C (n_h, m)
    laws       the controls (n_u) of every law of the plant
    gradient   g by (x, dt, u), (m + n_u)
    moved      u moved by local coordinates z (n_u), which count in `unit`

with m = n_x + 1 for (x, dt), and n = m + n_u for (x, dt, z) at z = 0, filled with zeros up to
`width_of`. k is the number of the step, which begins at k dt; lambda is the price of x_next, w
those of the constraints h, r the goal and v the controls that hold it. F are the slopes of the
next (x, dt), l those of the cost, C those of h; g and H are the gradient and the Hessian of
cost + lambda' x_next + w' h.

An ordinary control is its own local coordinate. That of a group of controls whose length has
limits are its size, in the place of its first member, and small turns of its direction in the
places of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trc_core.problem.derivative import gradient, jacobian
from trc_core.problem.discretise import step_graph
from trc_core.problem.expression import EXPRESSIONS, Expression, Tape
from trc_core.problem.graph import Graph
from trc_core.problem.terms import OUTPUT, Terms

if TYPE_CHECKING:
    from trc_core.problem.system import System

ARGUMENTS, RESULTS = 'arguments', 'results'
VECTOR = 4  # numbers that are computed at once
LONGEST = 200_000  # instructions of second slopes; beyond that compiling takes minutes


def groups_of(system: System) -> list[list[int]]:
    """The controls of every group whose length has limits."""
    names = system.control_names
    return [[names.index(name) for name in norm.controls] for norm in system.norms]


def width_of(system: System) -> int:
    """The columns of slopes by (x, dt, z), filled up to vectors of four."""
    n = system.n_x + 1 + system.n_u
    return n + -n % VECTOR


class _Arguments:
    """The arguments of a system on a tape."""

    def __init__(self, system: System) -> None:
        n_x, n_u, n_h = system.n_x, system.n_u, len(system.task.constraints)
        self.system, self.tape = system, Tape(LONGEST)
        sizes = (n_x, n_u, 1, 1, n_x, n_h, n_u, n_u, len(system.parameters), n_x, n_u)
        self.count = sum(sizes)
        values = np.array(self.tape.inputs(self.count), dtype=object)
        parts = np.split(values, np.cumsum(sizes)[:-1])
        self.x, self.u, dt, k, self.prices, self.w = map(list, parts[:6])
        self.z, self.unit, self.p, self.r, self.v = map(list, parts[6:])
        (self.dt,), (self.k,) = dt, k

    def moved(self) -> list[Expression]:
        """The controls u, moved by the local coordinates z.

        A direction d goes to ((1 - s) d + sum_j z_j b_j) / (1 + s) with s = z'z / 4, which is as
        long as d. The b_j complement it: they are rows of the Householder reflection that takes
        the first axis to -+ d.
        """
        controls = [u + unit * z for u, unit, z in zip(self.u, self.unit, self.z, strict=True)]
        for first, *others in groups_of(self.system):
            u = [self.u[i] for i in (first, *others)]
            size = sum(a * a for a in u) ** 0.5
            inverse = 1.0 / size
            d = [a * inverse for a in u]
            sign = np.where(d[0] < 0.0, -1.0, 1.0)
            v = [d[0] + sign, *d[1:]]
            scale, s = 1.0 / (1.0 + sign * d[0]), 0.25 * sum(self.z[j] ** 2 for j in others)
            length = (size + self.unit[first] * self.z[first]) / (1.0 + s)
            for i, place in enumerate((first, *others)):
                turned = (1.0 - s) * d[i]
                for j, other in enumerate(others, start=1):
                    turned = turned + self.z[other] * (float(i == j) - scale * d[j] * v[i])
                controls[place] = length * turned
        return controls

    def step(self) -> list[Expression]:
        """The state a dt later."""
        whole = step_graph(self.system.timed or self.system.graph)
        x, count = self.x, int(self.system.substeps)
        for _ in range(count):
            found = whole.evaluate([*x, *self.u, *self.p, self.dt / count], EXPRESSIONS)
            x = [self.tape.expression(e) for e in found['step']]
        return x

    def terms(self, terms: Terms) -> list[Expression]:
        """The values of some terms."""
        time = self.k * self.dt
        found = terms.graph.evaluate([*self.x, *self.u, *self.r, *self.p, time], EXPRESSIONS)
        return [self.tape.expression(e) for e in found[OUTPUT]]

    def error(self) -> list[Expression]:
        """The state from the goal, angles wrapped."""
        differences = [a - b for a, b in zip(self.x, self.r, strict=True)]
        for i in self.system.wrapped:
            turns = np.floor(differences[i] / (2.0 * np.pi) + 0.5)
            differences[i] = differences[i] - 2.0 * np.pi * turns
        return differences

    def stage_cost(self) -> Expression:
        """The cost of a step: by its length over the system's dt, and the price of time."""
        system = self.system
        effort = [a - b for a, b in zip(self.u, self.v, strict=True)]
        terms = [e * e for e in self.terms(system.task.residuals)]
        cost = _quadratic(system.Q, self.error()) + _quadratic(system.R, effort) + sum(terms)
        timed = self.dt * (1.0 / system.dt) * cost + system.time_weight * self.dt
        return self.tape.expression(timed)

    def end_cost(self) -> Expression:
        """The cost of the last state."""
        system = self.system
        linear = np.zeros(system.n_x) if system.terminal_cost is None else system.terminal_cost
        cost = _quadratic(system.Q_f, self.error())
        cost = cost + sum(float(c) * x for c, x in zip(linear, self.x, strict=True))
        cost = cost + sum(e * e for e in self.terms(system.task.terminal_residuals))
        return self.tape.expression(cost)

    def graph(self, results: Sequence[Any]) -> Graph:
        flat = [self.tape.expression(e) for e in results]
        return self.tape.graph({ARGUMENTS: self.count}, {RESULTS: flat})


def _quadratic(weight: Any, error: Sequence[Any]) -> Any:
    """e' W e, without what is 0."""
    n = len(error)
    return sum(
        float(weight[i, j]) * error[i] * error[j]
        for i in range(n)
        for j in range(n)
        if weight[i, j] != 0.0
    )


def _slopes(
    own: _Arguments,
    by: list[Expression],
    cost: Expression,
    h: Sequence[Expression],
    after: Sequence[Expression],
) -> list[Any]:
    """g, H, l and C, behind each other."""
    lagrangian = cost
    for price, value in [*zip(own.w, h, strict=True), *zip(own.prices, after, strict=False)]:
        lagrangian = lagrangian + price * value
    g = gradient(own.tape.expression(lagrangian), by)
    H = jacobian(g, by)
    for i, row in enumerate(H):
        row[i:] = [H[j][i] for j in range(i, len(H))]  # half of it is computed
    C = [e for row in jacobian(h, by) for e in row] if h else []
    return [*g, *(e for row in H for e in row), *gradient(cost, by), *C]


def forward_graph(system: System) -> Graph:
    """The graph of a step, its cost and the constraints before it."""
    own = _Arguments(system)
    return own.graph([*own.step(), own.stage_cost(), *own.terms(system.task.constraints)])


def expansion_graph(system: System) -> Graph:
    """The graph of the slopes of a step, by (x, dt, z).

    Raises:
        OverflowError: if there are too many instructions.
    """
    own, m, n_h = _Arguments(system), system.n_x + 1, len(system.task.constraints)
    by, n, width = [*own.x, own.dt, *own.z], m + system.n_u, width_of(system)
    own.u = own.moved()
    after, cost = own.step(), own.stage_cost()
    found = np.array(
        [
            *jacobian([*after, own.dt], by),
            *np.reshape(
                _slopes(own, by, cost, own.terms(system.task.constraints), after), (-1, n)
            ),
        ]
    )
    F, g, H, l_and_C = np.split(found, [m, m + 1, m + 1 + n])
    rows = np.full((m + n_h + 2 + width, width), own.tape.constant(0.0))
    rows[: m + n_h + 2 + n, :n] = [*F, *l_and_C, *g, *H]
    return _unmoved(system, own.graph(rows.ravel().tolist()))


def _unmoved(system: System, graph: Graph) -> Graph:
    """A graph where z = 0."""
    own = _Arguments(system)
    none = [own.tape.constant(0.0)] * system.n_u
    values = [*own.x, *own.u, own.dt, own.k, *own.prices, *own.w, *none, *own.unit]
    found = graph.evaluate([*values, *own.p, *own.r, *own.v], EXPRESSIONS)
    return own.graph(found[RESULTS])


def moved_graph(system: System) -> Graph:
    """The graph of the controls, moved by local coordinates."""
    own = _Arguments(system)
    return own.graph(own.moved())


def end_graph(system: System) -> Graph:
    """The graph of the cost of the last state and of the constraints there, with slopes."""
    own = _Arguments(system)
    by = [*own.x, own.dt]
    cost, h = own.end_cost(), own.terms(system.task.constraints)
    return own.graph([cost, *h, *_slopes(own, by, cost, h, ())])


def gradient_graph(system: System) -> Graph:
    """The graph of the first slopes of a step's Lagrangian alone."""
    own = _Arguments(system)
    lagrangian = own.stage_cost()
    pairs = [*zip(own.w, own.terms(system.task.constraints), strict=True)]
    for price, value in [*pairs, *zip(own.prices, own.step(), strict=True)]:
        lagrangian = lagrangian + price * value
    by = [*own.x, own.dt, *own.u]
    return own.graph(gradient(own.tape.expression(lagrangian), by))


def laws_graph(system: System) -> Graph:
    """The graph of the laws of the plant, which know the time until the plan ends."""
    own = _Arguments(system)
    to_go = (system.horizon - own.k) * own.dt
    values = [*own.x, *own.u, *own.r, *own.p, to_go]
    found = system.task.laws.graph.evaluate(values, EXPRESSIONS)[OUTPUT]
    return own.graph(found)


GRAPHS: Mapping[str, Callable[[System], Graph]] = {
    'forward': forward_graph,
    'expansion': expansion_graph,
    'end': end_graph,
    'laws': laws_graph,
    'gradient': gradient_graph,
    'moved': moved_graph,
}


def free_time_graphs(system: System) -> dict[str, Graph]:
    """The graphs by name.

    Raises:
        ValueError: if the second slopes of the dynamics are too long to be compiled.
    """
    try:
        return {name: make(system) for name, make in GRAPHS.items()}
    except OverflowError:
        raise ValueError(
            f"the second slopes of '{system.name}' have more than {LONGEST} instructions; plans "
            'of a free duration need a smaller model, or fewer substeps'
        ) from None
