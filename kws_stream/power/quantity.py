"""Powers and energies as text."""

import math

_PREFIXES = ("n", "u", "m", "")


def format_quantity(nano: float | None, unit: str) -> str:
    """Three significant digits, with the prefix n, u or m: "82.6 nW"; "unknown" for None."""
    if nano is None:
        return "unknown"
    if nano == 0:
        return f"0 n{unit}"
    digits = 2 - math.floor(math.log10(abs(nano)))
    nano = round(nano, digits)  # first, so that 999.9 becomes 1.00 of the next prefix
    prefix = min(max(math.floor(math.log10(abs(nano)) / 3), 0), len(_PREFIXES) - 1)
    scaled = nano / 1000**prefix
    decimals = max(2 - math.floor(math.log10(abs(scaled))), 0)
    return f"{scaled:.{decimals}f} {_PREFIXES[prefix]}{unit}"
