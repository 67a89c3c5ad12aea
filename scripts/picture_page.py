"""A picture of an HTML page of ours, or of some of its sections, for the documents; needs Chromium.

python scripts/picture_page.py page.html docs/pictures/page.png
python scripts/picture_page.py page.html errors.png --part worst-errors --height 815 --dark
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import click

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def picture(
    page: Path, out: Path, *, parts: tuple[str, ...] = (), dark: bool = False, height: int = 0
) -> None:
    """Write `out` (PNG, 1000 pixels wide) of a page, or of the sections with these ids alone.

    height in pixels; 0: up to the last row that is not empty. ClickException without a browser or
    where the page has no such section.
    """
    from matplotlib.image import imread, imsave

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise click.ClickException(f"need a browser, one of {', '.join(BROWSERS)}; install one")
    html = page.read_text("utf-8")
    for part in parts:
        if f"<section id='{part}'>" not in html:
            raise click.ClickException(f"need a section of {page}, got {part!r}")
    if parts:
        shown = "".join(f":not([id='{part}'])" for part in parts)
        html = html.replace(
            "</head>", f"<style>header,footer,section{shown}{{display:none}}</style></head>"
        )
    with tempfile.TemporaryDirectory() as folder:
        copy, whole = Path(folder) / "page.html", Path(folder) / "whole.png"
        copy.write_text(html, "utf-8")
        subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                f"--window-size=1000,{height or 8000}",
                f"--screenshot={whole}",
                copy.as_uri(),
            ],
            check=True,
            capture_output=True,
        )
        pixels = imread(whole)
    if not height:
        last = int((pixels != pixels[-1, 0]).any(axis=(1, 2)).nonzero()[0].max())
        pixels = pixels[: last + 20]
    out.parent.mkdir(parents=True, exist_ok=True)
    imsave(out, pixels)


@click.command()
@click.argument("page", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--part", "parts", multiple=True, help="Id of a section to show; repeatable.")
@click.option("--height", type=click.IntRange(0), default=0, help="Rows to show; 0: all.")
@click.option("--dark", is_flag=True, help="As on a dark screen.")
def main(page: Path, out: Path, parts: tuple[str, ...], height: int, dark: bool) -> None:
    """Write OUT (PNG) of PAGE; lengths in pixels."""
    picture(page, out, parts=parts, height=height, dark=dark)


if __name__ == "__main__":
    main()
