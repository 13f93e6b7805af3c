"""`controller.launch.py`, where launch is installed (it comes with ROS 2, not with pip)."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip('launch_ros')

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument

ROOT = Path(__file__).resolve().parents[2]


def module_of(name):
    """A launch file as a module."""
    path = ROOT / 'launch' / f'{name}.launch.py'
    spec = importlib.util.spec_from_file_location(f'{name}_launch', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def launch_file():
    return module_of('controller')


@pytest.fixture
def start(launch_file, monkeypatch):
    """Calls the launch file with arguments; returns what it asks of launch_ros, by node."""
    monkeypatch.setattr(launch_file, 'Node', lambda **wishes: wishes)
    return lambda **given: {node['executable']: node for node in asked_for(launch_file, given)}


def asked_for(launch_file, arguments):
    """What a launch file asks of launch_ros, node by node."""
    context = LaunchContext()
    for action in launch_file.generate_launch_description().entities:
        if isinstance(action, DeclareLaunchArgument):
            action.visit(context)
    context.launch_configurations.update(arguments)
    nodes = launch_file.start_nodes(context)
    for node in nodes:
        *params_files, overrides = node['parameters']
        node['params_file'] = Path(params_files[0]) if params_files else None
        node['overrides'] = {
            key: value.evaluate(context) if hasattr(value, 'evaluate') else value
            for key, value in overrides.items()
        }
    return nodes


def test_every_argument_says_what_it_does(launch_file):
    actions = launch_file.generate_launch_description().entities
    described = {a.name: a.description for a in actions if isinstance(a, DeclareLaunchArgument)}
    assert set(described) == {
        'system',
        'params_file',
        'model_path',
        'with_plant',
        'namespace',
        'robots',
        'frame_id',
        'use_sim_time',
        'autostart',
        'respawn',
        'log_level',
        'device',
    }
    assert all(described.values())


def test_without_arguments_both_nodes_fly_the_double_integrator(start):
    nodes = start()
    assert set(nodes) == {'controller', 'plant'}
    for node in nodes.values():
        assert node['params_file'] == ROOT / 'params' / 'double_integrator.yaml'
        assert node['overrides'] == {}


def test_arguments_become_parameters_of_their_type_where_they_were_given(start):
    nodes = start(autostart='false', model_path='1.5', use_sim_time='True')
    assert nodes['controller']['overrides'] == {
        'autostart': False,
        'model_path': '1.5',
        'use_sim_time': True,
    }
    assert nodes['plant']['overrides'] == {'use_sim_time': True, 'publish_clock': True}


def test_only_a_clock_that_is_followed_is_asked_of_the_plant(start):
    assert start(use_sim_time='false')['plant']['overrides'] == {'use_sim_time': False}


def test_a_home_folder_is_found_although_no_shell_expands_it(start):
    overrides = start(model_path='~/mine.safetensors')['controller']['overrides']
    assert overrides == {'model_path': str(Path.home() / 'mine.safetensors')}


def test_a_file_of_ones_own_replaces_the_shipped_one(start, tmp_path):
    mine = tmp_path / 'mine.yaml'
    mine.write_text('/**: {ros__parameters: {system: my_robot}}')
    for node in start(params_file=str(mine)).values():
        assert node['params_file'] == mine
        assert 'system' not in node['overrides']


def test_the_plant_can_stay_away(start):
    assert set(start(system='cartpole', with_plant='false')) == {'controller'}


def test_namespace_and_log_level_reach_both_nodes_and_no_logger_of_ros(start):
    for name, node in start(namespace='/left/arm', log_level='debug').items():
        assert node['namespace'] == '/left/arm'
        assert node['ros_arguments'] == ['--log-level', f'left.arm.{name}:=debug']
    assert start(log_level='warn')['plant']['ros_arguments'] == ['--log-level', 'plant:=warn']


def test_the_end_of_a_node_ends_all_unless_it_is_to_come_back(start):
    for node in start().values():
        assert 'on_exit' in node and 'respawn' not in node
    for node in start(respawn='true').values():
        assert node['respawn'] and node['respawn_delay'] > 0
        assert 'on_exit' not in node


def test_robots_fly_side_by_side_in_namespaces_and_frames_of_their_own(launch_file, start):
    arguments = {'robots': '[r1, r2]', 'namespace': 'hall', 'frame_id': 'odom'}
    nodes = asked_for(launch_file, {**arguments, 'use_sim_time': 'true'})
    places = [(node['namespace'], node['executable']) for node in nodes]
    assert places == [(f'hall/{r}', n) for r in ('r1', 'r2') for n in ('controller', 'plant')]
    frames = [node['overrides'].get('frame_id') for node in nodes]
    assert frames == ['r1/odom', None, 'r2/odom', None]
    clocks = [node['overrides'].get('publish_clock') for node in nodes]
    assert clocks == [None, True, None, None]


@pytest.mark.parametrize('name', ['arm.urdf', 'arm.xml', 'arm.py', 'arm.safetensors'])
def test_the_file_of_a_robot_needs_no_parameter_file(start, tmp_path, name):
    robot = tmp_path / name
    robot.touch()
    nodes = start(system=str(robot), model_path='classical')
    assert [node['params_file'] for node in nodes.values()] == [None, None]
    assert nodes['controller']['overrides'] == {'system': str(robot), 'model_path': 'classical'}
    assert nodes['plant']['overrides'] == {'system': str(robot)}


def test_a_fleet_is_one_process_and_a_plant_for_every_robot(monkeypatch):
    fleet = module_of('fleet')
    single = module_of('controller')
    for module in (fleet, single):
        monkeypatch.setattr(module, 'Node', lambda **wishes: wishes)
    monkeypatch.setattr(fleet, 'one_robot', lambda: single)
    nodes = asked_for(fleet, {'robots': "['r1', 'r2']", 'namespace': 'hall'})
    places = [(node['namespace'], node['executable']) for node in nodes]
    assert places == [('hall', 'fleet'), ('hall/r1', 'plant'), ('hall/r2', 'plant')]
    assert nodes[0]['overrides'] == {'robots': ['r1', 'r2']}
    with pytest.raises(ValueError, match='a fleet needs robots'):
        asked_for(fleet, {'robots': ''})


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'system': 'vdp'}, "no parameters for system 'vdp'; choose from"),
        ({'system': '/nowhere.urdf'}, "system '/nowhere.urdf' does not exist"),
        ({'params_file': '/nowhere.yaml'}, "params_file '/nowhere.yaml' does not exist"),
        ({'with_plant': 'maybe'}, "with_plant is 'maybe'; choose from true, false"),
        ({'with_plant': 'false'}, r'a robot must say what it is: give system:= \(arm, cartpole, '),
        ({'respawn': 'maybe'}, "respawn is 'maybe'; choose from true, false"),
        ({'log_level': 'loud'}, "log_level is 'loud'; choose from"),
        ({'robots': '[r1, r1]'}, r"robots is '\[r1, r1\]'; write names, each once"),
        ({'robots': '[r1, 2]'}, r"robots is '\[r1, 2\]'; write names, each once"),
    ],
)
def test_a_wrong_argument_is_one_readable_line(start, arguments, message):
    with pytest.raises(ValueError, match=message):
        start(**arguments)


def test_the_loop_closes_and_ctrl_c_ends_it_cleanly(tmp_path):
    ros2 = shutil.which('ros2', path=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    if ros2 is None or not is_installed():
        pytest.skip('needs `ros2 launch` and an installed package: colcon build, or pip install .')
    log = tmp_path / 'launch.log'
    with log.open('w') as output:
        process = subprocess.Popen(
            [ros2, 'launch', 'trc', 'controller.launch.py', 'namespace:=launched'],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            assert wait_for(log, 'active: plan accepted', 120)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
    assert log.read_text().count('process has finished cleanly') == 2


def is_installed():
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        return Path(get_package_prefix('trc'), 'lib', 'trc', 'controller').is_file()
    except PackageNotFoundError:
        return False


def wait_for(log, text, seconds):
    """Whether the text shows up in the log in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if text in log.read_text():
            return True
        time.sleep(0.2)
    return False
