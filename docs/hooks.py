"""MkDocs hooks: pages made of files outside docs/, and links between both that work on the site.

Documents link to files as they lie in the repository, so that the links work there too. Here every
such link becomes one to the page that shows the file.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
DOCS = 'docs/'
PAGES = {
    'README.md': 'index.md',
    'docs/README.md': 'index.md',
    'CONTRIBUTING.md': 'project/contributing.md',
    'LICENSE': 'project/license.md',
    'QUALITY_DECLARATION.md': 'project/quality_declaration.md',
    'examples': 'project/examples.md',
    'examples/plants': 'project/plants.md',
    'examples/exams': 'project/exams.md',
}
"""Which page shows a file or a folder, by its path in the repository."""
SOURCES = {page: source for source, page in PAGES.items() if source != 'docs/README.md'}
LINK = re.compile(r'(\]\()(?![a-z]+:|#)([^)#\s]+)')
STAR = re.compile(r'(?<=[JM])\*(?!\*)')  # of J* and M*, which begins no emphasis
CODE = re.compile(r'(^```.*?^```|`[^`\n]*`)', re.DOTALL | re.MULTILINE)


def on_files(files, config):
    """Adds the pages made of files outside docs/."""
    for page, source in SOURCES.items():
        files.append(File.generated(config, page, content=text_of(ROOT / source)))
    return files


def text_of(source):
    """A document as it is, a folder of programs as a page with a section for each."""
    if source.is_dir():
        programs = sorted(source.glob('*.py'))
        return f'# {source.name.title()}\n\n' + '\n'.join(map(section, programs))
    text = source.read_text()
    return text if source.suffix == '.md' else f'# {source.stem.title()}\n\n```text\n{text}```\n'


def section(program):
    """A program as a section of a page."""
    return f'## {program.name}\n\n```python\n{program.read_text()}```\n'


def on_page_markdown(markdown, page, **_):
    """Turns links to files of the repository into links to the pages that show them."""
    source = SOURCES.get(page.file.src_uri, DOCS + page.file.src_uri)
    parts = CODE.split(markdown)
    parts[::2] = [
        STAR.sub(r'\\*', LINK.sub(lambda link: moved(link, source, page), part))
        for part in parts[::2]
    ]
    return ''.join(parts)


def moved(link, source, page):
    """One link, seen from the page instead of from the file that it is written in."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
    folder, name = posixpath.split(target)
    shown, anchor = PAGES.get(target, target.removeprefix(DOCS)), ''
    if folder in PAGES and name.endswith('.py'):  # a program is a section of its folder's page
        shown, anchor = PAGES[folder], '#' + name.replace('.', '')
    return link[1] + posixpath.relpath(shown, posixpath.dirname(page.file.src_uri) or '.') + anchor
