"""A checkpoint flies only as the robot it was made for."""

import pytest

from trc_core import get_system
from trc_core.flight.agreement import assignments, require_agreement

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
