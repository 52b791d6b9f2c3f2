"""docs/extending.md lists every file that a new form, algorithm or gate touches: no other source names one."""

import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)
GUIDE = "docs/extending.md"
MOST_FILES = {"Add a layer form": 8, "Add a mean of whole layers": 6, "Add a mean without projections": 9, "Add a scan": 6,
              "Add an operation": 8, "Add a gate": 6, "Add a network": 2}

# Where the algorithms of an operation get their names: (name, class).
ALGORITHMS = {
    "Add a mean of whole layers": ("generators/algorithms/means/means.h",
                                   r"case Algorithm::(\w+): return f\(MeanTag<(\w+)>\(\)\);"),
    "Add a mean without projections": ("generators/core_generator.cpp",
                                       r"CoreAlgorithm::(\w+)[^;]*?define_and_schedule<(\w+)>\(form\);"),
    "Add a scan": ("generators/scan_generator.cpp", r"case Kind::(\w+): return (?:flat|packed)<(\w+)>\(\);"),
}

# Sources of the product. Tests and examples use forms; bench/peers/ and scripts/ say which forms other libraries have;
# the benchmark chooses the forms that it compares; the modules for PyTorch are of some forms.
FOLDERS = ("include", "runtime", "reference", "tools", "tune", "bench", "python")
LEFT_OUT = tuple(os.path.join(*path.split("/")) for path in (
    "bench/peers", "bench/comparison.cpp", "python/aft/torch", "python/tests", "reference/benchmark_problems.cpp",
    "tools/bench.cpp"))
SOURCES = (".h", ".cpp", ".html", ".in", ".cmake", "CMakeLists.txt", ".py")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def listed_files(section):
    """The paths of the numbered list of a section."""
    text = read(GUIDE).partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    items = re.findall(r"^\d+\. (`[^`]+`(?: and `[^`]+`)?):", text, re.MULTILINE)
    return [path for item in items for path in re.findall(r"`([^`]+)`", item)]


def named_forms():
    """(name, title, C++ constant) of every row of the list."""
    return re.findall(r'\{"(\w+)", "([^"]+)", "[^"]+", \d+, (aft_\w+)\}', read("include/aft/config.h"))


def algorithms(section):
    """(algorithm, class) of every algorithm of an operation."""
    path, pattern = ALGORITHMS[section]
    return re.findall(pattern, read(path))


def values_of(part):
    """Values of a part of a form, such as PositionBias::banded."""
    body = re.search(rf"enum class {part} \{{(.*?)\}};", read("include/aft/config.h"), re.DOTALL)[1]
    return {f"{part}::{value}" for value in re.findall(r"^\s*(\w+),", body, re.MULTILINE)}


def without_comments(path):
    text = read(path)
    if path.endswith((".cmake", "CMakeLists.txt")):
        return re.sub(r"#.*", "", text)
    if path.endswith(".py"):
        return re.sub(r'""".*?"""|#[^\n]*', "", text, flags=re.DOTALL)
    return re.sub(r"//[^\n]*|/\*.*?\*/|<!--.*?-->", "", text, flags=re.DOTALL)


def files_with(tokens, folders):
    pattern = re.compile("|".join(sorted(tokens)))
    for folder in folders:
        for place, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                path = os.path.relpath(os.path.join(place, name), ROOT)
                if name.endswith(SOURCES) and not path.startswith(LEFT_OUT) and pattern.search(without_comments(path)):
                    yield path


def files_that_name_a_form():
    tokens = {rf"\b{re.escape(word)}\b" for _, *words in named_forms() for word in words}
    tokens |= {rf'"{name}"' for name, *_ in named_forms()}
    tokens |= {rf"\bAFT_LAYER_{name.upper()}\b" for name, *_ in named_forms()}
    parts = values_of("PositionBias") | values_of("Reach")
    tokens |= {rf"\b{value}\b" for value in parts if value != "PositionBias::none"}  # the absence of a bias
    return set(files_with(tokens, FOLDERS))


def files_that_name_a_gate():
    """A LayerForm{} has the usual gate."""
    return set(files_with({rf"\b{value}\b" for value in values_of("Gate")}, FOLDERS))


def files_that_name_an_algorithm(section):
    """By their classes and enumerators; in CMake by their names, those that aren't names of biases, too."""
    enumeration = {"Add a mean without projections": "CoreAlgorithm", "Add a scan": "Kind"}.get(section, "Algorithm")
    tokens = {rf"\b{name}<|<{name}>|\b{name} &|\b{enumeration}::{algorithm}\b" for algorithm, name in algorithms(section)}
    biases = {value.partition("::")[2] for value in values_of("PositionBias")}
    words = {rf"\b{algorithm}\b" for algorithm, _ in algorithms(section) if algorithm not in biases}
    return set(files_with(tokens, ("generators",))) | {
        path for path in files_with(words, ("generators",)) if path.endswith(".cmake")}


class Guide(unittest.TestCase):
    def test_the_lists_are_found(self):
        self.assertIn(("local", "AFTLocal", "aft_local"), named_forms())
        self.assertIn("PositionBias::banded", values_of("PositionBias"))
        self.assertIn("Reach::all", values_of("Reach"))
        self.assertIn("Gate::none", values_of("Gate"))
        self.assertIn(("banded", "Banded"), algorithms("Add a mean of whole layers"))
        self.assertIn(("certified", "Certified"), algorithms("Add a mean without projections"))
        self.assertIn(("recurrent", "Recurrent"), algorithms("Add a scan"))

    def test_each_change_touches_few_files(self):
        for section, most in MOST_FILES.items():
            self.assertTrue(0 < len(set(listed_files(section))) <= most, f"{section}: {listed_files(section)}")

    def test_no_other_source_names_a_form(self):
        self.assertEqual(sorted(files_that_name_a_form() - set(listed_files("Add a layer form"))), [])

    def test_no_other_source_names_a_gate(self):
        listed = set(listed_files("Add a gate")) | set(listed_files("Add a network"))
        self.assertEqual(sorted(files_that_name_a_gate() - listed), [])

    def test_no_other_source_names_an_algorithm(self):
        for section in ALGORITHMS:
            named = {path for path in files_that_name_an_algorithm(section) if "/algorithms/" not in path}
            self.assertEqual(sorted(named - set(listed_files(section))), [], section)

    def test_the_guide_lists_no_source_without_need(self):
        sources = {path for path in listed_files("Add a layer form") if path.startswith(FOLDERS)}
        self.assertEqual(sorted(sources - files_that_name_a_form()), [])

    def test_every_form_has_its_documentation(self):
        for _, title, *_ in named_forms():
            self.assertTrue(title in read("docs/algorithms.md"), f"docs/algorithms.md doesn't mention {title}")


if __name__ == "__main__":
    unittest.main()
