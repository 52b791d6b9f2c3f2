"""The C interface as Python sees it is that of the headers: structs, enumerations, functions."""

import ctypes
import pathlib
import re
import shutil
import subprocess

import pytest

from aft import _library as c

HEADERS = pathlib.Path(__file__).parents[2] / "include"
NAMES = ("aft_c.h", "config_c.h", "training_c.h")

#: The structs, and those of C that have the same class: aft_tensor, aft_mask and aft_gradient.
STRUCTS = {"config": c.Config, "range": c.Range, "kernel_info": c.KernelInfo, "device_info": c.DeviceInfo,
           "parameters": c.Parameters, "load_options": c.LoadOptions, "layer_options": c.LayerOptions,
           "tensor": c.Tensor, "mask": c.Tensor, "gradient": c.Tensor, "sight": c.Sight, "layer_inputs": c.LayerInputs,
           "core_inputs": c.CoreInputs, "core_parameters": c.CoreParameters, "core_gradients": c.CoreGradients,
           "layer_gradients": c.LayerGradients}
#: Functions that Python calls without a table, as they return no status.
BY_HAND = {"aft_version": 0, "aft_last_error": 0}


@pytest.fixture(scope="module")
def header():
    """All declarations, without comments."""
    text = "".join((HEADERS / "aft" / name).read_text() for name in NAMES)
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def compiled(header, tmp_path_factory):
    """What a C program says about the headers: a number for each name."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("there is no C compiler")
    constants = re.findall(r"\b(AFT_(?:OK|ERROR_\w+|LAYER_\w+|GATE_\w+))\s*=", header)
    asked = {name: name for name in constants}
    for name, struct in STRUCTS.items():
        asked[name] = f"sizeof(aft_{name})"
        for member, _ in struct._fields_:
            in_c = member.rstrip("_")
            asked[f"{name}.{member}"] = f"offsetof(aft_{name}, {in_c})"
            asked[f"{name}.{member} size"] = f"sizeof(((aft_{name} *)0)->{in_c})"
    folder = tmp_path_factory.mktemp("headers")
    lines = [f'    printf("%s\\t%lld\\n", "{name}", (long long)({value}));' for name, value in asked.items()]
    (folder / "ask.c").write_text("#include <aft/training_c.h>\n#include <stddef.h>\n#include <stdio.h>\n"
                                  "int main(void) {\n" + "\n".join(lines) + "\n    return 0;\n}\n")
    subprocess.run([compiler, "-std=c11", f"-I{HEADERS}", "ask.c", "-o", "ask"], cwd=folder, check=True)
    said = subprocess.run(["./ask"], cwd=folder, check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split("\t") for line in said.splitlines())}


@pytest.mark.parametrize("name", STRUCTS)
def test_structs_have_the_layout_of_c(name, compiled):
    struct = STRUCTS[name]
    assert ctypes.sizeof(struct) == compiled[name]
    for member, _ in struct._fields_:
        field = getattr(struct, member)
        assert (member, field.offset, field.size) == (member, compiled[f"{name}.{member}"],
                                                      compiled[f"{name}.{member} size"])


@pytest.mark.parametrize("name", STRUCTS)
def test_structs_have_the_members_of_c(name, header):
    body = re.search(rf"typedef struct aft_{name} \{{(.*?)\}} aft_{name};", header, re.DOTALL)[1]
    members = re.findall(r"(\w+)(?:\[3\])?;", body)
    assert [member.rstrip("_") for member, _ in STRUCTS[name]._fields_] == members


def test_every_struct_of_the_headers_is_compared(header):
    assert set(re.findall(r"typedef struct aft_(\w+) \{", header)) == set(STRUCTS)


def test_forms_gates_and_errors_have_the_numbers_of_c(compiled):
    def in_order(start):
        found = {number: name[len(start):].lower() for name, number in compiled.items()
                 if name.startswith(start) and number >= 0}
        return tuple(found[i] for i in range(len(found)))

    assert c.FORMS == in_order("AFT_LAYER_")
    assert c.GATES == in_order("AFT_GATE_")
    classes = {"argument": c.ArgumentError, "shape": c.ShapeError, "config": c.ConfigError, "weights": c.WeightsError,
               "device": c.DeviceError, "kernel": c.KernelError, "no_memory": MemoryError, "internal": c.InternalError}
    numbers = {name[len("AFT_ERROR_"):].lower(): number for name, number in compiled.items()
               if name.startswith("AFT_ERROR_")}
    assert numbers.keys() == classes.keys()
    assert {name: c._ERRORS[number] for name, number in numbers.items()} == classes
    assert compiled["AFT_OK"] == 0


def test_every_function_of_the_headers_is_there_with_its_arguments(header):
    declared = dict(re.findall(r"AFT_API [\w ]+[ *](aft_\w+)\(([^;]*)\);", header))
    assert len(declared) == header.count("AFT_API ")
    counts = {name: 0 if arguments == "void" else arguments.count(",") + 1 for name, arguments in declared.items()}
    python = {f"aft_{name}": len(arguments) for name, arguments in c.FUNCTIONS.items()}
    python.update({f"aft_{name}_destroy": 1 for name in c.DESTROYERS})
    python.update(BY_HAND)
    assert python == counts


def test_pointers_and_numbers_are_those_of_c(header):
    """An argument is a pointer in Python if and only if it is one in C, and numbers have their width."""
    widths = {"int64_t": 8, "int32_t": 4}
    for name, types in c.FUNCTIONS.items():
        arguments = re.search(rf"aft_{name}\(([^;]*)\);", header)[1].split(",")
        for argument, python in zip(arguments, types):
            words = argument.split()
            is_number = words[0] in widths and "*" not in argument and "[" not in argument
            assert is_number == (python in (ctypes.c_int64, ctypes.c_int32)), f"aft_{name}: {argument}"
            if is_number:
                assert ctypes.sizeof(python) == widths[words[0]], f"aft_{name}: {argument}"


def test_the_version_is_that_of_the_header():
    said = re.search(r'AFT_VERSION "([\d.]+)"', (HEADERS / "aft" / "version.h").read_text())[1]
    assert c.version() == said
