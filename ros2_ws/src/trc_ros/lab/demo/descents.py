"""Descents of the demo: landers fly until they are on the ground, faster than time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use('Agg')  # no display needed

from matplotlib import pyplot as plt

from trc_core.problem.system import Array, System
from trc_core.systems.draws import drawn_states
from trc_ros.lab.bag import Bag
from trc_ros.lab.demo.demonstrated import Demonstrated
from trc_ros.lab.plot_style import CONTROL, GOAL, INK, PREDICTED, STATE, STYLE
from trc_ros.lab.recording import Horizon, Recorder, Samples, read_horizons, read_states
from trc_ros.lab.two_nodes import DELIVERY_TIME, TwoNodes

DESCENTS = 4
LONGEST = 240.0  # [s of the steady clock] until a lander must be on the ground
ARROWS, LENGTH = 24, 900.0  # arrows along a descent, and the length of the strongest one [m]
LOCKSTEP = {'use_sim_time': True}
PLANT = {'lockstep': True, 'lockstep_timeout': 5.0, 'state_rate': 10.0, 'simulation_rate': 100.0}
CONTROLLER = {'cycle_on': 'state', 'slow_plans': 'warn'}


@dataclass(frozen=True)
class Descent:
    """A flight to the ground; times are those of the simulation."""

    states: Samples
    horizons: list[Horizon]


def fly_descents(flown: Demonstrated, seed: int, bag: Bag | None) -> list[Descent]:
    """Flies random starts, from where a plan may exist, one after the other in lock-step.

    Raises:
        NodeError: if a node ends early, or a lander does not come down.
    """
    system = flown.system
    starts, _ = drawn_states(system, np.random.default_rng(seed), DESCENTS)
    plant = {**flown.named, **LOCKSTEP, **PLANT, 'initial_state': starts[0].tolist()}
    controller = {**flown.named, **flown.planned, **LOCKSTEP, **CONTROLLER}
    record = functools.partial(Recorder, keep=None if bag is None else bag.write)
    descents = []
    with TwoNodes(system, plant, controller, record) as nodes:
        for n, x0 in enumerate(starts):
            if n:
                nodes.recorder.forget()
                nodes.operator.reset_plant(x0)
            for wanted in (False, True):  # after a reset the last lander is still heard of
                nodes.operator.wait_until(
                    functools.partial(_is_down, nodes.recorder, wanted),
                    LONGEST,
                    f'{system.name}: no ground so far',
                )
            nodes.operator.spin_for(DELIVERY_TIME)
            descents.append(_descent(nodes.recorder, system, x0))
    return descents


def _is_down(recorder: Recorder, wanted: bool) -> bool:
    """Whether the newest state is one at rest on the ground, as wanted, or in the air."""
    message = recorder.newest('state')
    if message is None:
        return False
    height = message.position[list(message.name).index('z')]
    return (height == 0.0 and not any(message.velocity)) is wanted


def _descent(recorder: Recorder, system: System, x0: Array) -> Descent:
    """What was recorded from a start (n_x,) to the ground."""
    states = read_states(recorder, system)
    begin = int(np.abs(states.values - x0).max(axis=1).argmin())
    resting = (states.values[:, 2] == 0.0) & ~states.values[:, 3:6].any(axis=1)
    end = begin + int(np.argmax(resting[begin:]))
    kept = Samples(states.times[begin : end + 1], states.values[begin : end + 1])
    first, last = kept.times[0], kept.times[-1]
    found = [h for h in read_horizons(recorder, system) if first <= h.start <= last]
    return Descent(kept, found)


def draw_descents(system: System, descents: Sequence[Descent], path: Path) -> None:
    """Writes the picture of descents with their thrusts to `path` (PNG)."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(11.0, 7.5), layout='constrained')
        axes = figure.add_subplot(projection='3d')
        for n, descent in enumerate(descents):
            _draw_descent(axes, descent, named=n == 0)
        axes.plot([0.0], [0.0], [0.0], 'o', color=GOAL, ms=9, label='goal', zorder=9)
        axes.set(xlabel='x [m]', ylabel='y [m]', zlabel='z [m]')
        axes.set_zlim(bottom=0.0)
        axes.set_box_aspect((1.3, 1.3, 0.8), zoom=1.2)
        axes.view_init(elev=18, azim=-60)
        axes.legend(loc='upper left')
        name = system.name.replace('_', ' ')
        figure.suptitle(f'{name}: least fuel, planned ten times a second over ROS 2', x=0.3)
        figure.savefig(path, dpi=130)
        plt.close(figure)


def _draw_descent(axes: Any, descent: Descent, named: bool) -> None:
    def label(text: str) -> str | None:
        return text if named else None

    x = descent.states.values
    axes.plot(*x[:, :3].T, color=STATE, lw=3.5, label=label('flown'))
    axes.plot(*x[:1, :3].T, 'o', color=INK, ms=6, label=label('start'))
    if not descent.horizons:
        return
    plan = np.array(descent.horizons[0].states)
    axes.plot(*plan[:, :3].T, color=PREDICTED, lw=1.2, label=label('first plan'))
    every = max(1, len(descent.horizons) // ARROWS)
    shown = descent.horizons[::every]
    tails = np.array([h.states[0][:3] for h in shown])
    thrusts = np.array([h.controls[0] for h in shown])
    thrusts *= LENGTH / np.linalg.norm(thrusts, axis=1).max()
    axes.quiver(
        *tails.T, *thrusts.T, color=CONTROL, lw=1.1, arrow_length_ratio=0.2, label=label('thrust')
    )


def outcome(descent: Descent) -> str:
    """A line about how a lander came down: the last state before the ground."""
    before, after = descent.states.values[-2:]
    seconds = descent.states.times[-1] - descent.states.times[0]
    fuel = descent.states.values[0, 6] - after[6]
    miss, speed = np.hypot(*after[:2]), np.linalg.norm(before[3:6])
    return (
        f'down after {seconds:5.1f} s, {miss:.3f} m from the goal, at {speed:.2f} m/s a tick '
        f'before, with {fuel:.0f} kg of fuel'
    )
