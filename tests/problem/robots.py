"""URDFs of robots, as texts: sizes, masses and limits in the manner of real arms."""


def link(name, mass=0.0, centre='0 0 0', inertia=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)):
    """A link; the inertia is ixx, iyy, izz, ixy, ixz, iyz. One without mass is a mere frame."""
    if mass == 0.0:
        return f'<link name="{name}"/>'
    xx, yy, zz, xy, xz, yz = inertia
    moments = f'ixx="{xx}" iyy="{yy}" izz="{zz}" ixy="{xy}" ixz="{xz}" iyz="{yz}"'
    return (
        f'<link name="{name}"><inertial><origin xyz="{centre}"/><mass value="{mass}"/>'
        f'<inertia {moments}/></inertial></link>'
    )


def joint(
    name,
    parent,
    child,
    kind='revolute',
    origin='xyz="0 0 0"',
    axis='0 0 1',
    limit='lower="-3" upper="3" effort="50" velocity="3"',
    more='',
):
    """A joint; no origin or no axis where they are empty."""
    parts = [f'<parent link="{parent}"/><child link="{child}"/>']
    parts += [f'<origin {origin}/>'] * bool(origin) + [f'<axis xyz="{axis}"/>'] * bool(axis)
    parts += [f'<limit {limit}/>'] * bool(limit)
    return f'<joint name="{name}" type="{kind}">{"".join(parts)}{more}</joint>'


def robot(name, *parts):
    """The text of a URDF."""
    return f'<?xml version="1.0"?>\n<robot name="{name}">\n' + '\n'.join(parts) + '\n</robot>\n'


def chain(name, *rows):
    """A URDF of links one after the other, from (joint's words, link's words)."""
    parts = [link('base')]
    for i, (of_joint, of_link) in enumerate(rows):
        parts.append(link(f'link_{i + 1}', **of_link))
        parent = f'link_{i}' if i else 'base'
        parts.append(joint(f'joint_{i + 1}', parent, f'link_{i + 1}', **of_joint))
    return robot(name, *parts)


def body(mass, centre, *inertia):
    return {'mass': mass, 'centre': centre, 'inertia': (*inertia, *[0.0] * (6 - len(inertia)))}


def turn(origin, axis='0 0 1', lower=-3.0, upper=3.0, effort=50.0, velocity=3.0):
    limit = f'lower="{lower}" upper="{upper}" effort="{effort}" velocity="{velocity}"'
    return {'origin': origin, 'axis': axis, 'limit': limit}


