"""Every Python block of the documents runs, in order, as a reader would run it."""

import importlib
import os
import re
from pathlib import Path

import matplotlib
import pytest
import torch

import trc_core
from trc_core import SYSTEMS
from trc_core.data.lqr_generator import main as generate
from trc_core.models import TinyRecursiveControl
from trc_core.models.persistence import save_model

ROOT = Path(__file__).parents[1]
SEEDS = ROOT.parent / 'shared' / 'seeds'  # the specification, where it stands beside the checkout
GUIDES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
WITH_COMMANDS = ('your_own_robot.md',)  # run as a whole by tests/ros/test_your_own_robot.py
OURS = [path for path in GUIDES if path.name not in WITH_COMMANDS]
PAGES = [*GUIDES, *ROOT.glob('[A-Z]*.md'), *(ROOT / 'docs').glob('*/*.md')]
BLOCK = re.compile(r'^```python\n(.*?)^```', re.DOTALL | re.MULTILINE)
ENTRY = re.compile(r'^::: ([\w.]+)$', re.MULTILINE)
LINK = re.compile(r'\]\((?!https?:)([^)#\s]*)(#[^)\s]+)?\)')
TABLE = re.compile(r'(?:^\|.*\n?)+', re.MULTILINE)
ORIGIN = ('`[^`]+`', r'\bseeds?\b', r'\d{4}-\d\d-\d\d', r'the-machine\)|\bCPU\b')
INDEX = ROOT / 'docs' / 'results' / 'README.md'
REPORTS = sorted({*INDEX.parent.glob('*.md'), *(ROOT / 'docs/benchmarks').rglob('*.md')} - {INDEX})
NOT_MEASURED = ('parameters.md', 'plant.md', 'trm_summary.md')  # defaults; a paper's figures
PATH = re.compile(r'`((?:trc_core|ros2_ws|tests|docs|launch|params|benchmarks)/[\w./-]*)`')
OURS_FOR_THEIRS = {  # the seeds' paths and formats, and the two blocks that only sketch
    'from src.': 'from trc_core.',
    '.pt")': '.safetensors")',
    'torch.load(': 'load_file(',
    'RecursiveReasoningBlock(...)': 'RecursiveReasoningBlock(128, 256, 4)',
}
ASSUMED = """
import numpy as np
import torch
import torch.nn as nn
from safetensors.torch import load_file
from trc_core.models.recursive_reasoning import ControlReasoningModule, RecursiveReasoningBlock

batch_size, L_cycles = 2, 4
H_init, L_init = torch.zeros(128), torch.zeros(128)
z_initial = control_context = torch.zeros(2, 128)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the files that the documents read."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    matplotlib.use('Agg')
    flags = ['--num_samples', '64', '--state_dim', '2', '--control_dim', '1']
    flags += ['--time_horizon', '5.0', '--num_steps', '15', '--expert', 'lqr', '--workers', '1']
    generate([*flags, '--output_dir', 'generated'])
    Path('data').mkdir()
    for name in ('double_integrator_lqr.npz', 'test_lqr.npz'):
        os.link('generated/dataset.npz', f'data/{name}')
    os.symlink(ROOT / 'trc_core' / 'systems' / 'arm.urdf', 'arm.urdf')
    model = TinyRecursiveControl.create_two_level_medium()
    for name in ('trained_model', 'checkpoints/two_level_model'):
        save_model(f'{name}.safetensors', model, SYSTEMS['double_integrator'])
    return tmp_path


def run(document, replacements):
    text = document.read_text()
    blocks = [(m[1], text[: m.start()].count('\n') + 1) for m in BLOCK.finditer(text)]
    namespace = {}
    exec(ASSUMED, namespace)
    for block, line in blocks:
        for theirs, ours in replacements.items():
            block = block.replace(theirs, ours)
        # a traceback shows the line of the document
        exec(compile('\n' * line + block, str(document), 'exec', dont_inherit=True), namespace)
    return blocks, namespace


@pytest.mark.parametrize('document', OURS, ids=lambda path: path.name)
def test_our_documents_run(document, folder):
    blocks, _ = run(document, {})
    assert blocks or document != ROOT / 'README.md'


def anchors(document):
    """What links to headings of a document may say."""
    headings = re.findall(r'^#+ (.+)$', document.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading).lower().replace(' ', '-') for heading in headings}


@pytest.mark.parametrize(
    'document', sorted(set(PAGES)), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_links_and_paths_lead_somewhere(document):
    for target, anchor in LINK.findall(document.read_text()):
        place = (document.parent / target) if target else document
        assert place.exists(), f'{document.name} links to {target}'
        assert not anchor or anchor[1:] in anchors(place), f'{document.name}: {target}{anchor}'
    for path in PATH.findall(document.read_text()):
        assert (ROOT / path).exists(), f'{document.name} names {path}'


def holds_figures(table):
    """Whether at least four decimal numbers stand in it, code left out."""
    return len(re.findall(r'\d\.\d', re.sub('`[^`]*`', '', table))) >= 4


def tells_origin(text):
    """Whether a text has a command, a seed, a date and a machine."""
    return all(re.search(part, text) for part in ORIGIN)


@pytest.mark.parametrize(
    'document',
    [path for path in [*GUIDES, INDEX] if path.name not in NOT_MEASURED],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_every_table_of_figures_says_where_they_come_from(document):
    for section in re.split('^#+ ', document.read_text(), flags=re.MULTILINE):
        tables = [table for table in TABLE.findall(section) if holds_figures(table)]
        lines = [p for p in section.split('\n\n') if p.startswith('*') and tells_origin(p)]
        assert len(lines) >= len(tables), section.partition('\n')[0]


@pytest.mark.parametrize('page', REPORTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_report_says_where_its_figures_come_from(page):
    listed = os.path.relpath(page, INDEX.parent)
    row = re.search(rf'^\|.*\({re.escape(listed)}\).*$', INDEX.read_text(), re.MULTILINE)
    assert row, f'{INDEX.name} does not list {listed}'
    assert tells_origin(page.read_text().partition('\n## ')[0])


def test_the_readme_shows_code_and_one_picture_before_its_only_table_of_figures():
    text = (ROOT / 'README.md').read_text()
    tables = list(TABLE.finditer(text))
    assert text.count('\n') <= 120
    assert len(tables) == 1
    assert text.index('```python') < text.index('![') < tables[0].start()
    assert text.count('![') == 1
    assert max(row.count('|') - 1 for row in tables[0][0].splitlines()) <= 6


def named_in_the_reference():
    """The dotted names of modules and classes that the reference documents."""
    pages = (ROOT / 'docs' / 'reference').glob('*.md')
    return [name for page in pages for name in ENTRY.findall(page.read_text())]


def resolved(name):
    """The module, or what a module holds, of a dotted name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition('.')
        return getattr(importlib.import_module(module), attribute)


