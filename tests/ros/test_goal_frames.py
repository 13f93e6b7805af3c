"""A goal in another frame is moved into ours by a transform, or refused, never taken for ours."""

import importlib.util
import os

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry, Path
from scipy.spatial.transform import Rotation
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from trc_ros.controller.transforms import NoTransform, Transforms
from trc_ros.conversions import RejectedInput, frame_id_of, moved

POSES = (
    *('-p', 'state_type:=Odometry', '-p', 'goal_type:=PoseStamped'),
    *('-p', 'state_timeout:=5.0', '-p', 'initial_goal:=hold'),
    *('-p', 'system:=double_integrator', '-p', 'diagnostics.period:=0.1'),
)
# What this node calls of tf2_ros, whose buffer is not among the wheels; see its documentation.
STAND_IN = """
from geometry_msgs.msg import TransformStamped


class TransformException(Exception):
    pass


class Buffer:
    def __init__(self, cache_time=None, node=None):
        self.known = {}

    def can_transform(self, target_frame, source_frame, time):
        return (target_frame, source_frame) in self.known

    def lookup_transform(self, target_frame, source_frame, time):
        if not self.can_transform(target_frame, source_frame, time):
            raise TransformException(f'"{source_frame}" does not exist')
        return self.known[target_frame, source_frame]


class TransformListener:
    def __init__(self, buffer, node, *, spin_thread=False):
        def take(message):
            buffer.known[message.header.frame_id, message.child_frame_id] = message

        self.node = node
        self.subscription = node.create_subscription(TransformStamped, 'transforms', take, 10)

    def unregister(self):
        self.node.destroy_subscription(self.subscription)
"""


def transform(shift, rotation, target='odom', source='map'):
    message = TransformStamped(child_frame_id=source)
    message.header.frame_id = target
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = map(float, shift)
    q.x, q.y, q.z, q.w = rotation.as_quat()
    return message


def pose(frame_id, position, rotation=None):
    message = PoseStamped()
    message.header.frame_id = frame_id
    p, q = message.pose.position, message.pose.orientation
    p.x, p.y, p.z = map(float, position)
    if rotation is not None:
        q.x, q.y, q.z, q.w = rotation.as_quat()
    return message


def placed(pose):
    p, q = pose.position, pose.orientation
    return np.array([p.x, p.y, p.z]), Rotation.from_quat([q.x, q.y, q.z, q.w])


def test_poses_move_as_rigid_bodies_do():
    rng = np.random.default_rng(0)
    for _ in range(20):
        turn, own = Rotation.random(2, random_state=rng)
        shift, position = rng.normal(size=(2, 3))
        goal = pose('map', position, own)
        found, orientation = placed(moved(goal, transform(shift, turn)).pose)
        np.testing.assert_allclose(found, turn.apply(position) + shift, atol=1e-12)
        assert (orientation * (turn * own).inv()).magnitude() < 1e-7
        assert goal.header.frame_id == 'map'  # that of the sender is left alone


def test_every_pose_of_a_path_moves():
    path = Path(poses=[pose('map', (1, 0, 0)), pose('', (0, 1, 0))])
    assert frame_id_of(path) == 'map'
    there = moved(path, transform((10, 0, 0), Rotation.from_euler('z', 90, degrees=True)))
    found = [placed(stamped.pose)[0] for stamped in there.poses]
    np.testing.assert_allclose(found, [(10, 1, 0), (9, 0, 0)], atol=1e-12)
    assert frame_id_of(there) == 'odom'


def test_a_path_in_two_frames_is_refused():
    with pytest.raises(RejectedInput, match=r"frame: \['map', 'odom'\] in one path"):
        frame_id_of(Path(poses=[pose('map', (1, 0, 0)), pose('odom', (0, 1, 0))]))


@pytest.mark.skipif(importlib.util.find_spec('tf2_ros') is not None, reason='tf2_ros is there')
def test_what_to_install_for_transforms_is_said():
    transforms = Transforms(None)
    assert transforms.is_known('odom', 'map')  # there is nothing to wait for
    with pytest.raises(NoTransform, match='install tf2_ros'):
        transforms.between('odom', 'map')


