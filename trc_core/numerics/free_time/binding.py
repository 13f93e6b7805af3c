"""Plants of a free duration for kernels: a system's numbers bound to its compiled graphs."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.machine_code import MachineCode, is_kept, machine_code
from trc_core.numerics.free_time.timed import OTHER, SIZE, TURN, Timed
from trc_core.problem.free_time import GRAPHS, free_time_graphs, groups_of, width_of
from trc_core.problem.graph import needed_instructions
from trc_core.problem.system import Array, System
from trc_core.problem.terms import OUTPUT

Places = NDArray[np.int64]
VERSION = 2  # of the graphs; part of the hash of their machine code
PROBES = 256


def code_of(system: System) -> MachineCode:
    """The machine code of a system's steps and their slopes.

    Raises:
        ValueError: if the second slopes are too long.
    """
    return machine_code(_digest(system), lambda: free_time_graphs(system))


def code_is_kept(system: System) -> bool:
    """Whether that machine code is there."""
    return is_kept(_digest(system))


def _digest(system: System) -> str:
    """A hash of all that the graphs depend on."""
    cost = system.terminal_cost
    assert system.x_min is not None and system.x_max is not None
    numbers = [
        *(weight.tolist() for weight in (system.Q, system.R, system.Q_f)),
        None if cost is None else cost.tolist(),
        *(system.time_weight, system.dt, int(system.substeps), list(system.angles)),
        [list(limits.tolist()) for limits in (system.x_min, system.x_max)],
        groups_of(system),
    ]
    timed = None if system.timed is None else system.timed.digest
    contents = json.dumps(['free time', VERSION, list(GRAPHS), system.digest, timed, numbers])
    return hashlib.sha256(contents.encode()).hexdigest()


@lru_cache(maxsize=64)
def timed_plant(system: System) -> Timed:
    """The plant for compiled kernels, with its own parameters and the middle of the goal box.

    Raises:
        ValueError: if the second slopes of the dynamics are too long.
    """
    addresses = code_of(system).addresses
    functions = np.array([addresses[name] for name in GRAPHS], dtype=np.int64)
    assert system.final_time is not None
    kinds, groups, low, high = _coordinates(system)
    units = np.where(kinds == TURN, 1.0, high - low)
    tail = [*units, *system.p, *np.zeros(system.n_x + system.n_u)]
    before = 2 + 2 * system.n_x + 2 * system.n_u + len(system.task.constraints)
    plant = Timed(
        functions,
        np.array([*np.zeros(before), *tail]),
        kinds,
        groups,
        np.stack([low, high, units]),
        np.where(system.reach > 0.0, system.reach, 1.0),
        _constraint_units(system),
        _holds(system),
        np.array([system.state_names.index(name) for name in system.terminal], dtype=np.int64),
        np.zeros(system.n_x),
        np.array(system.final_time) / system.horizon,
        _cost_unit(system),
        len(system.laws),
        width_of(system),
    )
    return for_problem(system, plant, system.goal_centre, system.p)


def for_problem(system: System, plant: Timed, goal: Array, p: Array) -> Timed:
    """The plant with another goal (n_x,) and parameters (n_p,)."""
    numbers = plant.numbers.copy()
    trim = system.trims(goal, p)
    tail = np.concatenate([p, goal, trim])
    numbers[len(numbers) - len(tail) :] = tail
    return plant._replace(numbers=numbers, goal=np.array(goal, dtype=np.float64))


def _coordinates(system: System) -> tuple[Places, Places, Array, Array]:
    """The kinds of local coordinates, the groups, and the bounds of all."""
    n_u = system.n_u
    kinds = np.full(n_u, OTHER, dtype=np.int64)
    groups = np.zeros((len(system.norms), 1 + n_u), dtype=np.int64)
    low, high = system.u_min.copy(), system.u_max.copy()
    for row, places, norm in zip(groups, groups_of(system), system.norms, strict=True):
        row[0], row[1 : 1 + len(places)] = len(places), places
        kinds[places] = TURN
        kinds[places[0]] = SIZE
        low[places[0]], high[places[0]] = norm.low, norm.high
    return kinds, groups, low, high


def _holds(system: System) -> NDArray[np.bool_]:
    """Where each constraint counts (T + 1, n_h).

    Those that depend on the control hold for t < T, the others for t > 0, at T where the states at
    the goal do not decide them.
    """
    constraints, fixed = system.task.constraints, set(system.terminal)
    graph, steps = constraints.graph, np.arange(system.horizon + 1)
    decided = {k for k, name in enumerate(system.state_names) if name in fixed}
    columns = []
    for place, uses_control in zip(graph.outputs[OUTPUT], constraints.uses_control, strict=True):
        read = [graph.instructions[k] for k in needed_instructions(graph.instructions, [place])]
        states = {k for name, k, *_ in read if name == 'input' and k < system.n_x}
        last = system.horizon - (uses_control or states <= decided)
        columns.append((steps <= last) & ((steps > 0) | uses_control))
    return np.array(columns, dtype=np.bool_).reshape(-1, len(steps)).T.copy()


def _constraint_units(system: System) -> Array:
    """Typical sizes (n_h,) of the constraints over the box of initial states."""
    if not system.task.constraints:
        return np.zeros(0)
    rng = np.random.default_rng(0)
    x, goal = system.sample(rng, PROBES)
    u = np.tile(system.u_trim, (PROBES, 1))
    with np.errstate(all='ignore'):
        found = system.task.constraints.evaluate(x, u, goal, list(system.p), 0.0)
    sizes = [np.median(np.abs(np.broadcast_to(h, PROBES))) for h in found]
    return np.array([size if np.isfinite(size) and size > 0.0 else 1.0 for size in sizes])


def _cost_unit(system: System) -> float:
    """A typical cost of a plan: of a middle duration, and of errors as large as the boxes."""
    assert system.final_time is not None
    low, high = system.final_time
    seconds = float(np.sqrt(low * high))
    reach, steps = system.reach, seconds / system.dt
    effort = 0.5 * (system.u_max - system.u_min)
    cost = system.time_weight * seconds + float(reach @ system.Q_f @ reach)
    cost += 0.1 * steps * float(reach @ system.Q @ reach + effort @ system.R @ effort)
    if system.terminal_cost is not None:
        cost += float(np.abs(system.terminal_cost) @ np.maximum(system.x0_box, system.goal_box))
    return cost if cost > 0.0 else 1.0
