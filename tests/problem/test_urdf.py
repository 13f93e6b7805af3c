"""URDF files: what is read of them, and what is refused, in a line that names the joint."""

import math

import numpy as np
import pytest
from robots import BRANCHED, SIX_JOINTS, TWO_LINKS, joint, link, robot

from trc_core.problem.system import System
from trc_core.problem.urdf import robot_from_urdf

pin = pytest.importorskip('pinocchio')
HEAVY = (0.01, 0.01, 0.01, 0.0, 0.0, 0.0)


def arm(*joints, links=('base', 'upper', 'lower', 'tool')):
    """A robot of some links that weigh 1 kg."""
    bodies = [link(name, 1.0, '0.1 0 0', HEAVY) for name in links]
    return robot('arm', *bodies, *joints)


SHOULDER = joint('shoulder', 'base', 'upper')
ELBOW = joint('elbow', 'upper', 'lower', origin='xyz="0.3 0 0"', axis='0 1 0')
FIXED = joint('flange', 'lower', 'tool', kind='fixed', origin='xyz="0.2 0 0" rpy="0 0.5 0"')


def test_links_that_cannot_move_are_one_body():
    model = robot_from_urdf(arm(SHOULDER, ELBOW, FIXED))
    theirs = pin.buildModelFromXML(arm(SHOULDER, ELBOW, FIXED))
    tree = model.tree
    assert [j.name for j in model.joints] == ['shoulder', 'elbow']
    for i in range(2):
        inertia = theirs.inertias[i + 1]
        assert tree.masses[i] == pytest.approx(inertia.mass)
        np.testing.assert_allclose(tree.centres[i], inertia.lever, atol=1e-15)
        np.testing.assert_allclose(tree.inertias[i], inertia.inertia, atol=1e-15)


def test_a_locked_joint_is_welded_at_its_position():
    text = arm(SHOULDER, ELBOW, FIXED)
    model = robot_from_urdf(text, locked={'elbow': 0.7})
    whole = pin.buildModelFromXML(text)
    held = pin.buildReducedModel(whole, [whole.getJointId('elbow')], np.array([0.0, 0.7]))
    assert model.tree.masses[0] == pytest.approx(held.inertias[1].mass)
    np.testing.assert_allclose(model.tree.centres[0], held.inertias[1].lever, atol=1e-15)
    np.testing.assert_allclose(model.tree.inertias[0], held.inertias[1].inertia, atol=1e-15)


def test_joints_that_are_not_named_stay_at_zero():
    text = arm(SHOULDER, ELBOW, FIXED)
    few, locked = (
        robot_from_urdf(text, joints=['shoulder']),
        robot_from_urdf(text, locked={'elbow': 0.0}),
    )
    assert [j.name for j in few.joints] == ['shoulder']
    np.testing.assert_array_equal(few.tree.inertias, locked.tree.inertias)


@pytest.mark.parametrize('tip', [None, 'lower', 'base', 'tool'])
def test_the_tip_is_the_frame_of_its_link(tip):
    text = arm(SHOULDER, ELBOW, FIXED)
    model, theirs = robot_from_urdf(text, tip=tip), pin.buildModelFromXML(text)
    q, data = np.array([0.4, -0.8]), theirs.createData()
    pin.framesForwardKinematics(theirs, data, q)
    place = data.oMf[theirs.getFrameId(tip or 'tool')]
    np.testing.assert_allclose(model.tip_position(list(q)).astype(float), place.translation)
    rotation = model.tip_rotation(q).astype(float)
    np.testing.assert_allclose(rotation, place.rotation, atol=1e-15)


def test_the_tip_of_a_tree_is_the_last_leaf_behind_the_most_joints_unless_it_is_named():
    assert robot_from_urdf(BRANCHED).tip.body == 2
    assert robot_from_urdf(BRANCHED, joints=['waist', 'pole']).tip.body == 1
    assert robot_from_urdf(BRANCHED, tip='left_hand').tip.body == 2


def test_frames_on_the_base_that_come_last_are_not_the_tip():
    links = [link('mount'), joint('mounted', 'base', 'mount', kind='fixed')]
    text = arm(SHOULDER, ELBOW, FIXED).replace('</robot>', ''.join([*links, '</robot>']))
    named, default = robot_from_urdf(text, tip='tool'), robot_from_urdf(text)
    assert default.tip.body == 1
    assert default.tip.offset == named.tip.offset


def test_a_joint_that_is_too_fast_for_a_dt_is_told_of_its_rotor():
    light = link('upper', 0.01, '0 0 0', (1e-6, 1e-6, 1e-6, 0.0, 0.0, 0.0))
    rubs = '<dynamics damping="0" friction="1"/>'
    text = robot('r', link('base'), light, joint('j', 'base', 'upper', more=rubs))
    with pytest.raises(ValueError, match=r"of 'j_velocity'.*armature=, or less friction="):
        _ = System.from_urdf(text, dt=0.02, horizon=10).substeps
    assert System.from_urdf(text, dt=0.02, horizon=10, armature=0.1).substeps <= 8


