"""`--report` of `detect` and `listen`: a page about what was heard."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws_stream.cli.files import check_file, write_file
from kws_stream.cli.output import complain

if TYPE_CHECKING:
    from kws_stream.evaluation.report.session import SessionLog
    from kws_stream.live import PowerMeter

report_option = click.option(
    "--report",
    metavar="FILE.html",
    callback=check_file,
    help="Write a page about what was heard and its power (extra: report).",
)


def write_report(file: str, log: "SessionLog", meter: "PowerMeter") -> None:
    """The page of a session, all of the file or nothing of it."""
    from kws_stream.cli.evaluate import typed
    from kws_stream.evaluation.report.session import render_session

    command = typed(click.get_current_context())
    write_file(Path(file), render_session(log, meter.spotter, meter.report(), command))
    complain(f"wrote {click.format_filename(file)}")


def make_log(file: str, meter: "PowerMeter") -> "SessionLog":
    """What gathers the session; refuses, before the work, a page that cannot be made."""
    from kws_stream.cli.evaluate import check_report
    from kws_stream.evaluation.report.session import SessionLog

    check_report(file)
    return SessionLog(meter.spotter)
