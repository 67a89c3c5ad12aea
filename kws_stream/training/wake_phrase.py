"""Training for a wake phrase: words in; recipe, corpus, threshold and model pack out."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kws_stream import evaluation, packs
from kws_stream.arguments import writable_folder
from kws_stream.errors import DataError, ParameterError
from kws_stream.evaluation import Counts, Stream
from kws_stream.evaluation.folders import Skipped, folder_of
from kws_stream.evaluation.sources import audio_below
from kws_stream.evaluation.speech_commands import split_of
from kws_stream.names import folded
from kws_stream.speech import kokoro as kokoro_files
from kws_stream.speech.phrase import Phrase, length_note
from kws_stream.speech.synthesis import tool_versions
from kws_stream.speech.training_set import VARIED, Amounts, Speech, usual_length_s
from kws_stream.training.corpus import (
    CACHE,
    Clips,
    Corpus,
    Envelopes,
    audio_files,
    load_envelopes,
    training_files,
    words_in,
)
from kws_stream.training.extra import set_up
from kws_stream.training.packing import SOURCES, write_pack
from kws_stream.training.people import write_people
from kws_stream.training.recipe import WAKE_PHRASE, Recipe
from kws_stream.training.reporter import IMPORT_S, SILENT, Reporter
from kws_stream.training.runs import run_training
from kws_stream.training.stages import recipe_from_toml
from kws_stream.workers import Progress, Workers

if TYPE_CHECKING:
    from kws_stream.training.model import SpottingNetwork
    from kws_stream.training.verifying import Taught

DECISION_S = 0.6  # the end of each clip; also the detector's window
TARGET_PER_HOUR = 0.3  # false accepts in held-out speech and noise, where none are asked for
# of the network, where a verifier of the kind judges them; see docs/cascade.md. In people's
# telephone speech they are up to 2.5 times as many, for which `mcu` takes some 100 uW
TRIGGERS_PER_HOUR = {"host": 200.0, "mcu": 70.0}
# added to the phrase's logit where an `mcu` verifier judges: a trigger has to lead all classes, and
# at even scores some networks trigger less often than that
EAGER = 2.0
SNR_DB = 15.0  # of the held-out phrases over noise
ROW_HOPS = 750  # of running speech and noise
MOST_WORDS = 4000  # real clips of single words, of each folder; more of them teach little
BABBLE_VOICES = 4
BABBLE_HOPS = 60_000  # ten minutes


def train_phrase(
    words: str,
    out: str | Path,
    *,
    config: Path | None = None,
    positives: Path | None = None,
    data: Path | None = None,
    run: Path | None = None,
    start_from: Sequence[Path] = (),
    resume: bool = False,
    kokoro: Path | None = None,
    target: float | None = None,
    device: str = "cpu",
    verifier: str | None = None,
    threads: int | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Synthesise, train, choose the threshold, write the pack, and return its metrics.

    words: the wake phrase. config: a recipe file that changes some settings. positives: folder of
    own recordings of the phrase. data: folder of real speech to hear too. kokoro: folder of
    Kokoro's files, by default where `kokoro.DEFAULT_FOLDER` has them. target: false accepts per
    hour that the threshold is chosen for. verifier: "host", "mcu" or "none"; by default host where
    its extra, phrase, is installed. The rest, and the errors: as of `runs.train`.
    """
    out = Path(out)
    packs.check_replaceable(out)
    phrase = Phrase.parse(words)
    if positives is not None:  # a folder without recordings is refused before all the rest
        audio_below(positives)
    progress, complain = reporter.progress, reporter.note
    with progress("loading PyTorch", first_s=IMPORT_S):
        set_up(device, threads)
    import torch

    from kws_stream.training import verifier_lesson, verifier_network, verifying

    verified = verifier != "mcu" and verifying.wanted(verifier)
    if kokoro is None and kokoro_files.DEFAULT_FOLDER.is_dir():
        kokoro = kokoro_files.DEFAULT_FOLDER
    goal = TARGET_PER_HOUR if target is None else target
    jobs = torch.get_num_threads()
    sources = data_sources(phrase, positives is not None, data, kokoro is not None)
    with progress("looking for what sounds like the phrase"):
        recipe = recipe_for(phrase, config)
        short = length_note(phrase)
        run = run or Path("runs") / recipe.name
        writable_folder(run)
        amounts = Amounts.from_dict(recipe.speech)
        speech = Speech(
            *(phrase, recipe.clip_s, amounts, recipe.seed, run / "speech", positives),
            *(kokoro, CACHE / "kokoro", verifier == "mcu"),
        )
    if short is not None:
        complain(short)
    if kokoro is None:
        complain(
            "training without Kokoro's voices, with which fewer people are missed: "
            f"{kokoro_files.GET_THEM}; run this again then"
        )
    for note in speech.skipped.notes:
        complain(note)
    with progress("synthesising speech", "files") as made:
        speech.write(jobs, made)
    notes: list[str] = []
    with progress("computing envelopes", "recordings") as done:
        corpus = corpus_of(speech.folder, data, recipe, CACHE, jobs, notes=notes, progress=done)
    for note in notes:
        complain(note)
    training = run_training(
        recipe, corpus, run, start_from, resume, device=device, reporter=reporter
    )
    taught = None
    if verified:
        with progress("embedding speech", "recordings") as embedded:
            lesson = verifier_lesson.prepare(
                *(speech.folder, data, lambda word: is_other(word, recipe), embedded),
                run / verifier_lesson.NAME,
            )
        with progress("training the verifier", "steps") as trained:
            taught = verifying.teach(lesson, progress=trained)
        sources = [*sources, verifying.SOURCE]
    if verifier == "mcu":
        settings = verifier_network.DEFAULT
        with progress("computing envelopes", "recordings") as done:
            varied = with_variety(corpus, speech.folder, recipe, CACHE, jobs, progress=done)
        with progress("training the verifier", "steps") as trained:
            taught = verifier_network.teach(
                *(varied, recipe, settings), lambda step, loss: trained(step, settings.steps)
            )
    with progress("choosing the threshold, heard", "s") as heard:
        return finish(
            *(training.network, recipe, corpus, speech.folder, out, sources, jobs),
            *(heard, goal, taught, data),
        )


