"""A checkpoint flies only as the robot it was made for, and only if it is fast enough."""

from types import SimpleNamespace

import numpy as np
import pytest

from trc_core import get_system
from trc_core.flight import pace
from trc_core.flight.agreement import assignments, require_agreement
from trc_core.flight.pace import ROUNDS, require_pace

SYSTEM = get_system('van_der_pol')
NOTHING = {
    'state_names': [],
    'control_names': [],
    'dt': 0.0,
    'horizon': 0,
    'u_min': [],
    'u_max': [],
    'parameters': [],
}
TRUTH = {
    'state_names': ['position', 'velocity'],
    'control_names': ['force'],
    'dt': 0.05,
    'horizon': 100,
    'u_min': [-2.0],
    'u_max': [2.0],
    'parameters': ['mu=1.0'],
}
DIFFERENT = {
    'state_names': (
        ['velocity', 'position'],
        "contract.state_names is ['velocity', 'position'] in the parameters "
        "but ['position', 'velocity'] in the checkpoint",
    ),
    'control_names': (
        ['force', 'brake'],
        "contract.control_names is ['force', 'brake'] in the parameters "
        "but ['force'] in the checkpoint",
    ),
    'dt': (0.02, 'contract.dt is 0.02 in the parameters but 0.05 in the checkpoint'),
    'horizon': (50, 'contract.horizon is 50 in the parameters but 100 in the checkpoint'),
    'u_min': ([-1.0], 'contract.u_min is [-1.0] in the parameters but [-2.0] in the checkpoint'),
    'u_max': ([1.0], 'contract.u_max is [1.0] in the parameters but [2.0] in the checkpoint'),
    'parameters': (
        ['mu=0'],
        'contract.parameters mu is 0.0 in the parameters but 1.0 in the checkpoint',
    ),
    'a parameter': (
        ['nu=1'],
        "contract.parameters names 'nu'; van_der_pol has ['mu']",
    ),
}


def test_what_is_stated_truly_or_not_at_all_agrees():
    require_agreement(SYSTEM, NOTHING)
    require_agreement(SYSTEM, TRUTH)


@pytest.mark.parametrize('name', DIFFERENT)
def test_a_difference_names_both_sides(name):
    value, message = DIFFERENT[name]
    stated = {**TRUTH, name if name in TRUTH else 'parameters': value}
    with pytest.raises(ValueError) as caught:
        require_agreement(SYSTEM, stated)
    assert str(caught.value) == message


def test_physical_parameters_are_written_as_assignments():
    assert assignments('model_parameters', ['mu=1.3', ' g = 9.81']) == {'mu': 1.3, 'g': 9.81}
    for text in ('mu', 'mu=', 'mu=fast'):
        with pytest.raises(ValueError, match=f"model_parameters: '{text}' is not of the form"):
            assignments('model_parameters', [text])


class SlowController:
    """Takes the given times [s], one per plan, over and over."""

    system, cycles = SYSTEM, 3

    def __init__(self, seconds):
        self.now, self.seconds, self.plans = 0.0, seconds, 0

    def plan(self, x, goal):
        self.now += self.seconds[self.plans % len(self.seconds)]
        self.plans += 1


def paced(monkeypatch, seconds, period, iterations=20):
    controller = SlowController(seconds)
    monkeypatch.setattr(pace, 'now', lambda: controller.now)
    return controller, lambda: require_pace(controller, period, iterations)


def test_a_controller_slower_than_its_period_is_refused_with_figures_and_remedies(monkeypatch):
    controller, require = paced(monkeypatch, [0.03], 0.02)
    with pytest.raises(ValueError) as caught:
        require()
    assert str(caught.value) == (
        'planning takes 30 ms (p99 of 20 plans), longer than the period of 20 ms: lower '
        'controller_frequency to 27 Hz or refinement_cycles (now 3), or let deadlines cut plans '
        'short with warmup_iterations 0'
    )
    assert controller.plans == 20 * ROUNDS


def test_a_single_stall_of_the_machine_does_not_ground_a_fast_controller(monkeypatch):
    _, require = paced(monkeypatch, [0.5] + [0.001] * 99, 0.02)
    assert require() == pytest.approx(0.001)


def test_no_iterations_measure_nothing(monkeypatch):
    controller, require = paced(monkeypatch, [9.0], 0.02, iterations=0)
    require()
    assert controller.plans == 0


def test_plans_are_timed_from_many_states_of_the_system():
    asked = []
    controller = SimpleNamespace(system=SYSTEM, plan=lambda x, goal: asked.append(tuple(x)))
    assert require_pace(controller, 1.0, 5) < 1.0
    assert len(set(asked)) == 5
    assert (np.abs(asked) <= SYSTEM.x0_box).all()
