"""Every object that a user can hold shows itself in some lines, whatever it holds."""

import dataclasses
import importlib
import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kws_stream
from kws_stream import KeywordSpotter, Network, features, packs, power
from kws_stream.bmru.chip_settings import ChipSettings
from kws_stream.brief import brief, changed, shown
from kws_stream.constants import RECORDING
from kws_stream.detector import DetectorSettings
from kws_stream.evaluation import evaluate_recordings, streams_of, tune
from kws_stream.export.firmware import load_model
from kws_stream.features import FeatureSettings, fixed_front_end
from kws_stream.live import Monitor, passages
from kws_stream.training.recipe import Recipe
from kws_stream.verifier import parse_head, parse_network
from kws_stream.workers import Workers
from tests.tiny_network import mcu_pack

MOST = 500
ROOT = Path(kws_stream.__file__).parents[1]
BOUNDED = (int, float, str, bool, type(None), Path, complex)


def public_dataclasses() -> Iterator[type]:
    """Those of the product's modules that can be imported here, but for the command line's."""
    for room in ("kws_stream", "firmware_sim"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if {"cli", "_models", "__main__.py"} & set(path.parts):
                continue
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            name = name.removesuffix(".__init__")
            try:
                found = importlib.import_module(name)
            except ImportError:  # of an extra that is not here
                continue
            for each in vars(found).values():
                own = inspect.isclass(each) and each.__module__ == name
                if own and dataclasses.is_dataclass(each) and not each.__name__.startswith("_"):
                    yield each


def written(kind: type) -> bool:
    """Whether the representation is ours, not what `dataclass` makes."""
    own: Any = kind.__repr__
    return own in (brief, changed) or own.__code__.co_filename == inspect.getsourcefile(kind)


def bounded(hint: Any) -> bool:
    """Whether values of a type are short: numbers, names, or a few of them, or short themselves."""
    if inspect.isclass(hint) and not typing.get_origin(hint):
        if dataclasses.is_dataclass(hint):
            return written(hint) or all(map(bounded, types_of(hint)))
        return hint is not np.ndarray and issubclass(hint, BOUNDED)
    of = typing.get_args(hint)
    if typing.get_origin(hint) in (tuple, typing.Union, types.UnionType):
        return Ellipsis not in of and all(map(bounded, of))
    return typing.get_origin(hint) is typing.Literal


def types_of(kind: type) -> list[Any]:
    hints = typing.get_type_hints(kind)
    return [hints[one.name] for one in dataclasses.fields(kind) if one.repr]


@pytest.mark.parametrize("kind", list(public_dataclasses()), ids=lambda kind: kind.__qualname__)
def test_a_class_that_holds_much_shows_little(kind: type) -> None:
    assert written(kind) or all(map(bounded, types_of(kind)))


@dataclasses.dataclass
class Much:
    arrays: dict[str, Any]
    text: str
    numbers: list[int]
    some: tuple[Any, ...]
    data: bytes
    same: "Much | None" = None
    more: int = 0

    __repr__ = brief


def test_whatever_a_field_holds_it_is_short() -> None:
    array = np.zeros((3, 4), np.float32)
    much = Much({"a": array}, "x" * 999, list(range(10_000)), (array, array), b"\0" * 5000)
    assert repr(much) == (
        "Much(arrays={'a': float32[3, 4]}, text='" + "x" * 55 + "...', numbers=<10000 int>, "
        "some=(float32[3, 4], float32[3, 4]), data=<5000 bytes>, same=None, more=0)"
    )
    assert "same=<Much>" in repr(dataclasses.replace(much, same=much))
    many = dataclasses.make_dataclass("Many", [(f"f{i}", int) for i in range(500)])
    assert len(brief(many(*range(500)))) < MOST
    assert brief(many(*range(500))).endswith(", ...)")
    assert len(shown({"a" * 99: "b" * 99})) < 100


def test_settings_show_what_is_not_at_its_default() -> None:
    assert repr(FeatureSettings()) == "FeatureSettings()"
    assert repr(ChipSettings(unit_na=0.5)) == "ChipSettings(unit_na=0.5)"
    assert repr(DetectorSettings(thresholds={"yes": 0.25})) == (
        "DetectorSettings(thresholds={'yes': 0.25})"
    )
    recipe = Recipe("x", "yes", width=7, features=FeatureSettings(channels=8))
    assert repr(recipe) == (
        "Recipe(name='x', task='yes', width=7, features=FeatureSettings(channels=8))"
    )


def held(folder: Path) -> Iterator[object]:
    """What a user comes to hold, of a real pack and a real recording."""
    pack = packs.load("commands-12")
    spotter = KeywordSpotter(pack)
    (seen,) = spotter.observe(np.zeros(16_000, np.int16))
    with_verifier = KeywordSpotter(mcu_pack(folder / "mcu"))
    model = load_model("commands-12")[1]
    yield from (pack, spotter, with_verifier, with_verifier.verifier, seen, seen.trace)
    yield from (pack.network, pack.network.parameters, *pack.network.parameters.blocks)
    yield from (pack.network.stream(), pack.network.exactness, spotter.power(), pack.verifier)
    yield from (model, model.verifier, features.build(pack.features), Monitor(spotter))
    yield from fixed_front_end(FeatureSettings())
    yield power.report(spotter.power(), 16)
    yield next(iter(passages(spotter, RECORDING)))
    with Workers(1) as workers:
        yield tune(streams_of(RECORDING), "yes-4", workers=workers)
        yield evaluate_recordings([RECORDING], "yes-4", workers=workers)
        yield workers
    for name in packs.list_packs():
        of = packs.load(name).verifier
        if of is not None:
            yield parse_head(of.head) if of.kind == "host" else parse_network(of.head)


def test_real_objects_show_little_and_their_facts(tmp_path: Path) -> None:
    for each in held(tmp_path):
        text = repr(each)
        assert len(text) < MOST, text
        assert "\n" not in text
        assert type(each).__name__ in text


def test_a_spotter_and_its_parts_tell_what_they_are() -> None:
    spotter = KeywordSpotter("yes-4", threshold=0.75)
    assert repr(spotter) == (
        "KeywordSpotter('yes-4', keywords='yes', thresholds={'yes': 0.75}, verifier=None, frames=0)"
    )
    net = spotter.pack.network
    assert repr(net) == "Network(48 features, 4 cells, 2 classes, exact in float64)"
    assert "'yes-4'" in repr(spotter.pack)
    assert isinstance(net, Network)


def test_collections_are_written_as_python_writes_them() -> None:
    values = [("yes",), (), ("yes", "no"), [0.5], {"a": (1,)}]
    assert [shown(value) for value in values] == [repr(value) for value in values]