def test_the_reference_documents_what_exists_and_all_that_the_library_exports():
    documented = [resolved(name) for name in named_in_the_reference()]
    assert len(documented) > 30
    held = [item for thing in documented for item in (thing, *vars(thing).values())]
    for name in trc_core.__all__:
        exported = getattr(trc_core, name)
        assert any(item is exported for item in held), name


def test_every_page_is_listed_and_stands_in_the_navigation_of_the_site():
    docs = ROOT / 'docs'
    site, index = (ROOT / 'mkdocs.yml').read_text(), (docs / 'README.md').read_text()
    for page in docs.rglob('*.md'):
        name = page.relative_to(docs).as_posix()
        assert name == 'README.md' or re.search(rf'[:-] {re.escape(name)}$', site, re.M), name
        if page.parent == docs and page != docs / 'README.md':
            assert f']({name})' in index, name


def test_the_tuning_guide_knows_every_parameter():
    listed = (ROOT / 'docs' / 'parameters.md').read_text()
    guide = (ROOT / 'docs' / 'tuning.md').read_text()
    names = re.findall(r'^\| `([\w.]+)` \|', listed, re.MULTILINE)
    assert len(names) > 50
    assert [
        n for n in names if f'`{n}`' not in guide and f'`{n.split(".")[0]}.*`' not in guide
    ] == []


@pytest.mark.skipif(not SEEDS.is_dir(), reason='the specification is not beside this checkout')
def test_the_readme_of_the_specification_runs(folder, capsys):
    blocks, names = run(SEEDS / 'trc_readme.md', OURS_FOR_THEIRS)
    assert len(blocks) == 3
    assert names['output']['errors'].shape == (1, 3, 2)
    assert torch.isfinite(names['output']['errors']).all()
    assert torch.equal(names['current_state'], torch.zeros(1, 2))  # their dynamics step in place
    assert 'torch.Size([1, 15, 1])' in capsys.readouterr().out


@pytest.mark.skipif(not SEEDS.is_dir(), reason='the specification is not beside this checkout')
def test_the_guide_of_the_specification_runs(folder, capsys):
    blocks, names = run(SEEDS / 'two_level_architecture_guide.md', OURS_FOR_THEIRS)
    assert len(blocks) == 19
    losses = [float(loss) for loss in re.findall(r'Loss = ([\d.]+)', capsys.readouterr().out)]
    assert len(losses) == 100
    assert losses[-1] < 0.2 * losses[0]
    assert set(names['metrics']) >= {'mean_error', 'success_rate', 'control_cost'}
    assert len(names['z_H_history']) == len(names['z_L_history']) == 3
    assert names['single_output'].keys() == names['two_level_output'].keys()
