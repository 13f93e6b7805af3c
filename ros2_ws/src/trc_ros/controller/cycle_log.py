"""Cycle log: one debug line per cycle about what was decided and why."""

from __future__ import annotations

from typing import Any

from rclpy.logging import LoggingSeverity

from trc_core.flight.safety import Decision


class CycleLog:
    """Logs decisions while the level of the logger is debug, and costs nothing otherwise.

    Args:
        logger: of the node.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self.refresh()

    def refresh(self) -> None:
        """Looks at the level of the logger, which may change at any time."""
        self.enabled = bool(self._logger.is_enabled_for(LoggingSeverity.DEBUG))

    def __call__(self, decision: Decision, state_age: float | None) -> None:
        """Logs one decision, made from a state so many seconds old; None if there is none."""
        self._logger.debug(line_of(decision, state_age))


def line_of(decision: Decision, state_age: float | None) -> str:
    """One line about a decision."""
    parts = [f'{decision.state.value}: {decision.reason}']
    if (plan := decision.plan) is not None:
        considered = ', '.join(f'{name} {cost:.6g}' for name, cost in plan.candidates.items())
        parts.append(f'plan {plan.source}, cost {plan.cost:.6g}, {plan.cycles} cycles')
        parts.append(f'candidates {considered or "none"}')
    if decision.plan_time is not None:
        parts.append(f'planned in {1e3 * decision.plan_time:.3f} ms')
    if state_age is not None:
        parts.append(f'state {1e3 * state_age:.1f} ms old')
    command = 'none' if decision.control is None else decision.control.tolist()
    limit = f' (limit: {decision.limit})' if decision.limit else ''
    parts.append(f'command {command}{limit}')
    return '; '.join(parts)
