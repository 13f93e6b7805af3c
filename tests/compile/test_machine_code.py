"""Machine code of plants: kept, mended, and equal to what NumPy makes of the same equations."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

import trc_core
from trc_core.compile import binding, machine_code
from trc_core.compile.binding import plant_of, readable_plant_of
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import advance, hold, linearise, step_jacobian
from trc_core.problem.graph import Graph
from trc_core.systems import SYSTEMS, System
from trc_core.systems.double_integrator import multi_axis

PLANTS = [*SYSTEMS.values(), multi_axis(2)]
every_plant = pytest.mark.parametrize('system', PLANTS, ids=lambda s: s.name)
SQUARE = Graph({'x': 1}, [('input', 0), ('mul', 0, 0)], {'y': [1]})


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A cache folder and a process in which nothing has been compiled."""
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path))
    monkeypatch.setattr(machine_code, 'LOADED', {})
    plant_of.cache_clear()
    yield tmp_path
    plant_of.cache_clear()


@pytest.fixture
def made(monkeypatch):
    """What is compiled, by the names of the object files."""
    names, make = [], machine_code._made

    def counted(path, functions):
        names.append(path.name)
        return make(path, functions)

    monkeypatch.setattr(machine_code, '_made', counted)
    return names


def forgotten(monkeypatch):
    """The state of a process that begins."""
    monkeypatch.setattr(machine_code, 'LOADED', {})
    plant_of.cache_clear()


def points(system, n=5):
    rng = np.random.default_rng(4)
    x, _ = system.sample(rng, n)
    return x, rng.uniform(system.u_min, system.u_max, (n, system.n_u))


def held(plant, x, u, seconds=None, kernel=hold):
    x_next = np.empty_like(x)
    kernel(plant.dynamics, x, u, plant.dynamics.dt if seconds is None else seconds, x_next)
    return x_next


def slopes(plant, x, u, kernel=step_jacobian):
    A, B = np.empty((len(x), len(x))), np.empty((len(x), len(u)))
    kernel(plant.dynamics, x, u, A, B)
    return A, B


ANOTHER_PROCESS = """
from trc_core.compile import machine_code
from trc_core.compile.binding import is_compiled, plant_of
from trc_core.systems import SYSTEMS
def refuse(*_):
    raise SystemExit('compiled again')
machine_code._made = machine_code._object_file = refuse
for system in SYSTEMS.values():
    assert is_compiled(system), system.name
    assert plant_of(system).dynamics.step
"""


def test_a_second_process_finds_the_object_files_of_the_first(fresh, made):
    for system in SYSTEMS.values():
        plant_of(system)
    kept = sorted(fresh.iterdir())
    assert sorted(made) == [path.name for path in kept]
    assert len(made) == len({system.graph.digest for system in SYSTEMS.values()})
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept}
    environment = {**os.environ, 'PYTHONPATH': str(Path(trc_core.__file__).parents[1])}
    command = [sys.executable, '-c', ANOTHER_PROCESS]
    second = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in fresh.iterdir()}
    assert after == before


