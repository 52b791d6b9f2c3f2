"""The figures of the atlas, as texts of SVG in the colours of the page."""

import io

import matplotlib

matplotlib.use("svg")
INK, SOFT = "#010203", "#8a93a0"  # the first becomes the page's colour of text
matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "aft", "font.size": 9, "font.family": "sans-serif",
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "axes.titleweight": "bold",
    "legend.frameon": False, "legend.fontsize": 8, "figure.facecolor": "none", "axes.facecolor": "none",
    "savefig.facecolor": "none", "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK,
    "ytick.color": INK})
from matplotlib import pyplot, ticker  # noqa: E402

MARKERS = "osD^vP*X<>hpd"
looks = {}  # the colour and the marker of a series, which are the same in every figure
STAGES = ("query", "key_value", "sums", "output", "rest")
STAGE_COLOURS = ("#4c78a8", "#72b7b2", "#f58518", "#54a24b", "#b8b8b8")


class Numbers(ticker.LogFormatter):
    """Plain numbers, as many as have room."""

    def __call__(self, x, pos=None):
        return f"{x:g}" if super().__call__(x, pos) else ""


def svg_of(figure):
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg"):].replace(INK, "currentColor")


def look_of(name):
    i = len(looks)
    return looks.setdefault(name, {"color": pyplot.get_cmap("tab20")((2 * i + i // 10) % 20),
                                   "marker": MARKERS[i % len(MARKERS)]})


def legend_below(axes, columns):
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.5 / axes.figure.get_figheight()), ncols=columns,
                columnspacing=1, handletextpad=0.3)


def roofline(title, points, peak, bandwidth, xlabel, ylabel, marks=None):
    """Points (x, y) of each series, in flop/byte and Gflop/s, below the peak (Gflop/s) and the copy bandwidth (GB/s).
    marks: names of some x."""
    figure, axes = pyplot.subplots(figsize=(5.6, 3.6))
    every_x = [x for each in points.values() for x, _ in each]
    span = [min(every_x) / 1.5, max(every_x) * 1.5]
    if peak and bandwidth:
        span = [min(span[0], peak / bandwidth / 2), max(span[1], peak / bandwidth * 2)]
        steps = [span[0] * (span[1] / span[0]) ** (i / 99) for i in range(100)]
        axes.plot(steps, [min(peak, x * bandwidth) for x in steps], color=SOFT, linewidth=1.4)
        axes.text(peak / bandwidth, peak, f"{peak:.4g} Gflop/s, {bandwidth:.3g} GB/s", va="bottom", fontsize=8)
    for name, each in points.items():
        axes.scatter(*zip(*each), s=24, label=name, **look_of(name))
    axes.set(xscale="log", yscale="log", xlim=span, title=title, xlabel=xlabel, ylabel=ylabel)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(Numbers())
        axis.set_minor_formatter(Numbers(minor_thresholds=(2, 0.5)))
    for x, name in (marks or {}).items():
        axes.axvline(x, color=SOFT, linewidth=0.6, linestyle=":", zorder=0)
        axes.text(x, 0.02, name, rotation=90, ha="right", va="bottom", fontsize=8, color=SOFT,
                  transform=axes.get_xaxis_transform())
    legend_below(axes, 4)
    return svg_of(figure)


def stage_bars(title, rows):
    """The shares of the stages in the time of each row, with its time."""
    figure, axes = pyplot.subplots(figsize=(5, 0.9 + 0.28 * len(rows)))
    names = [row["name"] for row in rows]
    left = [0] * len(rows)
    for stage, colour in zip(STAGES, STAGE_COLOURS):
        widths = [row["stages"][stage] for row in rows]
        axes.barh(names, widths, left=left, color=colour, label=stage, height=0.72)
        left = [a + b for a, b in zip(left, widths)]
    for i, row in enumerate(rows):
        axes.text(101, i, f"{row['cpu_ms']:.3g} ms", va="center", fontsize=8)
    axes.set(title=title, xlim=(0, 100), xlabel="% of the time of a call")
    axes.invert_yaxis()
    legend_below(axes, len(STAGES))
    return svg_of(figure)


def beam_trace(title, rows, by_hand_ms):
    """The cost that each pass of Adams2019 ends with, for each beam; and the least cost beside the measured time."""
    figure, (passes, times) = pyplot.subplots(1, 2, figsize=(6.2, 3.2), width_ratios=(3, 2))
    for i, row in enumerate(rows):
        search = row["search"]
        costs = [each["cost"] for each in search["passes"]]
        look = {"color": pyplot.get_cmap("Set2")(i % 8), "marker": MARKERS[i % len(MARKERS)]}
        passes.plot(range(len(costs)), costs, markersize=5, label=f"beam {search['beam_size']}", **look)
        times.scatter([min(costs)], [row["cpu_ms"]], s=34, **look)
    if by_hand_ms:
        times.axhline(by_hand_ms, color=SOFT, linewidth=1.2)
        times.text(1, by_hand_ms, "packed ", ha="right", va="bottom", fontsize=8, transform=times.get_yaxis_transform())
    longest = max(len(row["search"]["passes"]) for row in rows)
    passes.set(title=title, xlabel="pass", ylabel="predicted cost", xticks=range(longest))
    times.set(title="prediction and time", xlabel="least predicted cost", ylabel="measured [ms]")
    times.set_ylim(bottom=0)
    passes.legend()
    figure.tight_layout()
    return svg_of(figure)


def search_trace(title, trials):
    """The trials of one search of `aft tune`: the ratio of each that was measured, those that failed at the top, and
    the best time so far over that of `packed`."""
    figure, axes = pyplot.subplots(figsize=(5.6, 3.2))
    for outcome, name, colour in (("slower", "not faster", SOFT), ("faster", "faster", "#1f77b4")):
        chosen = [(each["seconds"], each["ratio"]) for each in trials if each["outcome"] == outcome]
        if chosen:
            axes.scatter(*zip(*chosen), s=16, color=colour, label=f"{name}: candidate / incumbent")
    failed = [each["seconds"] for each in trials if each["outcome"] not in ("slower", "faster")]
    if failed:
        axes.scatter(failed, [0.98] * len(failed), s=20, marker="x", color="#d62728", label="wrong or failed",
                     transform=axes.get_xaxis_transform())
    axes.step([0] + [each["seconds"] for each in trials], [1] + [each["best_ratio"] for each in trials], where="post",
              color="#2ca02c", label="best so far / packed")
    axes.axhline(1, color=SOFT, linewidth=0.8)
    axes.set(title=title, xlabel="seconds of the search", ylabel="ratio of times")
    legend_below(axes, 2)
    return svg_of(figure)
