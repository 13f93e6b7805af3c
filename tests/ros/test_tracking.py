"""References, obstacles and weights reach the plans through the node, over DDS."""

import math
from pathlib import Path as File

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from probe import arguments
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from test_live_parameters import RATE, change, fastest_change
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from visualization_msgs.msg import Marker, MarkerArray

import trc_core
from trc_ros.conversions import later, seconds_of
from trc_ros.plant.node import EPOCH

PATIENCE = 60.0  # [s] on a loaded machine
CAR = str(File(trc_core.__file__).parent / 'systems' / 'bicycle_circles.py')
TURNS = ('-p', 'cycle_on:=state', '-p', 'use_sim_time:=true')
FINE = """
from trc_core.systems.double_integrator import double_integrator, with_timing

system = with_timing(double_integrator, 2.0, 40)
"""
AMPLITUDE, OMEGA = 0.5, math.pi  # [m], [rad/s]


def stamp(seconds):
    return later(Time(), seconds)


def duration(seconds):
    whole = stamp(seconds)
    return Duration(sec=whole.sec, nanosec=whole.nanosec)


def trajectory(names, times, positions, velocities=None, begin=None):
    """A JointTrajectory; positions and velocities (N, joints)."""
    message = JointTrajectory(joint_names=names)
    if begin is not None:
        message.header.stamp = stamp(begin)
    for k, time in enumerate(times):
        point = JointTrajectoryPoint(
            positions=[float(v) for v in positions[k]], time_from_start=duration(time)
        )
        if velocities is not None:
            point.velocities = [float(v) for v in velocities[k]]
        message.points.append(point)
    return message


class Turns:
    """Controller and plant in lock-step, and every state of the plant."""

    def __init__(self, start, probe, namespace, system, period, controller=(), plant=()):
        self.states, self._probe, self._namespace = {}, probe, namespace
        self._start, self._system, self._plant = start, system, plant
        self._period = period
        probe.node.create_subscription(JointState, 'state', self._note, QoSProfile(depth=1000))
        common = ('-r', f'__ns:={namespace}', '-p', f'system:={system}')
        self._common = (*common, '-p', 'diagnostics.period:=0.1')
        self.controller = start(
            'controller',
            *self._common,
            *TURNS,
            *('-p', f'controller_frequency:={1 / period}', '-p', 'warmup_iterations:=0'),
            *controller,
        )
        probe.meet(self.controller, 'state')

    def send(self, message, topic='controller/reference'):
        """Sends a message as soon as somebody listens."""
        publisher = self._probe.node.create_publisher(type(message), topic, 10)
        self._probe.require(lambda: publisher.get_subscription_count() > 0, topic, PATIENCE)
        self._probe.spin(0.2)
        publisher.publish(message)
        return publisher

    def fly(self, x0, seconds):
        """Starts the plant and flies: times since the beginning (N,), states (N, n_x)."""
        plant = self._start(
            'plant',
            *self._common,
            *('-p', 'lockstep:=true', '-p', f'state_rate:={1 / self._period}'),
            *('-p', f'initial_state:={[float(x) for x in x0]}', '-p', 'simulation_rate:=200.0'),
            *self._plant,
        )

        def is_over():
            for node in (plant, self.controller):
                assert node.process.poll() is None, node.log()
            return max(self.states, default=0.0) >= EPOCH + seconds

        self._probe.require(is_over, f'{seconds} s of flight', PATIENCE)
        times = np.array(sorted(self.states))
        return times - EPOCH, np.array([self.states[t] for t in times])

    def _note(self, message):
        self.states[seconds_of(message.header.stamp)] = [*message.position, *message.velocity]


@pytest.fixture
def turns(start, make_probe, namespace):
    return lambda *args, **kwargs: Turns(start, make_probe(namespace), namespace, *args, **kwargs)


def test_a_sine_is_tracked_through_the_node(turns, tmp_path):
    (tmp_path / 'fine.py').write_text(FINE)
    weights = ('-p', 'weights.Q:=[100.0, 3.0]', '-p', 'weights.R:=[0.01]')
    flight = turns(
        tmp_path / 'fine.py', 0.05, controller=('-p', 'model_path:=classical', *weights)
    )
    times = np.arange(0.0, 12.0, 0.02)
    sine = trajectory(
        ['slider'],
        times,
        AMPLITUDE * np.sin(OMEGA * times)[:, None],
        AMPLITUDE * OMEGA * np.cos(OMEGA * times)[:, None],
        begin=EPOCH,
    )
    flight.send(sine)
    times, states = flight.fly([0.0, AMPLITUDE * OMEGA], 8.0)
    error = states[:, 0] - AMPLITUDE * np.sin(OMEGA * times)
    rms = np.sqrt((error[times > 2.0] ** 2).mean()) / AMPLITUDE
    print(f'rms error {100 * rms:.2f} % of the amplitude')
    assert rms < 0.03
