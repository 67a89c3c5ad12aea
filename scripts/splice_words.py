"""Join training clips from pieces of real ones: OUT/<word>/<speaker>_nohash_s<n>.flac."""

from pathlib import Path

import click

from kws_stream.errors import KwsStreamError
from kws_stream.speech.splicing import PIECES, write_spliced


@click.command(help=__doc__)
@click.argument("speech_commands", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("words", nargs=-1, required=True, metavar=f"[{'|'.join(PIECES)}]...")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--count", type=click.IntRange(1), default=1500, help="Clips of each word.")
@click.option("--seed", type=int, default=0, help="Same seed, same clips.")
def main(speech_commands: Path, words: tuple[str, ...], out: Path, count: int, seed: int) -> None:
    try:
        made = sum(1 for _ in write_spliced(words, count, speech_commands, out, seed))
    except KwsStreamError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{made} clips in {out}")


if __name__ == "__main__":
    main()
