"""Claims of the work: each says by its own rule whether it is shown."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from kws_stream import packs, spice, studies
from kws_stream.bmru.chip import ChipSettings
from kws_stream.cli import main
from kws_stream.cli.chip.claims import BEGIN, END
from kws_stream.errors import MissingExtraError, ParameterError
from kws_stream.packs import Pack
from kws_stream.studies.accumulation import Accumulated
from kws_stream.studies.claims import (
    CLAIMS,
    MODELS,
    SCALED,
    Claim,
    Trial,
    _factors,
    _fidelity,
    accumulates,
    robust,
)
from kws_stream.studies.clips import Utterances, load_utterances
from kws_stream.studies.figures import figure_of
from kws_stream.studies.montecarlo import MonteCarlo
from kws_stream.studies.scaling import Exponent
from kws_stream.studies.settling import Settled
from kws_stream.workers import Workers

SCRIPT = ["chip", "claims", "--clips", "3", "--chips", "2", "--draws", "1", "--jobs", "1"]


@pytest.fixture(scope="module")
def heard() -> Mapping[str, tuple[Pack, Utterances]]:
    loaded = {name: packs.load(name) for name in (*MODELS, *SCALED)}
    return {name: (pack, load_utterances(pack, clips=4)) for name, pack in loaded.items()}


@pytest.fixture
def trial(heard: Mapping[str, tuple[Pack, Utterances]], monkeypatch: pytest.MonkeyPatch) -> Trial:
    def missing() -> None:
        raise MissingExtraError("need ngspice, found none")

    monkeypatch.setattr(spice, "find", missing)
    return Trial(heard, chips=3, draws=1, seed=0, workers=Workers(1))


def test_every_claim_has_a_command_figures_and_a_verdict(trial: Trial) -> None:
    told: list[tuple[int, int]] = []
    found = studies.claims(trial, progress=lambda done, total: told.append((done, total)))
    assert len(found) == len(CLAIMS) == len(told)
    for one in found:
        assert _can_be_given(one.command.split(", and ")[0])
        assert one.gave
        assert one.verdict in ("shown", "shown in part", "contradicted", "not run")
    assert [one.verdict for one in found].count("not run") == 1
    assert len({one.claim for one in found}) == len(found)
    assert studies.claims(trial) == found


def test_a_command_beside_a_claim_repeats_its_figures(trial: Trial) -> None:
    row = robust(trial)
    words = row.command.replace("MODEL", "yes-4").split(", and ")[0].split()
    done = CliRunner().invoke(main, [*words[1:], "--jobs", "1", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["clips"], told["chips"]) == (4, 3)
    lost = 100 * (told["exact"] - told["balanced_accuracy"]["mean"])
    assert f"yes-4 loses {lost:.2f} points as of a foundry" in row.gave
    other = Trial(trial.heard, trial.chips, trial.draws, 7, trial.workers)
    assert other.command("settling -m MODEL").endswith("settling -m MODEL --clips 4 --seed 7")


def _can_be_given(command: str) -> bool:
    """Whether every option of a command of ours exists and takes its value."""
    group: click.Command = main
    _, *words = shlex.split(command)
    context = click.Context(main)
    while isinstance(group, click.Group):
        found = group.get_command(context, words.pop(0))
        assert found is not None, command
        group = found
    group.make_context("test", words)
    return True


@pytest.mark.parametrize(
    ("lows", "verdict"),
    [([25.0, 20.0], "shown"), ([25.0, 19.9], "shown in part"), ([19.9, 1.0], "contradicted")],
)
def test_suppression_is_shown_where_the_whole_interval_is(lows: list[float], verdict: str) -> None:
    rows = [("yes-4", "1 nA", low + 1, (low, None)) for low in lows]
    assert _factors("claim", "command", rows, {}).verdict == verdict


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([(0.04,), (0.0,)], "shown"),
        ([(0.2,), (0.0,)], "shown in part"),
        ([(0.04,), (1e-7,)], "shown in part"),
        ([(0.04, 0.3), (1e-7,)], "contradicted"),
    ],
)
def test_accumulation_asks_for_less_error_than_the_peers_and_for_none_of_little_noise(
    trial: Trial,
    monkeypatch: pytest.MonkeyPatch,
    ours: list[tuple[float, ...]],
    verdict: str,
) -> None:
    at = iter(ours)

    def study(*_: object, **__: object) -> studies.Accumulation:
        errors = {"BMRU (yes-4)": next(at), "minGRU": (0.05, 0.06), "LRU": (0.04, 0.05)}
        networks = (Accumulated(name, 1, 0.1, one, (), ()) for name, one in errors.items())
        return studies.Accumulation({}, tuple(networks))

    monkeypatch.setitem(accumulates.__globals__, "accumulation", study)
    assert accumulates(trial).verdict == verdict


@pytest.mark.parametrize(
    ("losses", "chips", "verdict"),
    [(0.0, 100, "shown"), (0.0, 10, "shown in part"), (0.02, 100, "contradicted")],
)
def test_robustness_asks_for_enough_chips_that_lose_little(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, losses: float, chips: int, verdict: str
) -> None:
    def population(*_: object, **__: object) -> MonteCarlo:
        nothing = np.zeros(chips)
        accuracies = nothing + 0.9 - losses
        return MonteCarlo({}, 0.9, accuracies, {}, nothing, nothing, nothing, 0.9)

    monkeypatch.setitem(robust.__globals__, "montecarlo", population)
    assert robust(trial).verdict == verdict


def test_settled_nodes_are_exact_and_slow_ones_switch_late(
    pack: Pack, utterances: Utterances
) -> None:
    few = utterances.first(8)
    study = studies.settling(pack, few, ChipSettings(), [1e-9, 0.03])
    quick, slow = study.rows
    assert (quick.accuracy, quick.bits_agree, quick.late) == (study.exact, 1, 0)
    assert slow.bits_agree < 1
    assert 0 < slow.late <= 1
    with pytest.raises(ParameterError, match="settling_s"):
        studies.settling(pack, few, ChipSettings(), [-1.0])


def test_axes_of_figures_have_plain_numbers_and_no_accuracy_above_all(
    pack: Pack, utterances: Utterances
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra report")
    few = utterances.first(8)
    slow = studies.settling(pack, few, ChipSettings(), [1e-4, 1e-3])
    all_right = studies.Settling(slow.head, 1.0, slow.rows)
    accuracy, late = figure_of(all_right).axes
    assert accuracy.get_ylim()[1] <= 100
    units = studies.noise(pack, few, ChipSettings.typical(), "circuit", (1.0, 2.0, 4.0))
    for axis in (late.xaxis, *(panel.xaxis for panel in figure_of(units).axes)):
        assert axis.get_major_formatter()(0.2, None) == "0.2"
        assert not any(axis.get_minor_formatter().format_ticks([2.0, 3.0, 4.0]))


@pytest.mark.parametrize(
    ("low", "verdict"), [(0.99, "shown"), (0.95, "shown in part"), (0.949, "contradicted")]
)
def test_fidelity_is_judged_by_the_low_end_of_the_interval(low: float, verdict: str) -> None:
    assert _fidelity(low) == verdict


def test_an_exponent_of_few_sizes_has_the_interval_of_students_t() -> None:
    """With one degree of freedom 12.7 standard errors, with four 2.78."""
    for sizes, times in ((3, 12.706), (6, 2.776)):
        low, high = Exponent(1.0, 0.1, sizes).interval or (0.0, 0.0)
        assert (low, high) == pytest.approx((1 - 0.1 * times, 1 + 0.1 * times), abs=1e-3)
    assert Exponent(1.0, None, 2).interval is None


def test_the_table_goes_between_its_marks_and_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = studies.Settling(
        {"model": "yes-4", "headline": "accuracy"}, 0.9, (Settled(1e-3, 0.9, 1.0, 0.0),)
    )
    row = Claim(
        "a claim", "kws-stream power yes-4", "1 nW", "0 to 2", "shown", {"settling-yes-4": study}
    )
    monkeypatch.setattr(studies, "claims", lambda trial, progress=None: [row])
    document = tmp_path / "claims.md"
    document.write_text(f"# Claims\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", "utf-8")
    figures = tmp_path / "claims.json"
    done = CliRunner().invoke(
        main,
        [
            *SCRIPT,
            "-o",
            str(document),
            "--json-file",
            str(figures),
            "--figures",
            str(tmp_path / "drawn"),
        ],
    )
    assert done.exit_code == 0, done.output
    assert "shown: a claim" in done.output
    text = document.read_text("utf-8")
    assert text.startswith(f"# Claims\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nAfter.\n")
    assert f"; `yes-4` {packs.load('yes-4').manifest['version']}, `yes-8` " in text
    assert "| a claim | `kws-stream power yes-4` | 1 nW | 0 to 2 | shown |" in text
    assert "old" not in text
    (told,) = json.loads(figures.read_text("utf-8"))["claims"]
    assert told["verdict"] == "shown"
    assert "studies" not in told
    assert [file.name for file in (tmp_path / "drawn").iterdir()] == ["settling-yes-4.png"]
