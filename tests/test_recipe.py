"""Recipes: each packaged one reads, a wrong one is refused, and one may be like another."""

import tomllib
from pathlib import Path

import pytest

from kws_stream import packs
from kws_stream.errors import ParameterError
from kws_stream.training.recipe import Recipe

RECIPES = Path(__file__).parent.parent / "recipes"


@pytest.mark.parametrize(
    "path",
    sorted(set(RECIPES.glob("*.toml")) - set(RECIPES.glob("search-*.toml"))),
    ids=lambda p: p.stem,
)
def test_every_recipe_reads(path: Path) -> None:
    recipe = Recipe.from_toml(path)
    assert recipe.name == path.stem
    assert set(recipe.keywords) < set(recipe.classes)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("phrases/*.toml")), ids=lambda p: p.stem)
def test_the_recipe_of_a_phrase_is_what_its_pack_was_trained_with(path: Path) -> None:
    recipe = packs.load(path.stem).manifest["recipe"]
    phrase = {"name": path.stem, "task": "wake-phrase", "phrase": path.stem.replace("-", " ")}
    set_here = tomllib.loads(path.read_text("utf-8"))
    assert Recipe.from_toml(path, **phrase).version == packs.load(path.stem).version
    assert {k: recipe[k] for k in set_here if k != "version"} == {
        k: v for k, v in set_here.items() if k != "version"
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = 1 2", "TOML"),
        ('name = "x"\ntask = "x"', "task"),
        ('name = "x"\ntask = "yes"\nwidht = 4', "widht"),
        ('name = "x"\ntask = "yes"\n[features]\nchannels = "16"', "channels"),
        ('name = "x"\ntask = "yes"\ndecision_s = [0.9, 0.4]', "decision_s"),
        ('name = "x"\ntask = "yes"\nbegins_with = 4', "begins_with"),
        ('name = "x"\ntask = "yes"\nbegins_with = ["y", "../z"]', "begins_with"),
        ('like = "recipe"', "in turn"),
        ('like = "other"', "in turn"),
        ('like = "../recipe"', "like"),
        ("like = 4", "like"),
        ('like = "nothing"', "nothing.toml"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_setting(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    (tmp_path / "other.toml").write_text('like = "recipe"')
    with pytest.raises(ParameterError, match=says):
        Recipe.from_toml(path)


def test_a_recipe_like_another_sets_what_it_names(tmp_path: Path) -> None:
    files = {
        "first": 'name = "a"\ntask = "yes"\nwidth = 9\n[features]\nagc_s = 0.5\nchannels = 12',
        "second": 'like = "first"\nname = "b"\nsteps = 8\n[features]\nchannels = 13',
        "third": 'like = "second"\nname = "c"\nwidth = 10',
    }
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text)
    recipe = Recipe.from_toml(tmp_path / "third.toml", steps=3, sequences=5)
    assert (recipe.name, recipe.width, recipe.steps, recipe.sequences) == ("c", 10, 8, 5)
    assert (recipe.features.agc_s, recipe.features.channels) == (0.5, 13)
