"""Launches the node `fleet` and, unless told otherwise, a simulated `plant` for every robot."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch_ros.actions import Node

NOT_HERE = {'autostart', 'respawn'}
"""Arguments of `controller.launch.py` that a fleet has not."""


def one_robot() -> ModuleType:
    """`controller.launch.py`, whose arguments and plants a fleet has, too."""
    path = Path(__file__).resolve().with_name('controller.launch.py')
    spec = importlib.util.spec_from_file_location('controller_launch', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch trc fleet.launch.py` runs."""
    arguments = [
        DeclareLaunchArgument(
            name,
            default_value='[r1, r2]' if name == 'robots' else default,
            description=description,
        )
        for name, (default, description) in one_robot().ARGUMENTS.items()
        if name not in NOT_HERE
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start_nodes)])


def start_nodes(context: LaunchContext) -> list[Node]:
    """One fleet, and a plant in the namespace of every robot.

    Raises:
        ValueError: if there are no parameters for the system, or an argument makes no sense.
    """
    single = one_robot()
    for name in NOT_HERE & set(single.ARGUMENTS):
        context.launch_configurations[name], _ = single.ARGUMENTS[name]
    values = single.read_arguments(context)
    params_file = single.find_params_file(values)
    if not values['robots']:
        raise ValueError("a fleet needs robots: robots:='[r1, r2]'")
    robots = single.each_robot(values)
    names = [own['namespace'].split('/')[-1] for own in robots]
    nodes = [fleet(single, values, params_file, names)]
    if single.boolean('with_plant', values['with_plant']):
        nodes += [single.node('plant', own, params_file) for own in robots]
    return nodes


def fleet(single: ModuleType, values: dict[str, str], params_file: str, names: list[str]) -> Node:
    """The node that plans for all."""
    own: dict[str, Any] = {**single.overrides_of('fleet', values), 'robots': names}
    level = values['log_level']
    return Node(
        package='trc',
        executable='fleet',
        name='fleet',
        namespace=values['namespace'],
        parameters=[*filter(None, [params_file]), own],
        ros_arguments=['--log-level', level] if level else [],
        output='screen',
        on_exit=Shutdown(reason='fleet ended'),
    )
