"""Table of the parameters of both nodes: declares, checks, coerces and documents them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from trc_ros.parameters.commands import COMMAND_SPECS
from trc_ros.parameters.controller import CONTROLLER_SPECS
from trc_ros.parameters.fleet import FLEET_SPECS, SHARED, SHARED_GROUPS
from trc_ros.parameters.plant import PLANT_SPECS
from trc_ros.parameters.specs import (
    BOTH,
    ParameterError,
    Spec,
    coerce,
    descriptor_of,
    parameter_of,
)

ROS_OWN = ('use_sim_time', 'start_type_description_service', 'qos_overrides.')

SPECS: tuple[Spec, ...] = (
    Spec(
        'system',
        '',
        'System to control or to simulate: a name, a .py file, or a checkpoint that holds it.',
        BOTH,
    ),
    *CONTROLLER_SPECS,
    *COMMAND_SPECS,
    *PLANT_SPECS,
    *FLEET_SPECS,
)


def specs_of(node: str) -> dict[str, Spec]:
    """The parameters of one node by name."""
    return {spec.name: spec for spec in SPECS if node in spec.nodes or _is_shared(node, spec)}


def _is_shared(node: str, spec: Spec) -> bool:
    """Whether a parameter is the controller's, and a fleet has it as well."""
    shared = spec.name in SHARED or spec.name.startswith(SHARED_GROUPS)
    return node == 'fleet' and 'controller' in spec.nodes and shared


def declare(
    node: Node,
    kind: str,
    locked: Callable[[], str],
    check: Callable[[dict[str, Any]], None] = lambda changes: None,
) -> None:
    """Declares the parameters of `kind` on `node` and guards later changes.

    Args:
        node: the node; its overrides (YAML, `-p`) are checked first.
        kind: 'controller', 'plant' or 'fleet'.
        locked: returns why parameters that are not live cannot change now; '' if they can.
        check: raises a ValueError that says why these changes, in type and range, cannot be.

    Raises:
        ParameterError: for an unknown key, a wrong type or a value out of range.
    """
    specs = specs_of(kind)
    # Check the overrides first: rclpy offers no public list that does not also declare them.
    overrides = node._parameter_overrides
    _refuse_unknown(overrides)
    # Declare every parameter with its default or override.
    for spec in specs.values():
        value = spec.default
        if spec.name in overrides and overrides[spec.name].value is not None:
            value = coerce(spec, overrides[spec.name].value)
        parameter = parameter_of(spec, value)
        node.declare_parameter(spec.name, parameter.type_, descriptor_of(spec), True)
        node.set_parameters([parameter])
    # Later changes are coerced, then checked.
    node.add_pre_set_parameters_callback(lambda changes: [_coerced(specs, c) for c in changes])
    node.add_on_set_parameters_callback(
        lambda changes: _check_changes(specs, changes, values_of(node, kind), locked, check)
    )


def values_of(node: Node, kind: str) -> dict[str, Any]:
    """The current values by name."""
    return {name: node.get_parameter(name).value for name in specs_of(kind)}


def group(values: dict[str, Any], name: str) -> dict[str, Any]:
    """The values of `name.*`, without that prefix."""
    prefix = f'{name}.'
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}


def shown(value: Any) -> str:
    """A value as one writes it."""
    return str(value if isinstance(value, (bool, int, float, str)) else list(value))


def _refuse_unknown(names: Iterable[str]) -> None:
    known = sorted(spec.name for spec in SPECS)
    for name in names:
        if name in known or name.startswith(ROS_OWN):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f'choose from {known}'
        raise ParameterError(f"unknown parameter '{name}'; {hint}")


def _coerced(specs: dict[str, Spec], change: Parameter) -> Parameter:
    """The change with integers turned into doubles where a double is declared."""
    if change.name not in specs:
        return change
    try:
        return parameter_of(specs[change.name], coerce(specs[change.name], change.value))
    except ParameterError:
        return change  # the check that follows refuses it and says why


def _check_changes(
    specs: dict[str, Spec],
    changes: list[Parameter],
    current: dict[str, Any],
    locked: Callable[[], str],
    check: Callable[[dict[str, Any]], None],
) -> SetParametersResult:
    values: dict[str, Any] = {}
    try:
        for change in changes:
            if change.name not in specs:
                continue
            value = values[change.name] = coerce(specs[change.name], change.value)
            same = shown(value) == shown(current[change.name])  # as when a whole file is loaded
            if locked() and not same and not specs[change.name].live:
                raise ParameterError(f"parameter '{change.name}' {locked()}")
        check(values)
    except ValueError as error:
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
