"""Only one node at a time moves a plant, and a second one does not go unnoticed."""

import time

import pytest

pytest.importorskip('rclpy')

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from probe import arguments
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Float64MultiArray

from trc_ros.controller.command_claim import CommandClaim
from trc_ros.exclusive_publisher import OtherPublishers


@pytest.fixture
def make_node(context):
    """Makes nodes of this process."""
    nodes = []

    def make_node(name, *ros_args, **options):
        cli = ['--ros-args', *ros_args] if ros_args else []
        nodes.append(rclpy.create_node(name, context=context, cli_args=cli, **options))
        return nodes[-1]

    yield make_node
    for node in nodes:
        node.destroy_node()


def test_another_node_is_told_from_this_one_though_it_has_the_same_name(make_node, namespace):
    here, there = (make_node('controller', namespace=namespace) for _ in range(2))
    others = OtherPublishers(here, 'command')
    here.create_publisher(Float64MultiArray, 'command', 1)
    assert others.names(own=1) == []
    there.create_publisher(Float64MultiArray, 'command', 1)
    assert others.names(own=1) == [f'{namespace}/controller']
    assert 'of the same name' in others.listed(others.names(own=1))


def test_a_remapped_topic_is_looked_at_where_it_really_is(make_node, namespace):
    base = f'{namespace}/base/cmd'
    here = make_node('controller', '-r', f'command:={base}', namespace=namespace)
    make_node('teleop').create_publisher(Float64MultiArray, base, 1)
    make_node('other').create_publisher(Float64MultiArray, f'{namespace}/command', 1)
    assert OtherPublishers(here, 'command').names() == ['/teleop']


def test_of_two_that_claim_at_the_same_time_one_steps_back(make_node, namespace):
    here, there = (make_node(name, namespace=namespace) for name in ('here', 'there'))
    here.declare_parameter('exclusive_command', True)
    claim, opened, rival = CommandClaim(here), [], []

    def open_publisher():
        opened.append(here.create_publisher(Float64MultiArray, 'command', 1))
        if not rival:
            rival.append(there.create_publisher(Float64MultiArray, 'command', 1))

    with pytest.raises(ValueError, match=f"published by node '{namespace}/there'; stop it"):
        claim.take(open_publisher, lambda: here.destroy_publisher(opened.pop()))
    assert opened == []
    there.destroy_publisher(rival[0])
    claim.take(open_publisher, opened.clear)
    assert len(opened) == 1


def test_a_node_that_was_found_late_was_first_and_one_that_was_known_was_not(
    make_node, namespace, context
):
    here, known = (make_node(name, namespace=namespace) for name in ('here', 'known'))
    here.declare_parameter('exclusive_command', True)
    claim, given_way = CommandClaim(here), []
    claim.take(lambda: here.create_publisher(Float64MultiArray, 'command', 1), lambda: None)
    claim.watch(given_way.append)
    known.create_publisher(Float64MultiArray, 'command', 1)
    spin_until(here, context, lambda: f'{namespace}/known' in claim.rivals())
    make_node('late', namespace=namespace).create_publisher(Float64MultiArray, 'command', 1)
    spin_until(here, context, lambda: given_way)
    spin_until(here, context, lambda: False, 0.5)
    [line] = given_way  # once
    # The other one was seen as well, for as long as it takes to step back, and not given way to.
    assert f"already published by node '{namespace}/late'; stop it" in line


@pytest.mark.long
def test_a_controller_gives_way_to_one_that_was_found_late_until_it_is_gone(
    controller, make_node, probe, namespace
):
    young = controller()
    make = make_node('elder', namespace=namespace).create_publisher
    elder = make(Float64MultiArray, 'command', 1)
    probe.fly_until((2.0, 0.0), lambda: 'giving way' in young.log(), 'it to give way')
    assert f"'{namespace}/elder'; stop it" in young.log()
    probe.fly((2.0, 0.0), 0.3)  # what was under way has arrived
    sent = len(probe.log.command)
    probe.fly((2.0, 0.0), 0.5)
    assert len(probe.log.command) == sent
    assert 0.0 not in probe.commands()  # not even a final command
    probe.fly_until((2.0, 0.0), lambda: 'waiting for 25 s' in young.log(), 'patience')
    elder.destroy()
    probe.fly_until((2.0, 0.0), lambda: len(probe.log.command) > sent + 3, 'its turn')


