"""Pictures of the page of `kws-stream listen --web`, playing the packaged recording.

    python scripts/make_web_pictures.py [--folder docs/pictures]

Needs the extra web, playwright and Chromium.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Model, colours, width in pixels, and whether something is heard.
PICTURES = {
    "web-start": ("commands-12", "light", 1000, False),
    "web-dark": ("commands-12", "dark", 1000, True),
    "web-yes-4": ("yes-4", "light", 1000, True),
    "web-phone": ("yes-4", "dark", 390, True),
}


def take(model: str, scheme: str, width: int, heard: bool, path: Path, browser: str) -> None:
    command = [sys.executable, "-m", "kws_stream", "listen", "--web", "--port", "0", "-m", model]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        address = process.stderr.readline().split()[-1]
        with sync_playwright() as play:
            window = play.chromium.launch(executable_path=browser, chromium_sandbox=False)
            size = {"width": width, "height": 1000}
            view = window.new_page(color_scheme=scheme, viewport=size)
            view.goto(address)
            view.wait_for_selector(".score")
            if heard:
                view.click("#demo")
                view.wait_for_selector("#events li", timeout=60_000)
                view.wait_for_timeout(9200)  # then a second word is being spoken
            view.wait_for_timeout(500)
            view.screenshot(path=path, full_page=True)
            window.close()
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("docs/pictures"))
    folder = parser.parse_args().folder
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"need a browser, one of {', '.join(BROWSERS)}; install one")
    folder.mkdir(parents=True, exist_ok=True)
    for name, settings in PICTURES.items():
        path = folder / f"{name}.png"
        take(*settings, path, browser)
        print(path)


if __name__ == "__main__":
    main()
