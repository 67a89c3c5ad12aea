"""Pictures of the terminal screen of `kws-stream listen`, as SVG, from the packaged recording.

python scripts/make_screen_pictures.py [--folder docs/pictures]
"""

import argparse
import io
from pathlib import Path

import soundfile
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, MONOKAI

import kws_stream
from kws_stream.cli.live_view import KEYS
from kws_stream.cli.screen import Around, screen
from kws_stream.constants import RECORDING
from kws_stream.live import Hearing, Monitor

SCREENS = {  # name: model, columns, lines, theme
    "listen-80x24": ("commands-12", 80, 24, MONOKAI),
    "listen-80x24-light": ("commands-12", 80, 24, DEFAULT_TERMINAL_THEME),
    "listen-yes-4": ("yes-4", 80, 24, MONOKAI),
    "listen-large": ("commands-12", 132, 44, MONOKAI),
}


def moment_of(model: str, events: int = 3):
    """What is to be seen just after the recording's first few events."""
    pcm, _ = soundfile.read(RECORDING, dtype="float32")
    spotter = kws_stream.KeywordSpotter(model)
    monitor = Monitor(spotter)
    hearing = Hearing(spotter, [monitor])
    heard = 0
    for at in range(0, len(pcm), 320):
        if at % 1600 == 0:
            monitor.moment()
        heard += len(hearing.hear(pcm[at : at + 320]))
        if heard >= events:
            break
    monitor.spent(1.0, 0.004)  # a picture shows no figure that differs from run to run
    return monitor.moment()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("docs/pictures"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, (model, width, height, theme) in SCREENS.items():
        console = Console(
            record=True,
            width=width,
            height=height,
            file=io.StringIO(),
            color_system="truecolor",
            force_terminal=True,
        )
        around = Around("a microphone", width=width, height=height, keys=KEYS)
        console.print(screen(moment_of(model), around))
        path = folder / f"{name}.svg"
        console.save_svg(str(path), title="kws-stream listen", theme=theme, unique_id=name)
        print(path)


if __name__ == "__main__":
    main()
