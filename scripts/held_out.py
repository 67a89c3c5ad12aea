"""Link the recordings that training does not hear: OUT/<folder>/..., for `evaluate-stream`.

DATA is the folder that models are trained on. Clips of Speech Commands need no such folder: they
have their own split. A recording's split is that of its name, as in the data set.
"""

from pathlib import Path

import click

from kws_stream.evaluation.folders import Skipped
from kws_stream.evaluation.speech_commands import split_of
from kws_stream.training.corpus import audio_files

FOLDERS = ("running_speech", "wake_phrases", "other_words", "noise")
PATH = click.Path(path_type=Path)


@click.command(help=__doc__)
@click.argument("data", type=PATH)
@click.argument("out", type=PATH)
def main(data: Path, out: Path) -> None:
    count, skipped = 0, Skipped()
    for folder in FOLDERS:
        for path in audio_files(data / folder, skipped):
            if split_of(path.name) == "training":
                continue
            link = out / path.relative_to(data)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
            count += 1
    for note in skipped.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"{count} recordings in {out}")


if __name__ == "__main__":
    main()
