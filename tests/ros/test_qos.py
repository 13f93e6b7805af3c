"""`qos_overrides` change a topic, or are refused in one line."""

import pytest

pytest.importorskip('rclpy')

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from trc_ros.qos import CHOICES, PUBLISHER, SUBSCRIPTION, qos_of, require_used

RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
SYSTEM = ('-p', 'system:=double_integrator')


@pytest.fixture
def node(context, namespace):
    """Makes a node with overrides of its topics, given as `goal.subscription.depth`."""
    nodes = []

    def node(**overrides):
        args = ['--ros-args']
        for name, value in overrides.items():
            topic, entity = name.split('__', 1)
            args += [
                '-p',
                f'qos_overrides.{namespace}/{topic}.{entity.replace("__", ".")}:={value}',
            ]
        nodes.append(
            rclpy.create_node('controller', namespace=namespace, context=context, cli_args=args)
        )
        return nodes[-1]

    yield node
    for made in nodes:
        made.destroy_node()


def test_what_is_not_overridden_stays_and_no_other_topic_changes(node):
    here = node(goal__subscription__depth=5, goal__subscription__durability='transient_local')
    goal = qos_of(here, SUBSCRIPTION, 'goal', RELIABLE)
    assert (goal.depth, goal.durability) == (5, DurabilityPolicy.TRANSIENT_LOCAL)
    assert goal.reliability is ReliabilityPolicy.RELIABLE
    assert qos_of(here, PUBLISHER, 'goal', RELIABLE).depth == 1
    assert RELIABLE.depth == 1
    assert qos_of(here, SUBSCRIPTION, 'goal', RELIABLE).depth == 5  # also when it opens again


@pytest.mark.parametrize(
    ('policy', 'value', 'line'),
    [
        ('reliability', 'sometimes', r"is 'sometimes'; choose from \['reliable', 'best_effort'\]"),
        ('depth', 0, 'is 0; choose a whole number from 1 to 10000'),
        ('depth', 'deep', "is 'deep'; choose a whole number"),
        ('history', 'keep_all', r"is 'keep_all'; choose from \['keep_last'\]"),
        ('deadline', 5, r"cannot be set; choose from \['depth', 'durability', 'history', "),
    ],
)
def test_a_wrong_policy_or_value_is_one_line(node, policy, value, line):
    here = node(**{f'goal__subscription__{policy}': value})
    with pytest.raises(ValueError, match=line):
        qos_of(here, SUBSCRIPTION, 'goal', RELIABLE)


def test_a_topic_that_a_node_does_not_have_is_refused_if_it_was_meant_for_it(node, namespace):
    here = node(gaol__subscription__depth=5)
    qos_of(here, SUBSCRIPTION, 'goal', RELIABLE)
    given = f'qos_overrides.{namespace}/gaol.subscription.depth'
    require_used(here, ())
    with pytest.raises(ValueError, match=r"here; did you mean '.*/goal.subscr"):
        require_used(here, (given,))


def test_the_depth_of_a_polled_topic_stays(node):
    here = node(state__subscription__depth=5)
    with pytest.raises(ValueError, match=r"cannot be set; choose from \['durability', "):
        qos_of(here, SUBSCRIPTION, 'state', RELIABLE, CHOICES)


def test_the_topics_of_a_controller_obey_their_overrides(controller, start, probe, namespace):
    prefix = f'qos_overrides.{namespace}'
    controller(
        *('-p', f'{prefix}/goal.subscription.depth:=7'),
        *('-p', f'{prefix}/state.subscription.reliability:=reliable'),
        *('-p', f'{prefix}/command.publisher.reliability:=best_effort'),
        *('-p', f'{prefix}/controller/horizon.publisher.durability:=transient_local'),
    )
    [state] = probe.node.get_subscriptions_info_by_topic(f'{namespace}/state')
    assert state.qos_profile.reliability is ReliabilityPolicy.RELIABLE
    [command] = probe.node.get_publishers_info_by_topic(f'{namespace}/command')
    assert command.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT
    [horizon] = probe.node.get_publishers_info_by_topic(f'{namespace}/controller/horizon')
    assert horizon.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
    wrong = start('controller', *SYSTEM, '-p', f'{prefix}/goal.subscription.depth:=7')
    assert wrong.exit_code() == 1
    assert f"{prefix}/goal.subscription.depth' has no effect here; did you mean" in wrong.log()
