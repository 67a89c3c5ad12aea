"""What callers give: every real number is taken, and what is none is refused in one sentence."""

import copy
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kws_stream import KeywordSpotter, Network, evaluation, packs, power
from kws_stream.arguments import number_above_zero, number_within, real_number, whole_number
from kws_stream.audio import FileSource, MicrophoneSource, PipeSource, read_whole
from kws_stream.bmru.chip_settings import ChipSettings
from kws_stream.constants import RECORDING
from kws_stream.detector import DetectorSettings, WakeEvent
from kws_stream.engine.stages import NumpyStages
from kws_stream.errors import (
    AudioError,
    InputError,
    KwsStreamError,
    PackError,
    ParameterError,
)
from kws_stream.evaluation import streams_of, tune
from kws_stream.features import FeatureSettings, FrontEnd, build
from kws_stream.features.conditioning import ConditioningSettings
from kws_stream.integrations.wyoming.messages import Limits
from kws_stream.live import (
    AudioRing,
    Monitor,
    PowerMeter,
    TriggerKeeper,
    TriggerStore,
    passages,
    read_triggers,
)
from kws_stream.speech.training_set import Amounts
from kws_stream.training.recipe import Recipe
from tests.tiny_network import mcu_pack
from tests.tiny_verifier import cascade_pack, tiny_graphs

HALVES = [0.5, np.float32(0.5), np.float64(0.5), np.float16(0.5), np.array(0.5), Fraction(1, 2)]
HALVES += [Decimal("0.5")]
NO_NUMBERS = [None, b"1", "1", [0.5], {}, True, np.True_, 1j, object, math.nan, np.array([0.5])]
NO_PATHS = [None, 3, 0.5, [], {}, True]

SILENCE = np.zeros(1600, np.int16)


def layer() -> tuple[np.ndarray, list[float]]:
    return np.ones((1, 1)), [0.0]


@pytest.fixture(scope="module")
def spotter() -> KeywordSpotter:
    return KeywordSpotter("yes-4")


@pytest.mark.parametrize("half", HALVES, ids=repr)
def test_a_number_of_any_type_is_the_number_that_it_is(half: Any) -> None:
    found = real_number(half)
    assert type(found) is float
    assert found == 0.5
    for given in (half, {"yes": half}):
        thresholds = KeywordSpotter("yes-4", threshold=given).thresholds
        assert thresholds == {"yes": 0.5}
        assert type(thresholds["yes"]) is float
    settings = DetectorSettings(window_s=half, thresholds={"yes": half}).as_dict()
    assert (type(settings["window_s"]), type(settings["thresholds"]["yes"])) == (float, float)
    net = Network.from_arrays(layer(), [], layer(), input_grid=(half, 0, 1))
    grid = net.parameters.input_grid
    assert grid is not None
    assert grid.step == 0.5
    estimate = power.estimate(net, net.run(np.zeros((2, 1))), unit_na=half)
    assert type(estimate.unit_na) is float
    assert estimate.unit_na == 0.5
    block = {"candidate": layer(), "post": layer(), "beta1": half, "delta": half, "alpha": half}
    assert Network.from_arrays(layer(), [block], layer()).parameters.blocks[0].alpha == [0.5]
    spotter = KeywordSpotter("yes-4")
    spotter.process(SILENCE)
    assert spotter.recent_power(half) == spotter.recent_power(0.5)
    assert list(passages(spotter, [SILENCE], before_s=half, after_s=half)) == []


def test_whole_numbers_of_settings_stay_as_they_were_written() -> None:
    settings = DetectorSettings(refractory_s=1, thresholds={"yes": 1}).as_dict()
    assert repr((settings["refractory_s"], settings["thresholds"])) == "(1, {'yes': 1})"


