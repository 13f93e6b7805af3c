"""What is skipped for want of a package, and that nothing is where all packages must be there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.optional_packages import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_TORCH = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('torch', 'casadi'):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Missing())
"""
TESTS = {
    'test_above': 'import torch\ndef test(): pass',
    'test_inside': 'def test(): import casadi.tools',
    'test_fixture': 'import pytest\n@pytest.fixture\ndef f(): import torch\ndef test(f): pass',
    'test_said': 'def test(): raise ValueError("install it with pip install \'trc[train]\'")',
    'test_led': 'def test():\n try: import torch\n except ImportError: raise ValueError',
    'test_whole': 'def test(): pass',
    'test_typo': 'import nmpy\ndef test(): pass',
    'test_wrong': 'def test(): raise ModuleNotFoundError("ours", name="trc_core.nowhere")',
}


@pytest.fixture
def run(tmp_path):
    """Runs the tests above where PyTorch and CasADi are missing."""
    (tmp_path / 'conftest.py').write_text(WITHOUT_TORCH)
    for name, text in TESTS.items():
        (tmp_path / f'{name}.py').write_text(text)

    def run(*words):
        command = [sys.executable, '-m', 'pytest', '-ra', '-p', 'tests.optional_packages', *words]
        # Without the plugins of a ROS installation, which this folder does not switch off.
        alone = {'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1', 'PYTHONPATH': str(ROOT)}
        environment = {**os.environ, **alone}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return run


def test_tests_without_their_package_are_skipped_with_the_reason_and_mistakes_are_not(run):
    done = run('--continue-on-collection-errors')
    assert '1 failed, 1 passed, 5 skipped, 1 error' in done.stdout, done.stdout
    assert "needs 'torch': pip install 'trc[train]'" in done.stdout
    assert "it said: pip install 'trc[train]'" in done.stdout
    assert "needs 'casadi': pip install 'trc[demo]'" in done.stdout
    assert 'FAILED test_wrong.py::test' in done.stdout and 'ERROR test_typo.py' in done.stdout


def test_where_all_must_be_there_a_missing_one_is_an_error(run):
    done = run('--complete')
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert '--complete, but these are not installed: ' in done.stderr
    assert 'casadi (trc[demo])' in done.stderr


def test_make_test_wants_them_all():
    [line] = [line for line in (ROOT / 'Makefile').read_text().splitlines() if '-m pytest' in line]
    assert ' --complete ' in line
    [extras] = [
        line.partition('=')[2].split()
        for line in (ROOT / 'Makefile').read_text().splitlines()
        if line.startswith('EXTRAS_test')
    ]
    assert set(EXTRAS) <= set(extras)
