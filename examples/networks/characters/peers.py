"""The model of text in PyTorch alone, and as an ONNX model.

    python peers.py MODEL PROMPT EXPECTED    writes the scores in float64 that characters_test expects
"""

import pathlib
import sys

import numpy
import torch
from safetensors import safe_open
from safetensors.torch import save_file

sys.path += [str(pathlib.Path(__file__).resolve().parents[i]) for i in (1, 2)]
from onnx_graph import Graph, TensorProto  # noqa: E402
from train_characters import Model  # noqa: E402


class CausalMix(torch.nn.Module):
    """Causal AFTLocal or, without a window, AFTSimple, with the parameters of aft.torch."""

    def __init__(self, seq, dim, window):
        super().__init__()
        self.to_q, self.to_k, self.to_v, self.project = (torch.nn.Linear(dim, dim) for _ in range(4))
        if window:
            self.wbias = torch.nn.Parameter(torch.zeros(seq, seq))
        self.window = window

    def forward(self, x):
        key, value, seq = self.to_k(x), self.to_v(x), x.shape[1]
        weight = torch.exp(key - key.amax(1, keepdim=True))
        terms = torch.cat([weight * value, weight], -1)
        if self.window:
            bias = self.wbias[:seq, :seq]
            numerator, denominator = (torch.exp(bias.tril().triu(1 - self.window)).tril() @ terms).chunk(2, -1)
        else:
            numerator, denominator = terms.cumsum(1).chunk(2, -1)
        return self.project(torch.sigmoid(self.to_q(x)) * (numerator / denominator))

    def start(self, seq):
        """For step(): exp(key) value and exp(key) of all positions, and exp(w)."""
        self.terms = torch.zeros(seq, 2 * self.to_k.out_features)
        self.weights = torch.ones(seq, seq)
        if self.window:
            self.weights = torch.exp(self.wbias.tril().triu(1 - self.window))

    def step(self, x, position):
        """The result at one position, from the terms that are kept of those before: x, y [1, dim]."""
        weight = torch.exp(self.to_k(x))
        self.terms[position] = torch.cat([weight * self.to_v(x), weight], -1)
        seen = self.weights[position:position + 1, :position + 1] @ self.terms[:position + 1]
        numerator, denominator = seen.chunk(2, -1)
        return self.project(torch.sigmoid(self.to_q(x)) * (numerator / denominator))


class Stepper:
    """The scores after the last character of a text, whose characters come one by one."""

    def __init__(self, model):
        self.model, self.length = model, 0
        for block in model.blocks:
            block.mix.start(len(model.positions))

    def __call__(self, text):
        with torch.inference_mode():
            self.length = 0 if text.shape[1] <= self.length else self.length  # another text
            for position in range(self.length, text.shape[1]):
                x = self.model.characters.weight[text[0, position]][None] + self.model.positions[position]
                for block in self.model.blocks:
                    x = x + block.mix.step(block.before_mix(x), position)
                    x = x + block.net(block.before_net(x))
            self.length = text.shape[1]
            return self.model.scores(x)[None].numpy()


def load(path, dtype=torch.float32):
    """The model, and its alphabet."""
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name).to(dtype) for name in file.keys()}
    seq, dim = tensors["positions"].shape
    blocks = sum(name.endswith("before_mix.weight") for name in tensors)
    window = int(metadata["window"]) if metadata["layer"] == "local" else 0
    model = Model(lambda: CausalMix(seq, dim, window), len(metadata["alphabet"]), seq, dim, blocks).to(dtype).eval()
    model.load_state_dict(tensors)
    return model.requires_grad_(False), metadata["alphabet"]


def onnx_model(path):
    """The same for texts of any length: [1, n] -> [1, n, characters]."""
    model, _ = load(path)
    graph = Graph({name: values.numpy() for name, values in model.state_dict().items()})
    text = graph.input("text", [1, "n"], TensorProto.INT64)
    n, zero, last = graph.add("Shape", text, start=1), graph.constant([0]), graph.constant([-1])
    first_rows = lambda values: graph.add("Slice", graph.constant(values), zero, n, zero)  # noqa: E731
    x = graph.add("Gather", graph.constant(graph.tensors["characters.weight"]), text)
    x = graph.add("Add", x, first_rows(graph.tensors["positions"]))
    for i, block in enumerate(model.blocks):
        name = f"blocks.{i}"
        normed = graph.layer_norm(x, f"{name}.before_mix", 1e-5)
        query, key, value = (graph.linear(normed, f"{name}.mix.to_{each}") for each in "qkv")
        weight = graph.add("Exp", graph.add("Sub", key, graph.add("ReduceMax", key, graph.constant([1]))))
        terms = graph.add("Concat", graph.add("Mul", weight, value), weight, axis=2)
        if block.mix.window:
            bias = block.mix.wbias.tril().triu(1 - block.mix.window)
            weights = graph.add("Slice", first_rows(torch.exp(bias).tril().numpy()), zero, n, graph.constant([1]))
            sums = graph.add("MatMul", weights, terms)
        else:
            sums = graph.add("CumSum", terms, graph.constant(numpy.int64(1)))
        halves = [graph.add("Slice", sums, graph.constant([first]), graph.constant([first + key_channels]), last)
                  for key_channels in [block.mix.to_k.out_features] for first in (0, key_channels)]
        gated = graph.add("Mul", graph.add("Sigmoid", query), graph.add("Div", *halves))
        x = graph.add("Add", x, graph.linear(gated, f"{name}.mix.project"))
        hidden = graph.add("Gelu", graph.linear(graph.layer_norm(x, f"{name}.before_net", 1e-5), f"{name}.net.0"))
        x = graph.add("Add", x, graph.linear(hidden, f"{name}.net.2"))
    return graph.model(graph.linear(graph.layer_norm(x, "scores.0", 1e-5), "scores.1"), [1, "n", "characters"])


def main():
    path, prompt, expected = sys.argv[1:]
    model, alphabet = load(path, torch.float64)
    scores = model(torch.tensor([[alphabet.index(each) for each in prompt]]))[0]
    save_file({"scores": scores.contiguous()}, expected, {"prompt": prompt})


if __name__ == "__main__":
    main()
