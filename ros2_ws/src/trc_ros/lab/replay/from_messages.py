"""Cycles put together from messages, for bags that hold no records of them.

A cycle is taken to have begun with the newest state; nobody recorded which goal it knew, nor what
the pilot remembered. What comes out is near to the flight, not equal to it.
"""

from __future__ import annotations

import importlib
import itertools
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from rclpy.parameter import parameter_value_to_python
from rclpy.serialization import deserialize_message

from trc_core.flight.assembly import Incomplete
from trc_core.flight.cycle_record import CycleRecord
from trc_core.flight.pilot import Pilot
from trc_core.flight.reference import Goal, ReferenceTrack, state_at, target_from
from trc_core.flight.replay import replayed
from trc_core.lab.report.bag import Message
from trc_core.problem.system import Array, System
from trc_ros.controller.instruction_input import Readers
from trc_ros.controller.node import initial_goal
from trc_ros.controller.states import assembly_of, state_reader_of
from trc_ros.conversions import PassedOver, RejectedInput, own_stamp, seconds_of
from trc_ros.lab.replay.comparison import Comparison
from trc_ros.lab.replay.controller_of_today import Parameters
from trc_ros.lab.replay.cycles import apply, comparison_of
from trc_ros.lab.replay.recorded_flight import RecordedFlight

NANO = 1e-9
OTHER_CLOCK = 60.0  # [s] between a stamp and the time of sending: the stamps are simulated


def replayed_messages(
    flight: RecordedFlight, pilot: Pilot, parameters: Parameters, remap: Iterable[str]
) -> Comparison:
    """The comparison of a flight whose cycles have to be guessed.

    Args:
        flight: as the bag holds it.
        pilot: flies.
        parameters: that it flies with.
        remap: topics with other names, like 'state:=/joint_states'.

    Raises:
        ValueError: if states or commands are missing, or are none of this system.
    """
    topics, values = Topics(flight, remap), dict(parameters.values)
    system = pilot.controller.system
    states = topics.read('state', assembled(values, system))
    if not states:
        raise ValueError(
            f'no state on {topics.name("state")} is one of {system.name}: {topics.complaint}'
        )
    commands = topics.read('command', lambda message: _command(message, system.n_u))
    if not commands:
        raise ValueError(f'no command on {topics.name("command")}: {topics.complaint}')
    goals = _instructions(topics, values, pilot)
    records, times, arrivals = [], {}, [arrived for arrived, _, _ in states]
    for cycle, (sent, _, control) in enumerate(commands):
        known = bisect_right(arrivals, sent)
        if not known:
            continue
        goal = next((g for t, g in reversed(goals) if t <= sent), initial_goal(values, system))
        records.append(_record(cycle, sent, states[known - 1], goal, control, pilot))
        times[cycle] = sent
    if not records:
        raise ValueError('every command was sent before the first state')
    changes = deque(_changes(topics, flight.controller))

    def before(record: CycleRecord) -> None:
        nonlocal parameters
        while changes and changes[0][0] <= times[record.cycle]:
            parameters = apply(pilot, parameters, changes.popleft()[1])

    flown = list(replayed(pilot, records, before, same=False))
    return comparison_of(
        pilot, flight.controller, flown, times, None, flight.remarks + topics.remarks
    )


def assembled(values: dict[str, Any], system: System) -> Callable[[Any], Array]:
    """Reads the state (n_x,) after a message, which may hold a part of it."""
    read, assembly = state_reader_of(values, system), assembly_of(values, system)
    count = itertools.count()

    def state(message: Any) -> Array:
        stamp = own_stamp(message)
        time = float(next(count)) if stamp is None else seconds_of(stamp)
        assembly.begin()
        try:
            measurement, _ = assembly.add(read(message), time, None, time)
        except Incomplete as error:
            raise PassedOver('partial', str(error)) from None
        return measurement.x

    return state


