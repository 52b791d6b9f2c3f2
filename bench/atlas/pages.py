"""The bodies of the atlas's pages, as parts of HTML."""

import math

import figures
import generated
from markup import cards, e, figure, heat_table, shade, table
from reports import intensity, machine_name, shape_name, title_of

LONG = 30  # times the fastest kernel's time: the strongest colour
FUNCS = 3  # of a schedule, in the table of what a beam found
XLABEL = "work floor / least bytes moved [flop/byte]"


def grouped(rows, key):
    groups = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def timed(report, device=None):
    return [row for row in report["kernels"]
            if row["correct"] and row["median_ms"] and device in (None, row["device_id"])]


def entries_of(group, linked):
    kernels = {row["entry"]: row["kernel"] for row in group}
    return [(entry, f"kernels.html#{kernel}" if kernel in linked else None) for entry, kernel in kernels.items()]


# ---- machines

def machines(reports, linked):
    yield table(("", "machine", "date", "multiply-add peak", "copy bandwidth", "command"), [
        (i, machine_name(report), machine.get("date", ""), with_unit(machine.get("fma_peak_gflops"), "Gflop/s"),
         with_unit(machine.get("copy_gbytes_per_second"), "GB/s"), machine["command"])
        for i, (_, report) in enumerate(reports, 1) for machine in [report["machine"]]])
    yield ("<h2>Percent of the peak</h2><p class='soft'>By kernel and shape, of the multiply-add peak that was "
           "measured beside the kernel; the number at the head of a column is the machine's. An empty cell wasn't "
           "measured, or too few rounds were without other load.</p>")
    yield cards(percents([(i, row) for i, (_, report) in enumerate(reports, 1) for row in report["kernels"]
                          if row["correct"] and row["percent_of_peak"] is not None], linked))


def with_unit(value, unit):
    return f"{value:.3g} {unit}" if value else ""


def percents(rows, linked):
    """One table for each operation and layer; rows are (number of a machine, row of its report)."""
    for title, group in grouped(rows, lambda each: title_of(each[1])).items():
        shapes = grouped(group, lambda each: shape_name(each[1]))
        columns = [(shape, i) for shape, each in shapes.items() for i in sorted({i for i, _ in each})]
        heads = [[(shape, sum(1 for name, _ in columns if name == shape)) for shape in shapes],
                 [(i, 1) for _, i in columns]]
        cells = {(row["entry"], columns.index((shape_name(row), i))):
                 (f"{row['percent_of_peak']:.0f}", shade(row["percent_of_peak"] / 100, "good")) for i, row in group}
        yield heat_table(title, heads, cells, entries_of([row for _, row in group], linked))


# ---- a report

def rooflines(device, ceilings, rows):
    points = {}
    for row in rows:
        if (x := intensity(row)) is not None:
            points.setdefault(title_of(row), {}).setdefault(row["entry"], []).append((x, row["gflops"]))
    if points:
        yield (f"<h2>Rooflines of {e(device)}</h2><p class='soft'>The speed of a kernel at each shape over its "
               "intensity: the work floor over the bytes of operands, weights, biases of positions and result, each "
               "once, in float32. Those of core and scan are without biases.</p>")
        yield cards(figure(figures.roofline(title, series, ceilings["fma_peak_gflops"],
                                            ceilings["copy_gbytes_per_second"], XLABEL,
                                            "work floor / median time [Gflop/s]"))
                    for title, series in points.items())


def heat_maps(rows, linked):
    """One for each operation and layer with more than one kernel."""
    for title, group in grouped(rows, title_of).items():
        kernels, shapes = entries_of(group, linked), list(dict.fromkeys(map(shape_name, group)))
        if len(kernels) < 2:
            continue
        best = {shape: min(row["median_ms"] for row in group if shape_name(row) == shape) for shape in shapes}
        cells = {}
        for row in group:
            times = row["median_ms"] / best[shape_name(row)]
            cells[row["entry"], shapes.index(shape_name(row))] = (
                f"{times:.2f}" if times < 10 else f"{times:.0f}", shade(math.log(times) / math.log(LONG), "hot"))
        yield heat_table(title, [[(shape, 1) for shape in shapes]], cells, kernels)


def layer_at_shape(rows):
    return rows[0]["layer"] + "".join(f" {letter}{extent}" for letter, extent
                                      in zip("BTHPs", rows[0]["shape"].split(",")))


def stages(report):
    """The products of whole layers, schedule by schedule."""
    if not report["stages"]:
        return
    one_thread = report["machine"].get("fma_peak_gflops_one_thread")
    bandwidth = report["machine"]["copy_gbytes_per_second"] if report["machine"]["threads"] == 1 else None
    yield ("<h2>Stages of whole layers</h2><p class='soft'>Least CPU time of a call on one thread, and the share of "
           "each stage in it by Halide's profiler. The stages are the products of the layer; <em>rest</em> is all "
           "between them. The intensity of a stage is its work over the bytes of its operands and its result, as if "
           "they came from memory.</p>")
    for layer, rows in grouped(report["stages"], lambda row: row["layer"]).items():
        shape = layer_at_shape(rows)
        points, marks = {}, {}
        for stage, floor in rows[0]["floors"].items():
            x = floor["flop"] / floor["bytes"]
            marks[x] = f"{marks[x]}, {stage}" if x in marks else stage
            for row in rows:
                if milliseconds := row["stages"][stage] / 100 * row["cpu_ms"]:
                    points.setdefault(row["name"], []).append((x, floor["flop"] / milliseconds / 1e6))
        yield cards([figure(figures.stage_bars(shape, rows)),
                     figure(figures.roofline(f"{shape}: products", points, one_thread, bandwidth,
                                             "work / bytes of operands and result [flop/byte]",
                                             "work / time [Gflop/s]", marks))])


