"""Multiple shooting: a problem of a plant as a nonlinear program in CasADi, stage by stage.

Unknowns are u_0, x_1, u_1, x_2, ..., x_T. The equations of stage t are the gap between x_{t+1}
and the step from (x_t, u_t), and then the constraints at t, which is the order that solvers of
optimal control problems take. The reference, the parameters and the trim are numbers of the
program, so that there is one program for all problems of a plant.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.numerics.cost import constraint_values, trajectory_cost
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem


class ByContents:
    """A system as a cache key: equal when what it does and its contract are."""

    def __init__(self, system: System) -> None:
        self.system = system
        task = system.task
        terms = (task.constraints, task.residuals, task.terminal_residuals)
        digests = [part.graph.digest for part in terms]
        self.contents = system.dynamics, json.dumps([system.contract(), digests], sort_keys=True)

    def __hash__(self) -> int:
        return hash(self.contents)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByContents) and self.contents == other.contents


@dataclass(frozen=True, eq=False)
class Program:
    """The program of a plant."""

    system: System
    expressions: dict[str, Any]
    """CasADi's x, f, g and p."""
    steps: Any
    """The function of the steps, which CasADi may not keep alive."""

    @cached_property
    def inequalities(self) -> NDArray[np.int64]:
        """How many constraints hold at every stage (T + 1,)."""
        return np.array([len(rows) for rows in _rows_by_stage(self.system)])

    @cached_property
    def is_equation(self) -> NDArray[np.bool_]:
        """Whether each row of g must be 0, and not at most 0."""
        n_x, T = self.system.n_x, self.system.horizon
        parts = [[True] * n_x * (t < T) + [False] * n for t, n in enumerate(self.inequalities)]
        return np.array([flag for part in parts for flag in part], dtype=np.bool_)

    @cached_property
    def limits(self) -> dict[str, Array]:
        """The bounds of the unknowns and of g, by the names that `nlpsol` takes."""
        system, T = self.system, self.system.horizon
        free = np.full((T, system.n_x), np.inf)
        return {
            'lbx': joined(np.tile(system.u_min, (T, 1)), -free),
            'ubx': joined(np.tile(system.u_max, (T, 1)), free),
            'lbg': np.where(self.is_equation, 0.0, -np.inf),
            'ubg': np.zeros(len(self.is_equation)),
        }

    def tighter(self, share: float) -> dict[str, Array]:
        """The limits with inequalities tighter by a share of them, of 1 where they are smaller."""
        lower, upper, rows = self.limits['lbx'], self.limits['ubx'], self.limits['ubg']
        return {
            **self.limits,
            'lbx': lower + share * _size(lower),
            'ubx': upper - share * _size(upper),
            'ubg': np.where(self.is_equation, 0.0, rows - share),
        }

    def numbers(self, problem: Problem, scale: float) -> Array:
        """The numbers p of a problem whose J is divided by `scale`."""
        parts = (problem.x0, problem.r.ravel(), problem.p, problem.trim.ravel(), [1.0 / scale])
        return np.concatenate(parts)

    def parts(self, unknowns: Any) -> tuple[Array, Array]:
        """The controls (T, n_u) and the states x_1 to x_T (T, n_x) among the unknowns."""
        system = self.system
        rows = np.asarray(unknowns).reshape(system.horizon, system.n_u + system.n_x)
        controls, states = np.split(rows, [system.n_u], axis=1)
        return np.ascontiguousarray(controls), np.ascontiguousarray(states)


def _size(bound: Array) -> Array:
    """How large finite bounds are, at least 1; 0 where there is none."""
    return np.where(np.isfinite(bound), np.maximum(np.abs(bound), 1.0), 0.0)


def joined(controls: Array, states: Array) -> Array:
    """The unknowns of controls (T, n_u) and the states (T, n_x) that they lead to."""
    return np.hstack([controls, states]).ravel()


@lru_cache(maxsize=16)
def program_of(key: ByContents) -> Program:
    """The program of a system, built once."""
    import casadi as ca

    from trc_core.compile.casadi_reader import casadi_step_of_parameters
    from trc_core.solvers.compiled_steps import compiled_steps

    # the unknowns and the numbers; matrices where the steps are functions that are called
    system = key.system
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    step = casadi_step_of_parameters(system)
    written_out = step.is_a('SXFunction')
    kind: Any = ca.SX if written_out else ca.MX
    steps: Any = step.map(T) if written_out else compiled_steps(system)
    unknowns = kind.sym('w', n_u + n_x, T)
    U, X = unknowns[:n_u, :], unknowns[n_u:, :]
    x0, reference = kind.sym('x0', n_x), kind.sym('r', n_x, T + 1)
    p, trim = kind.sym('p', len(system.parameters)), kind.sym('trim', n_u, T)
    inverse_scale = kind.sym('inverse_scale')
    # J, the gaps, and the constraints of every stage
    states = ca.horzcat(x0, X)
    J, constraints = _task(system)(states, U, reference, p, trim)
    gaps = X - steps(states[:, :-1], U, ca.repmat(p, 1, T) if written_out else p)
    rows: list[Any] = []
    done = 0
    for t, count in enumerate(map(len, _rows_by_stage(system))):
        rows += [gaps[:, t]] if t < T else []
        rows += [constraints[done : done + count]] if count else []
        done += count
    numbers = ca.vertcat(x0, ca.vec(reference), p, ca.vec(trim), inverse_scale)
    expressions = {
        'x': ca.vec(unknowns),
        'f': inverse_scale * J,
        'g': ca.vertcat(*rows),
        'p': numbers,
    }
    return Program(system, expressions, steps)


def _task(system: System) -> Any:
    """`casadi.Function` task(x, u, r, p, trim) -> J and the constraints, stage by stage."""
    import casadi as ca

    from trc_core.compile.casadi_reader import CASADI

    T, n_x, n_u, n_p = system.horizon, system.n_x, system.n_u, len(system.parameters)
    sizes = ((n_x, T + 1), (n_u, T), (n_x, T + 1), (n_p, 1), (n_u, T))
    arguments = [ca.SX.sym('a', *size) for size in sizes]
    states, controls, reference, p, trim = arguments
    x, u, r = (_scalars(columns) for columns in (states, controls, reference))
    own = ca.vertsplit(p) if system.parameters else []
    J = trajectory_cost(system, x, u, r, CASADI, own, _scalars(trim))
    h = constraint_values(system, x, u, r, own, CASADI) if system.task.constraints else []
    rows = [h[i][k] for stage in _rows_by_stage(system) for i, k in stage]
    return ca.Function('task', arguments, [J, ca.vertcat(*rows) if rows else ca.SX(0, 1)])


def _rows_by_stage(system: System) -> list[list[tuple[int, int]]]:
    """For every stage (constraint, its place in `constraint_values`), where it holds."""
    first, T = system.task.constraints.uses_control, system.horizon
    return [
        [(i, t if used else t - 1) for i, used in enumerate(first) if (t < T if used else t > 0)]
        for t in range(T + 1)
    ]


def _scalars(columns: Any) -> Any:
    """The entries of a CasADi matrix (n, N) as an array (N, n) of scalars."""
    import casadi as ca

    rows = [ca.vertsplit(column) for column in ca.horzsplit(columns)]
    return np.array(rows, dtype=object).reshape(columns.shape[1], columns.shape[0])
