"""The verifier of a microcontroller: one network, the same scores and events in Python and in C."""

import dataclasses
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim import toolchain
from firmware_sim.model import FirmwareModel
from kws_stream import KeywordSpotter, packs
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from kws_stream.detector import WakeEvent
from kws_stream.engine.stages import Frames
from kws_stream.errors import FirmwareError, InputError, PackError, ParameterError
from kws_stream.evaluation import evaluate_streams, streams_of
from kws_stream.export.comparison_sound import Ways
from kws_stream.export.comparison_wasm import HeardInWasm, Wasm
from kws_stream.export.firmware import firmware_model
from kws_stream.live import Hearing, PowerMeter
from kws_stream.power import VerifierWork
from kws_stream.verifier import (
    Convolution,
    McuVerifier,
    VerifierNetwork,
    load_verifier,
    network_bytes,
    parse_network,
)
from kws_stream.verifier.arrays import archive_arrays, archive_bytes
from tests.pack_factory import replace_file
from tests.reference import verifier as oracle
from tests.tiny_network import mcu_pack, random_network, windows_of

QUICK = ("-O0",)
needs_compiler = pytest.mark.skipif(
    not [name for name in ("gcc", "clang") if shutil.which(name)], reason="needs gcc or clang"
)


@pytest.fixture(scope="module")
def pcm() -> np.ndarray:
    """Tones and noise that come and go, so that the features change all the time."""
    rng = np.random.default_rng(0)
    t = np.arange(16_000 * 5) / 16_000
    tone = np.sin(2 * np.pi * (300 + 2000 * np.sin(2 * np.pi * 0.7 * t) ** 2) * t)
    swell = np.sin(2 * np.pi * 1.3 * t) ** 2
    return ((tone * swell * 0.2 + rng.standard_normal(len(t)) * 0.02) * 32768).astype(np.int16)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory, pcm: np.ndarray) -> packs.Pack:
    """Its threshold is in the middle of the scores that triggers get in `pcm`."""
    folder = tmp_path_factory.mktemp("packs")
    spotter = KeywordSpotter(packs.load(mcu_pack(folder / "all", 0.0)))
    events = heard(spotter, pcm, [len(pcm)])
    scores = [event.verifier_score for event in events if event.verifier_score is not None]
    assert len(set(scores)) > 20
    return packs.load(mcu_pack(folder / "half", float(np.quantile(scores, 0.9))))


def heard(spotter: KeywordSpotter, pcm: np.ndarray, sizes: list[int]) -> list[WakeEvent]:
    spotter.reset()
    events, at, turn = list[WakeEvent](), 0, 0
    while at < len(pcm):
        size = sizes[turn % len(sizes)]
        events += spotter.process(pcm[at : at + size])
        at, turn = at + size, turn + 1
    return events + spotter.finish()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32), frames=st.integers(4, 30), layers=st.integers(0, 3))
def test_scores_are_those_of_the_equations(seed: int, frames: int, layers: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, frames, channels=3, layers=layers)
    for window in windows_of(network, rng, 4):
        assert network.scores(window) == oracle.scores(network, window.tolist())


@needs_compiler
@settings(derandomize=True, deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**32), frames=st.integers(12, 40), layers=st.integers(0, 4))
def test_scores_in_c_are_those_of_python(
    pack: packs.Pack, seed: int, frames: int, layers: int
) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, frames, layers=layers)
    assert pack.verifier is not None
    data = dataclasses.replace(pack.verifier, head=network_bytes(network))
    model = firmware_model(dataclasses.replace(pack, verifier=data))
    windows = windows_of(network, rng, 40)
    with toolchain.program(model, "verifier_main.c", QUICK) as binary:
        found = toolchain.run_verifier(binary, windows, network.scores_of)
    assert found.tolist() == [network.scores(window) for window in windows]


def test_a_window_that_is_not_the_networks_is_refused(pack: packs.Pack) -> None:
    verifier = load_verifier(pack)
    assert isinstance(verifier, McuVerifier)
    frames, channels = verifier.network.frames, verifier.network.channels
    fine = np.zeros((frames, channels), np.uint8)
    assert verifier.scores(fine) == verifier.network.scores(fine)
    for wrong in (fine[1:], fine[:, 1:], fine.ravel(), fine.astype(np.int16), fine[:0]):
        with pytest.raises(InputError, match=f"need a window of {frames} frames of {channels}"):
            verifier.scores(wrong)


