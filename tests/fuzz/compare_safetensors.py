#!/usr/bin/env python3
"""Compares what our reader takes for a safetensors file with what the Python package does.

Files are made and changed at random. Where one takes a file that the other refuses, our message must give one of the
reasons why the reader is stricter, and the package must never be the stricter one.

usage: compare_safetensors.py READ_SAFETENSORS [--files N] [--seed N]
"""

import argparse
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

import safetensors

DTYPES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "I8": 1,
          "U8": 1, "BOOL": 1}

# Where our reader is stricter, by a pattern of its message. Each is a file that no writer makes.
STRICTER = {
    "comes twice": "a key comes twice, the package keeps one of them",
    "has an unknown key": "a tensor has a key beside dtype, shape and data_offsets, which the package ignores",
    'unexpected null in "__metadata__"': "the metadata is null, which the package takes for none",
    r"unexpected \d{19,20} in": "an extent of 2^63 or more in a tensor without elements",
    "more than 2\\^64 bytes": "the other extents of a tensor without elements, times its dtype, are beyond 2^64",
    "doesn't start with": "white space before the header's '{', which the format forbids",
    'unknown dtype "F[46]': "elements of less than a byte",
}


def product(numbers):
    result = 1
    for number in numbers:
        result *= number
    return result


def valid_file(rng):
    """Header and data of a file as writers make them."""
    header, data = {}, b""
    names = rng.sample(["a", "b", "to_q.weight", "wbias", "", "ä\n\"", "x" * 70], rng.randint(0, 4))
    for name in names:
        dtype = rng.choice(list(DTYPES))
        shape = [rng.choice([0, 1, 1, 2, 3, 5]) for _ in range(rng.randint(0, 3))]
        size = DTYPES[dtype] * product(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + size]}
        data += rng.randbytes(size)
    items = list(header.items())
    rng.shuffle(items)
    header = dict(items)
    if rng.random() < 0.3:
        header["__metadata__"] = {rng.choice(["format", "", "é"]): rng.choice(["pt", "", "\u0000"])}
    return header, data


def changed_header(rng, header):
    """The header with one of its values replaced by another."""
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    odd = [-1, 0, 1, 2, 3, 1.0, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, True, None, "1", [], {}]
    kind = rng.randrange(8)
    if kind == 0 or not tensors:
        header[rng.choice(["__metadata__", "extra", "a"])] = rng.choice([{}, {"k": 1}, {"k": "v"}, [], None, 1, "s"])
        return
    entry = rng.choice(tensors)
    if kind == 1:
        entry["dtype"] = rng.choice(list(DTYPES) + ["F8_E4M3", "F8_E5M2", "F4", "C64", "f32", "", 1, None])
    elif kind == 2:
        entry["shape"] = rng.choice([[], [1], [0, 2**63], [2**32, 2**32], [1] * 9, "1", None, 4])
    elif kind == 3 and entry["shape"]:
        entry["shape"][rng.randrange(len(entry["shape"]))] = rng.choice(odd)
    elif kind == 4:
        entry["data_offsets"][rng.randrange(2)] = rng.choice(odd)
    elif kind == 5:
        entry["data_offsets"] = rng.choice([[], [0], [0, 0], [0, 1, 2], entry["data_offsets"][::-1], None])
    elif kind == 6:
        del entry[rng.choice(list(entry))]
    else:
        entry[rng.choice(["dtype ", "offsets", "x"])] = rng.choice(odd)


def changed_bytes(rng, content):
    """The file with some bytes replaced, removed, added or repeated."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(content) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at:at] = rng.choice([b" ", b"\0", b"{", b"}", b",", b'"', b"0", b"\xff", b"[1]", b'"a":{},'])
        elif kind == 2:
            del content[at:at + rng.choice([1, 1, 2, 8])]
        elif kind == 3:
            content[at:at] = content[at:at + rng.choice([1, 8, 30])]
        elif kind == 4 and len(content) >= 8:
            length = struct.unpack("<Q", content[:8])[0] + rng.choice([-1, 1, -8, 8, 2**40])
            content[:8] = struct.pack("<Q", length % 2**64)
    return bytes(content)


def text_of(rng, header):
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
    text = json.dumps(header, separators=separators, ensure_ascii=rng.random() < 0.5).encode()
    return text + b" " * rng.choice([0, 0, -len(text) % 8, 5])


def file(rng):
    """What was done to the file, and its content."""
    header, data = valid_file(rng)
    change = rng.choice(["none", "header", "bytes"])
    if change == "header":
        changed_header(rng, header)
    text = text_of(rng, header)
    content = struct.pack("<Q", len(text)) + text + data
    if change == "bytes":
        content = changed_bytes(rng, content)
        if rng.random() < 0.7 and len(content) > 8:  # the length right again, or the header is hardly ever looked at
            content = struct.pack("<Q", max(len(content) - 8 - len(data), 0)) + content[8:]
    return change, content


def verdict_of_package(content):
    """Why the package refuses the file; None when it takes it."""
    try:
        safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        return str(error)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reader")
    parser.add_argument("--files", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    print(f"safetensors {safetensors.__version__}, {options.files} files, seed {options.seed}", flush=True)
    rng = random.Random(options.seed)
    counts = {"both take": 0, "both refuse": 0}
    unexplained = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        reader = subprocess.Popen([options.reader], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(options.files):
            change, content = file(rng)
            with open(path, "wb") as out:
                out.write(content)
            reader.stdin.write(path + "\n")
            reader.stdin.flush()
            ours = reader.stdout.readline().strip()
            if not ours:
                sys.exit(f"the reader ended at file {number}, exit code {reader.wait()}: {content!r}")
            theirs = verdict_of_package(content)
            if change == "none" and (ours != "accepted" or theirs):
                what = "a valid file is refused"
            elif (ours == "accepted") == (theirs is None):
                counts["both refuse" if theirs else "both take"] += 1
                continue
            else:
                reason = next((why for pattern, why in STRICTER.items() if re.search(pattern, ours)), None)
                if reason and ours != "accepted":
                    counts[reason] = counts.get(reason, 0) + 1
                    continue
                what = "they differ"
            unexplained += 1
            if unexplained <= 20:
                print(f"{what}, file {number}: {content!r}\n  ours: {ours}\n  package: {theirs or 'accepted'}")
        reader.stdin.close()
        reader.wait()
    for what, count in counts.items():
        print(f"{count:8} {what}")
    if unexplained:
        sys.exit(f"{unexplained} files without an explanation")


if __name__ == "__main__":
    main()
