"""A verifier's head is taught from embeddings; its threshold comes of sound that it never heard."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train (PyTorch)")

import soundfile  # noqa: E402

from kws_stream.errors import DataError, MissingExtraError  # noqa: E402
from kws_stream.training import verifying  # noqa: E402
from kws_stream.training.verifier_again import LabelledTrigger, teach_again  # noqa: E402
from kws_stream.training.verifier_head import HeadSettings, train_head  # noqa: E402
from kws_stream.training.verifier_lesson import Lesson, prepare, read_lesson  # noqa: E402
from kws_stream.training.verifier_speech import PHRASE_STEPS, Gathered, Windows, gather  # noqa: E402
from kws_stream.training.verifying import threshold_for  # noqa: E402
from kws_stream.verifier import SpeechEmbedding, head_bytes, parse_head  # noqa: E402
from kws_stream.verifier.embedding import STEP  # noqa: E402
from tests.tiny_verifier import tiny_graphs, tiny_head  # noqa: E402

FEW = HeadSettings(
    seeds=2, steps=250, channels=8, kept=4, units=6, average=0.95, mined=80, looked=200, hard=50
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Layers as small as these are quicker so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ordered_windows(seed: int = 0) -> Windows:
    """Hits: one sound, then another; near: the same two the other way round; others: noise."""
    rng = np.random.default_rng(seed)
    one, other = np.random.default_rng(7).standard_normal((2, 96)) * 2
    parts, rows = [], {"hits": [], "near": [], "others": []}
    for number in range(300):
        kind = ("hits", "near", "others")[number % 3]
        window = rng.standard_normal((16, 96))
        if kind != "others":
            at = int(rng.integers(4, 8))
            pair = (one, other) if kind == "hits" else (other, one)
            window[at : at + 3] += pair[0]
            window[at + 4 : at + 7] += pair[1]
        rows[kind].append(16 * number + 15)
        parts.append(window)
    return Windows(
        np.concatenate(parts).astype(np.float16), **{k: np.array(v) for k, v in rows.items()}
    )


def test_a_head_learns_the_order_of_sounds_and_scores_as_in_training() -> None:
    head = train_head(ordered_windows(), FEW)
    fresh = ordered_windows(seed=1)

    def mean(rows: np.ndarray) -> float:
        return float(np.mean([head.score(window) for window in fresh.at(rows)]))

    assert mean(fresh.hits) > 0.8
    assert mean(fresh.near) < 0.2
    assert mean(fresh.others) < 0.2


def test_the_same_windows_give_the_same_head() -> None:
    quick = HeadSettings(seeds=1, steps=10, channels=4, kept=2, units=3)
    first, second = (head_bytes(train_head(ordered_windows(), quick)) for _ in range(2))
    assert first == second


def test_numpy_and_pytorch_give_the_same_logits() -> None:
    from kws_stream.training.verifier_head import _head, _Network

    windows = ordered_windows()
    floats = windows.embeddings.astype(np.float32)
    mean, scale = floats.mean(axis=0), floats.std(axis=0)
    networks = [
        _Network(torch.from_numpy(mean), torch.from_numpy(scale), FEW, seed).eval()
        for seed in (0, 1)
    ]
    head = _head(networks, mean, scale)
    window = floats[:16]
    with torch.no_grad():
        logits = [float(one(torch.from_numpy(window[None]))[0]) for one in networks]
    assert head.score(window) == pytest.approx(1 / (1 + np.exp(-np.mean(logits))), abs=1e-5)


def test_a_head_needs_windows_of_each_kind() -> None:
    windows = ordered_windows()
    with pytest.raises(DataError, match="learn near from"):
        train_head(Windows(windows.embeddings, windows.hits, windows.near[:0], windows.others), FEW)


def test_the_threshold_is_the_lowest_that_passes_seldom_enough() -> None:
    head = tiny_head()
    rng = np.random.default_rng(3)
    rows = np.arange(15, 4000)
    nothing = rows[:0]
    held_out = Windows(rng.standard_normal((4000, 96)).astype(np.float16), nothing, nothing, rows)
    scores = np.array([head.score(window) for window in held_out.at(rows)])
    hours = len(rows) * 0.08 / 3600
    for per_hour in (0.5, 30.0, 500.0):
        threshold = threshold_for(head, held_out, per_hour)
        assert threshold >= 0.5
        assert apart(rows[scores >= threshold]) <= per_hour * hours
        if threshold > 0.5:
            assert apart(rows[scores >= threshold - 1.1e-4]) >= int(per_hour * hours)
    assert threshold_for(head, held_out, 0.5) > float(scores.max())


def apart(rows: np.ndarray) -> int:
    """Rows that are more than a second from the one counted before."""
    counted, last = 0, -100
    for row in rows.tolist():
        if row - last > 12:
            counted, last = counted + 1, row
    return counted


def speech_folder(folder: Path) -> Path:
    rng = np.random.default_rng(5)

    def write(name: str, seconds: float) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = rng.standard_normal(round(seconds * 16_000)) * 0.1
        soundfile.write(path, sound.astype(np.float32), 16_000, subtype="PCM_16")

    for side in ("training", "held_out"):
        for kind, seconds in (("phrase", 1.2), ("near", 1.2), ("words", 1.2), ("running", 2.0)):
            for number in range(3):
                write(f"{side}/{kind}/{number:05d}.flac", seconds)
        write(f"{side}/noise/steady-00000.flac", 3.0)
    for word in ("stop", "phrase"):
        for number in range(12):
            write(f"data/speech_commands/{word}/{number:08x}_nohash_0.wav", 1.0)
    return folder


def test_windows_with_the_phrase_end_when_it_has_been_heard(tmp_path: Path) -> None:
    folder = speech_folder(tmp_path)
    heard = []

    def is_other(word: str) -> bool:
        heard.append(word)
        return word != "phrase"

    embedding = SpeechEmbedding(tiny_graphs())
    done: list[tuple[int, int]] = []
    windows, held_out = gather(
        embedding, folder, folder / "data", is_other, progress=lambda *counts: done.append(counts)
    )
    assert sorted(set(heard)) == ["phrase", "stop"]
    assert done[-1][0] == done[-1][1] == len(done)
    clip = PHRASE_STEPS - 9 - 15  # windows of a clip
    assert len(windows.near) == 2 * 3 * clip
    assert len(held_out.near) == 3 * clip
    assert 2 * 3 * 5 <= len(windows.hits) <= 2 * 3 * 6
    for side in (windows, held_out):
        rows = np.concatenate([side.hits, side.near, side.others])
        assert len(set(rows.tolist())) == len(rows)
        assert rows.min() >= 15
        assert rows.max() < len(side.embeddings)
    again, _ = gather(embedding, folder, folder / "data", is_other)
    np.testing.assert_array_equal(again.embeddings, windows.embeddings)
    alone, _ = gather(embedding, folder, None, is_other)
    assert len(alone.others) < len(windows.others)


def test_a_hit_ends_from_just_before_the_clips_end_to_a_third_of_a_second_after() -> None:
    heard = Gathered(SpeechEmbedding(tiny_graphs()))
    heard.add_clip(np.zeros(PHRASE_STEPS * STEP, np.float32), "hits", 2.4)
    rows = heard.windows().hits
    ends_s = (rows + 10) * 0.08  # the first embedding ends with step 10
    assert ends_s.min() == pytest.approx(2.32)
    assert ends_s.max() == pytest.approx(2.72)


def test_a_verifier_is_trained_where_its_extra_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kws_stream.training.verifying.find_graphs", tiny_graphs)
    assert verifying.wanted(None)
    assert not verifying.wanted("none")

    def missing() -> None:
        raise MissingExtraError("need it")

    monkeypatch.setattr("kws_stream.training.verifying.find_graphs", missing)
    assert not verifying.wanted(None)
    with pytest.raises(MissingExtraError):
        verifying.wanted("host")


def test_own_recordings_and_wrong_triggers_are_heard_more_than_their_share() -> None:
    windows, odd = ordered_windows(), np.random.default_rng(8).standard_normal(96) * 2
    rng = np.random.default_rng(2)
    extra = rng.standard_normal((4, 16, 96))
    extra[:2, 5:9] += odd  # two own windows with a sound of their own, two wrong ones with another
    extra[2:, 5:9] -= odd
    rows = np.arange(4) * 16 + 15
    nothing = rows[:0]
    more = Windows(
        extra.reshape(-1, 96).astype(np.float16), nothing, nothing, nothing, rows[:2], rows[2:]
    )
    head = train_head(windows.joined(more), FEW)
    own, wrong = rng.standard_normal((2, 16, 96)).astype(np.float32)
    own[5:9] += odd
    wrong[5:9] -= odd
    assert head.score(own) > 0.8
    assert head.score(wrong) < 0.2


def test_a_head_that_goes_on_begins_as_what_it_was() -> None:
    head = train_head(ordered_windows(), FEW)
    still = HeadSettings(steps=1, learning_rate=0.0)
    assert head_bytes(train_head(ordered_windows(), still, known=head)) == head_bytes(head)


def tone(pitch_hz: float, seconds: float = 2.6) -> np.ndarray:
    return np.sin(2 * np.pi * pitch_hz * np.arange(round(seconds * 16_000)) / 16_000) * 0.1


def test_triggers_with_labels_change_what_a_head_says_of_them(tmp_path: Path) -> None:
    folder = speech_folder(tmp_path)
    monkey_graphs = tiny_graphs()
    embedding = SpeechEmbedding(monkey_graphs)
    lesson = Lesson(monkey_graphs, *gather(embedding, folder, None, lambda word: True))
    quick = HeadSettings(seeds=2, steps=60, channels=6, kept=3, units=4, average=0.9, mined=50)
    head = train_head(lesson.windows, quick)
    sounds = [tone(pitch_hz).astype(np.float32) for pitch_hz in (300.0, 3000.0)]

    def best(head: object, sound: np.ndarray) -> float:
        heard = Gathered(embedding)
        heard.add_trigger(sound, 1.6, True)
        windows = heard.windows()
        return max(head.score(window) for window in windows.at(windows.own))

    learnt = [
        parse_head(
            teach_again(
                head,
                lesson,
                [
                    LabelledTrigger(sound, 1.6, said)
                    for sound, said in zip(sounds, told, strict=True)
                ],
                0.5,
                HeadSettings(steps=200, average=0.9, mined=50),
            ).head
        )
        for told in ((True, False), (False, True))
    ]
    for taught, right, wrong in zip(learnt, sounds, sounds[::-1], strict=True):
        assert best(taught, right) > best(taught, wrong) + 0.3
    with pytest.raises(DataError, match="triggers with the label"):
        teach_again(head, lesson, [], 0.5)


def test_a_lesson_is_kept_until_its_recordings_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = speech_folder(tmp_path)
    monkeypatch.setattr("kws_stream.training.verifier_lesson.find_graphs", tiny_graphs)
    kept = tmp_path / "lesson.npz"
    asked: list[int] = []

    def lesson() -> Lesson:
        return prepare(
            folder, folder / "data", lambda word: True, lambda done, _: asked.append(done), kept
        )

    first = lesson()
    count = len(asked)
    assert count > 0
    again = lesson()
    assert len(asked) == count
    for side in ("windows", "held_out"):
        for part in ("embeddings", "hits", "near", "others", "own", "wrong"):
            one, other = (getattr(getattr(each, side), part) for each in (first, again))
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
    (folder / "data/speech_commands/stop/00000000_nohash_0.wav").touch()
    lesson()
    assert len(asked) == 2 * count
    kept.write_bytes(b"cut")
    with pytest.raises(DataError, match="as `train --wake-phrase` leaves it"):
        read_lesson(kept, tiny_graphs())
