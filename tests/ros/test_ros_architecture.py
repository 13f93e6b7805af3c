"""The nodes' package: imports have no circles, and only the laboratory imports the laboratory."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / 'ros2_ws' / 'src'
PACKAGE, LAB = 'trc_ros', 'trc_ros.lab'
ROOMS = {'controller', 'fleet', 'plant', 'parameters', 'conversions', 'lab'}
SHARED = {
    *('compilation', 'control_loop', 'entry', 'exclusive_publisher'),
    *('inputs', 'loading', 'process', 'qos', 'signals', 'transport'),
}


def modules_in(root):
    """Path by module name; a package stands for its `__init__.py`."""
    paths = sorted((root / PACKAGE).rglob('*.py'))
    return {
        '.'.join(p.relative_to(root).with_suffix('').parts).removesuffix('.__init__'): p
        for p in paths
    }


def imported_by(path, modules):
    """Modules of the package that a file imports, also inside functions; typing-only left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith('TYPE_CHECKING')
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
            # `from package import module` imports that module, anything else the one named.
            yield from (n if n in modules else node.module for n in names)


def graph_of(root):
    """The modules that run when a module is imported first, by its name."""
    modules = modules_in(root)
    graph = {}
    for name, path in modules.items():
        found = set(imported_by(path, modules)) & set(modules)
        # The `__init__.py` of a package runs before its modules; from within, it has begun.
        parents = {parent for other in found for parent in parents_of(other)}
        graph[name] = found | {p for p in parents & set(modules) if not is_in(name, p)}
    return graph


def parents_of(module):
    return ['.'.join(module.split('.')[:k]) for k in range(1, module.count('.') + 1)]


def is_in(module, package):
    return module == package or module.startswith(f'{package}.')


def cycle_in(graph):
    """Modules along one circle of imports, None if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def imports_of_lab(graph):
    """(module, what it imports of the laboratory) for every module outside."""
    return [
        (name, other)
        for name, others in graph.items()
        for other in others
        if is_in(other, LAB) and not is_in(name, LAB)
    ]


def test_no_imports_run_in_a_circle():
    assert cycle_in(graph_of(ROOT)) is None


def test_nothing_outside_the_laboratory_imports_it():
    assert imports_of_lab(graph_of(ROOT)) == []


def test_the_top_holds_what_both_nodes_share():
    top = {path.stem for path in (ROOT / PACKAGE).glob('*.py')} - {'__init__'}
    rooms = {path.parent.name for path in (ROOT / PACKAGE).glob('*/__init__.py')}
    assert (top, rooms) == (SHARED, ROOMS)


def test_every_module_is_read_and_imports_are_found():
    graph = graph_of(ROOT)
    assert len(graph) == len(list((ROOT / PACKAGE).rglob('*.py')))
    assert f'{PACKAGE}.controller.flight' in graph[f'{PACKAGE}.controller.node']
    # Inside a function, so that a signal during the import finds a handler.
    assert f'{PACKAGE}.plant.node' in graph[f'{PACKAGE}.entry']


@pytest.fixture
def graph(tmp_path):
    """Writes a package, given as text by path, and returns its import graph."""

    def graph(files):
        for name, text in files.items():
            path = tmp_path / PACKAGE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return graph_of(tmp_path)

    return graph


INSIDE = 'def load():\n    from trc_ros import {}\n'
TYPING = 'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trc_ros.{}\n'
TO_A = ['import trc_ros.a', 'from trc_ros.a import x', INSIDE.format('a')]
TO_LAB = ['import trc_ros.lab.x', 'from trc_ros.lab import x', INSIDE.format('lab')]


@pytest.mark.parametrize('back', TO_A)
def test_a_circle_is_found_wherever_it_is_imported(graph, back):
    found = graph({'a.py': 'import trc_ros.b', 'b.py': 'from trc_ros.c import y', 'c.py': back})
    assert set(cycle_in(found)) == {'trc_ros.a', 'trc_ros.b', 'trc_ros.c'}


def test_a_circle_through_a_package_is_found(graph):
    package = {'p/__init__.py': 'import trc_ros.p.x', 'p/x.py': 'import trc_ros.a', 'p/y.py': ''}
    assert cycle_in(graph({**package, 'a.py': ''})) is None
    assert cycle_in(graph({**package, 'a.py': 'import trc_ros.p.y'})) is not None


def test_an_import_for_types_alone_closes_no_circle(graph):
    assert cycle_in(graph({'a.py': 'import trc_ros.b', 'b.py': TYPING.format('a')})) is None


@pytest.mark.parametrize('text', TO_LAB)
def test_an_import_of_the_laboratory_is_found(graph, text):
    lab = {'lab/__init__.py': '', 'lab/x.py': '', 'lab/y.py': 'import trc_ros.lab.x'}
    found = imports_of_lab(graph({**lab, 'plant.py': text}))
    assert {module for module, _ in found} == {'trc_ros.plant'}
    assert imports_of_lab(graph({**lab, 'plant.py': TYPING.format('lab.x')})) == []
