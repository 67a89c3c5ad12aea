"""Link the recordings that training does not hear: OUT/<folder>/..., for `evaluate-stream`.

DATA is the folder that models are trained on. A recording's split is that of its name, as in the
data set. With --half, only what is of that half, and the validation speakers' clips of Speech
Commands too, for `--synthesise OUT/speech_commands`; background noise has no half. Without it these
need no such folder: they have their own split.
"""

from pathlib import Path

import click

from kws_stream.evaluation.folders import Skipped
from kws_stream.evaluation.speech_commands import HALVES, NOISE, half_of, split_of
from kws_stream.training.corpus import audio_files

FOLDERS = ("running_speech", "wake_phrases", "other_words", "noise")
PATH = click.Path(path_type=Path)


@click.command(help=__doc__)
@click.argument("data", type=PATH)
@click.argument("out", type=PATH)
@click.option("--half", type=click.Choice(HALVES), help="Choose with one, report the other.")
def main(data: Path, out: Path, half: str | None) -> None:
    count, skipped = 0, Skipped()
    for folder in FOLDERS if half is None else (*FOLDERS, "speech_commands"):
        for path in audio_files(data / folder, skipped):
            if not _is_held_out(path, folder, half):
                continue
            link = out / path.relative_to(data)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
            count += 1
    for note in skipped.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"{count} recordings in {out}")


def _is_held_out(path: Path, folder: str, half: str | None) -> bool:
    if path.parent.name == NOISE:
        return True
    if half is not None and half_of(path.name) != half:
        return False
    split = split_of(path.name)
    return split == "validation" if folder == "speech_commands" else split != "training"


if __name__ == "__main__":
    main()
