"""Problems whose duration is free: first plans, and the interior-point sweeps as an expert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import ArrayLike

from trc_core.numerics.free_time.binding import for_problem, timed_plant
from trc_core.numerics.free_time.flights import Solver, as_plan
from trc_core.numerics.free_time.timed import Flight, Timed
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import state_vector

SWEEPS = 100  # of one start
RESTARTS = 10


@dataclass(frozen=True, eq=False)
class TimedProblem:
    """One problem of a free duration."""

    system: System
    plant: Timed
    x0: Array
    """Initial state (n_x,)."""

    @classmethod
    def of(
        cls,
        system: System,
        x0: ArrayLike,
        goal: ArrayLike,
        parameters: Mapping[str, float] | None = None,
    ) -> TimedProblem:
        """The problem of a state, a goal (n_x,) and parameters.

        Raises:
            ValueError: if the duration is fixed, a shape is wrong or a parameter is unknown.
        """
        if system.final_time is None:
            raise ValueError(
                f"'{system.name}' has a fixed duration; write final_time=(shortest, longest), or "
                "use the experts 'nlp' or 'ilqr'"
            )
        p = system.parameter_rows(parameters) if parameters else system.p
        end = state_vector(system, 'goal', goal)
        plant = for_problem(system, timed_plant(system), end, p)
        return cls(system, plant, state_vector(system, 'x0', x0))

    def plan(self, flight: Flight, source: str, converged: bool, iterations: int) -> Plan:
        """A flight as a plan."""
        return as_plan(self.system, self.plant, flight, source, converged, iterations)


def solve(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    warm_start: Plan | None = None,
    parameters: Mapping[str, float] | None = None,
) -> Plan:
    """The optimum by interior-point differential dynamic programming.

    Args:
        system: a plant with `final_time`.
        x0: initial state (n_x,).
        goal: goal state (n_x,).
        warm_start: a plan of this problem to start from; by default the best of the laws and of
            the trim over a scan of durations.
        parameters: those that differ from the system's own, by name.

    Returns:
        The plan; `converged` is True when errors and gains are below 1e-7 of their units.

    Raises:
        ValueError: as `TimedProblem.of`.
    """
    problem = TimedProblem.of(system, x0, goal, parameters)
    solver = Solver(system)
    flight, outcome = solver.cold(problem.plant, problem.x0, warm_start, SWEEPS, RESTARTS)
    return problem.plan(flight, 'ipddp', bool(outcome.converged), int(outcome.sweeps))