def test_what_is_welded_to_the_base_may_weigh_anything():
    wrong = link('antenna', 1e-6, '0 0 0', (2e-8, 3e-8, 4e-8, 6e-8, 1e-8, 1e-8))
    text = arm(SHOULDER, ELBOW, FIXED).replace(
        '</robot>', wrong + joint('mounted', 'base', 'antenna', kind='fixed') + '</robot>'
    )
    tree, plain = robot_from_urdf(text).tree, robot_from_urdf(arm(SHOULDER, ELBOW, FIXED)).tree
    np.testing.assert_array_equal(tree.inertias, plain.inertias)


def test_a_gripper_that_is_refused_is_welded_as_the_message_says():
    more = '<mimic joint="finger"/>'
    fingers = [
        *(link(name, 0.1, '0 0 0.1', HEAVY) for name in ('left', 'right')),
        joint('finger', 'tool', 'left', kind='prismatic'),
        joint('other', 'tool', 'right', kind='prismatic', more=more),
    ]
    text = arm(SHOULDER, ELBOW, FIXED).replace('</robot>', ''.join([*fingers, '</robot>']))
    with pytest.raises(ValueError, match="joint 'other' mimics 'finger'") as refused:
        robot_from_urdf(text)
    assert "locked={'finger': 0.0, 'other': 0.0}" in str(refused.value)
    assert "task.locked '[finger=0, other=0]'" in str(refused.value)
    assert len(robot_from_urdf(text, locked={'finger': 0.0, 'other': 0.0}).joints) == 2


def test_limits_damping_and_friction_are_those_of_the_file():
    more = '<dynamics damping="0.4" friction="0.2"/>'
    limit = 'lower="-1" upper="2" effort="30" velocity="1.5"'
    (only,) = robot_from_urdf(
        arm(joint('j', 'base', 'upper', limit=limit, more=more), links=('base', 'upper'))
    ).joints
    assert (only.lower, only.upper, only.effort, only.velocity) == (-1.0, 2.0, 30.0, 1.5)
    assert (only.damping, only.friction, only.kind) == (0.4, 0.2, 'revolute')


def test_limits_can_be_given():
    limits = {'elbow': {'lower': -0.5, 'velocity': 0.2}}
    _, elbow = robot_from_urdf(arm(SHOULDER, ELBOW, FIXED), limits=limits).joints
    assert (elbow.lower, elbow.upper, elbow.velocity, elbow.effort) == (-0.5, 3.0, 0.2, 50.0)


def test_a_continuous_joint_needs_no_positions():
    text = arm(
        joint('wheel', 'base', 'upper', kind='continuous', limit='effort="5" velocity="9"'),
        links=('base', 'upper'),
    )
    (wheel,) = robot_from_urdf(text).joints
    assert (wheel.lower, wheel.upper) == (-math.inf, math.inf)


def test_what_xacro_writes_is_read():
    text = SIX_JOINTS.replace(
        '<robot name="six_joints">',
        '<!-- | This document was autogenerated by xacro | -->\n'
        '<robot name="six_joints" xmlns:xacro="http://www.ros.org/wiki/xacro">',
    )
    assert len(robot_from_urdf(text).joints) == 6


def test_words_of_xacro_outside_links_and_joints_do_not_matter():
    plugin = (
        '<gazebo><plugin name="p"><parameters>$(find arm)/a.yaml</parameters></plugin></gazebo>'
    )
    text = TWO_LINKS.replace('</robot>', f'{plugin}</robot>')
    assert len(robot_from_urdf(text).joints) == 2


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / 'two_links.urdf'
    path.write_text('\ufeff' + TWO_LINKS, encoding='utf-8')
    assert len(robot_from_urdf(path).joints) == 2


def test_a_file_is_named_in_messages(tmp_path):
    path = tmp_path / 'bad.urdf'
    path.write_text(arm(SHOULDER, links=('base',)))
    with pytest.raises(ValueError, match=r"bad\.urdf.*'shoulder'.*'upper'"):
        robot_from_urdf(path)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        robot_from_urdf(tmp_path / 'nowhere.urdf')


def limited(limit):
    return arm(joint('j', 'base', 'upper', limit=limit), links=('base', 'upper'))


def typed(kind, more=''):
    return arm(joint('j', 'base', 'upper', kind=kind, more=more), links=('base', 'upper'))


