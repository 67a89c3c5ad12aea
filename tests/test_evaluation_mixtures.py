"""Streams made of clips: known times, the same from the same seed, in memory or from a file."""

import contextlib
import errno
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream import packs
from kws_stream.cli import main
from kws_stream.errors import AudioError, DataError, ParameterError
from kws_stream.evaluation import (
    Mixture,
    Word,
    evaluate_recordings,
    evaluate_streams,
    read_labels,
    save_streams,
    saving,
    synthesise,
    word_clips,
)
from kws_stream.evaluation.word_times import find_word
from kws_stream.workers import Workers
from tests.pack_factory import build_pack

RATE = 16_000
KEYWORDS = ("yes", "no")


def burst(start_s: float, end_s: float, seconds: float = 1.0, floor: float = 0.0) -> np.ndarray:
    """A tone between two times, over noise of that standard deviation."""
    time_s = np.arange(round(seconds * RATE)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 500 * time_s) * ((time_s >= start_s) & (time_s < end_s))
    noise = floor * np.random.default_rng(0).standard_normal(len(time_s))
    return (tone + noise).astype(np.float32)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words as folders: tones whose times tell them apart; and background."""
    folder = tmp_path_factory.mktemp("clips")
    for row, word in enumerate(("yes", "no", "cat")):
        (folder / word).mkdir()
        for number in range(6):
            sound = burst(0.2 + 0.02 * number, 0.5 + 0.1 * row, floor=0.001)
            soundfile.write(folder / word / f"{number:08x}_nohash_0.wav", sound, RATE)
    noise = np.random.default_rng(1).standard_normal(3 * RATE) * 0.2
    (folder / "_background_noise_").mkdir()
    soundfile.write(folder / "_background_noise_" / "hiss.wav", noise, RATE)
    return folder


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> packs.Pack:
    return packs.load(build_pack(tmp_path_factory.mktemp("packs") / "tiny"))


def made(clips: Path, hours: float | None = 0.02, **settings) -> list[Mixture]:
    noise = [clips / "_background_noise_" / "hiss.wav"]
    return synthesise(word_clips(clips, KEYWORDS), noise, hours, **settings)


def sound_and_words(stream: Mixture) -> tuple[np.ndarray, list[Word]]:
    pieces = list(stream.pieces())
    assert max(len(piece.pcm) for piece in pieces) <= RATE  # memory is bounded
    return (
        np.concatenate([piece.pcm for piece in pieces]),
        [word for piece in pieces for word in piece.words],
    )


@pytest.mark.parametrize("floor", [0.0, 0.001, 0.01, 0.05])
@pytest.mark.parametrize(("start_s", "end_s"), [(0.2, 0.5), (0.0, 0.3), (0.6, 1.0)])
def test_a_word_is_found_by_its_energy(floor: float, start_s: float, end_s: float) -> None:
    found = find_word(burst(start_s, end_s, floor=floor))
    assert found == pytest.approx((start_s, end_s), abs=0.06)


def test_a_closure_belongs_to_the_word_and_a_click_does_not() -> None:
    stop = burst(0.3, 0.4) + burst(0.55, 0.6) + burst(0.95, 0.96)
    assert find_word(stop) == pytest.approx((0.3, 0.6), abs=0.06)


@pytest.mark.parametrize("sound", [np.zeros(RATE), np.full(RATE, 0.1), np.zeros(100), np.zeros(0)])
def test_where_nothing_stands_out_all_of_the_clip_is_the_word(sound: np.ndarray) -> None:
    assert find_word(sound.astype(np.float32)) == (0.0, len(sound) / RATE)


def test_words_are_where_their_labels_say(clips: Path) -> None:
    (stream,) = made(clips, snr_db=60)
    sound, words = sound_and_words(stream)
    assert len(sound) == round(0.02 * 3600 * RATE)
    assert len(words) == 18
    assert {word.word for word in words} == {"yes", "no", "cat"}
    for before, word in zip([None, *words[:-1]], words, strict=True):
        here = sound[round(word.start_s * RATE) : round(word.end_s * RATE)]
        assert np.sqrt(np.mean(here**2)) > 0.1
        assert 0.25 < word.end_s - word.start_s < 0.65
        gap_from = 0.0 if before is None else before.end_s
        gap = sound[round(gap_from * RATE) : round(word.start_s * RATE)]
        assert len(gap) > 0.5 * RATE
        assert np.sqrt(np.mean(gap**2)) < 0.01


def test_every_clip_is_heard_once_and_fills_the_time(clips: Path) -> None:
    (stream,) = made(clips)
    assert sorted(clip.path for clip in stream.clips) == sorted(clips.glob("[!_]*/*.wav"))
    _, words = sound_and_words(stream)
    pauses = np.diff([word.start_s for word in words])
    assert pauses.max() < 3 * pauses.min()  # 72 s for 18 clips: 3 s of pause each on average
    (short,) = made(clips, hours=10 / 3600)
    assert 3 <= len(short.clips) <= 5
    (all_of_them,) = made(clips, hours=None)
    assert len(all_of_them.clips) == 18


def test_the_seed_decides_everything(clips: Path) -> None:
    (first, again, other) = (sound_and_words(*made(clips, seed=seed)) for seed in (3, 3, 4))
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1] == again[1]
    assert first[1] != other[1]
    assert first[0].tobytes() != other[0].tobytes()


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_background_lies_that_far_below_a_middling_word(clips: Path, snr_db: float) -> None:
    sound, words = sound_and_words(*made(clips, snr_db=snr_db))
    pause = sound[round((words[3].end_s + 0.5) * RATE) : round((words[4].start_s - 0.5) * RATE)]
    assert len(pause) > RATE / 2
    word = 0.3**2 / 2 * 0.85  # a tone that fills most of its span
    assert 10 * np.log10(word / np.mean(pause.astype(float) ** 2)) == pytest.approx(snr_db, abs=1)


def test_hours_are_streams_of_their_own_with_other_clips(clips: Path) -> None:
    (first, second) = made(clips, hours=1.5)
    assert (first.samples, second.samples) == (3600 * RATE, 1800 * RATE)
    assert len(first.clips) == 12
    assert not {clip.path for clip in first.clips} & {clip.path for clip in second.clips}


def test_what_is_saved_has_the_figures_of_what_is_heard(
    clips: Path, pack: packs.Pack, tmp_path: Path
) -> None:
    streams = made(clips)
    with Workers(1) as here:
        wanted = evaluate_streams(streams, pack, workers=here)
        (saved,) = save_streams(streams, tmp_path / "new", here, {"seed": 0})
        found = evaluate_streams([saved], pack, workers=here)
    assert found.point == wanted.point
    assert found.sweep == wanted.sweep
    assert wanted.point.words == 12
    (recording,) = saved.files
    assert read_labels(recording) == sound_and_words(streams[0])[1]
    assert json.loads(recording.with_suffix(".json").read_text())["seed"] == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "stream-1.flac",
        "stream-1.json",
    ]
    assert evaluate_recordings([recording], pack).point == wanted.point


def test_any_number_of_processes_gives_the_same_figures(clips: Path, pack: packs.Pack) -> None:
    streams = [stream for seed in (0, 1) for stream in made(clips, seed=seed)]
    with Workers(1) as one, Workers(2) as two:
        assert evaluate_streams(streams, pack, workers=one) == evaluate_streams(
            streams, pack, workers=two
        )


def test_clips_without_a_folder_are_of_the_only_keyword(clips: Path) -> None:
    assert {clip.word for clip in word_clips(clips / "yes", ["hey"])} == {"hey"}
    with pytest.raises(DataError, match="several keywords"):
        word_clips(clips / "yes", KEYWORDS)


def test_a_split_is_that_of_speech_commands(clips: Path) -> None:
    chosen = [len(word_clips(clips, KEYWORDS, s)) for s in ("training", "validation", "testing")]
    assert sum(chosen) == 18
    assert chosen[0] > 0


def test_wrong_settings_and_clips_are_refused(clips: Path, tmp_path: Path) -> None:
    for settings in ({"hours": 0}, {"hours": -1}, {"snr_db": 1000}, {"seed": -1}):
        with pytest.raises(ParameterError):
            made(clips, **settings)
    with pytest.raises(DataError, match="more hours"):
        made(clips, hours=1e-4)
    with pytest.raises(ParameterError, match="split"):
        word_clips(clips, KEYWORDS, "middle")
    (tmp_path / "yes").mkdir()
    with pytest.raises(DataError, match="found none"):
        word_clips(tmp_path, KEYWORDS)
    soundfile.write(tmp_path / "yes" / "talk.wav", np.zeros(31 * RATE), RATE)
    with pytest.raises(DataError, match="single words"):
        synthesise(word_clips(tmp_path, KEYWORDS), [])
    (tmp_path / "yes" / "talk.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError):
        word_clips(tmp_path, KEYWORDS)


def test_saved_streams_are_never_written_over(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "stream-1.json").write_text("mine")
    with Workers(1) as here, pytest.raises(DataError, match="exists"):
        save_streams(made(clips), tmp_path, here)
    assert (tmp_path / "stream-1.json").read_text() == "mine"


class FullDisk(io.BytesIO):
    """A file on a disk with room for a thousand bytes."""

    def write(self, data: bytes) -> int:
        if self.tell() + len(data) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.filterwarnings("error")
def test_a_disk_that_fills_up_leaves_a_sentence_and_nothing_else(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(saving, "replacing", lambda path: contextlib.nullcontext(FullDisk()))
    with Workers(1) as here, pytest.raises(DataError, match="cannot be written"):
        save_streams(made(clips), tmp_path / "new", here)
    assert not list((tmp_path / "new").iterdir())
    assert capfd.readouterr().err == ""  # no traceback out of a callback


def test_the_command_synthesises_saves_and_counts(
    clips: Path, pack: packs.Pack, tmp_path: Path
) -> None:
    words = ["evaluate-stream", "-m", str(pack.path), "--jobs", "1", "--json"]
    options = ["--synthesise", str(clips), "--hours", "0.02", "--seed", "5"]
    heard = CliRunner().invoke(main, [*words, *options, str(clips / "_background_noise_")])
    assert heard.exit_code == 0, heard.output
    figures = json.loads(heard.stdout)
    assert [source["source"] for source in figures["sources"]] == [
        str(clips / "_background_noise_"),
        str(clips),
    ]
    assert figures["hours"] == pytest.approx(75 / 3600, abs=1e-3)
    assert figures["words"] == 12
    save = ["--save", str(tmp_path / "new")]
    saved = json.loads(CliRunner().invoke(main, [*words, *options, *save]).stdout)
    again = json.loads(CliRunner().invoke(main, [*words, str(tmp_path / "new")]).stdout)
    assert saved["hits"] == again["hits"] == figures["hits"]
    assert saved["sweep"] == again["sweep"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "need AUDIO"),
        (["a.wav", "--hours", "2"], "--hours is for a stream made of clips"),
        (["a.wav", "--save", "x"], "--save is for"),
        (["a.wav", "--jobs", "2", "--cluster", "tcp://x:1"], "--jobs or --cluster"),
        (["--synthesise", "x", "--hours", "0"], "Invalid value"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(words: list[str], message: str) -> None:
    done = CliRunner().invoke(main, ["evaluate-stream", *words])
    assert done.exit_code == 2
    assert message in done.output
