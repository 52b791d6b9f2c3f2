"""docs/extending.md lists every file that a new form of layer touches: no other source names a form."""

import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
GUIDE = "docs/extending.md"
MOST_FILES = 8

# Sources of the product. Tests and examples use forms; bench/peers/ and scripts/ say which forms other libraries have.
FOLDERS = ("include", "runtime", "reference", "tools", "tune", "bench")
LEFT_OUT = os.path.join("bench", "peers")
SOURCES = (".h", ".cpp", ".html", ".in", ".cmake", "CMakeLists.txt")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def listed_files():
    """The paths of the numbered list under "Add a layer form"."""
    section = read(GUIDE).partition("\n## Add a layer form\n")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. `([^`]+)`:", section, re.MULTILINE)


def named_forms():
    """(name, title, C constant, C++ constant) of every row of the list."""
    return re.findall(r'\{"(\w+)", "([^"]+)", "[^"]+", (AFT_LAYER_\w+), (aft_\w+)\}', read("runtime/layer/config.cpp"))


def part_values():
    """Values of the parts of a form, such as PositionBias::banded."""
    text = read("include/aft/config.h")
    bodies = re.findall(r"enum class (PositionBias|Reach|Gate) \{(.*?)\};", text, re.DOTALL)
    return {f"{part}::{value}" for part, body in bodies for value in re.findall(r"^\s*(\w+),", body, re.MULTILINE)}


def without_comments(path):
    text = read(path)
    if path.endswith((".cmake", "CMakeLists.txt")):
        return re.sub(r"#.*", "", text)
    return re.sub(r"//[^\n]*|/\*.*?\*/|<!--.*?-->", "", text, flags=re.DOTALL)


def files_that_name_a_form():
    tokens = {rf"\b{re.escape(word)}\b" for _, title, *constants in named_forms() for word in (title, *constants)}
    tokens |= {rf'"{name}"' for name, *_ in named_forms()}
    tokens |= {rf"\b{value}\b" for value in part_values() if value != "PositionBias::none"}  # the absence of a bias
    pattern = re.compile("|".join(sorted(tokens)))
    for folder in FOLDERS:
        for place, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                path = os.path.relpath(os.path.join(place, name), ROOT)
                if name.endswith(SOURCES) and not path.startswith(LEFT_OUT) and pattern.search(without_comments(path)):
                    yield path


class LayerForms(unittest.TestCase):
    def test_the_list_of_forms_is_found(self):
        self.assertIn(("local", "AFTLocal", "AFT_LAYER_LOCAL", "aft_local"), named_forms())
        self.assertIn("PositionBias::banded", part_values())
        self.assertIn("Reach::all", part_values())

    def test_a_new_form_touches_few_files(self):
        self.assertLessEqual(len(set(listed_files())), MOST_FILES)

    def test_no_other_source_names_a_form(self):
        self.assertEqual(sorted(set(files_that_name_a_form()) - set(listed_files())), [])

    def test_the_guide_lists_no_source_without_need(self):
        sources = {path for path in listed_files() if path.startswith(FOLDERS)}
        self.assertEqual(sorted(sources - set(files_that_name_a_form())), [])

    def test_every_form_has_its_documentation(self):
        for _, title, *_ in named_forms():
            self.assertTrue(title in read("docs/algorithms.md"), f"docs/algorithms.md doesn't mention {title}")


if __name__ == "__main__":
    unittest.main()