NUMBERS: dict[str, Callable[[KeywordSpotter, Any], object]] = {
    "threshold of a keyword": lambda _, x: KeywordSpotter("yes-4", threshold={"yes": x}),
    "set_thresholds": lambda spotter, x: spotter.set_thresholds({"yes": x}),
    "recent_power": lambda spotter, x: spotter.recent_power(x),
    "unit": lambda spotter, x: spotter.power().at_unit(x),
    "frame": lambda spotter, x: power.report(spotter.power(), 8, frame_s=[] if x is None else x),
    "channels": lambda spotter, x: power.report(spotter.power(), x),
    "before": lambda spotter, x: passages(spotter, [SILENCE], before_s=x),
    "after": lambda spotter, x: passages(spotter, [SILENCE], after_s=x),
    "ring": lambda _, x: AudioRing(x),
    "target": lambda _, x: tune([], "yes-4", target=x),
    "duration": lambda _, x: MicrophoneSource(duration_s=[] if x is None else x),
    "queue": lambda _, x: MicrophoneSource(queue_blocks=x),
    "grid": lambda _, x: Network.from_arrays(layer(), [], layer(), input_grid=(x, 0, 1)),
    "most": lambda _, x: TriggerStore("never-made", most=x),
    "count": lambda _, x: evaluation.poisson_interval(x, 1.0),
    "hours": lambda _, x: evaluation.poisson_interval(1, x),
    "within": lambda _, x: number_within(x, "x", 0, 1),
    "above": lambda _, x: number_above_zero(x, "x"),
    "whole": lambda _, x: whole_number(x, "x", 1),
}


@pytest.mark.parametrize("given", [*NO_NUMBERS, -1, -math.inf, -(10**400)], ids=repr)
@pytest.mark.parametrize("use", NUMBERS.values(), ids=NUMBERS)
def test_what_is_no_number_is_refused(
    spotter: KeywordSpotter, use: Callable[[KeywordSpotter, Any], object], given: Any
) -> None:
    with pytest.raises(ParameterError, match=r"^[^\n]*need [^\n]*, got [^\n]*$"):
        use(spotter, given)


@pytest.mark.parametrize("given", [*NO_NUMBERS[1:4], *NO_NUMBERS[5:], {1: 0.5}, {b"yes": 0.5}])
def test_a_threshold_that_is_none_is_refused(spotter: KeywordSpotter, given: Any) -> None:
    for refused in (
        lambda: KeywordSpotter("yes-4", threshold=given),
        lambda: spotter.set_thresholds(given),
    ):
        with pytest.raises(ParameterError, match="need "):
            refused()


@pytest.mark.parametrize("given", NO_PATHS, ids=repr)
def test_what_is_no_path_is_refused(given: Any) -> None:
    for loads in (KeywordSpotter, packs.load):
        with pytest.raises(PackError, match=r"need the name of a shipped model .*, got"):
            loads(given)
    for opens in (FileSource, read_whole):
        with pytest.raises(AudioError, match="need the path of an audio file, got"):
            opens(given)


