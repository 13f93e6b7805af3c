"""Cycle record: what one control cycle depended on and what came of it, as a line of JSON.

A pilot with the same controller and the same memory makes of it the same command to the last bit,
wherever and whenever: `trc_core.flight.replay`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trc_core.flight.forms import Block, Each, Fields, Maybe, Named, Scalar, Sizes, Vector
from trc_core.flight.memory import COUNT, NUMBER, TEXT, TRUTH
from trc_core.flight.reference import Goal, ReferenceTrack
from trc_core.flight.safety import Condition, Decision, Measurement
from trc_core.problem.system import Array, System

LONGEST = 16_000_000  # letters of one record


@dataclass(frozen=True, eq=False)
class CycleRecord:
    """Record of one control cycle."""

    cycle: int
    """Its number; the next record has the next one, unless one was lost."""
    events: tuple[str, ...]
    """What made the pilot forget something since the cycle before, of `Pilot.take_events`."""
    enabled: bool
    """Whether the controller was allowed to plan."""
    state: Array | None
    """The newest measurement (n_x,); None before the first."""
    time: float
    """When it was measured [s], on the clock of the pilot; 0 without one."""
    goal: Array | None
    """What was to be reached (n_x,), at that time; None without a goal, to stay."""
    reference: Array | None
    """What was to be followed (T + 1, n_x), from the time on at which a plan takes effect."""
    goal_time: float | None
    """When the goal arrived; None for one that does not age."""
    parameters: Mapping[str, float]
    """Parameters that were given in flight."""
    clock: tuple[float, ...]
    """The clock [s] as the cycle read it, in turn."""
    control: Array | None
    """The command (n_u,); None for silence."""
    verdict: str
    """The safety state."""
    reason: str
    """The reason for it."""
    cycles: int | None
    """Refinement cycles of the plan that was accepted; None without one."""
    cost: float | None
    """J of that plan."""
    deadlines: tuple[bool, ...]
    """Whether the deadline had passed, every time that planning asked."""

    @property
    def measurement(self) -> Measurement | None:
        """The newest measurement."""
        return None if self.state is None else Measurement(self.state, self.time)

    def target(self, system: System) -> Goal | None:
        """The goal, or the reference as a track that is asked for at the recorded time only."""
        if self.reference is None:
            return self.goal
        times = system.dt * np.arange(len(self.reference), dtype=np.float64)
        return RecordedTrack(system, times, self.reference)


class RecordedTrack(ReferenceTrack):
    """The part of a reference that one cycle read; whatever the time, it begins now."""

    def at(self, times: Array) -> Array:
        """Its first state (1, n_x)."""
        return self.states[:1]

    def window(self, begin: float) -> Array:
        """All of it (T + 1, n_x)."""
        return self.states


FORM = Fields(
    CycleRecord,
    {
        'cycle': COUNT,
        'events': Each(TEXT),
        'enabled': TRUTH,
        'state': Maybe(Vector('n_x')),
        'time': NUMBER,
        'goal': Maybe(Vector('n_x')),
        'reference': Maybe(Block(('T + 1', 'n_x'))),
        'goal_time': Maybe(NUMBER),
        'parameters': Named(),
        'clock': Each(NUMBER),
        'control': Maybe(Vector('n_u')),
        'verdict': Scalar(str),
        'reason': Scalar(str),
        'cycles': Maybe(COUNT),
        'cost': Maybe(NUMBER),
        'deadlines': Each(TRUTH),
    },
)
EXTRAS = ('opening', 'memory', 'settings')
"""What only some records hold beside: who flies, what the pilot remembers after the cycle, and the
live settings by name from this cycle on."""


def record_of(
    cycle: int,
    events: tuple[str, ...],
    measurement: Measurement | None,
    goal: tuple[Goal | None, float | None, Array | None],
    begin: float,
    parameters: Mapping[str, float],
    clock: list[float],
    deadlines: list[bool],
    decision: Decision,
) -> CycleRecord:
    """The record of a cycle.

    Args:
        cycle: its number.
        events: of the pilot since the cycle before.
        measurement: that it began with.
        goal: the goal, the time of its arrival, and the state (n_x,) that it asks for.
        begin: when a plan from the measurement takes effect.
        parameters: given in flight.
        clock: the readings of the pilot.
        deadlines: the answers of the controller's watch.
        decision: what came of it.
    """
    asked, goal_time, aim = goal
    moving = isinstance(asked, ReferenceTrack) and measurement is not None
    plan = decision.plan
    return CycleRecord(
        cycle,
        events,
        decision.reason != Condition.DISABLED.value,
        None if measurement is None else measurement.x,
        0.0 if measurement is None else measurement.time,
        aim,
        asked.window(begin) if moving and isinstance(asked, ReferenceTrack) else None,
        goal_time,
        parameters,
        tuple(clock),
        decision.control,
        decision.state.value,
        decision.reason,
        None if plan is None else plan.cycles,
        None if plan is None else plan.cost,
        tuple(deadlines),
    )


def text_of(record: CycleRecord, **extras: Any) -> str:
    """The record as a line of JSON, with any of `EXTRAS`."""
    return json.dumps({**FORM.written(record), **extras}, separators=(',', ':'))


def split(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entries of a line, and apart from them its extras.

    Raises:
        ValueError: if it is no JSON object of a sensible length.
    """
    if len(text) > LONGEST:
        raise ValueError(f'a record of {len(text)} letters, expected at most {LONGEST}')
    try:
        entries = json.loads(text)
    except RecursionError:
        raise ValueError('a record that is nested too deeply') from None
    if not isinstance(entries, dict):
        raise ValueError('a record that is no JSON object')
    extras = {name: entries.pop(name) for name in EXTRAS if name in entries}
    if not all(isinstance(extra, dict) for extra in extras.values()):
        raise ValueError(f'{sorted(extras)} should be JSON objects')
    return entries, extras


def read_record(entries: dict[str, Any], sizes: Sizes) -> CycleRecord:
    """The record of entries.

    Raises:
        ValueError: if they are not those of a record of such a system.
    """
    record: CycleRecord = FORM.read(entries, sizes)
    return record
