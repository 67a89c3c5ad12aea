"""Which clips a task scores: splits, both layouts, draws, and folders that will not do."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kws_stream.errors import DataError, ParameterError
from kws_stream.evaluation import TASKS, Clip, Selection, half_of, select, split_of
from tests.clip_folders import (
    COMMANDS,
    SPEAKERS,
    build_all_words,
    build_official,
    build_words,
    clip_name,
    write,
)
from tests.reference.which_set import which_set


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_words(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_official(tmp_path_factory.mktemp("official"))


def labels(selection: Selection) -> Counter[str]:
    return Counter(clip.label for clip in selection.clips)


def test_split_is_that_of_the_published_function() -> None:
    draw = random.Random(0)
    names = [f"{draw.getrandbits(32):08x}_nohash_{draw.randrange(9)}.wav" for _ in range(2000)]
    names += ["up/b00dad9f.wav", "a_nohash_.wav", "x/_nohash_0.opus", "é_nohash_1.flac", ""]
    splits = [split_of(name) for name in names]
    assert splits == [which_set(name, 10, 10) for name in names]
    assert set(splits) == {"training", "validation", "testing"}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("bed/026290a7_nohash_0.wav", "validation"),
        ("bed/060cd039_nohash_0.wav", "validation"),
        ("bed/099d52ad_nohash_0.wav", "validation"),
        ("bed/0c40e715_nohash_0.wav", "testing"),
        ("bed/0ea0e2f4_nohash_0.wav", "testing"),
        ("right/bb05582b_nohash_3.wav", "testing"),
    ],
)
def test_split_is_that_of_lines_of_the_published_lists(name: str, split: str) -> None:
    assert split_of(name) == split


def test_all_clips_of_a_speaker_share_a_split() -> None:
    for split, speaker in SPEAKERS.items():
        for name in ("_nohash_0.wav", "_nohash_12.opus", "_nohash_3.FLAC"):
            assert split_of(f"any/folder/{speaker}{name}") == split


def test_a_half_is_of_whole_speakers_and_the_same_for_ever() -> None:
    names = [f"{speaker:08x}_nohash_0.wav" for speaker in range(4000)]
    halves = [half_of(name) for name in names]
    assert [half_of(f"on/{name[:8]}_nohash_7.jpg") for name in names] == halves
    assert [half == "choosing" for half in halves[:8]] == [0, 0, 0, 0, 0, 1, 0, 1]
    for split in ("training", "validation", "testing"):  # it says nothing of the split
        of_split = [h for n, h in zip(names, halves, strict=True) if split_of(n) == split]
        assert 0.43 < of_split.count("choosing") / len(of_split) < 0.57


def test_two_halves_of_a_split_are_the_whole(words: Path) -> None:
    whole = select(words, "v2-35", "validation").clips
    halves = []
    for half in ("choosing", "reported"):
        try:
            clips = select(words, "v2-35", "validation", half=half).clips
        except DataError as error:
            assert f"validation split, {half} half, found none" in str(error)  # noqa: PT017
            continue
        assert {half_of(clip.path.name) for clip in clips} == {half}
        halves += clips
    assert sorted(clip.path for clip in halves) == sorted(clip.path for clip in whole)


def test_an_official_test_set_has_no_halves(official: Path) -> None:
    with pytest.raises(ParameterError, match="scored whole; leave the half out"):
        select(official, "v2-12", half="choosing")


@pytest.mark.parametrize(("split", "count"), [("validation", 3), ("training", 1)])
def test_every_clip_of_the_ten_words_and_a_tenth_of_unknown_and_silence(
    words: Path, split: str, count: int
) -> None:
    selection = select(words, "v2-12", split)
    expected = dict.fromkeys(COMMANDS, count) | {"silence": count, "unknown": count}
    if split == "training":
        del expected["unknown"]
        assert selection.notes == ("0 clips of unknown words instead of 1: there are no more",)
    assert labels(selection) == expected
    assert selection.split == split
    assert all(
        split_of(clip.path.name) == split for clip in selection.clips if clip.label != "silence"
    )
    assert {clip.word for clip in selection.clips if clip.label == "unknown"} <= {"bed", "cat"}


def test_a_tenth_is_rounded_up(words: Path) -> None:
    selection = select(words, "v2-12", "testing")  # one clip of yes
    assert labels(selection) == {"yes": 1, "silence": 1}
    assert selection.notes[0] == "no clips of " + ", ".join(COMMANDS[1:])


def test_seed_draws_unknown_and_silence_and_nothing_else(words: Path) -> None:
    def drawn(seed: int) -> tuple[Clip, ...]:
        return select(words, "v2-12", "validation", seed).clips

    assert drawn(0) == drawn(0)
    others = [drawn(seed) for seed in range(1, 6)]
    assert all(clips[:30] == drawn(0)[:30] for clips in others)
    assert any(clips[30:33] != drawn(0)[30:33] for clips in others)  # unknown
    assert any(clips[33:] != drawn(0)[33:] for clips in others)  # silence


def test_yes_has_all_six_words_and_as_much_silence_as_the_mean_other_word(words: Path) -> None:
    selection = select(words, "yes", "validation")
    assert labels(selection) == {"yes": 3, "other": 18}
    expected = dict.fromkeys(("yes", "no", "up", "down", "left", "right", "_silence_"), 3)
    assert Counter(clip.word for clip in selection.clips) == expected
    assert selection.notes == ()


def test_all_words_are_the_35_of_version_2_and_nothing_else(tmp_path: Path) -> None:
    build_all_words(tmp_path)
    write(tmp_path / "computer" / clip_name("validation", 0))
    write(tmp_path / "_background_noise_" / "hum.wav", 2.0)
    selection = select(tmp_path, "v2-35")
    assert labels(selection) == dict.fromkeys(TASKS["v2-35"], 2)
    assert len(TASKS["v2-35"]) == 35
    assert set(COMMANDS) < set(TASKS["v2-35"])
    assert all(clip.word == clip.label for clip in selection.clips)
    assert selection.notes == ()


def test_official_test_set_is_scored_whole_whatever_the_split(official: Path) -> None:
    for split in ("training", "validation", "testing"):
        selection = select(official, "v2-12", split, seed=3)
        assert labels(selection) == dict.fromkeys(TASKS["v2-12"], 2)
        assert (selection.split, selection.notes) == ("all", ())
    yes = select(official, "yes", "testing")
    assert labels(yes) == {"yes": 2, "other": 12}
    assert "_unknown_" not in {clip.word for clip in yes.clips}


def test_either_folder_marks_an_official_test_set(tmp_path: Path) -> None:
    write(tmp_path / "yes" / clip_name("training", 0))
    write(tmp_path / "_unknown_" / clip_name("training", 0))
    write(tmp_path / "_background_noise_" / "hum.wav", 2.0)
    selection = select(tmp_path, "v2-12", "validation")
    assert labels(selection) == {"yes": 1, "unknown": 1}
    assert "no silence: the folder has no clips in _silence_" in selection.notes


def test_published_lists_win_over_the_hash(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "yes" / clip_name("validation", number, ".flac"))
    write(tmp_path / "yes" / clip_name("testing", 0, ".flac"))
    (tmp_path / "validation_list.txt").write_text(f"yes/{clip_name('validation', 1)}\n\n")

    def numbers(split: str) -> list[str]:
        clips = select(tmp_path, "yes", split).clips
        return [clip.path.name for clip in clips]

    assert numbers("validation") == [clip_name("validation", 1, ".flac")]
    assert numbers("training") == [clip_name("validation", n, ".flac") for n in (0, 2)]
    assert numbers("testing") == [clip_name("testing", 0, ".flac")]  # no list: by hash
    (tmp_path / "testing_list.txt").write_text(f"yes/{clip_name('validation', 2)}\n")
    assert numbers("testing") == [clip_name("validation", 2, ".flac")]


@pytest.mark.parametrize("task", ["yes", "v2-12"])
def test_without_background_noise_there_is_no_silence_and_a_note(tmp_path: Path, task: str) -> None:
    for word in COMMANDS:
        write(tmp_path / word / clip_name("validation", 0))
    selection = select(tmp_path, task, "validation")
    assert "_silence_" not in {clip.word for clip in selection.clips}
    assert "no silence: the folder has no recordings in _background_noise_" in selection.notes


def nothing(folder: Path) -> Path:
    return folder


def missing(folder: Path) -> Path:
    return folder / "missing"


def a_file(folder: Path) -> Path:
    return write(folder / "clip.wav")


def a_word(folder: Path) -> Path:
    return write(folder / "yes" / clip_name("validation", 0)).parent


def unknown_words(folder: Path) -> Path:
    write(folder / "computer" / clip_name("validation", 0))
    return folder


def another_split(folder: Path) -> Path:
    write(folder / "yes" / clip_name("training", 0))
    return folder


def no_audio(folder: Path) -> Path:
    (folder / "yes").mkdir()
    (folder / "yes" / "notes.txt").write_text("yes")
    return folder


def bad_list(folder: Path) -> Path:
    (folder / "testing_list.txt").write_bytes(b"\xff\xfe")
    return another_split(folder)


@pytest.mark.parametrize(
    "make", [nothing, missing, a_file, a_word, unknown_words, another_split, no_audio, bad_list]
)
@pytest.mark.parametrize("task", ["yes", "v2-12", "v2-35"])
def test_a_bad_folder_is_one_clear_data_error(tmp_path: Path, make: Any, task: str) -> None:
    folder = make(tmp_path)
    with pytest.raises(DataError) as raised:
        select(folder, task, "validation")
    message = str(raised.value)
    assert message.startswith(str(folder))
    assert "need" in message
    assert "\n" not in message


def test_unknown_task_split_and_seed_are_parameter_errors(words: Path) -> None:
    wrong = [("v2-20", "validation"), ("yes", "test"), ("yes", "validation", -1)]
    for arguments in (*wrong, ("yes", "validation", 0, "other")):
        with pytest.raises(ParameterError, match="need"):
            select(words, *arguments)
