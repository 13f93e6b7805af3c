"""The log of a flight: every cycle at the level debug, and no flood when the state flaps."""

import pytest

pytest.importorskip('rclpy')

from rcl_interfaces.msg import LoggerLevel
from rcl_interfaces.srv import SetLoggerLevels
from rclpy.logging import LoggingSeverity


def test_debug_tells_of_every_cycle_and_a_flapping_state_is_told_in_few_lines(
    controller, probe, namespace
):
    logger = f'{namespace[1:]}.controller'
    node = controller('--log-level', f'{logger}:=debug', '-p', 'state_timeout:=0.03')
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
    # States that come more slowly than they age: the state of the loop flaps.
    already = int(probe.diagnosis('safety')['entered_fallback'])
    for _ in range(25):
        probe.send_state((2.0, 0.0))
        probe.spin(0.08)
    entered = int(probe.diagnosis('safety')['entered_fallback']) - already
    assert entered > 10
    assert node.interrupt() == 0
    told = [line for line in node.log().splitlines() if 'DEBUG' not in line]
    changes = [line for line in told if 'active: ' in line or 'fallback: ' in line]
    assert len(changes) < 10
    assert any('active <-> fallback: ' in line for line in changes)
