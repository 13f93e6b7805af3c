"""Gymnasium environments as plants: observations become states, controls become actions."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trc_core.problem.system import Array, System

Reading = Callable[[Array], float]


def _entry(index: int) -> Reading:
    return lambda observation: float(observation[index])


def _angle(sine: int, cosine: int) -> Reading:
    return lambda observation: math.atan2(observation[sine], observation[cosine])


READINGS: dict[str, Callable[..., Reading]] = {'entry': _entry, 'angle': _angle}
"""Readings of a state coordinate from an observation, by the word before its indices."""
FORMS = '[entry, i] or [angle, i_sine, i_cosine]'
KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    'id': ('a text', (str,)),
    'state': ('a list of ' + FORMS, (list, tuple)),
    'action': ('{scale, offset} or {discrete: [thresholds]}', (dict,)),
    'start': ('a text', (str,)),
    'options': ('a mapping', (dict,)),
}


def _box(low: Array, high: Array, u: Array) -> Any:
    return np.clip(u, low, high).astype(np.float32)


class GymnasiumFleet:
    """B copies of an environment, as one plant of a system.

    Args:
        system: the model of the environment.
        mapping: `id`: of the environment; `state`: how every coordinate is read from an
            observation, see `READINGS`; `action`: {scale, offset} from control to action, or
            {discrete: [thresholds]} for an action that is a number, 0 below the first of them;
            `start`: the attribute of the environment that is set to begin at x0, '' if it begins
            where it will; `options`: passed to `gymnasium.make`.
        count: B.
        seed: seeds the environments.
        repeat: environments of a group of this many in a row have the same seed.

    Raises:
        ValueError: if the mapping has unknown or missing keys or does not fit the system, or
            Gymnasium is not installed or has no such environment.
    """

    def __init__(
        self,
        system: System,
        mapping: Mapping[str, Any],
        count: int,
        seed: int = 0,
        repeat: int = 1,
    ) -> None:
        _require_kinds(mapping)
        if len(mapping['state']) != system.n_x:
            raise ValueError(
                f'environment.state has {len(mapping["state"])} entries; '
                f'write one for each of {list(system.state_names)}'
            )
        self.system, self._seed, self._repeat = system, seed, repeat
        self._read = [_reading(entry) for entry in mapping['state']]
        self._start = str(mapping.get('start', ''))
        gymnasium = _import_gymnasium()
        try:
            self._rows = [
                gymnasium.make(mapping['id'], **mapping.get('options', {})) for _ in range(count)
            ]
        except (gymnasium.error.Error, ImportError, TypeError) as error:
            raise ValueError(f"environment.id is '{mapping['id']}': {error}") from error
        self._act = self._action(dict(mapping.get('action', {})), self._rows[0].action_space)

    def _action(self, mapping: dict[str, Any], space: Any) -> Callable[[Array], Any]:
        """Makes an action of a control (n_u,)."""
        if 'discrete' in mapping:
            thresholds = _thresholds(mapping.pop('discrete'))
            if mapping or not hasattr(space, 'n') or space.n != len(thresholds) + 1:
                raise ValueError(
                    f'environment.action.discrete has {len(thresholds)} thresholds and stands '
                    f'beside {sorted(mapping)}; write one less than {space} has actions'
                )
            return lambda u: int(np.searchsorted(thresholds, u[0]))
        shapes = (), (self.system.n_u,)
        scale = _numbers('scale', mapping.pop('scale', 1.0), shapes)
        offset = _numbers('offset', mapping.pop('offset', 0.0), shapes)
        if mapping or space.shape != (self.system.n_u,):
            raise ValueError(
                f'environment.action has {sorted(mapping)} left over, or {space} does not take '
                f'{self.system.n_u} controls; write scale and offset, or discrete'
            )
        low, high = space.low, space.high
        return lambda u: _box(low, high, scale * u + offset)

    def reset(self, x0: Array) -> Array:
        """Starts at x0 (B, n_x) where the environment lets it, else where it will."""
        self._over = np.zeros(len(self._rows), dtype=np.bool_)
        return np.array([self._reset(b, x0[b]) for b in range(len(self._rows))])

    def _reset(self, b: int, x0: Array) -> Array:
        observation, _ = self._rows[b].reset(seed=self._seed + b // self._repeat)
        if not self._start:
            return self._state(observation)
        environment = self._rows[b].unwrapped
        if not hasattr(environment, self._start):
            raise ValueError(f"environment.start is '{self._start}', which it does not have")
        setattr(environment, self._start, np.array(x0))
        return np.array(x0)

    def step(self, u: Array) -> Array:
        """The states (B, n_x) behind controls u (B, n_u); NaN rows are over."""
        return np.array([self._step(b, u[b]) for b in range(len(self._rows))])

    def _step(self, b: int, u: Array) -> Array:
        if self._over[b]:
            return np.full(self.system.n_x, np.nan)
        observation, _, terminated, _, _ = self._rows[b].step(self._act(u))
        self._over[b] = terminated
        return self._state(observation)

    def _state(self, observation: Any) -> Array:
        try:
            flat = np.asarray(observation, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            raise ValueError(
                f'the environment observes {observation!r}; environment.state reads arrays'
            ) from None
        try:
            return np.array([read(flat) for read in self._read])
        except IndexError:
            raise ValueError(
                f'the environment observes {len(flat)} numbers; environment.state asks for more'
            ) from None


def _require_kinds(mapping: Mapping[str, Any]) -> None:
    if set(mapping) - set(KINDS) or 'id' not in mapping or 'state' not in mapping:
        raise ValueError(f'environment has {sorted(mapping)}; write id and state, of {[*KINDS]}')
    for key, value in mapping.items():
        text, kinds = KINDS[key]
        if not isinstance(value, kinds):
            raise ValueError(f'environment.{key} is {value!r}; write {text}')


def _reading(entry: Any) -> Reading:
    if not isinstance(entry, (list, tuple)) or not entry:
        raise ValueError(f'environment.state holds {entry!r}; write {FORMS}')
    kind, *indices = entry
    if str(kind) not in READINGS:
        raise ValueError(f"unknown reading '{kind}'; choose from {sorted(READINGS)}")
    try:
        return READINGS[kind](*map(operator.index, indices))
    except TypeError:  # too few, too many, or no whole numbers
        raise ValueError(f'environment.state holds {entry!r}; write {FORMS}') from None


def _thresholds(value: Any) -> Array:
    if isinstance(value, (list, tuple)):
        thresholds = _numbers('discrete', value, [(len(value),)])
        if np.all(np.diff(thresholds) > 0):
            return thresholds
    raise ValueError(f'environment.action.discrete is {value!r}; write a list of rising numbers')


def _numbers(key: str, value: Any, shapes: Sequence[tuple[int, ...]]) -> Array:
    """`value` as an array of one of the shapes."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.full(0, np.nan)
    if array.shape not in shapes or not np.isfinite(array).all():
        raise ValueError(f'environment.action.{key} is {value!r}; write finite numbers')
    return array


def _import_gymnasium() -> Any:
    try:
        import gymnasium
    except ModuleNotFoundError:
        raise ValueError("environments need Gymnasium: pip install 'trc[gymnasium]'") from None
    return gymnasium