@needs_compiler
@pytest.mark.parametrize("samples_a_call", [1, 333, 4096])
def test_events_in_c_are_the_confirmed_ones_of_the_spotter(
    pack: packs.Pack, pcm: np.ndarray, cascade: Path, samples_a_call: int
) -> None:
    pcm = pcm[: len(pcm) // (3 if samples_a_call == 1 else 1)]
    wanted = [
        (
            pack.classes.index(event.keyword),
            round(event.score * 2**24),
            event.index,
            round((event.verifier_score or 0) * 2**16),
            *(round(1000 * s) for s in (event.time_s, event.start_s, event.known_s)),
        )
        for event in heard(KeywordSpotter(pack), pcm, [len(pcm)])
    ]
    found = toolchain.run_cascade([cascade], pcm, samples_a_call)
    assert [tuple(row) for row in found.tolist()] == wanted
    assert wanted


@pytest.fixture(scope="module")
def cascade(pack: packs.Pack) -> Any:
    flags = ("-O1", *toolchain.SANITIZERS)
    with toolchain.program(firmware_model(pack), "cascade_main.c", flags) as binary:
        yield binary


@needs_compiler
def test_words_at_the_end_are_judged_with_silence_in_c_too(
    pack: packs.Pack, pcm: np.ndarray, cascade: Path
) -> None:
    spotter, late = KeywordSpotter(pack), 0
    for end in range(20_000, 52_000, 2_111):
        wanted = heard(spotter, pcm[:end], [700])
        found = toolchain.run_cascade([cascade], pcm[:end])
        assert found["index"].tolist() == [event.index for event in wanted]
        assert found["confirmed_ms"].tolist() == [round(1000 * e.known_s) for e in wanted]
        late += sum(event.known_s > end / 16_000 for event in wanted)
    assert late


def test_some_are_confirmed_at_each_look_and_some_rejected(
    pack: packs.Pack, pcm: np.ndarray
) -> None:
    spotter = KeywordSpotter(pack)
    events = heard(spotter, pcm, [len(pcm)])
    assert 0 < len(events) < spotter.triggers == spotter.decisions
    assert isinstance(spotter.verifier, McuVerifier)
    waits = {round((e.known_s - e.time_s) / spotter.frame_s) for e in events}
    assert waits == set(spotter.verifier.network.looks)
    assert [event.index for event in events] == list(range(len(events)))
    assert all((e.verifier_score or 0) >= spotter.verifier.threshold for e in events)


def test_an_event_is_what_the_features_before_its_look_say(
    pack: packs.Pack, pcm: np.ndarray
) -> None:
    spotter = KeywordSpotter(pack)
    assert isinstance(spotter.verifier, McuVerifier)
    network = spotter.verifier.network
    events = heard(spotter, pcm, [len(pcm)])
    alone = KeywordSpotter(pack, verify=False)
    frames = np.concatenate([seen.features for seen in alone.observe(pcm)])
    codes = np.rint(frames[:, : network.channels] * 2**6).astype(np.uint8)
    codes = np.concatenate([np.zeros((network.frames, network.channels), np.uint8), codes])
    for event in events:
        if event.known_s > len(pcm) / 16_000:
            continue
        end = round(event.known_s / spotter.frame_s) + network.frames
        score = network.scores(codes[end - network.frames : end])
        row = pack.keywords.index(event.keyword)
        assert event.verifier_score == score[row] / 2**16


@settings(derandomize=True, max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(50, 40_000), min_size=1, max_size=5))
def test_events_are_the_same_for_any_split(
    pack: packs.Pack, pcm: np.ndarray, sizes: list[int]
) -> None:
    spotter = KeywordSpotter(pack)
    assert heard(spotter, pcm, sizes) == heard(spotter, pcm, [len(pcm)])


