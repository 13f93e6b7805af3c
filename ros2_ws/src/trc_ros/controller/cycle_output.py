"""Output of cycle records on `~/cycle`: made for subscribers only, who can fly them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from trc_core import Controller
from trc_core.flight.cycle_record import record_of, text_of
from trc_core.flight.memory import remembered
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Decision, Measurement
from trc_core.provenance import flown
from trc_ros.controller.instruction_input import Instructions
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.controller.measurements import SimulatedClock

# A recorder may fall behind for a while.
QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)


class CycleOutput:
    """Publishes what every cycle depended on and decided.

    Args:
        node: owns the topic.
        pilot: flies the cycles.
        values: the parameters of the node by name.
    """

    def __init__(self, node: Node, pilot: Pilot, values: Mapping[str, Any]) -> None:
        # Told by the executor: to ask in every cycle would cost the loop 4 us.
        events = PublisherEventCallbacks(matched=self._count)
        self.publisher = node.create_publisher(String, '~/cycle', QOS, event_callbacks=events)
        self._pilot, self._values = pilot, values
        self._cycle = self._listeners = 0
        self._is_new = False
        self._live: LiveSettings | None = None
        self._opening = self.opening(pilot.controller)

    def opening(self, controller: Controller) -> dict[str, Any]:
        """Versions, a hash of the checkpoint, the plant and all parameters; takes milliseconds."""
        return {
            'versions': flown(),
            'checkpoint': controller.checkpoint.digest,
            'backend': controller.backend,
            'simulated': isinstance(self._pilot.clock, SimulatedClock),
            'system': controller.system.contract(),
            'parameters': listed(self._values),
        }

    def introduce(self, opening: dict[str, Any]) -> None:
        """Notes who flies from now on; every subscriber is told."""
        self._opening, self._is_new = opening, True

    def _count(self, matched: Any) -> None:
        """Notes how many listen, and whether somebody has come."""
        self._listeners = matched.current_count
        self._is_new = self._is_new or matched.total_count_change > 0

    def __call__(
        self,
        measurement: Measurement | None,
        asked: Instructions,
        decision: Decision,
        live: LiveSettings,
    ) -> None:
        """Publishes the record of a cycle, if there is a subscriber."""
        pilot = self._pilot
        events = pilot.take_events()
        self._cycle += 1
        if not self._listeners:
            return
        extras: dict[str, Any] = {}
        if self._is_new:  # and knows nothing yet
            self._is_new = False
            extras = {'opening': self._opening, 'memory': remembered(pilot)}
        if extras or live is not self._live:
            extras['settings'], self._live = listed(live.parameters), live
        begin = 0.0 if measurement is None else measurement.time + pilot.input_delay
        record = record_of(
            self._cycle,
            events,
            measurement,
            (asked.goal, asked.goal_time, asked.aim),
            begin,
            asked.parameters,
            pilot.readings,
            pilot.controller.watch.answers,
            decision,
        )
        self.publisher.publish(String(data=text_of(record, **extras)))


def listed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by name, as JSON: arrays are lists."""
    plain = (bool, int, float, str)
    return {k: v if isinstance(v, plain) else list(v) for k, v in values.items()}
