"""Finding systems: by name, by file, from packages, from python-control; and their records."""

import importlib.metadata

import control
import numpy as np
import pytest
import scipy.linalg

from trc_core import SYSTEMS, Controller, get_system
from trc_core.commands import systems as command
from trc_core.compile.binding import plant_of
from trc_core.models import TinyRecursiveControl
from trc_core.models.persistence import save_model
from trc_core.models.plan_representation import stabilised
from trc_core.problem.linear import from_state_space
from trc_core.problem.record import with_contract
from trc_core.solvers import lqr
from trc_core.systems import registry

MY_ROBOT = """
from trc_core.systems import Joint, System

def dynamics(x, u, damping):
    return [x[1], u[0] - damping * x[1]]

my_robot = System(
    name='my_robot', dynamics=dynamics, parameters={'damping': 0.2},
    state_names=('place', 'speed'), state_units=('m', 'm/s'),
    control_names=('push',), control_units=('N',), joints=(Joint('robot', 0, 1, 0),),
    dt=0.1, horizon=10, u_min=[-1.0], u_max=[1.0], Q=[1.0, 1.0], R=[0.1],
    x0_box=[1.0, 1.0], goal_box=[1.0, 0.0],
)
"""


@pytest.fixture
def robot_file(tmp_path, monkeypatch):
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path / 'cache'))
    path = tmp_path / 'my_robot.py'
    path.write_text(MY_ROBOT)
    return path


def test_a_file_of_ones_own_is_a_system_whose_code_is_compiled_once(robot_file):
    system = get_system(str(robot_file))
    assert (system.name, system.n_x, system.n_u) == ('my_robot', 2, 1)
    x, u, dt = np.array([0.5, -0.2]), np.array([0.3]), 0.1
    exact = scipy.linalg.expm(dt * np.array([[0, 1, 0], [0, -0.2, 1], [0, 0, 0]]))
    np.testing.assert_allclose(system.step(x, u), (exact @ [*x, *u])[:2], atol=1e-7)
    plant_of(system)
    (compiled,) = (robot_file.parent / 'cache').iterdir()
    assert compiled.suffix == '.o'
    robot_file.write_text(MY_ROBOT + '# whatever is said about it\n')
    again = get_system(str(robot_file))
    assert again is not system and again.graph.digest == system.graph.digest
    plant_of(again)
    assert list((robot_file.parent / 'cache').iterdir()) == [compiled]


def test_a_checkpoint_of_ones_own_system_flies_without_its_file(robot_file, tmp_path):
    system = get_system(str(robot_file))
    model = TinyRecursiveControl.for_system(
        system, stabilised(system), latent_dim=8, hidden_dim=8, num_heads=0
    )
    path = save_model(tmp_path / 'm.safetensors', model, system)
    robot_file.unlink()
    for given in (system, None):  # the checkpoint holds the equations
        controller = Controller.load(path, system=given, backend='numpy')
        plan = controller.plan([1.0, 0.0], [0.0, 0.0])
        assert plan.cost <= lqr.solve(system, [1.0, 0.0], [0.0, 0.0]).cost + 1e-9
        assert controller.system.contract() == system.contract()
    with pytest.raises(ValueError, match="unknown system 'my_robot'"):
        get_system('my_robot')
    with pytest.raises(ValueError, match="made for the system 'my_robot', not for 'van_der_pol'"):
        Controller.load(path, system=get_system('van_der_pol'))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('1 / 0', 'does not run: ZeroDivisionError'),
        ('from trc_core.systems.van_der_pol import van_der_pol', r'must define one System.*\[\]'),
        (MY_ROBOT + '\nother = my_robot.with_parameters(damping=1.0)', 'must define one System'),
        ('import sys\nsys.exit(3)', 'does not run: SystemExit: 3'),
        (MY_ROBOT.replace('[-1.0]', '[2.0]'), "'my_robot': u_min must lie below u_max"),
        (MY_ROBOT.replace('[x[1],', '[speed,'), 'in line 5: NameError'),
    ],
)
def test_a_file_without_exactly_one_system_that_works_is_refused(text, message, tmp_path, capsys):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        get_system(str(path))
    with pytest.raises(SystemExit, match='1'):
        command.main([str(path)])
    shown = capsys.readouterr().err
    assert shown.startswith(f"trc systems: '{path}'") and shown.count('\n') == 1


