"""Pictures of the pages that --report writes, for docs/evaluation.md and docs/command-line.md.

The page of a session needs nothing but Chromium and the extra `report`; that of an evaluation also
DATA, a Speech Commands folder, of whose validation clips it also makes an hour of stream.
"""

import os
import tempfile
from pathlib import Path

import click
from picture_page import picture

import kws_stream
from kws_stream.cli import main as command

ROOT = Path(kws_stream.__file__).parents[1]
RECORDING = Path(os.path.relpath(ROOT / "kws_stream" / "_data" / "demo.flac"))


def run(*words: object) -> None:
    command([str(word) for word in words], standalone_mode=False)


@click.command(help=__doc__)
@click.argument("data", type=click.Path(path_type=Path, exists=True), required=False)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("docs/pictures"))
def main(data: Path | None, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        page, evening = Path(scratch) / "page.html", Path(scratch) / "evening"
        run("detect", "--report", page, RECORDING)
        picture(page, folder / "session.png", height=1250)
        if data is None:
            return
        synthesise = ("--synthesise", data, "--split", "validation", "--save", evening)
        run("evaluate-stream", *synthesise)
        stream = ("--stream", evening / "stream-1.flac")
        run("evaluate", data, "--task", "v2-12", "--report", page, *stream)
        picture(page, folder / "report-clips.png", height=1246)
        picture(page, folder / "report-streams.png", parts=("false-accepts-per-hour",), dark=True)
        picture(page, folder / "report-errors.png", parts=("worst-errors",), height=815)


if __name__ == "__main__":
    main()
