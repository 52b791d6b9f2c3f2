"""aft-pytorch as it is, and the layers written in PyTorch: keys less their maximum, exp(w) computed once, query,
key and value in one product, only the band of AFTLocal or all of it.

A form has its kind, "training" or not, for products of bfloat16 "autocast" (float32 weights and input under
torch.autocast) or "bfloat16" (weights and input), and "eager" or "compiled". In both, PyTorch rounds the results of
products to bfloat16, and with them keys, exponentials, means and gated values; it adds products in float32.
"""

import contextlib
import importlib

import torch
import torch.nn.functional as F
from torch._higher_order_ops.associative_scan import associative_scan

MAX_COMPILED_STEPS = 64
PACKAGES = {"aft-pytorch": "aft_pytorch", "aft.torch": "aft.torch"}


def dtype_of(form):
    return torch.bfloat16 if "bfloat16" in form.split() else torch.float32


def autocast_of(form):
    return torch.autocast("cpu", torch.bfloat16) if "autocast" in form.split() else contextlib.nullcontext()


def array(y):
    return y.float().numpy()


def prepare(threads):
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)


def drop_in(problem, package):
    """A layer of aft_pytorch, or of aft.torch, whose modules have the same arguments and parameters."""
    kind = problem.layer.removeprefix("causal_")
    options = {"s": problem.window} if kind == "local" else {}
    if problem.is_causal:
        options["causal"] = True
    module = getattr(importlib.import_module(package), f"AFT{kind.capitalize()}")
    layer = module(problem.seq, problem.hidden, problem.projected, **options).eval()
    layer.load_state_dict({key: torch.from_numpy(problem.tensors[key]) for key in layer.state_dict()})
    return layer


def exp_below_maximum(x, dim):
    """The largest cancels in a mean. Its gradient is 0 but for roundings, so that a step of training leaves it out."""
    return torch.exp(x - x.amax(dim, keepdim=True).detach())


def later(left, right):
    """Two stretches of wkv's sources as one: (decay of the stretch, largest exponent, numerator, denominator)."""
    decay, exponent = left[0] + right[0], left[1] - right[0]
    top = torch.maximum(exponent, right[1])
    before, now = torch.exp(exponent - top), torch.exp(right[1] - top)
    return decay, top, before * left[2] + now * right[2], before * left[3] + now * right[3]


class Layer(torch.nn.Module):
    def __init__(self, problem, form, dtype):
        super().__init__()
        self.layer, self.form, self.is_causal = problem.layer, form, problem.is_causal
        if self.layer == "given":
            return

        def tensor(values):
            return torch.from_numpy(values).to(dtype)

        self.seq = problem.seq
        self.input_weight = tensor(problem.input_weight.T.copy())
        self.input_bias = tensor(problem.input_bias)
        self.output_weight = tensor(problem.output_weight.T.copy())
        self.output_bias = tensor(problem.output_bias)
        if form == "banded":
            sources, weights = problem.band()
            self.window, (self.blocks, self.sources) = problem.window, sources.shape
            self.weights = tensor(weights)
            self.targets = weights.shape[1]
        elif form == "blocked":
            self.weights = [tensor(weights) for weights in problem.triangle()]
        elif self.layer == "conv":
            self.weights = tensor(problem.filter()[:, None].copy())
        elif self.layer == "wkv":
            self.decay, self.bonus = (tensor(problem.tensors[name]) for name in ("decay", "bonus"))
        elif self.layer.endswith(("full", "local")):
            self.weights = tensor(problem.exp_bias())

    def forward(self, *inputs):
        if self.layer == "given":
            query, key, value, bias = inputs
            weight = exp_below_maximum(key, 1)
            return torch.sigmoid(query) * self.mean_of_call(bias, torch.cat([weight * value, weight], -1))
        projected = F.linear(inputs[0], self.input_weight, self.input_bias)
        if self.layer == "kept":
            query, mean = projected, self.mean_of_call(*inputs[1:])
        else:
            query, key, value = projected.chunk(3, -1)
            mean = self.mean(key, value)
        return F.linear(torch.sigmoid(query) * mean, self.output_weight, self.output_bias)

    def mean_of_call(self, bias, terms):
        numerator, denominator = (exp_below_maximum(bias, 2) @ terms).chunk(2, -1)
        return numerator / denominator

    def mean(self, key, value):
        if self.form == "associative":
            return self.associative_mean(key, value)
        if self.layer == "wkv":
            return self.recurrent_mean(key, value)
        weight = exp_below_maximum(key, 1)
        weighted = weight * value
        if self.form == "dense" and self.layer != "conv":
            return self.sums(weighted) / self.sums(weight)
        numerator, denominator = self.sums(torch.cat([weighted, weight], -1)).chunk(2, -1)
        return numerator / denominator

    def sums(self, terms):
        if self.form == "blocked":
            return torch.cat([weights @ terms[:, :weights.shape[1]] for weights in self.weights], 1)
        if self.layer == "conv":
            padded = F.pad(terms.transpose(1, 2), (self.weights.shape[2] - 1, 0))
            return terms.cumsum(1) + F.conv1d(padded, self.weights, groups=terms.shape[2]).transpose(1, 2)
        if self.form == "banded":
            before = self.window - 1
            after = self.blocks * self.targets - self.seq + self.sources - self.targets - before
            sources = F.pad(terms, (0, 0, before, after)).unfold(1, self.sources, self.targets)
            band = (self.weights @ sources.transpose(2, 3)).flatten(1, 2)[:, :self.seq]
            return (terms.cumsum(1) if self.is_causal else terms.sum(1, keepdim=True)) + band
        if self.layer == "causal_simple":
            return terms.cumsum(1)
        return terms.sum(1, keepdim=True) if self.layer == "simple" else self.weights @ terms

    def with_current(self, exponent, numerator, denominator, key, value):
        """wkv's mean of the sources before and the current one."""
        current = key + self.bonus
        top = torch.maximum(exponent, current)
        before, now = torch.exp(exponent - top), torch.exp(current - top)
        return (before * numerator + now * value) / (before * denominator + now)

    def recurrent_mean(self, key, value):
        exponent = torch.full_like(key[:, 0], -1e38)
        numerator, denominator = torch.zeros_like(exponent), torch.zeros_like(exponent)
        means = []
        for k, v in zip(key.unbind(1), value.unbind(1)):
            means.append(self.with_current(exponent, numerator, denominator, k, v))
            decayed = exponent - self.decay
            exponent = torch.maximum(decayed, k)
            before, now = torch.exp(decayed - exponent), torch.exp(k - exponent)
            numerator, denominator = before * numerator + now * v, before * denominator + now
        return torch.stack(means, 1)

    def associative_mean(self, key, value):
        decay = self.decay.expand_as(key).contiguous()
        sources = (decay, key.contiguous(), value.contiguous(), torch.ones_like(key))
        _, *state = associative_scan(later, sources, 1, combine_mode="generic")
        before = (F.pad(each[:, :-1], (0, 0, 1, 0), value=first) for each, first in zip(state, (-1e38, 0, 0)))
        return self.with_current(*before, key, value)


