"""Make training clips with espeak-ng and flite, or Kokoro: OUT/<word>/<voice>_nohash_<n>.flac."""

from pathlib import Path

import click

from kws_stream.errors import KwsStreamError
from kws_stream.speech.synthesis import write_clips


@click.command(help=__doc__)
@click.argument("words", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--count", type=click.IntRange(1), default=100, help="Clips of each word.")
@click.option("--seed", type=int, default=0, help="Same seed, same clips.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Clips made side by side.")
@click.option(
    "--kokoro", type=click.Path(path_type=Path), help="Speak with Kokoro, whose files are here."
)
def main(
    words: tuple[str, ...], out: Path, count: int, seed: int, jobs: int, kokoro: Path | None
) -> None:
    try:
        clips = write_clips(words, count, out, seed=seed, jobs=jobs, kokoro_folder=kokoro)
        made = sum(1 for _ in clips)
    except KwsStreamError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{made} clips in {out}")


if __name__ == "__main__":
    main()
