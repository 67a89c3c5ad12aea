"""Measure the packaged models, and write their figures into manifests and documents.

    python scripts/figures.py measure MODEL... --data DIR --pictures pictures.tar.xz --held-out OUT
    python scripts/figures.py write

`measure` writes to the manifests in models/: accuracy on validation clips from a fresh state and
carried, with core power; accuracy on the half of the validation speakers that chose nothing, with
its interval; what is missed and falsely accepted in streams of that half (OUT is made by
`python scripts/held_out.py DIR OUT --half reported`); and the least unit current at which the
typical chip loses at most a point. `write` puts all of them into the tables of README.md and
models/README.md between the marks; with --check it tells whether they are there already.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from kws_stream import packs
from kws_stream.marked import between

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
DOCUMENTS = ("README.md", "models/README.md")
ORDER = (
    *("yes-4", "yes-8", "yes-16", "commands-12-small", "commands-12", "commands-12-large"),
    *("commands-35", "hey-computer", "hey-jarvis", "ok-nabu", "alexa"),
)
TASKS = {
    "yes": "yes against other words",
    "v2-12": "ten commands, unknown, silence",
    "v2-35": "35 words",
    "wake-phrase": "a wake phrase",
}
UNITS_NA = (4.0, 2.0, 1.5, 1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.2)
PARTS = ("clips", "half", "streams", "chips")
# Background of a held-out half that holds no keyword: other speech has digits, which v2-35 knows.
NO_KEYWORDS = {"v2-35": ("noise",)}
CHIP_CLIPS = 2400
MOST_LOST = 0.01  # accuracy
PATH = click.Path(exists=True, path_type=Path)
BEGIN, END = "<!-- figures: {} -->", "<!-- end of figures -->"


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--data", type=PATH, required=True, help="Folder that holds speech_commands.")
@click.option("--pictures", type=PATH, required=True, help="Folder or archive of pictures.")
@click.option("--held-out", type=PATH, required=True, help="Made by scripts/held_out.py.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Leave the rest as it is.")
def measure(
    models: tuple[str, ...], data: Path, pictures: Path, held_out: Path, only: tuple[str, ...]
) -> None:
    """Measure models in models/ and write the figures to their manifests."""
    from score_halves import metrics_of, score

    from kws_stream.training.packing import record_metrics

    for name in models:
        folder = MODELS / name
        wanted = only or PARTS
        metrics = dict(packs.load(folder).manifest["metrics"])
        if "clips" in wanted:
            metrics |= record_metrics(folder, data / "speech_commands")
        pack = packs.load(folder)
        if "half" in wanted:
            metrics |= metrics_of(pack, score(pack, data, pictures, "reported"), "reported")
        if "streams" in wanted:
            metrics |= in_streams(name, held_out)
        if "chips" in wanted:
            metrics = {key: value for key, value in metrics.items() if "typical" not in key}
            metrics |= on_chips(pack, data / "speech_commands", metrics["core_power_nw"]["value"])
        packs.save_metrics(folder, metrics)
        click.echo(f"{name}: " + ", ".join(f"{k} {m['value']}" for k, m in metrics.items()))


def in_streams(name: str, held_out: Path) -> dict[str, Any]:
    """Words missed and false accepts in streams of speakers and recordings never heard."""
    task = packs.load(MODELS / name).manifest["recipe"]["task"]
    parts = NO_KEYWORDS.get(task, ("running_speech", "other_words", "noise"))
    folders = [f"{held_out}/{part}" for part in parts]
    words = ["evaluate-stream", "-m", str(MODELS / name), *folders]
    words += ["--synthesise", f"{held_out}/speech_commands", "--hours", "0.75", "--jobs", "1"]
    command = [sys.executable, "-m", "kws_stream", *words, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    point = json.loads(done.stdout)
    told = (
        f"kws-stream evaluate-stream -m {name} {' '.join(f'OUT/{part}' for part in parts)} "
        "--synthesise OUT/speech_commands --hours 0.75"
    )
    return {
        "stream_missed": {
            "value": round(point["false_reject_rate"], 4),
            "interval": [round(end, 4) for end in point["false_reject_interval"]],
            "words": point["words"],
            "command": told,
        },
        "stream_false_accepts_per_hour": {
            "value": round(point["false_accepts_per_hour"], 1),
            "interval": [round(end, 1) for end in point["false_accepts_per_hour_interval"]],
            "hours": round(point["hours"], 2),
            "command": told,
        },
    }


def on_chips(pack: packs.Pack, words: Path, core_nw: float) -> dict[str, Any]:
    """The least unit current at which the typical chip loses at most a point, and its power."""
    from kws_stream.bmru.chip import ChipSettings
    from kws_stream.studies import load_utterances, montecarlo

    clips = load_utterances(pack, words, clips=CHIP_CLIPS)
    least = None
    for unit in UNITS_NA:
        settings = ChipSettings.typical(unit_na=unit, frame_s=clips.frame_s)
        result = montecarlo(pack, clips, settings, 1)
        lost = result.exact_accuracy - float(result.accuracies[0])
        if lost <= MOST_LOST + 1e-9:  # shares of whole clips, as floats
            least = unit, lost
        elif least is not None:
            break
    command = (  # a foundry's chip without mismatch is the typical one
        f"kws-stream chip montecarlo -m {pack.name} --data DATA --clips {CHIP_CLIPS} --chips 1 "
        "--set avt_mv_um=0 --set unit_na=UNIT"
    )
    if least is None:
        return {"typical_unit_na": {"value": None, "command": command}}
    unit, lost = least
    return {
        "typical_unit_na": {"value": unit, "lost": round(lost, 4), "command": command},
        "typical_core_power_nw": {"value": round(unit * core_nw, 1), "command": command},
    }


@main.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a table is stale.")
def write(check: bool) -> None:
    """Put the figures of the manifests into the documents."""
    stale = []
    for document in DOCUMENTS:
        path = ROOT / document
        before = path.read_text("utf-8")
        after = filled(before)
        if after != before:
            stale.append(document)
            if not check:
                path.write_text(after, "utf-8")
    if stale and check:
        raise click.ClickException(
            f"{', '.join(stale)}: figures differ from the manifests; run scripts/figures.py write"
        )
    click.echo(f"{'stale' if check else 'written'}: {', '.join(stale) or 'none'}")


def filled(text: str) -> str:
    """The document with each marked table made from the manifests."""
    manifests = {name: packs.load(MODELS / name).manifest for name in ORDER if _is_there(name)}
    for name, table in TABLES.items():
        begin = BEGIN.format(name)
        if begin not in text:
            continue
        made = between(text, begin, END, table(manifests))
        if made is None:
            raise click.ClickException(f"need {END} behind {begin}, found none")
        text = made
    return text


def _is_there(name: str) -> bool:
    return (MODELS / name / "manifest.json").is_file()


def overview(manifests: dict[str, Any]) -> str:
    """The README's table."""
    lines = [
        "| model | hears | validation speakers: clips called right | held-out speakers: clips "
        "called right | in streams: words missed | in streams: false accepts an hour | core |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, manifest in manifests.items():
        metrics = manifest["metrics"]
        lines.append(
            f"| `{name}` | {TASKS[manifest['recipe']['task']]} | {percent(metrics, CLIPS, of=True)}"
            f" | {percent(metrics, ('weighed_accuracy_reported',), of=True)} | {missed(metrics)} | "
            f"{accepted(metrics)} | {watts(metrics)} |"
        )
    return "\n".join(lines)


def packs_table(manifests: dict[str, Any]) -> str:
    """The table of models/README.md."""
    lines = [
        "| pack | version | classes | cells | accuracy, fresh | carried | held-out half, fresh | "
        "carried | core at 1 nA | typical chip, at most a point lost |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, manifest in manifests.items():
        metrics = manifest["metrics"]
        cells = " + ".join(
            str(len(block.beta1)) for block in packs.load(MODELS / name).network.parameters.blocks
        )
        lines.append(
            f"| `{name}` | {manifest['version']} | {len(manifest['classes'])} | {cells} | "
            f"{percent(metrics, CLIPS)} | {percent(metrics, tuple(f'{n}_carried' for n in CLIPS))} "
            f"| {percent(metrics, ('weighed_accuracy_reported',))} | "
            f"{percent(metrics, ('weighed_accuracy_reported_carried',))} | {watts(metrics)} | "
            f"{chip(metrics)} |"
        )
    return "\n".join(lines)


CLIPS = ("balanced_accuracy", "accuracy")
TABLES = {"models": overview, "packs": packs_table}


def percent(metrics: dict[str, Any], names: tuple[str, ...], of: bool = False) -> str:
    """The share with its interval; `of` how many clips and speakers, where that is asked."""
    found = next((metrics[name] for name in names if name in metrics), None)
    if found is None:
        return ""
    counts = f" of {found['clips']:,} by {found['speakers']}" if of else ""
    interval = found.get("interval")
    ends = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    return f"{100 * found['value']:.1f} %{counts}{ends}"


def missed(metrics: dict[str, Any]) -> str:
    if "synthetic_false_reject_rate" in metrics:
        found = metrics["synthetic_false_reject_rate"]
        return f"{100 * found['value']:.1f} % of {found['words']:,} (synthetic voices)"
    found = metrics["stream_missed"]
    low, high = (100 * end for end in found["interval"])
    return f"{100 * found['value']:.1f} % of {found['words']:,} ({low:.1f} to {high:.1f})"


def accepted(metrics: dict[str, Any]) -> str:
    if "synthetic_false_accepts_per_hour" in metrics:
        return f"{metrics['synthetic_false_accepts_per_hour']['value']:.1f} (synthetic voices)"
    found = metrics["stream_false_accepts_per_hour"]
    low, high = found["interval"]
    return f"{found['value']:.0f} ({low:.0f} to {high:.0f})"


def watts(metrics: dict[str, Any]) -> str:
    if "core_power_nw" not in metrics:
        return ""
    return nanowatts(metrics["core_power_nw"]["value"])


def chip(metrics: dict[str, Any]) -> str:
    if metrics.get("typical_unit_na", {}).get("value") is None:
        return ""
    power = nanowatts(metrics["typical_core_power_nw"]["value"])
    return f"{power} at {metrics['typical_unit_na']['value']:g} nA"


def nanowatts(value: float) -> str:
    return f"{value:.0f} nW" if value < 1000 else f"{value / 1000:.2f} uW"


if __name__ == "__main__":
    main()
