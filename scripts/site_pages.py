"""Hook of MkDocs: pages of the site that are no file in docs/.

Models, benchmarks, findings and changes are kept beside what they tell of, and the reference is
made from docstrings and from click; links to other files of the repository become plain text.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "CHANGELOG.md": "changes.md",
    "models/README.md": "models.md",
    "benchmarks/README.md": "benchmarks.md",
    "findings/README.md": "findings.md",
    "packaging/home-assistant/README.md": "home-assistant-add-on.md",
}
REFERENCE = {
    "spotter": ("The spotter", ["kws_stream.pipeline", "kws_stream.detector", "kws_stream.events"]),
    "network": ("Networks and chips", ["kws_stream.network", "kws_stream.bmru.chip_settings"]),
    "audio": ("Audio", ["kws_stream.audio"]),
    "live": ("Live streams", ["kws_stream.live"]),
    "power": ("Power", ["kws_stream.power"]),
    "packs": ("Model packs", ["kws_stream.packs"]),
    "export": ("Export", ["kws_stream.export"]),
    "evaluation": ("Evaluation", ["kws_stream.evaluation"]),
    "studies": ("Studies", ["kws_stream.studies"]),
    "training": ("Training", ["kws_stream.training"]),
    "errors": ("Errors", ["kws_stream.errors"]),
}
OPTIONS = """# All options

Made from the help texts of this version. [The command line](../command-line.md) explains them
with examples.

::: mkdocs-click
    :module: kws_stream.cli
    :command: main
    :prog_name: kws-stream
    :depth: 1
"""
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    pages = {page: (ROOT / path).read_text("utf-8") for path, page in OUTSIDE.items()}
    pages["findings.md"] += "\n" + "\n".join(map(_finding, sorted(ROOT.glob("findings/*.sh"))))
    pages["reference/options.md"] = OPTIONS
    for name, (title, modules) in REFERENCE.items():
        parts = [f"# {title}", *(f"::: {module}" for module in modules)]
        pages[f"reference/{name}.md"] = "\n\n".join(parts) + "\n"
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links between files of the repository to their pages."""
    here = page.file.src_uri
    source = next((path for path, at in OUTSIDE.items() if at == here), f"docs/{here}")

    def lead(match: re.Match[str]) -> str:
        picture, text, target, anchor = match.groups(default="")
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path == "README.md":  # the site has its own start, and the table of models elsewhere
            path, anchor = ("models/README.md" if anchor else "docs/index.md"), ""
        path = f"docs/{OUTSIDE[path]}" if path in OUTSIDE else path
        if not path.startswith("docs/"):
            return f"{text} (`{path}`)" if text != f"`{path}`" else text
        return f"{picture}[{text}]({posixpath.relpath(path, f'docs/{here}/..')}{anchor})"

    return _four_spaces(LINK.sub(lead, markdown))


def _four_spaces(markdown: str) -> str:
    """What belongs to an item of a list, indented by its mark's width, is by four for MkDocs."""
    lines, width, fenced = [], 0, False
    for line in markdown.split("\n"):
        fenced ^= line.startswith("```")
        item = re.match(r"([-*]|\d+\.) +", line)
        if fenced or (line and not item and not line.startswith(" " * max(width, 1))):
            width = 0
        elif item:
            width = item.end()
        elif line and width:
            line = " " * (4 - width) + line
        lines.append(line)
    return "\n".join(lines)


def _finding(script: Path) -> str:
    """Heading, and the comment at the top of the script."""
    lines = []
    for line in script.read_text("utf-8").splitlines()[1:]:
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" "))
    return f"## {script.stem.replace('-', ' ')}\n\n```text\n" + "\n".join(lines) + "\n```\n"
