"""Robots as systems: what a robot says of every word of `System`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trc_core.problem.numbers import checked_array, checked_number
from trc_core.problem.places import Joint
from trc_core.problem.robot import RobotModel, plain_name, require_members
from trc_core.problem.robot_dynamics import PAYLOAD, Holding, RobotDynamics, with_tip
from trc_core.problem.robot_laws import Reach, Stop

Array = NDArray[np.float64]
ADJUSTABLE = ('armature', 'damping', 'friction')
FUNCTIONS = ('constraints', 'residuals', 'terminal_residuals')
MIDDLE = 0.95  # of the range of a joint, from which problems are drawn
WAY = 0.35  # of what a joint can travel within a plan, to either side of the middle
START_SPEED = 0.1  # of the speed limit
RESISTED = 1e-12  # of the largest inertia of a motion, which the smallest has at least
TOLERANCE = 0.05  # of the boxes of positions, and of the speed limits


def words_of_robot(
    model: RobotModel,
    *,
    dt: float,
    horizon: int,
    payload: float | None = None,
    armature: float | Mapping[str, float] | None = None,
    damping: float | Mapping[str, float] | None = None,
    friction: float | Mapping[str, float] | None = None,
    adjustable: Sequence[str] = (),
    position_weight: ArrayLike = 10.0,
    speed_weight: ArrayLike = 0.1,
    effort_weight: ArrayLike = 1e-3,
    parameters: Mapping[str, float] | None = None,
    **task: Any,
) -> dict[str, Any]:
    """The words of `System` for a robot: x = (q, v), u the torques and forces of the joints.

    Args:
        model: the robot.
        dt: sampling period [s].
        horizon: number of control steps.
        payload: a point mass at the tip [kg], which becomes the parameter `payload`; without it
            there is none.
        armature: inertia of the rotors as the joints feel it [kg m^2 or kg]: one number, or some
            by the names of joints; else the model's, which is 0 in a URDF.
        damping: friction by speed, in the same way; else the model's.
        friction: Coulomb friction, in the same way; else the model's. It is smoothed by tanh over
            5 % of the speed limit.
        adjustable: which of 'armature', 'damping' and 'friction' become parameters, one for every
            joint, named like `damping_elbow`.
        position_weight: diagonal of Q for positions, a number or (n,).
        speed_weight: diagonal of Q for speeds.
        effort_weight: diagonal of R.
        parameters: further ones, of the functions of the task.
        **task: any word of `System`, in the place of what the robot says. Functions may also take
            `tip`, the position of the tip (3,).

    Raises:
        ValueError: if a name is unknown or a number makes no sense; one line says which.
    """
    model = _with_friction(model, armature=armature, damping=damping, friction=friction)
    if not model.driven:
        raise ValueError('no joint is driven; give one a motor')
    require_members('adjustable', list(adjustable), ADJUSTABLE, 'words')
    if payload is not None and model.tip is None:
        raise ValueError('payload is a mass at the tip; give tip=')
    _require_inertia(model)
    dynamics = RobotDynamics(model, payload is not None, tuple(adjustable))
    numbers = {} if payload is None else {PAYLOAD: checked_number(PAYLOAD, payload)}
    numbers.update(_adjusted(model, dynamics))
    words: dict[str, Any] = {
        'name': plain_name(model.name),
        **_named(model, dynamics.names),
        **_limits(model),
        **_boxes(model, checked_number('dt', dt) * checked_number('horizon', horizon)),
        'u_trim': Holding(dynamics),
        'laws': _laws(dynamics, float(dt)),
        'parameters': {**numbers, **(parameters or {})},
        'Q': np.concatenate(
            [
                _weights('position_weight', position_weight, len(model.joints)),
                _weights('speed_weight', speed_weight, len(model.joints)),
            ]
        ),
        'R': _weights('effort_weight', effort_weight, len(model.driven)),
        **task,
    }
    for word in FUNCTIONS:
        words[word] = with_tip(words.get(word), model)
    if isinstance(words.get('laws'), Mapping):
        words['laws'] = {name: with_tip(law, model) for name, law in words['laws'].items()}
    return {'dynamics': dynamics, 'dt': dt, 'horizon': horizon, **words}


def _laws(dynamics: RobotDynamics, dt: float) -> dict[str, Any]:
    """Laws that move joint by joint, where every joint is driven."""
    if len(dynamics.model.driven) < len(dynamics.model.joints):
        return {}
    return {'reach': Reach(dynamics, dt), 'stop': Stop(dynamics, dt)}


def _adjusted(model: RobotModel, dynamics: RobotDynamics) -> dict[str, float]:
    """The parameters that armature, damping and friction are."""
    return {
        f'{word}_{name}': float(getattr(joint, word))
        for word in dynamics.adjustable
        for name, joint in zip(dynamics.names, model.joints, strict=True)
    }


def _weights(key: str, value: ArrayLike, count: int) -> Array:
    """A weight for every joint (count,)."""
    return np.broadcast_to(checked_array(key, value, (), (count,)), count)


def _with_friction(model: RobotModel, **given: float | Mapping[str, float] | None) -> RobotModel:
    """The robot with other armature, damping and friction, where they are given."""
    known = [joint.name for joint in model.joints]
    joints = list(model.joints)
    for word, value in given.items():
        if value is None:
            continue
        by_name = value if isinstance(value, Mapping) else dict.fromkeys(known, value)
        require_members(word, list(by_name), known, 'joints')
        for i, joint in enumerate(joints):
            if joint.name in by_name:
                number = checked_number(f"{word} of joint '{joint.name}'", by_name[joint.name])
                joints[i] = replace(joint, **{word: number})  # type: ignore[arg-type]
    for joint in joints:
        for word in given:
            number = getattr(joint, word)
            if not 0.0 <= number < math.inf:
                raise ValueError(
                    f"{word} of joint '{joint.name}' is {number:g}; write one that is not negative"
                )
    return replace(model, joints=tuple(joints))


def _require_inertia(model: RobotModel) -> None:
    """Refuses a joint that nothing resists, like one on whose axis all mass lies."""
    q = np.random.default_rng(0).uniform(-1.0, 1.0, len(model.joints)).tolist()
    values, vectors = np.linalg.eigh(model.mass_matrix(q))
    if values[0] <= RESISTED * values[-1]:
        joint = model.joints[int(np.abs(vectors[:, 0]).argmax())]
        raise ValueError(
            f"joint '{joint.name}' moves bodies without inertia along it; write their <inertia>, "
            'or armature='
        )


def _named(model: RobotModel, names: Sequence[str]) -> dict[str, Any]:
    """Names and units of states and controls, and the joints by their own names."""
    n = len(names)
    slides = model.tree.sliding
    efforts = {i: place for place, i in enumerate(model.driven)}
    lengths = ['m' if sliding else 'rad' for sliding in slides]
    return {
        'state_names': (*names, *(f'{name}_velocity' for name in names)),
        'state_units': (*lengths, *(f'{unit}/s' for unit in lengths)),
        'control_names': tuple(
            f'{names[i]}_{"force" if slides[i] else "torque"}' for i in model.driven
        ),
        'control_units': tuple('N' if slides[i] else 'N m' for i in model.driven),
        'joints': tuple(
            Joint(joint.name, i, n + i, efforts.get(i)) for i, joint in enumerate(model.joints)
        ),
        'angles': tuple(
            name
            for name, joint in zip(names, model.joints, strict=True)
            if joint.kind == 'continuous'
        ),
    }


def _limits(model: RobotModel) -> dict[str, Any]:
    """The bounds of controls and states."""
    efforts = np.array([model.joints[i].efforts for i in model.driven])
    speeds = np.array([joint.velocity for joint in model.joints])
    lower, upper = (np.array([getattr(j, k) for j in model.joints]) for k in ('lower', 'upper'))
    return {
        'u_min': efforts[:, 0],
        'u_max': efforts[:, 1],
        'x_min': np.concatenate([lower, -speeds]),
        'x_max': np.concatenate([upper, speeds]),
    }


def _boxes(model: RobotModel, duration: float) -> dict[str, Any]:
    """Boxes in the middle of the range of each joint, as far as it travels within a plan.

    With passive joints, which cannot be held anywhere, the goal is that middle alone.
    """
    speeds = np.array([joint.pace for joint in model.joints])
    low, high = np.array([joint.span for joint in model.joints]).T
    half = np.minimum(MIDDLE * (high - low) / 2, WAY * speeds * duration)
    goals = half if len(model.driven) == len(model.joints) else 0.0 * half
    centre, rest = np.concatenate([(low + high) / 2, 0.0 * speeds]), 0.0 * speeds
    first, last = np.concatenate([half, START_SPEED * speeds]), np.concatenate([goals, rest])
    return {
        'x0_box': np.array([centre - first, centre + first]),
        'goal_box': np.array([centre - last, centre + last]),
        'goal_tolerance': TOLERANCE * np.concatenate([2.0 * half, speeds]),
    }