def odometry(x):
    message = Odometry(child_frame_id='base_link')
    message.header.frame_id = 'odom'
    message.pose.pose.position.x = x
    return message


def rejected(probe, topic='goal'):
    return int(probe.diagnosis('inputs').get(f'{topic}_rejected_frame', 0))


def goal_position(probe):
    return probe.diagnosis('safety').get('goal_position')


def send_until(probe, goal, condition, what):
    """Sends a goal once, and states until something has happened."""
    probe.publish_state(odometry(0.0))
    probe.publish_goal(goal)

    def holds():
        probe.publish_state(odometry(0.0))
        return condition()

    probe.require(holds, what)


@pytest.mark.skipif(importlib.util.find_spec('tf2_ros') is not None, reason='tf2_ros is there')
def test_without_transforms_a_goal_in_another_frame_is_refused(start, make_probe, namespace):
    probe = make_probe(namespace, goal_kind=PoseStamped)
    node = start('controller', '-r', f'__ns:={namespace}', *POSES)
    probe.meet(node, 'state')
    probe.publish_goal(pose('odom', (0.5, 0, 0)))  # before anybody knows whose frame that is
    probe.require(lambda: rejected(probe) == 1, 'the first refusal')
    probe.open_state(Odometry)
    send_until(probe, pose('odom', (0.7, 0, 0)), lambda: goal_position(probe) == '0.7', 'a goal')
    send_until(probe, pose('', (0.8, 0, 0)), lambda: goal_position(probe) == '0.8', 'a goal')
    send_until(probe, pose('map', (0.9, 0, 0)), lambda: rejected(probe) == 2, 'a refusal')
    reference = probe.node.create_publisher(JointTrajectory, 'controller/reference', 1)
    probe.require(reference.get_subscription_count, 'listener of references')
    points = [
        JointTrajectoryPoint(positions=[0.1 * i], time_from_start=Duration(sec=i)) for i in (0, 1)
    ]
    message = JointTrajectory(joint_names=['slider'], points=points)
    message.header.frame_id = 'map'
    reference.publish(message)
    probe.require(lambda: rejected(probe, 'reference') == 1, 'the refusal of a reference')
    assert goal_position(probe) == '0.8'
    log = node.log()
    assert "goal refused: frame: 'odom', but no state has said yet which frame is ours" in log
    assert "reference refused: frame: 'map', expected 'odom': joints do not move" in log


def test_a_goal_in_another_frame_waits_for_its_transform(start, make_probe, namespace, tmp_path):
    (tmp_path / 'tf2_ros.py').write_text(STAND_IN)
    probe = make_probe(namespace, goal_kind=PoseStamped)
    search = f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'
    node = start('controller', '-r', f'__ns:={namespace}', *POSES, PYTHONPATH=search)
    probe.meet(node, 'state')
    probe.open_state(Odometry)
    # Nobody knows of that frame: refused in the end.
    send_until(probe, pose('moon', (0.1, 0, 0)), lambda: rejected(probe) == 1, 'a refusal')
    said = "goal refused: frame: 'moon', expected 'odom'; tf says: \"moon\" does not exist"
    assert said in node.log()
    # A transform that comes after the goal.
    transforms = probe.node.create_publisher(TransformStamped, 'transforms', 10)
    probe.require(transforms.get_subscription_count, 'listener of transforms')
    there = transform((1.0, 0, 0), Rotation.from_euler('z', 180, degrees=True))
    probe.publish_goal(pose('map', (0.4, 0, 0)))
    probe.spin(0.3)
    transforms.publish(there)
    send = lambda: probe.publish_state(odometry(0.0)) or goal_position(probe)  # noqa: E731
    probe.require(lambda: send() is not None, 'a goal')
    assert float(goal_position(probe)) == pytest.approx(0.6)
    assert rejected(probe) == 1
