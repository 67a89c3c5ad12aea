"""A wake word plugin for OpenVoiceOS (extra: ovos), found by its entry point.

In mycroft.conf:

    "hotwords": {"stop": {"module": "kws-stream-ovos", "model": "commands-12", "threshold": 0.8}}

The word is the name of the hotword, or `keyword` where that is given; case makes no difference, and
spaces, hyphens and underscores stand for one another.
"""

from typing import Any

import numpy as np

from kws_stream.errors import MissingExtraError, ParameterError
from kws_stream.names import known_name
from kws_stream.pipeline import KeywordSpotter, need_speech_rate

try:
    from ovos_plugin_manager.templates.hotwords import HotWordEngine
except ImportError as error:
    raise MissingExtraError(
        "need the package ovos-plugin-manager for this, got none; "
        "install it with: pip install 'kws-stream[ovos]'"
    ) from error


class KwsStreamHotWord(HotWordEngine):  # type: ignore[misc,unused-ignore]
    """One keyword of a model, in 16-bit mono audio at 16 kHz."""

    def __init__(self, key_phrase: str = "yes", config: dict[str, Any] | None = None) -> None:
        """config: model, keyword and threshold, each optional.

        Raises PackError for an unknown model, ParameterError for a word that it does not have.
        """
        super().__init__(key_phrase, config)
        settings = self.config
        self._spotter = KeywordSpotter(settings.get("model", "commands-12"))
        need_speech_rate(self._spotter, "hotword")
        asked = str(settings.get("keyword", self.key_phrase))
        self._keyword = known_name(asked, self._spotter.thresholds)
        if self._keyword not in self._spotter.thresholds:
            raise ParameterError(
                f"hotword: need a keyword of {self._spotter.pack.name} "
                f"({', '.join(self._spotter.thresholds)}), got {asked!r}; set `keyword`"
            )
        if settings.get("threshold") is not None:
            self._spotter.set_thresholds({self._keyword: float(settings["threshold"])})
        self._found = False
        self._rest = b""

    def update(self, chunk: bytes) -> None:
        """The next bytes of audio, of any length."""
        data = self._rest + chunk
        whole = len(data) - len(data) % 2
        self._rest = data[whole:]
        events = self._spotter.process(np.frombuffer(data[:whole], "<i2").astype(np.int16))
        self._found |= any(event.keyword == self._keyword for event in events)

    def found_wake_word(self) -> bool:
        """Whether the word came since this was asked last."""
        found, self._found = self._found, False
        return found

    def reset(self) -> None:
        """A new stream begins."""
        self._spotter.reset()
        self._found, self._rest = False, b""