class Topics:
    """Messages of a bag under the names that the controller knows them by.

    Args:
        flight: as the bag holds it.
        remap: topics with other names.

    Raises:
        ValueError: if a word of `remap` is not of the form NAME:=TOPIC.
    """

    def __init__(self, flight: RecordedFlight, remap: Iterable[str]) -> None:
        space = flight.controller.rpartition('/')[0]
        self._topics = flight.topics
        self._names = {name: f'{space}/{name}' for name in ('state', 'goal', 'command')}
        self._names['reference'] = f'{flight.controller}/reference'
        self._names['parameter_events'] = '/parameter_events'
        for word in remap:
            name, separator, topic = word.partition(':=')
            if not separator or name not in self._names:
                raise ValueError(f"--remap '{word}'; write NAME:=TOPIC for {sorted(self._names)}")
            self._names[name] = topic
        self.complaint = 'there are no messages'
        """Why the last message that was read could not be used."""
        self.remarks: list[str] = []

    def name(self, topic: str) -> str:
        """Its name in the bag."""
        return self._names[topic]

    def read(self, topic: str, read: Callable[[Any], Any]) -> list[tuple[int, Any, Any]]:
        """(time of sending [ns since the epoch], message, content) of what can be read."""
        found, refused = [], 0
        for message in self._topics.get(self._names[topic], ()):
            try:
                content = _decoded(message)
                found.append((message.time, content, read(content)))
            except PassedOver:
                continue
            except (RejectedInput, ValueError) as error:
                refused, self.complaint = refused + 1, str(error)
        if refused and found:
            self.remarks.append(f'{refused} messages on {topic} were refused: {self.complaint}')
        return found


def _decoded(message: Message) -> Any:
    """The message as the controller gets it.

    Raises:
        ValueError: if its type is not installed, or its bytes are damaged.
    """
    message.content()  # by a reader that checks every length
    package, _, name = message.kind.split('/')
    try:
        kind = getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError):
        raise ValueError(f'{message.kind} is not installed here') from None
    return deserialize_message(message.data, kind)


def _command(message: Any, n_u: int) -> Array:
    data = getattr(message, 'data', None)
    if data is None or isinstance(data, str):
        raise ValueError(f'commands as {type(message).__name__} cannot be compared')
    control = np.array(data, dtype=np.float64)
    if control.shape != (n_u,):
        raise ValueError(f'a command of {control.size} numbers, expected {n_u}')
    return control


def _instructions(topics: Topics, values: dict[str, Any], pilot: Pilot) -> list[tuple[int, Goal]]:
    """Goals and references by the time of sending."""
    readers = Readers.of(values, pilot.controller.system)
    goals = topics.read('goal', readers.goal)
    references = topics.read('reference', lambda message: readers.reference(message, 0.0))
    if not goals and not references:
        topics.remarks.append('the bag holds no goal: initial_goal counts')
    found = [(time, goal) for time, _, goal in (*goals, *references)]
    return sorted(found, key=lambda item: item[0])


def _changes(topics: Topics, controller: str) -> list[tuple[int, dict[str, Any]]]:
    """Changed parameters of a controller, by the time of sending."""
    events = topics.read('parameter_events', lambda event: event.node == controller)
    return [
        (time, {p.name: parameter_value_to_python(p.value) for p in event.changed_parameters})
        for time, event, is_ours in events
        if is_ours
    ]


def _record(
    cycle: int,
    sent: int,
    state: tuple[int, Any, Array],
    goal: Goal | None,
    control: Array,
    pilot: Pilot,
) -> CycleRecord:
    """The record of a cycle that began with a state and sent a command."""
    arrived, message, x = state
    stamp = own_stamp(message)
    time = NANO * arrived if stamp is None else seconds_of(stamp)
    # A simulation lives at another time than the bag.
    other = abs(time - NANO * arrived) > OTHER_CLOCK
    now = time if other else max(NANO * sent, time)
    begin = time + pilot.input_delay
    return CycleRecord(
        cycle,
        (),
        True,
        x,
        time,
        None if goal is None else state_at(goal, begin),
        target_from(goal, begin) if isinstance(goal, ReferenceTrack) else None,
        None,
        {},
        (now, now, now),
        control,
        '',
        '',
        None,
        None,
        (),
    )
