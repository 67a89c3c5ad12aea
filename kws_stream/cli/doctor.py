"""`kws-stream doctor`: what is wrong, and what to do about it."""

from dataclasses import asdict

import click

from kws_stream.cli.options import NumberRange, json_option
from kws_stream.cli.output import complain, print_json, say

_COLOURS = {"good": "green", "note": "yellow", "bad": "red"}


@click.command()
@click.option(
    *("-m", "--model", "models"),
    multiple=True,
    metavar="MODEL",
    help="Model to verify. Repeatable. Default: all packaged models.",
)
@click.option(
    "--device", metavar="D", help="Microphone to check, by its index or a part of its name."
)
@click.option(
    "--seconds",
    type=NumberRange(0.1, 60),
    default=3.0,
    show_default=True,
    metavar="S",
    help="Length of the recording.",
)
@click.option("--no-recording", is_flag=True, help="Do not record from the microphone.")
@json_option("Print one JSON object.")
@click.pass_context
def doctor(
    context: click.Context,
    models: tuple[str, ...],
    device: str | None,
    seconds: float,
    no_recording: bool,
    as_json: bool,
) -> None:
    """Check microphone, speed, models and versions.

    The exit status is 1 if a check fails. The recording is not kept.
    """
    from kws_stream.live.checkup import check_up

    if not no_recording:
        complain(f"records {seconds:g} s from the microphone, if there is one: say something")
    findings = []
    for finding in check_up(models, device, None if no_recording else seconds):
        findings.append(finding)
        if not as_json:
            mark = click.style(f"{finding.status:<4}", fg=_COLOURS[finding.status])
            click.echo(f"{mark}  ", nl=False)  # `say` would show the colour as an escape
            say(f"{finding.what}: {finding.text}")
            if finding.advice:
                say(f"      {finding.advice}")
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    if any(finding.status == "bad" for finding in findings):
        context.exit(1)
