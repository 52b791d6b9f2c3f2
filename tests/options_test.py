"""The manual pages have every option of `aft`, and the documents mention no option that it doesn't have.

options_test.py AFT MANUAL [unittest's arguments]
"""

import glob
import os
import re
import subprocess
import sys
import unittest

AFT, MANUAL = sys.argv[1:3]
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def help_of(*command):
    return subprocess.run([AFT, *command, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout


def options_of(text):
    """Those that a help explains, with those of one letter."""
    return {option for line in re.findall(r"^  (-\S+)", text, re.MULTILINE) for option in line.split(",")}


def commands_of(text):
    return re.findall(r"^  ([a-z]+) ", text.partition("Subcommands:")[2].partition("\n\n")[0], re.MULTILINE)


COMMANDS = {command: options_of(help_of(command)) for command in commands_of(help_of())}


def code_of(markdown):
    """Its blocks, line by line, and its inline pieces, each as one line."""
    fenced = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
    blocks = [*fenced.findall(markdown), *re.findall(r"^    .*$", markdown, re.MULTILINE)]
    inline = re.findall(r"`([^`]+)`", re.sub(r"^    .*$", "", fenced.sub("", markdown), flags=re.MULTILINE))
    return [line for block in blocks for line in block.splitlines()] + [piece.replace("\n", " ") for piece in inline]


def uses_in(markdown):
    """(command, option) of each option that the text says the tool has; without a command it is any one's."""
    for line in code_of(markdown):
        line = line.partition("  #")[0]
        tuned = re.search(r"\bmake tune ARGS=(['\"])(.*?)\1", line)
        called = re.search(r"(?:^|[\s/])aft ([a-z]+)(.*)", line)
        if called or tuned:
            command, arguments = ("tune", tuned[2]) if tuned else called.groups()
            yield command, None
            yield from ((command, option) for option in OPTION.findall(arguments))
        elif line.startswith("--"):
            yield None, OPTION.match(line)[0]


def unknown_in(markdown):
    every = set().union(*COMMANDS.values(), options_of(help_of()))
    return [" ".join(filter(None, use)) for use in uses_in(markdown)
            if use[0] not in (None, *COMMANDS) or use[1] not in (None, *COMMANDS.get(use[0], every))]


class Manual(unittest.TestCase):
    def check_page(self, name, text):
        with open(os.path.join(MANUAL, name + ".1"), encoding="utf-8") as file:
            page = re.sub(r"\\f[A-Z]", "", file.read()).replace("\\-", "-")
        explained = {option for line in re.findall(r"^\.TP\n(-\S+)", page, re.MULTILINE) for option in line.split(",")}
        self.assertEqual(explained, options_of(text))

    def test_every_option_of_every_command_is_explained(self):
        self.assertLess({"run", "bench"}, set(COMMANDS))
        self.check_page("aft", help_of())
        for command in COMMANDS:
            with self.subTest(command):
                self.assertIn("--help", COMMANDS[command])
                self.check_page(f"aft-{command}", help_of(command))


class Documents(unittest.TestCase):
    def test_no_document_mentions_an_option_that_is_not_there(self):
        documents = [os.path.join(ROOT, "README.md"), *glob.glob(os.path.join(ROOT, "docs", "*.md"))]
        uses = set()
        for path in documents:
            with self.subTest(os.path.basename(path)), open(path, encoding="utf-8") as file:
                text = file.read()
                self.assertEqual(unknown_in(text), [])
                uses.update(uses_in(text))
        self.assertLess({("bench", "--shape"), ("tune", "--budget"), (None, "--min-time")}, uses)

    def test_an_option_that_is_not_there_is_found(self):
        self.assertEqual(unknown_in("    build/aft bench --shape 1,2,3,4 --speed 3  # --fast"), ["bench --speed"])
        self.assertEqual(unknown_in("so `aft run --layer\nfull --budget 3` does"), ["run --budget"])
        self.assertEqual(unknown_in("```sh\naft walk --layer full\n```"), ["walk", "walk --layer"])
        self.assertEqual(unknown_in("    make tune ARGS='--layer full --input x'"), ["tune --input"])
        self.assertEqual(unknown_in("with `--min-time` and `--max-time`"), ["--max-time"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
