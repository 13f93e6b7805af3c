"""The parameters of both nodes: one table declares, checks, coerces and documents them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from trc_core.runtime.safety import FALLBACKS
from trc_ros.conversions import GOAL_TYPES, STATE_TYPES

ROS_OWN = ('use_sim_time', 'start_type_description_service', 'qos_overrides.')
CONTROLLER, PLANT = ('controller',), ('plant',)
BOTH = CONTROLLER + PLANT


class ParameterError(ValueError):
    """A parameter that cannot be used; the message is one line that says what to write."""


@dataclass(frozen=True)
class Spec:
    """One parameter. Its type is that of the default; a tuple stands for a list of doubles."""

    name: str
    default: Any
    description: str
    nodes: tuple[str, ...] = CONTROLLER
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    """May change while the node works; all others are read at configure (or at start)."""


SPECS: tuple[Spec, ...] = (
    Spec('system', '', 'Name of the system to control or to simulate.', BOTH),
    Spec('controller_frequency', 50.0, 'Control cycles per second [Hz].', bounds=(0.1, 1000.0)),
    Spec('model_path', '', "Checkpoint file; empty: the one that ships for 'system'."),
    Spec('backend', 'auto', 'What runs the network: auto, numba (compiled) or numpy.'),
    Spec('device', 'cpu', 'Where the network runs.'),
    Spec(
        'refinement_cycles',
        -1,
        "Refinement cycles per plan; -1: the checkpoint's own number, 0: the best start alone.",
        bounds=(-1, 1000),
    ),
    Spec('warm_start', True, 'Start every plan from the last accepted one.'),
    Spec('state_timeout', 0.2, 'Age at which a state is stale [s].', bounds=(0.001, 60.0)),
    Spec(
        'fallback_mode',
        'tail',
        'What flies when the state is stale or no plan is usable: the tail of the last plan, '
        'lqr, hold (the last command), zero or none (silence).',
        choices=tuple(FALLBACKS),
    ),
    Spec('state_type', 'JointState', "Message type on 'state'.", choices=tuple(STATE_TYPES)),
    Spec('goal_type', 'JointState', "Message type on 'goal'.", choices=tuple(GOAL_TYPES)),
    Spec('initial_goal', (), 'Goal until one arrives, in state coordinates; empty: zeros.'),
    Spec('frame_id', '', 'frame_id of the published headers.'),
    Spec('publish_horizon', True, "Publish every accepted plan on '~/horizon'."),
    Spec('autostart', True, 'Configure and activate without waiting for transitions.'),
    Spec('diagnostics.period', 1.0, 'Time between diagnostics [s].', bounds=(0.01, 60.0)),
    Spec('simulation_rate', 500.0, 'Integration steps per second [Hz].', PLANT, bounds=(1.0, 1e4)),
    Spec('state_rate', 100.0, 'States published per second [Hz].', PLANT, bounds=(0.1, 1e3)),
    Spec(
        'measurement_noise',
        0.0,
        'Standard deviation of the noise on every published coordinate, in its own unit.',
        PLANT,
        bounds=(0.0, 1e6),
        live=True,
    ),
    Spec(
        'initial_state',
        (),
        'State at start and after ~/reset; empty: drawn from the initial box of the system.',
        PLANT,
        live=True,
    ),
    Spec('seed', 0, 'Seed of initial states and noise.', PLANT, bounds=(0, 2**31 - 1)),
    Spec(
        'wait_for_command',
        True,
        'Stand still in the initial state until the first command; false: move under u_trim.',
        PLANT,
    ),
)


def specs_of(node: str) -> dict[str, Spec]:
    """The parameters of one node by name."""
    return {spec.name: spec for spec in SPECS if node in spec.nodes}


def coerce(spec: Spec, value: Any) -> Any:
    """`value` in the declared type and range; integers become doubles where one is declared.

    Raises:
        ParameterError: if it cannot be.
    """
    if isinstance(spec.default, tuple):
        values = [value] if isinstance(value, (int, float)) else value
        if isinstance(values, str) or not all(_is_number(v) for v in values):
            raise _wrong_type(spec, value, 'a list of numbers such as [1.0, 0.0]')
        return [float(v) for v in values]
    if isinstance(spec.default, float) and _is_number(value):
        value = float(value)
    if type(value) is not type(spec.default):
        raise _wrong_type(spec, value, _EXAMPLES[type(spec.default)].format(spec.default))
    if spec.choices and value not in spec.choices:
        raise ParameterError(
            f"parameter '{spec.name}' is '{value}'; choose from {list(spec.choices)}"
        )
    if spec.bounds and not spec.bounds[0] <= value <= spec.bounds[1]:
        low, high = spec.bounds
        raise ParameterError(f"parameter '{spec.name}' is {value}; choose from {low} to {high}")
    return value


_EXAMPLES = {
    bool: 'true or false',
    int: 'a whole number such as {}',
    float: 'a number such as {}',
    str: "a text such as '{}'",
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _wrong_type(spec: Spec, value: Any, example: str) -> ParameterError:
    return ParameterError(
        f"parameter '{spec.name}' is {value!r} ({type(value).__name__}); write {example}"
    )


def declare(node: Node, kind: str, locked: Callable[[], str]) -> None:
    """Declares the parameters of `kind` on `node` and guards later changes.

    Args:
        node: the node; its overrides (YAML, `-p`) are checked first.
        kind: 'controller' or 'plant'.
        locked: says why parameters that are not live cannot change now; '' if they can.

    Raises:
        ParameterError: for an unknown key, a wrong type or a value out of range.
    """
    specs = specs_of(kind)
    # rclpy offers no public list of overrides that does not also declare them.
    overrides = node._parameter_overrides
    _refuse_unknown(overrides)
    for spec in specs.values():
        value = spec.default
        if spec.name in overrides and overrides[spec.name].value is not None:
            value = coerce(spec, overrides[spec.name].value)
        parameter = _parameter(spec, value)
        node.declare_parameter(spec.name, parameter.type_, _descriptor(spec), True)
        node.set_parameters([parameter])
    node.add_pre_set_parameters_callback(lambda changes: [_coerced(specs, c) for c in changes])
    node.add_on_set_parameters_callback(lambda changes: _judge(specs, changes, locked))


def values_of(node: Node, kind: str) -> dict[str, Any]:
    """The current values by name."""
    return {name: node.get_parameter(name).value for name in specs_of(kind)}


def _refuse_unknown(names: Iterable[str]) -> None:
    known = sorted(spec.name for spec in SPECS)
    for name in names:
        if name in known or name.startswith(ROS_OWN):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f'choose from {known}'
        raise ParameterError(f"unknown parameter '{name}'; {hint}")


def _parameter(spec: Spec, value: Any) -> Parameter:
    # An empty list does not tell rclpy its type.
    if isinstance(spec.default, tuple):
        return Parameter(spec.name, Parameter.Type.DOUBLE_ARRAY, list(value))
    return Parameter(spec.name, value=value)


def _descriptor(spec: Spec) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(name=spec.name, description=spec.description)
    if spec.choices:
        descriptor.additional_constraints = f'one of {", ".join(spec.choices)}'
    if spec.bounds and isinstance(spec.default, float):
        low, high = map(float, spec.bounds)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif spec.bounds:
        low, high = map(int, spec.bounds)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor


def _coerced(specs: dict[str, Spec], change: Parameter) -> Parameter:
    """The change with integers turned into doubles where a double is declared."""
    if change.name not in specs:
        return change
    try:
        return _parameter(specs[change.name], coerce(specs[change.name], change.value))
    except ParameterError:
        return change  # the check that follows refuses it and says why


def _judge(
    specs: dict[str, Spec], changes: list[Parameter], locked: Callable[[], str]
) -> SetParametersResult:
    try:
        for change in changes:
            if change.name not in specs:
                continue
            coerce(specs[change.name], change.value)
            if locked() and not specs[change.name].live:
                raise ParameterError(f"parameter '{change.name}' {locked()}")
    except ParameterError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def state_vector(name: str, values: Iterable[float], state_names: tuple[str, ...]) -> list[float]:
    """A list parameter as a state vector; an empty one stays empty.

    Raises:
        ParameterError: if it has neither no value nor one per coordinate.
    """
    vector = list(values)
    if vector and len(vector) != len(state_names):
        raise ParameterError(
            f"parameter '{name}' has {len(vector)} values; "
            f'write one for each of {list(state_names)}, or leave it out'
        )
    return vector