def recipe_for(phrase: Phrase, config: Path | None = None) -> Recipe:
    """The default recipe of a phrase, with the settings of a TOML file in place of its own.

    Raises ParameterError for a phrase that is too long and a wrong file, MissingExtraError where
    espeak-ng or flite is missing.
    """
    if config is not None:
        _recipe_of(phrase, 1.0, config)  # what is wrong with it is told at once
    return _recipe_of(phrase, usual_length_s(phrase), config)


def _recipe_of(phrase: Phrase, length_s: float, config: Path | None) -> Recipe:
    """The recipe of a phrase of that length."""
    clip_s = max(1.0, round(1.4 * length_s + 0.6, 1))
    defaults: dict[str, Any] = {
        "name": phrase.pack,
        "task": WAKE_PHRASE,
        "phrase": phrase.text,
        "description": f'The wake phrase "{phrase.text}"',
        "width": 64,
        "cells": 64,
        "blocks": 3,
        "steps": 5000,
        "batch_size": 32,
        "clips_per_sequence": 3,
        "learning_rate": 4e-3,
        "muon_lr": 0.025,
        "dropout": 0.05,
        "label_smoothing": 0.0,
        "between_weight": 0.2,
        "background_share": 0.2,
        "eps_share": 0.4,
        "current_scale": 0.5,
        "power_weight": 0.03,
        "augment": 1.3,
        "masks": 0.3,
        "clip_s": clip_s,
        "decision_s": (round(clip_s - DECISION_S, 2), clip_s),
        "features": {
            "hops_per_frame": 2,
            "selectivity": 1.7,
            "slow_s": [0.03, 0.06, 0.12, 0.25, 0.5, 1.0],
        },
        "detector": {
            "window_s": DECISION_S,
            "threshold": 0.8,
            "rearm": 0.4,
            "refractory_s": 1.0,
            "onset_s": round(length_s, 2),
        },
    }
    if config is None:
        return Recipe.from_settings(defaults)
    recipe = recipe_from_toml(config, **defaults)
    if (recipe.task, recipe.phrase) != (WAKE_PHRASE, phrase.text):
        raise ParameterError(
            f"{config}: need a recipe without task and phrase, which --wake-phrase gives, got "
            f"{recipe.task} and {recipe.phrase!r}"
        )
    return recipe


