"""Transport of messages: UDP, as Fast DDS's shared memory may hold up whoever sends.

A process that sends to a new one for the first time opens its shared memory, and checks that it
is listened to. Where the other one happens to be at work on a message, the check sleeps for
333 ms, with the lock that everything sent by this process needs: commands, too, and rclpy holds
Python's own lock meanwhile (Fast DDS, SharedMemGlobal.hpp, `healthy_check`).
"""

from __future__ import annotations

import os
from pathlib import Path

TRANSPORTS = 'FASTDDS_BUILTIN_TRANSPORTS'
RANGE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
UDP = 'UDPv4'
PROFILE = Path(__file__).with_name('udp.xml')
FAST_DDS = ('', 'rmw_fastrtps_cpp', 'rmw_fastrtps_dynamic_cpp')  # '': the default of ROS 2


def avoid_shared_memory() -> None:
    """Lets this process and its children use UDP, unless the environment says otherwise.

    It does by `FASTDDS_BUILTIN_TRANSPORTS` with another value, or by a file of profiles. Call it
    before a node is made.
    """
    environment = os.environ
    if any(environment.get(name) for name in PROFILES):
        return
    if environment.setdefault(TRANSPORTS, UDP) != UDP:
        return
    # Where only this computer is looked at, ROS 2 adds shared memory whatever the variable says.
    by_ros = environment.get(RANGE) == 'LOCALHOST' and not environment.get('ROS_LOCALHOST_ONLY')
    if by_ros and environment.get('RMW_IMPLEMENTATION', '') in FAST_DDS:
        environment[RANGE] = 'SYSTEM_DEFAULT'
        environment[PROFILES[0]] = str(PROFILE)
