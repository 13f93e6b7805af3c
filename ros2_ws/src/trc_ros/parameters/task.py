"""The parameters of the nodes about the task of a robot that is given by its URDF or MJCF."""

from __future__ import annotations

from dataclasses import fields

from trc_core.systems.robot_task import RobotTask, descriptions
from trc_ros.parameters.specs import BOTH, Spec

BOUNDS = {
    'dt': (1e-4, 10.0),
    'horizon': (1, 10_000),
    'position_weight': (0.0, 1e9),
    'speed_weight': (0.0, 1e9),
    'effort_weight': (1e-12, 1e9),
    'payload': (-1.0, 1e6),
    'armature': (0.0, 1e6),
}
TASK_SPECS = tuple(
    Spec(
        f'task.{field.name}',
        field.default,
        f'Robot from a URDF or MJCF: {descriptions()[field.name]}',
        BOTH,
        bounds=BOUNDS.get(field.name),
        items=str,
    )
    for field in fields(RobotTask)
)
