"""scripts/docs finds links that lead nowhere, and names that Doxygen doesn't ask to be documented."""

import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "scripts", "docs")
loader = importlib.machinery.SourceFileLoader("docs", path)
docs = importlib.util.module_from_spec(importlib.util.spec_from_loader("docs", loader))
loader.exec_module(docs)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.name)

    def write(self, files):
        for name, text in files.items():
            os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
            with open(name, "w", encoding="utf-8") as file:
                file.write(text)


class Pages(Folder):
    def links(self, text):
        """What is wrong with the links of docs/one.md, and that page as Doxygen gets it."""
        pages = {name: "# A page\n" for name in ("README.md", "docs/README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")}
        self.write({**pages, "docs/one.md": "# One\n\n## A `B`, c\n" + text, "two/code.h": "int a;\n"})
        _, problems = docs.write_pages()
        with open(os.path.join(docs.PAGES, "docs_one.md"), encoding="utf-8") as file:
            return problems, file.read().partition("c {#docs_one-a-b-c}\n")[2]

    def test_links_that_github_would_follow_become_labels(self):
        self.assertEqual(self.links("[a](../README.md) [b](#a-b-c) [c](one.md#a-b-c) [d](../two/code.h) [e](../docs/)"),
                         ([], "[a](@ref readme) [b](@ref docs_one-a-b-c) [c](@ref docs_one-a-b-c) "
                              "[d](@ref two_code_h) [e](@ref docs_readme)"))

    def test_links_to_other_hosts_stay(self):
        self.assertEqual(self.links("[a](https://halide-lang.org)"), ([], "[a](https://halide-lang.org)"))

    def test_links_that_lead_nowhere_are_found(self):
        for link in ("two.md", "#a-b", "../README.md#b", "../two/code.h#a", "../two/code.c"):
            with self.subTest(link):
                self.assertEqual(self.links(f"[a]({link})")[0], [f"docs/one.md: a dead link to {link}"])

    def test_code_has_no_headings(self):
        self.assertEqual(self.links("```sh\n# b\n```\n[a](#b)\n")[0], ["docs/one.md: a dead link to #b"])


class Site(Folder):
    def test_dead_links_of_built_pages_are_found(self):
        self.write({"a.html": '<a id="x" href="b.html#y"></a><a href="#x"></a><a href="https://c.org/d"></a>',
                    "b.html": '<a name="y" href="a.html#z"></a><img src="c.png"/>'})
        self.assertEqual(sorted(docs.dead_links(".")),
                         ["b.html: a dead link to a.html#z", "b.html: a dead link to c.png"])

    def test_headers_and_values_without_documentation_are_found(self):
        header = ('<doxygen><compounddef kind="file" language="C++"><compoundname>a.h</compoundname>'
                  '<briefdescription>{}</briefdescription></compounddef></doxygen>')
        value = '<doxygen><enumvalue><name>b</name><briefdescription>{}</briefdescription></enumvalue></doxygen>'
        self.write({"a.xml": header.format("\n"), "b.xml": value.format("")})
        self.assertEqual(sorted(docs.undocumented(".")), ["a.h is not documented", "b is not documented"])
        self.write({"a.xml": header.format("<para>All.</para>"), "b.xml": value.format("<para>One.</para>")})
        self.assertEqual(list(docs.undocumented(".")), [])


if __name__ == "__main__":
    unittest.main()
