"""Hits, misses, repeats and false accepts of a stream."""

import json
from importlib.resources import files

import pytest

from kws_stream import packs
from kws_stream.detector import WakeEvent
from kws_stream.evaluation import StreamResult, Word, score_stream
from kws_stream.pipeline import KeywordSpotter

YES, NO = Word("yes", 1.0, 1.5), Word("no", 3.0, 3.4)


def score(events: list[tuple[str, float]], *words: Word) -> StreamResult:
    heard = [WakeEvent(word, time, 0.9, time, index) for index, (word, time) in enumerate(events)]
    return score_stream(words, heard, ("yes", "no"))


@pytest.mark.parametrize("time_s", [1.0, 1.5, 2.0])
def test_an_event_in_the_word_or_half_a_second_after_is_a_hit(time_s: float) -> None:
    result = score([("yes", time_s)], YES, NO)
    assert (result.words, result.hits, result.misses) == (2, 1, (NO,))
    assert (result.false_accepts, result.repeats) == ((), 0)
    assert result.latencies_s == (time_s - 1.5,)
    assert [(word, event.time_s) for word, event in result.found] == [(YES, time_s)]


@pytest.mark.parametrize(("word", "time_s"), [("yes", 0.99), ("yes", 2.01), ("no", 1.5)])
def test_an_event_outside_or_of_another_keyword_is_a_false_accept(word: str, time_s: float) -> None:
    result = score([(word, time_s)], YES)
    assert [event.time_s for event in result.false_accepts] == [time_s]
    assert (result.hits, result.misses, result.repeats) == (0, (YES,), 0)
    assert result.median_latency_s is None


def test_further_events_within_a_second_of_a_word_count_once() -> None:
    result = score([("yes", 1.25), ("yes", 1.75), ("yes", 2.5), ("yes", 2.51)], YES)
    assert (result.hits, result.repeats) == (1, 2)
    assert [event.time_s for event in result.false_accepts] == [2.51]


def test_every_word_needs_its_own_event() -> None:
    again = Word("yes", 1.75, 2.25)
    both = score([("yes", 1.5), ("yes", 2.0)], again, YES)
    assert (both.hits, both.misses, both.repeats) == (2, (), 0)
    assert both.latencies_s == (0.0, -0.25)
    assert both.median_latency_s == -0.125
    assert score([("yes", 1.5)], YES, again).misses == (again,)


def test_a_word_that_is_no_keyword_needs_no_event() -> None:
    marvin = Word("marvin", 1.0, 1.5)
    assert score([], marvin) == StreamResult(0, 0, (), (), 0, ())
    assert len(score([("yes", 1.4)], marvin).false_accepts) == 1


@pytest.mark.parametrize("model", packs.list_packs())
def test_shipped_models_hear_most_words_of_the_packaged_recording(model: str) -> None:
    data = files("kws_stream") / "_data"
    labels = json.loads((data / "demo.json").read_text("utf-8"))["words"]
    words = [Word(w["word"], w["start_s"], w["end_s"]) for w in labels]
    spotter = KeywordSpotter(model)
    events = list(spotter.events(str(data / "demo.flac")))
    result = score_stream(words, events, spotter.pack.keywords)
    assert result.hits >= result.words / 3
    assert len(result.false_accepts) <= result.words / 2
