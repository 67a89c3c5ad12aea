"""A search tries the same recipes whoever trains them, loses nothing, and finds what is good."""

import csv
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")
pytest.importorskip("optuna", reason="needs the extra search (Optuna)")

from kws_stream.cli import main  # noqa: E402
from kws_stream.errors import DataError, MissingExtraError, ParameterError, WorkerError  # noqa: E402
from kws_stream.search.generations import Search, search  # noqa: E402
from kws_stream.search.space import Space, recipe_toml  # noqa: E402
from kws_stream.search.table import Table, TriedRecipe  # noqa: E402
from kws_stream.search.trial import Outcome, Train  # noqa: E402
from kws_stream.training.recipe import Recipe  # noqa: E402
from kws_stream.training.stages import recipe_from_toml  # noqa: E402
from kws_stream.training.teacher import new_teacher, save_teacher  # noqa: E402
from kws_stream.workers import Workers  # noqa: E402
from tests.clip_folders import build_words  # noqa: E402

RECIPES = Path(__file__).parent.parent / "recipes"
BASE = Recipe("small", "yes", steps=4, batch_size=4)
SPACE = """
learning_rate = { low = 1e-3, high = 1e-1, log = true }
width = { low = 2, high = 12 }
power_weight = { choices = [0.0, 0.5, 1.0] }
[features]
slow_s = { choices = [[0.05], [0.05, 0.16]] }
[shares]
noise = { low = 0.1, high = 0.9 }
"""


def build_space(folder: Path, text: str = SPACE) -> Space:
    path = folder / "space.toml"
    path.write_text(text)
    return Space.from_toml(path, BASE)


@pytest.fixture
def space(tmp_path: Path) -> Space:
    return build_space(tmp_path)


def quick(recipe: Recipe) -> Outcome:
    """In place of training: a hill of accuracy, and power that grows with the width."""
    accuracy = 0.9 - abs(recipe.learning_rate - 0.02) - 0.001 * (recipe.width - 8) ** 2
    core_nw = 10.0 * recipe.width - 5 * recipe.power_weight
    return Outcome(float(os.getpid()), accuracy, accuracy - 0.02, core_nw)


def fragile(recipe: Recipe) -> Outcome:
    if recipe.width % 2:
        return Outcome(0.0, error="need an even width")
    return quick(recipe)


@dataclass(frozen=True)
class DieOnce:
    """Kills the first worker that it is called in."""

    marker: Path

    def __call__(self, recipe: Recipe) -> Outcome:
        if not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return quick(recipe)


def tried(
    what: Search,
    folder: Path,
    trials: int = 14,
    train: Any = quick,
    workers: Workers | None = None,
    resume: bool = False,
) -> list[dict[str, Any]]:
    """The rows of the table without what depends on time."""
    table = Table(folder, what.as_dict(), resume)
    with workers or Workers(1) as hands:
        search(what, train, trials, table, hands)
    rows = json.loads((folder / "trials.json").read_text("utf-8"))["trials"]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0"
    ) as started:
        yield started


def test_the_same_trials_for_any_number_of_workers(space: Space, tmp_path: Path) -> None:
    what = Search(space, seed=3, generation=5)
    one = tried(what, tmp_path / "one")
    assert len(one) == 14
    assert tried(what, tmp_path / "two", workers=Workers(2)) == one
    assert tried(replace(what, seed=4), tmp_path / "other") != one


def test_the_same_trials_on_a_cluster_whose_worker_is_killed(
    space: Space, tmp_path: Path, cluster: Any
) -> None:
    what = Search(space, generation=5)
    one = tried(what, tmp_path / "one")
    there = Workers(cluster=cluster.scheduler_address)
    train = DieOnce(tmp_path / "died")
    assert tried(what, tmp_path / "there", train=train, workers=there) == one
    assert (tmp_path / "died").exists()


def test_a_process_that_dies_here_loses_no_trial_that_was_done(
    space: Space, tmp_path: Path
) -> None:
    what = Search(space, generation=4)
    whole = tried(what, tmp_path / "whole", 6)
    tried(what, tmp_path / "parts", 4)
    train = DieOnce(tmp_path / "died")
    with pytest.raises(WorkerError, match="fewer processes"):
        tried(what, tmp_path / "parts", 6, train, Workers(2), resume=True)
    assert tried(what, tmp_path / "parts", 6, train, resume=True) == whole


@pytest.mark.parametrize("ended_after", [2, 5, 7])
def test_an_ended_search_goes_on_as_if_it_never_ended(
    ended_after: int, space: Space, tmp_path: Path
) -> None:
    what = Search(space, generation=5)
    whole = tried(what, tmp_path / "whole")
    table = Table(tmp_path / "parts", what.as_dict())

    def end(trial: TriedRecipe) -> None:
        if len(table.trials) == ended_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Workers(1) as hands:
        search(what, quick, 14, table, hands, end)
    assert len(Table(tmp_path / "parts", what.as_dict(), resume=True).trials) == ended_after
    assert tried(what, tmp_path / "parts", resume=True) == whole
    assert tried(what, tmp_path / "parts", trials=17, resume=True)[:14] == [
        row | {"best": new["best"]}
        for row, new in zip(whole, tried(what, tmp_path / "longer", trials=17)[:14], strict=True)
    ]


