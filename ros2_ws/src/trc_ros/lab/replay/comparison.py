"""Comparison of recorded commands with those of a replay: where, when and by how much."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.system import Array, System


@dataclass(frozen=True)
class Comparison:
    """Commands of N cycles, recorded and now."""

    system: System
    title: str
    times: Array
    """When they were sent (N,) [s] since the first cycle of the bag."""
    cycles: NDArray[np.int64]
    """The numbers of the cycles (N,)."""
    states: Array
    """(N, n_x); NaN before the first."""
    recorded: Array
    """(N, n_u); NaN where nothing was commanded."""
    now: Array
    """(N, n_u); the same of the replay."""
    costs: Array
    """J of the plans (N, 2), recorded and now; NaN without one."""
    same_checkpoint: bool | None
    """Whether the checkpoint is the one that flew; None if the bag does not say."""
    remarks: list[str] = field(default_factory=list)

    @property
    def difference(self) -> Array:
        """|now - recorded| (N, n_u); infinite where only one of them commands something."""
        silent = np.isnan(self.recorded), np.isnan(self.now)
        difference = np.where(silent[0] ^ silent[1], np.inf, np.abs(self.now - self.recorded))
        return np.where(silent[0] & silent[1], 0.0, difference)

    @property
    def differing(self) -> NDArray[np.int64]:
        """The rows that differ in any bit."""
        same = np.isnan(self.recorded) & np.isnan(self.now)
        same |= self.recorded.view(np.int64) == self.now.view(np.int64)
        return np.flatnonzero(~same.all(1))

    @property
    def largest(self) -> float:
        """The largest difference."""
        return float(self.difference.max(initial=0.0))

    def exceeds(self, tolerance: float) -> bool:
        """Whether any command differs by more; with 0, in any bit."""
        return len(self.differing) > 0 if tolerance == 0.0 else self.largest > tolerance

    def summary(self) -> dict[str, Any]:
        """The result as JSON values."""
        rows = self.differing
        found: dict[str, Any] = {
            'flight': self.title,
            'system': self.system.name,
            'same_checkpoint': self.same_checkpoint,
            'cycles': len(self.times),
            'seconds': float(self.times[-1] - self.times[0]) if len(self.times) else 0.0,
            'differing_cycles': len(rows),
            'bit_for_bit': len(rows) == 0,
            'mean_plan_cost': {
                'recorded': _mean(self.costs[:, 0]),
                'now': _mean(self.costs[:, 1]),
            },
            'remarks': self.remarks,
        }
        if len(rows):
            row, control = np.unravel_index(int(self.difference.argmax()), self.now.shape)
            found['first'] = self._place(int(rows[0]), None)
            found['largest'] = self._place(int(row), int(control))
            found['largest_by_control'] = {
                name: _finite(column.max())
                for name, column in zip(self.system.control_names, self.difference.T, strict=True)
            }
        return found

    def _place(self, row: int, control: int | None) -> dict[str, Any]:
        i = int(self.difference[row].argmax()) if control is None else control
        return {
            'cycle': int(self.cycles[row]),
            'seconds': float(self.times[row]),
            'control': self.system.control_names[i],
            'recorded': _finite(self.recorded[row, i]),
            'now': _finite(self.now[row, i]),
            'difference': _finite(self.difference[row, i]),
        }

    def text(self) -> str:
        """The result in a few lines."""
        found = self.summary()
        known = {True: 'the same checkpoint', False: 'another checkpoint', None: 'a checkpoint'}
        head = (
            f'{self.title}: {found["cycles"]} cycles in {found["seconds"]:.2f} s, replayed with '
        )
        lines = [head + known[self.same_checkpoint]]
        if found['bit_for_bit']:
            lines.append('every command is the same, bit for bit')
        else:
            lines.append(f'{found["differing_cycles"]} of {found["cycles"]} commands differ')
            lines += [f'{name}: {_said(found[name])}' for name in ('first', 'largest')]
        costs = found['mean_plan_cost']
        if costs['recorded'] is not None and costs['now'] is not None:
            lines.append(
                f'mean J of the plans: {costs["recorded"]:.9g} recorded, {costs["now"]:.9g} now'
            )
        return '\n'.join([*lines, *(f'note: {remark}' for remark in self.remarks)])

    def json(self) -> str:
        """The result, and every command, for other programs."""
        arrays = {
            name: [[_finite(v) for v in row] for row in getattr(self, name)]
            for name in ('recorded', 'now')
        }
        whole = {**self.summary(), 'times': self.times.tolist(), 'commands': arrays}
        return json.dumps(whole, indent=1)


def _said(place: dict[str, Any]) -> str:
    shown = {
        key: 'silence' if place[key] is None else f'{place[key]:.9g}'
        for key in ('recorded', 'now')
    }
    by = 'by everything' if place['difference'] is None else f'by {place["difference"]:.3g}'
    return (
        f'{place["control"]} {by} at {place["seconds"]:.3f} s (cycle {place["cycle"]}): '
        f'{shown["recorded"]} recorded, {shown["now"]} now'
    )


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
