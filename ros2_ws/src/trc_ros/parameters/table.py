"""Table of the parameters of both nodes: declares, checks, coerces and documents them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from trc_ros.parameters.commands import COMMAND_SPECS
from trc_ros.parameters.controller import CONTROLLER_SPECS
from trc_ros.parameters.fleet import FLEET_SPECS, SHARED, SHARED_GROUPS
from trc_ros.parameters.origin import given_by_name
from trc_ros.parameters.plant import PLANT_SPECS
from trc_ros.parameters.specs import (
    BOTH,
    ParameterError,
    Spec,
    coerce,
    descriptor_of,
    parameter_of,
)
from trc_ros.parameters.task import TASK_SPECS
from trc_ros.qos import PREFIX

ROS_OWN = ('use_sim_time', 'start_type_description_service')
TYPO = 0.85  # likeness from which a name can be nothing else
SHOWN = 5  # names in a warning

SPECS: tuple[Spec, ...] = (
    Spec(
        'system',
        '',
        'System to control or to simulate: a name, a .py file, a robot (.urdf, or .xml for MJCF), '
        'or a checkpoint that holds it.',
        BOTH,
    ),
    *TASK_SPECS,
    *CONTROLLER_SPECS,
    *COMMAND_SPECS,
    *PLANT_SPECS,
    *FLEET_SPECS,
)


class OwnReasons:
    """Mixin of a node: refuses changes in the words of this table, before rclpy does in its own.

    rclpy compares types and ranges, which `ros2 param describe` shows, before it asks callbacks.
    """

    check_changes: Callable[[list[Parameter]], SetParametersResult]
    """Judges changes; set by `declare`."""
    named: Collection[str] = ()
    """Names of the parameters given to this node alone; set by `declare`."""

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """Sets all of the parameters or none; the services of a node call it."""
        result = self.check_changes(parameter_list)
        if not result.successful:
            return result
        return super().set_parameters_atomically(parameter_list)  # type: ignore[misc]


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
    args: Sequence[str],
    locked: Callable[[], str],
    check: Callable[[dict[str, Any]], None] = lambda changes: None,
) -> None:
    """Declares the parameters of `kind` on `node` and guards later changes.

    Args:
        node: the node; its overrides (YAML, `-p`) are checked first.
        kind: 'controller', 'plant' or 'fleet'.
        args: command line of the process.
        locked: returns why parameters that are not live cannot change now; '' if they can.
        check: raises a ValueError that says why these changes, in type and range, cannot be.

    Raises:
        ParameterError: for an unknown key, a wrong type or a value out of range. An unknown key
            under `/**`, which may be another node's, is a warning unless it is a typing error.
    """
    specs = specs_of(kind)
    # Check the overrides first: rclpy offers no public list that does not also declare them.
    overrides = node._parameter_overrides
    node.named = given_by_name(args, node.get_fully_qualified_name())
    if strangers := refuse_unknown(kind, overrides, node.named):
        node.get_logger().warning(strangers)
    # Declare every parameter with its default or override.
    for spec in specs.values():
        value = spec.default
        if spec.name in overrides and overrides[spec.name].value is not None:
            value = coerce(spec, overrides[spec.name].value)
        parameter = parameter_of(spec, value)
        first = value if spec.or_list else parameter.type_  # rclpy wants no type where it varies
        node.declare_parameter(spec.name, first, descriptor_of(spec), True)
        node.set_parameters([parameter])
    # Later changes are coerced, then checked.
    node.add_pre_set_parameters_callback(lambda changes: [_coerced(specs, c) for c in changes])
    node.check_changes = lambda changes: _check_changes(
        specs, changes, values_of(node, kind), locked, check
    )
    node.add_on_set_parameters_callback(node.check_changes)


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


def refuse_unknown(kind: str, names: Iterable[str], named: Collection[str]) -> str:
    """Refuses names that the node does not have; a warning of those that others may have.

    Args:
        kind: 'controller' or 'plant'.
        names: of all overrides.
        named: those given to this node alone.

    Raises:
        ParameterError: for a name given to this node alone, and for a typing error.
    """
    own, known = [*specs_of(kind), *ROS_OWN], [*(spec.name for spec in SPECS), *ROS_OWN]
    strangers = []
    for name in sorted(set(names)):
        if name in own or name.startswith(PREFIX):
            continue
        if name in named:
            raise ParameterError(_unknown(kind, name, own))
        # Under a wildcard: what the other node has is meant for that one.
        if name not in known:
            if difflib.get_close_matches(name, known, n=1, cutoff=TYPO):
                raise ParameterError(_unknown(kind, name, known))
            strangers.append(name)
    if not strangers:
        return ''
    rest = f' and {len(strangers) - SHOWN} more' if len(strangers) > SHOWN else ''
    listed = ', '.join(f"'{name}'" for name in strangers[:SHOWN])
    return f'parameters for all nodes that are not known here are left to others: {listed}{rest}'


def _unknown(kind: str, name: str, known: Collection[str]) -> str:
    """A line about a name that is none of the known ones."""
    for spec in SPECS:
        if spec.name == name:
            return f"parameter '{name}' belongs to the node '{spec.nodes[0]}', not to '{kind}'"
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f'choose from {sorted(known)}'
    return f"unknown parameter '{name}'; {hint}"


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
