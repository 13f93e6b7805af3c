"""How the suite is shared out between processes (`pytest -n 2 --dist loadgroup`)."""

from pathlib import Path

import pytest

ROS = Path(__file__).parent / 'ros'


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """A file stays in one process, all ROS tests in one: they would disturb each other."""
    for item in items:
        group = 'ros' if ROS in item.path.parents else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
