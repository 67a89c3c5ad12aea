"""`kws-stream chip`: studies from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kws_stream import packs
from kws_stream.bmru.chip import ChipSettings
from kws_stream.cli import main

IDEAL = ["--mismatch", "0"]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["chip", *arguments])


STUDIES = {
    "montecarlo": ["--chips", "20"],
    "noise": ["--draws", "2", "--level", "0.05"],
    "robustness": ["--chips", "3", "--mismatch", "15"],
    "pvt": ["--corner", "tt", "--corner", "ss", "--supply", "1.8"],
    "quantise": ["--weights", "4", "--weights", "0", "--biases", "0"],
    "scaling": ["--also", "commands-12"],
    "settling": ["--time", "0.001", "--time", "0.02"],
    "accumulation": ["--share", "0.05"],
    "frontier": ["--divide", "1", "--divide", "4", "--chips", "3", "--also", "yes-8"],
    "calibrate": ["FOLDER/chip.csv", "--virtual", "1", "--set", "mismatch_percent=15"],
}


def of(study: str, tmp_path: Path) -> list[str]:
    return [word.replace("FOLDER", str(tmp_path)) for word in STUDIES[study]]


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_writes_table_json_and_figure(study: str, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"study.{kind}" for kind in ("json", "png")}
    where = ["--json-file", str(files["json"]), "--plot", str(files["png"])]
    done = run(study, "--clips", "12", "--jobs", "1", *of(study, tmp_path), *where)
    assert done.exit_code == 0, done.output
    assert "yes-4" in done.output
    figures = json.loads(files["json"].read_text("utf-8"))
    assert (figures["study"], figures["clips"]) == (study, 12)
    assert figures.get("model", "yes-4") == "yes-4"
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    (tmp_path / "again").mkdir()
    printed = run(study, "--clips", "12", "--jobs", "1", *of(study, tmp_path / "again"), "--json")
    assert json.loads(printed.stdout) == figures


def test_noise_answers_both_questions_and_says_which_is_which() -> None:
    where = ["noise", "--clips", "4", "--draws", "2", "--jobs", "1"]
    printed = run(*where).stdout
    assert printed.index("unit, nA") < printed.index("noise, nA")
    assert "The first table answers the published question" in printed
    assert "the second answers the hard question" in " ".join(printed.split())
    figures = json.loads(run(*where, "--json").stdout)
    assert (figures["source"], figures["circuit"]["source"]) == ("noise", "circuit")
    assert (
        figures["circuit"]["settings"]["clamp_threshold"]
        > 0
        == (figures["settings"]["clamp_threshold"])
    )


def test_noise_of_one_clip_has_factors_without_intervals() -> None:
    where = ["noise", "--clips", "1", "--draws", "1", "--jobs", "1", "--level", "0.1"]
    lines = run(*where).stdout.splitlines()
    assert lines[0].startswith("yes-4 on 1 clip (packaged synthetic clips), seed 0, 1 draw")
    (row,) = [line for line in lines if line.startswith("           0.1")]
    (factor,) = [one["factor"] for one in json.loads(run(*where, "--json").stdout)["overall"]]
    assert row.split()[-1] == f"{factor:.3g}"


def test_noise_has_a_line_for_every_packaged_model() -> None:
    where = ["noise", "--clips", "2", "--draws", "1", "--jobs", "1", "--all-models"]
    printed = run(*where).stdout
    for name in packs.list_packs():
        assert sum(line.split()[:1] == [name] for line in printed.splitlines()) == 2
    assert run(*where, "--level", "0.1").exit_code == 2


def test_yields_stand_in_order_with_their_reason() -> None:
    printed = run("montecarlo", "--clips", "12", "--jobs", "1", "--chips", "5", "--accuracy", "0.9")
    rows = [line for line in printed.stdout.splitlines() if line.startswith(" ") and "(" in line]
    levels = [float(line.split("%")[0]) for line in rows if "95 % interval" in line]
    assert levels == sorted(levels, reverse=True)
    assert sum("as --accuracy asks" in line for line in rows) == 1
    assert any(f"{90:8.2f} % (as --accuracy asks)" in line for line in rows)
    assert "(1 point below exact)" in printed.stdout
    assert "(5 points below exact)" in printed.stdout
    table = [line for line in printed.stdout.splitlines() if not line.startswith("Extrapolated")]
    assert max(map(len, table)) <= 80


def test_chips_are_those_of_a_foundry_unless_the_papers_mismatch_is_asked_for() -> None:
    where = ["--clips", "4", "--jobs", "1", "--chips", "2", "--json"]
    figures = json.loads(run("montecarlo", *where).stdout)
    assert ChipSettings.from_dict(figures["settings"] | {"frame_s": 0.01}) == ChipSettings.foundry()
    figures = json.loads(run("montecarlo", *where, "--mismatch", "10").stdout)
    ideal = ChipSettings(mismatch_percent=10)
    assert ChipSettings.from_dict(figures["settings"] | {"frame_s": 0.01}) == ideal


def test_chips_are_told_to_be_alike_only_where_they_are() -> None:
    where = ["montecarlo", "-m", "yes-4", "--clips", "4", "--jobs", "1", "--chips"]
    head = [run(*where, *more).stdout.splitlines()[0] for more in (["1"], ["2"], ["2", *IDEAL])]
    ends = ["1 chip", "2 chips", "1 chip (these settings make all chips alike)"]
    assert [line.partition("seed 0, ")[2] for line in head] == ends


def test_tables_count_blocks_and_cells_from_one(tmp_path: Path) -> None:
    where = ["-m", "yes-8", "--clips", "4", "--jobs", "1"]
    lines = run("noise", *where, "--draws", "1", "--level", "0.05").stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("          0.05")] == [
        *("1", "2", "all")
    ]
    csv = tmp_path / "chip.csv"
    lines = run("calibrate", str(csv), "--virtual", "0", *where).stdout.splitlines()
    places = [tuple(line.split()[:2]) for line in lines if " beta2 " in line]
    assert places[0] == ("1", "1")
    assert places[-1] == ("2", "7")
    assert csv.read_text("utf-8").splitlines()[1].startswith("0,0,")


def test_settings_are_listed_and_can_be_given_as_file_and_option(tmp_path: Path) -> None:
    listed = run("settings")
    assert all(row["name"] in listed.output for row in ChipSettings.table())
    file = tmp_path / "chip.json"
    file.write_text('{"unit_na": 2, "transfer": true}', "utf-8")
    given = run("settings", "--json", "--settings", str(file), "--set", "unit_na=3")
    assert json.loads(given.stdout) == ChipSettings(unit_na=3, transfer=True).as_dict()
    file.write_text('{"unit_na": 2}', "utf-8-sig")
    assert json.loads(run("settings", "--json", "--settings", str(file)).stdout)["unit_na"] == 2


def test_settings_that_nest_too_deep_are_refused(tmp_path: Path) -> None:
    deep = "[" * 200_000
    file = tmp_path / "chip.json"
    file.write_text(deep, "utf-8")
    for options in (("--settings", str(file)), ("--set", f"unit_na={deep}")):
        done = run("settings", *options)
        assert (done.exit_code, type(done.exception)) == (1, SystemExit)
        assert "need" in done.stderr


def test_virtual_measurements_overwrite_nothing(tmp_path: Path) -> None:
    file = tmp_path / "chip.csv"
    file.write_text("mine", "utf-8")
    assert run("calibrate", str(file), "--virtual", "0").exit_code == 2
    assert file.read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["montecarlo", "--set", "volume=11"], 1, "volume"),
        (["montecarlo", "--set", "unit_na=-1"], 1, "unit_na"),
        (["montecarlo", "--set", "unit_na"], 2, "NAME=VALUE"),
        (["montecarlo", "--settings", "missing.json"], 1, "missing.json"),
        (["montecarlo", "--data", "missing"], 1, "missing"),
        (["montecarlo", "-m", "nothing"], 1, "nothing"),
        (["montecarlo", "--plot", "figure.txt"], 2, ".png"),
        (["montecarlo", "--jobs", "2", "--cluster", "tcp://x:1"], 2, "--cluster"),
        (["noise", "--level", "99"], 1, "candidate_noise_na"),
    ],
)
def test_wrong_use_is_one_sentence(arguments: list[str], code: int, said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == code
    assert said in done.output
    assert "Traceback" not in done.output
