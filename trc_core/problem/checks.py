"""What the fields of a `System` may hold; a mistake names the field and what to write there."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from trc_core.problem.system import Joint, System

NAME = re.compile(r'\w{1,64}', re.ASCII)  # it becomes part of file and module names
MOST_SUBSTEPS = 1000  # a plant that needs more has too long a dt
PLACES = {'position': 'state', 'velocity': 'state', 'effort': 'control'}


def checked(system: System) -> dict[str, Any]:
    """The fields of a system in the form in which it keeps them.

    Raises:
        ValueError: at the first that makes no sense; the message names it.
    """
    if not NAME.fullmatch(str(system.name)):
        raise ValueError('name may hold at most 64 letters, digits and underscores, like my_robot')
    dt, horizon = _number('dt', system.dt), _number('horizon', system.horizon)
    if dt <= 0 or horizon < 1:
        raise ValueError('dt and horizon must be positive')
    return {
        **_names('state', system.state_names, system.state_units),
        **_names('control', system.control_names, system.control_units),
        'joints': _joints(system.joints, {'state': system.n_x, 'control': system.n_u}),
        'dt': dt,
        'horizon': _whole('horizon', system.horizon),
        'substeps': _whole('substeps', system.substeps, MOST_SUBSTEPS),
        'parameters': _parameters(system.parameters),
        **_limits(system),
        **_weights(system),
    }


def _names(what: str, names: Sequence[str], units: Sequence[str]) -> dict[str, tuple[str, ...]]:
    fields = {f'{what}_names': names, f'{what}_units': units}
    for key, texts in fields.items():
        if isinstance(texts, str):
            raise ValueError(f"{key} is the text '{texts}'; write ('{texts}',)")
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f'{key} are {texts!r}; write texts')
    _require_unique(f'{what}_names', names)
    if len(names) != len(units) or not names:
        raise ValueError('give one unit per state and per control')
    return {key: tuple(texts) for key, texts in fields.items()}


def _require_unique(key: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{key} hold '{name}' twice; give each a name of its own")
        seen.add(name)


def _joints(joints: Sequence[Joint], sizes: Mapping[str, int]) -> tuple[Joint, ...]:
    for joint in joints:
        named = isinstance(getattr(joint, 'name', None), str)
        if not named or not all(hasattr(joint, kind) for kind in PLACES):
            raise ValueError(
                f'joints hold {joint!r}; write (Joint(name, position, velocity, effort),)'
            )
        for kind, where in PLACES.items():
            place, size = getattr(joint, kind), sizes[where]
            if place is not None and place not in range(size):
                raise ValueError(
                    f"the {kind} of joint '{joint.name}' is {place!r}; "
                    f'write a place in the {where}, 0 to {size - 1}, or None'
                )
    _require_unique('joints', (joint.name for joint in joints))
    return tuple(joints)


def _parameters(parameters: Mapping[str, float]) -> dict[str, float]:
    for name in parameters:
        if not name.isidentifier() or keyword.iskeyword(name) or name in ('x', 'u'):
            raise ValueError(f"parameter '{name}' has a name that code cannot use; write another")
    return {name: _number(f"parameter '{name}'", value) for name, value in parameters.items()}


def _limits(system: System) -> dict[str, NDArray[np.float64]]:
    n_x, n_u = system.n_x, system.n_u
    trim = np.zeros(n_u) if system.u_trim is None else system.u_trim
    u_min, u_max = _array('u_min', system.u_min, (n_u,)), _array('u_max', system.u_max, (n_u,))
    u_trim = _array('u_trim', trim, (n_u,))
    if not np.all(u_min < u_max):
        raise ValueError('u_min must lie below u_max')
    if np.any(u_trim < u_min) or np.any(u_trim > u_max):
        raise ValueError('u_trim must lie between u_min and u_max')
    boxes = {key: _array(key, getattr(system, key), (n_x,)) for key in ('x0_box', 'goal_box')}
    for key, widths in boxes.items():
        if np.any(widths < 0):
            raise ValueError(f'{key} is {widths.tolist()}; write half-widths, none below 0')
    return {'u_min': u_min, 'u_max': u_max, 'u_trim': u_trim, **boxes}


def _weights(system: System) -> dict[str, NDArray[np.float64]]:
    Q, R = _weight('Q', system.Q, system.n_x), _weight('R', system.R, system.n_u)
    Q_f = 20.0 * Q if system.Q_f is None else _weight('Q_f', system.Q_f, system.n_x)
    if np.linalg.eigvalsh(R).min() <= 0:
        raise ValueError('R must be positive definite')
    if min(np.linalg.eigvalsh(M).min() for M in (Q, Q_f)) < -1e-9:
        raise ValueError('Q and Q_f must be positive semi-definite')
    return {'Q': Q, 'R': R, 'Q_f': Q_f}


def _weight(key: str, value: ArrayLike, size: int) -> NDArray[np.float64]:
    weight = _array(key, value, (size,), (size, size))
    weight = np.diag(weight) if weight.ndim == 1 else weight
    return np.ascontiguousarray(0.5 * (weight + weight.T))


def _whole(key: str, value: Any, most: float = math.inf) -> int:
    number = _number(key, value)
    if not number.is_integer() or not 1 <= number <= most:
        limits = 'at least 1' if most == math.inf else f'1 to {most:g}'
        raise ValueError(f'{key} is {number:g}; write a whole number of steps, {limits}')
    return int(number)


def _number(key: str, value: Any) -> float:
    return float(_array(key, value, ()))


def _array(key: str, value: ArrayLike, *shapes: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        array = np.array(value, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f'{key} is {value!r}; write numbers') from None
    if array.shape not in shapes:
        expected = ' or '.join(map(str, shapes))
        raise ValueError(f'{key} has shape {array.shape}, expected {expected}')
    if not np.isfinite(array).all():
        raise ValueError(f'{key} is {array.tolist()}; only finite numbers make sense')
    return array
