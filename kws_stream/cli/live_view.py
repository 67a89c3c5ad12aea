"""The live picture of `listen`: draws ten times a second at most, and obeys keys."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kws_stream.audio import to_int16
from kws_stream.audio.encoding import encoded
from kws_stream.cli.keys import single_keys
from kws_stream.cli.output import complain
from kws_stream.cli.screen import Around, screen
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.files import replacing
from kws_stream.live import AudioRing, Monitor

if TYPE_CHECKING:
    from kws_stream.audio import MicrophoneSource
    from kws_stream.detector import WakeEvent
    from kws_stream.pipeline import KeywordSpotter, Observation

REFRESH_S = 0.1
SAVED_S = 10.0
_STEP = 0.05
KEYS = "+/- threshold   space pause   s save   q quit   (power: simulated)"


class LiveView:
    """A watcher of the stream; `show` draws and reads keys, between blocks."""

    def __init__(self, spotter: "KeywordSpotter") -> None:
        from rich.console import Console
        from rich.live import Live

        self._spotter = spotter
        self._monitor = Monitor(spotter)
        self._ring = AudioRing(SAVED_S)
        self._console = Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self.unprinted: list[WakeEvent] = []  # what was heard; events are printed at the end
        self.paused = False
        self._status = ""
        self._drawn = 0.0

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        with self._live, single_keys() as self._keys:
            yield

    def on_status(self, message: str) -> None:
        self._status = message
        self._live.update(message, refresh=True)

    def on_text(self, variables: dict[str, str], text: str) -> None:
        """A transcript of what followed a word."""
        self._status = f"{variables['KWS_KEYWORD']}: {text}"

    def reset(self) -> None:
        self._monitor.reset()
        self._ring.reset()

    def hear(self, samples: Any, seen: "Sequence[Observation]") -> None:
        self._monitor.hear(samples, seen)
        self._ring.add(samples)

    def finish(self) -> None:
        """The last picture stays until the end."""

    def spent(self, audio_s: float, work_s: float) -> None:
        self._monitor.spent(audio_s, work_s)

    def show(self, source: "MicrophoneSource") -> bool:
        """Draw if it is time; False when a key says that it is over."""
        now = time.monotonic()
        if now - self._drawn < REFRESH_S:
            return True
        self._drawn = now
        for key in self._keys.pressed():
            if key in "qQ":
                return False
            self._obey(key)
        self._live.update(self._draw(source), refresh=True)
        return True

    def _obey(self, key: str) -> None:
        if key in "+-=_":
            self._move_thresholds(_STEP if key in "+=" else -_STEP)
        elif key == " ":
            self.paused = not self.paused
            self._status = "paused: nothing is heard; space goes on" if self.paused else ""
        elif key in "sS":
            self._save()

    def _move_thresholds(self, by: float) -> None:
        thresholds = self._spotter.thresholds
        moved = {name: min(max(round(x + by, 4), 0.0), 1.0) for name, x in thresholds.items()}
        self._spotter.set_thresholds(moved)
        self._status = f"thresholds {by:+.2f}: {min(moved.values()):.2f}"
        if len(set(moved.values())) > 1:
            self._status += f" to {max(moved.values()):.2f}"

    def _save(self) -> None:
        pcm = self._ring.last(SAVED_S)
        path = Path(f"kws-stream-{datetime.now():%Y%m%d-%H%M%S}.wav")
        try:
            with replacing(path) as file:
                file.write(encoded(to_int16(pcm), "WAV"))
            self._status = f"saved the last {len(pcm) / SAMPLE_RATE_HZ:.1f} s as {path}"
        except OSError as error:
            self._status = f"{path} could not be saved: {error}"

    def _draw(self, source: "MicrophoneSource") -> Any:
        size = self._console.size
        return screen(
            self._monitor.moment(),
            Around(
                device=source.device_name,
                overruns=source.overruns,
                dropped=source.dropped_blocks,
                clipped=source.clipped_samples,
                status=self._status,
                keys=KEYS,
                width=size.width,
                height=size.height,
                plain=self._console.options.ascii_only,
                colour=self._console.color_system is not None and "NO_COLOR" not in os.environ,
            ),
        )


class Lines:
    """Events as lines, as they come."""

    paused = False

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.unprinted: list[WakeEvent] = []

    def shown(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def on_status(self, message: str) -> None:
        complain(message)

    def spent(self, audio_s: float, work_s: float) -> None:
        """Not shown."""

    def show(self, source: "MicrophoneSource") -> bool:
        from kws_stream.cli.output import print_event

        while self.unprinted:
            print_event(self.unprinted.pop(0), source.name, self._as_json)
        return True
