"""Report of the demo: closed-loop cost against the optimum, and loop timing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trc_core.flight.obstacles import Obstacle
from trc_core.numerics.cost import is_close, trajectory_cost
from trc_core.problem.system import Array, System
from trc_core.solvers import multistart, nlp
from trc_ros.lab.demo.drawn import parameters_of
from trc_ros.lab.demo.flight import Flight, Task
from trc_ros.lab.recording import Samples, mean_controls


@dataclass(frozen=True)
class Score:
    """Row of the table for one system; one cost ratio and settling time per task."""

    system: str
    loop: dict[str, float]
    cost_ratios: tuple[float, ...]
    """NaN where the task was shorter than the system's horizon."""
    settling_times: tuple[float, ...]
    """[s]; infinite where the goal was not reached."""
    clearances: tuple[float, ...] = ()
    """The least distance to an obstacle [m], negative inside, where there are any."""

    @property
    def missed(self) -> str:
        """The tasks that were long enough for their goal, and did not reach it; '' if none."""
        missed = [
            i + 1
            for i, (ratio, time) in enumerate(
                zip(self.cost_ratios, self.settling_times, strict=True)
            )
            if np.isfinite(ratio) and not np.isfinite(time)
        ]
        return f'goal {", ".join(map(str, missed))} was not reached' if missed else ''


def score(flight: Flight) -> Score:
    """Compares a flight with the optimum."""
    return Score(
        flight.system.name,
        flight.loop,
        tuple(cost_ratio(flight, task) for task in flight.tasks),
        tuple(settling_time(flight.system, flight.states, task) for task in flight.tasks),
        tuple(clearance(flight, task) for task in flight.tasks if task.obstacles),
    )


def clearance(flight: Flight, task: Task) -> float:
    """The least distance [m] between the plant's position and the surface of an obstacle."""
    states = flight.states.between(task.start, task.end)
    gaps = [
        np.hypot(*(states.values[:, :2] - _places(obstacle, states.times)).T) - obstacle.radius
        for obstacle in task.obstacles
    ]
    return float(np.min(gaps)) if len(states.times) else float('nan')


def _places(obstacle: Obstacle, times: Array) -> Array:
    """Where an obstacle is (N, 2) at times (N,)."""
    return np.array([obstacle.at(time)[:2] for time in times]).reshape(-1, 2)


def settling_time(system: System, states: Samples, task: Task) -> float:
    """Seconds until every state is close to the goal for good; infinite if that never happens."""
    states = states.between(task.start, task.end)
    far = np.flatnonzero(~is_close(system, states.values, task.goal))
    settled = far[-1] + 1 if len(far) else 0
    if settled == len(states.times):
        return float('inf')
    return float(states.times[settled] - task.start)


def cost_ratio(flight: Flight, task: Task) -> float:
    """J of what the plant did over the system's horizon, over J of the optimum from there.

    The states are taken at the optimum's instants, the control as its mean over each of its
    steps. A loop faster than the optimum's steps may come out below 1. NaN if the task was
    shorter than the horizon.
    """
    system = flight.system
    states = flight.states.between(task.start, task.end)
    if not len(states.times):
        return float('nan')
    instants = states.times[0] + system.dt * np.arange(system.horizon + 1)
    if instants[-1] > states.times[-1]:
        return float('nan')
    x = np.stack([np.interp(instants, states.times, column) for column in states.values.T], -1)
    u = mean_controls(system, flight.commands, instants)
    if task.obstacles:
        known = parameters_of(system, task.obstacles, float(instants[0]), x[0])
        optimum = multistart.solve(system, x[0], task.goal, parameters=known)
    else:
        optimum = nlp.solve(system, x[0], task.goal)
    return float(trajectory_cost(system, x, u, task.goal[None]) / optimum.cost)


def format_table(scores: Sequence[Score]) -> str:
    """A column for each system."""
    rows = [('', [score.system for score in scores])]
    rows += [(name, [cell(score) for score in scores]) for name, cell in ROWS.items()]
    if any(score.clearances for score in scores):
        rows.append(('nearest to an obstacle [cm]', [_clearances(score) for score in scores]))
    widths = [max(len(row[1][i]) for row in rows) for i in range(len(scores))]
    label = max(len(name) for name, _ in rows)
    lines = [
        f'{name:{label}}   ' + '   '.join(f'{c:>{w}}' for c, w in zip(cells, widths, strict=True))
        for name, cells in rows
    ]
    return '\n'.join([lines[0], '-' * len(lines[0]), *lines[1:]])


def _rate(score: Score) -> str:
    achieved, target = (score.loop.get(f'{k}_rate_hz', np.nan) for k in ('achieved', 'target'))
    return f'{achieved:.2f} of {target:g}'


def _spread(score: Score, quantity: str) -> str:
    values = (score.loop.get(f'{quantity}_{k}_us', np.nan) for k in ('p50', 'p99', 'max'))
    return ' / '.join(f'{1e-3 * value:.2f}' for value in values)


def _misses(score: Score) -> str:
    misses, cycles = (score.loop.get(key, np.nan) for key in ('deadline_misses', 'cycles'))
    return f'{misses:.0f} of {cycles:.0f}'


def _ratios(score: Score) -> str:
    return ' / '.join('-' if np.isnan(r) else f'{r:.3f}' for r in score.cost_ratios)


def _settling(score: Score) -> str:
    return ' / '.join(f'{t:.2f}' if np.isfinite(t) else 'never' for t in score.settling_times)


def _clearances(score: Score) -> str:
    return ' / '.join(f'{100 * gap:.1f}' for gap in score.clearances) or '-'


ROWS = {
    'achieved rate [Hz]': _rate,
    'period jitter p50 / p99 / max [ms]': lambda score: _spread(score, 'period_jitter'),
    'plan time p50 / p99 / max [ms]': lambda score: _spread(score, 'plan_time'),
    'deadline misses': _misses,
    "closed-loop cost over the optimum's": _ratios,
    'settling time [s]': _settling,
}
