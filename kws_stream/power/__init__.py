"""Power: from the activity of a network to nanowatts, and the report of core, chip and system.

`kws_stream.cli.power_table.render` turns a report into a table for a terminal.
"""

from kws_stream.power.activity import Activity, estimate
from kws_stream.power.by_activity import ActivityPower, ByActivity
from kws_stream.power.formulas import PowerEstimate
from kws_stream.power.report import PowerReport, VerifierWork, report

__all__ = [
    "Activity",
    "ActivityPower",
    "ByActivity",
    "PowerEstimate",
    "PowerReport",
    "VerifierWork",
    "estimate",
    "report",
]
