"""Plants in discrete time, as both nodes make them of their parameters."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from trc_core import get_system
from trc_ros.loading import load_controller, why_not_learned
from trc_ros.parameters import table
from trc_ros.plant.node import plant_of
from trc_ros.plant.simulation import Simulation

TANK = """
from trc_core import System

tank = System(
    name='tank', dynamics=lambda x, u, leak: [x[0] + u[0] - leak * x[0]], discrete=True,
    parameters={'leak': 0.25}, state_names=('level',), state_units=('m',), joints=(),
    control_names=('inflow',), control_units=('m',), dt=0.8, horizon=10, u_min=[0.0], u_max=[1.0],
    Q=[1.0], R=[0.1], x0_box=[1.0], goal_box=[0.5],
)
"""


@pytest.fixture
def given(tmp_path):
    """The parameters of a node, all at their defaults but some."""
    path = tmp_path / 'tank.py'
    path.write_text(TANK)

    def values(node, **changed):
        own = {spec.name: spec.default for spec in table.specs_of(node).values()}
        return {**own, 'system': str(path), 'model_path': 'classical', **changed}

    return values


def test_the_plant_steps_once_per_dt_and_stands_in_between(given, monkeypatch):
    values = given('plant', state_rate=100.0)
    plant = plant_of(values, get_system(values['system']))
    assert plant.integration_step == 0.8  # longer than what is caught up with at most
    monkeypatch.setattr('time.monotonic', lambda: 10.0)
    simulation = Simulation(plant, np.array([2.0]), np.zeros(1), True)
    simulation.command(np.array([1.0]))
    levels = []
    for time in 10.001 + 0.01 * np.arange(250):
        simulation.follow(time)
        levels.append(simulation.measure().item())
    assert levels == [2.0] * 80 + [2.5] * 80 + [2.875] * 80 + [3.15625] * 10


def test_turns_of_lockstep_are_whole_steps(given):
    values = given('plant', lockstep=True, state_rate=100.0)
    with pytest.raises(ValueError, match=r'a turn of lockstep .* is 0.01 s, .* of its dt, 0.8 s'):
        plant_of(values, get_system(values['system']))
    values = given('plant', lockstep=True, state_rate=1.0 / 1.6)
    plant = plant_of(values, get_system(values['system']))
    plant.reset([2.0])
    assert plant.step([1.0], 1.6) == pytest.approx([2.875])


def test_a_delay_of_a_part_of_a_step_is_refused_before_anything_is_compiled(given):
    assert load_controller(given('controller', input_delay=1.6)).system.discrete
    with pytest.raises(ValueError, match=r"input_delay is 0.1 s, but 'tank' is in discrete time"):
        load_controller(given('controller', input_delay=0.1))


def test_parameters_are_learned_where_cycles_are_whole_steps_long(given):
    values = given('controller', controller_frequency=1.25)
    controller = load_controller(values)
    assert 'inflow_gain' in controller.system.parameters
    assert why_not_learned(controller, values) == ''
    values = given('controller', controller_frequency=20.0)
    controller = load_controller(values)
    assert 'inflow_gain' not in controller.system.parameters
    assert 'the period of the controller is 0.05 s, but' in why_not_learned(controller, values)
