"""The experts by name: solvers that make labels and that a controller is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trc_core.numerics.plan import Plan
from trc_core.problem.system import System
from trc_core.solvers import (
    fatrop,
    free_time,
    ilqr,
    lqr,
    minimum_energy,
    multistart,
    nlp,
    qp,
    search,
)
from trc_core.solvers.evidence import evidence

AUTO = 'auto'


@dataclass(frozen=True)
class Expert:
    """Solver of one problem, with what a user and a dataset need to know of it."""

    solve: Callable[..., Plan]
    """(system, x0 (n_x,), goal (n_x,)) -> Plan; also `starts` and `seed` where it has `starts`."""
    summary: str
    """Its use, for a user who has to choose."""
    starts: int | None = None
    """Starts per state by default; None where the solver has one and takes no number."""
    solve_batch: Callable[..., Iterable[Plan]] | None = None
    """`solve` for rows (B, n_x), where problems that are solved together find better plans."""
    free_time: bool = False
    """Whether it finds the duration of a plan where that is free."""


EXPERTS = {
    'nlp': Expert(
        nlp.solve, 'the optimum inside bounds and constraints by IPOPT', 1, free_time=True
    ),
    'fatrop': Expert(fatrop.solve, 'like nlp, by fatrop, which knows stages', starts=1),
    'multistart': Expert(
        multistart.solve,
        'the best of many iLQR starts and of the neighbours, for swing-ups',
        multistart.STARTS,
        multistart.solve_batch,
    ),
    'search': Expert(
        search.solve,
        'the best by merit of many iLQR starts and of ways around obstacles, for constraints',
    ),
    'ilqr': Expert(ilqr.solve, 'like nlp, faster, one start'),
    'ipddp': Expert(
        free_time.solve,
        'the optimum of a free duration by interior-point sweeps, in milliseconds',
        free_time=True,
    ),
    'qp': Expert(qp.solve, 'the optimum of a linear system'),
    'lqr': Expert(
        lqr.solve,
        'clipped LQR, NOT optimal where a bound is active or the plant is nonlinear',
    ),
    'minimum_energy': Expert(
        minimum_energy.solve,
        'the least effort that reaches the goal of a linear system, NOT the optimum of J',
    ),
}


def suitable_expert(system: System) -> tuple[str, str]:
    """The expert to use on an unfamiliar system, and the reason in one line."""
    if system.final_time is not None:
        return 'ipddp', "expert auto: 'ipddp', because the duration of its plans is free"
    if system.task.constraints:
        return 'search', "expert auto: 'search', because the system has constraints"
    expert = 'multistart' if multistart.is_needed(system) else 'nlp'
    return expert, f"expert auto: '{expert}', because {evidence(system)}"
