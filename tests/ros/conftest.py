"""A ROS domain for this run, and fixtures that start nodes in it."""

from __future__ import annotations

import itertools
import os
import sys

import pytest

from trc_ros.transport import avoid_shared_memory

# Before rclpy is imported: a domain of its own, on this machine only, without shared memory,
# which may hold up nodes as others come and go.
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
avoid_shared_memory()

NAMESPACES = (f'/test_{i}' for i in itertools.count())


@pytest.fixture
def start(tmp_path):
    """Starts nodes; ends those that still run after the test."""
    from probe import launch

    running = []

    def start(node, *ros_args, **environment):
        log = tmp_path / f'{node}_{len(running)}.log'
        running.append(launch(node, log, *ros_args, **environment))
        return running[-1]

    yield start
    for node in running:
        node.kill()


@pytest.fixture
def namespace():
    """A namespace that no other test uses."""
    return next(NAMESPACES)


@pytest.fixture(scope='session')
def context():
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def make_probe(context):
    """Makes probes, one per namespace."""
    from probe import Probe

    probes = []

    def make_probe(namespace, joint='slider', **kinds):
        probes.append(Probe(context, namespace, joint, **kinds))
        return probes[-1]

    yield make_probe
    for probe in probes:
        probe.close()


@pytest.fixture
def probe(make_probe, namespace):
    return make_probe(namespace)


@pytest.fixture
def controller(start, namespace, probe):
    """Starts a controller of the double integrator and waits until it listens."""
    from probe import arguments

    def controller(*ros_args):
        node = start('controller', *arguments('double_integrator', namespace), *ros_args)
        probe.meet(node, 'state')
        return node

    return controller


@pytest.fixture
def plant(start, namespace, probe):
    """Starts a plant, a double integrator by default, and waits until it listens."""
    from probe import arguments

    def plant(*ros_args):
        probe.listen_to_state()
        node = start('plant', *arguments('double_integrator', namespace), *ros_args)
        probe.meet(node, 'command')
        return node

    return plant