TWO_LINKS = chain(
    'two_links',
    (turn('xyz="0 0 0.1"', '0 1 0'), body(2.0, '0.2 0 0', 0.002, 0.03, 0.03)),
    (turn('xyz="0.4 0 0"', '0 1 0'), body(1.0, '0.15 0 0.01', 0.001, 0.01, 0.01)),
)
BIG = {'effort': 150.0, 'velocity': 3.15, 'lower': -6.2, 'upper': 6.2}
SMALL = {'effort': 28.0, 'velocity': 3.2, 'lower': -6.2, 'upper': 6.2}
SIX_JOINTS = chain(
    'six_joints',
    (turn('xyz="0 0 0.0892"', **BIG), body(3.7, '0 0 0', 0.0103, 0.0103, 0.0067)),
    (
        turn('xyz="0 0.1358 0" rpy="0 1.570796325 0"', '0 1 0', **BIG),
        body(8.39, '0 0 0.28', 0.2269, 0.2269, 0.0151),
    ),
    (
        turn('xyz="0 -0.1197 0.425"', '0 1 0', **BIG),
        body(2.33, '0 0 0.25', 0.0312, 0.0312, 0.0041),
    ),
    (
        turn('xyz="0 0 0.3922" rpy="0 1.570796325 0"', '0 1 0', **SMALL),
        body(1.22, '0 0 0', 0.0026, 0.0026, 0.0022),
    ),
    (turn('xyz="0 0.093 0"', **SMALL), body(1.22, '0 0 0', 0.0026, 0.0026, 0.0022)),
    (
        turn('xyz="0 0 0.0947"', '0 1 0', **SMALL),
        body(0.19, '0 0 0', 0.000085, 0.000132, 0.000085),
    ),
)
LARGE = {'effort': 87.0, 'velocity': 2.175}
LITTLE = {'effort': 12.0, 'velocity': 2.61}
SEVEN_JOINTS = chain(
    'seven_joints',
    (
        turn('xyz="0 0 0.333"', lower=-2.9, upper=2.9, **LARGE),
        body(4.97, '0.0039 0.0021 -0.0476', 0.7034, 0.7066, 0.0091, -0.0001, 0.0068, 0.0192),
    ),
    (
        turn('rpy="-1.57079632679 0 0"', lower=-1.76, upper=1.76, **LARGE),
        body(0.65, '-0.0031 -0.0287 0.0035', 0.018, 0.0281, 0.026, -0.0039, 0.0043, 0.0007),
    ),
    (
        turn('xyz="0 -0.316 0" rpy="1.57079632679 0 0"', lower=-2.9, upper=2.9, **LARGE),
        body(3.23, '0.0275 0.0393 -0.0665', 0.0372, 0.0362, 0.0108, -0.0048, -0.0114, -0.0128),
    ),
    (
        turn('xyz="0.0825 0 0" rpy="1.57079632679 0 0"', lower=-3.07, upper=-0.07, **LARGE),
        body(3.59, '-0.0532 0.1044 0.0275', 0.0259, 0.0196, 0.0283, 0.0078, -0.0013, 0.0086),
    ),
    (
        turn('xyz="-0.0825 0.384 0" rpy="-1.57079632679 0 0"', lower=-2.9, upper=2.9, **LITTLE),
        body(1.23, '-0.012 0.041 -0.0384', 0.0355, 0.0295, 0.0086, -0.0021, -0.004, 0.0002),
    ),
    (
        turn('rpy="1.57079632679 0 0"', lower=-0.02, upper=3.75, **LITTLE),
        body(1.67, '0.0601 -0.0141 -0.0105', 0.002, 0.0044, 0.0054, 0.0001, -0.0012, 0.0003),
    ),
    (
        turn('xyz="0.088 0 0" rpy="1.57079632679 0 0"', lower=-2.9, upper=2.9, **LITTLE),
        body(0.74, '0.0105 -0.0043 0.0616', 0.0125, 0.01, 0.0048, -0.0004, -0.0012, -0.0007),
    ),
)
SLIDING = chain(
    'sliding',
    (
        {
            **turn('xyz="0 0 0.2" rpy="0.3 -0.2 0.1"', '1 0 0', -0.5, 1.5, 100.0, 1.0),
            'kind': 'prismatic',
        },
        body(4.0, '0.05 0 0.1', 0.02, 0.03, 0.025),
    ),
    (turn('xyz="0 0.1 0.3"', '0 0.6 0.8'), body(2.0, '0.1 0 0.2', 0.02, 0.021, 0.004, 0.001)),
    (
        {**turn('xyz="0.3 0 0" rpy="0 0.4 0"', '0 0 1', 0.0, 0.4, 60.0, 0.5), 'kind': 'prismatic'},
        body(1.0, '0 0 0.1', 0.005, 0.005, 0.001),
    ),
    (turn('xyz="0 0 0.2"', '0 1 0'), body(0.5, '0.05 0.01 0', 0.0005, 0.001, 0.001)),
)
BRANCHED = robot(
    'branched',
    link('base'),
    link('torso', 10.0, '0 0 0.3', (0.3, 0.3, 0.1, 0.0, 0.01, 0.0)),
    link('left_arm', 2.0, '0.2 0 0', (0.002, 0.02, 0.02, 0.0, 0.0, 0.0)),
    link('left_hand', 0.5, '0.05 0 0', (0.001, 0.002, 0.002, 0.0, 0.0, 0.0)),
    link('right_arm', 2.1, '0.2 0.01 0', (0.002, 0.02, 0.02, 0.001, 0.0, 0.0)),
    link('head', 1.5, '0 0 0.1', (0.01, 0.01, 0.005, 0.0, 0.0, 0.0)),
    link('flag', 0.3, '0 0 0.2', (0.003, 0.003, 0.0001, 0.0, 0.0, 0.0)),
    joint('waist', 'base', 'torso', axis='0 0 1'),
    joint(
        'left_shoulder',
        'torso',
        'left_arm',
        origin='xyz="0 0.2 0.5" rpy="0.2 0 1.4"',
        axis='0 1 0',
    ),
    joint('left_wrist', 'left_arm', 'left_hand', origin='xyz="0.4 0 0"', axis='1 0 0'),
    joint(
        'right_shoulder',
        'torso',
        'right_arm',
        origin='xyz="0 -0.2 0.5" rpy="0 0 -1.5"',
        axis='0 1 0',
    ),
    joint('neck', 'torso', 'head', origin='xyz="0 0 0.7"', axis='1 1 0', kind='prismatic'),
    joint('pole', 'base', 'flag', origin='xyz="1 0 0"', axis='0 -1 0', kind='continuous'),
)
EXACT_ANGLES = chain(
    'exact_angles',
    (turn('rpy="1.5707963 0 0"'), body(1.0, '0.1 0.2 0', 0.02, 0.01, 0.02)),
    (
        turn('xyz="0 0.3 0" rpy="0 1.5707963 1.5707963"', '0 1 0'),
        body(1.0, '0 0 0.2', 0.02, 0.02, 0.01),
    ),
    (
        turn('xyz="0.1 0.3 0" rpy="-3.1415926 0 0"', '-1 0 0'),
        body(0.5, '0 0.1 0.1', 0.005, 0.004, 0.003),
    ),
)
NO_ORIGIN = chain(
    'no_origin',
    ({**turn('', '0 1 0'), 'origin': ''}, body(1.0, '0.3 0 0', 0.01, 0.02, 0.02)),
    ({**turn('', ''), 'origin': '', 'axis': ''}, body(0.5, '0 0.1 0.1', 0.01, 0.01, 0.01)),
)
ROBOTS = {
    'two_links': TWO_LINKS,
    'six_joints': SIX_JOINTS,
    'seven_joints': SEVEN_JOINTS,
    'sliding': SLIDING,
    'branched': BRANCHED,
    'exact_angles': EXACT_ANGLES,
    'no_origin': NO_ORIGIN,
}
