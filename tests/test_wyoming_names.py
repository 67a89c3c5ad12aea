"""What a Wyoming client may ask for, and what a detection is then called."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("wyoming", reason="needs the extra: pip install 'kws-stream[wyoming]'")
from wyoming.error import Error
from wyoming.wake import Detect

from kws_stream import packs
from kws_stream.cli import main
from kws_stream.errors import ParameterError
from kws_stream.integrations.names import as_spoken
from kws_stream.integrations.wyoming.catalogue import Catalogue, is_wake_phrase
from kws_stream.names import folded
from tests.pack_factory import build_pack
from tests.wyoming_client import (
    DETECTOR,
    converse,
    detections,
    detections_of,
    events_of,
    int16_noise,
    listen,
    run,
    serving,
)


@pytest.fixture(scope="module")
def pcm():
    return int16_noise(2.0)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two packs of the keywords yes and no, which hear something else each."""
    folder = tmp_path_factory.mktemp("packs")
    made = [
        build_pack(folder / name, graphs=False, seed=seed, detector=DETECTOR)
        for name, seed in (("tiny", 9), ("other", 13))
    ]
    return [packs.load(pack) for pack in made]


def names_of(catalogue):
    return [model.name for model in catalogue.info().wake[0].models]


def test_each_keyword_stands_in_the_list_once_and_means_one_thing():
    catalogue = Catalogue([packs.load(name) for name in ("commands-12", "yes-4", "hey-computer")])
    names = names_of(catalogue)
    assert names == [*packs.load("commands-12").keywords, "yes-4/yes", "hey_computer"]
    meanings = [catalogue.choose([name]).keywords for name in names]
    assert [len(meaning) for meaning in meanings] == [1] * 12
    assert len({str(meaning) for meaning in meanings}) == 12


def test_packs_of_one_name_can_be_chosen_all_the_same(tmp_path):
    same = [packs.load(build_pack(tmp_path / str(n) / "tiny", graphs=False)) for n in range(4)]
    catalogue = Catalogue(same)
    assert len(names_of(catalogue)) == len(set(names_of(catalogue))) == 8
    for number in range(4):
        name = names_of(catalogue)[2 * number]
        assert catalogue.choose([name]).keywords == {number: frozenset({"yes"})}
    assert names_of(catalogue)[-2:] == ["tiny/yes (3)", "tiny/no (3)"]


def test_phrases_are_as_spoken():
    models = Catalogue([packs.load("hey-computer"), packs.load("yes-4")]).info().wake[0].models
    assert [model.phrase for model in models] == ["hey computer", "yes"]
    assert [model.description for model in models] == ["hey computer", "yes (yes-4)"]
    assert as_spoken("  hey__big computer ") == "hey big computer"


def test_every_name_of_the_list_is_detected_under_that_name(two, pcm):
    async def test():
        async with serving(*two) as (server, port):
            names = names_of(server.catalogue)
            assert names == ["yes", "no", "other/yes", "other/no"]
            for name in names:
                number, keyword = name.startswith("other"), name.rpartition("/")[2]
                expected = [
                    (name, time_ms)
                    for word, time_ms in detections_of(two[number], pcm)
                    if word == keyword
                ]
                assert expected
                assert detections(await listen(port, pcm, names=[name])) == expected

    run(test())


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("tiny", {"yes", "no"}),
        ("TINY", {"yes", "no"}),
        ("tiny/no", {"no"}),
        ("YES", {"yes"}),
        (" Tiny / Yes", {"yes"}),
        ("Tiny/Yes", {"yes"}),
    ],
)
def test_a_detection_is_called_as_the_client_asked(asked, words, two, pcm):
    async def test():
        expected = [
            (asked, time_ms) for word, time_ms in detections_of(two[0], pcm) if word in words
        ]
        async with serving(*two) as (_, port):
            told = await listen(port, pcm, names=[asked])
            assert detections(told) == expected

    run(test())


def test_a_keyword_that_is_asked_for_twice_is_detected_once_under_its_closest_name(two, pcm):
    async def test():
        expected = [
            ("no" if word == "no" else "tiny", time_ms)
            for word, time_ms in detections_of(two[0], pcm)
        ]
        async with serving(*two) as (_, port):
            for names in (["tiny", "no"], ["no", "tiny"]):
                assert detections(await listen(port, pcm, names=names)) == expected

    run(test())


def test_other_cases_and_hyphens_and_spaces_mean_the_same():
    catalogue = Catalogue([packs.load("hey-computer"), packs.load("commands-12")])
    for name in (
        "hey_computer",
        "hey-computer",
        "Hey Computer",
        "HEY COMPUTER",
        "hey-computer/hey computer",
    ):
        choice = catalogue.choose([name])
        assert choice.keywords == {0: frozenset({"hey_computer"})}
        assert choice.names == {(0, "hey_computer"): name}
    assert folded("Stra\u00dfe") == folded("STRASSE")
    assert folded("\uff33top") == folded("stop")