def corpus_of(
    speech: Path,
    data: Path | None,
    recipe: Recipe,
    cache: Path,
    jobs: int = 1,
    *,
    notes: list[str] | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Envelopes of synthetic speech and, where `data` holds any, of real speech without the phrase.

    Folders of `data` that are named after the phrase are left out, and all of wake_phrases. notes,
    progress: as of `Corpus.from_folders`.
    """
    skipped = Skipped()
    load = partial(
        load_envelopes,
        settings=recipe.features,
        cache=cache,
        jobs=jobs,
        clip_s=recipe.clip_s,
        progress=progress,
    )
    sides = {"training": speech / "training", "validation": speech / "held_out"}
    clips: dict[str, Clips] = {}
    for kind in ("phrase", "recordings", "near", "words"):
        files = {side: audio_files(folder / kind) for side, folder in sides.items()}
        if files["training"]:
            splits = [side for side, found in files.items() for _ in found]
            everything = [f for found in files.values() for f in found]
            clips[kind] = Clips(load(everything), np.full(len(splits), kind), np.array(splits))
    load_long = partial(load, whole=True, row_hops=ROW_HOPS)
    running = load_long(audio_files(sides["training"] / "running"))
    noises = [load_long(audio_files(sides["training"] / "noise")), babble(running)]
    streams = {"running": running}
    if data is not None:
        for name in ("speech_commands", "other_words"):
            by_word = words_in(folder_of(data, name), skipped)
            pairs = sorted(
                (f, word)
                for word, files in by_word.items()
                if is_other(word, recipe)
                for f in files
            )
            if len(pairs) > MOST_WORDS:
                rows = np.random.default_rng(recipe.seed).permutation(len(pairs))[:MOST_WORDS]
                pairs = [pairs[row] for row in sorted(rows.tolist())]
            if pairs:
                files_of = [f for f, _ in pairs]
                splits_of = np.array([split_of(f.name) for f in files_of])
                words = np.array([word for _, word in pairs])
                clips[name] = Clips(load(files_of), words, splits_of)
        for name, folders in REAL_STREAMS.items():
            places = [data / folder for folder in folders]
            found = training_files(f for place in places for f in audio_files(place, skipped))
            if found and name == "noise":
                noises.append(load_long(found))
            elif found:
                streams[name] = load_long(found)
    if notes is not None:
        notes += skipped.notes
    return Corpus(clips, streams | {"noise": np.concatenate(noises)})


def with_variety(
    corpus: Corpus,
    speech: Path,
    recipe: Recipe,
    cache: Path,
    jobs: int = 1,
    *,
    progress: Progress | None = None,
) -> Corpus:
    """The corpus with clips that are varied for training, in place of those of the same kind."""
    clips = dict(corpus.clips)
    for kind in VARIED:
        files = audio_files(speech / "training" / "varied" / kind)
        made = load_envelopes(
            files, recipe.features, cache, jobs, clip_s=recipe.clip_s, progress=progress
        )
        held_out = clips[kind].splits != "training"
        clips[kind] = Clips(
            np.concatenate([made, clips[kind].envelopes[held_out]]),
            np.full(len(made) + int(held_out.sum()), kind),
            np.concatenate([np.full(len(made), "training"), clips[kind].splits[held_out]]),
        )
    return replace(corpus, clips=clips)


REAL_STREAMS = {
    "running_speech": ["running_speech"],
    "noise": ["noise", "speech_commands/_background_noise_"],
}


def is_other(word: str, recipe: Recipe) -> bool:
    """Whether a folder of words holds another word than the phrase, however it is written."""
    return folded(word) not in (folded(recipe.classes[0]), folded(recipe.phrase))


def babble(running: Envelopes) -> Envelopes:
    """Several voices at once: envelopes of independent sounds add in power."""
    parts = [np.roll(running, len(running) * i // BABBLE_VOICES, 0) for i in range(BABBLE_VOICES)]
    power = np.sum([np.square(part[:BABBLE_HOPS]) for part in parts], axis=0)
    mixed: Envelopes = np.sqrt(power).astype(np.float32)
    return mixed


def held_out_streams(speech: Path, keyword: str) -> list[Stream]:
    """Running speech, noise, and the phrase over noise, by voices that training never heard."""
    held_out = speech / "held_out"
    noise = evaluation.background_in([held_out / "noise"])
    clips = evaluation.word_clips(held_out / "clips", [keyword])
    streams: list[Stream] = [
        *evaluation.streams_of([held_out / "running", held_out / "noise"]),
        *evaluation.synthesise(clips, noise, None, SNR_DB, 0, str(held_out / "clips")),
    ]
    return streams


def finish(
    network: "SpottingNetwork",
    recipe: Recipe,
    corpus: Corpus,
    speech: Path,
    out: Path,
    data: list[dict[str, str]],
    jobs: int = 1,
    progress: Callable[[float], None] = lambda seconds: None,
    target: float = TARGET_PER_HOUR,
    verifier: "Taught | None" = None,
    real_speech: Path | None = None,
) -> dict[str, Any]:
    """Write the pack with the threshold that held-out streams ask for; returns its metrics.

    progress: hears of the seconds of stream heard. target: false accepts per hour. verifier: the
    second stage, with which the network's threshold is for `TRIGGERS_PER_HOUR`. real_speech: the
    folder `--data`; false accepts in the running speech that no training heard are counted.
    """
    keyword = recipe.classes[0]
    if verifier is not None and verifier.fields["kind"] == "mcu":
        network.classifier.bias.data[0] += EAGER
    write_pack(network, recipe, corpus, out, data)
    with Workers(jobs) as workers:
        streams = held_out_streams(speech, keyword)
        first = target
        if verifier is not None:
            first = max(target, TRIGGERS_PER_HOUR[verifier.fields["kind"]])
        tuning = evaluation.tune(streams, out, first, progress, workers)
        threshold = tuning.recommended.thresholds[keyword]
        recipe = replace(recipe, detector=replace(recipe.detector, threshold=threshold))
        write_pack(network, recipe, corpus, out, data, verifier)
        counts = tuning.recommended.counts
        if verifier is not None:
            chosen, counts = evaluation.verifier_threshold(
                streams, packs.load(out), target, progress, workers
            )
            fields = {**verifier.fields, "threshold": chosen}
            write_pack(network, recipe, corpus, out, data, replace(verifier, fields=fields))
        folder, real = write_people(real_speech, speech / "held_out"), None
        if folder is not None:
            people = evaluation.streams_of([folder])
            real = evaluation.evaluate_streams(people, out, progress, workers)
        misses = evaluation.word_clips(speech / "held_out" / "misses", [keyword])
        noise = evaluation.background_in([speech / "held_out" / "noise"])
        made = evaluation.synthesise(misses, noise, None, SNR_DB, 0, "near misses")
        near = evaluation.evaluate_streams(made, out, workers=workers)
    metrics = _metrics(counts, near.point.false_accepts / len(misses), speech, out, target)
    if real is not None:
        command = f"kws-stream evaluate-stream -m {_quoted(out)} {shlex.quote(str(folder))}"
        per_hour = round(real.point.false_accepts / real.point.hours, 4)
        metrics["people_false_accepts_per_hour"] = {"value": per_hour, "command": command}
    packs.save_metrics(out, metrics)
    return metrics


def _metrics(counts: Counts, near: float, speech: Path, out: Path, target: float) -> dict[str, Any]:
    """Each figure with the command that gives it, from where the speech was made."""
    held_out, pack = shlex.quote(f"{speech}/held_out"), _quoted(out)
    noise = f"--background {held_out}/noise --snr {SNR_DB:g}"
    tune = f"kws-stream tune {pack} {held_out}/running --positives {held_out}/clips {noise}"
    tune += f" --target-fa-per-hour {target:g}"
    stream = f"kws-stream evaluate-stream -m {pack} --synthesise {held_out}/misses {noise}"
    values = {
        "synthetic_false_reject_rate": (1 - counts.hits / counts.words, tune),
        "synthetic_false_accepts_per_hour": (counts.false_accepts / counts.hours, tune),
        "synthetic_near_misses_accepted": (near, stream),
    }
    metrics = {k: {"value": round(v, 4), "command": command} for k, (v, command) in values.items()}
    metrics["synthetic_false_reject_rate"]["words"] = counts.words
    return metrics


def _quoted(out: Path) -> str:
    return shlex.quote(packs.load(out).name)


def data_sources(
    phrase: Phrase, own_recordings: bool, data: Path | None, kokoro: bool = False
) -> list[dict[str, str]]:
    """What a manifest says of the data.

    Raises MissingExtraError where a tool is missing, DataError where `data` holds nothing to use.
    """
    versions = ", ".join(f"{tool} {version}" for tool, version in tool_versions().items())
    entries = [
        {
            "name": f"synthetic speech by {versions}; synthetic noise",
            "licence": "made by this project; espeak-ng (GPL-3.0-or-later) and flite (a BSD-style "
            "licence) were run as programs",
            "source": f"kws-stream train --wake-phrase {shlex.quote(phrase.text)}",
        }
    ]
    if kokoro:
        entries.append(
            {
                "name": "synthetic speech by Kokoro-82M v1.0",
                "licence": "made by this project; the synthesiser's weights: Apache-2.0",
                "source": "--kokoro",
            }
        )
    if own_recordings:
        entries.append(
            {
                "name": "own recordings of the phrase",
                "licence": "of whoever made them",
                "source": "--positives",
            }
        )
    if data is not None:
        real = ("speech_commands", "other_words", "running_speech", "noise")
        found = [SOURCES[name] for name in real if audio_files(data / name)]
        if not found:
            raise DataError(
                f"{data}: need recordings in folders {', '.join(real[:3])} or {real[3]}, found "
                "none; leave out --data to train on synthetic speech alone"
            )
        entries += found
    return entries
