"""The mechanics of trees of joints, against Pinocchio and MuJoCo, which nobody here wrote."""

import mujoco
import numpy as np
import pytest
from robots import ROBOTS, SEVEN_JOINTS, SIX_JOINTS

from trc_core.problem import rigid_body
from trc_core.problem.expression import Tape
from trc_core.problem.rigid_body import Point
from trc_core.problem.urdf import robot_from_urdf

pin = pytest.importorskip('pinocchio')
MODELS = {name: robot_from_urdf(text) for name, text in ROBOTS.items()}
DRAWS = 3


class Pinocchio:
    """A robot as Pinocchio reads it, with its joints in our order."""

    def __init__(self, name, payload=0.0):
        self.model = pin.buildModelFromXML(ROBOTS[name])
        ours = MODELS[name]
        self.joints = [self.model.joints[self.model.getJointId(j.name)] for j in ours.joints]
        self.places = [joint.idx_v for joint in self.joints]
        if payload:
            frame = self.model.frames[self.model.getFrameId(f'link_{len(self.joints)}')]
            mass = pin.Inertia(payload, np.array([0.1, 0.2, 0.3]), np.zeros((3, 3)))
            self.model.appendBodyToJoint(frame.parentJoint, mass, frame.placement)
        self.data = self.model.createData()

    def positions(self, q):
        """Pinocchio's coordinates: cosine and sine of a joint that turns without end."""
        found = np.zeros(self.model.nq)
        for joint, value in zip(self.joints, q, strict=True):
            entry = [np.cos(value), np.sin(value)] if joint.nq == 2 else [value]
            found[joint.idx_q : joint.idx_q + joint.nq] = entry
        return found

    def ordered(self, values):
        found = np.zeros(self.model.nv)
        found[self.places] = values
        return found

    def slopes(self, q, v, forces):
        """The accelerations and their slopes by q, v and forces."""
        vectors = self.positions(q), self.ordered(v), self.ordered(forces)
        pin.computeABADerivatives(self.model, self.data, *vectors)
        upper = np.triu(self.data.Minv)
        inverse = upper + np.triu(upper, 1).T
        own = np.ix_(self.places, self.places)
        matrices = (self.data.ddq_dq, self.data.ddq_dv, inverse)
        return self.data.ddq[self.places], *(matrix[own] for matrix in matrices)


def drawn(name, seed):
    """Positions, speeds and forces."""
    return np.random.default_rng(seed).normal(size=(3, len(MODELS[name].joints)))


def error(ours, theirs):
    """The largest difference, relative to the largest entry."""
    ours, theirs = np.array(ours, dtype=float), np.array(theirs)
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


@pytest.mark.parametrize('name', ROBOTS)
def test_accelerations_are_those_of_pinocchio(name):
    theirs = Pinocchio(name)
    for seed in range(DRAWS):
        state = drawn(name, seed)
        ours = rigid_body.accelerations(MODELS[name].tree, *state)
        assert error(ours, theirs.slopes(*state)[0]) < 1e-12


@pytest.mark.parametrize('name', ROBOTS)
def test_slopes_are_those_of_pinocchio(name):
    theirs = Pinocchio(name)
    for seed in range(DRAWS):
        state = drawn(name, seed)
        for ours, exact in zip(
            rigid_body.slopes(MODELS[name].tree, *state), theirs.slopes(*state), strict=True
        ):
            assert error(ours, exact) < 1e-12


@pytest.mark.parametrize('name', ROBOTS)
def test_accelerations_are_those_of_mujoco(name):
    text = ROBOTS[name].replace(
        '<link name="base"',
        '<mujoco><compiler fusestatic="false"/></mujoco><link name="base"',
        1,
    )
    model = mujoco.MjModel.from_xml_string(text)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT  # joints leave their limits
    data = mujoco.MjData(model)
    joints = [model.joint(joint.name) for joint in MODELS[name].joints]
    for seed in range(DRAWS):
        state = drawn(name, seed)
        for joint, q, v, force in zip(joints, *state, strict=True):
            data.qpos[joint.qposadr], data.qvel[joint.dofadr] = q, v
            data.qfrc_applied[joint.dofadr] = force
        mujoco.mj_forward(model, data)
        theirs = [data.qacc[joint.dofadr[0]] for joint in joints]
        assert error(rigid_body.accelerations(MODELS[name].tree, *state), theirs) < 1e-10


