"""Diagnostics of a controller for `/diagnostics`; the demo and the tests read these keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Decision, Measurement, SafetyMonitor, SafetyState
from trc_core.numerics.cost import difference
from trc_core.numerics.plan import Plan, step_of
from trc_core.problem.system import Array
from trc_ros.control_loop import LoopStatistics, Spread
from trc_ros.controller.plan_warnings import PlanWarnings
from trc_ros.controller.realtime import FAILED, RealtimeSettings
from trc_ros.conversions import Status
from trc_ros.inputs import Input

OK, WARNING, ERROR = 0, 1, 2
LEVELS = {
    SafetyState.WAITING: OK,
    SafetyState.ACTIVE: OK,
    SafetyState.DEGRADED: WARNING,
    SafetyState.FALLBACK: ERROR,
}
IDLE = Status('safety', OK, 'waiting: no cycle yet', {'state': 'waiting'})
INACTIVE = Status('safety', OK, 'inactive: nothing is commanded', {'state': 'inactive'})


def log_state(logger: Any, state: SafetyState, text: str) -> None:
    """Logs a line about a safety state, as a warning where its level is higher than OK."""
    # Two calls: rclpy ties a severity to the line that logs.
    if LEVELS[state] > OK:
        logger.warning(text)
    else:
        logger.info(text)


class CounterMonitor:
    """Notices which counters have grown since they were last reported."""

    def __init__(self) -> None:
        self._reported: dict[str, int] = {}

    def level(self, name: str, count: int) -> int:
        """WARNING if the count of that name has grown since it was last reported, else OK."""
        before, self._reported[name] = self._reported.get(name, 0), count
        return WARNING if count > before else OK


def loop_status(statistics: LoopStatistics, counters: CounterMonitor) -> Status:
    """Rate, jitter, plan time and deadlines since the loop was started."""
    values = {
        'target_rate_hz': 1.0 / statistics.period,
        'achieved_rate_hz': statistics.rate(),
        **_microseconds('period_jitter', statistics.jitter.spread()),
        **_microseconds('plan_time', statistics.plan_time.spread()),
        'deadline_misses': statistics.deadline_misses,
        'skipped_cycles': statistics.skipped,
        'cycles': statistics.cycles,
    }
    message = f'{statistics.deadline_misses} deadline misses in {statistics.cycles} cycles'
    level = counters.level('deadline_misses', statistics.deadline_misses)
    return Status('control_loop', level, message, values)


def realtime_status(realtime: RealtimeSettings) -> Status:
    """Outcome of the settings `realtime.*`."""
    failed = [name for name, text in realtime.report.items() if text.startswith(FAILED)]
    message = f'no effect: {", ".join(failed)}' if failed else 'as asked for'
    return Status('realtime', WARNING if failed else OK, message, realtime.report)


def input_status(
    inputs: Mapping[str, Input[Any]],
    state_age: float,
    counters: CounterMonitor,
    concern: str = '',
) -> Status:
    """Messages received and rejected, by topic and reason.

    Args:
        inputs: by topic.
        state_age: of the newest state [s].
        counters: notice rejections since the last report.
        concern: what is wrong with the states; empty if nothing is.
    """
    values = input_values(inputs, state_age)
    rejected = sum(source.rejected.total() for source in inputs.values())
    level = counters.level('rejected', rejected)
    if concern:
        return Status('inputs', WARNING, concern, values)
    return Status('inputs', level, f'{rejected} messages rejected', values)


def input_values(inputs: Mapping[str, Input[Any]], state_age: float) -> dict[str, object]:
    """The age of the newest state [s], and counts of messages by topic and reason."""
    values: dict[str, object] = {'state_age_ms': 1e3 * state_age}
    for topic, source in inputs.items():
        values[f'{topic}_received'] = source.received
        values[f'{topic}_rejected'] = source.rejected.total()
        for reason, count in sorted(source.rejected.items()):
            values[f'{topic}_rejected_{reason}'] = count
        for reason, count in sorted(source.passed_over.items()):
            values[f'{topic}_{reason}'] = count
    return values


def model_status(
    pilot: Pilot,
    model: str,
    reloads: int,
    plan: Plan | None,
    warnings: PlanWarnings,
    counters: CounterMonitor,
) -> Status:
    """Model that flies: its name, reloads, learned parameters and newest plan.

    It is a WARNING if a plan since the last time had warnings, and they are the message.
    """
    system = pilot.controller.system
    values: dict[str, object] = {
        'system': system.name,
        'model': model,
        'reloads': reloads,
        'refinement_cycles': pilot.controller.cycles,
        'dt_s': system.dt,
        'horizon_steps': system.horizon,
    }
    values |= {f'learned_{name}': value for name, value in pilot.learned.items()}
    if plan is not None:
        values |= {'plan_cost': plan.cost, 'plan_cycles': plan.cycles, 'plan_source': plan.source}
        values |= {'plan_duration_s': system.horizon * step_of(plan, system)}
    said = '; '.join(warnings.latest)
    values |= {'plans_with_warnings': warnings.count, 'last_warning': said}
    level = counters.level('plans_with_warnings', warnings.count)
    return Status('model', level, said if level else model, values)


def safety_status(
    monitor: SafetyMonitor,
    decision: Decision,
    entries: Mapping[SafetyState, int],
    commands: int,
    enabled: bool,
    rivals: str,
    task: Mapping[str, object],
) -> Status:
    """Safety state and its reason, and the limits that held commands back.

    Args:
        monitor: of the flight.
        decision: the newest one.
        entries: how often each state was entered.
        commands: how many were published.
        enabled: whether the controller may plan.
        rivals: other publishers of the commands, in a sentence; '' if there are none.
        task: values about what it is asked for, of `task_values`.
    """
    state, reason = decision.state, decision.reason
    values = {
        'state': state.value,
        'reason': reason,
        'enabled': enabled,
        'fallback_mode': monitor.settings.fallback_mode,
        'commands_published': commands,
        'other_publishers': rivals or 'none',
        'limited_commands': monitor.limited.total(),
        'command_limit': decision.limit or 'none',
        **{f'limited_{limit}': count for limit, count in sorted(monitor.limited.items())},
        **{f'entered_{s.value}': entries.get(s, 0) for s in SafetyState},
        **task,
    }
    message = f'{state.value}: {reason}'
    if rivals:
        return Status('safety', ERROR, f'{rivals}; {message}', values)
    return Status('safety', LEVELS[state], message, values)


def concerned(status: Status, concern: str) -> Status:
    """A status of a flight that waits, with the reason if nothing usable arrives."""
    if not concern or status.values['state'] != SafetyState.WAITING.value:
        return status
    values = {**status.values, 'reason': concern}
    return Status(status.name, WARNING, f'waiting: {concern}', values)


def task_values(
    monitor: SafetyMonitor, measurement: Measurement | None, aim: Array | None, follows: str
) -> dict[str, object]:
    """Values about the task: what is asked for, and by how much it is missed.

    Args:
        monitor: of the flight.
        measurement: the newest one.
        aim: the state (n_x,) that is asked for at its time, if there is one.
        follows: 'goal', 'reference' or 'hold'.
    """
    system, accepted = monitor.system, monitor.accepted
    values: dict[str, object] = {
        'violation': float('nan') if accepted is None else float(accepted.plan.violation),
        'follows': follows,
    }
    if system.final_time is not None and accepted is not None and measurement is not None:
        values['time_to_go_s'] = max(0.0, accepted.end(system) - measurement.time)
    if aim is None:
        return values
    for name, value in zip(system.state_names, aim.tolist(), strict=True):
        values[f'{follows}_{name}'] = value
    if measurement is not None:
        error = np.abs(difference(system, measurement.x, aim)).tolist()
        for name, value in zip(system.state_names, error, strict=True):
            values[f'tracking_error_{name}'] = value
    return values


def _microseconds(name: str, spread: Spread) -> dict[str, float]:
    return {
        f'{name}_p50_us': 1e6 * spread.p50,
        f'{name}_p99_us': 1e6 * spread.p99,
        f'{name}_max_us': 1e6 * spread.max,
    }
