"""The programs of the pages run, one block after the other in one program."""

import pathlib
import re
import shutil

import pytest

import reference

PAGES = pathlib.Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page, needed", [("python", None), ("python", "torch"), ("pytorch", "torch"), ("jax", "jax")])
def test_the_programs_of_a_page_run(page, needed, tmp_path, monkeypatch):
    if needed:
        pytest.importorskip(needed)
    path = PAGES / f"{page}.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    shutil.copy(reference.DATA / "aftp_full_small.safetensors", tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        if needed or "torch" not in block:
            exec(compile(block, str(path), "exec"), names)
