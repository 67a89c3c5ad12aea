"""The command line: `kws-stream`. One file a command; each loads when it is used."""

from pathlib import Path

import click

from kws_stream import __version__
from kws_stream.cli.group import CommandLine
from kws_stream.cli.options import json_option, model_option, power_option, power_plot_option


def _show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from kws_stream import engine

        click.echo(f"kws-stream, version {__version__} (engine: {engine.kind})")
        context.exit()


@click.group(
    cls=CommandLine,
    invoke_without_command=True,
    package=__name__,
    groups={
        "Detect and listen": ("detect", "listen", "triggers", "devices", "doctor"),
        "Serve": ("serve",),
        "Models": ("model", "evaluate", "evaluate-stream", "tune", "verify-backends"),
        "Train": ("train", "train-verifier", "teach", "search", "data"),
        "Chip": ("power", "chip", "spice", "program", "chip-info"),
        "Export": ("export-c", "export-web", "export-onnx"),
    },
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and which engine runs, and exit.",
)
@power_option("Print the power that a chip with MODEL would take for the packaged recording.")
@model_option("yes-4", "Model for --power-report:")
@json_option("Print --power-report as one JSON object.")
@power_plot_option
@click.pass_context
def main(
    context: click.Context,
    power_report: bool,
    full: bool,
    model: str,
    as_json: bool,
    figure: Path | None,
) -> None:
    """Find keywords in sound, and estimate the power that an analog chip would take.

    `kws-stream COMMAND --help` explains a command.
    """
    if context.invoked_subcommand is not None:
        given = [
            option.opts[-1]
            for option in context.command.params
            if option.name is not None
            and option.name in context.params
            and context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
        ]
        if given:
            raise click.UsageError(
                f"{given[0]} belongs after {context.invoked_subcommand}, not before it."
            )
        return
    if figure is not None:
        power_report = True
    if not power_report:
        raise click.UsageError("Missing command.")
    from kws_stream.cli.power_report import print_packaged

    print_packaged(model, as_json, figure, full)
