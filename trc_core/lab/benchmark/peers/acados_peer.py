"""acados: sequential quadratic programming in generated C code, one iteration a tick or all.

Source: Verschueren et al., acados: a modular open-source framework for fast embedded optimal
control (Mathematical Programming Computation 2022). It is on no package index: it takes part
where `acados_template` of an installation can be imported.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from typing import Any

import numpy as np

from trc_core.compile.binding import violation_weight
from trc_core.lab.benchmark.peers.peer import Peer, timed
from trc_core.numerics.cost import difference
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem

HOW = (
    'acados is on no package index: build it as its documentation says, then '
    'pip install <acados>/interfaces/acados_template, with ACADOS_SOURCE_DIR and LD_LIBRARY_PATH'
)
TOLERANCE = 1e-6
BLOCK = 5  # steps condensed into one, the fastest of 1, 2, 5 and 10 on most of our systems
INFINITE = 1e10  # a bound that acados takes for none
QUADRATIC = 1.0  # weight of a squared violation beside the one that merit gives it


class Acados(Peer):
    """acados with our step, our residuals and Gauss-Newton, its own choice for such costs.

    The program of a stage is generated C code of CasADi's expressions. A constraint may be
    violated, at the price that it has in the merit: a real-time iteration begins from plans that
    violate some, whose QP would have no solution.

    Args:
        system: of its problems.
        iterations: 1 for the real-time iteration, preparation and feedback; else the most.
    """

    def __init__(self, system: System, iterations: int) -> None:
        super().__init__(system)
        self._folder = tempfile.TemporaryDirectory(prefix='trc_acados_')
        self._solver = _solver(system, iterations, self._folder.name)

    def solve(self, problem: Problem, x: Array, u: Array, warm: bool) -> tuple[Array, float]:
        """Controls, and the CPU seconds of the solve alone; those given where they are no number.

        Multipliers have no part in a Gauss-Newton step, so that there are none to shift.
        """
        solver, T = self._solver, self.system.horizon
        solver.reset()
        for t, numbers in enumerate(_numbers(problem)):
            solver.set(t, 'p', numbers)
            solver.set(t, 'x', x[t])
            if t < T:
                solver.set(t, 'u', u[t])
        for bound in ('lbx', 'ubx'):
            solver.set(0, bound, problem.x0)
        _, seconds = timed(solver.solve)
        found = np.array([solver.get(t, 'u') for t in range(T)])
        return (found if np.isfinite(found).all() else u), seconds


def _numbers(problem: Problem) -> Array:
    """The parameters of every stage (T + 1, n): reference, p, trim and time."""
    stages = len(problem.r)
    trim = np.vstack([problem.trim, problem.trim[-1:]])
    p = np.tile(problem.p, (stages, 1))
    t = problem.system.dt * np.arange(stages)
    return np.hstack([problem.r, p, trim, t[:, None]])


def _solver(system: System, iterations: int, folder: str) -> Any:
    """acados' solver of a system, generated and compiled in a folder.

    Raises:
        FileNotFoundError: if acados is not installed.
    """
    try:
        from acados_template import AcadosOcp, AcadosOcpSolver
    except ImportError as error:
        raise FileNotFoundError(HOW) from error
    ocp = AcadosOcp()
    _state(ocp, system)
    options = ocp.solver_options
    options.N_horizon, options.tf = system.horizon, system.horizon * system.dt
    options.integrator_type, options.hessian_approx = 'DISCRETE', 'GAUSS_NEWTON'
    options.qp_solver = 'PARTIAL_CONDENSING_HPIPM'
    options.qp_solver_cond_N = max(1, system.horizon // BLOCK)
    options.cost_scaling = np.ones(system.horizon + 1)  # sums over steps, as ours
    options.nlp_solver_type = 'SQP_RTI' if iterations == 1 else 'SQP'
    if iterations > 1:
        options.nlp_solver_max_iter, options.globalization = iterations, 'MERIT_BACKTRACKING'
        options.nlp_solver_tol_stat = options.nlp_solver_tol_eq = TOLERANCE
        options.nlp_solver_tol_ineq = options.nlp_solver_tol_comp = TOLERANCE
    code = ocp.code_gen_options
    code.code_export_directory = f'{folder}/code'
    with contextlib.redirect_stdout(io.StringIO()):
        return AcadosOcpSolver(ocp, verbose=False)


def _state(ocp: Any, system: System) -> None:
    """States our step, cost, bounds and constraints to acados."""
    import casadi as ca

    from trc_core.compile.casadi_reader import casadi_step_of_parameters

    step, n_x, n_u = casadi_step_of_parameters(system), system.n_x, system.n_u
    kind: Any = ca.SX if step.is_a('SXFunction') else ca.MX
    model, n_p = ocp.model, len(system.parameters)
    model.name = system.name
    model.x, model.u = kind.sym('x', n_x), kind.sym('u', n_u)
    model.p = kind.sym('p', n_x + n_p + n_u + 1)
    ocp.parameter_values = np.zeros(model.p.numel())
    model.disc_dyn_expr = step(model.x, model.u, model.p[n_x : n_x + n_p])
    stage = _stage(system)
    terms = dict(zip(stage.name_out(), stage(model.x, model.u, model.p), strict=True))
    last = dict(zip(stage.name_out(), stage(model.x, np.zeros(n_u), model.p), strict=True))

    cost, bounds = ocp.cost, ocp.constraints
    rows = terms['effort'], terms['residuals']
    model.cost_y_expr = ca.vertcat(terms['error'], *rows)
    model.cost_y_expr_e = ca.vertcat(last['error'], last['terminal'])
    cost.cost_type, cost.cost_type_e = 'NONLINEAR_LS', 'NONLINEAR_LS'
    cost.W = _weights(system.Q, system.R, np.eye(rows[1].numel()))
    cost.W_e = _weights(system.Q_f, np.eye(last['terminal'].numel()))
    cost.yref, cost.yref_e = np.zeros(len(cost.W)), np.zeros(len(cost.W_e))

    bounds.lbu, bounds.ubu, bounds.idxbu = system.u_min, system.u_max, np.arange(n_u)
    bounds.x0 = np.zeros(n_x)
    # a constraint of the controls holds at all steps but the last, any other at all but the first
    h, used = terms['constraints'], system.task.constraints.uses_control
    _limit(ocp, '_0', [h[i] for i in np.flatnonzero(used)], system)
    _limit(ocp, '', [h[i] for i in range(len(used))], system)
    _limit(ocp, '_e', [last['constraints'][int(i)] for i in np.flatnonzero(~used)], system)


def _stage(system: System) -> Any:
    """`casadi.Function` of x, u and p of a stage to what its cost and its constraints are of."""
    import casadi as ca

    from trc_core.compile.casadi_reader import CASADI

    sizes = system.n_x, system.n_u, system.n_x, len(system.parameters), system.n_u, 1
    x, u, r, p, trim, t = symbols = [ca.SX.sym('a', size) for size in sizes]
    states, goal = (np.array(ca.vertsplit(column), dtype=object) for column in (x, r))
    task = system.task

    def values(part: Any) -> Any:
        arguments = (ca.vertsplit(x), ca.vertsplit(u), ca.vertsplit(r), ca.vertsplit(p))
        return ca.vertcat(ca.SX(0, 1), *(part.evaluate(*arguments, t, CASADI) if part else ()))

    found = {
        'error': ca.vertcat(*difference(system, states, goal, CASADI)),
        'effort': u - trim,
        'residuals': values(task.residuals),
        'terminal': values(task.terminal_residuals),
        'constraints': values(task.constraints),
    }
    own = ca.vertcat(*symbols[2:])
    return ca.Function('stage', [x, u, own], list(found.values()), ['x', 'u', 'p'], list(found))


def _weights(*blocks: Array) -> Array:
    """W of acados' cost y' W y / 2 for a sum of quadratic forms."""
    from scipy.linalg import block_diag

    weights: Array = 2.0 * block_diag(*[block for block in blocks if block.size])
    return weights


def _limit(ocp: Any, stage: str, rows: list[Any], system: System) -> None:
    """h <= 0 at the first stage ('_0'), those between ('') or the last ('_e')."""
    import casadi as ca

    if not rows:
        return
    n = len(rows)
    setattr(ocp.model, f'con_h_expr{stage}', ca.vertcat(*rows))
    limits = ocp.constraints
    setattr(limits, f'lh{stage}', np.full(n, -INFINITE))
    setattr(limits, f'uh{stage}', np.zeros(n))
    setattr(limits, f'idxsh{stage}', np.arange(n))
    prices = {'z': violation_weight(system), 'Z': QUADRATIC}
    for kind, price in prices.items():
        for side in 'lu':
            setattr(ocp.cost, f'{kind}{side}{stage}', np.full(n, price))
