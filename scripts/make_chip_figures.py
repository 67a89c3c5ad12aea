"""Run the studies of docs/chip.md and draw its figures again.

DATA is a Speech Commands folder. ALSO are packs of other sizes for the scaling study, trained from
recipes/yes-8.toml to yes-64.toml. Prints every command and its output.
"""

import shlex
import tempfile
from pathlib import Path

import click

from kws_stream.cli import main as kws_stream

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
STUDIES = {
    "montecarlo": "montecarlo",
    "noise": "noise --clips 200",
    "mismatch": "noise --source mismatch --clips 200",
    "robustness": "robustness",
    "pvt": "pvt",
    "pvt-10na": "pvt --set unit_na=10",
    "quantise": "quantise",
    "scaling": "scaling --clips 200",
    "settling": "settling --clips 200",
    "frontier": "frontier --clips 200",
    "calibrate": "calibrate FOLDER/chip.csv --virtual 3 --set mismatch_percent=15 "
    "--set transfer=true --set alpha_transfer=true",
}


@click.command(help=__doc__)
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.argument("also", nargs=-1)
@click.option("--only", type=click.Choice(list(STUDIES)), multiple=True)
def main(data: Path, also: tuple[str, ...], only: tuple[str, ...]) -> None:
    FIGURES.mkdir(exist_ok=True)
    for name, study in STUDIES.items():
        if only and name not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            words = ["chip", *shlex.split(study.replace("FOLDER", folder)), "--data", str(data)]
            words += [word for model in also for word in ("--also", model) if name == "scaling"]
            words += ["--plot", str(FIGURES / f"chip-{name}.png")]
            click.echo("$ kws-stream " + shlex.join(words))
            kws_stream(words, standalone_mode=False)
            click.echo()


if __name__ == "__main__":
    main()
