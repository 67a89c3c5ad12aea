"""`kws-stream chip`: studies of the network on chips that are not ideal. One file a study."""

import click

from kws_stream.cli.group import CommandLine

STUDIES = (
    *("montecarlo", "noise", "robustness", "pvt", "quantise", "scaling", "settling", "calibrate"),
    "accumulation",
    "frontier",
    "claims",
)


@click.group(
    cls=CommandLine,
    commands_in={name: f"kws_stream.cli.chip.{name}" for name in ("settings", *STUDIES)},
)
def chip() -> None:
    """Study a model on virtual chips that are not ideal.

    Without --set the chip is ideal, the exact network, but for what a study varies; `pvt` starts
    from the typical chip, `montecarlo` draws chips as of a foundry."""