def test_systems_of_the_same_equations_share_one_compilation(fresh, made):
    system = SYSTEMS['pendulum']
    twins = system, replace(system, Q=[1.0, 1.0]), system.with_parameters(damping=0.2)
    steps = {plant_of(twin).dynamics.step for twin in twins}
    assert len(made) == len(steps) == 1


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES = {
    'empty': lambda content: b'',
    'cut within its head': lambda content: content[:30],
    'cut in the middle': lambda content: content[: len(content) // 2],
    'without its last byte': lambda content: content[:-1],
    'longer': lambda content: content + b'\0',
    'a bit of its head': lambda content: flipped(content, 3),
    'a bit of its hash': lambda content: flipped(content, 30),
    'a bit of its sizes': lambda content: flipped(content, len(machine_code.MAGIC) + 33),
    'a bit in the middle': lambda content: flipped(content, len(content) // 2),
    'its last bit': lambda content: flipped(content, len(content) - 1),
    'something else': lambda content: b'#!/bin/sh\n' * 100,
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_object_file_is_made_again(damage, fresh, made, monkeypatch):
    system = SYSTEMS['pendulum']
    plant_of(system)
    (path,) = fresh.iterdir()
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    forgotten(monkeypatch)
    plant = plant_of(system)
    assert len(made) == 2 and path.read_bytes() == whole
    x, u = (a[0] for a in points(system))
    np.testing.assert_allclose(held(plant, x, u, kernel=compiled(hold)), system.step(x, u))
    forgotten(monkeypatch)
    plant_of(system)
    assert len(made) == 2  # whole again


def test_a_file_that_lacks_a_function_is_made_again(fresh, monkeypatch):
    kept = machine_code._packed(('f', 'g'), machine_code._object_file({'f': SQUARE}))
    with pytest.raises((ValueError, RuntimeError)):
        machine_code.MachineCode(kept)


def test_a_read_only_cache_does_not_stop_anybody(fresh, monkeypatch):
    monkeypatch.setenv('TRC_CACHE_DIR', str(fresh / 'a file' / 'folder'))
    (fresh / 'a file').write_text('no folder can be made in here')
    assert plant_of(SYSTEMS['pendulum']).dynamics.step


def test_an_unknown_function_of_the_c_library_is_refused(fresh, monkeypatch):
    monkeypatch.setitem(machine_code.LIBRARY, 'sin', 'sinus_of_nobody')
    with pytest.raises(ValueError, match="C library has no function 'sinus_of_nobody'"):
        plant_of(SYSTEMS['pendulum'])
    assert not list(fresh.iterdir())


def test_every_function_of_the_c_library_is_there(fresh):
    machine_code._object_file({'f': SQUARE})  # LLVM reads the symbols of the process
    assert all(llvm.address_of_symbol(name) for name in machine_code.LIBRARY.values())


@every_plant
def test_machine_code_and_readable_dynamics_take_the_same_step(system):
    compiled_plant, readable = plant_of(system), readable_plant_of(system)
    for x, u in zip(*points(system), strict=True):
        for seconds in (None, 0.3 * system.dt):
            expected = system.step(x, u, seconds)
            ours = held(compiled_plant, x, u, seconds, compiled(hold))
            np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(held(readable, x, u, seconds), expected, 1e-12, 1e-12)
        expected = system.step_jacobian(x, u)
        for plant, kernel in (
            (compiled_plant, compiled(step_jacobian)),
            (readable, step_jacobian),
        ):
            for ours, theirs in zip(slopes(plant, x, u, kernel), expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def generic_plant(system, monkeypatch):
    """The plant as if its equations were too long to be unrolled."""
    monkeypatch.setattr(binding, 'UNROLLED', 0)
    monkeypatch.setattr(machine_code, 'LOADED', {})
    plant = plant_of.__wrapped__(system)
    assert not plant.dynamics.unrolled
    return plant


@every_plant
@pytest.mark.parametrize('substeps', [1, 3])
def test_long_equations_are_integrated_in_a_loop(system, substeps, fresh, monkeypatch):
    system = replace(system, substeps=substeps)
    unrolled = plant_of(system)
    assert unrolled.dynamics.unrolled
    monkeypatch.setenv('TRC_CACHE_DIR', str(fresh / 'generic'))
    kept = machine_code.LOADED  # holds the code of the unrolled plant
    generic = generic_plant(system, monkeypatch)
    for x, u in zip(*points(system), strict=True):
        ours, theirs = (held(plant, x, u, kernel=compiled(hold)) for plant in (generic, unrolled))
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
        kernel = compiled(step_jacobian)
        for M, N in zip(
            slopes(generic, x, u, kernel), slopes(unrolled, x, u, kernel), strict=True
        ):
            np.testing.assert_allclose(M, N, rtol=1e-12, atol=1e-12)
    assert len(kept) == 1


@every_plant
@pytest.mark.parametrize('generic', [False, True])
def test_three_substeps_are_three_short_steps(system, generic, fresh, monkeypatch):
    thirds = replace(system, substeps=3)
    plant = generic_plant(thirds, monkeypatch) if generic else plant_of(thirds)
    short = replace(system, dt=system.dt / 3)
    for x, u in zip(*points(system), strict=True):
        expected, A, B = x, np.eye(system.n_x), np.zeros((system.n_x, system.n_u))
        for _ in range(3):
            A_k, B_k = short.step_jacobian(expected, u)
            A, B = A_k @ A, A_k @ B + B_k
            expected = short.step(expected, u)
        np.testing.assert_allclose(
            held(plant, x, u, kernel=compiled(hold)), expected, 1e-12, 1e-12
        )
        for M, N in zip(slopes(plant, x, u, compiled(step_jacobian)), (A, B), strict=True):
            np.testing.assert_allclose(M, N, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('substeps', [1, 3])
@pytest.mark.parametrize('generic', [False, True])
@pytest.mark.parametrize('name', ['cartpole', 'quadrotor_2d'])
def test_the_next_state_may_be_written_over_the_state(name, generic, substeps, fresh, monkeypatch):
    system = replace(SYSTEMS[name], substeps=substeps)
    plant = generic_plant(system, monkeypatch) if generic else plant_of(system)
    for x, u in zip(*points(system), strict=True):
        expected, p = held(plant, x, u, kernel=compiled(hold)), plant.dynamics.p.copy()
        compiled(hold)(plant.dynamics, x, u, system.dt, x)
        np.testing.assert_array_equal(x, expected)
        np.testing.assert_array_equal(plant.dynamics.p, p)


@pytest.mark.parametrize('generic', [False, True])
def test_steps_along_a_trajectory_are_those_of_its_rows(generic, fresh, monkeypatch):
    system = SYSTEMS['quadrotor_2d']
    plant = generic_plant(system, monkeypatch) if generic else plant_of(system)
    x, u = points(system, 4)
    expected = [held(plant, a, b, kernel=compiled(hold)) for a, b in zip(x, u, strict=True)]
    A, B = np.empty((6, 6)), np.empty((6, 2))
    for t in range(3):
        along, before = x.copy(), x.copy()
        compiled(advance)(plant.dynamics, along, u, t)
        np.testing.assert_allclose(along[t + 1], expected[t], rtol=1e-13, atol=1e-13)
        before[t + 1] = along[t + 1]
        np.testing.assert_array_equal(along, before)  # nothing else is written
        compiled(linearise)(plant.dynamics, x, u, t, A, B)
        for M, N in zip((A, B), slopes(plant, x[t], u[t], compiled(step_jacobian)), strict=True):
            np.testing.assert_allclose(M, N, rtol=1e-13, atol=1e-13)


def chain(masses):
    """Masses between nonlinear springs, with a force on the first: as long as one likes."""

    def dynamics(x, u, stiffness):
        q = [0.0, *x[:masses], 0.0]
        pulls = [np.sin(b - a) * stiffness + (b - a) ** 3 for a, b in pairwise(q)]
        forces = [right - left for left, right in pairwise(pulls)]
        return [*x[masses:], forces[0] + u[0], *forces[1:]]

    n = 2 * masses
    return System(
        name=f'chain_{masses}',
        dynamics=dynamics,
        state_names=tuple(f's{k}' for k in range(n)),
        state_units=('1',) * n,
        control_names=('force',),
        control_units=('N',),
        joints=(),
        dt=0.05,
        horizon=10,
        u_min=[-1.0],
        u_max=[1.0],
        Q=[1.0] * n,
        R=[1.0],
        x0_box=[1.0] * n,
        goal_box=[0.0] * n,
        parameters={'stiffness': 2.0},
    )


def test_a_plant_of_many_instructions_is_not_unrolled_and_moves_right(fresh):
    small, large = chain(2), chain(20)
    assert plant_of(small).dynamics.unrolled and not plant_of(large).dynamics.unrolled
    for system in (small, large):
        plant, ((x,), (u,)) = plant_of(system), points(system, 1)
        expected = system.step(x, u)
        np.testing.assert_allclose(
            held(plant, x, u, kernel=compiled(hold)), expected, 1e-12, 1e-12
        )
        A, B = slopes(plant, x, u, compiled(step_jacobian))
        for k, e in enumerate(np.eye(system.n_x)):
            slope = (system.step(x + 1e-6 * e, u) - system.step(x - 1e-6 * e, u)) / 2e-6
            np.testing.assert_allclose(A[:, k], slope, atol=1e-8)
        slope = (system.step(x, u + 1e-6) - system.step(x, u - 1e-6)) / 2e-6
        np.testing.assert_allclose(B[:, 0], slope, atol=1e-8)
