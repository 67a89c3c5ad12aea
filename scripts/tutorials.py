"""Run the commands and the Python of tutorials, and compare or write what they print.

    python scripts/tutorials.py docs/tutorials/first-word.md           # tells what differs
    python scripts/tutorials.py --write docs/tutorials/first-word.md   # puts the new output in

All blocks of a page run in one new folder, in order. In a `console` block each line after `$` is a
command, and the lines below it are its standard output; a line of `...` stands for any lines. A
`python` block prints what the `text` block right after it shows. A block below a comment
`<!-- not run: why -->` is left alone.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(
    r"(?P<skip><!-- not run: [^>]+ -->\n)?^```(?P<language>console|python)\n(?P<body>.*?)^```\n"
    r"(?:\n```text\n(?P<text>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
TIME_LIMIT_S = 300.0


def commands(body: str) -> list[tuple[str, str]]:
    """Each command of a console block, as written, and the output below it."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^(?=\$ )", body, flags=re.MULTILINE):
        command = re.match(r"(?:.*\\\n)*.*\n", part)
        if part and command:
            found.append((command[0], part[command.end() :]))
    return found


def agrees(shown: str, printed: str) -> bool:
    """Whether a page's output is what was printed; a line of "..." stands for any lines."""
    pattern = re.escape(shown).replace(re.escape("...\n"), r"(?:.*\n)*")
    return re.fullmatch(pattern, printed) is not None


def output(words: list[str], folder: Path, given: str = "") -> str:
    """Standard output of a command that has to end well."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ran = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PATH": paths, "COLUMNS": "100"},
        input=given,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
    )
    if ran.returncode:
        raise SystemExit(f"{words[-1]}: exit status {ran.returncode}: {ran.stderr}")
    return ran.stdout


def run(page: str, folder: Path) -> tuple[str, list[str]]:
    """The page with the output of this run where it differed, and what differed."""
    differences: list[str] = []

    def fresh(block: re.Match[str]) -> str:
        if block["skip"]:
            return block[0]
        if block["language"] == "python":
            printed = output([sys.executable, "-"], folder, block["body"])
            if block["text"] is None or agrees(block["text"], printed):
                return block[0]
            differences.append(f"python printed:\n{printed}")
            return f"```python\n{block['body']}```\n\n```text\n{printed}```\n"
        parts = []
        for command, shown in commands(block["body"]):
            printed = output(["bash", "-c", command[2:]], folder)
            if not agrees(shown, printed):
                differences.append(f"{command}printed:\n{printed}")
                shown = printed
            parts.append(command + shown)
        rest = f"\n```text\n{block['text']}```\n" if block["text"] is not None else ""
        return "```console\n" + "".join(parts) + "```\n" + rest

    return BLOCK.sub(fresh, page), differences


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the tutorials.")
    parser.add_argument("--write", action="store_true", help="put the new output into the pages")
    parser.add_argument("pages", nargs="+", type=Path)
    arguments = parser.parse_args()
    failed = False
    for path in arguments.pages:
        with tempfile.TemporaryDirectory() as folder:
            page, differences = run(path.read_text("utf-8"), Path(folder))
        for difference in differences:
            print(f"{path}: {difference}")
        if arguments.write:
            path.write_text(page, "utf-8")
        failed |= bool(differences) and not arguments.write
    sys.exit(failed)


if __name__ == "__main__":
    main()
