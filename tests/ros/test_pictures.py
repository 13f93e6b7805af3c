"""What RViz draws is where the plan is, and costs nothing while nobody looks."""

import math

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from nav_msgs.msg import Path
from trajectory_rules import nanoseconds
from visualization_msgs.msg import Marker

from trc_core.numerics.plan import Plan
from trc_core.systems import SYSTEMS, get_system
from trc_ros.controller.outputs import Output
from trc_ros.conversions import MarkersWriter, PathWriter, Placement

ALL = list(SYSTEMS.values())
STAMP = Time(sec=7, nanosec=999_999_999)


def plan_of(system):
    rng = np.random.default_rng(2)
    controls = rng.normal(size=(system.horizon, system.n_u))
    states = rng.normal(size=(system.horizon + 1, system.n_x))
    return Plan(controls, states, 1.0, 'test')


TIPS = {
    'cartpole': lambda x: [x[0] + math.sin(x[2]), 0.0, math.cos(x[2])],
    'cartpole_swingup': lambda x: [x[0] + math.sin(x[2]), 0.0, math.cos(x[2])],
    'pendulum': lambda x: [math.sin(x[0]), 0.0, math.cos(x[0])],
    'quadrotor_2d': lambda x: [0.0, x[0], x[1]],
    'double_integrator': lambda x: [x[0], 0.0, 0.0],
    'van_der_pol': lambda x: [x[0], x[1], 0.0],
}
"""Where the interesting point of a system is in state x, by its own geometry."""


def numbers(point):
    return [point.x, point.y, point.z]


@pytest.mark.parametrize('system', ALL, ids=lambda system: system.name)
def test_the_markers_show_plan_body_and_goal(system):
    write, plan = MarkersWriter(system, Placement()), plan_of(system)
    goal = plan.states[3]
    write(plan_of(system), Time(), np.zeros(system.n_x))
    markers = write(plan, STAMP, goal).markers
    assert len({(m.ns, m.id) for m in markers}) == len(markers)
    for marker in markers:
        assert (marker.header.stamp, marker.header.frame_id) == (STAMP, 'map')
        assert marker.color.a > 0.0 and marker.scale.x > 0.0 and marker.action == Marker.ADD
        q = marker.pose.orientation
        assert math.hypot(q.x, q.y, q.z, q.w) == pytest.approx(1.0)
    (line,) = (m for m in markers if m.type == Marker.LINE_STRIP)
    expected = [TIPS[system.name](x) for x in plan.states]
    np.testing.assert_allclose([numbers(p) for p in line.points], expected, atol=1e-12)
    body, there = ([m for m in markers if m.ns == ns] for ns in ('body', 'goal'))
    assert len(body) == len(there) >= 1
    assert all(m.type == Marker.CUBE for m in (*body, *there))
    # Mirrored at its pivot, the last box of a pole ends where the tip is; others are at the tip.
    for boxes, x in ((body, plan.states[0]), (there, goal)):
        middle, tip = np.array(numbers(boxes[-1].pose.position)), np.array(TIPS[system.name](x))
        pivot = [x[0], 0, 0] if system.name.startswith('cart') else [0, 0, 0]
        is_pole = boxes[-1].scale.z == 1.0
        np.testing.assert_allclose(2 * middle - pivot if is_pole else middle, tip, atol=1e-12)


def test_a_cart_stays_level_under_its_pole():
    system = get_system('cartpole')
    plan = plan_of(system)
    cart, pole = (
        m
        for m in MarkersWriter(system, Placement())(plan, STAMP, plan.states[0]).markers
        if m.ns == 'body'
    )
    assert cart.pose.orientation.w == 1.0
    half = plan.states[0, 2] / 2
    q = pole.pose.orientation
    assert (q.x, q.y, q.z, q.w) == pytest.approx((0.0, math.sin(half), 0.0, math.cos(half)))


@pytest.mark.parametrize('system', ALL, ids=lambda system: system.name)
def test_the_path_is_a_pose_with_a_time_for_every_state(system):
    write, plan = PathWriter(system, Placement(frame_id='world')), plan_of(system)
    write(plan_of(system), Time())
    message = write(plan, STAMP)
    assert message.header.frame_id == 'world' and message.header.stamp == STAMP
    assert len(message.poses) == system.horizon + 1
    for k, pose in enumerate(message.poses):
        late = nanoseconds(pose.header.stamp) - nanoseconds(STAMP)
        assert late == round(1e9 * k * system.dt)
        assert pose.header.frame_id == 'world'
    if system.name == 'quadrotor_2d':
        poses = [pose.pose for pose in message.poses]
        found = [(p.position.y, p.position.z, 2 * math.asin(p.orientation.x)) for p in poses]
        np.testing.assert_allclose(found, plan.states[:, :3], atol=1e-9)


def test_axes_may_be_chosen():
    system = get_system('van_der_pol')
    plan = plan_of(system)
    message = PathWriter(system, Placement(('z',)))(plan, STAMP)
    assert [p.pose.position.z for p in message.poses] == plan.states[:, 0].tolist()


def test_a_message_is_made_only_while_somebody_listens(make_probe, namespace):
    probe, made, received = make_probe(namespace), [], []

    def write(stamp):
        made.append(stamp)
        return Path()

    output = Output(probe.node, Path, 'path', write)
    output(0)
    assert made == []
    listener = probe.node.create_subscription(Path, 'path', received.append, 1)
    probe.require(output.publisher.get_subscription_count, 'a listener', 30.0)
    output(1)
    probe.require(lambda: received, 'a message', 30.0)
    assert made == [1]
    probe.node.destroy_subscription(listener)
    probe.require(lambda: not output.publisher.get_subscription_count(), 'nobody', 30.0)
    output(2)
    assert made == [1]