def test_watchers_get_the_same_events(pack: packs.Pack, pcm: np.ndarray) -> None:
    spotter = KeywordSpotter(pack)
    wanted = heard(spotter, pcm, [1600])
    spotter.reset()
    seen = [
        e
        for at in range(0, len(pcm), 999)
        for o in spotter.observe(pcm[at : at + 999])
        for e in o.events
    ]
    assert seen + spotter.finish() == wanted
    assert spotter.finish() == spotter.finish()


@pytest.mark.parametrize("size", [160, 777, 40_000])
def test_the_verifier_hears_the_same_features_whenever_it_takes_them(size: int) -> None:
    """Long stretches without a trigger, of which it takes nothing until it has to."""
    pcm, _ = soundfile.read(RECORDING, dtype="int16")
    spotter = KeywordSpotter("yes-16")
    seen = [e for o in spotter.observe(pcm) for e in o.events] + spotter.finish()
    assert 0 < len(seen) < spotter.triggers
    spotter.reset()
    events: list[WakeEvent] = []
    for turn, at in enumerate(range(0, len(pcm), size)):
        if turn % 100 == 99:  # in between somebody watches
            events += [e for o in spotter.observe(pcm[at : at + size]) for e in o.events]
        else:
            events += spotter.process(pcm[at : at + size])
    assert events + spotter.finish() == seen


def test_an_evaluation_counts_what_the_spotter_tells(
    pack: packs.Pack, pcm: np.ndarray, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", pcm, 16_000)
    events = heard(KeywordSpotter(pack), pcm, [len(pcm)])
    result = evaluate_streams(streams_of([tmp_path / "a.wav"]), pack)
    told = [event for _, event in result.false_accepts]
    assert sorted(told, key=lambda event: event.index) == events
    assert result.as_dict()["verifier"]["kind"] == "mcu"


def test_a_track_refuses_what_it_has_not_heard_or_forgot(pack: packs.Pack) -> None:
    verifier = load_verifier(pack)
    assert isinstance(verifier, McuVerifier)
    track = verifier.track(0.5)
    for _ in range(40):
        track.add(np.zeros(0, np.int16), Frames(np.zeros((20, 48)), np.zeros((20, 2))))
    assert track.score(track.step, "yes") == track.score(track.step - 30, "yes")
    for step in (track.step + 1, 100):
        with pytest.raises(InputError, match="heard lately"):
            track.score(step, "yes")


def layer(weight: Any, bias: int = 0, shift: int = 0, stride: int = 1) -> Convolution:
    weight = np.asarray(weight, np.int8)
    count = weight.shape[-1]
    return Convolution(
        weight, np.full(count, bias, np.int32), np.full(count, shift, np.uint8), stride
    )


def test_no_sum_can_leave_32_bits() -> None:
    weight = np.full((1, 10, 1), 100)
    fits = 2**31 - 1 - 255 * 1000 - 2**9
    assert int(layer(weight, fits, 10).largest[0]) == 2**31 - 1
    with pytest.raises(ParameterError, match="need sums of 32 bits"):
        layer(weight, fits + 1, 10)
    with pytest.raises(ParameterError, match="need sums of 32 bits"):
        layer(-weight, -fits - 1, 10)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: VerifierNetwork((), 5, (0,)), "1 to 32 layers"),
        (lambda: VerifierNetwork((layer(np.ones((5, 2, 1))),), 0, (0,)), "1 to 1000 frames"),
        (lambda: VerifierNetwork((layer(np.ones((5, 2, 1))),), 5, ()), "looks"),
        (lambda: VerifierNetwork((layer(np.ones((5, 2, 1))),), 5, (3, 3)), "rising"),
        (lambda: VerifierNetwork((layer(np.ones((5, 2, 1))),), 6, (0,)), "one frame of scores"),
        (lambda: VerifierNetwork((layer(np.ones((5, 2, 1))),), 4, (0,)), "as many taps"),
        (lambda: VerifierNetwork((layer(np.ones((5, 2))),), 5, (0,)), "one frame of scores"),
        (
            lambda: VerifierNetwork(
                (layer(np.ones((2, 2, 3))), layer(np.ones((4, 2, 1)))), 5, (0,)
            ),
            "2 inputs|3 inputs",
        ),
        (
            lambda: VerifierNetwork((layer(np.ones((100, 100, 101))),), 100, (0, 1, 2)),
            "at most 3000000 multiplications a decision, got 3030000",
        ),
        (
            lambda: VerifierNetwork((layer(np.ones((1, 1, 257))),), 1, (0,)),
            "scores of 256 keywords at most, got 257",
        ),
        (lambda: layer(np.ones((2, 2, 2)), shift=31), "shifts of 30"),
        (lambda: layer(np.ones((2, 2, 2)), stride=0), "a stride"),
        (lambda: layer(np.ones(2)), "2 or 3 axes"),
        (
            lambda: Convolution(
                np.ones((2, 2), np.int8), np.zeros(3, np.int32), np.zeros(2, np.uint8), 1
            ),
            "bias of shape",
        ),
    ],
)
def test_a_network_that_cannot_be_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ParameterError, match=rf"^verifier network: need .*({said})"):
        make()


