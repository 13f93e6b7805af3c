"""Reference track: stamped states to follow, checked on arrival, cut to the horizon of plans."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trc_core.problem.system import Array, System

FEWEST = 2  # points: one alone is a goal


class BadReference(ValueError):  # noqa: N818  (a verdict on a message, not a fault of ours)
    """A reference that must not be followed.

    Attributes:
        reason: 'one_point', 'wrong_size', 'not_finite', 'out_of_order' or 'past'.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class ReferenceTrack:
    """Stamped states of a plant, linear in between.

    Before its first stamp and after its last one it stands at that point: joints at rest.
    """

    system: System
    times: Array
    """Times of the states (N,) [s], increasing, on any clock."""
    states: Array
    """States (N, n_x); angles go on beyond a turn instead of jumping back."""

    @classmethod
    def checked(
        cls, system: System, times: Array, states: Array, now: float, moving: bool = True
    ) -> ReferenceTrack:
        """The track through some states, if it can be followed.

        Args:
            system: the plant.
            times: of the states (N,) [s].
            states: to be at (N, n_x); angles may jump by whole turns.
            now: the time on the same clock.
            moving: whether the states hold velocities; else those of joints are differences of
                their positions.

        Raises:
            BadReference: if there are fewer than two states, or of another size, if a number is
                not finite, if a time is not later than the one before, or if all have passed.
        """
        times, states = (np.array(a, dtype=np.float64) for a in (times, states))
        _require_track(system, times, states, now)
        states[:, system.wrapped] = np.unwrap(states[:, system.wrapped], axis=0)
        track = cls(system, times, states)
        return track if moving else track._with_differences()

    def at(self, times: Array) -> Array:
        """The states (M, n_x) at times (M,)."""
        last = len(self.times) - 2
        k = np.clip(np.searchsorted(self.times, times, side='right') - 1, 0, last)
        share = (times - self.times[k]) / (self.times[k + 1] - self.times[k])
        step = self.states[k + 1] - self.states[k]
        states = self.states[k] + np.clip(share, 0.0, 1.0)[:, None] * step
        outside = (times < self.times[0]) | (times > self.times[-1])
        if outside.any():
            velocities = [v for _, v in _moving_joints(self.system)]
            states[np.ix_(outside, velocities)] = 0.0
        return states

    def window(self, begin: float) -> Array:
        """The reference (T + 1, n_x) of a plan that begins at a time."""
        steps = np.arange(self.system.horizon + 1, dtype=np.float64)
        return self.at(begin + self.system.dt * steps)

    def later(self, seconds: float) -> ReferenceTrack:
        """The same track so many seconds later, or on a clock that is ahead by them."""
        return replace(self, times=self.times + seconds)

    def _with_differences(self) -> ReferenceTrack:
        """The track with velocities of joints by differences of second order."""
        states = self.states.copy()
        order = min(2, len(self.times) - 1)
        for position, velocity in _moving_joints(self.system):
            slope = np.gradient(states[:, position], self.times, edge_order=order)  # type: ignore[call-overload]
            states[:, velocity] = slope
        return replace(self, states=states)


Goal = Array | ReferenceTrack
"""What to reach and hold, a state (n_x,), or what to follow."""


def state_at(goal: Goal, time: float) -> Array:
    """The state (n_x,) that a goal asks for at a time."""
    return goal.at(np.array([time]))[0] if isinstance(goal, ReferenceTrack) else goal


def target_from(goal: Goal, time: float) -> Array:
    """A goal as `Controller.plan` takes it from a time on: (n_x,), or (T + 1, n_x) if it moves."""
    return goal.window(time) if isinstance(goal, ReferenceTrack) else goal


def _moving_joints(system: System) -> list[tuple[int, int]]:
    """The places of position and velocity of the joints that have both."""
    pairs = ((joint.position, joint.velocity) for joint in system.joints)
    return [(p, v) for p, v in pairs if p is not None and v is not None]


def _require_track(system: System, times: Array, states: Array, now: float) -> None:
    N = len(times)
    if N < FEWEST:
        raise BadReference('one_point', f'{N} points; write two or more, or send a goal')
    if times.shape != (N,) or states.shape != (N, system.n_x):
        raise BadReference('wrong_size', f'{states.shape}; write ({N}, {system.n_x}) numbers')
    bad = np.flatnonzero(~(np.isfinite(states).all(1) & np.isfinite(times)))
    if len(bad):
        raise BadReference('not_finite', f'point {bad[0]} is {states[bad[0]].tolist()}')
    back = np.flatnonzero(np.diff(times) <= 0.0)
    if len(back):
        k = int(back[0]) + 1
        lead = times[k - 1] - times[k]
        late = f'point {k} is not later than point {k - 1} but {lead:.6g} s earlier'
        raise BadReference('out_of_order', f'{late}; write increasing times')
    if times[-1] <= now:
        over = f'it ended {now - times[-1]:.6g} s ago'
        raise BadReference('past', f'{over}; stamp it by the clock of the states')
