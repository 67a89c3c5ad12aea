"""`kws-stream train --wake-phrase`: some words in, a model pack out."""

from pathlib import Path
from typing import TYPE_CHECKING

from kws_stream.cli.output import complain, say
from kws_stream.cli.progress import progress
from kws_stream.cli.train import CACHE, run_training

if TYPE_CHECKING:
    from kws_stream.training.phrase import Phrase


def train_phrase(
    phrase: "Phrase",
    *,
    config: Path | None,
    positives: Path | None,
    data: Path | None,
    out: Path,
    run: Path | None,
    start_from: tuple[Path, ...],
    resume: bool,
    kokoro: Path | None,
    target: float | None,
    device: str,
    verifier: str | None,
) -> None:
    """Synthesise, train, choose the threshold, write the pack."""
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
    training = run_training(recipe, corpus, run, start_from, resume, device=device)
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
        metrics = wake_phrase.finish(
            *(training.network, recipe, corpus, speech.folder, out, sources, jobs),
            heard,
            goal,
            taught,
        )
    for name, metric in metrics.items():
        say(f"{name}: {metric['value']}")
    complain(f"wrote {out}")
