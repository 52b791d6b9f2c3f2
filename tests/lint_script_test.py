"""scripts/lint finds files that are too long and i++ where nothing uses its value. clang-tidy has nothing to read here."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

LINT = Path(__file__).resolve().parent.parent / "scripts/lint"


class Lint(unittest.TestCase):
    def outcome(self, files):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve()
            for file, text in {"build/compile_commands.json": "[]", **files}.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(text)
            (folder / "scripts").mkdir(exist_ok=True)
            shutil.copy(LINT, folder / "scripts")
            subprocess.run(["git", "-C", folder, "init", "--quiet"], check=True)
            subprocess.run(["git", "-C", folder, "add", "--all"], check=True)
            done = subprocess.run([folder / "scripts/lint"], capture_output=True, text=True)
            self.assertEqual(done.stderr, "")
            return done.returncode, done.stdout.splitlines()[:-1]

    def test_long_files(self):
        names = ["Makefile", "a.cmake", "a.cpp", "a.h", "a.py", "report.html", "scripts/a"]
        self.assertEqual(self.outcome({name: "\n" * 400 for name in names}), (0, []))
        self.assertEqual(
            self.outcome({name: "\n" * 401 for name in names}),
            (1, [f"{name}: 401 lines, at most 400" for name in names]),
        )
        self.assertEqual(self.outcome({"data.json": "\n" * 401, "tests/ptx/ptx.cpp": "\n" * 401}), (0, []))

    def test_increments(self):
        unused = ["i++;", "    a->b--;", "for (int i = 0; i < n; i++) {", "{ of(x).n++; }", "for (; n > 0; n--)", "a[1]++;"]
        self.assertEqual(
            self.outcome({"a.cpp": "\n".join(unused)}),
            (1, [f"a.cpp:{n}: must be ++i or --i: {line.strip()}" for n, line in enumerate(unused, 1)]),
        )
        fine = ["++i;", "x = i++;", "while (n-- > 0) {", "f(i++);", "*to++ = 0;", "// i++;", "for (i = n; i-- > 0;)"]
        self.assertEqual(self.outcome({"a.cpp": "\n".join(fine)}), (0, []))


if __name__ == "__main__":
    unittest.main()
