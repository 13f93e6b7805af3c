"""Launches the node `controller` and, unless told otherwise, a simulated `plant`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

PARAMS = Path(__file__).resolve().parents[1] / 'params'
SHIPPED = sorted(path.stem for path in PARAMS.glob('*.yaml'))
DEFAULT_SYSTEM = 'double_integrator'
FILES = ('.py', '.urdf', '.xml', '.mjcf', '.safetensors', '.onnx')
"""Of systems, which need no parameter file: a checkpoint holds its own."""
RESPAWN_DELAY = 2.0  # [s] until a node that ended is started again
ROBOT = re.compile(r'[A-Za-z][A-Za-z0-9_]*')
LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')

ARGUMENTS = {
    'system': (
        '',
        f'System to control: {", ".join(SHIPPED)}, the file of a robot (URDF, MJCF) or of Python, '
        'a checkpoint, or another one with a params_file. '
        f'Unset: what params_file says, or {DEFAULT_SYSTEM} (only with the plant).',
    ),
    'params_file': (
        '',
        'Parameters of both nodes (YAML), such as task.armature of a robot. Unset: the file '
        "shipped for 'system', if it is a name.",
    ),
    'model_path': (
        '',
        'Checkpoint to fly, or classical: none, for any system. Unset: what params_file says.',
    ),
    'with_plant': ('true', 'Also start the simulated plant: true or false.'),
    'namespace': ('', 'Namespace of both nodes; several run side by side.'),
    'robots': (
        '',
        "Names such as '[r1, r2]': these nodes once for each, in a namespace of that name (below "
        '`namespace`), with frames of that name in front. Unset: one robot.',
    ),
    'frame_id': (
        '',
        'frame_id of the published headers, such as odom; with robots r1/odom. Unset: what '
        'params_file says.',
    ),
    'use_sim_time': (
        '',
        'Follow /clock: true or false. The plant, where it is started too, publishes that clock. '
        'Unset: what params_file says.',
    ),
    'autostart': (
        '',
        'true: the controller configures and activates itself; false: transitions come from '
        'outside. Unset: what params_file says.',
    ),
    'respawn': (
        'false',
        f'true: a node that ends starts again after {RESPAWN_DELAY:g} s; false: the end of one '
        'node ends everything.',
    ),
    'log_level': (
        '',
        f'Of the nodes, not of ROS below them: {", ".join(LOG_LEVELS)}. Unset: info.',
    ),
    'device': ('', 'Where the network runs: cpu, cuda. Unset: what params_file says.'),
}
OVERRIDES = {
    'system': str,
    'model_path': str,
    'use_sim_time': bool,
    'publish_clock': bool,
    'autostart': bool,
    'device': str,
    'frame_id': str,
}
"""Launch arguments that are parameters of the nodes, too, and their types there."""
NODES_OF = {
    'system': ('controller', 'fleet', 'plant'),
    'use_sim_time': ('controller', 'fleet', 'plant'),
    'publish_clock': ('plant',),
    'autostart': ('controller',),
}
"""Who gets an override; all others go to the controller, or the fleet, only."""


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch trc controller.launch.py` runs."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start_nodes)])


def start_nodes(context: LaunchContext) -> list[Node]:
    """The nodes that the launch arguments ask for.

    Raises:
        ValueError: if there are no parameters for the system, or an argument makes no sense.
    """
    values = read_arguments(context)
    params_file = find_params_file(values)
    names = (
        ['controller', 'plant'] if boolean('with_plant', values['with_plant']) else ['controller']
    )
    return [node(name, own, params_file) for own in each_robot(values) for name in names]


def each_robot(values: dict[str, str]) -> list[dict[str, str]]:
    """The launch arguments of every robot: its namespace and frame begin with its name.

    Raises:
        ValueError: if a name is none, or is there twice.
    """
    if not values['robots']:
        return [values]
    names = [name.strip(' \'"') for name in values['robots'].strip('[] ').split(',')]
    if len(set(names)) < len(names) or not all(ROBOT.fullmatch(name) for name in names):
        raise ValueError(f"robots is '{values['robots']}'; write names, each once: '[r1, r2]'")
    frame_id = values['frame_id']
    return [
        {
            **values,
            'namespace': f'{values["namespace"]}/{name}' if values['namespace'] else name,
            'frame_id': f'{name}/{frame_id}' if frame_id else '',
            # There is one clock, whoever follows it.
            'publish_clock': values['publish_clock'] if name == names[0] else '',
        }
        for name in names
    ]


def read_arguments(context: LaunchContext) -> dict[str, str]:
    """The launch arguments by name, and what follows from them.

    Raises:
        ValueError: if one makes no sense.
    """
    values = {name: context.launch_configurations[name] for name in ARGUMENTS}
    if values['log_level'] not in ('', *LOG_LEVELS):
        raise ValueError(f"log_level is '{values['log_level']}'; choose from {list(LOG_LEVELS)}")
    # No shell expands a ~ behind `:=`.
    for name in ('model_path', 'system'):
        values[name] = os.path.expanduser(values[name])
    # Time stands still unless somebody publishes it.
    follows = values['use_sim_time'] and boolean('use_sim_time', values['use_sim_time'])
    values['publish_clock'] = 'true' if follows else ''
    return values


def find_params_file(values: dict[str, str]) -> str:
    """The parameter file given, or the one that ships for the system; '' for a system's file."""
    if values['params_file']:
        path = Path(values['params_file']).expanduser()
        if not path.is_file():
            raise ValueError(f"params_file '{path}' does not exist")
        return str(path)
    if not (values['system'] or boolean('with_plant', values['with_plant'])):
        raise ValueError(
            f'a robot must say what it is: give system:= ({", ".join(SHIPPED)}) or params_file:=, '
            'or leave with_plant true'
        )
    system = values['system'] or DEFAULT_SYSTEM
    if system.endswith(FILES):
        if not Path(system).is_file():
            raise ValueError(f"system '{system}' does not exist")
        return ''
    if system not in SHIPPED:
        raise ValueError(
            f"no parameters for system '{system}'; choose from {SHIPPED}, the file of a robot, "
            'or give params_file:='
        )
    return str(PARAMS / f'{system}.yaml')


