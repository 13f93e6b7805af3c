"""A goal as an action: feedback on the way, and a result that says how it ended."""

import importlib.util

import pytest

pytest.importorskip('rclpy')

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from probe import START_TIMEOUT
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from trc_core import get_system
from trc_ros.conversions import PACKAGES, Placement, find_action, seconds_of

SLIDER = get_system('double_integrator')
PATIENCE = 30.0  # [s]
PATIENT = ('-p', 'state_timeout:=5.0')
MISSING = {name: importlib.util.find_spec(PACKAGES[name]) is None for name in PACKAGES}


@pytest.mark.parametrize('name', [name for name in PACKAGES if MISSING[name]])
def test_an_action_that_is_not_installed_is_refused_with_what_to_install(name):
    package = PACKAGES[name].replace('_', '-')
    with pytest.raises(ValueError, match=rf'sudo apt install ros-\$ROS_DISTRO-{package}'):
        find_action(name, SLIDER, Placement())


def test_nothing_is_served_where_nobody_wants_it_or_no_package_is_there():
    assert find_action('none', SLIDER, Placement()) is None
    action = find_action('auto', SLIDER, Placement())
    assert (action is None) == all(MISSING.values())


class Client:
    """Sends goals to `~/go_to`."""

    def __init__(self, probe, kind):
        from rclpy.action import ActionClient

        self.probe, self.feedback, self.kind = probe, [], kind
        self._client = ActionClient(probe.node, kind, 'controller/go_to')
        probe.require(self._client.server_is_ready, 'the action', START_TIMEOUT)
        probe.spin(0.5)  # both directions

    def send(self, goal):
        """The handle of a goal that was accepted."""
        self.feedback.clear()
        future = self._client.send_goal_async(
            goal, feedback_callback=lambda message: self.feedback.append(message.feedback)
        )
        self.probe.require(future.done, 'the answer to a goal', PATIENCE)
        assert future.result().accepted
        return future.result()

    def result(self, handle):
        """Status and result of a goal."""
        return self.await_result(handle.get_result_async())

    def await_result(self, future):
        self.probe.require(future.done, 'the result', PATIENCE)
        return future.result().status, future.result().result

    def moving(self, handle):
        """Waits until a goal is on its way."""
        self.probe.require(lambda: self.feedback, 'feedback', PATIENCE)
        return handle


def change(probe, namespace, transition):
    client = probe.node.create_client(ChangeState, f'{namespace}/controller/change_state')
    request = ChangeState.Request(transition=Transition(id=transition))
    assert probe.call(client, request).success


@pytest.mark.skipif(MISSING['NavigateToPose'], reason='needs nav2_msgs')
def test_a_pose_is_navigated_to_and_every_end_has_its_reason(controller, plant, probe, namespace):
    from nav2_msgs.action import NavigateToPose

    node = controller(*PATIENT, '-p', 'action_type:=NavigateToPose')
    plant('-p', 'initial_state:=[0.0, 0.0]')
    client = Client(probe, NavigateToPose)

    def to(x):
        goal = NavigateToPose.Goal()
        goal.pose.pose.position.x = x
        return client.send(goal)

    # Reached.
    status, result = client.result(to(1.0))
    assert (status, result.error_code) == (GoalStatus.STATUS_SUCCEEDED, 0)
    far, near = client.feedback[0], client.feedback[-1]
    assert far.distance_remaining > 0.5 > near.distance_remaining
    left = [seconds_of(feedback.estimated_time_remaining) for feedback in client.feedback]
    assert 0 < max(left) < 5  # 0 as long as no plan says
    assert far.current_pose.pose.position.x < near.current_pose.pose.position.x <= 1.1
    # Refused: the goal before stays.
    status, result = client.result(to(100.0))
    assert status == GoalStatus.STATUS_ABORTED
    assert result.error_code != 0
    assert 'go_to: refused: out_of_range: position is 100' in node.log()
    assert probe.diagnosis('inputs')['go_to_rejected_out_of_range'] == '1'
    # Superseded by another goal.
    handle = client.moving(to(-2.0))
    probe.send_goal((2.0, 0.0))
    status, _ = client.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert 'go_to: superseded by another goal' in node.log()
    # Cancelled: it stays where it is.
    handle = client.moving(to(-2.0))
    handle.cancel_goal_async()
    status, _ = client.result(handle)
    assert status == GoalStatus.STATUS_CANCELED
    assert 'go_to: cancelled: the plant stays where it is' in node.log()
    assert float(probe.diagnosis('safety')['goal_position']) > -2.0
    # Deactivated, then cleaned up in the middle of another one.
    handle = client.moving(to(2.0))
    change(probe, namespace, Transition.TRANSITION_DEACTIVATE)
    status, _ = client.result(handle)
    assert status == GoalStatus.STATUS_ABORTED
    assert 'go_to: the controller is not active' in node.log()
    change(probe, namespace, Transition.TRANSITION_ACTIVATE)
    result = client.moving(to(-2.0)).get_result_async()
    change(probe, namespace, Transition.TRANSITION_DEACTIVATE)
    change(probe, namespace, Transition.TRANSITION_CLEANUP)
    assert client.await_result(result)[0] == GoalStatus.STATUS_ABORTED
    probe.spin(1.0)
    assert node.interrupt() == 0
    assert 'Traceback' not in node.log()


@pytest.mark.skipif(MISSING['FollowJointTrajectory'], reason='needs control_msgs')
def test_a_trajectory_is_followed_to_its_end(controller, plant, probe):
    from control_msgs.action import FollowJointTrajectory

    controller(*PATIENT, '-p', 'action_type:=FollowJointTrajectory')
    plant('-p', 'initial_state:=[0.0, 0.0]')
    client = Client(probe, FollowJointTrajectory)

    def along(*positions, names=('slider',)):
        points = [
            JointTrajectoryPoint(positions=[x], time_from_start=Duration(sec=i))
            for i, x in enumerate(positions)
        ]
        trajectory = JointTrajectory(joint_names=list(names), points=points)
        return client.send(FollowJointTrajectory.Goal(trajectory=trajectory))

    status, result = client.result(along(1.0))  # a goal
    found = status, result.error_code, result.error_string
    assert found == (GoalStatus.STATUS_SUCCEEDED, 0, 'reached')
    assert list(client.feedback[0].joint_names) == ['slider']
    assert client.feedback[0].desired.positions[0] == 1.0
    status, result = client.result(along(1.0, 0.5, 0.5))  # a reference
    assert (status, result.error_string) == (GoalStatus.STATUS_SUCCEEDED, 'reached')
    assert client.feedback[-1].actual.positions[0] == pytest.approx(0.5, abs=0.1)
    status, result = client.result(along(1.0, names=('elbow',)))
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, -1)
    assert result.error_string.startswith("refused: unknown_name: ['elbow']")
