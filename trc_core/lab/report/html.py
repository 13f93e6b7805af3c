"""HTML in one file that needs nothing else: text, tables, pictures and animations inside."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem;
  color: #22303c; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border: 1px solid #d5dbe1; padding: .2rem .6rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; }
canvas { border: 1px solid #d5dbe1; width: 100%; max-width: 48rem; }
"""
PLAYER = """
for (const figure of document.querySelectorAll('figure[data-film]')) {
  const film = JSON.parse(figure.querySelector('script').textContent);
  const canvas = figure.querySelector('canvas'), slider = figure.querySelector('input');
  const pen = canvas.getContext('2d'), [left, right, bottom, top] = film.view;
  const scale = Math.min(canvas.width / (right - left), canvas.height / (top - bottom));
  const place = ([x, y]) => [canvas.width / 2 + (x - (left + right) / 2) * scale,
                             canvas.height / 2 - (y - (bottom + top) / 2) * scale];
  const show = (frame) => {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    for (const [colour, width, points] of film.frames[frame]) {
      pen.strokeStyle = colour; pen.lineWidth = width; pen.beginPath();
      points.forEach((point, i) => i ? pen.lineTo(...place(point)) : pen.moveTo(...place(point)));
      pen.stroke();
    }
    pen.fillStyle = '#22303c';
    pen.fillText((frame * film.period).toFixed(2) + ' s', 8, 14);
  };
  let began = null;
  const play = (now) => {
    began = began ?? now - slider.value * film.period * 1000;
    slider.value = Math.floor((now - began) / 1000 / film.period) % film.frames.length;
    show(slider.value);
    if (!figure.dataset.paused) requestAnimationFrame(play);
  };
  slider.oninput = () => { figure.dataset.paused = 'yes'; show(slider.value); };
  canvas.onclick = () => {
    figure.dataset.paused = figure.dataset.paused ? '' : 'yes';
    began = null;
    if (!figure.dataset.paused) requestAnimationFrame(play);
  };
  requestAnimationFrame(play);
}
"""


def page(title: str, blocks: Iterable[str]) -> str:
    """The whole file, from blocks of HTML."""
    body = '\n'.join(blocks)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n'
        f'<script>{PLAYER}</script>\n</body>\n</html>\n'
    )


def heading(text: str, level: int = 1) -> str:
    """Heading of a level."""
    return f'<h{level}>{escape(text)}</h{level}>'


def paragraph(text: str) -> str:
    """Paragraph of plain text."""
    return f'<p>{escape(text)}</p>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Table with a row of headings."""
    lines = [_row('th', heads), *(_row('td', row) for row in rows)]
    return '<table>\n' + '\n'.join(lines) + '\n</table>'


def _row(cell: str, values: Sequence[str]) -> str:
    return '<tr>' + ''.join(f'<{cell}>{escape(v)}</{cell}>' for v in values) + '</tr>'


def picture(figure: Any, text: str) -> str:
    """Image of a Matplotlib figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=90)
    return _image('png', buffer.getvalue(), text)


def _image(kind: str, data: bytes, text: str) -> str:
    encoded = base64.b64encode(data).decode()
    return f'<img alt="{escape(text)}" src="data:image/{kind};base64,{encoded}">'


def from_markdown(path: Path) -> str:
    """A page of Markdown, with its pictures inside and its links to other files as plain text.

    Raises:
        FileNotFoundError: if a picture is missing.
    """
    from markdown import markdown

    html = markdown(path.read_text(), extensions=['tables'])
    html = re.sub(r'<a href="(?!#)[^"]*">(.*?)</a>', r'\1', html)
    kinds = {'.png': 'png', '.svg': 'svg+xml'}

    def inside(match: re.Match[str]) -> str:
        file = path.parent / match['file']
        return _image(kinds[file.suffix], file.read_bytes(), match['text'])

    return re.sub(r'<img alt="(?P<text>[^"]*)" src="(?P<file>[^"]*)" />', inside, html)


def film(frames: Sequence[Sequence[Any]], view: Sequence[float], period: float) -> str:
    """An animation of lines.

    Args:
        frames: of (colour, width in pixels, points) each, points in the units of `view`.
        view: left, right, bottom and top edge of what is shown.
        period: between frames [s].
    """
    contents: Mapping[str, Any] = {'frames': frames, 'view': view, 'period': period}
    data = json.dumps(contents, separators=(',', ':')).replace('</', '<\\/')
    last = len(frames) - 1
    return (
        '<figure data-film="yes"><canvas width="760" height="420"></canvas>'
        f'<input type="range" min="0" max="{last}" value="0">'
        f'<script type="application/json">{data}</script>'
        '<figcaption>Click to pause; drag to look.</figcaption></figure>'
    )
