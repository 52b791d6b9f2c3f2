"""The layers on OpenVINO, in float32 unless the form asks for bfloat16, its default if the CPU can."""

import numpy
import openvino
from onnx_model import model
from openvino import opset13

core = openvino.Core()


def prepare(threads):
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})


def constants_as_inputs(network):
    """Turns each constant that is the first operand of a product into an input; returns the tensors by name.

    The CPU plugin multiplies such a constant in float32, even where it should multiply bfloat16.
    """
    tensors = {}
    for product in network.get_ordered_ops():
        if product.get_type_name() == "MatMul":
            first = product.input(0).get_source_output().get_node()
            if first.get_type_name() == "Constant":
                name = f"constant_{len(tensors)}"
                tensors[name] = openvino.Tensor(numpy.array(first.data, numpy.float32))
                parameter = opset13.parameter(first.shape, numpy.float32, name)
                parameter.output(0).get_tensor().set_names({name})
                product.input(0).replace_source_output(parameter.output(0))
                network.add_parameters([parameter])
    return tensors


def make(problem, form):
    kind, *storage = form.split()
    network = core.read_model(model(problem, kind))
    tensors = {name: openvino.Tensor(value) for name, value in problem.inputs.items()}
    if storage:
        tensors |= constants_as_inputs(network)
    precision = ({"INFERENCE_PRECISION_HINT": "bf16"} if storage else
                 {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"})
    request = core.compile_model(network, "CPU", precision).create_infer_request()
    for name, tensor in tensors.items():
        request.set_tensor(name, tensor)

    def call():
        request.infer()
        return request.get_output_tensor().data

    return call