def test_a_network_is_read_as_it_was_written() -> None:
    network = random_network(np.random.default_rng(3))
    data = network_bytes(network)
    again = parse_network(data)
    assert network_bytes(again) == data
    window = windows_of(network, np.random.default_rng(0), 3)[2]
    assert again.scores(window) == network.scores(window)
    assert (again.frames, again.looks) == (network.frames, network.looks)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("looks"),
        lambda arrays: arrays.update(other=np.zeros(1)),
        lambda arrays: arrays.update({"layer1.weight": np.zeros((2, 2), np.float32)}),
        lambda arrays: arrays.update({"layer0.stride": np.array([1, 2])}),
        lambda arrays: arrays.update(frames=np.array(5.0)),
        lambda arrays: arrays.update(looks=np.arange(99)),
    ],
)
def test_a_file_that_is_no_network_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    folder = mcu_pack(tmp_path / "wrong")
    arrays = archive_arrays((folder / "verifier.npz").read_bytes(), "x")
    change(arrays)
    replace_file(folder, "verifier.npz", archive_bytes(arrays))
    with pytest.raises(PackError, match=r"wrong: verifier network: need .*; get an intact copy"):
        KeywordSpotter(folder)
    assert KeywordSpotter(folder, verify=False).verifier is None


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"keywords": 3}, "16 channels and 2 keywords"),
        ({"channels": 15}, "16 channels and 2 keywords"),
        ({"looks": (0, 51)}, "within 0.5 s of a trigger"),
    ],
)
def test_a_network_that_does_not_fit_its_pack_is_refused(
    tmp_path: Path, network: dict[str, Any], said: str
) -> None:
    folder = mcu_pack(tmp_path / "p", network=random_network(np.random.default_rng(0), **network))
    with pytest.raises(PackError, match=said):
        KeywordSpotter(folder)


def test_features_of_more_than_8_bits_are_refused(pack: packs.Pack) -> None:
    finer = dataclasses.replace(pack, features={**pack.features, "high": 256 * 2.0**-6})
    with pytest.raises(PackError, match=r"features of 8 bits, got up to 256"):
        load_verifier(finer)


@needs_compiler
def test_verify_backends_compares_the_cascade(
    pack: packs.Pack, pcm: np.ndarray, tmp_path: Path
) -> None:
    model = firmware_model(pack)
    assert model.verifier is not None
    sound = (pcm / 32768).astype(np.float32)
    verifiers = {
        "": model.verifier,
        "looks": dataclasses.replace(model.verifier, looks=(0, 6, 12)),
    }
    for what, verifier in verifiers.items():
        other: FirmwareModel = dataclasses.replace(model, verifier=verifier)
        with ExitStack() as stack:
            ways = Ways(pack, other, ["firmware"], stack)
            if not what:
                assert ways.compare([sound], [tmp_path])["firmware"]
                continue
            with pytest.raises(FirmwareError, match="firmware: need the confirmed events of"):
                ways.compare([sound], [tmp_path])


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("change", [{"verifier_score": 1.5}, {"confirmed_s": 0.0}, None])
def test_verify_backends_compares_the_cascade_in_webassembly(
    pack: packs.Pack, pcm: np.ndarray, monkeypatch: pytest.MonkeyPatch, change: dict[str, float]
) -> None:
    sound = (pcm / 32768).astype(np.float32)
    right = Wasm.hear

    def wrong(self: Wasm, streams: np.ndarray) -> list[HeardInWasm]:
        (heard,) = right(self, streams)
        assert heard.events
        changed = [dataclasses.replace(event, **change or {}) for event in heard.events]
        return [heard._replace(events=changed[: None if change else -1])]

    with ExitStack() as stack:
        ways = Ways(pack, firmware_model(pack), ["wasm"], stack)
        assert ways.compare([sound], [Path("sound")])["wasm"]
        monkeypatch.setattr(Wasm, "hear", wrong)
        with pytest.raises(FirmwareError, match="wasm: need the confirmed events of"):
            ways.compare([sound], [Path("sound")])


