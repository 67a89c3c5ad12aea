"""Synthesises electrocardiograms with premature ventricular beats, to train and to test a model on.

Beats are NeuroKit2's (`ecg_simulate`, the dynamical model ECGSYN of McSharry et al., IEEE
Transactions on Biomedical Engineering 50, 2003), each subject's with waves of its own; this script
places them: a rhythm that breathes, premature beats with a wide QRS and no P wave after which the
rhythm pauses, and premature beats from the atria, which are narrow and are no event. Drift, muscle
noise and mains hum are added. No person's heart is in it.

OUT/clips/pvc and OUT/clips/other: 1.6 s around a beat; OUT/background: recordings without an
event; OUT/noise: noise alone; OUT/choosing and OUT/held_out: recordings of other subjects, with
labels.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import soundfile
from numpy.typing import NDArray

from kws_stream.evaluation import split_of

RATE_HZ = 250
MV = 0.2  # of full scale
SOURCE_S, SOURCE_RATE = 16.0, 60  # of each kind of beat of a subject, so that none meets another
CLIP_S, BEAT_AT_S = 1.6, 0.85  # of a clip, and where its beat lies in it
LABEL_S = (0.1, 0.3)  # of a premature beat, before and after its peak
BEATS = {"normal": (0.30, 0.52), "pvc": (0.26, 0.62)}  # s before and after the peak

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Beat:
    kind: str  # normal, pvc or pac
    at_s: float


@dataclass(frozen=True)
class Subject:
    """Beats (n, samples) of each kind, in mV; rate in beats a minute."""

    name: str
    beats: dict[str, Signal]
    rate: float


def simulated(rng: np.random.Generator, kind: str) -> Signal:
    """Beats (n, samples) of one shape, in mV, from 0 to 0."""
    import neurokit2

    if kind == "normal":
        angles = np.array([-70, -15, 0, 15, 100]) * rng.uniform(0.92, 1.08, 5)
        sizes = np.array([1.2, -5, 30, -7.5, 0.75]) * rng.uniform(0.5, 1.5, 5)
        sizes[4] *= rng.uniform(0.5, 2)
        widths = np.array([0.25, 0.1, 0.1, 0.1, 0.4]) * rng.uniform(0.85, 1.15, 5)
    else:  # no P wave, a wide QRS, and a T wave the other way
        angles = np.array([-70, -32, 0, 34, 112]) * rng.uniform(0.85, 1.15, 5)
        sizes = np.array([0, rng.uniform(-4, 2), 14, rng.uniform(-9, 1), rng.uniform(-2.4, -0.4)])
        widths = np.array([0.2, 0.24, 0.26, 0.26, 0.42]) * rng.uniform(0.7, 1.2, 5)
    wave = neurokit2.ecg_simulate(
        duration=SOURCE_S,
        sampling_rate=RATE_HZ,
        noise=0,
        heart_rate=SOURCE_RATE,
        heart_rate_std=1,
        random_state=int(rng.integers(2**31)),
        ti=tuple(angles),
        ai=tuple(sizes),
        bi=tuple(widths),
    )
    before, after = (round(s * RATE_HZ) for s in BEATS[kind])
    apart = round(0.6 * 60 / SOURCE_RATE * RATE_HZ)
    peaks = [
        at
        for at in range(apart, len(wave) - after)
        if wave[at] == wave[at - apart : at + apart + 1].max()
    ]
    fade = np.ones(before + after)
    ramp = np.sin(np.linspace(0, np.pi / 2, round(0.06 * RATE_HZ))) ** 2
    fade[: len(ramp)], fade[-len(ramp) :] = ramp, ramp[::-1]
    cut = [(wave[at - before : at + after] - np.median(wave)) * fade for at in peaks]
    size = rng.uniform(0.6, 1.6) if kind == "normal" else rng.uniform(0.8, 2.2)
    sign = 1 if kind == "normal" or rng.random() < 0.6 else -1
    beats = np.array(cut) / np.abs(cut).max() * size * sign
    return beats


def subject(number: int) -> Subject:
    rng = np.random.default_rng([number, 1])
    rate = float(rng.uniform(55, 110))
    beats = {kind: simulated(rng, kind) for kind in BEATS}
    return Subject(f"s{number:03d}", beats, rate)


def rhythm(rng: np.random.Generator, rate: float, seconds: float, premature: float) -> list[Beat]:
    """Beats up to the end; premature: the share of beats that are."""
    beats, at_s = [Beat("normal", 0.5)], 0.5
    phase = rng.uniform(0, 2 * np.pi)
    while at_s < seconds - 1.0:
        breath = 1 + 0.04 * np.sin(2 * np.pi * 0.25 * at_s + phase) + 0.015 * rng.standard_normal()
        interval_s = 60 / rate * breath
        draw = rng.random()
        if draw < premature:
            beats.append(Beat("pvc", at_s + max(0.36, interval_s * rng.uniform(0.5, 0.8))))
            at_s += 2 * interval_s  # the sinus node keeps its time
        elif draw < premature + 0.05:
            at_s += max(0.4, interval_s * rng.uniform(0.6, 0.8))
            beats.append(Beat("pac", at_s))
            continue
        else:
            at_s += interval_s
        beats.append(Beat("normal", at_s))
    return [beat for beat in beats if beat.at_s < seconds - BEATS["pvc"][1]]


def noise(rng: np.random.Generator, seconds: float) -> Signal:
    """Drift of the baseline, muscle noise and mains hum, in mV."""
    count = round(seconds * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    drift = np.zeros(count)
    for _ in range(3):
        hz, phase = rng.uniform(0.05, 0.5), rng.uniform(0, 2 * np.pi)
        drift += rng.uniform(0, 0.25) * np.sin(2 * np.pi * hz * time_s + phase)
    bursts = 1 + 2 * (np.sin(2 * np.pi * rng.uniform(0.02, 0.1) * time_s) > 0.8)
    muscle = rng.uniform(0.003, 0.04) * bursts * rng.standard_normal(count)
    hum = rng.uniform(0, 0.03) * np.sin(2 * np.pi * 50 * time_s + rng.uniform(0, 6))
    wave: Signal = drift + muscle + hum
    return wave


def recorded(
    of: Subject, rng: np.random.Generator, seconds: float, premature: float
) -> tuple[Signal, list[Beat]]:
    """A recording in mV, and its beats."""
    wave = noise(rng, seconds)
    beats = rhythm(rng, of.rate * rng.uniform(0.9, 1.1), seconds, premature)
    for beat in beats:
        kind = "pvc" if beat.kind == "pvc" else "normal"
        shapes = of.beats[kind]
        shape = shapes[rng.integers(len(shapes))] * rng.uniform(0.93, 1.07)
        first = round((beat.at_s - BEATS[kind][0]) * RATE_HZ)
        start, end = max(0, first), min(len(wave), first + len(shape))
        wave[start:end] += shape[start - first : end - first]
    return wave, beats


def clips(
    wave: Signal, beats: list[Beat], rng: np.random.Generator
) -> Iterator[tuple[str, Signal]]:
    """Premature beats, as many others that look alike or stand beside one, and their windows."""
    events = [beat.at_s for beat in beats if beat.kind == "pvc"]
    for index, beat in enumerate(beats):
        beside = index and beats[index - 1].kind == "pvc"
        if beat.kind == "normal" and not beside and rng.random() > 0.12:
            continue
        shift = rng.uniform(-0.06, 0.06) if beat.kind == "pvc" else rng.uniform(-0.3, 0.3)
        first = round((beat.at_s - BEAT_AT_S + shift) * RATE_HZ)
        start_s, end_s = first / RATE_HZ, first / RATE_HZ + CLIP_S
        late = [at for at in events if start_s + 0.35 < at < end_s]
        if first < 0 or end_s * RATE_HZ > len(wave) or (beat.kind != "pvc" and late):
            continue
        yield (
            "pvc" if beat.kind == "pvc" else "other",
            wave[first : first + round(CLIP_S * RATE_HZ)],
        )


def write(path: Path, wave: Signal) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(wave * MV, -1, 1), RATE_HZ, subtype="PCM_16")


def labelled(folder: Path, number: int, minutes: float) -> None:
    """A recording of a subject, and beside it its premature beats."""
    of, rng = subject(number), np.random.default_rng([number, 2])
    wave, beats = recorded(of, rng, 60 * minutes, rng.uniform(0.02, 0.12))
    write(folder / f"{of.name}.wav", wave)
    before, after = LABEL_S
    words = [
        {"word": "pvc", "start_s": round(b.at_s - before, 3), "end_s": round(b.at_s + after, 3)}
        for b in beats
        if b.kind == "pvc"
    ]
    text = json.dumps({"words": words}, indent=1) + "\n"
    (folder / f"{of.name}.json").write_text(text, "utf-8")


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--subjects", default=30, show_default=True, help="Subjects to train and choose on.")
@click.option("--others", default=12, show_default=True, help="Of choosing and of held_out each.")
@click.option("--minutes", default=4.0, show_default=True, help="Of each subject.")
def main(out: Path, subjects: int, others: int, minutes: float) -> None:
    """Write electrocardiograms to the folder OUT."""
    for number in range(subjects):
        of = subject(number)
        if split_of(of.name) == "testing":
            continue
        rng = np.random.default_rng([number, 2])
        wave, beats = recorded(of, rng, 60 * minutes, 0.14)
        for row, (word, clip) in enumerate(clips(wave, beats, rng)):
            write(out / "clips" / word / f"{of.name}_nohash_{row}.wav", clip)
        write(out / "background" / f"{of.name}.wav", recorded(of, rng, 60.0, 0.0)[0])
        write(out / "noise" / f"{of.name}.wav", noise(rng, 30.0))
    for folder, first in (("choosing", 1000), ("held_out", 2000)):
        for number in range(first, first + others):
            labelled(out / folder, number, minutes)
    click.echo(f"{subjects} subjects, and {others} to choose and to test on each, in {out}")


if __name__ == "__main__":
    main()
