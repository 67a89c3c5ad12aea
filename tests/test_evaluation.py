"""Scores of clips by the streaming code, and the figures made of them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kws_stream import packs
from kws_stream.errors import AudioError, PackError, ParameterError, TaskError
from kws_stream.evaluation import TASKS, Clip, Score, evaluate, score_clips, select
from kws_stream.evaluation.clips import CLIPS_AT_ONCE, decision_frames, read_clip, score_clip
from kws_stream.evaluation.metrics import check_task, summarise, wilson_interval
from kws_stream.pipeline import KeywordSpotter
from tests.clip_folders import COMMANDS, RNG, build_words, clip_name, tone, write
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
    assert np.corrcoef(samples, wanted)[0, 1] > 0.97
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
    def trace(self, pcm: Any) -> Any:
        (trace,) = super().trace(pcm)
        trace.logits[:] = 0.25
        return [trace]


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
    with pytest.raises(ParameterError, match="v2-35"):
        evaluate(tmp_path, "v2-35", model=yes_pack)
