"""`kws-stream triggers`: what `--keep-triggers` kept."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.group import Group
from kws_stream.cli.options import fa_target_option, json_option
from kws_stream.cli.output import complain, print_json, printable, say
from kws_stream.cli.progress import TERMINAL
from kws_stream.errors import DataError, DeviceError
from kws_stream.names import counted

if TYPE_CHECKING:
    from kws_stream.live import TriggerRecord

ANSWERS = ("yes", "no", "true-accept", "false-accept")


@click.group(cls=Group)
def triggers() -> None:
    """List, play and label the triggers that were kept.

    `listen` and `serve` keep triggers with --keep-triggers FOLDER.
    """


@triggers.command("list")
@click.argument("folder")
@json_option()
def list_triggers(folder: str, as_json: bool) -> None:
    """List the triggers in FOLDER, oldest first.

    Records that cannot be read are reported at the end and set aside; the exit status is then 1.
    """
    from kws_stream.live import read_triggers

    damaged: list[str] = []
    records = read_triggers(folder, damaged.append)
    for number, record in enumerate(records, 1):
        values = record.values
        if as_json:
            shown = ("kept_at", "event", "label", "model", "threshold", "source")
            print_json({"name": record.name} | {name: values.get(name) for name in shown})
            continue
        event = values["event"]
        say(
            f"{number:>4}  {str(values.get('kept_at'))[:19]}  {event['keyword']:<12} "
            f"score {event['score']:.2f}  {record.label or '-':<4} {record.name}"
        )
    if not records and not damaged:
        complain(f"{folder}: no triggers")
    for text in damaged:
        complain(f"error: {text}")
    if damaged:
        raise click.exceptions.Exit(1)


@triggers.command()
@click.argument("folder")
@click.argument("name")
def play(folder: str, name: str) -> None:
    """Play a trigger of FOLDER.

    NAME is the trigger's name, or its number in the list.
    """
    _play(_find(folder, name))


@triggers.command()
@click.argument("folder")
@click.argument("name", required=False)
@click.argument("answer", type=click.Choice([*ANSWERS, "clear"]), required=False)
def label(folder: str, name: str | None, answer: str | None) -> None:
    """Label a trigger: was its word spoken?

    The label is yes (or true-accept), no (or false-accept), or clear, which removes it. NAME is
    the trigger's name, or its number in the list. Without NAME, each trigger without a label is
    played, and the command asks for its label.
    """
    if name is None:
        _ask_for_all(folder)
        return
    if answer is None:
        raise click.UsageError("need yes, no or clear after NAME.")
    record = _find(folder, name)
    record.set_label(None if answer == "clear" else answer)
    say(f"{record.name}: {record.label or answer}")


@triggers.command()
@click.argument("folder")
@click.argument("model", metavar="PACK")
@click.option(
    "--run",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the training run of PACK. Default: runs/NAME.",
)
@fa_target_option("Choose the verifier's threshold for this many false accepts an hour.")
@click.option(
    *("-o", "--output", "out"),
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Write the new model pack to this folder.",
)
def teach(folder: str, model: str, run: Path | None, target: float, out: Path) -> None:
    """Teach a verifier from labelled triggers.

    PACK, a name or a folder, stays as it is. A copy gets a verifier that has also heard the
    triggers in FOLDER, those with the label yes as the phrase and those with the label no as other
    speech. The command takes about half a minute. It needs the run in which `train --wake-phrase`
    made PACK.
    """
    from kws_stream import training
    from kws_stream.live import read_triggers, trigger_audio

    kept = []
    for record in read_triggers(folder, complain):
        if record.label is not None:
            at_s = record.values["event"]["time_s"] - record.values["audio_start_s"]
            kept.append((trigger_audio(record), at_s, record.label == "yes"))
    threshold, heard = training.teach_triggers(
        model, kept, out, run=run, target=target, reporter=TERMINAL
    )
    say(f"verifier: threshold {threshold:g}, taught from {counted(heard, 'trigger')}")
    complain(f"wrote {out}")


def _ask_for_all(folder: str) -> None:
    from kws_stream.live import read_triggers

    waiting = [record for record in read_triggers(folder, complain) if record.label is None]
    if not waiting:
        complain(f"{folder}: no trigger without a label")
    for number, record in enumerate(waiting, 1):
        event = record.values["event"]
        say(f"{number} of {len(waiting)}: {event['keyword']}, score {event['score']:.2f}")
        try:
            _play(record)
        except DeviceError as error:
            complain(str(error))
        answer = click.prompt(
            printable(f"Was it {event['keyword']!r}? (yes, no, skip, quit)"),
            type=click.Choice([*ANSWERS, "skip", "quit"]),
            show_choices=False,
        )
        if answer == "quit":
            return
        if answer != "skip":
            record.set_label(answer)


def _find(folder: str, name: str) -> "TriggerRecord":
    from kws_stream.live import read_triggers

    records = read_triggers(folder, complain)
    for number, record in enumerate(records, 1):
        if name in (record.name, f"{record.name}.json", f"{record.name}.wav", str(number)):
            return record
    if not records:
        raise DataError(f"{folder}: need a folder with triggers, got one without any")
    raise DataError(
        f"{folder}: need the name of a trigger or a number from 1 to {len(records)}, got "
        f"{name!r:.200}; see `triggers list`"
    )


def _play(record: "TriggerRecord") -> None:
    from kws_stream.audio.devices import load_backend
    from kws_stream.constants import SAMPLE_RATE_HZ
    from kws_stream.live import trigger_audio

    samples = trigger_audio(record)
    sd = load_backend(None)
    try:
        sd.play(samples, SAMPLE_RATE_HZ)
        sd.wait()
    except (sd.PortAudioError, ValueError) as error:
        raise DeviceError(
            f"need a loudspeaker to play {record.audio}, got {error}; connect one or open the file"
        ) from error