def test_trial_0_is_the_recipe_where_the_space_holds_it(tmp_path: Path) -> None:
    space = build_space(tmp_path, "width = { low = 2, high = 12 }")
    assert tried(Search(space), tmp_path / "in", 1)[0]["settings"] == {"width": BASE.width}
    away = build_space(tmp_path, "width = { low = 7, high = 12 }")
    assert tried(Search(away), tmp_path / "out", 1)[0]["settings"]["width"] >= 7


def test_a_trial_that_fails_is_told_and_the_search_goes_on(space: Space, tmp_path: Path) -> None:
    rows = tried(Search(space, generation=4), tmp_path / "a", train=fragile)
    failed = [row for row in rows if row["state"] == "failed"]
    assert failed
    assert len(rows) == 14
    for row in failed:
        assert row["settings"]["width"] % 2
        assert row["error"] == "need an even width"
        assert row["accuracy"] is None
        assert not row["best"]


def test_settings_that_make_no_sense_together_are_a_failed_trial(tmp_path: Path) -> None:
    text = """[features]
low_hz = { choices = [120.0, 5000.0] }
high_hz = { choices = [4000.0, 6500.0] }"""
    rows = tried(Search(build_space(tmp_path, text)), tmp_path / "a", 8)
    wrong = [row for row in rows if row["state"] == "failed"]
    assert wrong
    assert all("low_hz" in row["error"] for row in wrong)


def test_the_search_does_better_than_chance(space: Space, tmp_path: Path) -> None:
    budget = Search(space, generation=6, power_budget_nw=60.0)
    guided = tried(budget, tmp_path / "guided", 48)
    chance = tried(replace(budget, generation=48), tmp_path / "chance", 48)

    def within(rows: list[dict[str, Any]]) -> list[float]:
        return [row["accuracy"] for row in rows if row["core_power_nw"] <= 60]

    (best,) = [row for row in guided if row["best"]]
    assert best["core_power_nw"] <= 60
    assert best["accuracy"] == max(within(guided))
    late = within(guided[24:])
    assert len(late) / 24 > 1.3 * len(within(chance)) / 48
    assert sum(late) / len(late) > sum(within(chance)) / len(within(chance))


def test_the_best_are_those_that_none_beats(space: Space, tmp_path: Path) -> None:
    rows = tried(Search(space), tmp_path / "a", 20)
    for row in rows:
        beaten = any(
            other["accuracy"] >= row["accuracy"]
            and other["core_power_nw"] <= row["core_power_nw"]
            and (other["accuracy"], other["core_power_nw"])
            != (row["accuracy"], row["core_power_nw"])
            for other in rows
        )
        assert row["best"] != beaten
    with (tmp_path / "a" / "trials.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["best"] == "yes" for row in table] == [row["best"] for row in rows]
    assert [int(row["width"]) for row in table] == [row["settings"]["width"] for row in rows]
    assert not list((tmp_path / "a").glob(".*"))


def test_a_table_of_another_search_is_refused(space: Space, tmp_path: Path) -> None:
    tried(Search(space), tmp_path / "a", 2)
    with pytest.raises(DataError, match="--resume"):
        tried(Search(space), tmp_path / "a", 2)
    with pytest.raises(ParameterError, match="seed was another"):
        tried(Search(space, seed=1), tmp_path / "a", 2, resume=True)
    with pytest.raises(ParameterError, match="need 2 or more"):
        tried(Search(space), tmp_path / "a", 1, resume=True)
    path = tmp_path / "a" / "trials.json"
    stored = json.loads(path.read_text("utf-8"))
    stored["trials"][1]["settings"]["width"] += 1
    path.write_text(json.dumps(stored))
    with pytest.raises(ParameterError, match="another version of Optuna"):
        tried(Search(space), tmp_path / "a", 3, resume=True)
    for damaged in ("{", "[" * 200_000):
        path.write_text(damaged)
        with pytest.raises(DataError, match="need the table"):
            tried(Search(space), tmp_path / "a", 3, resume=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "need a setting"),
        ("width = 1 2", "TOML"),
        ("width = " + "[" * 50_000, "TOML"),
        ("widht = { low = 1, high = 2 }", "widht"),
        ("seed = { low = 1, high = 2 }", "seed"),
        ("width = { low = 1.5, high = 2 }", "width: need int"),
        ("width = { low = 3, high = 2 }", "low < high"),
        ("width = { low = 1, hihg = 2 }", "width"),
        ("width = 3", "width"),
        ("width = { choices = [] }", "list of choices"),
        ("augment = { low = 0.0, high = 1.0, log = true }", "above 0"),
        ("augment = { low = 0.0, high = inf }", "finite"),
        ("decision_s = { low = 0.0, high = 1.0 }", "choices"),
        ("[features]\nkind = { choices = ['sharp'] }", "kind"),
        ("[features]\nchannels = { low = 0, high = 8 }", "channels"),
        ("[detector]\nthreshold = { low = 0.1, high = 0.8 }", "detector"),
    ],
)
def test_a_wrong_space_is_refused_with_its_setting(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=says):
        build_space(tmp_path, text)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("search-*.toml")), ids=lambda p: p.stem)
