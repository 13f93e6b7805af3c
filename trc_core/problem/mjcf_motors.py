"""Motors of a model of MuJoCo: at most one on a joint, with the range of its force."""

from __future__ import annotations

from typing import Any

import numpy as np

PLAIN = 'only plain motors can be modelled: <motor joint=... gear=... ctrlrange=.../>'


def motor_ranges(mujoco: Any, model: Any) -> dict[int, tuple[float, float]]:
    """The lowest and the largest force [N or N m] on every joint that has a motor, by its place.

    It is what gear, gain, control range and force ranges leave.

    Raises:
        ValueError: for an actuator that is no plain motor, a second one on a joint, or one without
            a range; the message names it.
    """
    ranges: dict[int, tuple[float, float]] = {}
    for i in range(model.nu):
        name = model.actuator(i).name or str(i)
        _require_motor(mujoco, model, i, name)
        joint = int(model.actuator_trnid[i, 0])
        if joint in ranges:
            raise ValueError(
                f"actuator '{name}' is the second one on joint '{model.joint(joint).name}'; "
                'leave one on each'
            )
        ranges[joint] = _range(model, i, joint, name)
    return ranges


def _require_motor(mujoco: Any, model: Any, i: int, name: str) -> None:
    on_joint = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT)
    if model.actuator_trntype[i] not in [int(kind) for kind in on_joint]:
        raise ValueError(f"actuator '{name}' acts on no joint; {PLAIN}")
    extras = ('actuator_armature', 'actuator_damping', 'actuator_dampingpoly', 'actuator_delay')
    plain = (
        model.actuator_gaintype[i] == mujoco.mjtGain.mjGAIN_FIXED
        and model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_NONE
        and model.actuator_dyntype[i] == mujoco.mjtDyn.mjDYN_NONE
        and not any(np.any(getattr(model, field, np.zeros(i + 1))[i]) for field in extras)
    )
    if not plain:
        low, high = -1.0, 1.0
        if model.actuator_forcelimited[i]:
            low, high = model.actuator_forcerange[i]
        joint = model.joint(int(model.actuator_trnid[i, 0])).name
        raise ValueError(
            f"actuator '{name}' is a servo or has dynamics, damping or inertia of its own; only "
            'plain motors can be modelled: write in its place '
            f'<motor joint="{joint}" ctrlrange="{low:g} {high:g}"/> with the range of its force'
        )


def _range(model: Any, i: int, joint: int, name: str) -> tuple[float, float]:
    force = np.array([-np.inf, np.inf])
    if model.actuator_ctrllimited[i]:
        force = np.sort(model.actuator_gainprm[i, 0] * model.actuator_ctrlrange[i])
    if model.actuator_forcelimited[i]:
        force = np.clip(force, *model.actuator_forcerange[i])
    force = np.sort(model.actuator_gear[i, 0] * force)
    if model.jnt_actfrclimited[joint]:
        force = np.clip(force, *model.jnt_actfrcrange[joint])
    if not np.isfinite(force).all() or not force[0] < force[1]:
        raise ValueError(
            f'actuator \'{name}\' has no range of force; write ctrlrange="-1 1" with its gear, or '
            'forcerange'
        )
    return float(force[0]), float(force[1])
