"""Figure of a flight: states, goals, predicted horizons, controls and the phase plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np

matplotlib.use('Agg')  # no display needed

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Circle

from trc_core.flight.obstacles import Obstacle
from trc_core.numerics.batch import BatchStep
from trc_core.problem.system import Array
from trc_core.systems import System
from trc_core.systems.robot_view import side_view_of
from trc_core.systems.shipped import SideView
from trc_ros.lab.demo.flight import Flight, Task
from trc_ros.lab.plot_style import (
    BOUND,
    CONTROL,
    GOAL,
    INK,
    PAPER,
    PREDICTED,
    PROPOSED,
    STATE,
    STYLE,
    label,
)
from trc_ros.lab.recording import Horizon, Samples

HORIZON_AGES = (0.05, 0.35, 0.7, 1.1, 1.6, 2.3)  # [s] after a task began; one horizon each
STEP_PARTS = 8  # how finely a step of the plan is drawn
ONE_COLUMN = 8  # states and controls that are drawn one below the other


class Quantity(NamedTuple):
    """A state or a control."""

    kind: str
    """'state' or 'control'."""
    place: int


def draw(flight: Flight, path: Path, proposals: Sequence[Array] = ()) -> None:
    """Writes the figure of a flight to `path` (PNG).

    Args:
        flight: what was recorded.
        path: of the picture.
        proposals: states (N, T + 1, n_x) of what was proposed at the start of every task, where
            there are obstacles.
    """
    system, view = flight.system, side_view_of(flight.system)
    columns = columns_of(system)
    rows, width = max(map(len, columns)), 2.1 * len(columns) ** 0.6
    with plt.rc_context(STYLE):
        size = (4.2 * (1 + width), 2.1 * rows + 1.2)
        figure = plt.figure(figsize=size, layout='constrained')
        left, right = figure.add_gridspec(1, 2, width_ratios=(width, 1))
        grid = left.subgridspec(rows, len(columns)).subplots(sharex=True, squeeze=False)
        horizons = shown_horizons(flight)
        for column, panels in zip(columns, grid.T, strict=True):
            for quantity, axes in zip(column, panels, strict=False):
                draw_quantity(axes, flight, horizons, quantity)
            draw_tasks(panels[: len(column)], flight)
            for axes in panels[len(column) :]:
                axes.axis('off')
        if view is not None and flight.tasks[0].obstacles:
            draw_ways(right, flight, horizons, view, proposals)
        else:
            draw_planes(right, rows, flight, horizons, view)
        figure.suptitle(title(flight), fontsize=13, fontweight='bold', x=0.01, ha='left')
        figure.savefig(path, dpi=130)
        plt.close(figure)


def columns_of(system: System) -> list[list[Quantity]]:
    """What is drawn over time: all in one column, or positions, speeds and controls of a robot."""
    states = [Quantity('state', i) for i in range(system.n_x)]
    controls = [Quantity('control', j) for j in range(system.n_u)]
    if len(states) + len(controls) <= ONE_COLUMN:
        return [states + controls]
    speeds = [states[joint.velocity] for joint in system.joints if joint.velocity is not None]
    others = [state for state in states if state not in speeds]
    return [column for column in (others, speeds, controls) if column]


def draw_quantity(
    axes: Axes, flight: Flight, horizons: Sequence[Samples], quantity: Quantity
) -> None:
    """A state or a control over time."""
    if quantity.kind == 'state':
        draw_state(axes, flight, horizons, quantity.place)
    else:
        draw_control(axes, flight, quantity.place)


def draw_planes(
    where: SubplotSpec,
    rows: int,
    flight: Flight,
    horizons: Sequence[Samples],
    view: SideView | None,
) -> None:
    """The plant itself where one knows how to draw it, the phase plane, and what colours mean."""
    pictures = 1 if view is None else 2
    heights = ((rows - 1) / pictures,) * pictures + (1,)
    *planes, corner = where.subgridspec(pictures + 1, 1, height_ratios=heights).subplots()
    if view is not None:
        draw_plant(planes[0], flight, horizons, view)
    draw_phase_plane(planes[-1], flight, horizons)
    corner.axis('off')
    corner.legend(*planes[-1].get_legend_handles_labels(), loc='center')


def draw_plant(axes: Axes, flight: Flight, horizons: Sequence[Samples], view: SideView) -> None:
    """The plant at the start of every task and at its goals, its path and its predicted paths."""
    for horizon in horizons:
        axes.plot(*view.path(horizon.values).T, color=PREDICTED, lw=1.0, zorder=3)
    for task in flight.tasks:
        flown = flight.states.between(task.start, task.end).values
        axes.plot(*view.path(flown).T, color=STATE, lw=4.5, zorder=2)
        for x, colour, width in ((flown[0], INK, 2.0), (task.goal, GOAL, 1.3)):
            for line in view.outline(x):
                axes.plot(*line.T, 'o-', color=colour, lw=width, ms=2.0 * width, zorder=4)
    axes.set_aspect('equal', adjustable='datalim')


def draw_ways(
    where: SubplotSpec,
    flight: Flight,
    horizons: Sequence[Samples],
    view: SideView,
    proposals: Sequence[Array],
) -> None:
    """One picture for every task: obstacles, what was proposed, predicted and flown."""
    heights = (1.0,) * len(flight.tasks) + (0.6,)
    *planes, corner = where.subgridspec(len(heights), 1, height_ratios=heights).subplots()
    for n, (axes, task) in enumerate(zip(planes, flight.tasks, strict=True)):
        for states in proposals[n] if n < len(proposals) else ():
            axes.plot(*view.path(states).T, color=PROPOSED, lw=1.0, zorder=2, label='proposed')
        of_task = [h for h in horizons if task.start <= h.times[0] < task.end]
        draw_way(axes, flight, task, of_task, view)
        axes.set_title(task.name, fontsize=10, loc='left')
    corner.axis('off')
    known = {name: handle for handle, name in zip(*_handles(planes), strict=True)}
    corner.legend(known.values(), known.keys(), loc='center', ncols=2)


def draw_way(
    axes: Axes, flight: Flight, task: Task, horizons: Sequence[Samples], view: SideView
) -> None:
    """The plant on its way among the obstacles of a task."""
    states = flight.states.between(task.start, task.end)
    way = view.path(states.values)
    for obstacle in task.obstacles:
        draw_obstacle(axes, obstacle, states.times, way)
    for horizon in horizons:
        path = view.path(horizon.values)
        axes.plot(*path.T, color=PREDICTED, lw=1.0, zorder=3, label='predicted')
    axes.plot(*way.T, color=STATE, lw=4.5, zorder=2.5, label='flown')
    for x, colour, name in ((states.values[0], INK, 'start'), (task.goal, GOAL, 'goal')):
        for line in view.outline(x):
            axes.plot(*line.T, color=colour, lw=1.8, zorder=4, label=name)
    axes.set_aspect('equal', adjustable='datalim')


def draw_obstacle(axes: Axes, obstacle: Obstacle, times: Array, way: Array) -> None:
    """An obstacle where it was when the plant was nearest, and where it came from.

    Args:
        axes: to draw into.
        obstacle: round.
        times: (N,) [s] of the way.
        way: (N, 2) of the plant.
    """
    places = np.array([obstacle.at(time)[:2] for time in times])
    nearest = int(np.hypot(*(way - places).T).argmin())
    for place, style in (
        (places[0], {'fill': False, 'ls': ':'}),
        (places[nearest], {'alpha': 0.35}),
    ):
        axes.add_patch(Circle(place, obstacle.radius, color=BOUND, lw=1.0, zorder=1, **style))
    axes.plot(*places[: nearest + 1].T, color=BOUND, lw=1.0, zorder=1)
    axes.fill_between([], [], color=BOUND, alpha=0.35, label='obstacle, when nearest')


def _handles(planes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    """The handles and the labels of the legends of several axes."""
    pairs = [axes.get_legend_handles_labels() for axes in planes]
    return [h for handles, _ in pairs for h in handles], [n for _, names in pairs for n in names]


def title(flight: Flight) -> str:
    """The name of the system and how fast it was controlled."""
    rate = flight.loop.get('achieved_rate_hz', float('nan'))
    horizon = flight.system.dt * flight.system.horizon
    name = flight.system.name.replace('_', ' ')
    return f'{name}: {horizon:g} s horizons, refined {rate:.0f} times a second over ROS 2'


def shown_horizons(flight: Flight) -> list[Samples]:
    """The predicted states of a few plans of every task, cut off where the task ends."""
    chosen = []
    starts = np.array([horizon.start for horizon in flight.horizons])
    for task in flight.tasks:
        wanted = [task.start + age for age in HORIZON_AGES]
        indices = sorted({int(np.searchsorted(starts, t)) for t in wanted})
        chosen += [
            predicted(flight.system, flight.horizons[i]).between(task.start, task.end)
            for i in indices
            if i < len(starts) and starts[i] < task.end
        ]
    return chosen


def predicted(system: System, horizon: Horizon) -> Samples:
    """The states of a plan, simulated between its points as well where the controls are known."""
    parts = STEP_PARTS if len(horizon.controls) and not system.discrete else 1
    from_there, step = np.array(horizon.states[:-1]), BatchStep(system)
    between = [
        step(from_there, np.array(horizon.controls), seconds=system.dt / parts * part)
        for part in range(1, parts)
    ]
    grown = np.stack([from_there, *between], axis=1).reshape(-1, system.n_x)
    states = np.vstack([grown, horizon.states[-1]])
    return Samples(horizon.start + system.dt / parts * np.arange(len(states)), states)


def draw_state(axes: Axes, flight: Flight, horizons: Sequence[Samples], i: int) -> None:
    """One coordinate over time, its goals and the fan of predictions."""
    system, zero = flight.system, flight.tasks[0].start
    for horizon in horizons:
        times = horizon.times - zero
        axes.plot(times, horizon.values[:, i], color=PREDICTED, lw=1.0, zorder=3)
        axes.plot(times[:1], horizon.values[:1, i], 'o', color=PREDICTED, ms=3.5, zorder=4)
    states = recorded_states(flight)
    axes.plot(states.times - zero, states.values[:, i], color=STATE, lw=4.5, zorder=2)
    for task in flight.tasks:
        span = (task.start - zero, task.end - zero)
        axes.hlines(task.goal[i], *span, color=GOAL, lw=1.3, ls=(0, (4, 3)))
    axes.set_ylabel(label(system.state_names[i], system.state_units[i]))


def draw_control(axes: Axes, flight: Flight, j: int) -> None:
    """One control over time and its bounds."""
    system, zero = flight.system, flight.tasks[0].start
    end = flight.tasks[-1].end
    commands = flight.commands.between(zero, end)
    low, high = system.u_min[j], system.u_max[j]
    room = 0.15 * (high - low)
    axes.axhspan(high, high + room, color=BOUND, alpha=0.18, lw=0)
    axes.axhspan(low - room, low, color=BOUND, alpha=0.18, lw=0)
    axes.hlines([low, high], 0, end - zero, color=BOUND, lw=1)
    axes.step(commands.times - zero, commands.values[:, j], where='post', color=CONTROL, lw=1.6)
    axes.set_ylim(low - room, high + room)
    axes.set_ylabel(label(system.control_names[j], system.control_units[j]))


def draw_tasks(panels: Sequence[Axes], flight: Flight) -> None:
    """Marks where every goal or restart came in."""
    zero = flight.tasks[0].start
    for task in flight.tasks:
        for axes in panels:
            axes.axvline(task.start - zero, color=INK, lw=0.8, alpha=0.45, ls=':')
        panels[0].annotate(
            task.name,
            (task.start - zero, 1.0),
            xycoords=('data', 'axes fraction'),
            xytext=(4, 2),
            textcoords='offset points',
            fontsize=9,
            va='bottom',
        )
    panels[0].set_xlim(0, flight.tasks[-1].end - zero)
    panels[-1].set_xlabel('time [s]')


def draw_phase_plane(axes: Axes, flight: Flight, horizons: Sequence[Samples]) -> None:
    """Two coordinates against each other, for all tasks; feeds the legend."""
    system = flight.system
    i, k = plane_of(system)
    for n, horizon in enumerate(horizons):
        name = 'predicted horizons' if n == 0 else None
        x = horizon.values
        axes.plot(x[:, i], x[:, k], color=PREDICTED, lw=1.0, zorder=3, label=name)
    x = recorded_states(flight).values
    axes.plot(x[:, i], x[:, k], color=STATE, lw=4.5, label='flown')
    start = np.concatenate(
        [flight.states.between(task.start, task.end).values[:1] for task in flight.tasks]
    )
    axes.plot(start[:, i], start[:, k], 'o', color=INK, mec=PAPER, ms=8, zorder=4, label='start')
    goals = np.stack([task.goal for task in flight.tasks])
    axes.plot(goals[:, i], goals[:, k], '*', color=GOAL, mec=PAPER, ms=16, zorder=4, label='goal')
    axes.plot([], [], color=CONTROL, lw=1.6, label='control')
    axes.fill_between([], [], color=BOUND, alpha=0.18, label='beyond the bounds')
    axes.set_xlabel(label(system.state_names[i], system.state_units[i]))
    axes.set_ylabel(label(system.state_names[k], system.state_units[k]))


def recorded_states(flight: Flight) -> Samples:
    """The states of all tasks, with a NaN between them, so that no line crosses a restart."""
    pieces = [flight.states.between(task.start, task.end) for task in flight.tasks]
    gap = np.full((1, flight.system.n_x), np.nan)
    return Samples(
        np.concatenate([part for piece in pieces for part in (piece.times, gap[0, :1])]),
        np.concatenate([part for piece in pieces for part in (piece.values, gap)]),
    )


def plane_of(system: System) -> tuple[int, int]:
    """The coordinates of the phase plane: of the first joint, or else the first two."""
    for joint in system.joints:
        if joint.velocity is not None:
            return joint.position, joint.velocity
    return 0, min(1, system.n_x - 1)