def test_every_space_reads_and_holds_its_recipe(path: Path) -> None:
    base = recipe_from_toml(path.with_name(path.name.removeprefix("search-")))
    assert Space.from_toml(path, base).base_as_drawn() is not None


@pytest.mark.parametrize(
    "path", sorted(set(RECIPES.glob("*.toml")) - set(RECIPES.glob("search-*")))
)
def test_a_written_recipe_reads_as_the_same(path: Path, tmp_path: Path) -> None:
    recipe = recipe_from_toml(path)
    copy = tmp_path / "copy.toml"
    copy.write_text(recipe_toml(recipe))
    assert recipe_from_toml(copy) == recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    build_words(root / "speech_commands")
    return root


TRAINED = """
learning_rate = { low = 1e-3, high = 1e-1, log = true }
dropout = { low = 0.0, high = 0.5 }
teacher_weight = { choices = [0.0, 0.5] }
"""


def searched(data: Path, out: str, *options: str) -> list[dict[str, Any]]:
    """Rows of the table that the command writes, without seconds."""
    Path("space.toml").write_text(TRAINED)
    Path("small.toml").write_text(recipe_toml(BASE))
    words = ["search", "small.toml", "--space", "space.toml", "--data", str(data), "--output", out]
    done = CliRunner().invoke(main, [*words, "--trials", "4", "--generation", "4", *options])
    assert done.exit_code == 0, done.output
    rows = json.loads(Path(out, "trials.json").read_text("utf-8"))["trials"]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_the_command_trains_the_same_networks_everywhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    here = searched(data, "one", "--jobs", "1")
    states = {row["settings"]["teacher_weight"]: row["state"] for row in here}
    assert states == {0.0: "done", 0.5: "failed"}  # there is no teacher
    assert searched(data, "two", "--jobs", "2") == here
    assert searched(data, "there", "--cluster", cluster.scheduler_address) == here
    assert searched(data, "one", "--jobs", "1", "--resume") == here
    for row in here:
        if row["best"]:
            found = recipe_from_toml(Path("one") / f"trial-{row['trial']}.toml")
            assert found.learning_rate == row["settings"]["learning_rate"]
            assert found.name == f"small-trial-{row['trial']}"


def test_a_trial_leaves_the_threads_of_the_process_as_they_were(data: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    outcome = Train(data, None, tmp_path / "cache")(replace(BASE, steps=1))
    assert outcome.error is None
    assert torch.get_num_threads() == threads


def test_trials_learn_from_a_teacher_or_tell_that_there_is_none(data: Path, tmp_path: Path) -> None:
    taught = replace(BASE, steps=1, teacher_weight=0.5)
    alone = Train(data, None, tmp_path / "cache")(taught)
    assert "need one, got none" in str(alone.error)
    save_teacher(new_teacher(taught, taught.classes), taught, tmp_path / "teacher")
    train = Train(data, None, tmp_path / "cache", (tmp_path / "teacher",))
    assert train(taught).error is None


def test_missing_recordings_end_the_search(space: Space, tmp_path: Path) -> None:
    train = Train(tmp_path, None, tmp_path / "cache")
    with pytest.raises(DataError, match="need a folder speech_commands"):
        tried(Search(space), tmp_path / "a", train=train)


def test_without_optuna_the_extra_is_named(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"kws-stream\[search\]"):
        Search(space).as_dict()


def test_a_search_for_nothing_is_refused(space: Space) -> None:
    for wrong in ({"generation": 0}, {"steps": 0}, {"power_budget_nw": 0.0}):
        with pytest.raises(ParameterError, match="need"):
            Search(space, **wrong)


def test_the_command_refuses_an_existing_table_before_the_work(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    searched(data, "one", "--jobs", "1", "--steps", "1", "--trials", "1")
    words = [
        "search",
        "small.toml",
        "--space",
        "space.toml",
        "--data",
        str(data),
        "--output",
        "one",
    ]
    again = CliRunner().invoke(main, [*words, "--trials", "4"])
    assert again.exit_code == 1
    assert "--resume goes on from it" in again.stderr
