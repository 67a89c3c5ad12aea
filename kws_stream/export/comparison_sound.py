"""Every way to hear 16-bit samples with a model, compared with the stages in NumPy, to the bit."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from firmware_sim import toolchain
from kws_stream import engine
from kws_stream.audio import to_int16
from kws_stream.detector import SCORE_BITS, Detector, DetectorSettings, WakeEvent
from kws_stream.engine.compiled import CompiledStages, compiled_stages
from kws_stream.engine.stages import NumpyStages
from kws_stream.errors import FirmwareError
from kws_stream.export.comparison_wasm import Wasm
from kws_stream.features import build
from kws_stream.pipeline import KeywordSpotter
from kws_stream.verifier.network import SCORE_BITS as VERIFIER_BITS

if TYPE_CHECKING:
    from firmware_sim.model import FirmwareModel
    from kws_stream.packs import Pack

Pcm = NDArray[np.int16]
Heard = tuple[NDArray[np.float64], list[WakeEvent]]
"""Smoothed scores (T, K) of a stream, and its events."""

# (compiler, emulator, flags) of the processors that qemu-user stands in for
CROSS = {
    "aarch64": ("aarch64-linux-gnu-gcc", "qemu-aarch64", ("-O2", "-static")),
    "armhf": ("arm-linux-gnueabihf-gcc", "qemu-arm", ("-O2", "-static", "-mcpu=cortex-a7")),
}
HEARING = ("engine", "wasm", "firmware", *CROSS)


def missing_for(name: str, model: "FirmwareModel") -> str:
    """Why a way cannot be tried here; empty if it can."""
    if name == "engine":
        return "" if engine.library is not None else "no engine in C is installed"
    if model.front_end is None:
        return "a mel front end has no C form"
    if name == "firmware":
        try:
            toolchain.find_compiler()
        except FirmwareError:
            return "needs a C compiler"
        return ""
    if name == "wasm":
        return "" if shutil.which("node") else "needs node"
    tools = [tool for tool in CROSS[name][:2] if shutil.which(tool) is None]
    return f"needs {' and '.join(tools)}" if tools else ""


def _stages(pack: "Pack", compiled: bool) -> "NumpyStages | CompiledStages | None":
    front_end = build(pack.features)
    settings = DetectorSettings.from_dict(pack.detector)
    detector = Detector(settings, pack.classes, pack.keywords, front_end.frame_s)
    if compiled:
        return compiled_stages(front_end.settings, pack.network, detector)
    return NumpyStages(front_end, pack.network, detector)


def hear(stages: "NumpyStages | CompiledStages", pcm: Pcm, classes: int) -> Heard:
    """What a stream from the start makes of samples (n,)."""
    stages.reset()
    seen = stages.observe(pcm)
    return (np.empty((0, classes)), []) if seen is None else (seen.smoothed, seen.events)


class Ways:
    """The named ways to hear sound; programs that they need live until the stack closes.

    Raises FirmwareError without a C compiler.
    """

    def __init__(
        self, pack: "Pack", model: "FirmwareModel", names: Sequence[str], stack: ExitStack
    ) -> None:
        self._pack = pack
        self._plain = _stages(pack, compiled=False)
        self._compiled = _stages(pack, compiled=True) if "engine" in names else None
        self._cascade = None if model.verifier is None else KeywordSpotter(pack)
        mains = ["spotter_main.c", *([] if self._cascade is None else ["cascade_main.c"])]
        self._wasm = None
        if "wasm" in names:
            folder = stack.enter_context(TemporaryDirectory())
            self._wasm = Wasm(pack, Path(folder) / "web")
        self._commands: dict[str, list[list[str | Path]]] = {}
        for name in [name for name in names if name in ("firmware", *CROSS)]:
            compiler, emulator, flags = CROSS.get(name, ("", "", ("-O2",)))
            programs = [
                stack.enter_context(toolchain.program(model, main, flags, compiler))
                for main in mains
            ]
            before = [emulator] if emulator else []
            self._commands[name] = [[*before, program] for program in programs]

    def compare(self, pcm: Sequence[NDArray[np.float32]], where: Sequence[Path]) -> dict[str, int]:
        """Frames that each way has heard as NumPy does; FirmwareError where one differs."""
        streams = np.stack([to_int16(samples) for samples in pcm])
        classes = self._pack.classes
        assert self._plain is not None
        wanted = [hear(self._plain, samples, len(classes)) for samples in streams]
        frames = sum(len(scores) for scores, _ in wanted)
        done = {}
        if self._compiled is not None:
            got = [hear(self._compiled, samples, len(classes)) for samples in streams]
            _require_same("engine", where, wanted, got)
            done["engine"] = frames
        if self._wasm is not None:
            in_wasm = self._wasm.hear(streams)
            _require_same("wasm", where, wanted, [(one.scores, one.triggers) for one in in_wasm])
            for path, samples, one in zip(where, streams, in_wasm, strict=True):
                if self._cascade is not None:
                    self._require_confirmed("wasm", path, samples, one.events or [])
            done["wasm"] = frames
        for name, (command, *of_cascade) in self._commands.items():
            scores, fired = toolchain.run_spotter(command, streams, len(classes))
            events = [_events(rows, classes) for rows in fired]
            got = list(zip(scores * 2.0**-SCORE_BITS, events, strict=True))
            _require_same(name, where, wanted, got)
            for program in of_cascade:
                self._compare_cascade(name, program, streams, where)
            done[name] = frames
        return done

    def _compare_cascade(
        self, name: str, command: Sequence[str | Path], streams: Pcm, where: Sequence[Path]
    ) -> None:
        for path, samples in zip(where, streams, strict=True):
            got = _confirmed(toolchain.run_cascade(command, samples), self._pack.classes)
            self._require_confirmed(name, path, samples, got)

    def _require_confirmed(self, name: str, path: Path, samples: Pcm, got: list[WakeEvent]) -> None:
        """Require the confirmed events of both stages, with the verifier's scores."""
        assert self._cascade is not None
        self._cascade.reset()
        wanted = self._cascade.process(samples) + self._cascade.finish()
        if len(wanted) != len(got) or not all(map(_same_confirmed, wanted, got)):
            raise FirmwareError(
                f"{name}: need the confirmed events of NumPy, got others in {path}; this is a "
                "bug or a broken compiler: please report it"
            )


