"""Scores of clips by the streaming code, and the figures made of them."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kws_stream import packs
from kws_stream.detector import softmax
from kws_stream.errors import AudioError, DataError, PackError, ParameterError, TaskError
from kws_stream.evaluation import (
    TASKS,
    Clip,
    Score,
    clip_table,
    evaluate,
    evaluate_clips,
    noise_seconds,
    same_when_streamed,
    score_clips,
    select,
    with_noise,
)
from kws_stream.evaluation.clips import decision_frames, read_clip, score_clip
from kws_stream.evaluation.metrics import summarise, wilson_interval
from kws_stream.evaluation.processes import CLIPS_AT_ONCE
from kws_stream.evaluation.running import check_task
from kws_stream.pipeline import KeywordSpotter
from tests.clip_folders import COMMANDS, RNG, build_all_words, build_words, clip_name, tone, write
from tests.pack_factory import build_pack, edit_manifest


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_words(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def commands_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packs") / "twelve"
    return build_pack(path, classes=TASKS["v2-12"], keywords=COMMANDS, cells=(6, 6))


@pytest.fixture(scope="module")
def yes_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packs") / "yes"
    return build_pack(path, classes=TASKS["yes"], keywords=("yes",))


@pytest.mark.parametrize("suffix", [".wav", ".WAV", ".flac", ".ogg", ".opus"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.5])
def test_a_clip_of_any_format_rate_and_length_is_one_second(
    tmp_path: Path, suffix: str, rate: int, seconds: float
) -> None:
    path = write(tmp_path / "yes" / clip_name("validation", 0, suffix), seconds, rate, hz=440)
    (clip,) = select(tmp_path, "yes", "validation").clips
    assert clip == Clip(path, "yes", "yes")
    samples = read_clip(clip)
    assert samples.shape == (16_000,)
    assert samples.dtype == np.float32
    wanted = np.zeros(16_000)
    whole = tone(seconds, hz=440)[:16_000]
    wanted[: len(whole)] = whole
    # rates above 16 kHz come out 0.1 ms late, a quarter radian of this tone
    late = [np.roll(wanted, lag) for lag in range(3)]
    assert max(np.corrcoef(samples, each)[0, 1] for each in late) > 0.97
    assert not samples[round(seconds * 16_000) + 400 :].any()  # zeros at the end


def test_a_segment_of_noise_is_the_second_at_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "noise.wav"
    noise = (RNG.standard_normal(40_000) * 3000).astype(np.int16)
    soundfile.write(path, noise, 16_000)
    clip = Clip(path, "silence", "_silence_", 12_345 / 16_000)
    assert np.array_equal(read_clip(clip), (noise[12_345:28_345] / 32768).astype(np.float32))


def test_noise_segments_lie_within_their_recordings(words: Path) -> None:
    for seed in range(20):
        for clip in select(words, "yes", "validation", seed).clips[-3:]:
            assert clip.word == "_silence_"
            longest = {"hum.wav": 2.0, "short.wav": 0.0}[clip.path.name]
            assert 0 <= clip.offset_s <= longest


def test_score_is_that_of_the_same_stream_in_small_pieces(words: Path, commands_pack: Path) -> None:
    clips = select(words, "v2-12").clips[::7]
    for clip, score in zip(clips, score_clips(commands_pack, clips, 1), strict=True):
        spotter = KeywordSpotter(commands_pack)
        samples = read_clip(clip)
        logits = []
        for at in range(0, 16_000, 160):
            logits += [trace.logits for trace in spotter.trace(samples[at : at + 160])]
        means = np.concatenate(logits)[40:100].mean(axis=0)  # the pack says 0.4 to 1 s
        assert score.logits == tuple(means)
        assert score.called == spotter.classes[means.argmax()]
        assert score.core_nw == spotter.power().core_nw


def test_number_of_processes_changes_nothing(words: Path, yes_pack: Path) -> None:
    clips = (select(words, "yes").clips * 3)[: CLIPS_AT_ONCE + 5]
    heard: list[tuple[int, int]] = []
    two = score_clips(yes_pack, clips, 2, progress=lambda done, total: heard.append((done, total)))
    assert two == score_clips(yes_pack, clips, 1)
    assert heard == [(CLIPS_AT_ONCE, len(clips)), (len(clips), len(clips))]


def test_an_unreadable_clip_is_named_from_any_process(words: Path, yes_pack: Path) -> None:
    broken = words / "broken.wav"
    broken.write_bytes(b"not audio")
    clips = [*select(words, "yes").clips[:2] * CLIPS_AT_ONCE, Clip(broken, "yes", "yes")]
    for jobs in (1, 2):
        with pytest.raises(AudioError, match=r"broken\.wav"):
            score_clips(yes_pack, clips[-3:] if jobs == 1 else clips, jobs)


def test_carried_clips_are_one_stream_in_a_seeded_order(words: Path, commands_pack: Path) -> None:
    clips = select(words, "v2-12").clips[:12]
    carried = score_clips(commands_pack, clips, carry=True, seed=5)
    order = np.random.default_rng(5).permutation(12)
    assert list(order) != sorted(order)
    joined = np.concatenate([read_clip(clips[i]) for i in order])
    whole = np.concatenate([t.logits for t in KeywordSpotter(commands_pack).trace(joined)])
    for place, index in enumerate(order):
        means = whole[100 * place + 40 : 100 * place + 100].mean(axis=0)
        assert carried[index].logits == tuple(means)
    fresh = score_clips(commands_pack, clips, 1)
    assert carried[order[0]] == fresh[order[0]]  # the first starts fresh
    assert carried != fresh
    assert carried != score_clips(commands_pack, clips, carry=True, seed=6)


def test_power_of_a_carried_clip_is_that_of_its_own_frames(
    words: Path, commands_pack: Path
) -> None:
    clips = select(words, "v2-12").clips[:3]
    carried = score_clips(commands_pack, clips, carry=True)
    spotter = KeywordSpotter(commands_pack)
    for clip in (clips[i] for i in np.random.default_rng(0).permutation(3)):
        spotter.trace(read_clip(clip))
    mean = sum(score.core_nw for score in carried) / 3
    assert math.isclose(spotter.power().core_nw, mean, rel_tol=1e-12)
    assert len({score.core_nw for score in carried}) == 3


class Undecided(KeywordSpotter):
    def logits(self, pcm: Any) -> Any:
        logits, estimate = super().logits(pcm)
        return np.full_like(logits, 0.25), estimate


def test_a_tie_goes_to_the_first_class(yes_pack: Path) -> None:
    assert score_clip(Undecided(yes_pack), np.zeros(16_000, np.float32)).called == "yes"


@pytest.mark.parametrize(
    ("window", "frames", "expected"),
    [
        ((0.4, 1.0), 100, (40, 100)),
        ((0.4, 1.0), 33, (13, 33)),
        ((0.0, 9.0), 50, (0, 50)),
        ((0.999, 1.0), 10, (9, 10)),
        ((0.5, 0.501), 100, (50, 51)),
    ],
)
def test_a_decision_averages_the_packs_part_of_the_clip_and_a_frame_at_least(
    yes_pack: Path, window: tuple[float, float], frames: int, expected: tuple[int, int]
) -> None:
    spotter = KeywordSpotter(yes_pack)
    spotter.pack.clip.update(from_s=window[0], to_s=window[1])
    assert decision_frames(spotter, frames) == expected


def test_a_decision_after_the_end_of_the_clip_is_a_pack_error(tmp_path: Path, words: Path) -> None:
    pack = build_pack(tmp_path / "late", classes=TASKS["yes"], keywords=("yes",))
    edit_manifest(pack, lambda manifest: manifest.update(clip={"from_s": 1.0, "to_s": 2.0}))
    with pytest.raises(PackError, match="late"):
        evaluate(words, "yes", model=pack, jobs=1)


def test_less_than_one_process_is_refused(yes_pack: Path) -> None:
    with pytest.raises(ParameterError, match="jobs"):
        score_clips(yes_pack, [], 0)


def test_figures_of_a_hand_made_table() -> None:
    called = {"yes": ["yes", "yes", "no"], "no": ["no"], "go": ["unknown", "go"], "on": ["on"]}
    called |= {"silence": ["silence", "bed"]}
    clips = [Clip(Path("x"), label, label) for label, names in called.items() for _ in names]
    scores = [
        Score(name, core_nw, (0.0,))
        for core_nw, name in enumerate((n for names in called.values() for n in names), start=1)
    ]
    result = summarise(clips, scores, task="v2-12", model="m")
    assert result.clips == 9
    assert result.accuracy == 6 / 9
    assert result.per_class_recall["yes"] == 2 / 3
    assert result.per_class_recall["silence"] == 0.5
    assert result.per_class_recall["up"] is None
    assert result.balanced_accuracy == pytest.approx((2 / 3 + 1 + 0.5 + 1 + 0.5) / 5)
    assert result.per_class_precision["no"] == 0.5
    assert result.per_class_precision["unknown"] == 0.0
    assert result.per_class_precision["left"] is None
    assert result.eight_words == 4 / 6  # not on
    row = {name: index for index, name in enumerate(result.classes)}
    assert result.confusion[row["yes"]][row["no"]] == 1
    assert result.confusion[row["no"]][row["yes"]] == 0
    assert result.confusion[row["silence"]][row["unknown"]] == 1  # bed is no class of the task
    assert sum(map(sum, result.confusion)) == 9
    assert result.core_power_nw == {"mean": 5.0, "min": 1, "max": 9}
    assert result.headline == ("accuracy", 6 / 9)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    # Values of the closed form in Newcombe, Statistics in Medicine 17 (1998), Table I.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_is_that_of_wilson(right: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(right, n) == pytest.approx((low, high), abs=6e-5)


def test_result_has_the_promised_keys_and_is_json(words: Path, commands_pack: Path) -> None:
    result = evaluate(words, "v2-12", model=commands_pack, jobs=1, seed=2)
    values = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    promised = {
        *("clips", "accuracy", "balanced_accuracy", "classes", "per_class_recall", "confusion"),
        *("core_power_nw", "model", "task", "seed"),
    }
    extras = {"split", "carry", "interval", "eight_words", "per_class_precision", "notes"}
    extras |= {"parameters", "multiply_accumulates", "same_when_streamed", "half"}
    extras |= {"accuracy_by_snr", "balanced_accuracy_by_snr"}
    assert set(values) == promised | extras
    assert values["classes"] == [*COMMANDS, "unknown", "silence"]
    assert (values["clips"], values["model"], values["task"]) == (36, "twelve", "v2-12")
    assert (values["seed"], values["split"], values["carry"]) == (2, "validation", False)
    assert list(values["core_power_nw"]) == ["mean", "min", "max"]
    assert values["interval"][0] <= values["accuracy"] <= values["interval"][1]


def test_a_model_of_twelve_classes_does_the_yes_task(words: Path, commands_pack: Path) -> None:
    result = evaluate(words, "yes", model=commands_pack, jobs=1)
    scores = score_clips(commands_pack, select(words, "yes").clips, 1)
    assert result.classes == ("yes", "other")
    assert sum(row[0] for row in result.confusion) == sum(s.called == "yes" for s in scores)
    assert result.eight_words is None
    assert result.headline == ("balanced_accuracy", result.balanced_accuracy)


def test_a_yes_model_asked_for_twelve_classes_is_wrong_use(tmp_path: Path, yes_pack: Path) -> None:
    with pytest.raises(TaskError, match=r"v2-12.*yes has yes, other"):
        evaluate(tmp_path / "missing", "v2-12", model=yes_pack)
    check_task(packs.load(yes_pack), "yes")
    with pytest.raises(ParameterError, match="v2-20"):
        evaluate(tmp_path, "v2-20", model=yes_pack)


@pytest.fixture(scope="module")
def all_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_all_words(tmp_path_factory.mktemp("all_words"))


def test_a_model_of_all_words_is_scored_on_every_word(tmp_path: Path, all_words: Path) -> None:
    words35 = TASKS["v2-35"]
    pack = build_pack(tmp_path / "all", classes=words35[::-1], keywords=words35)
    result = evaluate(all_words, "v2-35", model=pack, jobs=1)
    assert result.classes == words35
    assert [sum(row) for row in result.confusion] == [2] * 35
    assert result.headline == ("accuracy", result.accuracy)
    clips = select(all_words, "v2-35").clips
    scores = score_clips(pack, clips, 1)
    right = [score.called == clip.label for clip, score in zip(clips, scores, strict=True)]
    assert result.accuracy == sum(right) / 70


def test_further_classes_of_a_model_do_not_answer_for_all_words(
    tmp_path: Path, all_words: Path
) -> None:
    # of this network's 37 outputs, 5 and 18 win
    classes = list(TASKS["v2-35"])
    classes.insert(5, "silence")
    classes.insert(18, "unknown")
    pack = build_pack(tmp_path / "more", classes=tuple(classes), keywords=TASKS["v2-35"], seed=4)
    run = evaluate_clips(all_words, "v2-35", model=pack, jobs=1)
    raw = score_clips(pack, run.clips, 1)
    assert any(score.called in ("silence", "unknown") for score in raw)
    for score in run.scores:
        named = zip(score.logits, classes, strict=True)
        assert score.called == max(x for x in named if x[1] not in ("silence", "unknown"))[1]
    assert sum(map(sum, run.result.confusion)) == 70


def test_a_model_of_other_classes_asked_for_all_words_is_wrong_use(yes_pack: Path) -> None:
    with pytest.raises(TaskError) as raised:
        evaluate("missing", "v2-35", model=yes_pack)
    assert str(raised.value) == (
        "task v2-35: need a model with the classes backward, bed, bird and 32 more words, but yes "
        "has yes, other; choose another model or task, or evaluate-stream"
    )


def test_size_of_the_network_is_told(words: Path, yes_pack: Path) -> None:
    result = evaluate(words, "yes", model=yes_pack, jobs=1)
    network = packs.load(yes_pack).network.parameters
    inputs = network.n_features
    # inputs x 4 wide, twice 4 x cells x 4, 4 x two classes; biases and three currents a cell
    products = inputs * 4 + 2 * 4 * 4 + 2 * 4 * 3 + 4 * 2
    assert result.multiply_accumulates == {"per_frame": products, "per_second": 100 * products}
    assert result.parameters == products + 4 + (4 + 4) + (3 + 4) + 2 + 3 * 7


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("snr_db", [20.0, 5.0, 0.0, -10.0])
def test_noise_is_as_far_below_the_clip_as_asked(words: Path, snr_db: float) -> None:
    clips = select(words, "yes").clips
    seconds = noise_seconds(words / "_background_noise_")
    assert [(n.path.name, n.offset_s) for n in seconds] == [
        *(("hum.wav", float(at)) for at in range(3)),
        ("short.wav", 0.0),
    ]
    noisy = with_noise(clips, seconds, snr_db, seed=1)
    assert {clip.noise.path.name for clip in noisy} == {"hum.wav", "short.wav"}
    for clip, loud in zip(clips, noisy, strict=True):
        clean = read_clip(clip)
        noise = read_clip(loud) - clean
        assert 20 * math.log10(rms(clean) / rms(noise)) == pytest.approx(snr_db, abs=1e-3)
        source = read_clip(Clip(loud.noise.path, "", "", loud.noise.offset_s))
        if loud.noise.path.name == "short.wav":
            source[8_000:] = source[:8_000]  # repeated
        assert np.corrcoef(noise, source)[0, 1] > 0.9999


def test_seed_draws_the_noise_and_every_ratio_has_the_same(words: Path) -> None:
    clips = select(words, "yes").clips
    seconds = noise_seconds(words / "_background_noise_")

    def places(snr_db: float, seed: int) -> list[tuple[str, float]]:
        noisy = with_noise(clips, seconds, snr_db, seed)
        return [(clip.noise.path.name, clip.noise.offset_s) for clip in noisy]

    assert places(20.0, 0) == places(0.0, 0)
    assert places(20.0, 0) != places(20.0, 1)


def test_seconds_without_sound_are_no_noise_and_a_folder_of_them_is_an_error(
    tmp_path: Path,
) -> None:
    sound = np.zeros(48_000)
    soundfile.write(tmp_path / "still.wav", sound, 16_000)
    with pytest.raises(DataError, match="need a folder with recordings of noise"):
        noise_seconds(tmp_path)
    with pytest.raises(DataError, match="need a folder with recordings of noise"):
        noise_seconds(tmp_path / "missing")
    sound[16_000:32_000] = 0.1
    soundfile.write(tmp_path / "deeper.wav", sound, 16_000)
    assert [(n.path.name, n.offset_s) for n in noise_seconds(tmp_path)] == [("deeper.wav", 1.0)]


def test_a_clip_of_zeros_stays_one_in_noise(tmp_path: Path, words: Path) -> None:
    soundfile.write(tmp_path / "zeros.wav", np.zeros(16_000), 16_000)
    seconds = noise_seconds(words / "_background_noise_")
    (clip,) = with_noise([Clip(tmp_path / "zeros.wav", "silence", "_silence_")], seconds, 0.0)
    assert not read_clip(clip).any()


@pytest.mark.parametrize("carry", [False, True])
def test_accuracy_by_ratio_is_that_of_the_clips_in_noise(
    words: Path, commands_pack: Path, carry: bool
) -> None:
    heard: list[tuple[int, int]] = []
    result = evaluate(
        words,
        model=commands_pack,
        jobs=1,
        carry=carry,
        seed=3,
        snrs_db=(20.0, 0.0),
        progress=lambda done, total: heard.append((done, total)),
    )
    plain = evaluate(words, model=commands_pack, jobs=1, carry=carry, seed=3)
    clips = select(words, "v2-12", seed=3).clips
    noisy = with_noise(clips, noise_seconds(words / "_background_noise_"), 0.0, 3)
    loud = summarise(noisy, score_clips(commands_pack, noisy, 1, carry, 3), task="v2-12", model="")
    assert result.accuracy_by_snr is not None
    assert list(result.accuracy_by_snr) == ["clean", "20", "0"]
    assert result.accuracy_by_snr["clean"] == plain.accuracy == result.accuracy
    assert result.accuracy_by_snr["0"] == loud.accuracy
    assert result.balanced_accuracy_by_snr is not None
    assert result.balanced_accuracy_by_snr["0"] == loud.balanced_accuracy
    assert (result.confusion, plain.accuracy_by_snr) == (plain.confusion, None)
    assert heard == [(done, 3 * 36) for done in range(1, 3 * 36 + 1)]


def test_every_clip_has_the_same_score_streamed_and_offline(
    words: Path, commands_pack: Path
) -> None:
    result = evaluate(words, model=commands_pack, jobs=1, check_streaming=True)
    assert result.same_when_streamed == result.clips == 36


def test_a_streaming_fault_is_noticed(words: Path, commands_pack: Path) -> None:
    class Forgetful(KeywordSpotter):
        def trace(self, pcm: Any) -> Any:
            if self.frames == 20:  # only when heard in pieces
                self.reset()
            return super().trace(pcm)

    clip = select(words, "yes").clips[0]
    assert same_when_streamed(KeywordSpotter(commands_pack), clip)
    assert not same_when_streamed(Forgetful(commands_pack), clip)


def test_the_table_of_clips_holds_every_score(words: Path, commands_pack: Path) -> None:
    run = evaluate_clips(words, "yes", model=commands_pack, jobs=1)
    rows = list(csv.DictReader(io.StringIO(clip_table(run))))
    classes = TASKS["v2-12"]
    names = ["file", "offset_s", "label", "predicted", "correct"]
    assert list(rows[0]) == [*names, *(f"score_{name}" for name in classes), "core_power_nw"]
    assert len(rows) == run.result.clips
    for row, clip, score in zip(rows, run.clips, run.scores, strict=True):
        assert (row["file"], row["label"]) == (str(clip.path), clip.label)
        assert row["predicted"] == ("yes" if score.called == "yes" else "other")
        assert row["correct"] == str(int(row["predicted"] == row["label"]))
        values = [float(row[f"score_{name}"]) for name in classes]
        assert values == softmax(score.logits)
        assert float(row["core_power_nw"]) == score.core_nw
    assert sum(int(row["correct"]) for row in rows) == run.result.accuracy * len(rows)
