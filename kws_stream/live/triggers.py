"""Records of triggers: the audio around an event and what the model made of it.

A record is a WAV and a JSON file of one name in one folder; docs/triggers.md describes them. What a
folder holds is bounded, and nothing but a person's label is ever added to it later.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import queue
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from kws_stream import files
from kws_stream.arguments import path_text, seconds_to_wait, whole_number
from kws_stream.audio import FileSource, to_int16
from kws_stream.audio.encoding import encoded
from kws_stream.brief import brief
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.detector import WakeEvent
from kws_stream.errors import DataError
from kws_stream.live.hearing import later
from kws_stream.live.passages import LONGEST_WORD_S, first_sample
from kws_stream.live.ring import AudioRing, Samples, sample_number
from kws_stream.packs import Pack
from kws_stream.pipeline import KeywordSpotter, Observation, need_spotter

FORMAT = 1
BEFORE_S = 1.0
AFTER_S = 1.0
MOST_RECORDS = 200
LABELS = ("yes", "no")
TERMS = {"true-accept": "yes", "false-accept": "no"}
"""Terms of the field that `TriggerRecord.set_label` takes for what a record holds."""

_WAITING = 16  # records that a slow disk may hold back
_MOST_JSON_BYTES = 2**24
_RECORDS = "trigger-*.json"
_STAMP = "%Y%m%dT%H%M%S"  # and six digits of microseconds
_STAMPED = re.compile(r"trigger-(\d{8}T\d{12})-")
_PROBE = ".probe-triggers"
_NUMBERS = ("score", "start_s", "time_s")  # of an event
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TriggerRecord:
    """A record in a folder; `values` is what its JSON file holds."""

    path: Path
    values: dict[str, Any]

    __repr__ = brief

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def audio(self) -> Path:
        return self.path.with_suffix(".wav")

    @property
    def label(self) -> str | None:
        """ "yes" for a word that was spoken, "no" for a false one, None until somebody says."""
        label = self.values.get("label")
        return label if label in LABELS else None

    def set_label(self, label: str | None) -> None:
        """Write a label into the JSON file, all of it or nothing.

        label: one of `LABELS`, a term of `TERMS` for one of them, or None. What it says of the
        words in the audio is written too, as `tune` and `evaluate-stream` read it.
        """
        if label is not None:
            label = TERMS.get(label, label)
        self.values["label"] = label
        self.values["words"] = None if label is None else []
        if label == "yes":
            event, start_s = self.values["event"], self.values["audio_start_s"]
            word = {"word": event["keyword"]}
            for name, time_s in (("start_s", event["start_s"]), ("end_s", event["time_s"])):
                word[name] = round(max(0.0, time_s - start_s), 6)
            self.values["words"] = [word]
        try:
            files.write(self.path, json.dumps(self.values, allow_nan=False))
        except OSError as error:
            raise DataError(
                f"{self.path}: need a file that can be written, got {error.strerror or error}"
            ) from error


def read_triggers(
    folder: str | os.PathLike[str], on_damaged: Callable[[str], None] = _LOG.warning
) -> list[TriggerRecord]:
    """The records in a folder, in the order in which they were kept.

    on_damaged: told of each record that cannot be read; it is set aside, under its name and
    ".damaged", with its audio. Raises DataError where there is no folder.
    """
    place = Path(path_text(folder, "a folder of triggers"))
    if not place.is_dir():
        raise DataError(f"{place}: need a folder of triggers, got none; see --keep-triggers")
    read = (_read_or_set_aside(path, on_damaged) for path in sorted(place.glob(_RECORDS)))
    return [record for record in read if record is not None]


def _read_or_set_aside(path: Path, told: Callable[[str], None]) -> TriggerRecord | None:
    """A record; None where it is damaged, of another version, or gone by now."""
    try:
        return _read(path)
    except _OtherVersion as error:
        told(str(error))
    except FileNotFoundError:
        pass
    except DataError as error:
        audio = path.with_suffix(".wav")
        try:
            if audio.exists():
                files.set_aside(audio)
            told(f"{error}; set aside as {files.set_aside(path).name}")
        except OSError:  # a folder that may not be written
            told(f"{error}; left out")
    return None


class _OtherVersion(DataError):
    """A record that a later version wrote: it is fine, but not for us."""


def _read(path: Path) -> TriggerRecord:
    """Raises DataError for what is no record, FileNotFoundError for one that is gone."""
    try:
        if path.stat().st_size > _MOST_JSON_BYTES:
            raise ValueError("a file too large")
        values = json.loads(path.read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError("no object")
        version = values.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise _OtherVersion(
                f"{path}: need a record of format {FORMAT}, got {version!r:.20}; get a matching "
                "kws-stream"
            )
        event = values["event"]
        if version != FORMAT or not isinstance(event["keyword"], str):
            raise ValueError("another format")
        for number in (*(event[name] for name in _NUMBERS), values["audio_start_s"]):
            if isinstance(number, bool) or not math.isfinite(number):
                raise ValueError("no number")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: need the record of a trigger, got {error!r:.120}") from error
    return TriggerRecord(path, values)


def trigger_audio(record: TriggerRecord) -> Samples:
    """The audio (n,) of a record; raises AudioError where it is missing or damaged."""
    with FileSource(record.audio) as source:
        return np.concatenate([np.asarray(block, np.float32) for block in source.blocks()])


class TriggerStore:
    """A folder that keeps the latest records; a thread of its own does the writing.

    Where there are more than `most`, the oldest without a label goes; where all are labelled, new
    ones are not kept. `kept` and `lost` count. Which is the oldest does not depend on the clock,
    which may be set back: names go up in the order of writing.

    What a killed process left, unfinished files and audio without a record, is cleared away at
    the start. A full disk costs the triggers that do not fit on it, no later ones.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        most: int = MOST_RECORDS,
        on_fault: Callable[[str], None] = lambda text: None,
    ) -> None:
        """on_fault: told when records begin not to be written, and of damaged ones, set aside.

        Raises DataError for a folder that cannot be made or written, ParameterError for a number
        that is none.
        """
        self._most = whole_number(most, "most", 1)
        self.folder = Path(path_text(folder, "a folder for triggers"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            files.write(self.folder / _PROBE, "")
            (self.folder / _PROBE).unlink(missing_ok=True)
            _clear_leftovers(self.folder)
        except OSError as error:
            raise DataError(
                f"{self.folder}: need a folder to keep triggers in, got {error.strerror}; "
                "choose another"
            ) from error
        self.kept = 0
        self.lost = 0
        self._on_fault = on_fault
        self._queue: queue.Queue[tuple[dict[str, Any], Samples] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="triggers", daemon=True)
        self._thread.start()

    def put(self, values: dict[str, Any], pcm: Samples) -> None:
        """Keep a record; never waits: behind a disk that is too slow it is lost and counted."""
        try:
            self._queue.put_nowait((values, pcm))
        except queue.Full:
            self.lost += 1

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits and end."""
        timeout_s = seconds_to_wait(timeout_s)
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=timeout_s)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        failing = False
        while (item := self._queue.get()) is not None:
            try:
                if self._make_room():
                    self._write(*item)
                    self.kept += 1
                    failing = False
                    continue
            except Exception as error:  # whatever it is, the next trigger may be kept
                if not failing:
                    self._tell(f"a trigger could not be kept: {error}")
                failing = True
            self.lost += 1

    def _tell(self, text: str) -> None:
        with contextlib.suppress(Exception):  # what hears of faults may not end the keeping
            self._on_fault(text)

    def _make_room(self) -> bool:
        paths = sorted(self.folder.glob(_RECORDS))
        excess = len(paths) - self._most + 1
        for path in paths:
            if excess <= 0:
                break
            try:
                record = _read_or_set_aside(path, self._tell)
            except OSError:
                continue
            if record is not None and record.label is not None:
                continue
            if record is not None:
                record.audio.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            excess -= not path.exists()
        return excess <= 0

    def _write(self, values: dict[str, Any], pcm: Samples) -> None:
        word = re.sub(r"[^a-z0-9]+", "-", values["event"]["keyword"].lower()).strip("-")[:40]
        whole = to_int16(pcm)
        with files.locked(self.folder, shared=True):
            audio = self._new_name(word)
            path = audio.with_suffix(".json")
            kept_at = datetime.now(UTC).isoformat()
            record = {"format": FORMAT, "kept_at": kept_at, "audio": audio.name} | values
            try:
                with files.replacing(audio) as file:
                    file.write(encoded(whole, "WAV"))
                files.write(path, json.dumps(record, allow_nan=False))
            except BaseException:
                audio.unlink(missing_ok=True)
                raise

    def _new_name(self, word: str) -> Path:
        """A recording that nobody has yet, begun as an empty file: several processes may keep."""
        while True:
            audio = self.folder / f"trigger-{self._stamp()}-{word}.wav"
            with contextlib.suppress(FileExistsError):
                audio.touch(exist_ok=False)
                return audio

    def _stamp(self) -> str:
        """The time, or where the clock was set back, the one after the latest record's."""
        now = datetime.now(UTC)
        names = [path.name for path in self.folder.glob("trigger-*")]
        found = [match[1] for name in names if (match := _STAMPED.match(name))]
        with contextlib.suppress(ValueError, OverflowError):  # a name that is no time
            latest = datetime.strptime(max(found, default=""), f"{_STAMP}%f").replace(tzinfo=UTC)
            now = max(now, latest + timedelta(microseconds=1))
        return f"{now:{_STAMP}}{now.microsecond:06d}"


def _clear_leftovers(folder: Path) -> None:
    """Remove unfinished files of processes that were killed, and audio that has no record.

    While another process writes to the folder, audio without a record may be about to have one.
    """
    for names in (".trigger-*.part", "trigger-*.part", "trigger-*.part.wav", ".*probe-*"):
        files.clear(folder, names)
    with files.locked(folder, shared=False) as alone:
        if alone:
            for audio in folder.glob("trigger-*.wav"):
                if _STAMPED.match(audio.name) and not audio.with_suffix(".json").exists():
                    audio.unlink(missing_ok=True)


class TriggerKeeper:
    """A watcher that gathers what belongs to each event and hands it to a store."""

    def __init__(
        self,
        store: TriggerStore,
        spotter: KeywordSpotter,
        source: str = "",
        from_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """source: what the record calls the place that the sound came from. from_s: gives the
        seconds of the stream that went by before the spotter began to hear it.
        """
        need_spotter(spotter)
        self._from_s = from_s
        self._store = store
        self._spotter = spotter
        self._source = source
        self._digest = network_digest(spotter.pack)
        seconds = BEFORE_S + LONGEST_WORD_S + AFTER_S + 1.0
        self._ring = AudioRing(seconds)
        self._frames: deque[tuple[list[float], list[str]]] = deque(
            maxlen=round(seconds / spotter.frame_s)
        )
        self._open: list[WakeEvent] = []
        self._count = 0  # frames heard

    def reset(self) -> None:
        """A new stream begins; what was not complete is kept as it is."""
        self.finish()
        self._ring.reset()
        self._frames.clear()
        self._count = 0

    def hear(self, samples: Samples, seen: Sequence[Observation]) -> None:
        self._ring.add(samples)
        for piece in seen:
            bits = [np.packbits(block, axis=1) for block in piece.trace.bits]
            for row, scores in enumerate(piece.smoothed):
                packed = [block[row].tobytes().hex() for block in bits]
                self._frames.append(([round(float(score), 5) for score in scores], packed))
            self._count += len(piece.smoothed)
            self._open += piece.events
        while self._open and self._end(self._open[0]) <= self._ring.end:
            self._keep(self._open.pop(0))

    def finish(self) -> None:
        """Keep the events that the end of the stream cuts short."""
        for event in self._open:
            self._keep(event)
        self._open = []

    def _end(self, event: WakeEvent) -> int:
        return sample_number(event.time_s + AFTER_S)

    def _keep(self, event: WakeEvent) -> None:
        spotter = self._spotter
        start = first_sample(event, BEFORE_S)
        pcm = self._ring.between(start, self._end(event))
        first = max(start / SAMPLE_RATE_HZ, 0.0)
        forgotten = self._count - len(self._frames)
        frames = [
            (round((forgotten + number + 1) * spotter.frame_s, 6), *frame)
            for number, frame in enumerate(self._frames)
        ]
        frames = [frame for frame in frames if first < frame[0] <= event.time_s + AFTER_S]
        parameters = spotter.pack.network.parameters
        from_s = self._from_s()
        self._store.put(
            {
                "event": later(event, from_s).as_dict(),
                "label": None,
                "words": None,
                "model": spotter.pack.name,
                "model_version": spotter.pack.version,
                "model_sha256": self._digest,
                "threshold": spotter.thresholds[event.keyword],
                "thresholds": spotter.thresholds,
                "source": self._source,
                "audio_start_s": round(from_s + start / SAMPLE_RATE_HZ, 6),
                "rate_hz": SAMPLE_RATE_HZ,
                "frame_s": spotter.frame_s,
                "classes": list(spotter.classes),
                "cells": [block.cells for block in parameters.blocks],
                "times_s": [round(from_s + time, 6) for time, _, _ in frames],
                "scores": [scores for _, scores, _ in frames],
                "bits": [bits for _, _, bits in frames],
            },
            pcm,
        )


def network_digest(pack: Pack) -> str:
    """SHA-256 of the pack's network, as its manifest has it."""
    files = pack.manifest.get("files", {})
    digest = files.get(pack.manifest.get("network"))
    return digest if isinstance(digest, str) else hashlib.sha256(b"").hexdigest()
