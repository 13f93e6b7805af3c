"""Packages that tests may lack: what needs one is skipped with a reason, unless all must be there.

`make test` asks for `--complete`: there every package is installed, and nothing may be skipped for
want of one. Anywhere else, as under `colcon test` on a robot, what can be tested is tested.
"""

import re
from importlib.util import find_spec

import pytest

MODULE = re.compile(r"No module named '([\w.]+)'")
INSTALL = re.compile(r"pip install 'trc\[([\w,]+)\]'")
EXTRAS = {
    'ros': (
        *('rclpy', 'rmw_fastrtps_cpp', 'builtin_interfaces', 'rcl_interfaces', 'rosgraph_msgs'),
        *('diagnostic_msgs', 'geometry_msgs', 'lifecycle_msgs', 'nav_msgs', 'sensor_msgs'),
        *('std_msgs', 'std_srvs', 'trajectory_msgs', 'visualization_msgs'),
    ),
    'demo': ('casadi', 'matplotlib', 'rosbags', 'sympy', 'tqdm'),
    'train': (
        *('cloudpickle', 'control', 'daqp', 'joblib', 'jsonargparse', 'lightning', 'markdown'),
        *('scipy', 'tensorboard', 'torch'),
    ),
    'test': (
        *('build', 'catkin_pkg', 'gymnasium', 'hypothesis', 'mujoco', 'onnx', 'onnxruntime'),
        *('packaging', 'playwright', 'setuptools', 'twine', 'xdist'),
    ),
}
"""Modules that an environment with only the runtime may lack, by what brings them."""


class OptionalModule(pytest.Module):
    """A file of tests, skipped where it imports a package that is not installed."""

    def collect(self):
        try:
            return super().collect()
        except self.CollectError as error:
            if reason := why_skipped(error.__cause__):
                pytest.skip(reason, allow_module_level=True)
            raise


def why_skipped(error):
    """The reason to skip what raised an error, or led to it; empty if it is a mistake."""
    while error is not None:
        modules = MODULE.findall(str(error))  # also in the output of a command
        if isinstance(error, ModuleNotFoundError):
            modules.append(error.name or '')
        for module in modules:
            for extra, known in EXTRAS.items():
                if module.partition('.')[0] in known:
                    return f"needs '{module}': pip install 'trc[{extra}]'"
        lacking = {extra for _, extra in missing()}
        for said in INSTALL.finditer(str(error)):
            if lacking & set(said[1].split(',')):
                return f'it said: {said[0]}'
        error = error.__cause__ or error.__context__
    return ''


def is_installed(module):
    """Whether a module can be imported; it is not."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def missing():
    """(module, extra) of every package that is not installed."""
    return [
        (module, extra)
        for extra, modules in EXTRAS.items()
        for module in modules
        if not is_installed(module)
    ]


def pytest_addoption(parser):
    parser.addoption(
        '--complete',
        action='store_true',
        help='fail if a package is missing that tests would be skipped for',
    )


def pytest_configure(config):
    if config.getoption('complete') and (lacking := missing()):
        names = ', '.join(f'{module} (trc[{extra}])' for module, extra in lacking)
        raise pytest.UsageError(f'--complete, but these are not installed: {names}')


def pytest_pycollect_makemodule(module_path, parent):
    if parent.config.getoption('complete'):
        return None
    return OptionalModule.from_parent(parent, path=module_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    return (yield from run_or_skip(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    return (yield from run_or_skip(item))


def run_or_skip(item):
    """What runs, skipped where it lacks a package."""
    try:
        return (yield)
    except Exception as error:
        reason = why_skipped(error)
        if reason and not item.config.getoption('complete'):
            pytest.skip(reason)
        raise
