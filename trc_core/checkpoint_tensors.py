"""Tensors of a checkpoint: names, shapes and types follow from its record, and are checked.

Compiled kernels check no index, so that a file with other tensors is refused before it flies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.network_config import TRCConfig
from trc_core.numerics.canonical import Scene
from trc_core.numerics.constants import MEMBER, PAIR
from trc_core.numerics.descent import LEARNED, NUMBERS, READ, require_descent
from trc_core.numerics.representation import DESCENT, Coordinates
from trc_core.problem.system import System

REPRESENTATION, CORRECTION = 'representation.', 'correction.'  # begin the names of such tensors
DELAYS = 4  # 0 to 3 ticks, that a correction tells apart
Tensors = Mapping[str, NDArray[Any]]
Shapes = dict[str, tuple[int, ...]]


def require_tensors(
    system: System,
    model: Mapping[str, Any],
    coordinates: Coordinates,
    tensors: Tensors,
    with_weights: bool = True,
) -> None:
    """Compares tensors with what a record says of them.

    Args:
        system: the plant.
        model: fields of `TRCConfig`; none where there is no network.
        coordinates: of the plans.
        tensors: all of a file.
        with_weights: whether the weights of the network are among them; a graph holds its own.

    Raises:
        ValueError: if a tensor is missing, unknown, of another shape or type or not finite, or a
            field of the model makes no sense; the message names it.
    """
    if coordinates.kind == DESCENT:
        _require_descent(system, model, tensors)
        return
    shapes = _representation_shapes(system, coordinates, tensors)
    _require_shapes(system, shapes, tensors)
    if model:
        config = TRCConfig.from_record(model)
        _require_plant(config, system)
        shapes |= {f'{REPRESENTATION}{name}': (system.n_u,) for name in ('u_min', 'u_max')}
        shapes[f'{REPRESENTATION}u_trim'] = (system.n_u,)
        if with_weights:
            shapes |= config.shapes(*_read(system, coordinates, shapes))
    if any(name.startswith(CORRECTION) for name in tensors):
        shapes |= correction_shapes(system, _first_axis(tensors, f'{CORRECTION}hidden_bias'))
    _require_shapes(system, shapes, tensors)
    _require_known(shapes, tensors)
    _require_numbers(system, tensors)
    if coordinates.kind == 'canonical':
        _require_scene(coordinates.scene(system), tensors)


def _require_descent(system: System, model: Mapping[str, Any], tensors: Tensors) -> None:
    """Compares the tensors of a network whose plan is the numbers of a descent."""
    require_descent(system)
    shapes: Shapes = {f'{REPRESENTATION}{name}': shape for name, shape in LEARNED.items()}
    config = TRCConfig.from_record(model)
    sizes = {'state_dim': system.n_x, 'control_dim': 1, 'control_horizon': NUMBERS}
    _require_sizes(config, system, sizes)
    shapes |= config.shapes(READ)
    _require_shapes(system, shapes, tensors)
    _require_known(shapes, tensors)
    for name, values in tensors.items():
        if not np.isfinite(values).all():
            raise ValueError(f'{name} holds numbers that are not finite')
    for name in ('spread', 'width'):
        if tensors[f'{REPRESENTATION}{name}'].min() <= 0.0:
            raise ValueError(f'representation.{name} holds a number that is not above 0')


def problem_dim(system: System, angles: int, inputs: int, goals: int = 0) -> int:
    """Length of the input of the state encoder, by the angles, parameters and goals in it."""
    return 2 * system.n_x + 2 * angles + inputs + 2 * goals + 1


def _read(system: System, coordinates: Coordinates, shapes: Shapes) -> tuple[int, int, int]:
    """How many numbers are read of a problem, of an obstacle and of two."""
    (angles,), (inputs,) = (shapes[f'{REPRESENTATION}{k}'] for k in ('angles', 'inputs'))
    if coordinates.kind != 'canonical':
        return problem_dim(system, angles, inputs, len(coordinates.goals)), 0, 0
    scene = coordinates.scene(system)
    read = (MEMBER, PAIR) if len(scene.obstacles) else (0, 0)
    return (scene.problem_dim(angles), *read)


def feature_count(system: System) -> int:
    """Number of inputs of the network of a correction."""
    return system.n_x + 4 * system.n_u


def correction_shapes(system: System, hidden: int) -> Shapes:
    """The shapes of the tensors that fine-tuning adds, with so many hidden units."""
    shapes: Shapes = {
        'trust': (),
        'prior': (DELAYS,),
        'sharpness': (),
        'hidden_weight': (hidden, feature_count(system)),
        'hidden_bias': (hidden,),
        'output_weight': (system.n_u, hidden),
        'output_bias': (system.n_u,),
        'amplitude': (),
    }
    return {f'{CORRECTION}{name}': shape for name, shape in shapes.items()}


def _representation_shapes(system: System, coordinates: Coordinates, tensors: Tensors) -> Shapes:
    """The shapes of the numbers of the plans.

    How many angles are read as sine and cosine is the tensor's own business, as long as they are
    states of the plant.
    """
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    shapes: Shapes = {
        'K': (T, n_u, n_x),
        'L': (T, n_u, n_u),
        'K_start': (len(coordinates.ladder), T, n_u, n_x),
        **dict.fromkeys(('G', 'W', 'C', 'D', 'S'), (n_x, n_x)),
        'floor': (),
        'inputs': (len(coordinates.ranges) * (coordinates.kind != 'canonical'),),
        'angles': (min(_first_axis(tensors, f'{REPRESENTATION}angles'), n_x),),
        'mirror': (),
    }
    if coordinates.kind == 'canonical':
        scene = coordinates.scene(system)
        shapes |= {name: values.shape for name, values in scene._asdict().items()}
        shapes['angles'] = (len(system.wrapped),)
    if coordinates.goals:
        shapes['goals'] = (len(coordinates.goals), 3)
    return {f'{REPRESENTATION}{name}': shape for name, shape in shapes.items()}


def _first_axis(tensors: Tensors, name: str) -> int:
    """The length of a vector; 0 where it is missing or none, which its shape then shows."""
    shape = tensors[name].shape if name in tensors else ()
    return int(shape[0]) if len(shape) == 1 else 0


def _require_plant(config: TRCConfig, system: System) -> None:
    """Compares the sizes of a network with those of a plant."""
    sizes = {'state_dim': system.n_x, 'control_dim': system.n_u, 'control_horizon': system.horizon}
    _require_sizes(config, system, sizes)


def _require_sizes(config: TRCConfig, system: System, sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        if getattr(config, name) != size:
            raise ValueError(
                f"{name} of the model is {getattr(config, name)}, '{system.name}' needs {size}"
            )


def _require_shapes(system: System, shapes: Shapes, tensors: Tensors) -> None:
    """Compares names, shapes and types."""
    for name, shape in shapes.items():
        if name not in tensors:
            raise ValueError(f"the tensor '{name}' is missing")
        found, expected = tensors[name], _type(name)
        if found.shape != shape:
            raise ValueError(f"{name} has shape {found.shape}, '{system.name}' needs {shape}")
        if found.dtype != expected:
            raise ValueError(f'{name} is {found.dtype}, expected {np.dtype(expected)}')


def _require_known(shapes: Shapes, tensors: Tensors) -> None:
    """Refuses a tensor that belongs to nothing."""
    if unknown := sorted(tensors.keys() - shapes.keys()):
        raise ValueError(f"the tensor '{unknown[0]:.60}' belongs to no part of the model")


def _type(name: str) -> type[np.generic]:
    if name.removeprefix(REPRESENTATION) in ('angles', 'mirror', 'places', 'obstacles'):
        return np.int64
    return np.float64 if name.startswith((REPRESENTATION, CORRECTION)) else np.float32


def _require_numbers(system: System, tensors: Tensors) -> None:
    """Refuses numbers that are none, and those that would send a kernel elsewhere."""
    for name, values in tensors.items():
        if not np.isfinite(values).all():
            raise ValueError(f'{name} holds numbers that are not finite')
    names = ('angles', 'mirror', 'floor')
    angles, mirror, floor = (tensors[f'{REPRESENTATION}{name}'] for name in names)
    places = angles.tolist()
    if len(set(places)) < len(places) or not all(0 <= place < system.n_x for place in places):
        raise ValueError(f"representation.angles are {places}, '{system.name}' has {system.n_x}")
    goals = tensors.get(f'{REPRESENTATION}goals', np.zeros((0, 3)))[:, 0].tolist()
    if not all(0 <= place < system.n_x and place == int(place) for place in goals):
        raise ValueError(f"representation.goals are {goals}, '{system.name}' has {system.n_x}")
    if not -1 <= mirror < system.n_x:
        raise ValueError(f"representation.mirror is {mirror}, '{system.name}' has {system.n_x}")
    if not np.isfinite(_inverse(tensors[f'{REPRESENTATION}L'])).all():
        raise ValueError('representation.L holds a matrix that has no inverse')
    if floor <= 0:
        raise ValueError(f'representation.floor is {floor}, expected a number above 0')
    for name in ('u_min', 'u_max'):
        bound = tensors.get(f'{REPRESENTATION}{name}')
        if bound is not None and not np.array_equal(bound, getattr(system, name)):
            raise ValueError(
                f"representation.{name} is {bound.tolist()}, that of '{system.name}' "
                f'{getattr(system, name).tolist()}'
            )


def _require_scene(scene: Scene, tensors: Tensors) -> None:
    """Refuses a canonical frame that says other places than the system does."""
    for name, own in scene._asdict().items():
        found = tensors[f'{REPRESENTATION}{name}']
        if name in ('states', 'sources'):
            own, found = own[:, 0], found[:, 0]
        if name != 'sizes' and not np.array_equal(own, found):
            raise ValueError(f'representation.{name} is {found.tolist()}, expected {own.tolist()}')
    spans = (tensors[f'{REPRESENTATION}{name}'][:, 2] for name in ('states', 'sources'))
    sizes = tensors[f'{REPRESENTATION}sizes'][[0, 2, 3]]
    if min([*sizes, *(span for column in spans for span in column)]) <= 0.0:
        raise ValueError('representation.sizes holds a length that is not above 0')


def _inverse(matrices: NDArray[Any]) -> NDArray[Any]:
    """The inverses (..., n, n); NaN where one of them has none."""
    try:
        return np.linalg.inv(matrices)
    except np.linalg.LinAlgError:
        return np.full_like(matrices, np.nan)
