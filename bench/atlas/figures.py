"""The figures of the atlas, as texts of SVG."""

import io
import math

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
                            "axes.spines.right": False, "svg.hashsalt": "aft"})
from matplotlib import pyplot  # noqa: E402

FLOAT = 4  # bytes
MARKERS = "osD^vP*X<>hpd"


def svg_of(figure):
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg"):]


def least_bytes(row):
    """Bytes that a call moves at least: x, y, every weight and every bias once, in float32. None for other operations
    than whole layers and projections: their operands aren't in the row."""
    shape = row["shape"]
    batch, rows, hidden, projected = shape["batch"], shape["seq"], shape["hidden"], shape["projected"]
    band = rows * min(2 * (shape["window"] or 0) - 1, rows)
    biases = {"dense": rows * rows, "exact": band if shape["window"] else rows * rows, "banded": band, "softmax": 0}
    if row["operation"] == "forward" and row["algorithm"] in biases and not shape["variant"]:
        return FLOAT * (2 * batch * rows * hidden + 4 * hidden * projected + biases[row["algorithm"]])
    if row["operation"] == "linear":
        return FLOAT * (batch * rows * (hidden + projected) + hidden * projected)
    return None


def intensity(row):
    """Floating-point operations of the work floor for each byte that must move; None where unknown."""
    moved = least_bytes(row)
    if not moved or not row["gflops"] or not row["median_ms"]:
        return None
    return row["gflops"] * row["median_ms"] * 1e6 / moved


def roofline(title, rows, peak, bandwidth):
    """The speed of kernels over their intensity, below the peak (Gflop/s) and the copy bandwidth (GB/s) of the device.
    None without a kernel whose intensity is known."""
    points = {}
    for row in rows:
        if (x := intensity(row)) is not None:
            points.setdefault(row["entry"], []).append((x, row["gflops"]))
    if not points:
        return None
    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    every_x = [x for each in points.values() for x, _ in each]
    span = [min(every_x) / 2, max(every_x) * 2]
    if peak and bandwidth:
        span = [min(span[0], peak / bandwidth / 4), max(span[1], peak / bandwidth * 4)]
        steps = [span[0] * (span[1] / span[0]) ** (i / 99) for i in range(100)]
        axes.plot(steps, [min(peak, x * bandwidth) for x in steps], color="#888", linewidth=1.2)
    colours = pyplot.get_cmap("tab20")
    for i, (entry, each) in enumerate(sorted(points.items())):
        axes.scatter(*zip(*each), s=22, marker=MARKERS[i % len(MARKERS)], color=colours(i % 20), label=entry)
    axes.set(xscale="log", yscale="log", xlim=span, title=title, xlabel="work floor / least bytes moved [flop/byte]",
             ylabel="work floor / median time [Gflop/s]")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return svg_of(figure)


def heat_map(title, cells, kernels, shapes):
    """Time over that of the fastest kernel at the shape: cells[kernel, shape], empty where it has no value."""
    values = [[cells.get((kernel, shape), math.nan) for shape in shapes] for kernel in kernels]
    figure, axes = pyplot.subplots(figsize=(1.5 + 0.95 * len(shapes), 1 + 0.27 * len(kernels)))
    norm = matplotlib.colors.LogNorm(vmin=1, vmax=30, clip=True)
    axes.imshow(values, aspect="auto", cmap="YlOrRd", norm=norm)
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            if not math.isnan(value):
                axes.text(j, i, f"{value:.2f}" if value < 10 else f"{value:.0f}", ha="center", va="center", fontsize=7,
                          color="white" if value > 8 else "black")
    axes.set_xticks(range(len(shapes)), shapes, rotation=30, ha="right")
    axes.set_yticks(range(len(kernels)), kernels)
    axes.set_title(title)
    return svg_of(figure)


def best_so_far(trials):
    """After each trial of a search: the time of the best candidate over that of `packed`. It is the product of the
    ratios from `packed` to the candidate; a descent from a random start has none."""
    ratios, best = {"packed": 1.0}, []
    for trial in trials:
        if trial["faster"] and trial["incumbent"] in ratios:
            ratios[trial["candidate"]] = ratios[trial["incumbent"]] * trial["ratio"]
        best.append(min(ratios.values()))
    return best


def search_trace(title, trials):
    """The ratios of the trials of one search in their order, those of candidates that were faster, and the best time so
    far."""
    figure, axes = pyplot.subplots(figsize=(7, 3))
    numbers = range(1, len(trials) + 1)
    for taken, colour, label in ((False, "#999", "not faster"), (True, "#1f77b4", "faster")):
        chosen = [(n, t["ratio"]) for n, t in zip(numbers, trials) if t["faster"] == taken and t["ratio"] > 0]
        if chosen:
            axes.scatter(*zip(*chosen), s=16, color=colour, label=label)
    axes.step(numbers, best_so_far(trials), where="post", color="#d62728", label="best so far / packed")
    axes.axhline(1, color="#ccc", linewidth=0.8)
    axes.set(title=title, xlabel="trial", ylabel="candidate / incumbent")
    axes.legend(fontsize=7, frameon=False)
    return svg_of(figure)
