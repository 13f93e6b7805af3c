"""The optimum by fatrop, an interior-point method that knows the stages of a problem.

Source: Vanroye, Sathya, De Schutter, Decré, FATROP: a fast constrained optimal control problem
solver for robot trajectory optimization and control (IROS 2023); it comes with CasADi.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from trc_core.numerics.plan import Plan
from trc_core.problem.system import System
from trc_core.solvers.nlp import Method, solve_by
from trc_core.solvers.problem import Problem
from trc_core.solvers.transcription import Program

OPTIONS: dict[str, Any] = {
    'print_time': False,
    'fatrop.print_level': 0,
    'fatrop.tol': 1e-10,
    # Where it has not converged by then it is in its restoration phase, which may never end.
    'fatrop.max_iter': 100,
    'structure_detection': 'manual',
}
RELAXED = 1e-8  # share of a bound, at least of 1, by which fatrop relaxes it


def _options(program: Program) -> dict[str, Any]:
    """The options, with the sizes of all stages; x_0 is a number and no unknown."""
    n_x, n_u, T = program.system.n_x, program.system.n_u, program.system.horizon
    return {
        **OPTIONS,
        'N': T,
        'nx': [0, *[n_x] * T],
        'nu': [*[n_u] * T, 0],
        'ng': program.inequalities.tolist(),
        'equality': program.is_equation.tolist(),
    }


FATROP = Method('fatrop', 'fatrop', _options, lambda program: program.tighter(RELAXED))


def solve(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    warm_start: Plan | None = None,
    starts: int = 1,
    seed: int = 0,
    parameters: Mapping[str, float] | None = None,
) -> Plan:
    """`nlp.solve` by fatrop in the place of IPOPT.

    Raises:
        ValueError: as there, or if fatrop is missing or cannot solve the program of the plant.
    """
    if not is_available():
        raise ValueError('this CasADi has no fatrop; pip install casadi, or take the expert nlp')
    problem = Problem.of(system, x0, goal, parameters)
    try:
        return solve_by(FATROP, problem, warm_start, starts, seed)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(
            f"fatrop cannot solve '{system.name}' ({reason:.80}); take the expert nlp"
        ) from error


def is_available() -> bool:
    """Whether the CasADi that is installed has fatrop."""
    import casadi as ca

    return bool(ca.has_nlpsol(FATROP.plugin))
