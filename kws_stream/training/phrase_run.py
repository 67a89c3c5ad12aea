"""Training for a wake phrase: some words in, a model pack out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kws_stream import packs
from kws_stream.evaluation.sources import audio_below
from kws_stream.training.corpus import CACHE
from kws_stream.training.extra import set_up
from kws_stream.training.phrase import Phrase
from kws_stream.training.reporter import IMPORT_S, SILENT, Reporter
from kws_stream.training.runs import run_training


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

    from kws_stream.training import kokoro as kokoro_files
    from kws_stream.training import verifier_lesson, verifier_network, verifying, wake_phrase
    from kws_stream.training.phrase_speech import Amounts, Speech

    verified = verifier != "mcu" and verifying.wanted(verifier)
    if kokoro is None and kokoro_files.DEFAULT_FOLDER.is_dir():
        kokoro = kokoro_files.DEFAULT_FOLDER
    goal = wake_phrase.TARGET_PER_HOUR if target is None else target
    jobs = torch.get_num_threads()
    sources = wake_phrase.sources(phrase, positives is not None, data, kokoro is not None)
    with progress("looking for what sounds like the phrase"):
        recipe = wake_phrase.recipe_for(phrase, config)
        run = run or Path("runs") / recipe.name
        amounts = Amounts.from_dict(recipe.speech)
        speech = Speech(
            *(phrase, recipe.clip_s, amounts, recipe.seed, run / "speech", positives),
            *(kokoro, CACHE / "kokoro"),
        )
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
        corpus = wake_phrase.corpus_of(
            speech.folder, data, recipe, CACHE, jobs, notes=notes, progress=done
        )
    for note in notes:
        complain(note)
    training = run_training(
        recipe, corpus, run, start_from, resume, device=device, reporter=reporter
    )
    taught = None
    if verified:
        with progress("embedding speech", "recordings") as embedded:
            lesson = verifier_lesson.prepare(
                *(speech.folder, data, lambda word: wake_phrase.is_other(word, recipe), embedded),
                run / verifier_lesson.NAME,
            )
        with progress("training the verifier", "steps") as trained:
            taught = verifying.teach(lesson, goal, progress=trained)
        sources = [*sources, verifying.SOURCE]
    if verifier == "mcu":
        settings = verifier_network.DEFAULT
        with progress("training the verifier", "steps") as trained:
            taught = verifier_network.teach(
                *(corpus, recipe, settings), lambda step, loss: trained(step, settings.steps)
            )
    with progress("choosing the threshold, heard", "s") as heard:
        return wake_phrase.finish(
            *(training.network, recipe, corpus, speech.folder, out, sources, jobs),
            heard,
            goal,
            taught,
        )