@pytest.mark.parametrize("given", ["", b""])
def test_an_empty_path_is_not_the_current_folder(
    given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes of a variable that is not set."""
    monkeypatch.chdir(tmp_path)
    calls: list[tuple[Callable[[Any], object], type[KwsStreamError]]] = [
        (TriggerStore, ParameterError),
        (read_triggers, ParameterError),
        (streams_of, ParameterError),
        (FileSource, AudioError),
        (packs.load, PackError),
    ]
    for call, error in calls:
        with pytest.raises(error, match=r"need .*, got b?''$"):
            call(given)
    assert not list(tmp_path.iterdir())


def test_paths_of_bytes_are_paths(tmp_path: Path) -> None:
    assert len(read_whole(bytes(RECORDING))) > 0
    pack: Any = bytes(packs.models_dir() / "yes-4")
    assert packs.load(pack).name == "yes-4"
    with pytest.raises(PackError, match=r"got 'nowhere'$"):
        packs.load(b"nowhere")  # type: ignore[arg-type]


SETTINGS: list[type] = [
    FeatureSettings,
    ConditioningSettings,
    DetectorSettings,
    ChipSettings,
    Limits,
    Amounts,
]
FIELDS = [(kind, one.name, one.default) for kind in SETTINGS for one in fields(kind)]
FIELDS += [(Recipe, one.name, one.default) for one in fields(Recipe)]


@pytest.mark.parametrize(("kind", "name", "default"), FIELDS)
def test_a_setting_of_another_type_is_refused_by_its_name(
    kind: type, name: str, default: object
) -> None:
    base: dict[str, Any] = {"name": "x", "task": "yes"} if kind is Recipe else {}
    wrong: list[Any] = [None, b"1", 1j, object, math.nan, [None], 3.5 if default is True else {3}]
    wrong += [3] if isinstance(default, str) or name in ("name", "task") else ["1"]
    for value in wrong:
        with pytest.raises(ParameterError, match=rf"^[^\n]*\b{name}: need [^\n]*, got [^\n]*$"):
            kind(**base | {name: value})


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_text_in_the_first_place_is_refused(kind: type) -> None:
    with pytest.raises(ParameterError, match=r"need .*, got 'x'$"):
        kind("x")


def test_settings_of_numpy_are_plain_numbers() -> None:
    settings = FeatureSettings(
        channels=np.int64(8),  # type: ignore[arg-type]
        agc_s=np.float32(0.5),  # type: ignore[arg-type]
        slow_s=np.array([0.25]),  # type: ignore[arg-type]
        half_wave=np.True_,  # type: ignore[arg-type]
    )
    assert repr(settings) == repr(
        FeatureSettings(channels=8, agc_s=0.5, slow_s=(0.25,), half_wave=True)
    )
    assert json.loads(json.dumps(settings.as_dict()))["channels"] == 8
    recipe = Recipe("x", "yes", width=np.int64(5), dropout=np.float64(0.5))  # type: ignore[arg-type]
    assert (repr(recipe.width), repr(recipe.dropout)) == ("5", "0.5")


WRONG_KINDS: dict[str, Callable[[Any], object]] = {
    "passages": lambda x: passages(x, [SILENCE]),
    "Monitor": Monitor,
    "PowerMeter": PowerMeter,
    "TriggerKeeper": lambda x: TriggerKeeper(x, x),
    "TriggerStore": TriggerStore,
    "read_triggers": read_triggers,
    "streams_of": evaluation.streams_of,
    "names of streams_of": lambda x: evaluation.streams_of([x]),
    "evaluate_streams": evaluation.evaluate_streams,
    "a stream": lambda x: evaluation.evaluate_streams([x]),
    "evaluate_recordings": evaluation.evaluate_recordings,
    "tune": lambda x: tune(x, "yes-4"),
    "save_streams": lambda x: evaluation.save_streams(x, "never-made", x),
    "save_tuned": lambda x: evaluation.save_tuned(x, x, "never-made"),
    "evaluate": evaluation.evaluate,
    "word_clips": lambda x: evaluation.word_clips(x, ["yes"]),
    "background_in": evaluation.background_in,
    "own_background": evaluation.own_background,
    "read_labels": evaluation.read_labels,
    "read_clip": evaluation.read_clip,
    "score_clip": lambda x: evaluation.score_clip(x, SILENCE),
    "Network": Network,
    "FrontEnd": lambda x: FrontEnd([] if x is None else x),  # type: ignore[arg-type]
    "features.build": build,
    "ChipSettings.from_dict": ChipSettings.from_dict,
    "DetectorSettings.from_dict": DetectorSettings.from_dict,
}


@pytest.mark.parametrize("given", [None, 3], ids=repr)
@pytest.mark.parametrize("use", WRONG_KINDS.values(), ids=WRONG_KINDS)
def test_a_value_of_another_kind_is_refused_in_a_sentence(
    use: Callable[[Any], object], given: Any
) -> None:
    with pytest.raises(ParameterError, match=r"^[^\n]*need [^\n]*, got [^\n]*$"):
        use(given)


@pytest.mark.parametrize("given", [3, 0.5, True, b"\0\0", np.zeros(9, np.int16), np.array(1)])
def test_what_is_no_source_is_refused(spotter: KeywordSpotter, given: Any) -> None:
    with pytest.raises(ParameterError, match=r"source: need .*; samples without a source go to"):
        list(spotter.events(given))


@pytest.mark.parametrize("given", [None, b"", "-", 3])
def test_a_pipe_needs_a_stream(given: Any) -> None:
    with pytest.raises(ParameterError, match="stream: need a binary stream"):
        PipeSource(given)
    PipeSource(io.BytesIO())


@pytest.mark.parametrize("given", [0, 1, "no", [], np.array(True)])
def test_verify_is_a_truth_value(given: Any) -> None:
    with pytest.raises(ParameterError, match="verify: need True, False or None"):
        KeywordSpotter("yes-4", verify=given)


def test_a_truth_value_of_numpy_counts(tmp_path: Path) -> None:
    pack = mcu_pack(tmp_path / "pack")
    no: Any = np.False_
    assert KeywordSpotter(pack, verify=no).verifier is None
    assert KeywordSpotter(pack).verifier is not None


def test_a_callback_is_a_function(spotter: KeywordSpotter) -> None:
    nothing: Any = None
    with pytest.raises(ParameterError, match="callback: need a function"):
        spotter.listen(nothing, [SILENCE])


@pytest.mark.parametrize("given", [None, 3, "yes-4", []])
def test_power_needs_a_network_and_its_trace(spotter: KeywordSpotter, given: Any) -> None:
    net = spotter.pack.network
    with pytest.raises(ParameterError, match="net: need a network"):
        power.estimate(given, net.run(np.zeros((1, net.parameters.n_features))))
    with pytest.raises(InputError, match="trace: need the trace of a network"):
        power.estimate(net, given)


def test_one_recording_is_a_stream() -> None:
    assert streams_of(RECORDING) == streams_of([RECORDING]) == streams_of(str(RECORDING))


def spotters(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[KeywordSpotter, np.ndarray]]:
    """Each kind of spotter, and sound in which it finds something all along."""
    words, _ = soundfile.read(RECORDING, dtype="int16", stop=16_000 * 14)
    rng, swell = np.random.default_rng(0), np.sin(np.arange(16_000 * 6) / 9000)
    noise = (rng.standard_normal(len(swell)) * 3000 * swell).astype(np.int16)
    monkeypatch.setattr("kws_stream.verifier.host.find_graphs", tiny_graphs)
    yield KeywordSpotter("commands-12", threshold=0.3), words
    yield KeywordSpotter(mcu_pack(folder / "mcu")), noise
    yield KeywordSpotter(cascade_pack(folder / "host", 0.6)), noise
    yield KeywordSpotter(cascade_pack(folder / "both", 0.6, network_weight=0.5)), noise
    monkeypatch.setattr("kws_stream.pipeline.compiled_stages", lambda *_: None)
    in_numpy = KeywordSpotter("commands-12", threshold=0.3)
    assert isinstance(in_numpy._stages, NumpyStages)
    yield in_numpy, words


def heard(spotter: KeywordSpotter, pcm: np.ndarray) -> list[WakeEvent]:
    found = [spotter.process(pcm[at : at + 777]) for at in range(0, len(pcm), 777)]
    return [event for events in found for event in events]


def test_a_copy_is_a_stream_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for spotter, pcm in spotters(tmp_path, monkeypatch):
        whole = heard(copy.copy(spotter), pcm)
        assert spotter.frames == 0
        at = len(pcm) // 3 + 123
        first = heard(spotter, pcm[:at])
        other, silent = copy.copy(spotter), copy.copy(spotter)
        silent.set_thresholds(dict.fromkeys(silent.thresholds, 1.0))
        heard(silent, pcm[at : at + 9999])
        rest = heard(other, pcm[at:])
        assert other.frames > spotter.frames
        assert first
        assert rest
        assert first + rest == whole, "the copy goes on"
        assert heard(spotter, pcm[at:]) == rest, "the original has not moved"
        assert other.power() == spotter.power()
        assert (other.triggers, other.decisions) == (spotter.triggers, spotter.decisions)
        assert other.pack is spotter.pack
        assert other.verifier is spotter.verifier
