"""Safety monitor: a state machine that decides which control is commanded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np

from trc_core.flight.limits import BOUND_TOLERANCE, norms_of
from trc_core.flight.settings import Settings
from trc_core.numerics.cost import difference
from trc_core.numerics.plan import Plan, step_of
from trc_core.problem.system import Array, System


class SafetyState(Enum):
    """State of the monitor, which says where the control comes from."""

    WAITING = 'waiting'
    """No state has arrived, or no goal where the plant cannot stay: nothing is commanded."""
    ACTIVE = 'active'
    """The newest plan flies."""
    DEGRADED = 'degraded'
    """The newest plan was late or rejected, and the rest of the last accepted plan flies; or the
    newest plan violates a constraint, and flies because nothing better was found."""
    FALLBACK = 'fallback'
    """State or goal is too old, or no usable plan is left, and the fallback flies; or planning is
    disabled, and the safe control flies."""


class Condition(Enum):
    """Finding of one cycle, which moves the state machine."""

    NO_STATE = 'no state yet'
    NO_GOAL = 'no goal yet'
    STALE = 'state is stale'
    GOAL_STALE = 'goal is stale'
    DISABLED = 'disabled'
    PLANNED = 'plan accepted'
    ARRIVED = 'arrived: the plan has ended at its goal'
    VIOLATED = 'plan violates a constraint by more than constraint_tolerance'
    TAIL = 'plan late or rejected, the last accepted one still reaches'
    EXHAUSTED = 'no usable plan left'
    FAILING = 'more plans late or rejected in a row than failure_tolerance'


SHORTCOMINGS = ('cannot be ', 'constraint ', 'the plan misses ')  # begin such warnings of a plan
W, A, D, F = SafetyState
TRANSITIONS: dict[Condition, dict[SafetyState, SafetyState]] = {
    Condition.NO_STATE: {W: W, A: W, D: W, F: W},
    # A plant that was flown is not left alone, even if nobody knows where to.
    Condition.NO_GOAL: {W: W, A: F, D: F, F: F},
    Condition.STALE: {W: W, A: F, D: F, F: F},
    # No flight starts towards a goal that is no longer confirmed.
    Condition.GOAL_STALE: {W: W, A: F, D: F, F: F},
    Condition.DISABLED: {W: W, A: F, D: F, F: F},
    Condition.PLANNED: {W: A, A: A, D: A, F: A},
    Condition.ARRIVED: {W: A, A: A, D: A, F: A},
    # The least violation that was found is better than any plan that was made for another state.
    Condition.VIOLATED: {W: D, A: D, D: D, F: D},
    # A tail that was once abandoned is not resumed: only a new plan leads out of FALLBACK.
    Condition.TAIL: {W: D, A: D, D: D, F: F},
    Condition.EXHAUSTED: {W: F, A: F, D: F, F: F},
    Condition.FAILING: {W: F, A: F, D: F, F: F},
}


@dataclass(frozen=True)
class Measurement:
    """A valid state and the time of its measurement, on the clock of the caller."""

    x: Array  # (n_x,)
    time: float


@dataclass(frozen=True)
class Proposal:
    """Result of planning in one cycle: a plan, or the reason why there is none."""

    plan: Plan | None = None
    plan_time: float | None = None
    """Seconds that planning took."""
    late: bool = False
    """The plan took longer than a cycle."""
    failure: str = 'no plan was made'


@dataclass(frozen=True)
class Decision:
    """Control of one cycle, and the reason for it."""

    state: SafetyState
    control: Array | None  # (n_u,), finite and inside the limits; None: command nothing
    plan: Plan | None
    """The plan that was accepted in this cycle."""
    reason: str
    plan_time: float | None
    limit: str = ''
    """Which command limit changed the control: 'range', 'rate', 'not finite'; '' if none did."""


@dataclass(frozen=True)
class TimedPlan:
    """A plan and the time of the state that it starts from."""

    plan: Plan
    origin: float

    def control_at(self, time: float, system: System) -> Array | None:
        """The control held at `time`, None once the plan is used up."""
        index = max(0, int((time - self.origin) / step_of(self.plan, system)))
        controls = self.plan.controls
        return controls[index] if index < len(controls) else None

    def end(self, system: System) -> float:
        """The time at which the plan is used up."""
        return self.origin + len(self.plan.controls) * step_of(self.plan, system)


def defect(plan: Plan, system: System) -> str:
    """The reason why a plan must not fly; '' if it may."""
    if plan.controls.shape != (system.horizon, system.n_u):
        return f'plan has controls of shape {plan.controls.shape}'
    # A tick has few sweeps for a plan of a free duration: its violation says how good it is.
    if not (plan.converged or (system.final_time is not None and math.isfinite(plan.cost))):
        return 'plan did not converge'
    if not (is_finite(plan.controls) and is_finite(plan.states)):
        return 'plan is not finite'
    low, high = _widest(system)
    if (plan.controls < low).any() or (plan.controls > high).any():
        return 'plan exceeds the control bounds'
    for norm in norms_of(system):
        lengths = np.linalg.norm(plan.controls[:, norm.places], axis=1)
        if not (norm.holds(lengths.min()) and norm.holds(lengths.max())):
            return f'plan exceeds the limits of the length of {list(norm.names)}'
    return ''


def is_finite(values: Array) -> bool:
    """Whether every number is finite; the sum, which most often settles it, takes half as long."""
    return math.isfinite(values.sum()) or bool(np.isfinite(values).all())


@lru_cache(maxsize=256)
def _widest(system: System) -> tuple[Array, Array]:
    """The bounds (n_u,) of controls, with what counts as rounding."""
    slack = BOUND_TOLERANCE * (system.u_max - system.u_min)
    return system.u_min - slack, system.u_max + slack


class SafetyMonitor:
    """Decides in every cycle which control is commanded. All times are arguments; it has no clock.

    Args:
        system: the plant, for bounds, trim control and dt.
        settings: limits, timeouts and modes; may be replaced between two decisions.
        lqr_plan: makes the plan of the mode 'lqr' from (x, goal).

    Raises:
        ValueError: if the `fallback_mode` does not exist; the message lists those that do.
    """

    def __init__(
        self,
        system: System,
        settings: Settings,
        lqr_plan: Callable[[Array, Array], Plan] | None = None,
    ) -> None:
        self.system = system
        self.lqr_plan = lqr_plan
        self.settings = settings
        self.reset()

    @property
    def settings(self) -> Settings:
        """Settings from the next decision on."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        mode = settings.fallback_mode
        require_fallback(mode, self.system)
        if mode == 'lqr' and self.lqr_plan is None:
            raise ValueError("fallback_mode 'lqr' needs an lqr_plan")
        self._settings = settings

    def reset(self) -> None:
        """Forgets everything, as after construction."""
        self.last_control: Array | None = None
        self.last_time = 0.0
        self.restart()

    def restart(self) -> None:
        """Forgets plans and counts, but not the last command: the plant still obeys it."""
        self.state = SafetyState.WAITING
        self.limited: Counter[str] = Counter()
        """Commands that a limit changed, by its name."""
        self._forget_plans()

    def _forget_plans(self) -> None:
        self.accepted: TimedPlan | None = None
        self.rejections = 0
        self._lqr: TimedPlan | None = None

    def is_stale(self, now: float, measurement: Measurement) -> bool:
        """Whether a measurement is too old to plan from."""
        return now - measurement.time > self.settings.state_timeout

    def is_goal_stale(self, now: float, goal_time: float | None) -> bool:
        """Whether a goal that arrived at `goal_time` is too old; None never is."""
        timeout = self.settings.goal_timeout
        return goal_time is not None and 0.0 < timeout < now - goal_time

    def is_over(self, time: float) -> bool:
        """Whether less than half a dt is left at a time of a plan with a free duration.

        Plans of a fixed duration begin anew in every cycle, and are never over.
        """
        accepted, system = self.accepted, self.system
        if system.final_time is None or accepted is None:
            return False
        return accepted.end(system) - time < 0.5 * system.dt

    def has_arrived(self, measurement: Measurement | None, goal: Array | None) -> bool:
        """Whether a plan with a free duration is over, and the state within `goal_tolerance`.

        Then nothing is planned any more, and the trim control flies until there is another goal.
        """
        if measurement is None or goal is None or not self.is_over(measurement.time):
            return False
        error = np.abs(difference(self.system, measurement.x, goal))
        return bool((error <= self.system.goal_tolerance).all())

    def decide(
        self,
        now: float,
        measurement: Measurement | None,
        goal: Array | None,
        proposal: Proposal,
        goal_time: float | None = None,
    ) -> Decision:
        """The decision at time `now`, given the newest state and this cycle's proposal.

        A late plan that is otherwise sound becomes the plan whose tail flies: it is newer than
        what there was. A control is always looked up at the plan's age.
        """
        previous = self.accepted
        condition, reason = self._judge(now, measurement, goal, proposal, goal_time)
        self.state = TRANSITIONS[condition][self.state]
        accepted = condition in (Condition.PLANNED, Condition.VIOLATED, Condition.ARRIVED)
        self.rejections = 0 if accepted else self.rejections + 1
        arrived, limit = condition is Condition.ARRIVED, ''
        control = self.system.u_trim if arrived else self._control(now, measurement, goal)
        if control is not None:
            control, limit = self._send(now, control)
        plan = proposal.plan if self.accepted is not previous else None
        return Decision(self.state, control, plan, reason, proposal.plan_time, limit)

    def stand_by(self, now: float) -> Decision:
        """The decision while nobody may plan: the safe control, as soon as the limits let it."""
        self.state = TRANSITIONS[Condition.DISABLED][self.state]
        self._forget_plans()
        control, limit = None if self.state is SafetyState.WAITING else self.safe_control(), ''
        if control is not None:
            control, limit = self._send(now, control)
        return Decision(self.state, control, None, Condition.DISABLED.value, None, limit)

    def safe_control(self) -> Array | None:
        """The final command before shutdown; None where silence is the safe thing."""
        mode = self.settings.fallback_mode
        if self.last_control is None or mode == 'none':
            return None
        control = np.zeros(self.system.n_u) if mode == 'zero' else self.system.u_trim
        return self.settings.limits.applied(control, None, 0.0)[0]

    def land(self, now: float, at_once: bool = False) -> Array | None:
        """The next command on the way to `safe_control`, no faster than the rate limit.

        Args:
            now: the time.
            at_once: goes there in one step, whatever the limit.
        """
        control = self.safe_control()
        if control is None:
            return None
        if at_once:
            self.last_control = None  # nothing limits the step from it
        return self._send(now, control)[0]

    def _judge(
        self,
        now: float,
        measurement: Measurement | None,
        goal: Array | None,
        proposal: Proposal,
        goal_time: float | None,
    ) -> tuple[Condition, str]:
        if measurement is None:
            return Condition.NO_STATE, Condition.NO_STATE.value
        if self.is_stale(now, measurement):
            return Condition.STALE, Condition.STALE.value
        if goal is None:
            return Condition.NO_GOAL, Condition.NO_GOAL.value
        if self.is_goal_stale(now, goal_time):
            return Condition.GOAL_STALE, Condition.GOAL_STALE.value
        if self.has_arrived(measurement, goal):
            return Condition.ARRIVED, Condition.ARRIVED.value
        fault = self._accept(proposal, measurement.time)
        if not fault:
            return self._assess(proposal)
        if self._tail(now) is None:
            return Condition.EXHAUSTED, fault
        failures = self.rejections + 1
        if 0 <= self.settings.failure_tolerance < failures:
            return Condition.FAILING, f'{failures} plans late or rejected in a row: {fault}'
        return Condition.TAIL, fault

    def _assess(self, proposal: Proposal) -> tuple[Condition, str]:
        """The finding about an accepted plan."""
        plan, tolerance = proposal.plan, self.settings.constraint_tolerance
        if plan is None or plan.violation <= tolerance:
            return Condition.PLANNED, Condition.PLANNED.value
        said = [line for line in plan.warnings if line.startswith(SHORTCOMINGS)]
        line = said[0] if said else f'plan violates a constraint by {plan.violation:.3g}'
        return Condition.VIOLATED, f'{line} (constraint_tolerance {tolerance:g})'

    def _accept(self, proposal: Proposal, origin: float) -> str:
        """Takes over a sound plan; returns why it may not fly as it is, '' if it may."""
        if proposal.plan is None:
            return proposal.failure
        fault = defect(proposal.plan, self.system)
        if fault:
            return fault
        self.accepted = TimedPlan(proposal.plan, origin)
        return 'plan is late' if proposal.late else ''

    def _control(
        self, now: float, measurement: Measurement | None, goal: Array | None
    ) -> Array | None:
        if self.state is SafetyState.WAITING or measurement is None:
            return None
        if self.state is SafetyState.FALLBACK:
            return FALLBACKS[self.settings.fallback_mode](self, now, measurement, goal)
        return self._tail(now)

    def _tail(self, now: float) -> Array | None:
        if self.accepted is None:
            return None
        return self.accepted.control_at(now, self.system)

    def _send(self, now: float, control: Array) -> tuple[Array, str]:
        """The control as the limits let it through, remembered as sent; and which one held."""
        elapsed = now - self.last_time
        control, limit = self.settings.limits.applied(control, self.last_control, elapsed)
        self.last_control, self.last_time = control, now
        if limit:
            self.limited[limit] += 1
        return control, limit

    def _fly_tail(self, now: float, measurement: Measurement, goal: Array | None) -> Array:
        control = self._tail(now)
        return self.system.u_trim if control is None else control

    def _fly_lqr(self, now: float, measurement: Measurement, goal: Array | None) -> Array:
        """The LQR roll-out from the newest state, its controls looked up at their age."""
        if goal is None:
            return self.system.u_trim
        if self._lqr is None or self._lqr.origin != measurement.time:
            assert self.lqr_plan is not None
            self._lqr = TimedPlan(self.lqr_plan(measurement.x, goal), measurement.time)
        control = self._lqr.control_at(now, self.system)
        return self.system.u_trim if control is None else control

    def _hold(self, now: float, measurement: Measurement, goal: Array | None) -> Array:
        return self.system.u_trim if self.last_control is None else self.last_control

    def _fly_zero(self, now: float, measurement: Measurement, goal: Array | None) -> Array:
        return np.zeros(self.system.n_u)

    def _stay_silent(self, now: float, measurement: Measurement, goal: Array | None) -> None:
        return None


Fallback = Callable[[SafetyMonitor, float, Measurement, Array | None], Array | None]
FALLBACKS: dict[str, Fallback] = {
    'tail': SafetyMonitor._fly_tail,
    'lqr': SafetyMonitor._fly_lqr,
    'hold': SafetyMonitor._hold,
    'zero': SafetyMonitor._fly_zero,
    'none': SafetyMonitor._stay_silent,
}
"""Controls in FALLBACK: the tail of the last accepted plan (then the trim control), the LQR
roll-out from the newest state, the last control, zero clipped into the bounds, or nothing."""


def require_fallback(mode: str, system: System) -> None:
    """Refuses a `fallback_mode` that there is not for a system.

    Raises:
        ValueError: the message lists those that there are.
    """
    if mode not in FALLBACKS:
        raise ValueError(f"unknown fallback_mode '{mode}'; choose from {sorted(FALLBACKS)}")
    if mode == 'lqr' and system.final_time is not None:
        others = sorted(set(FALLBACKS) - {'lqr'})
        raise ValueError(
            f"fallback_mode 'lqr' needs plans of a fixed duration; choose from {others}"
        )
