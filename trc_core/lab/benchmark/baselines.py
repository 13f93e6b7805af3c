"""Baselines of the benchmark: solvers on PyPI, each set up as its manual advises."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from trc_core.lab.benchmark.interleaved import Call, TimedPlanner
from trc_core.lab.benchmark.planners import Factory
from trc_core.numerics.cost import is_success, stage_cost, terminal_cost
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.solvers import nlp
from trc_core.solvers.affine import predict, require_linear
from trc_core.solvers.initial_guess import guess
from trc_core.solvers.problem import Problem
from trc_core.solvers.qp import condensed
from trc_core.solvers.receding_horizon import IlqrMpc, shifted
from trc_core.solvers.starting_points import straight_line
from trc_core.solvers.transcription import ByContents, joined, program_of

QUIET = {'print_time': False, 'ipopt.print_level': 0, 'ipopt.sb': 'yes'}
LOOSE: dict[str, Any] = {**QUIET, 'ipopt.tol': 1e-6, 'ipopt.nlp_scaling_method': 'none'}
COLD_IPOPT: dict[str, Any] = {**LOOSE, 'ipopt.mu_strategy': 'adaptive'}
WARM_IPOPT: dict[str, Any] = {
    **LOOSE,
    'ipopt.warm_start_init_point': 'yes',
    'ipopt.warm_start_bound_push': 1e-9,
    'ipopt.warm_start_bound_frac': 1e-9,
    'ipopt.warm_start_slack_bound_push': 1e-9,
    'ipopt.warm_start_slack_bound_frac': 1e-9,
    'ipopt.warm_start_mult_bound_push': 1e-9,
    'ipopt.mu_init': 1e-8,
}
OSQP_TOLERANCE = 1e-5
SWEEPS = {'box-iLQR, 1 sweep': 1, 'box-iLQR, 3 sweeps': 3, 'box-iLQR, converged': 100}
IPOPT, EXPERT_IPOPT = 'CasADi/IPOPT, tuned', 'CasADi/IPOPT, tol 1e-10'


def baselines(system: System) -> dict[str, Factory]:
    """The solvers that can plan for a system, by label."""
    makers: dict[str, Callable[[System], Call]] = {
        label: partial(IlqrMpc, sweeps=sweeps) for label, sweeps in SWEEPS.items()
    }
    makers |= {IPOPT: Ipopt, EXPERT_IPOPT: _expert, 'do-mpc (IPOPT)': DoMpc}
    if _is_linear(system):
        makers |= {'DAQP, condensed': Daqp, 'OSQP, sparse': Osqp}
    return {label: partial(_timed, label, maker, system) for label, maker in makers.items()}


def _is_linear(system: System) -> bool:
    try:
        require_linear(system)
    except ValueError:
        return False
    return True


def _timed(label: str, maker: Callable[[System], Call], system: System) -> TimedPlanner:
    return TimedPlanner(label, maker(system), baseline=True)


def _expert(system: System) -> Call:
    """IPOPT as it makes datasets; only the primal iterate is warm."""
    import casadi  # noqa: F401  (missing: say so here, not while others are timed)

    def plan(x: Array, goal: Array, previous: Plan | None) -> Plan:
        start = None if previous is None else shifted(system, previous)
        return nlp.solve(system, x, goal, start)

    return plan


class Ipopt:
    """The experts' program solved to 1e-6; warm from the shifted primal and dual iterate."""

    def __init__(self, system: System) -> None:
        import casadi as ca

        self.system, self.program = system, program_of(ByContents(system))
        self.cold = ca.nlpsol('cold', 'ipopt', self.program.expressions, COLD_IPOPT)
        self.warm = ca.nlpsol('warm', 'ipopt', self.program.expressions, WARM_IPOPT)
        self.numbers = np.empty(0)  # of the problem; its reference stays from plan to plan
        self.answer: dict[str, Any] = {}

    def __call__(self, x: Array, goal: Array, previous: Plan | None) -> Array:
        """Controls (T, n_u)."""
        start: dict[str, Any]
        if previous is None:
            problem = Problem.of(self.system, x, goal)
            states, controls, J = guess(problem)
            if not is_success(self.system, states, goal):
                states, controls = straight_line(problem)
            scale = max(J, 1e-9) if np.isfinite(J) else 1.0
            self.numbers = self.program.numbers(problem, scale)
            start = {'x0': joined(controls, states[1:])}
        else:
            start = {
                'x0': self._later(self.answer['x'], self.system.n_u + self.system.n_x),
                'lam_x0': self._later(self.answer['lam_x'], self.system.n_u + self.system.n_x),
                'lam_g0': self._later(self.answer['lam_g'], self.system.n_x),
            }
        solver = self.cold if previous is None else self.warm
        self.numbers[: self.system.n_x] = x
        self.answer = solver(**start, **self.program.limits, p=self.numbers)
        return self.program.parts(self.answer['x'])[0]

    @staticmethod
    def _later(vector: Any, stage: int) -> Array:
        """Numbers of every stage, one stage later, the last one twice."""
        flat = np.asarray(vector).ravel()
        return np.concatenate([flat[stage:], flat[-stage:]])