def test_an_exact_name_wins_over_one_that_is_like_it(tmp_path):
    first = packs.load(build_pack(tmp_path / "YES", graphs=False))
    catalogue = Catalogue([first])
    assert catalogue.choose(["YES"]).keywords == {0: frozenset({"yes", "no"})}
    assert catalogue.choose(["yes"]).keywords == {0: frozenset({"yes"})}
    assert catalogue.choose(["Yes"]).keywords == {0: frozenset({"yes"})}


def test_unknown_names_are_told_to_the_client_and_logged_once_with_those_there_are(two, pcm):
    async def test():
        messages = []
        async with serving(*two, on_message=messages.append) as (_, port):
            for names in (["ok_nabu", "yes"], ["ok_nabu"], ["a\x1b[2Jb"]):
                told = await converse(port, Detect(names=names))
                (error,) = [Error.from_event(event) for event in told]
                assert error.code == "unknown-name"
                assert names[0] in error.text
            told = await listen(port, pcm, names=["ok_nabu", "yes"])
            assert {name for name, _ in detections(told)} == {"yes"}
            told = await listen(port, np.zeros(3200, np.int16), names=["ok_nabu"])
            assert [event.type for event in told] == ["error", "not-detected"]
            many = [f"name {number}" for number in range(900)]
            await converse(port, Detect(names=many))
            await converse(port, Detect(names=[name + "!" for name in many]))
        assert len(messages) == 3
        assert "asks for 'ok_nabu', which is not offered" in messages[0]
        assert messages[0].endswith("there are yes, no, other/yes, other/no")
        assert "\x1b" not in messages[1]
        assert len(messages[2]) < 10_000

    run(test())


def test_without_names_wake_phrases_are_heard_and_words_only_where_their_model_is_first():
    phrase, words = packs.load("hey-computer"), packs.load("commands-12")
    assert is_wake_phrase(phrase)
    assert not is_wake_phrase(words)
    assert Catalogue([phrase, words]).wake == ("hey_computer",)
    assert Catalogue([words, phrase]).wake == words.keywords
    assert Catalogue([words, phrase]).choose(None).keywords == {0: frozenset(words.keywords)}
    assert Catalogue([phrase, words]).choose([]).keywords == {0: frozenset({"hey_computer"})}
    chosen = Catalogue([phrase, words], ["Stop", "hey computer"])
    assert chosen.choose(None).keywords == {1: frozenset({"stop"}), 0: frozenset({"hey_computer"})}


def test_without_names_detections_are_called_as_in_the_list(two, pcm):
    async def test():
        async with serving(*two) as (_, port):
            assert detections(await listen(port, pcm)) == detections_of(two[0], pcm)
        async with serving(*two, wake=["other/no"]) as (_, port):
            events = events_of(two[1], pcm)
            assert {event.keyword for event in events} == {"yes", "no"}
            heard = {name for name, _ in detections(await listen(port, pcm))}
            assert heard == {"other/no"}

    run(test())


def test_models_that_are_meant_without_names_take_their_places_too(two, pcm):
    async def test():
        async with serving(*two, wake=["yes", "other/no"], max_clients=1) as (_, port):
            error, *told = await listen(port, pcm)
            assert Error.from_event(error).code == "busy"
            assert {name for name, _ in detections(told)} == {"yes"}

    run(test())


def test_wake_words_that_no_model_has_are_refused(two):
    with pytest.raises(ParameterError, match=r"need names among yes, no, .* got 'ok_nabu'"):
        Catalogue(two, ["yes", "ok_nabu"])
    result = CliRunner().invoke(main, ["serve", "-m", "yes-4", "--wake", "ok_nabu"])
    assert result.exit_code == 2
    assert "--wake" in result.stderr


def test_the_command_offers_all_models_and_hears_wake_phrases_where_no_names_are_given():
    command = [sys.executable, "-m", "kws_stream", "serve", "--uri", "tcp://127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--max-clients", "3"], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            first, second = process.stderr.readline(), process.stderr.readline()
            port = int(first.split()[first.split().index("at") + 1].rpartition(":")[2])
            told = asyncio.run(converse(port, Detect(names=["Yes", "commands-12-small"])))
        finally:
            process.terminate()
    offered = first.partition("serving ")[2].partition(" at ")[0].split(", ")
    assert sorted(offered) == packs.list_packs()
    phrases = [name for name in offered if is_wake_phrase(packs.load(name))]
    assert offered[: len(phrases) + 1] == [*phrases, "commands-12"]
    for name in phrases:
        assert packs.load(name).keywords[0] in second
    assert "stop" not in second
    assert told == []
