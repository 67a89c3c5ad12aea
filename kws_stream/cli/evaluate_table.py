"""The table that `kws-stream evaluate` prints."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kws_stream.evaluation import Result


def table(result: "Result") -> str:
    """The figures in 80 columns: totals, then clips of each class (rows) by what they were called.

    Counts above 9999 take a column more each.
    """
    low, high = result.interval
    half = f", {result.half} half" if result.half else ""
    headline, _ = result.headline
    split = "the official test set" if result.split == "all" else f"split {result.split}"
    lines = [
        f"{result.model} on task {result.task}, {split}{half}: {result.clips} clips, "
        f"seed {result.seed}" + (", nothing reset" if result.carry else ""),
        "",
        f"{'accuracy':<20}{_percent(result.accuracy)} %   "
        f"95 % interval {_percent(low).strip()} to {_percent(high).strip()} %",
        f"{'balanced accuracy':<20}{_percent(result.balanced_accuracy)} %"
        + ("   (the figure of this task)" if headline == "balanced_accuracy" else ""),
    ]
    if result.eight_words is not None:
        lines.append(
            f"{'eight words':<20}{_percent(result.eight_words)} %   "
            "clips of yes no up down left right stop go"
        )
    power = result.core_power_nw
    lines.append(
        f"{'core power':<20}{power['mean']:6.1f} nW   "
        f"clips from {power['min']:.1f} to {power['max']:.1f} nW"
    )
    if result.accuracy_by_snr is not None:
        lines += ["", *_by_snr(result)]
    if result.same_when_streamed is not None:
        lines.append(
            f"{'10 ms at a time':<20}{result.same_when_streamed} of {result.clips} clips have "
            "the same score in every bit"
        )
    matrix = _confusion if len(result.classes) <= 12 else _classes
    return "\n".join([*lines, "", *matrix(result), *(f"Note: {n}" for n in result.notes)])


def _percent(share: float | None) -> str:
    return "     -" if share is None else f"{100 * share:6.2f}"


def _confusion(result: "Result") -> list[str]:
    longest = max(map(len, result.classes))
    letters = max(4, min(longest, 58 // len(result.classes) - 1))
    width = max(letters, *(len(str(count)) for row in result.confusion for count in row)) + 1
    # names that are wider than their columns take turns on two lines or more
    turns = -(-(longest + 1) // width)
    lines = []
    for turn in range(turns):
        line = "called" if turn == turns - 1 else ""
        for column in range(turn, len(result.classes), turns):
            line = line.ljust(9)
            line += f"{result.classes[column]:>{9 + width * (column + 1) - len(line)}}"
        lines.append(line)
    lines[-1] = f"{lines[-1]:<{9 + width * len(result.classes)}}  recall"
    for name, counts in zip(result.classes, result.confusion, strict=True):
        cells = "".join(f"{count or '.':>{width}}" for count in counts)
        lines.append(f"{name:<9}{cells}  {_percent(result.per_class_recall[name])}")
    shares = (result.per_class_precision[name] for name in result.classes)
    cells = "".join(f"{'-' if s is None else f'{100 * s:.0f}':>{width}}" for s in shares)
    explained = "rows: the class of the clips; columns: what the model called them"
    return [*lines, f"{'precision':<9}{cells}  in %", explained]


def _by_snr(result: "Result") -> list[str]:
    """Columns: without noise, and each ratio."""
    by_snr = {"accuracy": result.accuracy_by_snr, "balanced": result.balanced_accuracy_by_snr}
    ratios = list(result.accuracy_by_snr or {})
    titles = "".join(f"{n if n == 'clean' else f'{n} dB':>9}" for n in ratios)
    lines = [f"{'in noise, at an SNR of':<24}{titles}"]
    for name, shares in by_snr.items():
        cells = "".join(f"{_percent(shares[ratio]):>9}" for ratio in ratios) if shares else ""
        lines.append(f"{name + ' in %':<24}{cells}")
    return lines


def _classes(result: "Result") -> list[str]:
    """A row a class, for more classes than a matrix has room for."""
    lines = [f"{'class':<12}{'clips':>6}{'recall':>9}{'precision':>11}   most often called instead"]
    for row, name in enumerate(result.classes):
        counts = result.confusion[row]
        wrong = sorted((-n, i) for i, n in enumerate(counts) if n and i != row)[:3]
        instead = ", ".join(f"{result.classes[i]} {-n}" for n, i in wrong)
        recall, precision = result.per_class_recall[name], result.per_class_precision[name]
        lines.append(
            f"{name:<12}{sum(counts):>6}{_percent(recall):>9}{_percent(precision):>11}   {instead}"
        )
    return [line.rstrip() for line in lines]
