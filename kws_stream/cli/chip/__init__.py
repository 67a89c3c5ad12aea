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
    package=__name__,
    groups={"Commands": ("settings", *STUDIES)},
)
def chip() -> None:
    """Study a model on virtual chips that are not ideal.

    Without --set a chip is ideal, which is the exact network, except for what the study varies.
    `pvt` starts from the typical chip, and `montecarlo` draws chips as a foundry would make them.

    Example: kws-stream chip montecarlo -m yes-4 --chips 100
    """
