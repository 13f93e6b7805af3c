"""References, obstacles and weights reach the plans through the node, over DDS."""

import math
from pathlib import Path as File

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Path
from probe import START_TIMEOUT, Received
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from test_live_parameters import RATE, STALL, change, fastest_change
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from visualization_msgs.msg import Marker, MarkerArray

import trc_core
from trc_ros.conversions import later, seconds_of
from trc_ros.plant.node import EPOCH

PATIENCE = 60.0  # [s] on a loaded machine
CAR = str(File(trc_core.__file__).parent / 'systems' / 'bicycle_circles.py')
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
    """Controller and plant that wait for each other in lock-step, and every state of the plant."""

    def __init__(self, start, probe, namespace, system, period, controller=(), plant=()):
        self.states, self.probe, self._name = {}, probe, f'{namespace}/controller'
        self._due = []
        common = ('-r', f'__ns:={namespace}', '-p', f'system:={system}')
        turns = ('-p', 'cycle_on:=state', '-p', 'use_sim_time:=true', '-p', 'autostart:=false')
        rate = 1 / period
        self._nodes = [
            start(
                'controller',
                *(*common, *turns, '-p', 'diagnostics.period:=0.1'),
                *('-p', f'controller_frequency:={rate}', '-p', 'warmup_iterations:=0'),
                *controller,
            ),
            start(
                'plant',
                *(*common, '-p', 'diagnostics.period:=0.1', '-p', 'lockstep:=true'),
                *('-p', f'state_rate:={rate}', '-p', 'simulation_rate:=200.0'),
                *plant,
            ),
        ]
        probe.node.create_subscription(JointState, 'state', self._note, QoSProfile(depth=1000))
        self._require(lambda: self.states, 'the plant waits')
        self._change(Transition.TRANSITION_CONFIGURE)

    def send(self, message, topic='controller/reference', listeners=1):
        """Sends a message as soon as so many listen."""
        publisher = self.probe.node.create_publisher(type(message), topic, 10)
        self._require(lambda: publisher.get_subscription_count() >= listeners, topic)
        self.probe.spin(0.3)
        publisher.publish(message)
        self.probe.spin(0.3)

    def send_after(self, seconds, message, *topics):
        """Sends a message on each topic once the plant has flown for so long."""
        for topic in topics:
            publisher = self.probe.node.create_publisher(type(message), topic, 10)
            self._require(lambda p=publisher: p.get_subscription_count() > 0, topic)
            self._due.append((EPOCH + seconds, publisher, message))

    def fly(self, seconds):
        """Lets them go: times since the beginning (N,), states (N, n_x)."""
        self._change(Transition.TRANSITION_ACTIVATE)
        self._require(lambda: max(self.states) >= EPOCH + seconds, f'{seconds} s of flight')
        times = np.array(sorted(self.states))
        return times - EPOCH, np.array([self.states[t] for t in times])

    def _note(self, message):
        now = seconds_of(message.header.stamp)
        self.states[now] = [*message.position, *message.velocity]
        for _, publisher, due in [one for one in self._due if one[0] <= now]:
            publisher.publish(due)
        self._due = [one for one in self._due if one[0] > now]

    def _change(self, transition):
        client = self.probe.node.create_client(ChangeState, f'{self._name}/change_state')
        self._require(client.service_is_ready, 'the controller')
        client.call_async(ChangeState.Request(transition=Transition(id=transition)))

    def _require(self, condition, what):
        def holds():
            for node in self._nodes:
                assert node.process.poll() is None, node.log()
            return condition()

        self.probe.require(holds, what, START_TIMEOUT)


def at_start(x):
    """The arguments of a plant that starts in a state."""
    return ('-p', f'initial_state:={[float(value) for value in x]}')


@pytest.fixture
def turns(start, make_probe, namespace):
    return lambda *args, **kwargs: Turns(start, make_probe(namespace), namespace, *args, **kwargs)


