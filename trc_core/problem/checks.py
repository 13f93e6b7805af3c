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
DEFAULT_TOLERANCE = 0.05  # of the half widths of both boxes together
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
        **_boxes(system),
        **_limits(system),
        **_weights(system),
        **_task(system),
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
    n_u = system.n_u
    if isinstance(system.trim, str) and system.trim != 'equilibrium':
        raise ValueError(
            f"u_trim is '{system.trim}'; write numbers, a function of goal, or 'equilibrium'"
        )
    trim = np.zeros(n_u) if system.u_trim is None or system.trim is not None else system.u_trim
    u_min, u_max = _array('u_min', system.u_min, (n_u,)), _array('u_max', system.u_max, (n_u,))
    u_trim = _array('u_trim', trim, (n_u,))
    if not np.all(u_min < u_max):
        raise ValueError('u_min must lie below u_max')
    if np.any(u_trim < u_min) or np.any(u_trim > u_max):
        raise ValueError('u_trim must lie between u_min and u_max')
    return {'u_min': u_min, 'u_max': u_max, 'u_trim': u_trim}


def _boxes(system: System) -> dict[str, NDArray[np.float64]]:
    """Half widths and middles of the boxes, which are given as half widths or as (low, high)."""
    n_x, found = system.n_x, {}
    for key, middle in (('x0_box', 'x0_centre'), ('goal_box', 'goal_centre')):
        box = _array(key, getattr(system, key), (n_x,), (2, n_x))
        given = getattr(system, middle)
        centre = np.zeros(n_x) if given is None else _array(middle, given, (n_x,))
        if box.ndim == 2:
            low, high = box
            if np.any(low > high):
                raise ValueError(f'{key} is {box.tolist()}; write (low, high), low first')
            box, centre = (high - low) / 2, (high + low) / 2
        if np.any(box < 0):
            raise ValueError(f'{key} is {box.tolist()}; write half-widths, none below 0')
        found.update({key: box, middle: centre})
    return found


def _task(system: System) -> dict[str, Any]:
    """The words of the task that are no functions; what is a function must be one."""
    n_x = system.n_x
    for word in ('constraints', 'residuals', 'terminal_residuals'):
        value = getattr(system, word)
        if value is not None and not callable(value) and not hasattr(value, 'graph'):
            raise ValueError(f'{word} is {value!r:.60}; write a function that returns expressions')
    angles = _members('angles', system.angles, system.state_names, 'states')
    low = _reach('x_min', system.x_min, n_x, -np.inf)
    high = _reach('x_max', system.x_max, n_x, np.inf)
    if np.any(low >= high):
        raise ValueError('x_min must lie below x_max')
    weight = system.violation_weight
    if weight is not None and _number('violation_weight', weight) <= 0:
        raise ValueError(f'violation_weight is {weight!r}; write a number above 0')
    return {
        'angles': angles,
        'x_min': low,
        'x_max': high,
        'ranges': _ranges(system),
        'laws': _laws(system),
        'goal_tolerance': _tolerance(system),
        'violation_weight': weight if weight is None else float(weight),
        'obstacles': _obstacles(system),
    }


def _members(key: str, names: Any, known: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"{key} is the text '{names}'; write ('{names}',)")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f'{key} hold {unknown}; choose from the {what} {list(known)}')
    _require_unique(key, names)
    return tuple(names)


def _reach(key: str, value: Any, n_x: int, without: float) -> NDArray[np.float64]:
    """Limits of the states; None, whole or in part, where there is none."""
    if value is None:
        return np.full(n_x, without)
    entries = [without if entry is None else entry for entry in np.ravel(np.array(value, object))]
    limits = _array(key, entries, (n_x,), finite=False)
    if np.isnan(limits).any():
        raise ValueError(f'{key} is {limits.tolist()}; write numbers, or None where there is none')
    return limits


def _ranges(system: System) -> dict[str, tuple[float, float]]:
    names = _members('ranges', list(system.ranges), list(system.parameters), 'parameters')
    found = {}
    for name in names:
        low, high = _array(f"ranges of '{name}'", system.ranges[name], (2,)).tolist()
        if low >= high:
            raise ValueError(f"ranges of '{name}' are ({low:g}, {high:g}); write (low, high)")
        found[name] = (low, high)
    return found


def _laws(system: System) -> dict[str, Any]:
    for name, law in system.laws.items():
        if not isinstance(name, str) or not (callable(law) or hasattr(law, 'graph')):
            raise ValueError(f'laws hold {name!r}: {law!r:.60}; write a name and a function')
    return dict(system.laws)


def _tolerance(system: System) -> NDArray[np.float64]:
    given = system.goal_tolerance
    if given is None:
        boxes = _boxes(system)
        width = boxes['x0_box'] + boxes['goal_box']
        return np.where(width > 0, DEFAULT_TOLERANCE * width, np.inf)
    tolerance = _reach('goal_tolerance', given, system.n_x, np.inf)
    if np.any(tolerance <= 0):
        raise ValueError(f'goal_tolerance is {tolerance.tolist()}; write numbers above 0')
    return tolerance


def _obstacles(system: System) -> tuple[Any, ...]:
    for obstacle in system.obstacles:
        named = hasattr(obstacle, '_fields') and obstacle._fields[:3] == ('x', 'y', 'radius')
        if not named:
            raise ValueError(f"obstacles hold {obstacle!r}; write Obstacle('x1', 'y1', 'r1')")
        used = [name for name in obstacle if name is not None]
        _members('obstacles', used, list(system.parameters), 'parameters')
    return tuple(system.obstacles)


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


def _array(
    key: str, value: ArrayLike, *shapes: tuple[int, ...], finite: bool = True
) -> NDArray[np.float64]:
    try:
        array = np.array(value, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f'{key} is {value!r}; write numbers') from None
    if array.shape not in shapes:
        expected = ' or '.join(map(str, shapes))
        raise ValueError(f'{key} has shape {array.shape}, expected {expected}')
    if finite and not np.isfinite(array).all():
        raise ValueError(f'{key} is {array.tolist()}; only finite numbers make sense')
    return array
