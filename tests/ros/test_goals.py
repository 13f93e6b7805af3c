"""A controller goes where it is sent, if that can be reached, and otherwise stays where it is."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from probe import arguments
from std_srvs.srv import Trigger

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
    probe.fly((1.0, 0.0), 0.3)  # pushed away
    assert probe.commands()[-1] > 0.5
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
