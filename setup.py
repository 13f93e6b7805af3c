"""Packaging of `trc`: one ROS 2 package (ament_python) that is a plain pip package too."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
NAME = MANIFEST.findtext('name')

RUNTIME = ['llvmlite>=0.44', 'numba>=0.61', 'numpy>=1.26', 'pyyaml>=6.0', 'safetensors>=0.4']

# ROS 2 Jazzy as wheels, for a machine that has no ROS installation.
ROS = [
    f'ros-jazzy-{package}'
    for package in (
        'diagnostic-msgs',
        'geometry-msgs',
        'lifecycle-msgs',
        'nav-msgs',
        'rcl-interfaces',
        'rclpy',
        'rmw-fastrtps-cpp',
        'rosgraph-msgs',
        'sensor-msgs',
        'std-msgs',
        'std-srvs',
        'trajectory-msgs',
        'visualization-msgs',
    )
]

DEMO = ['casadi>=3.6', 'matplotlib>=3.8', 'rosbags>=0.10', 'sympy>=1.12', 'tqdm>=4.66']

TRAIN = [
    'casadi>=3.6',
    'cloudpickle>=3.0',
    'control>=0.10',
    'daqp>=0.11',
    'joblib>=1.3',
    'jsonargparse[signatures]>=4.45',
    'lightning>=2.6',
    'markdown>=3.5',
    'matplotlib>=3.8',
    'scipy>=1.11',
    'sympy>=1.12',
    'tensorboard>=2.16',
    'torch>=2.2',
    'tqdm>=4.66',
]

# ONNX Runtime flies an exported graph, onnx writes it.
ONNX = ['onnx>=1.16', 'onnxruntime>=1.18']

# Physics for the node `plant` that was not written here.
MUJOCO = ['mujoco>=3.1']

# Other people's environments, to fine-tune on.
GYMNASIUM = ['gymnasium>=1.0']

# Environments of `trc experiment environments`, in an environment of their own: dm_control 1.0.50
# fails with MuJoCo 4.0. Gymnasium's MuJoCo environments import imageio.
ENVIRONMENTS = ['dm-control>=1.0.50', 'gymnasium>=1.0', 'imageio>=2.30', 'mujoco>=3.17,<4']

# Figures of trainings on wandb's pages; what trains comes with `train`.
WANDB = ['wandb>=0.18']

# The baselines; PyTorch comes with `train`.
BENCHMARK = [
    'casadi>=3.6',
    'clarabel>=0.9',
    'daqp>=0.11',
    'do-mpc>=5.0',
    'joblib>=1.3',
    'matplotlib>=3.8',
    'osqp>=1.0',
    'scipy>=1.11',
    'sympy>=1.12',
    'tqdm>=4.66',
]

# launch_testing, part of a ROS 2 installation, stops pytest 9 from starting.
TEST = [
    'build>=1.2',
    'catkin-pkg>=1.0',
    *GYMNASIUM,
    'hypothesis>=6.100',
    *MUJOCO,
    *ONNX,
    'pin>=3.0',  # the truth of accelerations and slopes of robots
    'playwright>=1.48',
    'pytest>=8.0,<9',
    'pytest-xdist>=3.7',
    'setuptools>=70.1',
    'twine>=6.1',
]

LINT = ['mypy>=1.10', 'ruff>=0.6', 'types-PyYAML', 'types-setuptools', 'types-tqdm']

# The site of the documents; it reads the sources and imports nothing. Ruff wraps signatures.
DOCS = ['mkdocs>=1.6,<2', 'mkdocs-material>=9.5', 'mkdocstrings[python]>=0.30', 'ruff>=0.6']


def share(folder: str, pattern: str) -> tuple[str, list[str]]:
    """Pair a folder's files with their place below the package's share folder."""
    files = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob(pattern))
    return f'share/{NAME}/{folder}'.rstrip('/.'), files


setup(
    name=NAME,
    version=MANIFEST.findtext('version'),
    description=' '.join(MANIFEST.findtext('description', '').split()),
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='The trc maintainers',
    maintainer='The trc maintainers',
    maintainer_email=MANIFEST.find('maintainer').get('email'),
    license='MIT',
    python_requires='>=3.10',
    packages=[*find_packages(include=['trc_core', 'trc_core.*']), *find_packages('ros2_ws/src')],
    package_dir={'trc_ros': 'ros2_ws/src/trc_ros'},
    package_data={
        'trc_core': [
            'py.typed',
            'simulation/*.xml',
            'systems/*.urdf',
            'lab/benchmark/peers/*.cpp',
            'pretrained/*.safetensors',
        ],
        'trc_ros': ['udp.xml'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        share('launch', '*.launch.py'),
        share('params', '*.yaml'),
        share('params/training', '*.yaml'),
        share('params/ros2_control', '*.yaml'),
        share('params/diagnostics', '*.yaml'),
        share('rviz', '*.rviz'),
        share('layouts', '*'),
        share('security', '*.xml'),
        # launch and ros2cli look for executables in lib/<package>, where wheels put no scripts.
        (f'lib/{NAME}', ['libexec/controller', 'libexec/fleet', 'libexec/plant']),
    ],
    install_requires=RUNTIME,
    extras_require={
        'ros': ROS,
        'demo': DEMO,
        'train': TRAIN,
        'onnx': ONNX,
        'mujoco': MUJOCO,
        'gymnasium': GYMNASIUM,
        'environments': ENVIRONMENTS,
        'wandb': WANDB,
        'benchmark': BENCHMARK,
        'test': TEST,
        'lint': LINT,
        'docs': DOCS,
    },
    entry_points={
        'console_scripts': [
            'trc = trc_core.cli:main',
            'trc_controller = trc_ros.entry:controller',
            'trc_fleet = trc_ros.entry:fleet',
            'trc_plant = trc_ros.entry:plant',
        ],
    },
    zip_safe=False,
)
