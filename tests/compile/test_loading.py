"""A process that finds its kernels in the cache loads no compiler, and hands back its pages."""

import json
import subprocess
import sys

import numpy as np
import pytest

from trc_core import Controller
from trc_core.compile.kernels import compiled
from trc_core.numerics.box_qp import backsolve

START, GOAL = (1.5, -0.5), (0.5, 0.0)
NEW_PROCESS = f"""
import json, sys
from pathlib import Path
import numpy as np
from numba import njit
from trc_core import Controller
from trc_core.compile.compiler_pages import LIBRARY, hand_back
from trc_core.compile.kernels import compiled
from trc_core.numerics.box_qp import backsolve

def resident():
    ours, found = False, 0
    for line in Path('/proc/self/smaps').read_text().splitlines():
        words = line.split()
        ours = line.endswith(LIBRARY) if '-' in words[0] else ours
        found += int(words[1]) if ours and words[0] == 'Rss:' else 0
    return found / 1000

def heap():
    [line] = [line for line in open('/proc/self/status') if line.startswith('RssAnon:')]
    return int(line.split()[1]) / 1000

def plan():
    return controller.plan({START}, {GOAL}).controls.tolist()

controller = Controller.load('double_integrator')
controller.warm_up()
report = {{'plans': [plan()], 'resident': [resident()]}}
try:
    compiled(backsolve)(np.zeros((2, 2)), np.ones(2))
except Exception as error:
    report['error'] = repr(error)
report['modules'] = list(sys.modules)
[overload] = compiled(backsolve).overloads.values()
report['kept'] = [function.name for function in overload.library._shared_module.functions]
blocks = [np.ones(5000) for _ in range(1000)]  # 40 MB
scattered = blocks[::20]
del blocks
report['heap'] = [heap()]
hand_back()
report['heap'].append(heap())
report['resident'].append(resident())
report['plans'].append(plan())
report['new'] = njit(lambda x: np.linalg.norm(x) + 1.0)(np.array([3.0, 4.0]))
print(json.dumps(report))
"""


@pytest.fixture(scope='module')
def report():
    """What a new process says whose kernels are all in the cache."""
    Controller.load('double_integrator').warm_up()
    compiled(backsolve)(np.eye(2), np.ones(2))
    # Twice: another process that compiles just now may take an entry out of the index.
    for _ in range(2):
        run = subprocess.run([sys.executable, '-c', NEW_PROCESS], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_kernels_of_the_cache_load_without_what_only_compiling_needs(report):
    compiling = {
        *('numba.np.linalg', 'numba.np.npyimpl', 'numba.typed.typeddict', 'numba.cuda'),
        *('scipy.linalg', 'scipy.sparse', 'torch', 'sympy', 'casadi', 'matplotlib'),
    }
    assert not compiling & set(report['modules'])


def test_they_plan_as_those_do_that_were_just_compiled(report):
    own = Controller.load('double_integrator')
    own.warm_up()
    assert report['plans'] == [own.plan(START, GOAL).controls.tolist()] * 2


def test_no_bitcode_is_kept_in_memory_beside_the_machine_code(report):
    assert len(report['kept']) == 1


def test_their_errors_arrive(report):
    assert report['error'] == repr(ZeroDivisionError('division by zero'))


def test_the_pages_of_the_compiler_are_handed_back_and_it_still_compiles(report):
    before, after = report['resident']
    assert after < 10 < 40 < before  # [MB]
    assert report['new'] == 6.0


def test_pages_between_what_the_heap_still_holds_are_handed_back(report):
    before, after = report['heap']
    assert before - after > 30  # [MB]
