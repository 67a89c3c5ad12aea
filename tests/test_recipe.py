"""Recipes: each packaged one reads, a wrong one is refused, and one may be like another."""

import json
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kws_stream import packs
from kws_stream.errors import ParameterError
from kws_stream.old_names import OF_FILES, OF_SETTINGS, OldNameWarning, renamed
from kws_stream.training.recipe import Recipe
from kws_stream.training.stages import recipe_from_toml, shown, stages_from_toml

SEVERAL = st.lists(st.floats() | st.text(), max_size=3) | st.dictionaries(
    st.text(), st.floats() | st.text(), max_size=2
)
RECIPES = Path(__file__).parent.parent / "recipes"
PHRASES = {path.stem for path in (RECIPES / "phrases").iterdir()}
OF_WORDS = [name for name in packs.list_packs() if name not in PHRASES]


@pytest.mark.parametrize(
    "path",
    sorted(set(RECIPES.glob("*.toml")) - set(RECIPES.glob("search-*.toml"))),
    ids=lambda p: p.stem,
)
def test_every_recipe_reads(path: Path) -> None:
    recipe = recipe_from_toml(path)
    assert recipe.name == path.stem
    assert set(recipe.keywords) < set(recipe.classes)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("phrases/*.toml")), ids=lambda p: p.stem)
