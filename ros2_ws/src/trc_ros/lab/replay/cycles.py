"""Cycles of a recorded flight, flown again and compared with what was commanded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from trc_core.flight.cycle_record import CycleRecord, read_record
from trc_core.flight.memory import recall, sizes_of
from trc_core.flight.pilot import Pilot
from trc_core.flight.replay import Replayed, replayed
from trc_core.problem.system import Array
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.lab.replay.comparison import Comparison
from trc_ros.lab.replay.controller_of_today import Parameters
from trc_ros.lab.replay.recorded_flight import Line, RecordedFlight

NANO = 1e-9


class Replay:
    """Flies the cycles of a recorded flight again.

    Args:
        flight: as the bag holds it.
        pilot: flies.
        parameters: that it flies with.
    """

    def __init__(self, flight: RecordedFlight, pilot: Pilot, parameters: Parameters) -> None:
        self._flight, self._pilot, self._parameters = flight, pilot, parameters
        self._remarks = list(flight.remarks)
        self._digest = pilot.controller.checkpoint.digest
        self._settings: dict[int, Any] = {}
        self._times: dict[int, int] = {}
        self._lost = 0

    @property
    def same(self) -> bool | None:
        """Whether the checkpoint is the one that flew; None if the bag does not say."""
        opening = self._flight.opening
        return None if opening is None else opening.get('checkpoint') == self._digest

    def compared(self) -> Comparison:
        """The comparison of all cycles.

        Raises:
            ValueError: if a record is none of such a plant.
        """
        records = self._records(self._flight.lines)
        flown = list(replayed(self._pilot, records, self._adjust, bool(self.same)))
        if not flown:
            raise ValueError('the bag holds no cycle after the one that the replay begins with')
        if self._lost:
            self._remarks.append(
                f'{self._lost} cycles are missing from the bag: what follows them begins anew'
            )
        return comparison_of(
            self._pilot,
            self._flight.controller,
            flown,
            self._times,
            self.same,
            self._remarks + _versions(self._flight),
        )

    def _records(self, lines: Iterable[Line]) -> Iterator[CycleRecord]:
        """The records that are flown; those with a memory set the pilot where one is needed."""
        sizes, last = sizes_of(self._pilot.controller.system), None
        for k, line in enumerate(lines):
            try:
                record = read_record(line.entries, sizes)
            except ValueError as error:
                raise ValueError(f'cycle record {k}: {error}') from None
            joined = last is not None and record.cycle == last + 1
            self._lost += 0 if joined or last is None else max(0, record.cycle - last - 1)
            last = record.cycle
            if 'settings' in line.extras:
                self._settings[record.cycle] = line.extras['settings']
            if not joined and 'memory' in line.extras:
                # The memory is that after the cycle: the next one can be flown.
                self._adjust(record)
                self._recall(line.extras['memory'])
                continue
            self._times[record.cycle] = line.time
            yield record

    def _recall(self, memory: dict[str, Any]) -> None:
        try:
            recall(self._pilot, memory)
        except ValueError as error:
            if self.same:
                raise
            self._remarks.append(f'the replay begins from a cold start: {error}')

    def _adjust(self, record: CycleRecord) -> None:
        """Applies the settings that held from this cycle on."""
        if (settings := self._settings.pop(record.cycle, None)) is not None:
            self._parameters = apply(self._pilot, self._parameters, settings)


def apply(pilot: Pilot, parameters: Parameters, given: Mapping[str, Any]) -> Parameters:
    """Changes the live settings of a pilot; returns the parameters from then on.

    Raises:
        ValueError: if they do not fit.
    """
    parameters = parameters.changed(given)
    live = LiveSettings.from_parameters(parameters.values, pilot.controller)
    pilot.change(live.settings)
    return parameters


def comparison_of(
    pilot: Pilot,
    title: str,
    flown: list[Replayed],
    times: dict[int, int],
    same: bool | None,
    remarks: list[str],
) -> Comparison:
    """The comparison of cycles that were flown again.

    Args:
        pilot: that flew them.
        title: of the flight.
        flown: the cycles.
        times: when they were sent [ns since the epoch], by number.
        same: whether the checkpoint is the one that flew.
        remarks: about what is missing.
    """
    system = pilot.controller.system
    sent = np.array([times[cycle.record.cycle] for cycle in flown])

    def rows(values: Iterable[Array | None], n: int) -> Array:
        silence = np.full(n, np.nan)
        return np.array([silence if v is None else v for v in values], dtype=np.float64)

    plans = [(cycle.record.cost, cycle.decision.plan) for cycle in flown]
    costs = [
        (np.nan if before is None else before, np.nan if plan is None else plan.cost)
        for before, plan in plans
    ]
    return Comparison(
        system,
        title,
        NANO * (sent - sent[0]),
        np.array([cycle.record.cycle for cycle in flown]),
        rows((cycle.record.state for cycle in flown), system.n_x),
        rows((cycle.record.control for cycle in flown), system.n_u),
        rows((cycle.decision.control for cycle in flown), system.n_u),
        np.array(costs, dtype=np.float64),
        same,
        remarks,
    )


def _versions(flight: RecordedFlight) -> list[str]:
    """A remark if the flight was made by other versions or on another processor."""
    from trc_core.provenance import flown

    then = (flight.opening or {}).get('versions', {})
    now = flown()
    other = [
        f'{name} was {then[name]}, is {now[name]}'
        for name in now
        if isinstance(then, dict) and name in then and then[name] != now[name]
    ]
    return [f'the last bits of a plan may differ: {"; ".join(other)}'] if other else []
