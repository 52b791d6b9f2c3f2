"""The results of compare.py as a table and charts."""

NAMES = {"full": "AFTFull", "simple": "AFTSimple", "local": "AFTLocal", "causal_full": "causal AFTFull",
         "causal_simple": "causal AFTSimple", "causal_local": "causal AFTLocal", "conv": "causal AFT-conv",
         "wkv": "wkv", "given": "the mean of AFTFull with a given bias",
         "kept": "AFTFull with a given bias and kept sources"}


def name_of(layer):
    kind, _, form = layer.rpartition(" ")
    return f"A step of {kind}, {NAMES[form]}" if kind else NAMES[form]


def shape_text(shape):
    return ", ".join(str(extent) for extent in shape.values() if extent is not None)


def unique(values):
    return list(dict.fromkeys(values))


def interval(row):
    return "" if row["ratio_low"] is None else f"[{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"


def summary(result):
    """How often we are ahead, even, behind; then each comparison in which we aren't ahead."""
    rows = result["comparisons"]
    counts = ", ".join(f"{name} in {sum(row['verdict'] == name for row in rows)}"
                       for name in ("ahead", "even", "behind"))
    machine = result["machine"]
    text = f"We are {counts} of {len(rows)} comparisons{storage_text(machine)}{neighbours(machine)}.\n"
    for row in (row for name in ("behind", "even") for row in rows if row["verdict"] == name):
        text += (f"- {row['verdict']}: {row['peer']}, {name_of(row['layer'])} {shape_text(row['shape'])}, "
                 f"{threads_text(row['threads'])}: {row['ratio']:.3f} {interval(row)}, {row['turns']} turns"
                 + (f", after {row['lost_ratio']:.3f} at first" if row["lost_ratio"] else "") + "\n")
    return text


def storage_text(machine):
    return " in bfloat16" if machine["storage"] == "bfloat16" else ""


def neighbours(machine):
    count = machine["busy"]
    return f", beside {count} core{'s' * (count > 1)} kept busy" if count else ""


def threads_text(count):
    return f"{count} thread{'s' * (count > 1)}"


def error_text(error, tolerances=0):
    return f", error {100 * error:.2g} %" + (f", {tolerances:.2g} times the tolerance" if tolerances > 1 else "")


def cell(rows, reasons, peer, shape, shows_error):
    row = next((row for row in rows if row["peer"] == peer and shape_text(row["shape"]) == shape), None)
    if row is None:
        return f"– ({reasons[peer, shape]})" if (peer, shape) in reasons else "–"
    ratio = f"**{row['ratio']:.2f}**" if row["verdict"] == "behind" else f"{row['ratio']:.2f}"
    memory = f", {row['peer_peak_bytes'] / 2**20:.3g} MiB" if row["peer_peak_bytes"] else ""
    error = error_text(row["peer_error"], row["peer_tolerances"]) if shows_error else ""
    return f"{ratio} {interval(row)}{' even' * (row['verdict'] == 'even')}{error}{memory}"


def markdown(result):
    machine, notes = result["machine"], []
    shows_error = machine["storage"] == "bfloat16"
    text = (f"{machine['cpu']} ({machine['isa']}, {machine['cores']} cores), {machine['os']}, {machine['date']}; "
            + ", ".join(f"{name} {version or 'missing'}" for name, version in machine["versions"].items())
            + ".\n\nHow many times as long as ours a peer takes: the median over the turns, and its interval at a "
            f"level of {100 * machine['level']:g} %. We are behind where it's **bold**; \"even\" isn't told apart. "
            "The MiB of a step are the most that PyTorch's tensors hold at a time, with the scratch of the kernels."
            + (" All multiply bfloat16 and add in float32. An error is the largest, of y or of a step's gradient, "
               "relative to the largest value." if shows_error else "")
            + "\n\n" + summary(result))
    for layer, threads in unique((row["layer"], row["threads"]) for row in result["comparisons"]):
        rows = [row for row in result["comparisons"] if (row["layer"], row["threads"]) == (layer, threads)]
        reasons = {}
        for skip in result["skipped"]:
            if (skip["layer"], skip["threads"]) == (layer, threads):
                if skip["reason"] not in notes:
                    notes.append(skip["reason"])
                reasons[skip["peer"], shape_text(skip["shape"])] = notes.index(skip["reason"]) + 1
        shapes = unique(shape_text(row["shape"]) for row in rows)
        ours = {shape_text(row["shape"]): f"{row['ours_median_ms']:.4g} ms"
                + (error_text(row["ours_error"]) if shows_error else "") for row in rows}
        text += f"\n## {name_of(layer)}{storage_text(machine)}, {threads_text(threads)}{neighbours(machine)}\n\n"
        text += f"| peer | {' | '.join(shapes)} |\n|{'---|' * (len(shapes) + 1)}\n"
        text += f"| aft | {' | '.join(ours[shape] for shape in shapes)} |\n"
        for peer in unique([row["peer"] for row in rows] + [peer for peer, _ in reasons]):
            text += f"| {peer} | {' | '.join(cell(rows, reasons, peer, shape, shows_error) for shape in shapes)} |\n"
    text += "".join(f"\n({i + 1}) {note}\n" for i, note in enumerate(notes))
    return text


def chart(layer, rows, machine, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    threads = sorted({row["threads"] for row in rows})
    shapes, peers = unique(shape_text(row["shape"]) for row in rows), unique(row["peer"] for row in rows)
    libraries, forms = (unique(peer.partition(", ")[i] for peer in peers) for i in (0, 2))
    lowest, highest = min(0.8, *(row["ratio"] for row in rows)), max(1.25, *(row["ratio"] for row in rows))
    figure, panels = plt.subplots(1, len(threads), sharey=True, squeeze=False, layout="constrained",
                                  figsize=(4.5 + 4.5 * len(threads), 1 + 0.5 * max(len(shapes), len(peers) / 2)))
    for panel, count in zip(panels[0], threads):
        panel.axvspan(lowest / 2, 1, color="0.92")  # where we lose
        for peer in peers:
            library, _, form = peer.partition(", ")
            of_peer = [row for row in rows if row["peer"] == peer and row["threads"] == count]
            panel.plot([row["ratio"] for row in of_peer], [shapes.index(shape_text(row["shape"])) for row in of_peer],
                       "osD^vPX"[forms.index(form) % 7], color=f"C{libraries.index(library)}", label=peer, alpha=0.8)
        panel.set(xscale="log", title=threads_text(count), xlabel="time of the peer / ours",
                  xlim=(lowest / 1.05, highest * 1.05))
        ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100) if lowest <= tick <= highest]
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.set_xticks([], minor=True)
        panel.set_yticks(range(len(shapes)), shapes)
        panel.grid(axis="x", alpha=0.4)
    panels[0][0].invert_yaxis()
    figure.suptitle(name_of(layer) + storage_text(machine) + neighbours(machine))
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize="small")
    figure.savefig(path)
    plt.close(figure)


def write(result, folder):
    text = markdown(result)
    (folder / "peers.md").write_text(text, encoding="utf-8")
    print("\n" + text)
    for layer in unique(row["layer"] for row in result["comparisons"]):
        path = folder / f"peers-{layer.replace(' ', '-')}.svg"
        try:
            rows = [row for row in result["comparisons"] if row["layer"] == layer]
            chart(layer, rows, result["machine"], path)
        except ImportError as error:
            print(f"no {path}: {error}")
