"""What the fields of a `System` may hold; a mistake names the field and what to write there."""

from __future__ import annotations

import keyword
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trc_core.problem.numbers import checked_array, checked_number, checked_whole
from trc_core.problem.terms import ARGUMENTS, EQUILIBRIUM
from trc_core.problem.timing import checked_timing

if TYPE_CHECKING:
    from trc_core.problem.system import Joint, System

NAME = re.compile(r'\w{1,64}', re.ASCII)  # it becomes part of file and module names
DEFAULT_TOLERANCE = 0.05  # of the half widths of both boxes together
MOST_SUBSTEPS = 1000  # a plant that needs more has too long a dt
DEGREES = ('deg', 'degree', 'degrees', '°')
CANDIDATES = ('lqr', 'trim', 'network', 'previous')  # other plans to start from, by name
PLACES = {'position': 'state', 'velocity': 'state', 'effort': 'control'}


def checked(system: System) -> dict[str, Any]:
    """The fields of a system in the form in which it keeps them.

    Raises:
        ValueError: at the first that makes no sense; the message names it.
    """
    if not NAME.fullmatch(str(system.name)):
        raise ValueError('name may hold at most 64 letters, digits and underscores, like my_robot')
    dt, horizon = checked_number('dt', system.dt), checked_number('horizon', system.horizon)
    if dt <= 0 or horizon < 1:
        raise ValueError('dt and horizon must be positive')
    return {
        **_names('state', system.state_names, system.state_units),
        **_names('control', system.control_names, system.control_units),
        'joints': _joints(system.joints, {'state': system.n_x, 'control': system.n_u}),
        'dt': dt,
        'horizon': checked_whole('horizon', system.horizon),
        'substeps': _substeps(system),
        'parameters': _parameters(system.parameters),
        **checked_timing(system),
        **_boxes(system),
        **_limits(system),
        **_weights(system),
        **_task(system),
    }


def _substeps(system: System) -> int | None:
    """The number that is given; None where it is to be chosen."""
    given = vars(system)['substeps']
    if system.discrete is not True and system.discrete is not False:
        raise ValueError(f'discrete is {system.discrete!r:.60}; write True or False')
    if system.discrete and given not in (None, 1):
        raise ValueError(f'substeps is {given!r:.60} in discrete time; leave it out')
    return None if given is None else checked_whole('substeps', given, MOST_SUBSTEPS)


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
    _require_mapping('parameters', parameters, "{'mass': 1.0}")
    for name in parameters:
        text = str(name)
        if not text.isidentifier() or keyword.iskeyword(text) or text in ('x', 'u'):
            raise ValueError(f"parameter '{text}' has a name that code cannot use; write another")
        if text in ARGUMENTS:
            raise ValueError(
                f"parameter '{text}' has the name of an argument of constraints and laws; "
                'write another'
            )
    return {
        name: checked_number(f"parameter '{name}'", value) for name, value in parameters.items()
    }


def _limits(system: System) -> dict[str, NDArray[np.float64]]:
    n_u = system.n_u
    given = system.u_trim
    if system.trim is not None and not hasattr(system.trim, 'central'):
        raise ValueError('trim follows from u_trim; write u_trim')
    if isinstance(given, str) and given != EQUILIBRIUM:
        raise ValueError(
            f"u_trim is '{given}'; write numbers, a function of goal, or '{EQUILIBRIUM}'"
        )
    u_min = checked_array('u_min', system.u_min, (n_u,))
    u_max = checked_array('u_max', system.u_max, (n_u,))
    for name, low, high in zip(system.control_names, u_min, u_max, strict=True):
        if not low < high:
            raise ValueError(
                f"u_min must lie below u_max; for '{name}' they are {low:g} and {high:g}"
            )
    if isinstance(given, str) or _is_function(given):
        return {'u_min': u_min, 'u_max': u_max}
    u_trim = checked_array('u_trim', np.zeros(n_u) if given is None else given, (n_u,))
    held = system.trim is not None and given is system.trim.central
    for name, low, at, high in zip(system.control_names, u_min, u_trim, u_max, strict=True):
        if not held and not low <= at <= high:
            raise ValueError(
                f"u_trim must lie between u_min and u_max; for '{name}' it is {at:g}, outside "
                f'{low:g} to {high:g}'
            )
    return {'u_min': u_min, 'u_max': u_max, 'u_trim': given if held else u_trim}


