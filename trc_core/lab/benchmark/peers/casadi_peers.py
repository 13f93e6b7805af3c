"""fatrop, IPOPT and sqpmethod of CasADi on the program that our experts solve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trc_core.lab.benchmark.peers.peer import Peer, timed
from trc_core.problem.system import Array, System
from trc_core.solvers import fatrop, nlp
from trc_core.solvers.nlp import Method
from trc_core.solvers.problem import Problem
from trc_core.solvers.transcription import Program, joined

TOLERANCE = 1e-6
QP_SOLVERS = ('hpipm', 'fatrop', 'osqp', 'daqp', 'qrqp')  # the first that CasADi has is taken
QUIET: Mapping[str, Any] = {
    'print_time': False,
    'print_header': False,
    'print_iteration': False,
    'print_status': False,
}
SQP: Mapping[str, Any] = {**QUIET, 'tol_pr': TOLERANCE, 'tol_du': 1e-4, 'error_on_fail': False}
LOOSE_IPOPT: Mapping[str, Any] = {'ipopt.tol': TOLERANCE}


class CasadiPeer(Peer):
    """A solver of nonlinear programs, whose duals are shifted with its plan.

    Functions of the program run in CasADi's virtual machine: what generated C code would save is
    in `functions`.

    Args:
        system: of its problems.
        method: the solver.
    """

    def __init__(self, system: System, method: Method) -> None:
        super().__init__(system)
        self.method = method
        self.program, self._solver = method.solver(system)
        self._limits = method.limits(self.program)
        self._answer: dict[str, Any] = {}
        self.functions = 0.0
        """CPU seconds of the last solve that functions of the program took."""

    def solve(self, problem: Problem, x: Array, u: Array, warm: bool) -> tuple[Array, float]:
        """Controls, and the CPU seconds of the solver's call."""
        start = {'x0': joined(u, x[1:]), 'p': self.program.numbers(problem, 1.0)}
        if warm:
            start |= {key: self._answer[key] for key in ('lam_x', 'lam_g')}
            start = {'lam_x0': start.pop('lam_x'), 'lam_g0': start.pop('lam_g'), **start}
        self._answer, seconds = timed(lambda: self._solver(**start, **self._limits))
        statistics = self._solver.stats()
        self.functions = sum(v for k, v in statistics.items() if k.startswith('t_proc_nlp_'))
        return self.program.parts(self._answer['x'])[0], seconds


def fatrop_peer(system: System) -> CasadiPeer:
    """fatrop to a tolerance of 1e-6.

    Raises:
        ValueError: if this CasADi has none.
    """
    if not fatrop.is_available():
        raise ValueError('this CasADi has no fatrop; pip install casadi')
    method = fatrop.FATROP

    def options(program: Program) -> dict[str, Any]:
        return {**method.options(program), 'fatrop.tol': TOLERANCE}

    return CasadiPeer(system, Method('fatrop', 'fatrop', options, method.limits))


def ipopt_peer(system: System) -> CasadiPeer:
    """IPOPT to a tolerance of 1e-6."""
    return CasadiPeer(
        system, Method('ipopt', 'ipopt', lambda program: {**nlp.OPTIONS, **LOOSE_IPOPT})
    )


def structured_qp() -> str:
    """The first of `QP_SOLVERS` that this CasADi has."""
    import casadi as ca

    return next(name for name in QP_SOLVERS if ca.has_conic(name))


def sqp_peer(system: System, iterations: int) -> CasadiPeer:
    """Sequential quadratic programming with a QP solver that knows the stages.

    Args:
        system: of its problems.
        iterations: the most; one is what others call a real-time iteration.
    """

    def options(program: Program) -> dict[str, Any]:
        n_x, n_u, T = system.n_x, system.n_u, system.horizon
        stages = {
            'N': T,
            'nx': [0, *[n_x] * T],
            'nu': [*[n_u] * T, 0],
            'ng': program.inequalities.tolist(),
        }
        qp: dict[str, Any] = {'print_time': False, 'error_on_fail': False}
        if (name := structured_qp()) == 'hpipm':
            qp |= stages
        elif name == 'fatrop':
            qp |= {**stages, 'structure_detection': 'manual', 'fatrop.print_level': 0}
            qp['equality'] = program.is_equation.tolist()
        return {
            **SQP,
            'max_iter': iterations,
            'min_iter': min(iterations, 1),
            'convexify_strategy': 'regularize',
            'qpsol': name,
            'qpsol_options': qp,
        }

    return CasadiPeer(system, Method('sqp', 'sqpmethod', options))