def _confirmed(rows: NDArray[np.void], classes: Sequence[str]) -> list[WakeEvent]:
    """Events of `toolchain.CONFIRMED`."""
    return [
        replace(
            event,
            verifier_score=int(row["verifier_score"]) * 2.0**-VERIFIER_BITS,
            confirmed_s=int(row["confirmed_ms"]) / 1000,
        )
        for event, row in zip(_events(rows, classes), rows, strict=True)
    ]


def _same_confirmed(ours: WakeEvent, theirs: WakeEvent) -> bool:
    same = _same_event(ours, theirs) and ours.verifier_score == theirs.verifier_score
    return same and round(1000 * ours.known_s) == round(1000 * theirs.known_s)


def _events(fired: NDArray[np.void], classes: Sequence[str]) -> list[WakeEvent]:
    return [
        WakeEvent(
            keyword=classes[int(row["keyword"])],
            time_s=int(row["time_ms"]) / 1000,
            score=int(row["score"]) * 2.0**-SCORE_BITS,
            start_s=int(row["start_ms"]) / 1000,
            index=int(row["index"]),
        )
        for row in fired[fired["keyword"] >= 0]
    ]


def _same_event(ours: WakeEvent, theirs: WakeEvent) -> bool:
    """Whether two events are one; C has whole milliseconds."""
    same = (ours.keyword, ours.score, ours.index) == (theirs.keyword, theirs.score, theirs.index)
    pairs = ((ours.time_s, theirs.time_s), (ours.start_s, theirs.start_s))
    return same and all(round(1000 * a) == round(1000 * b) for a, b in pairs)


def _require_same(
    name: str, where: Sequence[Path], wanted: Sequence[Heard], got: Sequence[Heard]
) -> None:
    """Raises FirmwareError that names the first recording with another score or event."""
    for path, (scores, events), (found, fired) in zip(where, wanted, got, strict=True):
        if not np.array_equal(scores, found):
            raise FirmwareError(
                f"{name}: need the scores of NumPy, got others in {path}; this is a bug or a "
                "broken compiler: please report it"
            )
        if len(events) != len(fired) or not all(map(_same_event, events, fired)):
            raise FirmwareError(
                f"{name}: need the events of NumPy, got others in {path}; this is a bug or a "
                "broken compiler: please report it"
            )
