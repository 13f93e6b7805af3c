"""`trc evaluate --ros`: the closed loop flown by both nodes over DDS, and judged from its bag."""

from __future__ import annotations

import contextlib
import functools
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trc_core import Controller
from trc_core.evaluation.closed_loop import HORIZONS, PerturbedPlant, fly
from trc_core.evaluation.flown import Flown
from trc_core.lab.report.bag import RecordedFlight, read_bag
from trc_core.lab.report.command import report
from trc_core.problem.system import Array
from trc_core.progress import progress_bar
from trc_core.whole_files import write_whole
from trc_ros.lab.bag import Bag
from trc_ros.lab.recording import Recorder, Samples, mean_controls
from trc_ros.lab.two_nodes import DELIVERY_TIME, TwoNodes

TOLERANCE = 0.03  # by which the mean cost over ROS 2 may differ from that in process
SETTLING = 0.5  # [s] in which the restart of the plant, and its answer, must show in the bag
UNDER_WAY = 0.015  # [s] after a restart a command may still be meant for the state before it
LONGER = 0.3  # [s] that a flight is recorded beyond its last tick


@dataclass(frozen=True)
class Agreement:
    """Costs of the same flights in process and over ROS 2."""

    title: str
    inside: Array
    """Closed-loop cost in process (N,)."""
    over_ros: Array
    """Closed-loop cost from the bag (N,)."""
    fallen: NDArray[np.bool_]
    """Whether the recorded flight lost the plant (N,)."""
    held: NDArray[np.bool_]
    """Whether it ended at its goal (N,)."""

    @property
    def ratios(self) -> Array:
        """Cost over ROS 2 over that in process (N,)."""
        return self.over_ros / self.inside

    @property
    def agrees(self) -> bool:
        """Whether the mean is within `TOLERANCE`."""
        return bool(abs(self.ratios.mean() - 1) <= TOLERANCE)

    def __str__(self) -> str:
        ratios = self.ratios
        lines = [
            f'{self.title}: closed-loop cost over ROS 2 over that in process, '
            f'{len(ratios)} flights',
            f'mean {ratios.mean():.4f}, lowest {ratios.min():.4f}, highest {ratios.max():.4f}; '
            f'{self.fallen.sum()} fallen, {(~self.held).sum()} not held',
            f'within {TOLERANCE:.0%}: {"yes" if self.agrees else "no"}',
        ]
        return '\n'.join(lines)


def evaluate(
    title: str,
    controller: Controller,
    model: str,
    x0: Array,
    goal: Array,
    folder: Path,
    horizons: float = HORIZONS,
) -> Agreement:
    """Flies from every row of x0 (N, n_x) to its row of goal; leaves a bag and a report.

    Args:
        title: of the table.
        controller: flies in process, from the first state that the bag holds of each flight.
        model: the same, as a shipped name or a path, for the node.
        x0: initial states.
        goal: goals.
        folder: for `bag` and `report.html`.
        horizons: how long a flight lasts.

    Raises:
        NodeError: if a node ends early, stays silent or refuses what it is asked for.
        ValueError: if `folder` holds a bag already.
    """
    system = controller.system
    if (folder / 'bag').exists():
        raise ValueError(f"'{folder}' holds a bag already; give another folder")
    # Fly over ROS 2 into a bag.
    folder.mkdir(parents=True, exist_ok=True)
    ticks = round(horizons * system.horizon)
    starts = _record(controller, model, x0, goal, folder / 'bag', ticks * system.dt + LONGER)
    # Read states and costs back from the bag.
    (flight,) = read_bag(folder / 'bag', system)
    write_whole(folder / 'report.html', report(folder / 'bag', system))
    found = [
        evaluate_flight(flight, x, g, t, ticks) for x, g, t in zip(x0, goal, starts, strict=True)
    ]
    # Fly the same in process, from the first states in the bag.
    first = [states[0] for states, _ in found]
    plant = PerturbedPlant(system)
    inside = [
        fly(controller.plan, system, plant, x, g, ticks).cost
        for x, g in zip(first, goal, strict=True)
    ]
    judged = [flown for _, flown in found]
    costs = np.array([flown.cost for flown in judged])
    fallen = np.array([flown.fallen for flown in judged])
    held = np.array([flown.held for flown in judged])
    return Agreement(title, np.array(inside), costs, fallen, held)


def _record(
    controller: Controller, model: str, x0: Array, goal: Array, bag_path: Path, seconds: float
) -> list[float]:
    """Flies with both nodes; returns when each flight began [s since the epoch]."""
    system, starts = controller.system, []
    plant = {'initial_state': x0[0].tolist()}
    with contextlib.closing(Bag(bag_path)) as bag:
        record = functools.partial(Recorder, keep=bag.write)
        with TwoNodes(system, plant, {'model_path': model}, record) as nodes:
            operator = nodes.operator
            for x, g in progress_bar(
                list(zip(x0, goal, strict=True)), f'{system.name} over ROS 2'
            ):
                operator.send_goal(g)
                starts.append(time.time())
                operator.reset_plant(x)
                operator.spin_for(seconds + SETTLING)
            operator.spin_for(DELIVERY_TIME)
    return starts


def evaluate_flight(
    flight: RecordedFlight, x0: Array, goal: Array, began: float, ticks: int
) -> tuple[Array, Flown]:
    """States at the ticks of a recorded flight (ticks + 1, n_x), and how it went.

    It begins with the first command that answers the restarted plant.

    Args:
        flight: the whole bag.
        x0: what the plant was put back to (n_x,).
        goal: (n_x,).
        began: when that was asked for [s since the epoch].
        ticks: of the system's dt; the control is its mean over each.

    Raises:
        ValueError: if the bag ends before the flight, or holds no restart or no answer to it.
    """
    system, times = flight.system, flight.states.times + flight.epoch
    commands = Samples(flight.commands.times + flight.epoch, flight.commands.values)
    restart = _restart(flight, x0, began)
    answers = commands.times[commands.times >= restart + UNDER_WAY]
    if not len(answers):
        raise ValueError('the bag holds no command after a restart')
    instants = answers[0] + system.dt * np.arange(ticks + 1)
    if instants[-1] > times[-1]:
        raise ValueError('the bag ends before the flight')
    columns = flight.states.values.T
    states = np.stack([np.interp(instants, times, column) for column in columns], -1)
    controls = mean_controls(system, commands, instants)
    return states, Flown.of(system, states, controls, goal)


def _restart(flight: RecordedFlight, x0: Array, began: float) -> float:
    """Time at which the plant was nearest to x0 (n_x,) after the request [s since the epoch]."""
    times = flight.states.times + flight.epoch
    asked = np.flatnonzero((times >= began) & (times <= began + SETTLING))
    if not len(asked):
        raise ValueError(f'the bag holds no state in the {SETTLING:g} s after a restart')
    distance = np.abs(flight.states.values[asked] - x0).sum(1)
    return float(times[asked[distance.argmin()]])