@pytest.mark.parametrize('name', ROBOTS)
def test_inverse_dynamics_asks_for_the_forces_that_were_applied(name):
    q, v, forces = drawn(name, 0)
    tree = MODELS[name].tree
    accelerations = rigid_body.accelerations(tree, q, v, forces)
    assert error(rigid_body.inverse_dynamics(tree, q, v, accelerations), forces) < 1e-10


@pytest.mark.parametrize('name', ['six_joints', 'sliding'])
def test_a_point_mass_is_one_of_pinocchios(name):
    theirs = Pinocchio(name, payload=1.5)
    state, tree = drawn(name, 0), MODELS[name].tree
    points = [Point(len(tree) - 1, (0.1, 0.2, 0.3), 1.5)]
    exact = theirs.slopes(*state)
    assert error(rigid_body.accelerations(tree, *state, points=points), exact[0]) < 1e-12
    for ours, slope in zip(rigid_body.slopes(tree, *state, points=points), exact, strict=True):
        assert error(ours, slope) < 1e-12


def test_rotors_are_those_of_pinocchio():
    theirs, tree = Pinocchio('seven_joints'), MODELS['seven_joints'].tree
    armatures = np.linspace(0.01, 0.4, len(tree))
    theirs.model.armature = armatures
    state = drawn('seven_joints', 1)
    exact = theirs.slopes(*state)
    assert error(rigid_body.accelerations(tree, *state, armatures=armatures), exact[0]) < 1e-12
    for ours, slope in zip(
        rigid_body.slopes(tree, *state, armatures=armatures), exact, strict=True
    ):
        assert error(ours, slope) < 1e-12


@pytest.mark.parametrize('name', ROBOTS)
def test_bodies_are_where_pinocchio_places_them(name):
    theirs, model = Pinocchio(name), MODELS[name]
    q = drawn(name, 2)[0]
    pin.framesForwardKinematics(theirs.model, theirs.data, theirs.positions(q))
    for i, joint in enumerate(model.joints):
        place = theirs.data.oMi[theirs.model.getJointId(joint.name)]
        at = rigid_body.position(model.tree, q, Point(i, (0.1, -0.2, 0.3)))
        np.testing.assert_allclose(
            at.astype(float), place.act(np.array([0.1, -0.2, 0.3])), atol=1e-13
        )
        # a joint that turns about x, y or z has the same axes there as here
        rotation = rigid_body.orientation(model.tree, q, i).astype(float)
        if np.count_nonzero(model.tree.axes[i]) == 1 and model.tree.axes[i].min() >= 0.0:
            np.testing.assert_allclose(rotation, place.rotation, atol=1e-13)


@pytest.mark.parametrize(
    ('text', 'of_accelerations', 'of_slopes'),
    [(SIX_JOINTS, 900, 5300), (SEVEN_JOINTS, 2000, 7800)],
)
def test_the_formulas_of_an_arm_are_short(text, of_accelerations, of_slopes):
    tree = robot_from_urdf(text).tree
    for formula, limit in ((short, of_accelerations), (long, of_slopes)):
        tape = Tape()
        x = tape.inputs(3 * len(tree))
        graph = tape.graph({'x': len(x)}, {'y': formula(tree, *np.split(np.array(x), 3))})
        counted = [name for name, *_ in graph.instructions if name not in ('input', 'constant')]
        assert len(counted) <= limit


def short(tree, q, v, forces):
    return rigid_body.accelerations(tree, q, v, forces)


def long(tree, q, v, forces):
    parts = rigid_body.slopes(tree, q, v, forces)
    return [entry for part in parts for entry in np.ravel(np.array(part, dtype=object))]
