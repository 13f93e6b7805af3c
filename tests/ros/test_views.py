"""RViz, PlotJuggler, Foxglove, SROS 2 and ros2_control: what they name exists on real nodes."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from probe import START_TIMEOUT, arguments

from trc_core import SYSTEMS

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / 'security' / 'trc.policy.xml'
KEYS = ('topicName', 'topicToRender')  # of the topic in the settings of a Foxglove panel
CONDITIONAL = {
    # two thrusts on no joints; use_sim_time; where tf2_ros is installed; goals as actions
    'controller': {'~/control_horizon', '/clock', '/tf', '/tf_static'},
    'plant': {'/clock'},  # publish_clock, lockstep
}
"""Topics that only some parameters open."""


def rviz_topics():
    """Topic by class of display."""
    shown = yaml.safe_load((ROOT / 'rviz' / 'trc.rviz').read_text())
    displays = shown['Visualization Manager']['Displays']
    return {d['Class'].rpartition('/')[2]: d['Topic']['Value'] for d in displays if 'Topic' in d}


def plotjuggler():
    """Curves and the topics subscribed to."""
    root = ElementTree.parse(ROOT / 'layouts' / 'plotjuggler.xml').getroot()
    curves = [curve.get('name') for curve in root.iter('curve')]
    return curves, root.find('.//selected_topics').get('value').split(';')


def foxglove():
    """The settings of every panel by its name."""
    return json.loads((ROOT / 'layouts' / 'foxglove.json').read_text())['configById']


def foxglove_topics():
    panels = foxglove()
    paths = [p['value'] for panel in panels.values() for p in panel.get('paths', ())]
    topics = {re.match(r'[\w/]+', path)[0] for path in paths}
    topics |= {panel[k] for panel in panels.values() for k in KEYS if k in panel}
    return topics | set(panels['3D!plan']['topics'])


def rules(node):
    """Names that the policy allows a node to publish, to subscribe to and to answer."""
    profile = ElementTree.parse(POLICY).find(f".//profile[@node='{node}']")
    allowed = {'publish': set(), 'subscribe': set(), 'reply': set(), 'execute': set()}
    for group in profile:
        [kind] = group.keys()
        assert group.get(kind) == 'ALLOW'
        allowed[kind] |= {name.text for name in group}
    return allowed


@pytest.fixture(scope='module')
def graph(tmp_path_factory, context):
    """What a flying controller and its plant have, by node and kind, named as in a policy."""
    from probe import Probe, launch

    folder, namespace = tmp_path_factory.mktemp('views'), '/views'
    names = ('controller', 'plant')
    nodes = {
        name: launch(name, folder / name, *arguments('double_integrator', namespace))
        for name in names
    }
    probe = Probe(context, namespace, 'slider')
    try:
        for node in nodes.values():
            probe.meet(node, 'state', listens=False)
        probe.require(lambda: bool(probe.log.command), 'a command', START_TIMEOUT)
        found = settled(probe, namespace, names)
        found['statuses'] = {
            status.name.removeprefix('views/')
            for received in probe.log.diagnostics
            for status in received.message.status
            if status.name.startswith('views/')
        }
        yield found
    finally:
        probe.close()
        for node in nodes.values():
            node.kill()


def analyzers():
    """The analyzers of the diagnostic aggregator by name."""
    nodes = yaml.safe_load((ROOT / 'params' / 'diagnostics' / 'diagnostic_aggregator.yaml').open())
    values = nodes['analyzers']['ros__parameters']
    return {name: value for name, value in values.items() if isinstance(value, dict)}


def settled(probe, namespace, names):
    """The graph, once nothing new has been announced for a second."""
    before, now = None, {}
    while before != now:
        probe.spin(1.0)
        before, now = now, {name: seen(probe.node, name, namespace) for name in names}
    return now


def seen(node, name, namespace):
    """Topics and services of a node in a namespace, named as seen from inside it."""
    kinds = {
        'publish': node.get_publisher_names_and_types_by_node,
        'subscribe': node.get_subscriber_names_and_types_by_node,
        'reply': node.get_service_names_and_types_by_node,
    }
    return {
        kind: {inside(topic, name, namespace) for topic, _ in query(name, namespace)}
        for kind, query in kinds.items()
    }


def inside(topic, node, namespace):
    """`~/x` for what is the node's own, `x` for what is relative, `/x` for the rest."""
    own, relative = f'{namespace}/{node}/', f'{namespace}/'
    if topic.startswith(own):
        return f'~/{topic.removeprefix(own)}'
    return topic.removeprefix(relative) if topic.startswith(relative) else topic


