"""A picture of an HTML page, or of a part of it, for the documents; needs Chromium.

python scripts/picture_page.py page.html docs/pictures/page.png --top 0 --height 1400 --dark
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import click

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@click.command()
@click.argument("page", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("picture", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--width", type=click.IntRange(200), default=1000, show_default=True)
@click.option("--top", type=click.IntRange(0), default=0, help="First row of the page to show.")
@click.option("--height", type=click.IntRange(1), default=1400, show_default=True)
@click.option("--dark", is_flag=True, help="As on a dark screen.")
def main(page: Path, picture: Path, width: int, top: int, height: int, dark: bool) -> None:
    """Write PICTURE (PNG) of PAGE; lengths in pixels."""
    from matplotlib.image import imread, imsave

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise click.ClickException(f"need a browser, one of {', '.join(BROWSERS)}; install one")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.png"
        subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                f"--window-size={width},{top + height}",
                f"--screenshot={whole}",
                page.resolve().as_uri(),
            ],
            check=True,
            capture_output=True,
        )
        picture.parent.mkdir(parents=True, exist_ok=True)
        imsave(picture, imread(whole)[top : top + height])


if __name__ == "__main__":
    main()