def boolean(name: str, text: str) -> bool:
    """`text` as a boolean, as YAML and other launch files spell it."""
    spellings = {'true': True, '1': True, 'false': False, '0': False}
    if text.lower() not in spellings:
        raise ValueError(f"{name} is '{text}'; choose from true, false")
    return spellings[text.lower()]


def node(name: str, values: dict[str, str], params_file: str) -> Node:
    """One of the two nodes."""
    return Node(
        package='trc',
        executable=name,
        name=name,
        namespace=values['namespace'],
        parameters=[*filter(None, [params_file]), overrides_of(name, values)],
        ros_arguments=log_arguments(name, values),
        output='screen',
        **when_it_ends(name, values),
    )


def log_arguments(name: str, values: dict[str, str]) -> list[str]:
    """ROS arguments that set the level of a node's own logger: `left.controller`."""
    if not values['log_level']:
        return []
    namespace = values['namespace'].strip('/').replace('/', '.')
    logger = f'{namespace}.{name}' if namespace else name
    return ['--log-level', f'{logger}:={values["log_level"]}']


def when_it_ends(name: str, values: dict[str, str]) -> dict[str, Any]:
    """Options of a node for its end; unless it comes back, half a loop is of no use."""
    if boolean('respawn', values['respawn']):
        return {'respawn': True, 'respawn_delay': RESPAWN_DELAY}
    return {'on_exit': Shutdown(reason=f'{name} ended')}


def overrides_of(name: str, values: dict[str, str]) -> dict[str, Any]:
    """The launch arguments that were given, as parameters of a node."""
    return {
        key: ParameterValue(
            boolean(key, values[key]) if kind is bool else values[key], value_type=kind
        )
        for key, kind in OVERRIDES.items()
        if values[key] and name in NODES_OF.get(key, ('controller', 'fleet'))
    }
