"""The OpenVoiceOS plugin, with its base class or, where that is not installed, a stand-in."""

import importlib
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from kws_stream import KeywordSpotter
from kws_stream.errors import MissingExtraError, ParameterError
from tests.pack_factory import build_pack
from tests.test_cli import noise

MODULE = "kws_stream.integrations.ovos"
TEMPLATES = "ovos_plugin_manager.templates.hotwords"


class HotWordEngine:
    def __init__(self, key_phrase, config=None):
        self.key_phrase = str(key_phrase).lower()
        self.config = config or {}


@pytest.fixture
def plugin(monkeypatch):
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    try:
        importlib.import_module(TEMPLATES)
    except ImportError:
        for name in ("ovos_plugin_manager", "ovos_plugin_manager.templates", TEMPLATES):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        sys.modules[TEMPLATES].HotWordEngine = HotWordEngine
    yield importlib.import_module(MODULE).KwsStreamHotWord
    sys.modules.pop(MODULE, None)


@pytest.fixture
def pack(tmp_path):
    detector = {"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.2}
    return build_pack(tmp_path / "tiny", graphs=False, seed=9, detector=detector)


def test_a_word_is_found_once_for_each_event(plugin, pack):
    pcm = np.round(noise(2.0)[:, 0] * 32768).astype(np.int16)
    expected = [e for e in KeywordSpotter(pack).process(pcm) if e.keyword == "no"]
    engine = plugin("no", {"model": str(pack)})
    for _ in range(2):
        found = 0
        data = pcm.tobytes()
        for at in range(0, len(data), 333):  # odd: a sample may be cut in two
            engine.update(data[at : at + 333])
            found += engine.found_wake_word()
        assert found == len(expected) > 1
        assert not engine.found_wake_word()
        engine.reset()


def test_the_word_and_its_threshold_come_from_the_settings(plugin, pack):
    engine = plugin("hey", {"model": str(pack), "keyword": "yes", "threshold": 1.0})
    engine.update(np.zeros(16_000, np.int16).tobytes())
    assert not engine.found_wake_word()
    assert engine._spotter.thresholds == {"yes": 1.0, "no": 0.0}
    with pytest.raises(ParameterError, match="yes, no"):
        plugin("hey", {"model": str(pack)})


@pytest.mark.parametrize("name", ["hey computer", "Hey-Computer", "HEY_COMPUTER"])
def test_the_word_may_be_written_as_people_write_it(name, plugin):
    engine = plugin(name, {"model": "hey-computer", "threshold": 0.5})
    assert engine._spotter.thresholds == {"hey_computer": 0.5}
    with pytest.raises(ParameterError, match="got 'hey computers'"):
        plugin("hey computers", {"model": "hey-computer"})


def test_the_entry_point_names_the_plugin(plugin):
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    module, _, name = project["project"]["entry-points"]["opm.wake_word"][
        "kws-stream-ovos"
    ].partition(":")
    assert getattr(importlib.import_module(module), name) is plugin


def test_without_the_base_package_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    monkeypatch.setitem(sys.modules, "ovos_plugin_manager", None)
    monkeypatch.setitem(sys.modules, TEMPLATES, None)
    with pytest.raises(MissingExtraError, match=r"kws-stream\[ovos\]"):
        importlib.import_module(MODULE)