@needs_compiler
def test_the_exported_library_has_the_verifier_and_others_have_none(
    pack: packs.Pack, tmp_path: Path
) -> None:
    result = CliRunner().invoke(main, ["export-c", str(pack.path), "-o", str(tmp_path / "c")])
    assert result.exit_code == 0
    assert "note" not in result.stderr
    assert (tmp_path / "c" / "kws_verifier.c").exists()
    CliRunner().invoke(main, ["export-c", "yes-4", "-o", str(tmp_path / "plain")])
    assert not (tmp_path / "plain" / "kws_verifier.c").exists()
    assert "KWS_VERIFIER" not in (tmp_path / "plain" / "kws_model.h").read_text()
    with toolchain.program(firmware_model(pack), flags=QUICK) as binary:  # the example
        assert toolchain.run_program(binary, np.zeros(16_000, np.int16)) is not None


def test_the_commands_tell_of_it(pack: packs.Pack) -> None:
    shown = CliRunner().invoke(main, ["model", "show", str(pack.path)]).stdout
    assert f"mcu, threshold {pack.verifier.threshold:g}\n" in shown  # type: ignore[union-attr]
    checked = CliRunner().invoke(main, ["model", "verify", str(pack.path)])
    assert checked.exit_code == 0, checked.output
    assert "verifier: fits" in checked.stdout


def test_its_decisions_are_in_the_power_of_the_system_alone(
    pack: packs.Pack, pcm: np.ndarray
) -> None:
    spotter = KeywordSpotter(pack)
    meter = PowerMeter(spotter)
    meter.reset()
    hearing = Hearing(spotter, [meter])
    for at in range(0, len(pcm), 1600):
        hearing.hear(pcm[at : at + 1600])
    report = meter.report()
    row = report.system_rows[-1]
    per_second = spotter.decisions / report.seconds
    assert spotter.verifier is not None
    work = spotter.verifier.multiplications
    assert row.block == f"verifier, {3600 * per_second:.1f} decisions per hour"
    assert (row.typical, row.high) == pytest.approx(
        (0.9 * work * per_second, 2.1 * work * per_second)
    )
    assert row.low == row.typical  # an accelerator takes no more than a processor
    large = VerifierWork(1, 3_000_000, accelerated=True)
    assert large.decision_nj == pytest.approx((251e3, 2.7e6, 6.3e6))
    assert "MAX78000" in row.source


def test_it_runs_on_a_simulated_cortex_m(pack: packs.Pack) -> None:
    from firmware_sim import cortex_m

    if cortex_m.missing_tools():
        pytest.skip(f"needs {', '.join(cortex_m.missing_tools())}")
    model = firmware_model(pack)
    found = cortex_m.measure(model, "cortex-m4", "-Os")
    plain = cortex_m.measure(dataclasses.replace(model, verifier=None), "cortex-m4", "-Os")
    assert set(found.instructions) == {*plain.instructions, "verifier"}
    assert model.verifier is not None
    work = KeywordSpotter(pack).verifier
    assert isinstance(work, McuVerifier)
    a_look = work.multiplications / len(work.network.looks)
    assert 0.5 * a_look < found.instructions["verifier"] < 100 * a_look
    assert found.ram > plain.ram + model.verifier.frames * 16
    assert found.flash > plain.flash
    assert found.stack >= plain.stack