def _boxes(system: System) -> dict[str, NDArray[np.float64]]:
    """Half widths and middles of the boxes, which are given as half widths or as (low, high)."""
    n_x, found = system.n_x, {}
    for key, middle in (('x0_box', 'x0_centre'), ('goal_box', 'goal_centre')):
        box = checked_array(key, getattr(system, key), (n_x,), (2, n_x))
        given = getattr(system, middle)
        if given is None or _is_left_over(given, 0.0):
            given = np.zeros(n_x)
        centre = checked_array(middle, given, (n_x,))
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
        if value is not None and not _is_function(value):
            raise ValueError(f'{word} is {value!r:.60}; write a function that returns expressions')
    low = _reach('x_min', system.x_min, n_x, -np.inf)
    high = _reach('x_max', system.x_max, n_x, np.inf)
    _require_room(system, low, high)
    weight = system.violation_weight
    if weight is not None and checked_number('violation_weight', weight) <= 0:
        raise ValueError(f'violation_weight is {weight!r}; write a number above 0')
    tolerance = checked_number('constraint_tolerance', system.constraint_tolerance)
    if tolerance <= 0:
        raise ValueError(f'constraint_tolerance is {tolerance:g}; write a number above 0')
    return {
        'angles': _angles(system),
        'x_min': low,
        'x_max': high,
        'ranges': _ranges(system),
        'laws': _laws(system),
        'goal_tolerance': _tolerance(system),
        'violation_weight': weight if weight is None else float(weight),
        'constraint_tolerance': tolerance,
        'obstacles': _obstacles(system),
    }


def _require_room(system: System, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    """Refuses limits of states that leave no room, or none to begin in."""
    boxes = _boxes(system)
    first = boxes['x0_centre'] - boxes['x0_box']
    last = boxes['x0_centre'] + boxes['x0_box']
    for i, name in enumerate(system.state_names):
        if low[i] >= high[i]:
            raise ValueError(
                f"x_min of '{name}' is {low[i]:g}, which does not lie below its x_max {high[i]:g}"
            )
        inside = min(last[i], high[i]) - max(first[i], low[i])
        if inside < 0.0 or (inside == 0.0 and first[i] < last[i]):
            raise ValueError(
                f"x0_box of '{name}' is {first[i]:g} to {last[i]:g}, all of it outside x_min and "
                f'x_max, {low[i]:g} to {high[i]:g}'
            )


def _angles(system: System) -> tuple[str, ...]:
    angles = _members('angles', system.angles, system.state_names, 'states')
    for name in angles:
        unit = system.state_units[system.state_names.index(name)]
        if unit in DEGREES:
            raise ValueError(f"angles hold '{name}', which is in {unit}; state it in rad")
    return angles


def _require_mapping(key: str, value: Any, example: str) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f'{key} is {value!r:.60}; write {example}')


def _is_function(value: Any) -> bool:
    """Whether a value can be traced: a function, or terms that were."""
    return hasattr(value, 'graph') or (callable(value) and isinstance(value, Hashable))


def _members(key: str, names: Any, known: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"{key} is the text '{names}'; write ('{names}',)")
    if not isinstance(names, (list, tuple)):
        raise ValueError(f'{key} is {names!r:.60}; write some of the {what} {list(known)}')
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f'{key} hold {unknown}; choose from the {what} {list(known)}')
    _require_unique(key, names)
    return tuple(names)


def _is_left_over(value: Any, without: float) -> bool:
    """Whether an array states nothing: `replace` brings those of a plant with other states."""
    return isinstance(value, np.ndarray) and bool(np.all(value == without))


