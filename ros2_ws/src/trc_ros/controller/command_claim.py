"""Claim of a controller on its topic `command`: two controllers must not move one plant."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from trc_ros.exclusive_publisher import (
    CHECK_PERIOD,
    CONFLICT,
    DISCOVERY_TIME,
    WATCH_TIME,
    OtherPublishers,
    any_unknown,
)
from trc_ros.inputs import ThrottledLog

SETTLING_TIME = 0.1  # [s] from opening a publisher until the others know it
COLLISION_TIME = 4.0  # [s] to try again where several claim the topic in the same moment
LOOK_AGAIN = 0.2  # [s] while the topic is not free
PAUSE = 1.0  # [s] between two attempts, at most
PERSISTENT = 1.0  # [s] for which an elder publishes; who comes later steps back sooner
LEASE_TIME = 25.0  # [s] DDS forgets a killed process after 20; one that lands needs 8
WAITING = f'waiting for {LEASE_TIME:g} s'


class CommandClaim:
    """Refuses a topic that another node publishes, and watches it afterwards.

    With the parameter `exclusive_command` false nothing is refused.

    Args:
        node: the controller; only while it is active may it have a publisher of the topic.
        topic: relative to the node.
    """

    def __init__(self, node: Node, topic: str = 'command') -> None:
        self._node = node
        self._others = OtherPublishers(node, topic)
        self._discovered_at = time.monotonic() + DISCOVERY_TIME
        self._watching: Any = None
        # A line of its own: rclpy ties a severity to the line that logs.
        self._log = ThrottledLog(lambda line: node.get_logger().error(line))

    def require_free(self) -> None:
        """Refuses a topic that is not free.

        Raises:
            ValueError: if another node publishes the topic.
        """
        if self._is_exclusive and (names := self._others.find(self._discovered_at)):
            raise ValueError(self._conflict(names))

    def wait_until_free(self) -> bool:
        """Waits for a topic that is not free: a killed predecessor is known for a while.

        Returns:
            Whether it was not free at first.
        """
        began, told = time.monotonic(), False
        while self._is_exclusive and (names := self._others.find(self._discovered_at)):
            if time.monotonic() - began >= LEASE_TIME:
                break
            if not told:
                self._node.get_logger().warning(f'{self._conflict(names)}; {WAITING}')
                told = True
            time.sleep(LOOK_AGAIN)
        return told

    def take(
        self, open_publisher: Callable[[], None], close_publisher: Callable[[], None]
    ) -> None:
        """Opens the publisher; takes 0.1 s, and longer only in the first second of the node.

        Args:
            open_publisher: called where the topic is free.
            close_publisher: called where it was not, after all.

        Raises:
            ValueError: if another node publishes the topic; the publisher is closed then.
        """
        began = time.monotonic()
        while True:
            self.require_free()
            open_publisher()
            time.sleep(SETTLING_TIME)
            names = self._beside()
            if not names:
                return
            # Somebody claims it in the same moment: both step back, and one will be first.
            close_publisher()
            if time.monotonic() - began >= COLLISION_TIME:
                raise ValueError(self._conflict(names))
            time.sleep(random.uniform(0.0, PAUSE))

    def watch(self, give_way: Callable[[str], None]) -> None:
        """Watches the topic, just taken, for as long as discovery takes on a busy computer.

        A node that publishes and was not known until now was there before, as far as anybody can
        tell. One that was known had no publisher then: it came later, and is not given way to.

        Args:
            give_way: called once with a line about it.
        """
        until, known = time.monotonic() + WATCH_TIME, set(self._others.known_nodes())
        since = math.inf  # when elders were first seen

        def look() -> None:
            nonlocal since
            now, elders = time.monotonic(), sorted(set(self._beside()) - known)
            since = min(since, now) if elders else math.inf
            if now - since >= PERSISTENT and not any_unknown(elders):
                self.end_watch()
                give_way(self._conflict(elders))
            elif now > until and not elders:
                self.end_watch()

        self.end_watch()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._watching = self._node.create_timer(CHECK_PERIOD, look, clock=steady)

    def end_watch(self) -> None:
        """Ends that."""
        if self._watching is not None:
            self._node.destroy_timer(self._watching)
            self._watching = None

    def rivals(self) -> str:
        """The nodes that publish beside this one, for a reader; '' if there are none."""
        names = self._beside()
        if not names:
            return ''
        listed = self._others.listed(names)
        text = f"'{self._others.topic}' is also published by {listed}: stop one of them"
        self._log(listed, text)
        return text

    def _beside(self) -> list[str]:
        """Nodes that publish beside this one, where that is not allowed."""
        return self._others.names(own=1) if self._is_exclusive else []

    @property
    def _is_exclusive(self) -> bool:
        return bool(self._node.get_parameter('exclusive_command').value)

    def _conflict(self, names: list[str]) -> str:
        topic, listed = self._others.topic, self._others.listed(names)
        conflict = CONFLICT.format(topic, listed, self._node.get_name())
        return f'{conflict}, or set exclusive_command to false (a killed node is known for 20 s)'
