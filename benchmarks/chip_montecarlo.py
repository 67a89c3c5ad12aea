"""Seconds for many virtual chips on the packaged clips, for one process and for all cores.

Processor time counts the work alone; the clock, what else the machine does too.
"""

import os
import time

import click

from kws_stream import engine, packs, studies
from kws_stream.bmru.chip import ChipSettings
from kws_stream.workers import Workers


def processor_s() -> float:
    """Seconds of all processors, of this process and of those that it has ended."""
    return sum(os.times()[:4])


@click.command(help=__doc__)
@click.option("--model", default="yes-4", show_default=True)
@click.option("--chips", default=1000, show_default=True)
@click.option("--clips", default=500, show_default=True)
def main(model: str, chips: int, clips: int) -> None:
    pack = packs.load(model)
    began = time.perf_counter()
    utterances = studies.load_utterances(pack, clips=clips)
    click.echo(f"features of {len(utterances)} clips: {time.perf_counter() - began:.1f} s")
    settings = ChipSettings.foundry()
    for jobs in dict.fromkeys((1, os.cpu_count() or 1)):
        began, busy = time.perf_counter(), processor_s()
        with Workers(jobs) as workers:
            studies.montecarlo(pack, utterances, settings, chips, workers=workers)
        seconds, busy = time.perf_counter() - began, processor_s() - busy
        each_us = 1e6 * busy / (chips * len(utterances))
        click.echo(
            f"engine {engine.kind}, {jobs} processes: {seconds:.1f} s; of processors {busy:.1f} s, "
            f"{each_us:.0f} us a chip and clip"
        )


if __name__ == "__main__":
    main()