def test_one_controller_flies_and_a_second_one_says_whose_turn_it_is(
    controller, start, probe, namespace
):
    first = controller()
    probe.fly((2.0, 0.0), 0.3)
    # One that is activated from outside is refused; one that starts by itself waits.
    told, waiting = (
        start(
            'controller', *arguments('double_integrator', namespace), '-r', f'__node:={n}', *more
        )
        for n, *more in (('told', '-p', 'autostart:=false'), ('waiting',))
    )
    assert change_state(probe, f'{namespace}/told', Transition.TRANSITION_CONFIGURE)
    probe.fly((2.0, 0.0), 1.5)  # DDS may need another heartbeat until it knows the first one
    assert not change_state(probe, f'{namespace}/told', Transition.TRANSITION_ACTIVATE)
    refusal = f"activate failed: '{namespace}/command' is already published by node "
    assert refusal in told.log(), (told.log(), waiting.log())
    # The one that waits has a publisher for a moment, too.
    assert any(f"'{namespace}/{name}'" in told.log() for name in ('controller', 'waiting'))
    probe.fly_until((2.0, 0.0), lambda: '; waiting for 25 s' in waiting.log(), 'patience')
    # It flew for a moment where discovery was late, and has stepped back since.
    probe.fly_until((2.0, 0.0), lambda: others_of(probe, namespace) == (0, 'none'), 'peace')
    # Somebody who asks nobody is an error with a name, and what flies goes on.
    teleop = probe.node.create_publisher(Float64MultiArray, 'command', 1)
    conflict = f"also published by '{namespace}/probe'"
    probe.fly_until((2.0, 0.0), lambda: conflict in others_of(probe, namespace)[1], 'the error')
    assert others_of(probe, namespace)[0] == 2
    probe.fly_until((2.0, 0.0), lambda: conflict in first.log(), 'its line')
    sent = len(probe.log.command)
    probe.fly_until((2.0, 0.0), lambda: len(probe.log.command) > sent + 3, 'its commands')
    probe.node.destroy_publisher(teleop)
    probe.fly_until((2.0, 0.0), lambda: others_of(probe, namespace) == (0, 'none'), 'peace again')
    # When the first one has landed, the one that waits takes over.
    flown = waiting.log().count('active: plan accepted')  # where discovery was late
    assert first.interrupt() == 0
    probe.fly_until(
        (2.0, 0.0), lambda: waiting.log().count('active: plan accepted') > flown, 'its turn'
    )
    probe.fly_until(
        (2.0, 0.0), lambda: others_of(probe, namespace, 'waiting')[1] == 'none', 'no other one'
    )


def spin_until(node, context, condition, seconds=20.0):
    """Spins until the condition holds, but no longer."""
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)
    executor.remove_node(node)


def change_state(probe, node, transition):
    client = probe.node.create_client(ChangeState, f'{node}/change_state')
    return probe.call(client, ChangeState.Request(transition=Transition(id=transition))).success


def others_of(probe, namespace, node='controller'):
    """The newest level of a controller's `safety`, and who it says publishes beside it."""
    name = f'{namespace[1:]}/{node}: safety'
    statuses = [s for r in probe.log.diagnostics for s in r.message.status if s.name == name]
    if not statuses:
        return None, ''
    values = {value.key: value.value for value in statuses[-1].values}
    return ord(statuses[-1].level), values.get('other_publishers', '')  # none while it waits
