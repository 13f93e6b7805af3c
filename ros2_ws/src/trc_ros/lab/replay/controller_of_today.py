"""Controller of a replay: loaded as in flight, or another one, for the plant of the bag only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trc_core import Controller
from trc_core.flight.pilot import Pilot
from trc_core.flight.replay import ReplayedController
from trc_core.planner.controller import CLASSICAL
from trc_core.systems.registry import ROBOT_FILES
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.controller.node import make_pilot
from trc_ros.lab.replay.recorded_flight import RecordedFlight
from trc_ros.loading import load_controller
from trc_ros.parameters import table
from trc_ros.parameters.specs import coerce
from trc_ros.parameters.task import TASK_SPECS

NO_TASK = {spec.name: spec.default for spec in TASK_SPECS}
SAME_PLANT = ('name', 'state_names', 'control_names', 'dt', 'u_min', 'u_max')


@dataclass(frozen=True)
class Parameters:
    """Parameters to fly with: defaults, then those of the bag, then those that were asked for."""

    values: Mapping[str, Any]
    """All of them by name."""
    asked: Mapping[str, Any]
    """Those that hold whatever was changed in flight."""

    def changed(self, given: Mapping[str, Any]) -> Parameters:
        """The parameters after a change in flight.

        Raises:
            ValueError: if one has a wrong type or range.
        """
        return Parameters({**self.values, **_known(given), **self.asked}, self.asked)


def parameters_of(
    flight: RecordedFlight, checkpoint: str | None, system: str | None, params: Path | None
) -> Parameters:
    """The parameters to fly with.

    Raises:
        ValueError: if one has a wrong type or range, or the bag names code to run.
    """
    asked = {} if params is None else _read_params(params, flight.controller)
    if checkpoint is not None:
        asked['model_path'] = checkpoint
        if checkpoint != CLASSICAL:  # a checkpoint holds its plant
            asked |= {'system': '', **NO_TASK}
    if system is not None:
        asked |= {'system': system, **({} if system.endswith(ROBOT_FILES) else NO_TASK)}
    named = str(flight.parameters.get('system', ''))
    if 'system' not in asked and named.endswith('.py'):
        raise ValueError(
            f"the flight was made with the file '{named}'; a bag's word is no reason to run it: "
            'name it with --system, or a --checkpoint, which holds its plant'
        )
    specs = table.specs_of('controller')
    unknown = sorted(set(flight.parameters) - set(specs))
    if unknown and flight.opening is not None:
        flight.remarks.append(f'parameters that this version does not have: {", ".join(unknown)}')
    defaults = {name: _default(spec) for name, spec in specs.items()}
    return Parameters(defaults, _known(asked)).changed(flight.parameters)


def _known(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that this version has, in type and range."""
    specs = table.specs_of('controller')
    return {name: coerce(specs[name], given[name]) for name in given if name in specs}


def load(flight: RecordedFlight, parameters: Parameters) -> ReplayedController:
    """The controller, if it is one for the plant that flew.

    Raises:
        ValueError: if there is none, or it is one of another plant.
        FileNotFoundError: if there is no such checkpoint.
    """
    controller = load_controller(dict(parameters.values))
    _require_same_plant(flight, controller)
    return ReplayedController(controller)


def pilot_of(controller: Controller, flight: RecordedFlight, parameters: Parameters) -> Pilot:
    """A pilot as the node makes it."""
    values = dict(parameters.values)
    live = LiveSettings.from_parameters(values, controller)
    simulated = bool(flight.opening and flight.opening.get('simulated'))
    return make_pilot(controller, values, live, simulated)


def _require_same_plant(flight: RecordedFlight, controller: Controller) -> None:
    if flight.opening is None:
        return
    flown, ours = flight.opening.get('system'), controller.system.contract()
    if not isinstance(flown, Mapping):
        raise ValueError('the bag does not say which plant flew')
    for name in SAME_PLANT:
        if flown.get(name) != ours[name]:
            raise ValueError(
                f'the bag is of another system: {name} is {flown.get(name)} there and '
                f'{ours[name]} in the controller'
            )


def _read_params(path: Path, controller: str) -> dict[str, Any]:
    """The parameters of a YAML file that are meant for a node."""
    try:
        nodes = yaml.safe_load(Path(os.path.expanduser(path)).read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise ValueError(f"'{path}' is no YAML: {' '.join(str(error).split())}") from None
    found: dict[str, Any] = {}
    for name, content in (nodes if isinstance(nodes, dict) else {}).items():
        if (
            name == '/**'
            or str(name).strip('/').rpartition('/')[2] == controller.rpartition('/')[2]
        ):
            found |= _flat(content.get('ros__parameters', {}))
    if not found:
        raise ValueError(f"'{path}' holds no parameters of '{controller}'")
    return found


def _flat(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        key = f'{prefix}{name}'
        flat |= _flat(value, f'{key}.') if isinstance(value, dict) else {key: value}
    return flat


def _default(spec: Any) -> Any:
    return list(spec.default) if isinstance(spec.default, tuple) else spec.default
