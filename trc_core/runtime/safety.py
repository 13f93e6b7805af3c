"""When a plan may fly, and what flies when none may: a state machine without a clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from trc_core.plan import Plan
from trc_core.systems.base import Array, System

BOUND_TOLERANCE = 1e-6  # share of the control range: beyond it is a defect, below it rounding


class SafetyState(Enum):
    """Who flies."""

    WAITING = 'waiting'
    """No state has arrived: nothing is commanded."""
    ACTIVE = 'active'
    """The newest plan flies."""
    DEGRADED = 'degraded'
    """The newest plan was late or rejected: the rest of the last accepted plan flies."""
    FALLBACK = 'fallback'
    """The state is stale or no usable plan is left: the fallback flies."""


class Condition(Enum):
    """What one cycle found."""

    NO_STATE = 'no state yet'
    STALE = 'state is stale'
    PLANNED = 'plan accepted'
    TAIL = 'plan late or rejected, the last accepted one still reaches'
    EXHAUSTED = 'no usable plan left'


W, A, D, F = SafetyState
TRANSITIONS: dict[Condition, dict[SafetyState, SafetyState]] = {
    Condition.NO_STATE: {W: W, A: W, D: W, F: W},
    Condition.STALE: {W: W, A: F, D: F, F: F},
    Condition.PLANNED: {W: A, A: A, D: A, F: A},
    # A tail that was once abandoned is not resumed: only a new plan leads out of FALLBACK.
    Condition.TAIL: {W: D, A: D, D: D, F: F},
    Condition.EXHAUSTED: {W: F, A: F, D: F, F: F},
}


@dataclass(frozen=True)
class Measurement:
    """A valid state and when it arrived, on the clock that the caller lives by."""

    x: Array  # (n_x,)
    time: float


@dataclass(frozen=True)
class Proposal:
    """What planning brought in one cycle: a plan, or why there is none."""

    plan: Plan | None = None
    plan_time: float | None = None
    """Seconds that planning took."""
    late: bool = False
    """The plan took longer than a cycle."""
    failure: str = 'no plan was made'


@dataclass(frozen=True)
class Decision:
    """What to do in this cycle, and why."""

    state: SafetyState
    control: Array | None  # (n_u,), finite and inside the bounds; None: command nothing
    plan: Plan | None
    """The plan that was accepted in this cycle."""
    reason: str
    plan_time: float | None


@dataclass(frozen=True)
class TimedPlan:
    """A plan and the time of the state that it starts from."""

    plan: Plan
    origin: float

    def control_at(self, time: float, dt: float) -> Array | None:
        """The control held at `time`, None once the plan is used up."""
        index = max(0, int((time - self.origin) / dt))
        controls = self.plan.controls
        return controls[index] if index < len(controls) else None


def defect(plan: Plan, system: System) -> str:
    """Why a plan must not fly; '' if it may."""
    if plan.controls.shape != (system.horizon, system.n_u):
        return f'plan has controls of shape {plan.controls.shape}'
    if not plan.converged:
        return 'plan did not converge'
    if not (np.isfinite(plan.controls).all() and np.isfinite(plan.states).all()):
        return 'plan is not finite'
    slack = BOUND_TOLERANCE * (system.u_max - system.u_min)
    low, high = system.u_min - slack, system.u_max + slack
    if (plan.controls < low).any() or (plan.controls > high).any():
        return 'plan exceeds the control bounds'
    return ''


class SafetyMonitor:
    """Decides every cycle what flies. Pure bookkeeping: all times come in as arguments.

    Args:
        system: the plant, for bounds, trim control and dt.
        state_timeout: age [s] beyond which a state is stale.
        fallback_mode: what flies in FALLBACK, a key of `FALLBACKS`.
        lqr_plan: makes the plan of the mode 'lqr' from (x, goal).

    Raises:
        ValueError: if `fallback_mode` does not exist; the message lists those that do.
    """

    def __init__(
        self,
        system: System,
        state_timeout: float,
        fallback_mode: str = 'tail',
        lqr_plan: Callable[[Array, Array], Plan] | None = None,
    ) -> None:
        if fallback_mode not in FALLBACKS:
            raise ValueError(
                f"unknown fallback_mode '{fallback_mode}'; choose from {sorted(FALLBACKS)}"
            )
        if fallback_mode == 'lqr' and lqr_plan is None:
            raise ValueError("fallback_mode 'lqr' needs an lqr_plan")
        self.system = system
        self.state_timeout = state_timeout
        self.fallback_mode = fallback_mode
        self.lqr_plan = lqr_plan
        self.reset()

    def reset(self) -> None:
        """Forgets everything, as after construction."""
        self.state = SafetyState.WAITING
        self.accepted: TimedPlan | None = None
        self.last_control: Array | None = None
        self.rejections = 0
        self._lqr: TimedPlan | None = None

    def is_stale(self, now: float, measurement: Measurement) -> bool:
        """Whether a measurement is too old to plan from."""
        return now - measurement.time > self.state_timeout

    def decide(
        self, now: float, measurement: Measurement | None, goal: Array, proposal: Proposal
    ) -> Decision:
        """The decision at time `now`, given the newest state and this cycle's proposal.

        A late plan that is otherwise sound becomes the plan whose tail flies: it is newer than
        what there was. A control is always looked up at the plan's age.
        """
        previous = self.accepted
        condition, reason = self._judge(now, measurement, proposal)
        self.state = TRANSITIONS[condition][self.state]
        self.rejections = 0 if condition is Condition.PLANNED else self.rejections + 1
        control = self._control(now, measurement, goal)
        if control is not None:
            control = self.last_control = self._limited(control)
        plan = proposal.plan if self.accepted is not previous else None
        return Decision(self.state, control, plan, reason, proposal.plan_time)

    def safe_control(self) -> Array | None:
        """What to command last before going silent; None where silence is the safe thing."""
        if self.last_control is None or self.fallback_mode == 'none':
            return None
        zero = np.zeros(self.system.n_u)
        return self._limited(zero if self.fallback_mode == 'zero' else self.system.u_trim)

    def _judge(
        self, now: float, measurement: Measurement | None, proposal: Proposal
    ) -> tuple[Condition, str]:
        if measurement is None:
            return Condition.NO_STATE, Condition.NO_STATE.value
        if self.is_stale(now, measurement):
            return Condition.STALE, Condition.STALE.value
        fault = self._accept(proposal, measurement.time)
        if not fault:
            return Condition.PLANNED, Condition.PLANNED.value
        return (Condition.EXHAUSTED if self._tail(now) is None else Condition.TAIL), fault

    def _accept(self, proposal: Proposal, origin: float) -> str:
        """Takes over a sound plan; returns why it may not fly as it is, '' if it may."""
        if proposal.plan is None:
            return proposal.failure
        fault = defect(proposal.plan, self.system)
        if fault:
            return fault
        self.accepted = TimedPlan(proposal.plan, origin)
        return 'plan is late' if proposal.late else ''

    def _control(self, now: float, measurement: Measurement | None, goal: Array) -> Array | None:
        if self.state is SafetyState.WAITING or measurement is None:
            return None
        if self.state is SafetyState.FALLBACK:
            return FALLBACKS[self.fallback_mode](self, now, measurement, goal)
        return self._tail(now)

    def _tail(self, now: float) -> Array | None:
        if self.accepted is None:
            return None
        return self.accepted.control_at(now, self.system.dt)

    def _limited(self, control: Array) -> Array:
        if not np.isfinite(control).all():
            control = self.system.u_trim
        return np.clip(control, self.system.u_min, self.system.u_max)

    def _fly_tail(self, now: float, measurement: Measurement, goal: Array) -> Array:
        control = self._tail(now)
        return self.system.u_trim if control is None else control

    def _fly_lqr(self, now: float, measurement: Measurement, goal: Array) -> Array:
        """The LQR roll-out from the newest state, its controls looked up at their age."""
        if self._lqr is None or self._lqr.origin != measurement.time:
            assert self.lqr_plan is not None
            self._lqr = TimedPlan(self.lqr_plan(measurement.x, goal), measurement.time)
        control = self._lqr.control_at(now, self.system.dt)
        return self.system.u_trim if control is None else control

    def _hold(self, now: float, measurement: Measurement, goal: Array) -> Array:
        return self.system.u_trim if self.last_control is None else self.last_control

    def _fly_zero(self, now: float, measurement: Measurement, goal: Array) -> Array:
        return np.zeros(self.system.n_u)

    def _stay_silent(self, now: float, measurement: Measurement, goal: Array) -> None:
        return None


FALLBACKS: dict[str, Callable[[SafetyMonitor, float, Measurement, Array], Array | None]] = {
    'tail': SafetyMonitor._fly_tail,
    'lqr': SafetyMonitor._fly_lqr,
    'hold': SafetyMonitor._hold,
    'zero': SafetyMonitor._fly_zero,
    'none': SafetyMonitor._stay_silent,
}
"""What flies in FALLBACK: the tail of the last accepted plan (then the trim control), the LQR
roll-out from the newest state, the last control, zero clipped into the bounds, or nothing."""