LOOP = joint('closing', 'base', 'lower')
MASSLESS = robot('r', link('base'), link('upper'), joint('j', 'base', 'upper'))
REFUSED = {
    'floating': (typed('floating'), "joint 'j' is floating.*locked"),
    'planar': (typed('planar'), "joint 'j' is planar"),
    'screw': (typed('screw'), "joint 'j' has the type 'screw'.*revolute"),
    'mimic': (typed('revolute', '<mimic joint="k"/>'), "joint 'j' mimics 'k'.*locked"),
    'two parents': (arm(SHOULDER, ELBOW, LOOP, FIXED), "joint 'closing' closes a loop.*'elbow'"),
    'circle': (
        arm(SHOULDER, joint('a', 'lower', 'tool'), joint('b', 'tool', 'lower')),
        "joint 'a' is part of a loop",
    ),
    'two bases': (arm(SHOULDER, ELBOW), "'tool'.*hang on no joint"),
    'no inertia': (MASSLESS, "joint 'j' moves the link 'upper', which has no mass"),
    'negative mass': (
        arm(SHOULDER, links=('base', 'upper')).replace('value="1.0"', 'value="-1"'),
        "mass of link 'base' is -1",
    ),
    'negative inertia': (
        arm(SHOULDER, links=('base', 'upper')).replace('ixx="0.01"', 'ixx="-0.01"'),
        "inertia of link 'upper'.*is negative",
    ),
    'no limit': (limited(''), "joint 'j' has no position limits.*limits="),
    'no position': (limited('effort="1" velocity="1"'), "joint 'j' has no position limits"),
    'no effort': (limited('lower="0" upper="1" velocity="1"'), "joint 'j' has no effort.*limits="),
    'no speed': (limited('lower="0" upper="1" effort="1"'), "joint 'j' has no velocity"),
    'effort 0': (limited('lower="0" upper="1" effort="0" velocity="1"'), "'j' has no effort"),
    'inverted': (limited('lower="2" upper="1" effort="1" velocity="1"'), "joint 'j' are 2 and 1"),
    'words': (limited('lower="a" upper="1" effort="1" velocity="1"'), "joint 'j' is 'a'"),
    'no axis': (
        arm(joint('j', 'base', 'upper', axis='0 0 0'), links=('base', 'upper')),
        "axis of joint 'j' is 0 0 0",
    ),
    'origin': (
        arm(joint('j', 'base', 'upper', origin='xyz="0 0"'), links=('base', 'upper')),
        "xyz of joint 'j' is '0 0'; write 3 numbers",
    ),
    'unknown link': (arm(SHOULDER, links=('base',)), "joint 'shoulder' names the link 'upper'"),
    'link twice': (arm(SHOULDER, links=('base', 'upper', 'upper')), "link 'upper' is there twice"),
    'joint twice': (
        arm(SHOULDER, joint('shoulder', 'upper', 'lower'), links=('base', 'upper', 'lower')),
        "joint 'shoulder' is there twice",
    ),
    'nothing moves': (arm(links=('base',)), 'no joint moves'),
    'no link': (robot('r'), 'has no link'),
    'no name': (robot('r', '<link/>'), "a link has no 'name'"),
    'no parent': (
        robot('r', link('base'), '<joint name="j" type="fixed"><child link="base"/></joint>'),
        "joint 'j' has no <parent>",
    ),
    'damaged': (TWO_LINKS[:200], 'is no XML'),
    'another root': ('<sdf/>', 'begins with <sdf>'),
    'xacro': ('<robot><xacro:include filename="a"/></robot>', 'xacro FILE.xacro > FILE.urdf'),
    'xacro declared': (
        '<robot xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:arm/></robot>',
        'is xacro that is not expanded',
    ),
    'xacro text': ('<robot name="r"><link name="${p}base"/></robot>', 'is xacro'),
    'entity': (
        '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><robot name="r">&a;</robot>',
        'DOCTYPE',
    ),
}


@pytest.mark.parametrize(('text', 'message'), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as refusal:
        robot_from_urdf(text)
    assert '\n' not in str(refusal.value)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ({'tip': 'gripper'}, r"tip names 'gripper'.*\['base', 'upper', 'lower', 'tool'\]"),
        ({'joints': ['wrist']}, r"joints names 'wrist'.*\['shoulder', 'elbow'\]"),
        ({'locked': {'wrist': 0.0}}, "locked names 'wrist'.*'elbow'"),
        ({'limits': {'wrist': {}}}, "limits names 'wrist'.*'elbow'"),
        ({'limits': {'elbow': {'torque': 1.0}}}, "'elbow' names 'torque'.*'effort'"),
        ({'joints': ['elbow'], 'locked': {'elbow': 0.0}}, "'elbow' is in joints and in locked"),
        ({'locked': {'elbow': math.nan}}, "locked.*'elbow' is nan"),
        ({'gravity': (0.0, -9.81)}, r'gravity has shape \(2,\)'),
    ],
)
def test_words_that_make_no_sense_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        System.from_urdf(arm(SHOULDER, ELBOW, FIXED), dt=0.02, horizon=10, **words)


def test_a_floating_base_can_be_welded():
    model = robot_from_urdf(
        arm(
            joint('free', 'base', 'upper', kind='floating', limit=''),
            joint('elbow', 'upper', 'lower'),
            links=('base', 'upper', 'lower'),
        ),
        locked={'free': 0.0},
    )
    assert [j.name for j in model.joints] == ['elbow']
