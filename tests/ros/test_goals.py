"""A controller goes where it is sent, if that can be reached, and otherwise stays where it is."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray
from probe import arguments
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

PATIENT = ('-p', 'state_timeout:=5.0')
HOLD = ('-p', 'initial_goal:=hold')


def safety(probe, *keys):
    values = probe.diagnosis('safety')
    return tuple(values[key] for key in keys)


def reset(probe, namespace):
    client = probe.node.create_client(Trigger, f'{namespace}/controller/reset')
    assert probe.call(client, Trigger.Request()).success


def settled_at(probe, position):
    """Flies a slider at rest in a place until nothing is left to do there."""
    fly = lambda: (  # noqa: E731
        probe.log.command and abs(probe.commands()[-1]) < 0.05 and follows(probe, position)
    )
    probe.fly_until((position, 0.0), fly, f'nothing to do at {position}')


def follows(probe, position):
    values = probe.diagnosis('safety')
    return values['follows'] == 'hold' and float(values['hold_position']) == position


def test_without_a_goal_a_plant_stays_where_it_is_and_after_a_reset_where_it_then_is(
    controller, probe, namespace
):
    controller(*PATIENT, *HOLD)
    settled_at(probe, 1.5)
    assert np.abs(probe.commands()).max() < 0.05
    probe.fly_until((1.0, 0.0), lambda: probe.commands()[-1] > 0.5, 'the way back')  # pushed away
    probe.send_goal((-1.0, 0.0))
    probe.fly_until((1.0, 0.0), lambda: probe.commands()[-1] < -0.5, 'the way to the goal')
    assert safety(probe, 'follows', 'goal_position') == ('goal', '-1')
    reset(probe, namespace)
    settled_at(probe, 1.0)


def test_a_plant_that_cannot_stay_is_not_commanded_before_a_goal(start, probe, namespace):
    node = start('controller', *arguments('van_der_pol', namespace), *PATIENT, *HOLD)
    probe.joint = 'oscillator'
    probe.meet(node, 'state')
    probe.fly((1.0, 0.0), 0.5)
    assert safety(probe, 'state', 'reason') == ('waiting', 'no goal yet')
    assert probe.log.command == []
    probe.send_goal((0.0, 0.0))
    probe.fly_until((1.0, 0.0), lambda: probe.log.command, 'the way to the goal')


def change(probe, namespace, name, value):
    client = probe.node.create_client(SetParameters, f'{namespace}/controller/set_parameters')
    message = Parameter(name, value=value).to_parameter_msg()
    [result] = probe.call(client, SetParameters.Request(parameters=[message])).results
    return result.reason


def rejected(probe, key):
    return int(probe.diagnosis('inputs').get(key, 0))


def trajectory(*positions):
    return JointTrajectory(
        joint_names=['slider'],
        points=[
            JointTrajectoryPoint(positions=[x], time_from_start=Duration(sec=i))
            for i, x in enumerate(positions)
        ],
    )


def level_of(probe, part):
    seen = len(probe.log.diagnostics)
    probe.diagnosis(part)
    found = [s for r in probe.log.diagnostics[seen:] for s in r.message.status]
    return max((ord(s.level), s.message) for s in found if s.name.endswith(f': {part}'))


def test_a_goal_out_of_reach_is_refused_and_the_old_one_stays(controller, probe, namespace):
    node = controller(*PATIENT)
    probe.send_goal((1.0, 0.0))
    probe.fly_until((0.0, 0.0), lambda: safety(probe, 'goal_position') == ('1',), 'the goal')
    for far in ((100.0, 0.0), (-1e300, 0.0), (0.0, 1e9)):
        before = rejected(probe, 'goal_rejected_out_of_range')
        probe.send_goal(far)
        probe.require(
            lambda n=before: rejected(probe, 'goal_rejected_out_of_range') > n, f'refusal of {far}'
        )
    reference = probe.node.create_publisher(JointTrajectory, 'controller/reference', 1)
    probe.require(reference.get_subscription_count, 'listener of references')
    reference.publish(trajectory(0.0, 1.0, 100.0))
    refused = lambda: rejected(probe, 'reference_rejected_out_of_range') == 1  # noqa: E731
    probe.require(refused, 'refusal of a reference')
    assert safety(probe, 'follows', 'goal_position') == ('goal', '1')
    remedy = 'goal_limits.min and goal_limits.max say where goals may be'
    assert f'out_of_range: position is 100, outside of -3 to 3; {remedy}' in node.log()
    # Whoever wants it may say so.
    assert change(probe, namespace, 'goal_limits.max', [1.0]).startswith('goal_limits.max has 1')
    assert change(probe, namespace, 'goal_limits.max', [150.0, 6.0]) == ''
    probe.send_goal((100.0, 0.0))
    probe.fly_until((0.0, 0.0), lambda: safety(probe, 'goal_position') == ('100',), 'the goal')
    # What the plan says to that.
    warned = lambda: level_of(probe, 'model')[0] == 1  # noqa: E731
    probe.fly_until((0.0, 0.0), warned, 'a warning')
    said = 'position is 0, far outside the training box around the goal'
    assert probe.diagnosis('model')['last_warning'].startswith(said)
    assert node.log().count(f'plan: {said}') == 1


class GoalLog:
    """Every new state of the goal that has been published."""

    def __init__(self, probe):
        self.messages = []
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        probe.node.create_subscription(
            DiagnosticArray, 'controller/goal_status', self.messages.append, latched
        )

    def values(self):
        return [{v.key: v.value for v in m.status[0].values} for m in self.messages]

    def states(self):
        found = [values['state'] for values in self.values()]
        return [s for i, s in enumerate(found) if i == 0 or s != found[i - 1]]


def test_the_status_of_a_goal_says_where_it_is_and_late_joiners_hear_it(controller, probe):
    controller(*PATIENT, *HOLD)
    log = GoalLog(probe)

    def until(x, state):
        probe.fly_until((x, 0.0), lambda: log.states()[-1:] == [state], state)

    probe.require(log.states, 'the first status')
    assert log.values()[0]['reason'] == 'no state yet'
    until(0.0, 'holding')
    assert log.values()[-1]['goal_position'] == '0'
    probe.send_goal((1.0, 0.0))
    until(0.0, 'moving')
    moving = log.values()[-1]
    assert (moving['distance'], moving['goal_position']) == ('1', '1')
    assert 0.5 < float(moving['time_to_go_s']) < 5.0
    probe.send_goal((50.0, 0.0))
    until(0.0, 'refused')
    refused = log.values()[-1]
    assert refused['reason'].startswith('goal: out_of_range: position is 50')
    assert (refused['flight'], refused['goal_position']) == ('moving', '1')
    until(0.95, 'reached')
    late = GoalLog(probe)
    probe.require(late.states, 'the last status')
    assert late.states() == ['reached']
    seen = list(dict.fromkeys(log.states()))  # while it moves, that is said again
    assert seen == ['waiting', 'holding', 'moving', 'refused', 'reached']