def test_unknown_names_and_files_say_what_exists():
    with pytest.raises(ValueError, match=r"choose from \['arm', 'bicycle_circles'"):
        get_system('vdp')
    with pytest.raises(FileNotFoundError, match=r"no system file 'nowhere.py'"):
        get_system('nowhere.py')


def test_installed_packages_can_offer_systems(monkeypatch):
    point = importlib.metadata.EntryPoint(
        'theirs', 'trc_core.systems.van_der_pol:van_der_pol', registry.ENTRY_POINTS
    )
    monkeypatch.setattr(registry, 'entry_points', lambda group: [point])
    assert get_system('theirs') is SYSTEMS['van_der_pol']
    wrong = importlib.metadata.EntryPoint('wrong', 'math:pi', registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, 'entry_points', lambda group: [wrong])
    with pytest.raises(ValueError, match='is not a System'):
        get_system('wrong')


def test_a_state_space_of_python_control_becomes_a_system(tmp_path, monkeypatch):
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path))
    plant = control.ss([[0, 1], [-2, -0.5]], [[0], [1]], np.eye(2), 0, states=['p', 'v'])
    task = {'u_min': [-1], 'u_max': [1], 'Q': [1, 1], 'R': [1], 'x0_box': [1, 1]}
    task |= {'dt': 0.05, 'horizon': 20, 'goal_box': [0, 0]}
    system = from_state_space(plant, 'spring', **task)
    assert system.state_names == ('p', 'v')
    discrete = control.c2d(plant, 0.05)
    A, B = system.step_jacobian([0.3, 0.1], [0.5])
    np.testing.assert_allclose(A, discrete.A, atol=1e-7)
    np.testing.assert_allclose(B, discrete.B, atol=1e-7)
    del task['dt']
    sampled = from_state_space(discrete, 'spring', **task)
    assert sampled.discrete and sampled.dt == 0.05
    np.testing.assert_allclose(sampled.step_jacobian([0.3, 0.1], [0.5])[0], A, atol=1e-7)


@pytest.mark.parametrize('name', SYSTEMS)
def test_a_contract_restores_the_system_with_its_numbers(name):
    system = SYSTEMS[name]
    changed = {key: 1.1 * value for key, value in system.parameters.items()}
    contract = system.with_parameters(**changed).contract()
    contract['u_max'] = (0.9 * system.u_max).tolist()
    restored = with_contract(system, contract)
    assert restored.contract() == contract
    assert restored.dynamics is system.dynamics


def test_settings_are_names_and_numbers():
    assert registry.parse_settings(['mu=0.7', ' nu = 2']) == {'mu': 0.7, 'nu': 2.0}
    with pytest.raises(ValueError, match="'mu' is not of the form name=number"):
        registry.parse_settings(['mu'])


def test_the_command_lists_every_system_with_its_limits(robot_file, capsys):
    command.main([])
    listed = capsys.readouterr().out
    assert all(name in listed for name in SYSTEMS)
    assert '0 <= left_thrust <= 9.81 N' in listed
    command.main([str(robot_file)])
    assert 'my_robot' in capsys.readouterr().out


def test_the_equations_are_those_of_the_design():
    """Accelerations worked out by hand at states where they are simple."""
    hover = SYSTEMS['quadrotor_2d']
    np.testing.assert_allclose(hover.step(np.zeros(6), hover.u_trim), 0, atol=1e-12)
    tilted = hover.derivative(np.array([0, 0, np.pi / 2, 0, 0, 0]), np.array([5.0, 4.0]))
    np.testing.assert_allclose(tilted[3:], [-9.0, -9.81, -10.0], atol=1e-9)
    pendulum = SYSTEMS['pendulum']
    falling = pendulum.derivative(np.array([np.pi / 2, 2.0]), np.array([1.0]))
    np.testing.assert_allclose(falling, [2.0, 9.81 - 0.2 + 1.0], atol=1e-12)
    cart = SYSTEMS['cartpole']
    pushed = cart.derivative(np.zeros(4), np.array([10.0]))
    turn = -(10 / 1.1) / (0.5 * (4 / 3 - 0.1 / 1.1))  # Barto et al.: upright, at rest
    np.testing.assert_allclose(pushed, [0, 10 / 1.1 - 0.05 * turn / 1.1, 0, turn], rtol=1e-12)