def absolute(names, node):
    """The same names without a namespace."""
    return {f'/{node}/{name[2:]}' if name[0] == '~' else f'/{name.lstrip("/")}' for name in names}


@pytest.fixture(scope='module')
def statuses(graph):
    """The names of all statuses, without a namespace."""
    return graph['statuses']


@pytest.fixture(scope='module')
def topics(graph):
    """All topics that exist without a namespace."""
    return {
        topic
        for node, kinds in graph.items()
        if node != 'statuses'
        for kind in ('publish', 'subscribe')
        for topic in absolute(kinds[kind], node)
    }


@pytest.mark.parametrize('kind', ['publish', 'subscribe', 'reply'])
@pytest.mark.parametrize('node', ['controller', 'plant'])
def test_the_policy_names_what_a_node_has_and_nothing_else(graph, node, kind):
    conditional = CONDITIONAL[node]
    assert rules(node)[kind] - conditional == graph[node][kind] - conditional


def test_conditional_topics_are_allowed_too():
    assert {'~/control_horizon'} <= rules('controller')['publish']
    assert '/clock' in rules('controller')['subscribe'] & rules('plant')['publish']


@pytest.mark.parametrize('namespace', ['', 'fleet/robot_1/'])
def test_the_aggregator_puts_every_status_into_one_drawer(statuses, namespace):
    """By the rule of its GenericAnalyzer: a regex has to match the whole name."""
    found = analyzers()
    assert {a['type'] for a in found.values()} == {'diagnostic_aggregator/GenericAnalyzer'}
    drawers = {
        status: [
            name
            for name, analyzer in found.items()
            if any(re.fullmatch(regex, f'{namespace}{status}') for regex in analyzer['regex'])
        ]
        for status in statuses
    }
    assert {len(names) for names in drawers.values()} == {1}, drawers
    assert {name for [name] in drawers.values()} == set(found)


def test_rviz_shows_topics_that_exist_by_displays_of_their_type(topics):
    assert rviz_topics() == {
        'Path': '/controller/predicted_path',
        'MarkerArray': '/controller/markers',
    }
    assert set(rviz_topics().values()) <= topics


def test_plotjuggler_subscribes_to_topics_that_exist_and_draws_what_it_subscribes_to(topics):
    curves, subscribed = plotjuggler()
    assert curves and set(subscribed) <= topics
    assert all(curve.startswith(tuple(f'{topic}/' for topic in subscribed)) for curve in curves)
    [joint] = SYSTEMS['double_integrator'].joints
    assert f'/state/{joint.name}/position' in curves


def test_foxglove_shows_topics_that_exist(topics):
    assert len(foxglove_topics()) >= 5
    assert foxglove_topics() <= topics


def test_every_foxglove_panel_has_a_place():
    layout = json.loads((ROOT / 'layouts' / 'foxglove.json').read_text())['layout']
    assert set(leaves(layout)) == set(foxglove())


def leaves(layout):
    if isinstance(layout, str):
        return [layout]
    return [*leaves(layout['first']), *leaves(layout['second'])]


def ros2_control(name):
    return yaml.safe_load((ROOT / 'params' / 'ros2_control' / f'{name}.yaml').read_text())


@pytest.mark.parametrize(
    ('name', 'system', 'list_of_joints'),
    [
        ('forward_command_controller', 'cartpole', 'driven'),
        ('joint_trajectory_controller', 'double_integrator', 'all'),
    ],
)
def test_ros2_control_samples_name_the_joints_of_their_system(name, system, list_of_joints):
    sample, joints = ros2_control(name), SYSTEMS[system].joints
    driven = sorted((j for j in joints if j.effort is not None), key=lambda j: j.effort)
    expected = {'driven': driven, 'all': joints}[list_of_joints]
    assert sample[name]['ros__parameters']['joints'] == [joint.name for joint in expected]
    broadcast = sample['joint_state_broadcaster']['ros__parameters']
    assert broadcast['joints'] == [joint.name for joint in joints]
    assert broadcast['interfaces'] == ['position', 'velocity']
    loaded = sample['controller_manager']['ros__parameters']
    assert {key for key in loaded if key != 'update_rate'} == set(sample) - {'controller_manager'}


def test_the_trajectory_sample_wants_plans_that_end_at_rest_as_ours_do_by_default():
    from trc_ros.parameters.table import specs_of

    sample = ros2_control('joint_trajectory_controller')['joint_trajectory_controller']
    demanded = not sample['ros__parameters']['allow_nonzero_velocity_at_trajectory_end']
    assert demanded == specs_of('controller')['zero_final_velocity'].default
