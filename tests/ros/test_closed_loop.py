"""Controller and plant, two processes: every goal is reached, no bound is crossed."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from probe import arguments

from trc_core import SYSTEMS
from trc_core.checkpoint import shipped_checkpoints
from trc_core.systems.base import SUCCESS_TOLERANCE

GOALS = {'double_integrator': [(1.5, 0.0), (-1.0, 0.0)], 'van_der_pol': [(0.0, 0.0)]}
RATES = {'double_integrator': 50.0, 'van_der_pol': 20.0}
SETTLING_TIME = 8.0  # [s]


@pytest.mark.parametrize('name', shipped_checkpoints())
def test_every_goal_is_reached(name, start, make_probe):
    system, namespace = SYSTEMS[name], f'/closed_loop/{name}'
    probe = make_probe(namespace, system.joints[0].name)
    probe.listen_to_state()
    plant = start('plant', *arguments(name, namespace), '-p', 'initial_state:=[2.0, -1.0]')
    probe.meet(plant, 'command')
    controller = start('controller', *arguments(name, namespace))
    probe.meet(controller, 'goal')
    probe.require(lambda: probe.log.command, 'commands')

    def distance(goal):
        message = probe.log.state[-1].message
        x = np.array([message.position[0], message.velocity[0]])
        return np.abs(x - goal).sum()

    for goal in GOALS[name]:
        probe.send_goal(goal)
        probe.require(
            lambda goal=goal: distance(goal) <= SUCCESS_TOLERANCE / 2, f'{goal}', SETTLING_TIME
        )
        probe.spin(1.0)
        assert distance(goal) <= SUCCESS_TOLERANCE
    commands = np.array(probe.commands())
    assert np.isfinite(commands).all()
    assert (np.abs(commands) <= system.u_max[0]).all()
    loop = probe.diagnosis('control_loop')
    # Never faster than asked; how much slower is up to what else the machine does.
    assert 0.8 * RATES[name] < float(loop['achieved_rate_hz']) < 1.02 * RATES[name]
    assert probe.diagnosis('safety')['entered_fallback'] == '0'
    print(loop)
    assert controller.interrupt() == 0
    assert plant.interrupt() == 0
