"""A `casadi.Function` as a `System`: an explicit ODE or a step, as users of CasADi have them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trc_core.problem.casadi_notation import graph_of_function
from trc_core.problem.discretise import NEXT_STATE, RATE
from trc_core.problem.trace import GraphFormula, Signature

ROLES: Mapping[str, tuple[str, ...]] = {
    'x': ('x', 'x0', 'xk', 'state', 'states'),
    'u': ('u', 'u0', 'uk', 'control', 'controls', 'input', 'inputs'),
    'p': ('p', 'param', 'params', 'parameter', 'parameters'),
}
"""Names of inputs that say what they are, without underscores before them."""
FOREIGN = ('t', 'time', 'z', 'tvp', 'w')
"""Names of inputs that systems do not have: time, algebraic states, what varies, noise."""
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    RATE: ('xdot', 'x_dot', 'dx', 'dxdt', 'ode'),
    NEXT_STATE: ('x_next', 'xnext', 'next', 'x_plus', 'xplus', 'xkp1', 'xf'),
}
"""Names of outputs that say what they are."""


def words_of_function(
    function: Any,
    discrete: bool,
    parameters: Mapping[str, float] | Sequence[float],
    **words: Any,
) -> dict[str, Any]:
    """The fields of the `System` of a function; arguments and errors as `System.from_casadi`."""
    if not hasattr(function, 'n_instructions'):
        raise ValueError(f'from_casadi takes a casadi.Function, not {function!r:.60}')
    title = f"casadi.Function '{function.name()}'"
    try:
        if function.name_in()[:2] == ['x0', 'z0']:
            raise ValueError('is an integrator; give the ODE itself')
        if function.has_free():
            raise ValueError(f'has the free symbols {function.get_free()}; make them inputs')
        places = _inputs(function)
        sizes = {role: function.numel_in(place) for role, place in places.items()}
        named = _parameters(parameters, sizes.get('p', 0))
        signature = Signature(sizes['x'], sizes['u'], tuple(named))
        output = NEXT_STATE if discrete else RATE
        graph = _graph(function, places, signature, output)
        for key, count in (('state_names', sizes['x']), ('control_names', sizes['u'])):
            if key in words and len(words[key]) != count:
                raise ValueError(f'needs {count} {key}, but they are {words[key]!r:.60}')
    except ValueError as error:
        raise ValueError(f'{title}: {error}') from error
    states, controls = (_names(function, places[role], role) for role in ('x', 'u'))
    return {
        'dynamics': GraphFormula(graph),
        'discrete': discrete,
        'parameters': named,
        'name': function.name(),
        'state_names': states,
        'control_names': controls,
        'state_units': ('1',) * len(states),
        'control_units': ('1',) * len(controls),
        'joints': (),
        **words,
    }


def _inputs(function: Any) -> dict[str, int]:
    """The places of x, u and, where there is one, p among the inputs.

    Raises:
        ValueError: if there are other inputs, or one is no vector.
    """
    taken = [place for place in range(function.n_in()) if function.numel_in(place)]
    names = [function.name_in(place) for place in taken]
    known = {
        place: role
        for place, name in zip(taken, names, strict=True)
        for role, words in ROLES.items()
        if name.strip('_').lower() in words
    }
    foreign = [name for name in names if name.strip('_').lower() in FOREIGN]
    by_name = len(known) == len(taken)
    roles = list(known.values()) if by_name else list(ROLES)[: len(taken)]
    if foreign or len(taken) not in (2, 3) or len(set(roles)) < len(taken) or 'u' not in roles:
        wrong = f"; put numbers in the place of '{foreign[0]}'" if foreign else ''
        raise ValueError(f'takes {names}, expected x, u and perhaps p, each a vector{wrong}')
    places = dict(zip(roles, taken, strict=True))
    misplaced = [role for place, role in known.items() if places[role] != place]
    if misplaced or 'x' not in places:
        raise ValueError(f'takes {names}; call all of them by name: x, u and perhaps p')
    for place, name in zip(taken, names, strict=True):
        rows, columns = function.size_in(place)
        if rows > 1 and columns > 1:
            raise ValueError(f"takes '{name}' as {rows} by {columns} entries; make it a vector")
    return places


def _graph(function: Any, places: Mapping[str, int], signature: Signature, output: str) -> Any:
    """The graph of one output of a function.

    Raises:
        ValueError: if it is not clear which, it has another size than x, or the function cannot
            be expanded.
    """
    taken = [place for place in range(function.n_out()) if function.numel_out(place)]
    names = {place: function.name_out(place) for place in taken}
    kinds = {
        place: kind
        for place, name in names.items()
        for kind, words in OUTPUTS.items()
        if name.strip('_').lower() in words
    }
    chosen = taken if len(taken) == 1 else [place for place in taken if kinds.get(place) == output]
    if len(chosen) != 1:
        expected = f"one of them called '{OUTPUTS[output][0]}', or no other"
        raise ValueError(f'gives {list(names.values())}, expected {expected}')
    (place,) = chosen
    if kinds.get(place, output) != output:
        what, word = ('the state a dt later', True), ('the time derivative', False)
        said, write = what if output == RATE else word
        raise ValueError(f"gives '{names[place]}', which is {said}: write discrete={write}")
    if function.numel_out(place) != signature.n_x:
        raise ValueError(
            f"gives {function.numel_out(place)} values as '{names[place]}' for {signature.n_x} "
            'states; it must give one for each'
        )
    return graph_of_function(function, places, place, output)


def _parameters(given: Mapping[str, float] | Sequence[float], count: int) -> dict[str, float]:
    """The parameters by name."""
    if isinstance(given, Mapping):
        named = dict(given)
    else:
        values = np.ravel(np.asarray(given, dtype=object)).tolist()
        named = {f'p_{k}': value for k, value in enumerate(values)}
    if len(named) != count:
        raise ValueError(
            f'takes {count} parameters, but {len(named)} are given; write parameters='
            f"{{'name': value, ...}} in the order of p"
        )
    return named


def _names(function: Any, place: int, role: str) -> tuple[str, ...]:
    """The names of an input's entries."""
    name = function.name_in(place).strip('_')
    name = role if re.fullmatch(r'i\d+', name) else name
    count = function.numel_in(place)
    return (name,) if count == 1 else tuple(f'{name}_{k}' for k in range(count))
