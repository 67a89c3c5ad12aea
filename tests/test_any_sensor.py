"""The example of another sensor: a pack at 250 Hz, and a recording whose beats it finds."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from kws_stream import KeywordSpotter, engine
from kws_stream.evaluation import evaluate_recordings
from kws_stream.packs import verify
from kws_stream.workers import Workers

EXAMPLES = Path(__file__).parents[1] / "examples"
PACK, RECORDING = EXAMPLES / "ecg-pvc", EXAMPLES / "ecg.flac"


def test_the_example_is_an_exact_pack_that_says_what_it_was_made_from() -> None:
    assert any("equal bits" in line for line in verify(PACK))
    spotter = KeywordSpotter(PACK)
    assert (spotter.rate_hz, spotter.classes) == (250, ("pvc", "other"))
    assert "no recording of a person" in spotter.pack.manifest["data"][0]["licence"]


def test_the_example_finds_the_beats_that_the_labels_tell() -> None:
    with Workers(1) as workers:
        result = evaluate_recordings([RECORDING], PACK, workers=workers)
    assert result.point.words >= 5
    assert result.point.hits == result.point.words
    assert result.point.false_accepts <= 1


def test_both_engines_hear_the_example_alike_in_any_split(monkeypatch: pytest.MonkeyPatch) -> None:
    pcm, _ = soundfile.read(RECORDING, dtype="int16")
    compiled = KeywordSpotter(PACK)
    wanted = compiled.process(pcm) + compiled.finish()
    assert wanted
    with monkeypatch.context() as without:
        without.setattr(engine, "library", None)
        plain = KeywordSpotter(PACK)
    parts = np.array_split(pcm, 271)
    assert [event for part in parts for event in plain.process(part)] + plain.finish() == wanted
    assert plain.power() == compiled.power()
