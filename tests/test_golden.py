"""What the packaged recording gave the slow twins is what it gives now: features and events."""

import json

import numpy as np
import pytest
import soundfile

from kws_stream import KeywordSpotter, packs
from kws_stream.constants import RECORDING
from kws_stream.detector import Detector, DetectorSettings
from kws_stream.features import FeatureSettings, FrontEnd
from tests.golden.make import FILE, MODELS, digest

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))["models"]
BLOCK = 777  # samples a call: no call ends where a frame does


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return soundfile.read(RECORDING, dtype="float32")[0]


@pytest.mark.parametrize("model", MODELS)
def test_the_stages_in_numpy_give_the_golden_features_and_events(
    model: str, samples: np.ndarray
) -> None:
    pack = packs.load(model)
    settings = FeatureSettings.from_dict(pack.features)
    front_end = FrontEnd(settings)
    blocks = [samples[at : at + BLOCK] for at in range(0, len(samples), BLOCK)]
    features = np.concatenate([front_end.process(block) for block in blocks])
    assert digest((features / settings.step).astype(int)) == GOLDEN[model]["features"]
    given = DetectorSettings.from_dict(pack.detector)
    detector = Detector(given, pack.classes, pack.keywords, settings.frame_s)
    events = detector.process(pack.network.run(features).logits)
    assert [event.as_dict() for event in events] == GOLDEN[model]["events"]


@pytest.mark.parametrize("model", MODELS)
def test_the_spotter_gives_the_golden_events(model: str, samples: np.ndarray) -> None:
    spotter = KeywordSpotter(model, verify=False)
    assert GOLDEN[model]["version"] == packs.load(model).version, (
        "another pack: write the golden file again with python -m tests.golden.make"
    )
    events = [
        event
        for at in range(0, len(samples), BLOCK)
        for event in spotter.process(samples[at : at + BLOCK])
    ]
    assert [event.as_dict() for event in events] == GOLDEN[model]["events"]