def beams(report):
    """The searches of Adams2019, and the stages of the schedules that they found."""
    # Costs at other estimates don't compare.
    rows = [row for row in report["stages"] if row["search"] and not row["name"].endswith("_changed")]
    if not rows:
        return
    yield ("<h2>Beams of Adams2019</h2><p class='soft'>The cost that the autoscheduler predicts for the best schedule "
           "of each pass, and the CPU time of the schedule that it took. The tables have the Funcs that take most of "
           "the time, how often each point of them is computed, and how much of it is computed without vectors.</p>")
    packed = {row["layer"]: row["cpu_ms"] for row in report["stages"] if row["name"] == "packed"}
    for layer, each in grouped(rows, lambda row: row["layer"]).items():
        each = sorted(each, key=lambda row: row["search"]["beam_size"])
        yield cards([figure(figures.beam_trace(layer_at_shape(each), each, packed.get(layer))),
                     table(("beam", "states", "search, CPU s", "least cost", "CPU ms", "Func", "% of time",
                            "times computed", "% without vectors"), [line for row in each for line in found(row)])])


def found(row):
    search = row["search"]
    head = (search["beam_size"], search["evaluated"], search["cpu_seconds"],
            min(each["cost"] for each in search["passes"]), f"{row['cpu_ms']:.3g}")
    for func, percent in sorted(row["funcs"].items(), key=lambda item: -item[1])[:FUNCS]:
        # An update is where the work is.
        stage = search["stages"].get(f"{func}.update(0)") or search["stages"].get(func)
        yield (*head, func, percent, *((stage["times_computed"], stage["percent_scalar"]) if stage else ("", "")))
        head = ("",) * len(head)


def one_report(path, report, linked):
    machine = report["machine"]
    yield (f"<p class='soft'>{e(path)}: {e(machine['date'])}, {e(machine['os'])}, {e(machine['compiler'])}, Halide "
           f"{e(machine['halide'])}. <code>{e(machine['command'])}</code></p>")
    if wrong := [row for row in report["kernels"] if not row["correct"]]:
        yield "<h2>Wrong or failed</h2>" + table(
            ("kernel", "shape", "why"), [(row["kernel"], shape_name(row), row["failure"]) for row in wrong])
    for device in report["devices"]:
        yield from rooflines(device["id"], machine if device["api"] == "cpu" else device, timed(report, device["id"]))
    yield from stages(report)
    yield from beams(report)
    for device in report["devices"]:
        yield (f"<h2>Kernels by shapes on {e(device['id'])}</h2><p class='soft'>Median time over that of the fastest "
               "kernel at the shape.</p>")
        yield cards(heat_maps(timed(report, device["id"]), linked))


# ---- the build

def described(build, reports):
    """Rows, schedule and loop nest of each kernel of the reports of which the build tree has one of the two."""
    result = {}
    rows = [(report, row) for _, report in reports for row in report["kernels"]]
    for kernel, each in sorted(grouped(rows, lambda pair: pair[1]["kernel"]).items()):
        schedule, nest = generated.schedule_of(build, each[0][1]), generated.loop_nest_of(build, kernel)
        if schedule or nest:  # else it's a matrix library, or a layer on several kernels
            result[kernel] = each, schedule, nest
    return result


def kernels(found_kernels):
    yield "<p class='soft'>Times of all reports, beside the loops and the schedule that this build has.</p>"
    for kernel, (each, schedule, nest) in found_kernels.items():
        # A browser opens the details for a link to something within them.
        yield f"<details class='card'><summary>{e(kernel)}</summary><div id='{e(kernel)}'>"
        yield table(("machine", "date", "shape", "median ms", "Gflop/s", "% of the peak"), [
            (machine_name(report), report["machine"]["date"], shape_name(row), f"{row['median_ms']:.4g}",
             f"{row['gflops']:.4g}", "" if row["percent_of_peak"] is None else f"{row['percent_of_peak']:.3g}")
            for report, row in each if row["median_ms"]])
        yield "<div class='pair'>"
        if nest:
            yield f"<div><h4>Loop nest</h4><pre>{e(nest)}</pre></div>"
        if schedule:
            yield f"<div><h4>{e(schedule[0])}</h4><pre>{e(schedule[1])}</pre></div>"
        yield "</div></div></details>"


def searches(found_searches):
    if not found_searches:
        yield "<p class='soft'>The build tree has no trace of aft tune.</p>"
    yield cards(figure(figures.search_trace(f"{title}, {began}", trials))
                for (began, title), trials in found_searches.items())


def code(now, before):
    """The kernels whose code differs from that of an earlier atlas, and all hashes."""
    if before is not None:
        changes = [(name, "new" if name not in before else "gone" if name not in now else "changed")
                   for name in sorted(now.keys() | before.keys()) if now.get(name) != before.get(name)]
        yield f"<p>{len(changes)} of {len(now)} kernels differ from those before.</p>"
        if changes:
            yield table(("kernel", "code"), changes)
    yield f"<h2>SHA-256 of the {len(now)} objects</h2>" + table(("kernel", "SHA-256"), now.items())
