"""How the suite is shared out between processes (`make test`)."""

from pathlib import Path

import pytest

pytest_plugins = ['tests.optional_packages']
ROS = Path(__file__).parent / 'ros'
ROS_GROUPS = 8


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """A file stays in one process, and the processes take turns at ROS.

    Tests over ROS mostly wait, all others compute: while one process has a group of the former,
    the other should have the latter. So groups of ROS tests stand before equal shares of the rest.
    """
    files = list(dict.fromkeys(item.path for item in items))
    ros = [path for path in files if ROS in path.parents]
    rest = [path for path in files if ROS not in path.parents]
    order = {}
    for k in range(ROS_GROUPS):
        for path in ros[k::ROS_GROUPS]:
            order[path] = (len(order), f'ros-{k}')
        share = slice(k * len(rest) // ROS_GROUPS, (k + 1) * len(rest) // ROS_GROUPS)
        for path in rest[share]:
            order[path] = (len(order), path.stem)
    items.sort(key=lambda item: order[item.path][0])
    for item in items:
        item.add_marker(pytest.mark.xdist_group(order[item.path][1]))
