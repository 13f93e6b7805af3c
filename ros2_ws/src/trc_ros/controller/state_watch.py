"""Watch over the states of a flight: those that do not come, and those far from all training."""

from __future__ import annotations

import time

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

from trc_core.flight.ranges import StateBox
from trc_core.flight.safety import Measurement
from trc_ros.controller.state_input import StateInput
from trc_ros.inputs import ThrottledLog

QUIET_PERIODS = 50  # without a new state before somebody has to be told
REPEAT = 30.0  # [s] between two lines about it
TOPIC = 'state'


class StateWatch:
    """Says what is wrong with the states.

    Args:
        node: subscribes to them.
        states: their input.
        kind: type of the messages.
        qos: of the subscription.
        trained: the states that the controller was made for.
        period: of the controller [s].
    """

    def __init__(
        self,
        node: Node,
        states: StateInput,
        kind: type,
        qos: QoSProfile,
        trained: StateBox,
        period: float,
    ) -> None:
        self._node = node
        self._states = states
        self._kind, self._qos = kind, qos
        self._trained = trained
        self._quiet = QUIET_PERIODS * period
        self._outside = ''
        self._log = ThrottledLog(node.get_logger().warning, REPEAT)

    def note(self, measurement: Measurement | None) -> None:
        """Compares a state that is flown with those that the controller was made for."""
        if measurement is None:
            return
        outside = self._trained.outside(measurement.x)
        if outside:
            self._outside = outside
            self._log('outside', f'far outside the states of training, and flown: {outside}')

    def concern(self, timeout: float) -> str:
        """The reason why states are a concern since the last time; empty if they are not.

        It asks DDS who publishes, which is nothing for the loop.

        Args:
            timeout: age [s] beyond which a state is stale.
        """
        outside, self._outside = self._outside, ''
        if time.monotonic() - self._states.changed <= max(timeout, self._quiet):
            return outside and f'state far outside those of training: {outside}'
        reason = self._why_quiet()
        self._log('quiet', f'no state to fly with: {reason}')
        return reason

    def _why_quiet(self) -> str:
        source, silence = self._states.input, time.monotonic() - self._states.changed
        if source.idle:
            count = f'{source.idle} messages' if source.idle > 1 else '1 message'
            return f"{count} on '{TOPIC}', none valid: {source.verdict}"
        return f"no message on '{TOPIC}' for {silence:.1f} s: {self._why_unheard()}"

    def _why_unheard(self) -> str:
        """The reason why no publisher is heard, as far as DDS knows it."""
        name, wanted = self._node.resolve_topic_name(TOPIC), type_name(self._kind)
        reason = f'nobody publishes on {name}'
        for publisher in self._node.get_publishers_info_by_topic(name):
            if publisher.topic_type != wanted:
                sent = f"'{publisher.node_name}' sends {publisher.topic_type}"
                return f'{sent}, expected {wanted}; set state_type'
            verdict, detail = qos_check_compatible(publisher.qos_profile, self._qos)
            if verdict is QoSCompatibility.ERROR:
                return f"the quality of service of '{publisher.node_name}' is another: {detail}"
            reason = f"'{publisher.node_name}' publishes nothing"
        return reason


def type_name(kind: type) -> str:
    """Name of a message type as DDS knows it, like 'sensor_msgs/msg/JointState'."""
    package, folder, *_ = kind.__module__.split('.')
    return f'{package}/{folder}/{kind.__name__}'
