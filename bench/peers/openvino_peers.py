"""The layers on OpenVINO, in float32: by default it computes in bfloat16 if the CPU can."""

import openvino
from onnx_model import model

core = openvino.Core()


def prepare(threads):
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                              "INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"})


def make(problem, form):
    request = core.compile_model(core.read_model(model(problem, form)), "CPU").create_infer_request()
    for name, value in problem.inputs.items():
        request.set_tensor(name, openvino.Tensor(value))

    def call():
        request.infer()
        return request.get_output_tensor().data

    return call
