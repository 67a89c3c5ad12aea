"""`kws-stream train --wake-phrase`: some words in, a model pack out."""

from pathlib import Path

import click

from kws_stream.cli.train import CACHE, folders_to_start_from, run_training


def train_phrase(
    words: str,
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
) -> None:
    """Synthesise, train, choose the threshold, write the pack."""
    import torch
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    from kws_stream.training import wake_phrase
    from kws_stream.training.phrase import Phrase
    from kws_stream.training.phrase_speech import Amounts, Speech

    console = Console(stderr=True)
    jobs = torch.get_num_threads()
    phrase = Phrase.parse(words)
    recipe = wake_phrase.recipe_for(phrase, config)
    sources = wake_phrase.sources(phrase, positives is not None, data, kokoro is not None)
    run = run or Path("runs") / recipe.name
    starts = folders_to_start_from(recipe, run, start_from)
    amounts = Amounts.from_dict(recipe.speech)
    speech = Speech(phrase, recipe.clip_s, amounts, recipe.seed, run / "speech", positives, kokoro)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("synthesising", total=None)
        speech.write(jobs, lambda done, total: bar.update(task, completed=done, total=total))
    corpus = wake_phrase.corpus_of(speech.folder, data, recipe, CACHE, jobs)
    training = run_training(recipe, corpus, run, starts, resume, console, device=device)
    columns = (TextColumn("choosing the threshold: {task.completed:.0f} s heard"),)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        heard = bar.add_task("heard", total=None)
        metrics = wake_phrase.finish(
            *(training.network, recipe, corpus, speech.folder, out, sources, jobs),
            lambda seconds: bar.update(heard, completed=seconds),
            wake_phrase.TARGET_PER_HOUR if target is None else target,
        )
    for name, metric in metrics.items():
        click.echo(f"{name}: {metric['value']}")
    console.print(f"wrote {out}")
