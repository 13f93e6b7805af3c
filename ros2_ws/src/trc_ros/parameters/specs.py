"""Specification of a parameter: type, range, and the coercion of values into them."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.parameter import Parameter

CONTROLLER, PLANT = ('controller',), ('plant',)
BOTH = CONTROLLER + PLANT
FLEET = ('fleet',)


class ParameterError(ValueError):
    """A parameter that cannot be used; the message is one line that says what to write."""


@dataclass(frozen=True)
class Spec:
    """Parameter of a node. Its type is that of the default; a tuple stands for a list."""

    name: str
    default: Any
    description: str
    nodes: tuple[str, ...] = CONTROLLER
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    live: bool = False
    """May change while the node works; all others are read at configure (or at start)."""
    items: type = float
    """Type of a list's entries: float, int or str."""
    or_list: bool = False
    """May be a list of `items` instead of one of the words in `choices`."""

    @property
    def type_name(self) -> str:
        """Name of the type for a reader of the YAML."""
        if isinstance(self.default, tuple):
            return f'list of {_LISTS[self.items][0]}'
        if self.or_list:
            return f'{_NAMES[type(self.default)]} or list of {_LISTS[self.items][0]}'
        return _NAMES[type(self.default)]


_NAMES = {bool: 'boolean', int: 'integer', float: 'double', str: 'string'}
_EXAMPLES = {
    bool: 'true or false',
    int: 'a whole number such as {}',
    float: 'a number such as {}',
    str: "a text such as '{}'",
}
_LISTS = {  # type of the entries: what it is called, an example, what ROS calls it
    float: ('doubles', 'a list of numbers such as [1.0, 0.0]', Parameter.Type.DOUBLE_ARRAY),
    int: ('integers', 'a list of whole numbers such as [2, 3]', Parameter.Type.INTEGER_ARRAY),
    str: ('strings', "a list of texts such as ['a', 'b']", Parameter.Type.STRING_ARRAY),
}


def coerce(spec: Spec, value: Any) -> Any:
    """`value` in the declared type and range; integers become doubles where one is declared.

    Raises:
        ParameterError: if it cannot be.
    """
    if isinstance(spec.default, tuple):
        return _coerced_list(spec, value)
    if spec.or_list and value not in spec.choices:
        return _coerced_list(spec, value) or spec.default
    if isinstance(spec.default, float):
        value = _as_double(value)
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


def _coerced_list(spec: Spec, value: Any) -> list[Any]:
    """A list of the declared type; a single entry becomes a list of one."""
    single = value is None or isinstance(value, (int, float, str))
    values = [value] if single else list(value)
    fits = {float: _is_number, int: _is_whole, str: lambda v: isinstance(v, str)}[spec.items]
    if not all(fits(v) for v in values):
        word = ''.join(f", or '{choice}'" for choice in spec.choices)
        raise _wrong_type(spec, value, _LISTS[spec.items][1] + word)
    return [spec.items(v) for v in values]


def _as_double(value: Any) -> Any:
    """The number that is meant, else the value; YAML reads 1e-06, without a dot, as a text."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    return float(value) if _is_number(value) else value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _wrong_type(spec: Spec, value: Any, example: str) -> ParameterError:
    if value is not None and not isinstance(value, (bool, int, float, str)):
        value = list(value)
    return ParameterError(
        f"parameter '{spec.name}' is {value!r} ({type(value).__name__}); write {example}"
    )


def parameter_of(spec: Spec, value: Any) -> Parameter:
    """The ROS parameter with a coerced value."""
    # An empty list does not tell rclpy its type.
    if isinstance(spec.default, tuple) or (spec.or_list and not isinstance(value, str)):
        return Parameter(spec.name, _LISTS[spec.items][2], list(value))
    return Parameter(spec.name, value=value)


def descriptor_of(spec: Spec) -> ParameterDescriptor:
    """Descriptor for `ros2 param describe`."""
    descriptor = ParameterDescriptor(name=spec.name, description=spec.description)
    descriptor.dynamic_typing = spec.or_list
    if spec.or_list:
        words = ', '.join(spec.choices)
        descriptor.additional_constraints = f'{words}, or a list of {_LISTS[spec.items][0]}'
    elif spec.choices:
        descriptor.additional_constraints = f'one of {", ".join(spec.choices)}'
    if spec.bounds and isinstance(spec.default, float):
        low, high = map(float, spec.bounds)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif spec.bounds:
        low, high = map(int, spec.bounds)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor
