"""Compiled kernels: one compilation for all plants, and never a stale one."""

import ast
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numba import njit
from numba._dispatcher import compute_fingerprint
from numba.core.errors import TypingError
from numba.extending import register_jitable

from trc_core.compile import kernels
from trc_core.compile.binding import plant_of, readable_plant_of
from trc_core.compile.kernels import closure, compiled
from trc_core.compile.plant import hold
from trc_core.numerics.batch import roll_out
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.rollout import Trajectory, plain, rollout
from trc_core.planner.kernels import add
from trc_core.systems import SYSTEMS, get_system
from trc_core.whole_files import alone

ROLLOUT = {
    'problem/graph.py',
    'compile/plant.py',
    'compile/products.py',
    'compile/rows.py',
    'numerics/cost.py',
    'numerics/rollout.py',
}
KERNEL_MODULES = [
    *('compile.plant', 'numerics.rollout', 'numerics.ilqr', 'numerics.batch_kernels'),
    *('solvers.kernels', 'solvers.library_kernels', 'solvers.detour_kernels'),
    'planner.kernels',
]


def files(module):
    return {path.relative_to(kernels.PACKAGE).as_posix() for path in closure(module)}


def test_the_sources_of_a_kernel_are_those_that_it_imports():
    assert files('trc_core.numerics.rollout') == ROLLOUT


@pytest.mark.parametrize('module', KERNEL_MODULES)
def test_no_kernel_depends_on_what_no_kernel_imports(module):
    found = files(f'trc_core.{module}')
    assert f'{module.replace(".", "/")}.py' in found
    assert not found & {'problem/system.py', 'planner/controller.py'}
    data = {'problem/graph.py'}  # the table of operations
    foreign = ('problem/', 'systems/', 'flight/')
    assert not any(name.startswith(foreign) for name in found - data)


@pytest.mark.parametrize('name', SYSTEMS)
def test_numba_tells_a_plant_from_others_without_python(name):
    # It raises where a value is of a type of our own; every call of a kernel then takes 0.1 ms.
    assert compute_fingerprint(plant_of(get_system(name)))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a kernel, a file that it imports, and one that it does not."""
    folder = tmp_path / 'plants'
    folder.mkdir()
    (folder / 'kernel.py').write_text('from plants.inner import a\nfrom plants import other\n')
    (folder / 'inner.py').write_text('import plants.deeper\n\na = 1\n')
    (folder / 'deeper.py').write_text('def f():\n    from plants.stranger import b\n')
    for_types = (
        'from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import plants.stranger\n'
    )
    (folder / 'other.py').write_text(for_types)
    (folder / 'stranger.py').write_text('b = 2\n')
    monkeypatch.setattr(kernels, 'PACKAGE', folder)
    monkeypatch.setattr(kernels, 'STARTED', float('inf'))
    kernels._imported.cache_clear()
    yield folder
    kernels._imported.cache_clear()


def digest():
    return kernels._digest('binding', *kernels._sources('plants.kernel'))


def test_the_digest_of_a_kernel_is_that_of_its_sources_alone(package):
    names = {path.name for path in closure('plants.kernel')}
    assert names == {'kernel.py', 'inner.py', 'deeper.py', 'other.py'}
    before = digest()
    (package / 'stranger.py').write_text('b = 3\n')
    (package / 'new.py').write_text('c = 3\n')
    assert digest() == before
    for name in names:
        old = digest()
        (package / name).write_text((package / name).read_text() + '# another word\n')
        assert digest() != old


def test_sources_that_change_while_a_process_runs_are_kept_apart(package, monkeypatch):
    before = digest()
    monkeypatch.setattr(kernels, 'STARTED', 0.0)  # every file is younger than the process
    assert digest() != before


def flown(system, n=3):
    (x0,), (goal,) = system.sample(np.random.default_rng(n), 1)
    v = 0.1 * np.random.default_rng(n).normal(size=(system.horizon, system.n_u))
    law = plain(np.zeros((system.horizon, system.n_u, system.n_x)))
    r = constant_reference(goal, system.horizon)
    x, u, J = roll_out(system, law, v, x0, r)
    readable = Trajectory(np.empty_like(x), np.empty_like(u))
    J_readable = rollout(readable_plant_of(system), law, v, x0, r, readable)
    np.testing.assert_allclose(x, readable.x, atol=1e-9)
    assert pytest.approx(J_readable, rel=1e-10) == J


def test_plants_of_every_size_run_through_one_compilation():
    for system in SYSTEMS.values():
        flown(system)
    assert len(compiled(rollout).signatures) == 1
    flown(SYSTEMS['pendulum'].with_parameters(gravity=1.62))
    assert len(compiled(rollout).signatures) == 1


def test_a_kernel_is_compiled_under_its_own_name_and_once():
    dispatcher = compiled(rollout)
    assert compiled(rollout) is dispatcher
    binding = Path(dispatcher.py_func.__code__.co_filename)
    assert binding.stem.startswith('trc_compiled_rollout_')
    names = [node.name for node in ast.parse(binding.read_text()).body if hasattr(node, 'name')]
    assert names == ['rollout']
    assert kernels.is_compiled(dispatcher)


def test_threads_that_ask_at_the_same_time_get_the_same_function():
    before = compiled(rollout)
    compile_signature = before.compile
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: compiled.__wrapped__(rollout), range(4)))
    # Bound a second time it would wait for itself, as every compilation locks its file.
    assert all(each is before for each in found)
    assert before.compile is compile_signature


def test_no_loop_has_a_version_for_every_place_of_its_arrays_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path))
    for name in [name for name in sys.modules if name.startswith('trc_compiled_add_')]:
        monkeypatch.delitem(sys.modules, name)
    kernel, a = compiled.__wrapped__(add), np.ones((2, 3))
    kernel(a, 0.5, a, np.empty((2, 3)))
    # In vectors and one by one, it would not round alike; the distance of the arrays would decide.
    code = '\n'.join(kernel.inspect_llvm().values())
    assert 'x double>' not in code and 'define' in code
    own = njit(fastmath=True)(add)
    own(a, 0.5, a, np.empty((2, 3)))  # what is compiled by others is as it was
    assert 'x double>' in '\n'.join(own.inspect_llvm().values())


class Pair(NamedTuple):
    """Two arrays, as kernels hand on to each other."""

    here: np.ndarray
    there: np.ndarray


@register_jitable(inline='always')
def count(numbers):
    """What Numba inlines; it then removes what it takes for dead."""
    return numbers.shape[0]


@register_jitable
def total(pair):
    """The sum of the first array."""
    return pair.here.sum()


@register_jitable
def store(numbers, found):
    """Stores into the array of a tuple, and into one that is unpacked with three others."""
    pair = Pair(numbers.copy(), numbers)
    for i in range(count(numbers)):
        pair.here[i] = 2.0
    for k in range(2):
        first, last, scale, sums = numbers[0], numbers[-1], 1.0 + k, found[k]
        if first == last:
            sums[0] = scale * total(pair)


def test_numba_removes_no_store_into_an_array_of_several_names(tmp_path, monkeypatch):
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path))
    kernel, found = compiled.__wrapped__(store), np.zeros((2, 1))
    kernel(np.zeros(3), found)
    np.testing.assert_array_equal(found, [[6.0], [12.0]])


def test_others_wait_for_a_file_but_not_for_ever(tmp_path):
    path, done = tmp_path / 'binding.py', []
    path.touch()

    def another():
        with alone(path, 30.0):
            done.append('another')

    thread = threading.Thread(target=another)
    with alone(path, 1.0):
        thread.start()
        time.sleep(0.2)
        done.append('one')
        with alone(path, 0.1), alone(tmp_path / 'missing.py', 1.0):
            done.append('one that lost its patience')
    thread.join()
    assert done == ['one', 'one that lost its patience', 'another']


def test_rows_that_are_not_contiguous_are_refused_before_anything_runs():
    system = SYSTEMS['quadrotor_2d']
    plant, kernel = plant_of(system), compiled(hold)
    x, u, x_next = np.zeros(6), np.zeros(2), np.full(12, 7.0)
    signatures = len(kernel.signatures)
    for wrong in (
        (np.zeros(12)[::2], u, x_next[:6]),
        (x, np.zeros(4)[::2], x_next[:6]),
        (x, u, x_next[::2]),
        (x.astype(np.float32), u, x_next[:6]),
        (x.astype(int), u, x_next[:6]),
    ):
        a, b, out = wrong
        with pytest.raises(TypingError):
            kernel(plant.dynamics, a, b, system.dt, out)
    assert len(kernel.signatures) == signatures
    np.testing.assert_array_equal(x_next, 7.0)
    kernel(plant.dynamics, x, u, system.dt, x_next[:6])
    np.testing.assert_allclose(x_next[:6], system.step(x, u), atol=1e-14)


def test_trajectories_that_are_not_contiguous_are_refused():
    system = SYSTEMS['cartpole']
    T = system.horizon
    law, v = plain(np.zeros((T, 1, 4))), np.zeros((T, 1))
    r, u = np.zeros((T + 1, 4)), np.empty((T, 1))
    for x in (np.empty((4, T + 1)).T, np.empty((T + 1, 8))[:, ::2], np.empty((2 * T + 2, 4))[::2]):
        with pytest.raises(TypingError):
            compiled(rollout)(plant_of(system), law, v, np.zeros(4), r, Trajectory(x, u))
