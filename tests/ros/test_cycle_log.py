"""At the level debug the controller tells of every cycle, and ROS below it stays quiet."""

import pytest

pytest.importorskip('rclpy')

from rcl_interfaces.msg import LoggerLevel
from rcl_interfaces.srv import SetLoggerLevels
from rclpy.logging import LoggingSeverity


def test_every_cycle_is_told_at_debug_level_which_may_change_in_flight(
    controller, probe, namespace
):
    logger = f'{namespace[1:]}.controller'
    node = controller('--log-level', f'{logger}:=debug')
    probe.fly_until((2.0, 0.0), lambda: 'active: plan accepted; plan' in node.log(), 'a line')
    lines = [line for line in node.log().splitlines() if 'DEBUG' in line]
    assert all(f'[{logger}]' in line for line in lines)
    told = next(line for line in lines if 'plan accepted' in line)
    for part in (', cost ', 'candidates ', 'planned in ', ' ms old', 'command ['):
        assert part in told
    client = probe.node.create_client(SetLoggerLevels, f'{namespace}/controller/set_logger_levels')
    quiet = LoggerLevel(name=logger, level=LoggingSeverity.INFO)
    assert probe.call(client, SetLoggerLevels.Request(levels=[quiet])).results[0].successful
    for _ in range(2):
        probe.diagnosis('safety')  # the level is looked at with them
    before = node.log().count('DEBUG')
    probe.fly((2.0, 0.0), 0.3)
    assert node.log().count('DEBUG') == before
