"""The parts of the atlas's pages, as texts of HTML."""

import html
from pathlib import Path

HERE = Path(__file__).resolve().parent


def e(text):
    return html.escape(str(text))


def table(head, rows):
    lines = ["<tr>" + "".join(f"<th>{e(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{e(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "<div class='card'><table>" + "".join(lines) + "</table></div>"


def shade(share, colour):
    """A cell's colour: from none at 0 to strong at 1."""
    return f"background:color-mix(in srgb, var(--{colour}) {round(75 * max(0.0, min(1.0, share)))}%, transparent)"


def heat_table(title, heads, cells, rows):
    """cells[row, column] is a text and the style of its cell; rows are names with links or None. heads is a list of
    lines of column names, each name with its span."""
    lines = [f"<tr><th>{e(title) if i == 0 else ''}</th>" +
             "".join(f"<th colspan='{span}'>{e(name)}</th>" for name, span in line) + "</tr>"
             for i, line in enumerate(heads)]
    count = sum(span for _, span in heads[-1])
    for name, link in rows:
        texts = (cells.get((name, column)) for column in range(count))
        lines.append(f"<tr><th>{f'<a href={chr(34)}{e(link)}{chr(34)}>{e(name)}</a>' if link else e(name)}</th>" +
                     "".join(f"<td style='{each[1]}'>{e(each[0])}</td>" if each else "<td></td>" for each in texts) +
                     "</tr>")
    return "<div class='card'><table class='heat'>" + "".join(lines) + "</table></div>"


def figure(svg):
    return f"<div class='card figure'>{svg}</div>"


def cards(parts):
    """Side by side where there is room."""
    return "<div class='cards'>" + "\n".join(parts) + "</div>"


def page(title, links, parts):
    """A page that needs no other file; `links` are names and files of all pages."""
    style = (HERE.parent / "report.css").read_text() + (HERE / "atlas.css").read_text()
    bar = " ".join(f"<a href='{e(file)}'{' class=here' if name == title else ''}>{e(name)}</a>" for name, file in links)
    return ("<!DOCTYPE html><html lang='en'><meta charset='utf-8'>"
            "<meta name='viewport' content='width=device-width, initial-scale=1'>"
            f"<title>{e(title)} - atlas of aft's kernels</title><style>{style}</style>"
            f"<main><nav>{bar}</nav><h1>{e(title)}</h1>" + "\n".join(parts) + "</main></html>\n")