class TrainedLayer(torch.nn.Module):
    """The same with parameters: exp(w) is a part of each step."""

    def __init__(self, problem):
        super().__init__()
        self.input = torch.nn.Linear(problem.hidden, 3 * problem.projected)
        self.output = torch.nn.Linear(problem.projected, problem.hidden)
        self.load(self.input, problem.input_weight, problem.input_bias)
        self.load(self.output, problem.output_weight, problem.output_bias)
        self.is_simple, self.is_causal, self.hidden = problem.layer.endswith("simple"), problem.is_causal, None
        if not self.is_simple:
            self.position_bias = torch.nn.Parameter(torch.from_numpy(problem.tensors["wbias"]))
            t = torch.arange(problem.seq)
            distance = t[:, None] - t
            self.outside = abs(distance) >= problem.window if problem.layer.endswith("local") else None
            self.hidden = distance < 0 if self.is_causal else None

    @staticmethod
    def load(linear, weight, bias):
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.T.copy()))
            linear.bias.copy_(torch.from_numpy(bias))

    def forward(self, x):
        query, key, value = self.input(x).chunk(3, -1)
        weight = exp_below_maximum(key, 1)
        terms = torch.cat([weight * value, weight], -1)
        if self.is_simple:
            sums = terms.cumsum(1) if self.is_causal else terms.sum(1, keepdim=True)
        else:
            bias = self.position_bias
            if self.outside is not None:
                bias = bias.masked_fill(self.outside, 0)
            if self.hidden is not None:
                bias = bias.masked_fill(self.hidden, -torch.inf)
            sums = exp_below_maximum(bias, 1) @ terms
        numerator, denominator = sums.chunk(2, -1)
        return self.output(torch.sigmoid(query) * (numerator / denominator))


def step_of(problem, kind, mode, form):
    """A step of training: y and the gradient of x, whose dL/dy is x."""
    scratch_before = scratch_bytes(kind)  # of problems before
    layer = drop_in(problem, PACKAGES[kind]).train() if kind in PACKAGES else TrainedLayer(problem)
    layer.to(dtype_of(form))
    x = torch.from_numpy(problem.inputs["x"]).to(dtype_of(form)).requires_grad_()
    dy = x.detach().clone()
    if "autocast" in form:
        dy = dy.bfloat16()  # as y
    run = layer
    if mode == "compiled":
        torch._dynamo.reset()
        run = torch.compile(layer, dynamic=False, fullgraph=True)

    def step():
        layer.zero_grad(set_to_none=True)
        x.grad = None
        with torch.enable_grad(), autocast_of(form):
            y = run(x)
        y.backward(dy)
        return y.detach(), x.grad

    step()
    step.scratch_bytes = scratch_bytes(kind) - scratch_before
    return step


def scratch_bytes(kind):
    """What the kernels of aft.torch keep between calls."""
    return importlib.import_module("aft.torch").scratch_bytes() if kind == "aft.torch" else 0


def peak_bytes(step):
    """Bytes of tensors that a step of training holds at most, with what the kernels of aft.torch keep as scratch."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    held = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak + step.scratch_bytes


def make(problem, form):
    kind, mode = form.split()[0], form.split()[-1]
    if "training" in form:
        return step_of(problem, kind, mode, form)
    if (kind, mode) == ("recurrent", "compiled") and problem.seq > MAX_COMPILED_STEPS:
        raise NotImplementedError("torch.compile unrolls the loop over the sequence and takes minutes")
    dtype = dtype_of(form)
    layer = drop_in(problem, PACKAGES[kind]).to(dtype) if kind in PACKAGES else Layer(problem, kind, dtype)
    inputs = [torch.from_numpy(each).to(dtype) for each in problem.inputs.values()]
    if mode == "compiled":
        torch._dynamo.reset()  # or it counts the layers before as recompilations
        layer = torch.compile(layer, dynamic=False, fullgraph=True)

    def under_autocast():
        with autocast_of(form):
            return layer(*inputs)

    call = under_autocast if "autocast" in form else lambda: layer(*inputs)
    if mode == "compiled":
        call()  # it compiles at the first
    return call
