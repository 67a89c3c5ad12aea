"""One self-contained HTML page about a run over clips, over a stream, or both.

Needs Matplotlib (extra `report`). The same run gives the same file, byte for byte.
"""

from kws_stream import __version__, packs
from kws_stream.evaluation.recordings import RecordingsResult
from kws_stream.evaluation.report.clip_part import clip_sections, clip_tiles
from kws_stream.evaluation.report.html import Section, page, paragraph, text, tiles
from kws_stream.evaluation.report.stream_part import stream_sections, stream_tiles
from kws_stream.evaluation.report.worst import worst_section
from kws_stream.evaluation.running import ClipRun
from kws_stream.plots import check_matplotlib

STREAM_WANTED = (
    "Not measured: false accepts per hour and latency need a long recording with labels; give one "
    "with --stream."
)


def render(
    pack: packs.Pack, clips: ClipRun | None, stream: RecordingsResult | None, command: str = ""
) -> str:
    """The page as HTML. command: what a reader would type to get it again.

    Raises MissingExtraError without Matplotlib.
    """
    check_matplotlib("a report")
    sections = [Section("Summary", _summary(clips, stream))]
    if clips is not None:
        sections += clip_sections(clips)
    if stream is not None:
        sections += stream_sections(stream)
    else:
        sections.append(Section("In a stream", paragraph(STREAM_WANTED)))
    if clips is not None:
        sections.append(worst_section(clips))
    footer = f"<p>kws-stream {__version__}, model {text(pack.name)} {text(pack.version)}, "
    footer += f"classes {text(', '.join(pack.classes))}.</p>"
    if command:
        footer += f"<p><code>{text(command)}</code></p>"
    return page(f"{pack.name}: evaluation", _subtitle(clips, stream), sections, footer)


def _subtitle(clips: ClipRun | None, stream: RecordingsResult | None) -> str:
    parts = []
    if clips is not None:
        result = clips.result
        split = "official test set" if result.split == "all" else f"{result.split} split"
        parts.append(f"task {result.task}, {split}, {result.clips:,} clips, seed {result.seed}")
        if result.carry:
            parts.append("nothing reset between clips")
    if stream is not None:
        parts.append(f"{stream.hours:.2f} hours of recordings")
    return "; ".join(parts)


def _summary(clips: ClipRun | None, stream: RecordingsResult | None) -> str:
    shown = ""
    if clips is not None:
        shown += tiles(clip_tiles(clips.result))
    if stream is not None:
        heading = "<h3>In a stream, at the model's thresholds</h3>" if clips is not None else ""
        shown += heading + tiles(stream_tiles(stream))
    notes = [note for part in (clips and clips.result, stream) if part for note in part.notes]
    notes += stream.channel_notes if stream else ()
    return shown + "".join(paragraph(f"Note: {note}.") for note in notes)
