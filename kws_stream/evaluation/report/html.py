"""The page: plain HTML and CSS in one file, for light and dark screens; no scripts, no links."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, as HTML."""

    title: str
    body: str

    @property
    def anchor(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


def text(value: object) -> str:
    """Any text or path as HTML; bytes of a path that are no text become question marks."""
    return escape(os.fsencode(str(value)).decode("utf-8", "replace"))


def paragraph(*sentences: str) -> str:
    return f"<p>{' '.join(map(text, sentences))}</p>"


def tiles(items: Iterable[tuple[str, str, str]]) -> str:
    """Figures side by side: name, value, and what stands small below it."""
    cells = "".join(
        f"<div class=tile><span>{text(name)}</span><b>{text(value)}</b>"
        f"<small>{text(more) or '&nbsp;'}</small></div>"
        for name, value, more in items
    )
    return f"<div class=tiles>{cells}</div>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], texts: int = 1) -> str:
    """A table whose first `texts` columns are text, the others numbers."""

    def line(cells: Sequence[object], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if column >= texts else ''}>{text(cell)}</{tag}>"
            for column, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return (
        f"<div class=wide><table><thead><tr>{line(head, 'th')}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def details(summary: str, body: str) -> str:
    """What is folded away until it is asked for."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def page(title: str, subtitle: str, sections: Sequence[Section], footer: str) -> str:
    """The whole file."""
    style = files(__package__).joinpath("page.css").read_text("utf-8")
    contents = "".join(f"<a href='#{s.anchor}'>{text(s.title)}</a>" for s in sections)
    body = "".join(
        f"<section id='{s.anchor}'><h2>{text(s.title)}</h2>{s.body}</section>" for s in sections
    )
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        "<meta name=color-scheme content='light dark'>"
        f"<title>{text(title)}</title><style>{style}</style></head><body>"
        f"<header><h1>{text(title)}</h1><p>{text(subtitle)}</p><nav>{contents}</nav></header>"
        f"<main>{body}</main><footer>{footer}</footer></body></html>\n"
    )


def short_name(path: Path | str) -> str:
    """A recording's folder and name: enough to find it in a data set."""
    return "/".join(Path(path).parts[-2:])
