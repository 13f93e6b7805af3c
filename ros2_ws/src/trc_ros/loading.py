"""Loading of a controller from parameters, until it is ready to fly."""

from __future__ import annotations

import os
from typing import Any

from trc_core import Controller, System, get_system
from trc_core.checkpoint import load_checkpoint, shipped_checkpoints
from trc_core.compile.compiler_pages import hand_back
from trc_core.flight.agreement import STATED, assignments, require_agreement
from trc_core.flight.delay import require_whole_steps
from trc_core.flight.pace import TooSlowError, require_pace
from trc_core.planner.controller import CLASSICAL
from trc_core.problem.weighting import value_of
from trc_core.systems.catalogue import SHIPPED
from trc_core.systems.robot_task import RobotTask
from trc_ros.parameters import table as parameters

CHECKPOINTS = ('.safetensors', '.onnx')


def system_of(values: dict[str, Any]) -> System:
    """The system that the parameters name: a name, a file, or a checkpoint that holds it.

    Raises:
        ValueError: if there is none, or none of that name, or a task for one that has its own.
        FileNotFoundError: if there is no such file.
    """
    task = _task_of(values)
    if checkpoint := _checkpoint_of_system(values):
        task.require_none(checkpoint)
        return load_checkpoint(checkpoint).system
    if not values['system']:
        raise ValueError(
            "parameter 'system' is not set: -p system:=NAME behind --ros-args, or a params_file "
            f'that names this node or /**; choose from {sorted(SHIPPED)}, or give a '
            '.py, .urdf or .xml file or a checkpoint'
        )
    return get_system(os.path.expanduser(values['system']), **task.words)


def _task_of(values: dict[str, Any]) -> RobotTask:
    """The task of a robot that the parameters `task.*` state."""
    return RobotTask(**parameters.group(values, 'task'))


def _checkpoint_of_system(values: dict[str, Any]) -> str:
    """The checkpoint whose equations are meant; empty where the system has a name or a file."""
    named = os.path.expanduser(values['system'])
    if named.endswith(CHECKPOINTS):
        return named
    model = os.path.expanduser(values.get('model_path', ''))
    return '' if named or model == CLASSICAL else model


def load_controller(values: dict[str, Any]) -> Controller:
    """The controller that the parameters ask for.

    Raises:
        ValueError: if there is no such system, or the checkpoint is one of another system or
            not what the parameters `contract.*` state. There is none for the `model_path`
            'classical', which names no network.
        FileNotFoundError: if there is no such checkpoint.
    """
    source = _checkpoint_of_system(values)
    model = os.path.expanduser(values['model_path']) or source
    # A checkpoint that names its own plant has no other one to be compared with.
    own = bool(model) and model == source
    if own:
        _task_of(values).require_none(model)
    system = None if own else system_of(values)
    controller = Controller.load(
        model or _shipped(system),
        backend=values['backend'],
        device=values['device'],
        system=system,
        parameters=assignments('model_parameters', values['model_parameters']),
        num_threads=values['num_threads'],
    )
    require_agreement(controller.system, parameters.group(values, 'contract'))
    require_whole_steps(controller.system, 'input_delay', values['input_delay'])
    learns = values['adaptation.enabled'] and not why_not_learned(controller, values)
    fixed = controller.system.final_time is None  # others have their own parameters only
    return controller.with_input_gains() if learns and fixed else controller


def _shipped(system: System | None) -> str:
    """The checkpoint that ships for a system.

    Raises:
        FileNotFoundError: if there is none, as for a robot's file; the message says what flies it.
    """
    assert system is not None
    if system.name not in shipped_checkpoints():
        raise FileNotFoundError(
            f"no checkpoint ships for '{system.name}': give one as model_path, or fly without a "
            f"network with model_path '{CLASSICAL}'"
        )
    return system.name


def why_not_learned(controller: Controller, values: dict[str, Any]) -> str:
    """The reason for which a controller cannot plan with learned parameters; empty if it can."""
    if not controller.adjustable:
        return f"the backend '{controller.backend}' plans with fixed parameters"
    if controller.correction is not None:
        return 'a fine-tuned controller corrects its commands itself'
    period = 1.0 / values['controller_frequency']
    try:
        require_whole_steps(controller.system, 'the period of the controller', period)
    except ValueError as error:
        return str(error)
    return ''


def make_ready(controller: Controller, values: dict[str, Any], logger: Any) -> None:
    """Compiles the controller and times some plans; logs what a user should know.

    Raises:
        TooSlowError: if planning takes longer than a period, and `slow_plans` refuses that.
    """
    for name, (low, high) in controller.checkpoint.coordinates.ranges.items():
        value = value_of(controller.system, name)
        if not low <= value <= high:
            trained = f'the network was trained for {low:g} to {high:g}'
            logger.warning(f'{name} is {value:g}, but {trained}: plans may be no better than LQR')
    controller.warm_up()
    hand_back()
    try:
        require_pace(controller, 1.0 / values['controller_frequency'], values['warmup_iterations'])
    except TooSlowError as error:
        if values['slow_plans'] == 'refuse':
            raise
        logger.warning(f'{error}; flying all the same')


def require_same_plant(flown: System, loaded: System) -> None:
    """Checks that a controller of one system can go on where another one has flown.

    Raises:
        ValueError: if anything that topics, limits or predictions depend on differs.
    """
    ours, theirs = flown.contract(), loaded.contract()
    for name in (*STATED, 'u_trim', 'parameters'):
        if ours[name] != theirs[name]:
            raise ValueError(
                f'{name} is {theirs[name]} in the file but {ours[name]} in flight: '
                'deactivate, clean up and configure'
            )
