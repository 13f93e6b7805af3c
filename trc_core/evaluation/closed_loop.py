"""Closed-loop cost of a planner that plans anew at every step of the plant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trc_core.evaluation.flown import Flown
from trc_core.flight.adaptation import ParameterEstimator
from trc_core.numerics.batch import BatchStep
from trc_core.numerics.plan import Plan, cost_ratio
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array, System
from trc_core.progress import progress_bar
from trc_core.simulation import in_error
from trc_core.solvers.receding_horizon import IlqrMpc

Tick = Callable[[Array, Array, Plan | None], Plan]
HORIZONS = 2  # that a flight lasts
HEADINGS = ('mean', 'median', 'p95', 'max', 'fallen', 'not held')
SWEEPS = 200  # at most, of converged MPC
CONVERGED = 'converged MPC'
OWN, LEARNING = 'trc', 'trc, learning'  # what the node does by default


@dataclass(frozen=True)
class PerturbedPlant:
    """Plant that may differ from the model of its controller.

    Args:
        system: the physics.
        gain: of the commands on their way into the plant.
    """

    system: System
    gain: float = 1.0

    @classmethod
    def with_error(
        cls, system: System, error: float, unknown: Mapping[str, float] | None = None
    ) -> PerturbedPlant:
        """Every physical parameter larger by a share `error`, the input gain smaller by it.

        Args:
            system: the model.
            error: share of every parameter and of the gain.
            unknown: parameters of the plant that are these numbers instead.

        Raises:
            ValueError: if the system has no such parameter, or it is not finite.
        """
        return cls(in_error(system, error).with_parameters(**unknown or {}), 1 - error)

    def step(self, x: Array, u: Array) -> Array:
        """The state (n_x,) one dt later."""
        return BatchStep(self.system)(x[None], self.gain * u[None])[0]


@dataclass(frozen=True)
class Flights:
    """N flights of one planner."""

    cost: Array
    """Closed-loop cost (N,): stage costs along the way, and the terminal cost at the end."""
    fallen: NDArray[np.bool_]
    """Whether the plant was lost on the way, as `flown.has_fallen`; (N,)."""
    held: NDArray[np.bool_]
    """Whether it ended at the goal, as `flown.is_held`; (N,)."""


def fly(
    planner: Tick, model: System, plant: PerturbedPlant, x0: Array, goal: Array, ticks: int
) -> Flown:
    """Flies once from x0 to goal (n_x,), unless a state is not finite before.

    Args:
        planner: state, goal, plan of the tick before (None at first) -> plan.
        model: whose cost is counted.
        plant: what is flown.
        x0: initial state.
        goal: goal state.
        ticks: how many commands are flown.
    """
    states, plan = [x0], None
    controls = np.empty((ticks, model.n_u))
    while len(states) <= ticks and np.isfinite(states[-1]).all():
        plan = planner(states[-1], goal, plan)
        u = plan.controls[0]
        controls[len(states) - 1] = u
        states.append(plant.step(states[-1], u))
    return Flown.of(model, np.array(states), controls[: len(states) - 1], goal)


def fly_all(
    planner: Callable[[], Tick],
    model: System,
    plant: PerturbedPlant,
    x0: Array,
    goal: Array,
    progress: Iterable[int] | None = None,
) -> Flights:
    """`fly` for every row of x0 and goal (N, n_x), two horizons each, with a new planner."""
    ticks = round(HORIZONS * model.horizon)
    rows = progress or range(len(x0))
    found = [fly(planner(), model, plant, x0[i], goal[i], ticks) for i in rows]
    return Flights(
        np.array([flight.cost for flight in found]),
        np.array([flight.fallen for flight in found]),
        np.array([flight.held for flight in found]),
    )


@dataclass(frozen=True)
class Comparison:
    """Flights of several planners from the same states, beside those of converged MPC."""

    title: str
    flights: Mapping[str, Flights]

    def ratios(self, label: str) -> Array:
        """Cost over that of converged MPC, state by state (N,)."""
        return cost_ratio(self.flights[label].cost, self.flights[CONVERGED].cost)

    @property
    def holds(self) -> str:
        """How many flights ended at their goal with what the node does by default."""
        label = LEARNING if LEARNING in self.flights else OWN
        held = self.flights[label].held
        return f'{held.sum()} of {len(held)} flights ({label})'

    def figures(self) -> dict[str, dict[str, float]]:
        """The figures of every planner, by `HEADINGS`."""
        return {
            label: dict(zip(HEADINGS, self._row(label), strict=True)) for label in self.flights
        }

    def _row(self, label: str) -> list[float]:
        ratio, flights = self.ratios(label), self.flights[label]
        costs = np.mean(ratio), np.median(ratio), np.quantile(ratio, 0.95), np.max(ratio)
        return [*map(float, costs), int(flights.fallen.sum()), int((~flights.held).sum())]

    def __str__(self) -> str:
        count = len(self.flights[CONVERGED].cost)
        lines = [
            f'{self.title}: closed-loop cost over that of converged MPC, {count} flights',
            ' ' * 22 + ''.join(f'{heading:>11}' for heading in HEADINGS),
        ]
        for label in self.flights:
            *costs, fallen, lost = self._row(label)
            row = ''.join(f'{value:11.5f}' for value in costs)
            lines.append(f'{label:22}{row}{fallen:>11}{lost:>11}')
        return '\n'.join(lines)


def compare(
    controller: Controller, plant: PerturbedPlant, x0: Array, goal: Array, title: str
) -> Comparison:
    """Flies every planner from every state, on a plant that may differ from the model.

    Args:
        controller: whose system is the model.
        plant: what is flown.
        x0: initial states (N, n_x).
        goal: goals (N, n_x).
        title: of the table.
    """
    model = controller.system
    flights = {}
    for label, planner in tick_planners(controller).items():
        bar = progress_bar(range(len(x0)), label=label, leave=False)
        flights[label] = fly_all(planner, model, plant, x0, goal, bar)
    return Comparison(title, flights)


def tick_planners(controller: Controller) -> Mapping[str, Callable[[], Tick]]:
    """Makers of what is compared: the controller, and local methods from their own last plan.

    They are called for every flight, so that a planner that learns begins with the model.
    """
    system = controller.system
    one = Controller(controller.checkpoint, controller.backend, cycles=1)
    planners: dict[str, Callable[[], Tick]] = {
        CONVERGED: lambda: IlqrMpc(system, SWEEPS),
        'clipped LQR': lambda: lambda x, goal, previous: controller.lqr_plan(x, goal),
        'iLQR-MPC, 1 sweep': lambda: IlqrMpc(system, 1, SWEEPS),
        'iLQR-MPC, 3 sweeps': lambda: IlqrMpc(system, 3, SWEEPS),
        'trc, 1 cycle': lambda: one.plan,
        OWN: lambda: controller.plan,
    }
    if controller.adjustable and not controller.checkpoint.correction:
        able = controller.with_input_gains()
        planners[LEARNING] = lambda: learning(able)
    return planners


def learning(controller: Controller) -> Tick:
    """Adaptive planning: the controller with the plant's parameters as estimated in the flight.

    Args:
        controller: one that takes the gains of its controls as parameters, to learn them as well.
    """
    estimator = ParameterEstimator(controller.system)
    estimate, seconds = estimator.prior(), np.array([controller.system.dt])

    def tick(x: Array, goal: Array, previous: Plan | None) -> Plan:
        nonlocal estimate
        if previous is not None:
            last, u = previous.states[0], previous.controls[:1]
            estimate = estimator.update(estimate, last, u, seconds, x)
        return controller.plan(x, goal, previous, p=estimator.parameters(estimate))

    return tick
