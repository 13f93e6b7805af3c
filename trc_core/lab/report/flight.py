"""The sections of a report about a recorded flight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trc_core.lab.report.bag import RecordedFlight, Signal
from trc_core.lab.report.html import film, heading, picture, table
from trc_core.numerics.cost import difference, is_close
from trc_core.problem.system import Array
from trc_core.systems.robot_view import side_view_of
from trc_core.systems.shipped import SideView

INK, PREDICTED, TARGET = '#22303c', '#e8590c', '#c2255c'
PERIOD = 0.04  # [s] between frames
FRAMES = 750  # at most; a longer flight is cut
SHOWN = 40  # horizons in a phase portrait, at most
DIGITS = 3
Line = tuple[str, float, list[list[float]]]


def sections(flight: RecordedFlight) -> Iterator[str]:
    """Figures, signals, phase portraits and, where one knows how to draw it, an animation."""
    yield heading(flight.name, 2)
    yield table(['', flight.system.name], figures(flight))
    yield picture(_signals(flight), f'{flight.name}: states and controls over time')
    yield picture(_portraits(flight), f'{flight.name}: phase portraits with horizons')
    view = side_view_of(flight.system)
    if view is not None:
        frames, limits, period = animation(flight, view)
        yield film(frames, limits, period)


def figures(flight: RecordedFlight) -> list[list[str]]:
    """Rows of figures that a bag gives."""
    states, commands = flight.states, flight.commands
    system = flight.system
    rows = [
        ['duration [s]', f'{_duration(states):.2f}'],
        ['states', str(len(states.times))],
        ['commands', str(len(commands.times))],
        ['horizons', str(len(flight.horizons))],
    ]
    if len(commands.times) > 1:
        on_bound = (commands.values <= system.u_min) | (commands.values >= system.u_max)
        rows += [
            ['commands per second', f'{(len(commands.times) - 1) / _duration(commands):.1f}'],
            ['controls on a bound', f'{on_bound.mean():.1%}'],
        ]
    if len(flight.goals.times):
        goals = held(flight.goals, states.times)
        error = np.abs(difference(system, states.values, goals)).sum(1)
        close = is_close(system, states.values, goals)
        rows += [
            ['sum |x - goal| at the end', f'{error[-1]:.4f}'],
            ['share of states within the goal', f'{close.mean():.1%}'],
        ]
    return rows


def held(signal: Signal, times: Array) -> Array:
    """Values (N, n) of a signal at `times` (N,): the last before each, or the first."""
    index = np.searchsorted(signal.times, times, side='right') - 1
    return signal.values[np.clip(index, 0, None)]


def _duration(signal: Signal) -> float:
    return float(signal.times[-1] - signal.times[0])


def _signals(flight: RecordedFlight) -> Any:
    from matplotlib.figure import Figure

    system = flight.system
    rows = system.n_x + system.n_u
    figure = Figure(figsize=(11, 1.7 * rows), layout='constrained')
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for i, axes in enumerate(panels[: system.n_x]):
        for start, states in _some_horizons(flight):
            times = start + system.dt * np.arange(len(states))
            axes.plot(times, states[:, i], color=PREDICTED, lw=0.5, alpha=0.5)
        axes.plot(flight.states.times, flight.states.values[:, i], color=INK, lw=1.2)
        if len(flight.goals.times):
            goal = held(flight.goals, flight.states.times)[:, i]
            axes.plot(flight.states.times, goal, color=TARGET, lw=1, ls='--')
        axes.set_ylabel(f'{system.state_names[i]} [{system.state_units[i]}]', fontsize=8)
    for j, axes in enumerate(panels[system.n_x :]):
        axes.step(flight.commands.times, flight.commands.values[:, j], color=INK, where='post')
        for bound in (system.u_min[j], system.u_max[j]):
            axes.axhline(bound, color=TARGET, lw=0.8, ls=':')
        axes.set_ylabel(f'{system.control_names[j]} [{system.control_units[j]}]', fontsize=8)
    panels[-1].set_xlabel('s')
    return figure


def _portraits(flight: RecordedFlight) -> Any:
    """Phase portraits of the joints: velocity over position, measured and predicted."""
    from matplotlib.figure import Figure

    system = flight.system
    planes = [
        (joint.name, joint.position, joint.velocity)
        for joint in system.joints
        if joint.position is not None and joint.velocity is not None
    ]
    figure = Figure(figsize=(4.5 * len(planes), 4), layout='constrained')
    places = figure.subplots(1, len(planes), squeeze=False)[0]
    for axes, (name, p, v) in zip(places, planes, strict=True):
        for _, states in _some_horizons(flight):
            axes.plot(states[:, p], states[:, v], color=PREDICTED, lw=0.5, alpha=0.5)
        axes.plot(flight.states.values[:, p], flight.states.values[:, v], color=INK, lw=1.2)
        if len(flight.goals.times):
            axes.plot(flight.goals.values[:, p], flight.goals.values[:, v], 'x', color=TARGET)
        axes.set(xlabel=system.state_names[p], ylabel=system.state_names[v], title=name)
    return figure


def _some_horizons(flight: RecordedFlight) -> list[tuple[float, Array]]:
    every = max(1, len(flight.horizons) // SHOWN)
    return [(h.start, h.states) for h in flight.horizons[::every]]


def animation(
    flight: RecordedFlight, view: SideView
) -> tuple[list[list[Line]], list[float], float]:
    """Frames, limits and period for `film`: the plant, its goal, and where its plan leads."""
    count = min(FRAMES, int(_duration(flight.states) / PERIOD) + 1)
    times = flight.states.times[0] + PERIOD * np.arange(count)
    states = held(flight.states, times)
    goals = held(flight.goals, times) if len(flight.goals.times) else None
    starts = np.array([horizon.start for horizon in flight.horizons])
    frames = []
    for n, (time, x) in enumerate(zip(times, states, strict=True)):
        lines: list[Line] = [(INK, 3.0, _points(part)) for part in view.outline(x)]
        if goals is not None:
            lines += [(TARGET, 1.0, _points(part)) for part in view.outline(goals[n])]
        plan = np.searchsorted(starts, time, side='right') - 1
        if plan >= 0:
            lines.append((PREDICTED, 1.5, _points(view.path(flight.horizons[plan].states))))
        frames.append(lines)
    return frames, _limits(frames), PERIOD


def _points(points: Array) -> list[list[float]]:
    return [[round(float(c), DIGITS) for c in point] for point in points]


def _limits(frames: list[list[Line]]) -> list[float]:
    points = np.array([p for lines in frames for _, _, part in lines for p in part])
    low, high = points.min(0) - 0.3, points.max(0) + 0.3
    return [float(low[0]), float(high[0]), float(low[1]), float(high[1])]
