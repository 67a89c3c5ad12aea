"""Measure a verifier's head alone, heard always: phrases missed at so many false accepts an hour.

HEAD is a pack with a verifier of the kind host, or its verifier.npz. Each recording is a stream of
its own, and the head is asked every 80 ms, as in a cascade whose first stage always triggers. With
--noise a phrase has a recording of it 10 to 15 dB under its loudest fifth. False accepts within a
second are one. The threshold is the lowest that gives at most so many of them.
"""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from kws_stream import packs
from kws_stream.audio import read_whole, to_int16
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.evaluation import background_in
from kws_stream.verifier import Head, SpeechEmbedding, find_graphs, parse_head
from kws_stream.verifier.embedding import STEP
from kws_stream.verifier.head import STEPS

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
BEFORE_S, AFTER_S = 0.6, 0.5  # of silence
SNR_DB = (10.0, 15.0)
APART = round(SAMPLE_RATE_HZ / STEP)  # steps between two false accepts
Floats = NDArray[np.float32]


@click.command(help=__doc__)
@click.argument("head", metavar="HEAD", type=click.Path(exists=True, path_type=Path))
@click.option("--phrase", type=FOLDER, required=True, help="Recordings of the phrase.")
@click.option("--without", type=FOLDER, multiple=True, required=True, help="Sound without it.")
@click.option("--noise", type=FOLDER, help="Noise over the recordings of the phrase.")
@click.option("--per-hour", type=click.FloatRange(0), multiple=True, default=(0.3, 1.0))
def main(
    head: Path, phrase: Path, without: tuple[Path, ...], noise: Path | None, per_hour: list[float]
) -> None:
    if head.is_dir():
        verifier = packs.load(head).verifier
        if verifier is None or verifier.kind != "host":
            raise click.ClickException(f"{head}: need a pack with a verifier of the kind host.")
        judge = parse_head(verifier.head)
    else:
        judge = parse_head(head.read_bytes())
    embedding = SpeechEmbedding(find_graphs())
    noises = [] if noise is None else background_in([noise])
    files = background_in([phrase])
    said = [scores(judge, embedding, with_noise(path, noises)).max() for path in files]
    hours, tops = 0.0, list[float]()
    for path in background_in(without):
        sound = read_whole(path)
        hours += len(sound) / SAMPLE_RATE_HZ / 3600
        tops += peaks(scores(judge, embedding, sound))
    found = np.sort(tops)[::-1]
    for rate in per_hour:
        allowed = int(rate * hours)
        threshold = found[allowed] if allowed < len(found) else 0.0
        missed = np.mean(np.array(said) <= threshold)
        click.echo(
            f"{missed:.1%} of {len(said)} missed at {rate:g} an hour ({allowed} in {hours:.2f} h), "
            f"threshold {threshold:.4f}"
        )


def with_noise(path: Path, noises: Sequence[Path]) -> Floats:
    """A recording, and noise drawn by its name."""
    sound = read_whole(path)
    if not noises:
        return sound
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    noise = read_whole(noises[rng.integers(len(noises))])
    noise = np.resize(np.roll(noise, -int(rng.integers(len(noise)))), len(sound))
    frames = np.square(sound[: len(sound) // 320 * 320]).reshape(-1, 320).mean(axis=1)
    loud = np.sort(frames)[int(0.8 * len(frames)) :].mean()
    power = loud / 10 ** (rng.uniform(*SNR_DB) / 10)
    gain = (power / (np.square(noise).mean() + 1e-12)) ** 0.5
    mixed: Floats = np.clip(sound + noise * gain, -1, 1).astype(np.float32)
    return mixed


def scores(head: Head, embedding: SpeechEmbedding, sound: Floats) -> NDArray[np.float64]:
    """At every step of a stream that begins and ends in silence."""
    silence = (round(BEFORE_S * SAMPLE_RATE_HZ), round(AFTER_S * SAMPLE_RATE_HZ) + STEP)
    padded = np.pad(sound, silence)
    vectors = embedding.embed_whole(to_int16(padded[: len(padded) // STEP * STEP]))
    before = np.repeat(embedding.silent[None], STEPS - 1, axis=0)
    whole = np.concatenate([before, vectors])
    return np.array([head.score(whole[at : at + STEPS]) for at in range(len(vectors))])


def peaks(found: NDArray[np.float64]) -> Iterator[float]:
    """The highest scores that are a second apart."""
    taken: list[int] = []
    for at in np.argsort(-found, kind="stable").tolist():
        if found[at] < 0.01:
            return
        if all(abs(at - other) > APART for other in taken):
            taken.append(at)
            yield float(found[at])


if __name__ == "__main__":
    main()
