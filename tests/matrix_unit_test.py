"""Kernels that keep bfloat16 multiply it by the instruction of their target, wherever this runs.

usage: matrix_unit_test.py GENERATOR
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

GENERATOR = sys.argv.pop()
AVX512 = "x86-64-linux-sse41-avx-f16c-fma-avx2-avx512-avx512_skylake-avx512_cannonlake-avx512_zen4"


def assembly(target, *params):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([GENERATOR, "-f", "kernel", "-e", "assembly", "-o", folder, "schedule=packed", "device=cpu",
                        "storage=bfloat16", f"target={target}-no_runtime-user_context", *params], check=True)
        return (pathlib.Path(folder) / "kernel.s").read_text()


class MatrixUnit(unittest.TestCase):
    KERNELS = [["-g", "aft_forward", "layer_bias=none", "algorithm=softmax"], ["-g", "aft_linear_gradients"]]

    def test_tiles_where_there_is_a_matrix_unit(self):
        for kernel in self.KERNELS:
            code = assembly(AVX512 + "-avxvnni-avx512_sapphirerapids", *kernel)
            self.assertIn("tdpbf16ps", code)
            self.assertNotIn("vdpbf16ps", code)

    def test_vectors_elsewhere(self):
        for kernel in self.KERNELS:
            code = assembly(AVX512, *kernel)
            self.assertIn("vdpbf16ps", code)
            self.assertNotIn("tdpbf16ps", code)


unittest.main()
