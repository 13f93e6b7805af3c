"""Transforms between frames, by tf2_ros where it is installed."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.time import Time

LATEST = Time()
REMEDY = (
    'to have it transformed, install tf2_ros (sudo apt install ros-$ROS_DISTRO-tf2-ros-py); '
    'or send goals in that frame'
)


class NoTransform(LookupError):  # noqa: N818  (a finding, not a fault of ours)
    """There is no transform; the message says why."""


class Transforms:
    """Listens to `/tf` and `/tf_static` from the first question on, and not before.

    A busy `/tf` would cost the loop time, and most robots are never asked.

    Args:
        node: owns the subscriptions.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tf2: Any = None
        self._buffer: Any = None
        self._listener: Any = None

    def is_known(self, target: str, source: str) -> bool:
        """Whether there is nothing to wait for: the transform is there, or can never come."""
        try:
            return bool(self._opened().can_transform(target, source, LATEST))
        except NoTransform:
            return True

    def between(self, target: str, source: str) -> Any:
        """The newest transform that moves poses from the frame `source` to `target`.

        Raises:
            NoTransform: if there is none, or tf2_ros is not installed.
        """
        buffer = self._opened()
        try:
            return buffer.lookup_transform(target, source, LATEST)
        except self._tf2.TransformException as error:
            raise NoTransform(f'tf says: {error}') from error

    def close(self) -> None:
        """Ends the subscriptions."""
        if self._listener is not None:
            self._listener.unregister()
        self._buffer = self._listener = None

    def _opened(self) -> Any:
        if self._buffer is None:
            try:
                import tf2_ros
            except ImportError as error:
                raise NoTransform(REMEDY) from error
            self._tf2 = tf2_ros
            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, self._node)
        return self._buffer
