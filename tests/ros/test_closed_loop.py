"""Controller and plant, two processes: every goal is reached, no bound is crossed."""

import numpy as np
import pytest
import yaml

pytest.importorskip('rclpy')

from probe import ROOT, arguments

from trc_core import SYSTEMS
from trc_core.checkpoint import shipped_checkpoints

GOALS = {
    'double_integrator': [(1.5, 0.0), (-1.0, 0.0)],
    'quadrotor_2d': [(1.0, -1.0, 0.0, 0.0, 0.0, 0.0)],
}
STARTS = {
    'double_integrator': [2.0, -1.0],
    'van_der_pol': [2.0, -1.0],
    'cartpole': [0.5, 0.0, 0.2, 0.0],
    'quadrotor_2d': [-1.0, 1.0, 0.3, 0.0, 0.0, 0.0],
    'pendulum': [3.1, 0.0],  # both hang
    'cartpole_swingup': [0.0, 0.0, 3.1, 0.0],
}
SETTLING_TIME = 8.0  # [s]
SETTLED = 0.1  # sum |x - goal|


def state_of(system, message):
    x = np.zeros(system.n_x)
    for joint, position, velocity in zip(
        system.joints, message.position, message.velocity, strict=True
    ):
        x[joint.position], x[joint.velocity] = position, velocity
    return x


MORE = ('cartpole', 'cartpole_swingup', 'quadrotor_2d', 'van_der_pol')
FLOWN = [
    pytest.param(name, marks=[pytest.mark.long] * (name in MORE))
    for name in sorted(set(shipped_checkpoints()) & set(SYSTEMS))
]


@pytest.mark.parametrize('name', FLOWN)
def test_every_goal_is_reached(name, start, make_probe):
    system, namespace = SYSTEMS[name], f'/closed_loop/{name}'
    probe = make_probe(namespace, system.joints[0].name)
    probe.listen_to_state()
    initial_state = f'initial_state:={STARTS[name]}'
    plant = start('plant', *arguments(name, namespace), '-p', initial_state)
    controller = start('controller', *arguments(name, namespace))
    probe.meet(plant, 'command')
    probe.meet(controller, 'goal')
    probe.require(lambda: probe.log.command, 'commands')

    def distance(goal):
        return np.abs(state_of(system, probe.log.state[-1].message) - goal).sum()

    for goal in GOALS.get(name, [(0.0,) * system.n_x]):
        probe.send_goal(goal, system.joints)
        probe.require(lambda goal=goal: distance(goal) <= SETTLED / 2, f'{goal}', SETTLING_TIME)
        probe.spin(1.0)
        assert distance(goal) <= SETTLED
    commands = np.array([list(received.message.data) for received in probe.log.command])
    assert np.isfinite(commands).all()
    assert (commands >= system.u_min).all() and (commands <= system.u_max).all()
    loop = probe.diagnosis('control_loop')
    # Never faster than asked; how much slower is up to what else the machine does.
    rate = yaml.safe_load((ROOT / 'params' / f'{name}.yaml').read_text())['/**'][
        'ros__parameters'
    ]['controller_frequency']
    assert 0.8 * rate < float(loop['achieved_rate_hz']) < 1.02 * rate
    assert probe.diagnosis('safety')['entered_fallback'] == '0'
    assert controller.interrupt() == 0
    assert plant.interrupt() == 0