def test_a_sine_is_tracked_through_the_node(turns, tmp_path):
    (tmp_path / 'fine.py').write_text(FINE)
    weights = ('-p', 'weights.Q:=[100.0, 3.0]', '-p', 'weights.R:=[0.01]')
    flight = turns(
        tmp_path / 'fine.py',
        0.05,
        controller=('-p', 'model_path:=classical', *weights),
        plant=at_start([0.0, AMPLITUDE * OMEGA]),
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
    times, states = flight.fly(8.0)
    error = states[:, 0] - AMPLITUDE * np.sin(OMEGA * times)
    rms = np.sqrt((error[times > 2.0] ** 2).mean()) / AMPLITUDE
    print(f'rms error {100 * rms:.2f} % of the amplitude')
    assert rms < 0.03


@pytest.mark.long
def test_a_figure_eight_is_flown_along_a_path(turns):
    weights = ('-p', 'weights.R:=[0.01, 0.01]')
    path, omega = Path(), 2 * math.pi / 5.0
    flight = turns(
        'quadrotor_2d',
        0.04,
        controller=('-p', 'reference_type:=Path', *weights),
        plant=at_start([0.0, 0.0, 0.0, omega, omega, 0.0]),
    )
    for time in np.arange(-0.2, 9.0, 0.04):  # positions alone: the tilt is left level
        pose = PoseStamped()
        pose.header.stamp = stamp(EPOCH + time)
        pose.pose.position.y = math.sin(omega * time)
        pose.pose.position.z = 0.5 * math.sin(2 * omega * time)
        path.poses.append(pose)
    flight.send(path)
    times, states = flight.fly(6.0)
    there = np.stack([np.sin(omega * times), 0.5 * np.sin(2 * omega * times)], 1)
    error = np.linalg.norm(states[:, :2] - there, axis=1)[times > 1.0]
    rms = np.sqrt((error**2).mean())
    print(f'rms error {100 * rms:.2f} cm')
    assert rms < 0.03


def circle(number, x, y, radius, time=None, action=Marker.ADD, kind=Marker.CYLINDER):
    marker = Marker(id=number, type=kind, action=action)
    marker.pose.position.x, marker.pose.position.y = x, y
    marker.scale.x = 2 * radius
    if time is not None:
        marker.header.stamp = stamp(time)
    return marker


@pytest.mark.long
def test_a_car_goes_round_a_marker_that_moves(turns):
    remap = ('-p', 'parameters_type:=MarkerArray', '-r', '~/parameters:=obstacles')
    goal = ('-p', 'model_path:=classical', '-p', 'initial_goal:=[5.0, 0.0, 0.0, 0.0, 0.0]')
    flight = turns(CAR, 0.1, controller=(*remap, *goal), plant=(*remap, *at_start([0.0] * 5)))
    # Seen twice, a second apart: it comes up from below to where the car will pass.
    sights = [circle(4, 2.0, y, 0.5, EPOCH + time) for time, y in ((-1.0, -0.7), (0.0, -0.5))]
    flight.send(MarkerArray(markers=sights), 'obstacles', listeners=2)
    times, states = flight.fly(7.0)
    centre = np.stack([2.0 + 0.0 * times, -0.5 + 0.2 * times], 1)
    gap = np.linalg.norm(states[:, :2] - centre, axis=1) - 0.5
    straight = np.linalg.norm(np.stack([states[:, 0], 0.0 * times], 1) - centre, axis=1) - 0.5
    print(f'closest {100 * gap.min():.1f} cm, straight {100 * straight.min():.1f} cm')
    assert straight.min() < -0.2
    assert gap.min() > -0.02
    assert np.abs(states[-1, :2] - [5.0, 0.0]).max() < 0.1
    true = flight.probe.diagnosis('constraints', 'plant')
    assert float(true['largest_violation']) == pytest.approx(max(0.0, -gap.min()), abs=0.01)
    safety = flight.probe.diagnosis('safety')
    assert float(safety['tracking_error_x']) == pytest.approx(abs(states[-1, 0] - 5.0), abs=0.05)
    assert float(safety['goal_x']) == 5.0


def test_a_car_goes_round_a_circle_that_appears_on_its_way(turns):
    goal = ('-p', 'initial_goal:=[5.0, 0.0, 0.0, 0.0, 0.0]')
    flight = turns('bicycle_circles', 0.1, controller=goal, plant=at_start([0.0] * 5))
    circle = JointState(name=['x1', 'y1', 'r1'], position=[3.0, -0.1, 0.5])
    flight.send_after(1.0, circle, 'controller/parameters', 'plant/parameters')
    times, states = flight.fly(7.0)
    unaware = times <= 1.0
    assert np.abs(states[unaware, 1]).max() < 0.01  # [m] nothing is in the way yet
    assert states[unaware, 3].max() > 0.8  # [m/s]
    gap = np.hypot(states[:, 0] - 3.0, states[:, 1] + 0.1) - 0.5
    print(f'closest {100 * gap.min():.1f} cm')
    assert -0.01 < gap.min() < 0.3  # beside it, and no way round the world
    assert np.abs(states[-1, :2] - [5.0, 0.0]).max() < 0.1
    true = flight.probe.diagnosis('constraints', 'plant')
    assert float(true['largest_violation']) == pytest.approx(max(0.0, -gap.min()), abs=0.01)


def test_weights_change_in_flight_without_a_jolt(controller, probe, namespace):
    controller('-p', 'state_timeout:=5.0', '-p', f'command_limits.rate:=[{RATE}]')
    sent = probe.listen(JointTrajectory, 'controller/command_stamped')

    def steady(weights):
        """The command once it no longer changes."""
        if weights is not None:
            assert change(probe, namespace, weights__R=weights).successful
        first = len(sent) + 5

        def is_steady():
            last = [message.points[0].effort[0] for message in sent[first:]][-10:]
            return len(last) == 10 and max(last) - min(last) < 1e-4

        probe.fly_until((0.5, 0.0), is_steady, 'a steady command')
        return sent[-1].points[0].effort[0]

    own, large, small = (steady(weights) for weights in (None, [10.0], [0.001]))
    assert small < own - 0.05 < own + 0.05 < large < 0.0
    for bad, reason in (
        ({'weights__Q': [1.0]}, "weights.Q has 1 values; write one for each of ['position', "),
        ({'weights__R': [-1.0]}, 'weights.R is [-1.0]; write positive numbers'),
    ):
        refusal = change(probe, namespace, **bad)
        assert not refusal.successful
        assert refusal.reason.startswith(reason)
    assert steady([]) == pytest.approx(own, abs=1e-3)  # the system's own again
    # The change between any two commands, by the time at which the node sent them.
    points = [Received(m, seconds_of(m.header.stamp)) for m in sent]
    assert fastest_change(points, lambda m: m.points[0].effort[0]) < RATE * STALL
    assert probe.diagnosis('safety')['entered_fallback'] == '0'


def bad_references(now):
    """A reference for every reason to refuse one."""
    line = np.arange(4.0)[:, None]
    good = ['slider']
    return {
        'one_point': trajectory(good, [1.0], line),
        'past': trajectory(good, [1.0, 2.0], line, begin=now - 60.0),
        'out_of_order': trajectory(good, [1.0, 3.0, 2.0], line),
        'not_finite': trajectory(good, [1.0, 2.0, 3.0, 4.0], line * np.nan),
        'unknown_name': trajectory(['slider', 'elbow'], [1.0, 2.0], np.ones((2, 2))),
        'missing_name': trajectory([], [1.0, 2.0], np.ones((2, 0))),
        'wrong_size': trajectory(good, [1.0, 2.0], np.ones((2, 2))),
    }


def test_bad_references_and_parameters_cost_a_line_each_and_the_newest_good_one_holds(
    controller, probe, namespace
):
    node = controller('-p', 'state_timeout:=5.0')
    references = probe.node.create_publisher(JointTrajectory, 'controller/reference', 10)
    given = probe.node.create_publisher(JointState, 'controller/parameters', 10)
    for publisher in (references, given):
        probe.require(lambda p=publisher: p.get_subscription_count() > 0, 'listener', PATIENCE)
    probe.fly((0.2, 0.0), 0.3)
    now = 1e-9 * probe.node.get_clock().now().nanoseconds
    for reason, message in bad_references(now).items():
        for _ in range(2):
            references.publish(message)
            probe.fly((0.2, 0.0), 0.1)
        assert probe.diagnosis('inputs')[f'reference_rejected_{reason}'] == '2'
        assert node.log().count(f'reference refused: {reason}') == 1
    given.publish(JointState(name=['mass'], position=[1.0]))
    probe.fly((0.2, 0.0), 0.2)
    assert node.log().count("unknown_name: ['mass']; expected ['acceleration_gain']") == 1
    assert probe.diagnosis('safety')['follows'] == 'goal'
    # A valid one, that begins on arrival, replaces the goal; a newer goal replaces it.
    references.publish(trajectory(['slider'], [0.5, 60.0], [[0.7], [0.7]]))
    probe.fly((0.2, 0.0), 0.3)
    safety = probe.diagnosis('safety')
    assert (safety['follows'], safety['entered_fallback']) == ('reference', '0')
    assert float(safety['reference_position']) == pytest.approx(0.7)
    assert float(safety['tracking_error_position']) == pytest.approx(0.5)
    assert probe.commands()[-1] > 0.0
    probe.send_goal((-0.4, 0.0))
    probe.fly((0.2, 0.0), 0.3)
    safety = probe.diagnosis('safety')
    assert (safety['follows'], float(safety['goal_position'])) == ('goal', -0.4)
    assert probe.commands()[-1] < 0.0
