"""Files of text that people get from others: recipes, search spaces, labels, kept triggers."""

import json
import shutil
from pathlib import Path

from fuzz import places
from fuzz.places import sentence
from kws_stream.cli.output import printable
from kws_stream.errors import DataError, ParameterError
from kws_stream.evaluation.labels import read_labels
from kws_stream.live.triggers import TriggerStore, read_triggers
from kws_stream.search.space import Space
from kws_stream.training.recipe import Recipe
from kws_stream.training.stages import shown, stages_from_toml

RECIPES = Path(__file__).parents[1] / "recipes"
BASE = Recipe.from_settings({"name": "fuzz", "task": "yes"})
TRIGGER = {
    "format": 1,
    "event": {"keyword": "yes", "time_s": 1.5, "score": 0.75, "start_s": 1.25, "index": 0},
    "label": None,
    "words": None,
    "audio_start_s": 0.25,
}


def recipe(data: bytes) -> None:
    """A recipe is refused in a sentence, or what is shown of it is that recipe again."""
    path = places.file("recipe.toml", data)
    try:
        stages = stages_from_toml(path)
    except ParameterError as error:
        sentence(error)
        return
    again = stages_from_toml(places.file("again.toml", shown(stages).encode("utf-8")))
    assert [stage.recipe for stage in again] == [stage.recipe for stage in stages]
    assert [stage.init_from for stage in again] == [stage.init_from for stage in stages]


def search_space(data: bytes) -> None:
    """A search space is refused in a sentence, or its settings make recipes."""
    try:
        space = Space.from_toml(places.file("space.toml", data), BASE)
    except ParameterError:
        return
    assert space.settings


def labels(data: bytes) -> None:
    """Labels are refused with file and line, or are words with times."""
    places.file("talk.json", data)
    try:
        words = read_labels(places.folder() / "talk.wav")
    except DataError as error:
        sentence(error)
        return
    assert all(0 <= word.start_s <= word.end_s for word in words)


def trigger_store(data: bytes) -> None:
    """A record is set aside, left to a later version, or read, labelled and read again."""
    store = places.folder() / "triggers"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    (store / "trigger-20260101T000000000000-yes.json").write_bytes(data)
    told: list[str] = []
    for record in read_triggers(store, told.append):
        record.set_label("yes")
        (again,) = read_triggers(store, told.append)
        assert again.label == "yes"
    keeper = TriggerStore(store, most=1, on_fault=told.append)
    keeper.close()
    assert keeper._make_room() or list(store.glob("trigger-*.json"))
    assert all(printable(text) for text in told)


def recipe_seeds() -> list[bytes]:
    """Every recipe of the repository, and short ones."""
    texts = [path.read_bytes() for path in sorted(RECIPES.glob("**/*.toml"))]
    texts.append(
        b'name = "x"\ntask = "yes"\n[[stage]]\nname = "a"\nsteps = 4\n[[stage]]\nname = "b"'
    )
    return [text for text in texts if b"[features." not in text or len(text) < 8192]


def space_seeds() -> list[bytes]:
    """Every search space of the repository."""
    return [path.read_bytes() for path in sorted(RECIPES.glob("search-*.toml"))]


def label_seeds() -> list[bytes]:
    """Labels as they should be, and as other programs write them."""
    good = {"words": [{"word": "yes", "start_s": 0.5, "end_s": 1.0, "clip": "a"}]}
    texts = [json.dumps(good), json.dumps(good, indent=1), '{"words": []}', "[]", '{"words": [{}]}']
    return [text.encode() for text in texts] + [json.dumps(good).encode("utf-16")]


def trigger_seeds() -> list[bytes]:
    """A record, of this version and of a later one."""
    changes = [{}, {"format": 2}, {"label": "no"}, {"event": {}}, {"words": [{"word": "yes"}]}]
    return [json.dumps(TRIGGER | change).encode() for change in changes]
