"""FeatureBooster in PyTorch, and as an ONNX model."""

import torch
import torch.nn.functional as F
from onnx_graph import Graph
from torch import nn

EPSILON = 1e-6


def mlp(*channels):
    layers = []
    for inputs, outputs in zip(channels, channels[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    def __init__(self, *channels):
        super().__init__()
        self.encoder = mlp(*channels)


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.query, self.key, self.value, self.proj = (nn.Linear(channels, channels) for _ in range(4))
        self.layer_norm = nn.LayerNorm(channels, EPSILON)

    def forward(self, x):
        mean = (torch.softmax(self.key(x), 0) * self.value(x)).sum(0, keepdim=True)
        return self.layer_norm(x + self.proj(torch.sigmoid(self.query(x)) * mean))


class FeedForward(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.mlp, self.layer_norm = mlp(channels, 2 * channels, channels), nn.LayerNorm(channels, EPSILON)

    def forward(self, x):
        return self.layer_norm(x + self.mlp(x))


class Layer(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.attn, self.ffn = Attention(channels), FeedForward(channels)

    def forward(self, x):
        return self.ffn(self.attn(x))


class Layers(nn.Module):
    def __init__(self, channels, count):
        super().__init__()
        self.layers = nn.Sequential(*(Layer(channels) for _ in range(count)))


class Network(nn.Module):
    """SIFT+Boost-F, of one image: descriptors [n, 128] and keypoints [n, 4] -> [n, 128]."""

    def __init__(self):
        super().__init__()
        self.kenc, self.denc = Encoder(4, 32, 64, 128, 128, 128), Encoder(128, 256, 128, 128)
        self.layer_norm, self.attn_proj = nn.LayerNorm(128, EPSILON), Layers(128, 4)
        self.final_proj = nn.Linear(128, 128)

    def forward(self, descriptors, keypoints):
        x = descriptors + self.denc.encoder(descriptors) + self.kenc.encoder(keypoints)
        return F.normalize(self.final_proj(self.attn_proj.layers(self.layer_norm(x))), dim=-1)


def module(tensors):
    network = Network().eval().requires_grad_(False)
    network.load_state_dict({name: torch.from_numpy(tensors[name]) for name in network.state_dict()})
    return network


def onnx_model(tensors):
    graph = Graph(tensors)
    descriptors, keypoints = graph.input("descriptors", ["n", 128]), graph.input("keypoints", ["n", 4])
    rows = graph.constant([0])

    def of_maps(x, name, count):
        for i in range(count):
            x = graph.linear(x if i == 0 else graph.add("Relu", x), f"{name}.{2 * i}")
        return x

    x = graph.add("Add", descriptors, of_maps(descriptors, "denc.encoder", 3))
    x = graph.layer_norm(graph.add("Add", x, of_maps(keypoints, "kenc.encoder", 5)), "layer_norm", EPSILON)
    for i in range(4):
        layer = f"attn_proj.layers.{i}"
        weights = graph.add("Softmax", graph.linear(x, f"{layer}.attn.key"), axis=0)
        weighted = graph.add("Mul", weights, graph.linear(x, f"{layer}.attn.value"))
        gate = graph.add("Sigmoid", graph.linear(x, f"{layer}.attn.query"))
        gated = graph.add("Mul", gate, graph.add("ReduceSum", weighted, rows, keepdims=1))
        x = graph.add("Add", x, graph.linear(gated, f"{layer}.attn.proj"))
        x = graph.layer_norm(x, f"{layer}.attn.layer_norm", EPSILON)
        x = graph.add("Add", x, of_maps(x, f"{layer}.ffn.mlp", 2))
        x = graph.layer_norm(x, f"{layer}.ffn.layer_norm", EPSILON)
    y = graph.linear(x, "final_proj")
    length = graph.add("ReduceL2", y, graph.constant([1]), keepdims=1)
    return graph.model(graph.add("Div", y, length), ["n", 128])
