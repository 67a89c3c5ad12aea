"""Run the studies of docs/chip.md again, and write its tables and draw its figures.

DATA is a Speech Commands folder. Every table stands between two marks of docs/chip.md with the
models and versions that made it; what a command prints about extrapolation is left out. --only
chooses tables. --margin gives the packs that `frontier` compares with yes-4, trained from
recipes/yes-4-quiet.toml; without it that table stays as it is. Prints every command.
"""

import contextlib
import io
import re
import shlex
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from kws_stream import files, packs, studies
from kws_stream.bmru.chip import ChipSettings
from kws_stream.cli import main as kws_stream
from kws_stream.marked import between

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "chip.md"
FIGURES = DOCS / "figures"
BEGIN, END = "<!-- chip: {} -->", "<!-- end of {} -->"
ROWS = 6  # of `calibrate`, whose table has one for every bias current
TYPED = {
    "montecarlo": "montecarlo -m yes-4 --chips 1000",
    "noise": "noise --clips 200",
    "noise-models": "noise --clips 40 --draws 4 --all-models",
    "mismatch": "noise --source mismatch --clips 200",
    "robustness": "robustness",
    "pvt": "pvt",
    "pvt-10na": "pvt --set unit_na=10",
    "quantise": "quantise",
    "scaling": "scaling --clips 200",
    "settling": "settling --clips 200",
    "accumulation": "accumulation --clips 100",
    "accumulation-commands-12": "accumulation --clips 12 -m commands-12",
    "frontier": "frontier --clips 200 --divide 1 --divide 2 --divide 4 --divide 8 --divide 16",
    "calibrate": "calibrate FOLDER/chip.csv --virtual 3 --set mismatch_percent=15 "
    "--set transfer=true --set alpha_transfer=true",
}
UNDRAWN = ("noise-models", "accumulation", "accumulation-commands-12")
CHIPS = {"yes-4": (50, 500), "yes-8": (50, 200), "yes-16": (50, 200)}  # and clips; others:
FEW_CHIPS = {"commands-12-small": (6, 200), "commands-12": (6, 200)}  # these are large
STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("exact", {}),
    ("4.6 pA from each cell that is off: `--set off_state_na=0.0046`", {"off_state_na": 0.0046}),
    ("and thresholds by (2): `--set transfer=true`", {"transfer": True}),
    ("and the mirrors (6): `--set mirror_current=true`", {"mirror_current": True}),
    ("and state currents by (2): `--set alpha_transfer=true`", {"alpha_transfer": True}),
)
STEPS_MODEL, STEPS_CLIPS, STEPS_UNIT_NA = "commands-12", 600, 0.65


@click.command(help=__doc__)
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--margin", multiple=True, metavar="PACK")
@click.option("--only", type=click.Choice([*TYPED, "chips", "steps"]), multiple=True)
def main(data: Path, margin: tuple[str, ...], only: tuple[str, ...]) -> None:
    FIGURES.mkdir(exist_ok=True)
    for name in only or (*TYPED, "chips", "steps"):
        if name == "frontier" and not margin:
            click.echo("frontier: left as it is, for want of --margin")
        elif name == "chips":
            write(name, chips(data), CHIPS | FEW_CHIPS)
        elif name == "steps":
            write(name, steps(data), [STEPS_MODEL])
        else:
            write(name, *typed(name, data, margin if name == "frontier" else ()))


def typed(name: str, data: Path, also: Iterable[str]) -> tuple[str, list[str]]:
    """What a command prints, as a block of text, and the models that it names."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["chip", *shlex.split(TYPED[name].replace("FOLDER", folder)), "--data", str(data)]
        words += [word for pack in also for word in ("--also", pack)]
        if name not in UNDRAWN:
            words += ["--plot", str(FIGURES / f"chip-{name}.png")]
        click.echo("$ kws-stream " + shlex.join(words))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            kws_stream([*words, "--jobs", "1"], standalone_mode=False)
    text = printed.getvalue().replace(str(data), data.name)
    lines = [line for line in text.splitlines() if not line.startswith(("Extrapolated", "Note:"))]
    if name == "calibrate":
        end = len(lines) - lines[::-1].index("")
        lines = [*lines[: 3 + ROWS], "  ...", "", *lines[end:]]
    lines = [line.rstrip() for line in lines]
    named = [one for one in packs.list_packs() if re.search(rf"(?<![\w-]){one}(?![\w-])", text)]
    return "```text\n" + "\n".join(lines).strip("\n") + "\n```", named


def write(name: str, text: str, models: Iterable[str]) -> None:
    """Put a table into the page with the versions of its models; print it where it has no place."""
    versions = [f"`{one}` {packs.load(one).manifest['version']}" for one in models]
    *most, last = versions
    text += f"\n\nMade with {', '.join(most) + ' and ' if most else ''}{last}."
    page = between(PAGE.read_text("utf-8"), BEGIN.format(name), END.format(name), text)
    if page is not None:
        files.write(PAGE, page)
    click.echo(text + "\n")


def chips(data: Path) -> str:
    """Chips of every model: the typical one, those of a foundry, and the paper's at 10 %."""
    kinds = (
        lambda many: (ChipSettings.foundry().as_dict() | {"avt_mv_um": 0.0}, 1),
        lambda many: (ChipSettings.foundry().as_dict(), many),
        lambda many: ({"mismatch_percent": 10.0}, many),
    )
    lines = [
        "| `chip montecarlo -m MODEL --data speech_commands ...` | chips, clips | exact "
        "| typical: `--chips 1 --set avt_mv_um=0` | foundry | `--mismatch 10` |",
        "|---|---|---|---|---|---|",
    ]
    for model, (many, clips) in (CHIPS | FEW_CHIPS).items():
        pack = packs.load(model)
        heard = studies.load_utterances(pack, data, clips=clips)
        found = [
            studies.montecarlo(pack, heard, ChipSettings.from_dict(settings), number)
            for settings, number in (kind(many) for kind in kinds)
        ]
        exact = 100 * found[0].exact_accuracy
        row = [f"`{model}`", f"{many}, {clips}", f"{exact:.1f} %", *map(_spread, found)]
        click.echo("| " + " | ".join(row) + " |")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _spread(study: studies.MonteCarlo) -> str:
    right = 100 * study.accuracies
    if len(right) == 1:
        return f"{right[0]:.1f} %"
    return f"{right.mean():.1f} % ({right.min():.1f} to {right.max():.1f} %)"


def steps(data: Path) -> str:
    """What one chip calls right as one thing after another is not ideal."""
    lines = [
        f"| `chip montecarlo -m {STEPS_MODEL} --data speech_commands --chips 1 --mismatch 0 "
        f"--clips {STEPS_CLIPS} --set unit_na={STEPS_UNIT_NA} ...` | right |",
        "|---|---|",
    ]
    pack = packs.load(STEPS_MODEL)
    heard = studies.load_utterances(pack, data, clips=STEPS_CLIPS)
    settings: dict[str, Any] = {"unit_na": STEPS_UNIT_NA}
    for told, more in STEPS:
        settings |= more
        study = studies.montecarlo(pack, heard, ChipSettings.from_dict(settings), 1)
        lines.append(f"| {told} | {_spread(study)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
