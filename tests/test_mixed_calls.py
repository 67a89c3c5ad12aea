"""A stream may be asked for wires or logits at any time: the events after it are the same."""

import numpy as np
import pytest
import soundfile

from kws_stream import KeywordSpotter, engine, packs
from kws_stream.constants import RECORDING
from kws_stream.detector import WakeEvent
from tests.pack_factory import build_pack
from tests.tiny_verifier import cascade_pack, tiny_graphs

BLOCK = 3_333


@pytest.fixture(scope="module", params=["mcu", "host", "none"])
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> packs.Pack:
    folder = tmp_path_factory.mktemp("packs")
    if request.param == "mcu":
        return packs.load("commands-12")
    if request.param == "host":
        return packs.load(cascade_pack(folder / "host"))
    detector = {"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.3}
    return packs.load(build_pack(folder / "none", graphs=False, detector=detector))


@pytest.fixture(autouse=True)
def _tiny_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kws_stream.verifier.host.find_graphs", tiny_graphs)


@pytest.fixture(scope="module")
def pcm() -> np.ndarray:
    samples, _ = soundfile.read(RECORDING, dtype="int16", frames=12 * 16_000)
    return samples


@pytest.mark.parametrize("ask", ["trace", "logits"])
@pytest.mark.parametrize("kind", ["c", "numpy"])
def test_events_after_a_question_are_those_of_a_stream_without_one(
    pack: packs.Pack, pcm: np.ndarray, kind: str, ask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "numpy":
        monkeypatch.setattr(engine, "library", None)
    elif engine.library is None:
        pytest.skip("needs the engine in C")
    asked, plain = KeywordSpotter(pack), KeywordSpotter(pack)
    after = list[WakeEvent]()
    for turn, at in enumerate(range(0, len(pcm), BLOCK)):
        block = pcm[at : at + BLOCK]
        wanted = plain.process(block)
        if turn % 3 == 1:
            getattr(asked, ask)(block)
        else:
            found = asked.process(block)
            assert found == wanted
            after += found
        assert (asked.triggers, asked.decisions) == (plain.triggers, plain.decisions)
    assert after
    assert asked.finish() == plain.finish()
    assert asked.power() == plain.power()