def _reach(key: str, value: Any, n_x: int, without: float) -> NDArray[np.float64]:
    """Limits of the states; None, whole or in part, where there is none."""
    if value is None or _is_left_over(value, without):
        return np.full(n_x, without)
    entries = [without if entry is None else entry for entry in np.ravel(np.array(value, object))]
    limits = checked_array(key, entries, (n_x,), finite=False)
    if np.isnan(limits).any():
        raise ValueError(f'{key} is {limits.tolist()}; write numbers, or None where there is none')
    return limits


def _ranges(system: System) -> dict[str, tuple[float, float]]:
    _require_mapping('ranges', system.ranges, "{'mass': (0.8, 1.2)}")
    names = _members('ranges', list(system.ranges), list(system.parameters), 'parameters')
    found = {}
    for name in names:
        low, high = checked_array(f"ranges of '{name}'", system.ranges[name], (2,)).tolist()
        if low >= high:
            raise ValueError(
                f"ranges of '{name}' are ({low:g}, {high:g}); write (low, high), low first"
            )
        found[name] = (low, high)
    return found


def _laws(system: System) -> dict[str, Any]:
    example = "{'stop': a function of x that returns the controls}"
    _require_mapping('laws', system.laws, example)
    for name, law in system.laws.items():
        if not isinstance(name, str) or not _is_function(law):
            raise ValueError(f'laws hold {name!r}: {law!r:.60}; write {example}')
        if not NAME.fullmatch(name) or name in CANDIDATES:
            raise ValueError(
                f"laws hold the name '{name:.60}'; write letters, digits and underscores, none of "
                f'{list(CANDIDATES)}'
            )
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
    example = "write (Obstacle('x1', 'y1', 'r1'),), names of parameters"
    obstacles = system.obstacles
    if hasattr(obstacles, '_fields') or not isinstance(obstacles, (list, tuple)):
        raise ValueError(f'obstacles are {obstacles!r:.60}; {example}')
    for obstacle in obstacles:
        named = hasattr(obstacle, '_fields') and obstacle._fields[:3] == ('x', 'y', 'radius')
        if not named or None in obstacle[:3]:
            raise ValueError(f'obstacles hold {obstacle!r:.120}; {example}')
        used = [name for name in obstacle if name is not None]
        _members('obstacles', used, list(system.parameters), 'parameters')
    return tuple(obstacles)


def _weights(system: System) -> dict[str, NDArray[np.float64]]:
    Q, R = _weight('Q', system.Q, system.n_x), _weight('R', system.R, system.n_u)
    Q_f = 20.0 * Q if system.Q_f is None else _weight('Q_f', system.Q_f, system.n_x)
    weights = {'Q': Q, 'Q_f': Q_f}
    if system.final_time is not None:  # time or fuel may be all that costs
        weights['R'] = R
    elif np.linalg.eigvalsh(R).min() <= 0:
        wrong = _first(system.control_names, np.diag(R) <= 0.0)
        raise ValueError(f'R must be positive definite{wrong}')
    for key, weight in weights.items():
        if np.linalg.eigvalsh(weight).min() < -1e-9:
            names = system.control_names if key == 'R' else system.state_names
            wrong = _first(names, np.diag(weight) < 0.0)
            raise ValueError(f'{key} must be positive semi-definite{wrong}')
    return {'Q': Q, 'R': R, 'Q_f': Q_f}


def _first(names: Sequence[str], wrong: NDArray[np.bool_]) -> str:
    """The first name whose diagonal entry is wrong, as an addition to a message."""
    named = [name for name, is_wrong in zip(names, wrong, strict=True) if is_wrong]
    return f"; the entry of '{named[0]}' is not" if named else ''


def _weight(key: str, value: ArrayLike, size: int) -> NDArray[np.float64]:
    weight = checked_array(key, value, (size,), (size, size))
    weight = np.diag(weight) if weight.ndim == 1 else weight
    return np.ascontiguousarray(0.5 * (weight + weight.T))
