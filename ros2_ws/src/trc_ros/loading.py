"""From parameters to a controller that is ready to fly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trc_core import Controller, System, get_system
from trc_core.runtime.agreement import STATED, assignments, require_agreement
from trc_core.runtime.pace import require_pace
from trc_ros import parameters


def load(values: dict[str, Any]) -> Controller:
    """The controller that the parameters ask for.

    Raises:
        ValueError: if there is no such system, or the checkpoint is one of another system or
            not what the parameters `contract.*` state.
        FileNotFoundError: if there is no such checkpoint.
    """
    system = get_system(values['system'])
    controller = Controller.load(
        values['model_path'] or system.name,
        backend=values['backend'],
        device=values['device'],
        system=system,
        parameters=assignments('model_parameters', values['model_parameters']),
        num_threads=values['num_threads'],
    )
    require_agreement(controller.system, parameters.group(values, 'contract'))
    return controller


def make_ready(controller: Controller, values: dict[str, Any], log: Callable[[str], None]) -> None:
    """Compiles what is to be compiled, and times some plans.

    Raises:
        ValueError: if planning takes longer than a period.
    """
    if not controller.is_compiled:
        log(f'compiling {controller.system.name}, once: half a minute')
    controller.warm_up()
    require_pace(controller, 1.0 / values['controller_frequency'], values['warmup_iterations'])


def require_same_plant(flown: System, loaded: System) -> None:
    """Whether a controller of one system can go on where another one has flown.

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
