"""Builds ONNX models of networks from their tensors, for ONNX Runtime."""

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Nodes are added one by one; each gives the name of its result."""

    def __init__(self, tensors):
        self.tensors, self.nodes, self.constants, self.inputs = tensors, [], [], []

    def input(self, name, shape, dtype=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def constant(self, values):
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.ascontiguousarray(values), name))
        return name

    def add(self, operator, *inputs, **attributes):
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def linear(self, x, name):
        product = self.add("MatMul", x, self.constant(self.tensors[f"{name}.weight"].T))
        return self.add("Add", product, self.constant(self.tensors[f"{name}.bias"]))

    def layer_norm(self, x, name, epsilon):
        return self.add("LayerNormalization", x, self.constant(self.tensors[f"{name}.weight"]),
                        self.constant(self.tensors[f"{name}.bias"]), axis=-1, epsilon=epsilon)

    def model(self, result, shape):
        """The bytes of the model with this result."""
        output = helper.make_tensor_value_info(result, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "network", self.inputs, [output], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.checker.check_model(model)
        return model.SerializeToString()