def test_the_recipe_of_a_phrase_is_what_its_pack_was_trained_with(path: Path) -> None:
    recipe = renamed(packs.load(path.stem).manifest["recipe"], OF_SETTINGS)
    phrase = {"name": path.stem, "task": "wake-phrase", "phrase": path.stem.replace("-", " ")}
    set_here = tomllib.loads(path.read_text("utf-8"))
    assert recipe_from_toml(path, **phrase).version == packs.load(path.stem).version
    assert {k: recipe[k] for k in set_here if k != "version"} == {
        k: v for k, v in set_here.items() if k != "version"
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = 1 2", "TOML"),
        ("name = " + "[" * 50_000, "TOML"),
        ('name = "x"\ntask = "x"', "task"),
        ('name = "x"\ntask = "yes"\nwidht = 4', "widht"),
        ('name = "x"\ntask = "yes"\n[features]\nchannels = "16"', "channels"),
        ('name = "x"\ntask = "yes"\ndecision_s = [0.9, 0.4]', "decision_s"),
        ('name = "x"\ntask = "yes"\ninit_from = "y"', "init_from"),
        ('task = "yes"', "name"),
        ('name = "../x"\ntask = "yes"', "name"),
        ('name = "x"\ntask = "yes"\nsteps = "abc"', "steps: need a whole number"),
        ('name = "x"\ntask = "yes"\nsteps = 2.5', "steps"),
        ('name = "x"\ntask = "yes"\ndropout = -3', "dropout: need a number >= 0"),
        ('name = "x"\ntask = "yes"\nlearning_rate = nan', "learning_rate"),
        ('name = "x"\ntask = "yes"\npower_weight = inf', "power_weight"),
        ('name = "x"\ntask = "yes"\ncurrent_scale = 0.3', "power of two"),
        ('name = "x"\ntask = "yes"\nhalf = 1', "half: need true or false"),
        ('name = "x"\ntask = "yes"\nfeatures = 1', "features: need a table"),
        ('name = "x"\ntask = "yes"\n[shares]\nnoize = 1', "noise"),
        ('name = "x"\ntask = "yes"\n[shares]\nnoise = -1', "shares"),
        ('name = "x"\ntask = "yes"\nwithout = ["noise"]', "without"),
        ('name = "x"\ntask = "yes"\nstage = 3', r"\[\[stage\]\]"),
        ('name = "x"\ntask = "yes"\n[[stage]]\nsteps = 3', "name of its own"),
        ('name = "x"\ntask = "yes"\n[[stage]]\nname = "a"\nextends = "b"', "stage before it"),
        ('name = "x"\ntask = "yes"\n[[stage]]\nname = "a"\ninit_from = "a"', "before it"),
        ('name = "x"\ntask = "yes"\n[[stage]]\nname = "a"\ntask = "v2-12"', "whole file"),
        ('name = "x"\ntask = "yes"\n[[stage]]\nname = "a"\nstep = 3', "stage a: .*steps"),
        ('extends = "recipe"', "in turn"),
        ('extends = "other"', "in turn"),
        ('extends = "../recipe"', "extends"),
        ("extends = 4", "extends"),
        ('extends = "nothing"', "nothing.toml"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_setting(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    (tmp_path / "other.toml").write_text('extends = "recipe"')
    with pytest.raises(ParameterError, match=says):
        recipe_from_toml(path)


@pytest.mark.parametrize("name", sorted(f.name for f in fields(Recipe)))
@settings(derandomize=True, deadline=None)
@example(value=["\n"])
@given(value=st.one_of(st.none(), st.text(), st.booleans(), st.floats(), st.integers(), SEVERAL))
def test_any_value_of_any_setting_is_taken_or_refused_in_a_sentence(
    name: str, value: object
) -> None:
    refused = ""
    try:
        recipe = Recipe.from_settings({"name": "x", "task": "yes"} | {name: value})
        assert Recipe.from_settings(recipe.as_settings()) == recipe
    except ParameterError as error:
        refused = str(error)
    assert not refused or name in refused
    assert "\n" not in refused


STAGES = """
name = "x"
task = "yes"
width = 6
[features]
agc_s = 0.5
[[stage]]
name = "first"
steps = 9
[stage.shares]
noise = 0.5
[[stage]]
name = "second"
steps = 4
[stage.detector]
threshold = 0.7
[[stage]]
name = "other"
extends = "first"
init_from = "first"
seed = 3
[[stage]]
name = "mean"
extends = "second"
init_from = ["second", "other"]
steps = 0
"""


def test_a_stage_takes_from_the_one_before_and_begins_with_it(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(STAGES)
    stages = stages_from_toml(path)
    assert [stage.name for stage in stages] == ["first", "second", "other", "mean"]
    begins = [stage.init_from for stage in stages]
    assert begins == [(), ("first",), ("first",), ("second", "other")]
    recipes = [stage.recipe for stage in stages]
    assert [recipe.steps for recipe in recipes] == [9, 4, 9, 0]
    assert [recipe.seed for recipe in recipes] == [0, 0, 3, 0]
    assert {recipe.width for recipe in recipes} == {6}
    assert {recipe.features.agc_s for recipe in recipes} == {0.5}
    assert [recipe.detector.threshold == 0.7 for recipe in recipes] == [False, True, False, True]
    assert all(recipe.shares == {"noise": 0.5} for recipe in recipes)
    assert recipe_from_toml(path) == recipes[-1]


def test_what_show_prints_is_a_recipe_of_the_same_stages(tmp_path: Path) -> None:
    for path in [*sorted(RECIPES.glob("commands-12*.toml")), RECIPES / "yes-32.toml"]:
        stages = stages_from_toml(path)
        (tmp_path / "shown.toml").write_text(shown(stages))
        again = stages_from_toml(tmp_path / "shown.toml")
        assert [stage.recipe for stage in again] == [stage.recipe for stage in stages]
        assert [stage.init_from for stage in again] == [stage.init_from for stage in stages]


def test_stages_with_several_front_ends_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(STAGES + "[stage.features]\nchannels = 12\n")
    with pytest.raises(ParameterError, match="stage mean: need one front end"):
        stages_from_toml(path)


@pytest.mark.parametrize("name", OF_WORDS)
def test_a_packaged_model_was_trained_with_the_last_stage_of_its_recipe(name: str) -> None:
    trained = renamed(packs.load(name).manifest["recipe"], OF_SETTINGS)
    settings = json.loads(json.dumps(recipe_from_toml(RECIPES / f"{name}.toml").as_settings()))
    both = set(trained) & set(settings)
    assert len(both) > 30
    assert {key: settings[key] for key in both} == {key: trained[key] for key in both}


def test_a_recipe_like_another_sets_what_it_names(tmp_path: Path) -> None:
    files = {
        "first": 'name = "a"\ntask = "yes"\nwidth = 9\n[features]\nagc_s = 0.5\nchannels = 12',
        "second": 'extends = "first"\nname = "b"\nsteps = 8\n[features]\nchannels = 13',
        "third": 'extends = "second"\nname = "c"\nwidth = 10',
    }
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text)
    recipe = recipe_from_toml(tmp_path / "third.toml", steps=3, batch_size=5)
    assert (recipe.name, recipe.width, recipe.steps, recipe.batch_size) == ("c", 10, 8, 5)
    assert (recipe.features.agc_s, recipe.features.channels) == (0.5, 13)


OLD = """
name = "old"
task = "yes"
sequences = 8
[[stage]]
name = "first"
joined = 3
[[stage]]
name = "second"
like = "first"
begins_with = ["first"]
matrix_rate = 0.01
wake = true
"""


def test_names_of_earlier_versions_are_read_and_told(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text(OLD)
    with pytest.warns(OldNameWarning) as told:
        first, second = stages_from_toml(path)
    assert (first.recipe.batch_size, second.recipe.batch_size) == (8, 8)
    assert (second.recipe.clips_per_sequence, second.recipe.muon_lr) == (3, 0.01)
    assert second.recipe.reinit_dead_units
    assert second.init_from == ("first",)
    for name in OF_FILES:
        (text,) = [str(each.message) for each in told if f" {name} is" in str(each.message)]
        assert text == f"{path}: {name} is called {OF_FILES[name]} now"


def test_a_setting_under_both_of_its_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text('name = "x"\ntask = "yes"\nbatch_size = 4\nsequences = 4\n')
    with pytest.raises(ParameterError, match="batch_size: need it once"):
        stages_from_toml(path)


def test_a_manifest_of_an_earlier_version_gives_its_recipe_without_a_word(recwarn) -> None:
    recipe = Recipe.from_settings({"name": "x", "task": "yes", "joined": 5})
    assert recipe.clips_per_sequence == 5
    assert not recwarn


def test_the_command_tells_an_old_name_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text(OLD)
    words = [sys.executable, "-m", "kws_stream", "train", str(path), "--show"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert f"kws-stream: warning: {path}: joined is called clips_per_sequence now" in done.stderr
    assert len(done.stderr.splitlines()) == len(OF_FILES)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_recipe_may_begin_with_a_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "marked.toml"
    file.write_bytes((RECIPES / "yes-4.toml").read_text("utf-8").encode(encoding))
    assert recipe_from_toml(file) == recipe_from_toml(RECIPES / "yes-4.toml")
