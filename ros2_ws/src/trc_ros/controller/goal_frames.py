"""Frames of goals: theirs must be the frame of the states, or a transform must lead there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from trc_core.flight.assembly import StatePart
from trc_ros.controller.transforms import NoTransform, Transforms
from trc_ros.conversions import PartReader, RejectedInput, frame_id_of, has_poses, moved

SHOWN = 'map'  # the frame of paths and markers where neither states nor parameters name one
PATIENCE = 2.0  # [s] for a transform, or the first state, that is not there yet
LOOK_AGAIN = 0.1  # [s]


class GoalFrames:
    """Brings goals and references to the frame of the last state.

    Args:
        node: owns the subscriptions to transforms, and the timer that waits for one.
        frame_id: the parameter; '' leaves it to the states.
    """

    def __init__(self, node: Node, frame_id: str) -> None:
        self._node = node
        self._frame_id = frame_id
        self._of_states: str | None = None
        self._transforms = Transforms(node)
        self._timer: Any = None

    def noting(self, read: PartReader) -> PartReader:
        """A reader of states that notes the frame of those that are valid."""

        def read_and_note(message: Any) -> StatePart:
            part = read(message)
            frame = frame_id_of(message)
            if frame or not self._of_states:  # the message of a mass names none
                self._of_states = frame
            return part

        return read_and_note

    def at_home(self, message: Any) -> Any:
        """A goal or a reference in the frame of the states.

        Raises:
            RejectedInput: if it is in another frame from which no transform leads there.
        """
        given = frame_id_of(message)
        if self._is_ours(given):
            return message
        if self._home is None:
            detail = 'no state has said yet which frame is ours; send it again, or set frame_id'
            raise RejectedInput('frame', f"'{given}', but {detail}")
        if not has_poses(message):
            raise RejectedInput('frame', f"'{given}', expected '{self._home}': joints do not move")
        try:
            return moved(message, self._transforms.between(self._home, given))
        except NoTransform as error:
            raise RejectedInput('frame', f"'{given}', expected '{self._home}'; {error}") from error

    def when_known(self, message: Any, use: Callable[[Any], None]) -> None:
        """Calls `use` with the message, at once or as soon as it can be brought home.

        A later message takes the place of one that waits. After `PATIENCE` it is used all the
        same, to be refused.
        """
        self._stop_waiting()
        deadline = time.monotonic() + PATIENCE

        def look() -> None:
            if self.is_settled(message) or time.monotonic() >= deadline:
                self._stop_waiting()
                use(message)

        if self.is_settled(message):
            use(message)
            return
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self._node.create_timer(LOOK_AGAIN, look, clock=steady)

    def is_settled(self, message: Any) -> bool:
        """Whether waiting would change nothing."""
        try:
            given = frame_id_of(message)
        except RejectedInput:
            return True
        if self._is_ours(given):
            return True
        if self._home is None:
            return False
        if not has_poses(message):
            return True
        return self._transforms.is_known(self._home, given)

    def close(self) -> None:
        """Ends all that was opened."""
        self._stop_waiting()
        self._transforms.close()

    @property
    def _home(self) -> str | None:
        """Our frame; None while nobody has named it."""
        if self._frame_id or self._of_states is None:
            return self._frame_id or None
        return self._of_states or SHOWN

    def _is_ours(self, frame_id: str) -> bool:
        return frame_id in ('', self._home, self._of_states)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
