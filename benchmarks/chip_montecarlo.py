"""Seconds for many virtual chips on the packaged clips, for one process and for all cores."""

import os
import time

import click

from kws_stream import packs, studies
from kws_stream.bmru.chip import ChipSettings
from kws_stream.workers import Workers


@click.command(help=__doc__)
@click.option("--model", default="yes-4", show_default=True)
@click.option("--chips", default=1000, show_default=True)
def main(model: str, chips: int) -> None:
    pack = packs.load(model)
    began = time.perf_counter()
    utterances = studies.load_utterances(pack)
    click.echo(f"features of {len(utterances)} clips: {time.perf_counter() - began:.1f} s")
    settings = ChipSettings(mismatch_percent=5)
    for jobs in dict.fromkeys((1, os.cpu_count() or 1)):
        with Workers(jobs) as workers:
            began = time.perf_counter()
            studies.montecarlo(pack, utterances, settings, chips, workers=workers)
            seconds = time.perf_counter() - began
        each_us = 1e6 * seconds / (chips * len(utterances))
        click.echo(f"{jobs} processes: {seconds:.1f} s, {each_us:.1f} us a chip and clip")


if __name__ == "__main__":
    main()
