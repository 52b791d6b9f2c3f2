"""aft-pytorch as it is, and the layers written in PyTorch: keys less their maximum, exp(w) computed once, query,
key and value in one product, only the band of AFTLocal or all of it."""

import torch
import torch.nn.functional as F
from aft_pytorch import AFTFull, AFTLocal, AFTSimple


def prepare(threads):
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)


def aft_pytorch(problem):
    module = {"full": AFTFull, "simple": AFTSimple, "local": AFTLocal}[problem.layer]
    options = {"s": problem.window} if problem.layer == "local" else {}
    layer = module(problem.seq, problem.hidden, problem.projected, **options).eval()
    layer.load_state_dict({key: torch.from_numpy(problem.tensors[key]) for key in layer.state_dict()})
    return layer


class Layer(torch.nn.Module):
    def __init__(self, problem, form):
        super().__init__()
        self.layer, self.form, self.seq = problem.layer, form, problem.seq
        self.input_weight = torch.from_numpy(problem.input_weight.T.copy())
        self.input_bias = torch.from_numpy(problem.input_bias)
        self.output_weight = torch.from_numpy(problem.output_weight.T.copy())
        self.output_bias = torch.from_numpy(problem.output_bias)
        if form == "banded":
            sources, weights = problem.band()
            self.window, (self.blocks, self.sources) = problem.window, sources.shape
            self.weights = torch.from_numpy(weights)
            self.targets = weights.shape[1]
        elif problem.layer != "simple":
            self.weights = torch.from_numpy(problem.exp_bias())

    def forward(self, x):
        query, key, value = F.linear(x, self.input_weight, self.input_bias).chunk(3, -1)
        weight = torch.exp(key - key.amax(1, keepdim=True))
        weighted = weight * value
        if self.layer == "simple":
            mean = weighted.sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        elif self.form == "dense":
            mean = (self.weights @ weighted) / (self.weights @ weight)
        else:
            terms = torch.cat([weighted, weight], -1)
            before = self.window - 1
            after = self.blocks * self.targets - self.seq + before
            sources = F.pad(terms, (0, 0, before, after)).unfold(1, self.sources, self.targets)
            band = (self.weights @ sources.transpose(2, 3)).flatten(1, 2)[:, :self.seq]
            numerator, denominator = (terms.sum(1, keepdim=True) + band).chunk(2, -1)
            mean = numerator / denominator
        return F.linear(torch.sigmoid(query) * mean, self.output_weight, self.output_bias)


def make(problem, form):
    kind, mode = form.split()
    layer = aft_pytorch(problem) if kind == "aft-pytorch" else Layer(problem, kind)
    x = torch.from_numpy(problem.x)
    if mode == "compiled":
        torch._dynamo.reset()  # or it counts the layers before as recompilations
        layer = torch.compile(layer, dynamic=False, fullgraph=True)
        layer(x)  # it compiles at the first call
    return lambda: layer(x)