class Daqp:
    """The condensed QP, set up once; only its linear term changes. Warm is its own working set."""

    def __init__(self, system: System) -> None:
        import daqp

        self.system, n = system, system.n_x
        zero, unit = np.zeros(n), np.eye(n)
        H, self.f = condensed(system, predict(system, zero), zero)
        of_x = [condensed(system, predict(system, e), zero)[1] - self.f for e in unit]
        of_goal = [condensed(system, predict(system, zero), e)[1] - self.f for e in unit]
        self.slope = np.stack([*of_x, *of_goal], axis=1)
        size = len(self.f)
        self.u_trim = np.tile(system.u_trim, system.horizon)
        upper, lower = (
            np.tile(limit - system.u_trim, system.horizon)
            for limit in (system.u_max, system.u_min)
        )
        self.model = daqp.Model()
        self.model.setup(H, self.f, np.empty((0, size)), upper, lower)

    def __call__(self, x: Array, goal: Array, previous: Plan | None) -> Array:
        """Controls (T, n_u)."""
        self.model.update(f=self.f + self.slope @ np.concatenate([x, goal]))
        w = self.model.solve()[0]
        return (w + self.u_trim).reshape(-1, self.system.n_u)


class Osqp:
    """The sparse QP over states and controls, set up once; only its vectors change."""

    def __init__(self, system: System) -> None:
        import osqp
        from scipy import sparse

        self.system = system
        A, B = require_linear(system)
        T, n_x, n_u = system.horizon, system.n_x, system.n_u
        weights = [system.Q] * (T - 1) + [system.Q_f] + [system.R] * T
        self.weights = np.concatenate([2 * system.Q] * (T - 1) + [2 * system.Q_f])
        chain = np.kron(np.eye(T), np.eye(n_x)) - np.kron(np.eye(T, k=-1), A)
        equations = np.hstack([chain, -np.kron(np.eye(T), B)])
        bounds = np.hstack([np.zeros((T * n_u, T * n_x)), np.eye(T * n_u)])
        self.A = A
        self.drift = np.tile(system.step(np.zeros(n_x), system.u_trim), T)
        self.low, self.high = (np.tile(u - system.u_trim, T) for u in (system.u_min, system.u_max))
        self.q = np.zeros((n_x + n_u) * T)
        self.solver = osqp.OSQP()
        self.solver.setup(
            P=sparse.csc_matrix(2 * sparse.block_diag(weights)),
            q=self.q,
            A=sparse.csc_matrix(np.vstack([equations, bounds])),
            l=np.concatenate([self.drift, self.low]),
            u=np.concatenate([self.drift, self.high]),
            eps_abs=OSQP_TOLERANCE,
            eps_rel=OSQP_TOLERANCE,
            verbose=False,
        )
        self.nothing = np.zeros(len(self.q)), np.zeros(n_x * T + n_u * T)

    def __call__(self, x: Array, goal: Array, previous: Plan | None) -> Array:
        """Controls (T, n_u)."""
        T, n_x = self.system.horizon, self.system.n_x
        if previous is None:
            self.solver.warm_start(x=self.nothing[0], y=self.nothing[1])
        self.q[: T * n_x] = -(self.weights @ goal)
        start = self.drift.copy()
        start[:n_x] += self.A @ x
        self.solver.update(
            q=self.q,
            l=np.concatenate([start, self.low]),
            u=np.concatenate([start, self.high]),
        )
        w = self.solver.solve(raise_error=False).x[T * n_x :]
        return self.system.u_trim + w.reshape(T, self.system.n_u)


def _scalars(column: Any) -> Any:
    """The entries of a CasADi column (n, 1) as an array (n,) of scalars."""
    import casadi as ca

    return np.array(ca.vertsplit(column), dtype=object)


class DoMpc:
    """do-mpc in its standard setup, on our discrete step; it starts from its own last answer."""

    def __init__(self, system: System) -> None:
        self.system, self.goal = system, np.zeros(system.n_x)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of optional parts, and of its own use of CasADi
            self.mpc = self._set_up()

    def _set_up(self) -> Any:
        import do_mpc

        from trc_core.compile.casadi_reader import casadi_step

        system = self.system
        model = do_mpc.model.Model('discrete', 'SX')
        x = model.set_variable('_x', 'x', (system.n_x, 1))
        u = model.set_variable('_u', 'u', (system.n_u, 1))
        model.set_variable('_tvp', 'goal', (system.n_x, 1))
        model.set_rhs('x', casadi_step(system)(x, u))
        model.setup()
        mpc = do_mpc.controller.MPC(model)
        times = {'n_horizon': system.horizon, 't_step': system.dt, 'n_robust': 0}
        mpc.set_param(**times, store_full_solution=False, nlpsol_opts=QUIET)
        error, u = _scalars(model.x['x'] - model.tvp['goal']), _scalars(model.u['u'])
        stage, last = stage_cost(system, error, u), terminal_cost(system, error)
        mpc.set_objective(mterm=last, lterm=stage)
        mpc.set_rterm(u=np.zeros(system.n_u))
        mpc.bounds['lower', '_u', 'u'], mpc.bounds['upper', '_u', 'u'] = system.u_min, system.u_max
        self.template = mpc.get_tvp_template()
        mpc.set_tvp_fun(self._goals)
        mpc.setup()
        return mpc

    def _goals(self, _: float) -> Any:
        self.template['_tvp', :, 'goal'] = self.goal
        return self.template

    def __call__(self, x: Array, goal: Array, previous: Plan | None) -> Array:
        """Controls (T, n_u)."""
        self.goal = goal
        if previous is None:
            self.mpc.reset_history()
            self.mpc.x0, self.mpc.u0 = x, self.system.u_trim
            self.mpc.set_initial_guess()
        self.mpc.make_step(x)
        planned = self.mpc.opt_x_num['_u', :, 0]
        return np.array(planned, dtype=np.float64).reshape(-1, self.system.n_u)
