#!/usr/bin/env python3
"""Make the packaged models, from the training speech to the packs, in one command.

    python scripts/make_packs.py --data DIR --pictures pictures.tar.xz --kokoro kokoro --out made

Runs the steps that docs/training.md explains, one after the other, and keeps what each has made in
OUT: `synth` (clips that synthesisers speak), `teacher`, and `models/NAME`; `networks/NAME` for a
model that gets a verifier too. Begun again it goes on with the command that it was in, and a
training with its last checkpoint. --models chooses packs; --list prints the commands and runs none.
Days on a laptop for all of them, so choose.
"""

import shlex
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
SYNTHESISE = [sys.executable, str(ROOT / "scripts" / "synthesise_words.py")]
SPLICE = [sys.executable, str(ROOT / "scripts" / "splice_words.py")]
KWS_STREAM = [sys.executable, "-m", "kws_stream"]
MODELS = (
    *("yes-4", "yes-8", "yes-16", "commands-12-small", "commands-12", "commands-12-large"),
    "commands-35",
)
VERIFIED = ("yes-16", "commands-12")  # with a second stage for a microcontroller

EIGHT = ["yes", "no", "up", "down", "left", "right", "stop", "go"]
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def words_of(name: str) -> list[str]:
    return (ROOT / "recipes" / f"{name}-words.txt").read_text("utf-8").split()


def speech(data: Path, kokoro: Path | None, synth: Path) -> list[list[str]]:
    """Commands that make the clips of every word; Kokoro's only where it is."""
    into = ["--out", str(synth)]
    rare, benchmark = ["on", "off"], words_of("benchmark")
    commands = [
        [*SPLICE, str(data / "speech_commands"), *rare, "--count", "1500", *into],
        [*SYNTHESISE, *rare, "--count", "700", *into],
        [*SYNTHESISE, *EIGHT, "--count", "150", *into],
        [*SYNTHESISE, *words_of("unknown"), "--count", "24", *into],
        [*SYNTHESISE, *benchmark, "--count", "150", *into],
    ]
    if kokoro is not None:
        voices = ["--kokoro", str(kokoro), *into]
        confused = ["go", "stop", "left", "right", "no", "down"]
        commands += [
            [*SYNTHESISE, *rare, "--count", "350", "--seed", "7", *voices],
            [*SYNTHESISE, *benchmark, "--count", "12", "--seed", "7", *voices],
            [*SYNTHESISE, *EIGHT, "--count", "20", "--seed", "7", *voices],
            [*SYNTHESISE, *confused, "--count", "120", "--seed", "11", *voices],
        ]
    return commands


def training(model: str, data: Path, pictures: Path, out: Path) -> list[str]:
    command = [*KWS_STREAM, "train", str(ROOT / "recipes" / f"{model}.toml"), "--data", str(data)]
    folder = out / ("networks" if model in VERIFIED else "models")
    command += ["--pictures", str(pictures), "--output", str(folder / model)]
    command += ["--run", str(out / "runs" / model)]
    if model == "commands-35":
        start = str(out / "models" / "commands-12-large")
        return [*command, "--start-from", start, "--from-stage", "trained"]
    command += ["--synthetic", str(out / "synth"), "--teacher", str(out / "teacher")]
    if model == "commands-12-large":
        command += ["--teacher", str(out / "posteriors.npz")]
    return command


def steps(
    models: tuple[str, ...],
    data: Path,
    pictures: Path,
    kokoro: Path | None,
    classifier: Path | None,
    out: Path,
) -> list[list[str]]:
    """All commands in order, those of the packs behind what they need."""
    commands = speech(data, kokoro, out / "synth")
    recipe = str(ROOT / "recipes" / "commands-12.toml")
    shown = ["--data", str(data), "--pictures", str(pictures)]
    commands.append([*KWS_STREAM, "data", "fit-pictures", recipe, *shown])
    if "commands-12-large" in models:
        said = ["-o", str(out / "posteriors.npz")]
        commands.append([*KWS_STREAM, "data", "ask-teacher", str(classifier), *shown, *said])
    heard = ["--data", str(data), "--synthetic", str(out / "synth")]
    teach = [*KWS_STREAM, "teach", str(ROOT / "recipes" / "teacher.toml"), *heard]
    commands.append([*teach, "--output", str(out / "teacher"), "--steps", "12000"])
    for model in models:
        commands.append(training(model, data, pictures, out))
        if model in VERIFIED:
            verify = [*KWS_STREAM, "train-verifier", str(out / "networks" / model), *heard]
            verify += ["--pictures", str(pictures), "--steps", "6000"]
            commands.append([*verify, "--output", str(out / "models" / model)])
    return commands


@click.command(help=__doc__)
@click.option("--data", type=FOLDER, required=True, help="Folder that holds speech_commands.")
@click.option("--pictures", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--kokoro", type=FOLDER, help="Made by `kws-stream data fetch kokoro`.")
@click.option(
    "--classifier",
    type=click.Path(exists=True, path_type=Path),
    help="The TensorFlow Lite classifier that commands-12-large learns from (docs/training.md).",
)
@click.option("--models", type=click.Choice(MODELS), multiple=True, help="Default: all.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--list", "only_list", is_flag=True, help="Print the commands, run none.")
def main(
    data: Path,
    pictures: Path,
    kokoro: Path | None,
    classifier: Path | None,
    models: tuple[str, ...],
    out: Path,
    only_list: bool,
) -> None:
    models = models or MODELS
    if "commands-12-large" in models and classifier is None:
        raise click.UsageError(
            "commands-12-large: need --classifier, which it learns from; give one, or choose "
            "other models by --models"
        )
    if "commands-35" in models and "commands-12-large" not in models:
        raise click.UsageError("commands-35: need commands-12-large, which it begins with")
    commands = steps(models, data, pictures, kokoro, classifier, out)
    if only_list:
        click.echo("\n".join(shlex.join(command) for command in commands))
        return
    out.mkdir(parents=True, exist_ok=True)
    done = out / "done.txt"
    finished = set(done.read_text("utf-8").splitlines()) if done.exists() else set()
    for command in commands:
        line = shlex.join(command)
        if line in finished:
            continue
        click.echo(f"make_packs: {line}", err=True)
        checkpoint = "--run" in command and any(
            Path(command[command.index("--run") + 1]).rglob("checkpoint.safetensors")
        )
        status = subprocess.run([*command, *(["--resume"] if checkpoint else [])]).returncode
        if status:
            raise click.ClickException(
                f"{line}: ended with status {status}; mend what it says, and run this again"
            )
        with done.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
