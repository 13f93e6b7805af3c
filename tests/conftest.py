"""How the suite is shared out between processes (`make test`)."""

from pathlib import Path

import pytest

pytest_plugins = ['tests.optional_packages']
TESTS = Path(__file__).parent
ROS = TESTS / 'ros'
ROS_ENDS = 0.8  # share of the other files that have begun when the last one over ROS begins
SHORT = (TESTS / 'problem',)  # files of a few seconds each: they fill up the end


def pytest_addoption(parser):
    parser.addoption('--long', action='store_true', help='also run tests that are marked long')


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config, items):
    """A file stays in one process, and the processes take turns at ROS.

    Tests over ROS mostly wait, all others compute: while one process has a file of the former, the
    others should have the latter. So files over ROS are spread among the rest, and end before it.
    """
    if not config.getoption('--long'):
        long = [item for item in items if item.get_closest_marker('long')]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker('long')]
    files = list(dict.fromkeys(item.path for item in items))
    ros = [path for path in files if ROS in path.parents]
    rest = [path for path in files if ROS not in path.parents]
    rest.sort(key=lambda path: path.parent in SHORT)
    begins = {path: k for k, path in enumerate(rest)}
    begins |= {path: ROS_ENDS * k * len(rest) / len(ros) - 0.5 for k, path in enumerate(ros)}
    items.sort(key=lambda item: begins[item.path])
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.path.relative_to(TESTS).as_posix()))
