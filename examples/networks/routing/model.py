"""A network that makes tours, of the kind of ICAM (arXiv 2405.01906), in PyTorch.

Encoder layers of AFT see all cities, with the position bias -alpha log2(N) distance. A decoder step has one target for
each tour in the making: it sees the cities that the tour still has to visit, with such a bias too, and gives each a
logit. One tour starts at every city.

    B instances, N cities, n targets, D channels
"""

import math

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

CLIP = 10.0  # logits are CLIP tanh(...)


def plain_mean(query, key, value, position_bias, *, mask=None):
    """sigmoid(Q) sum exp(K + w) V / sum exp(K + w), [B, n, D], by PyTorch's operators alone.

    query: [B, n, D]. key, value: [B, N, D]. position_bias: [B, n, N]. mask: [B, n, N], true where a target sees a city.
    """
    if mask is not None:
        position_bias = position_bias.masked_fill(~mask, -math.inf)
    weight = torch.exp(key - key.amax(1, keepdim=True))
    pairs = torch.exp(position_bias - position_bias.amax(2, keepdim=True))
    return torch.sigmoid(query) * (pairs @ (weight * value)) / (pairs @ weight)


class InstanceNorm(nn.Module):
    """Mean 0 and variance 1 of each channel over the cities, then a factor and a bias."""

    def __init__(self, dim):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        x = x - x.mean(1, keepdim=True)
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5) * self.weight + self.bias


class Aft(nn.Module):
    """The projections of an AFT layer without an output projection, and the alpha of its position bias."""

    def __init__(self, dim, mean):
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.alpha = nn.Parameter(torch.ones(()))
        self.mean = mean

    def sources(self, x):
        return self.to_k(x), self.to_v(x)

    def forward(self, query, sources, scaled, mask=None):
        return self.mean(self.to_q(query), *sources, -self.alpha * scaled, mask=mask)


class EncoderLayer(nn.Module):
    def __init__(self, dim, mean):
        super().__init__()
        self.aft = Aft(dim, mean)
        self.norm1, self.norm2 = InstanceNorm(dim), InstanceNorm(dim)
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x, scaled):
        x = self.norm1(x + self.aft(x, self.aft.sources(x), scaled))
        return self.norm2(x + self.down(F.relu(self.up(x))))


class Network(nn.Module):
    """mean: plain_mean, or aft.torch.mean."""

    def __init__(self, dim=64, layers=3, mean=plain_mean):
        super().__init__()
        self.embed = nn.Linear(2, dim)
        self.layers = nn.ModuleList(EncoderLayer(dim, mean) for _ in range(layers))
        self.first = nn.Linear(dim, dim)
        self.decoder = Aft(dim, mean)
        self.alpha = nn.Parameter(torch.ones(()))  # of the logits

    def encode(self, places):
        """What the steps need. places: [B, N, 2], in the unit square.

        cities, first: [B, N, D], of the cities and of the starts. scaled: [B, N, N], log2(N) distance. Then the kept
        sources of the decoder, both [B, N, D].
        """
        difference = places[:, :, None] - places[:, None]
        scaled = math.log2(places.shape[1]) * difference.square().sum(3).sqrt()
        cities = self.embed(places)
        for layer in self.layers:
            cities = layer(cities, scaled)
        return cities, self.first(cities), scaled, *self.decoder.sources(cities)

    def logits(self, encoded, start, current, is_open):
        """[B, n, N], -inf for a city that isn't open.

        start, current: [B, n], the first and the last city of each tour so far. is_open: [B, n, N].
        """
        cities, first, scaled, *sources = encoded
        distances = rows(scaled, current)
        context = self.decoder(rows(first, start) + rows(cities, current), sources, distances, is_open)
        scores = context @ cities.transpose(1, 2) / math.sqrt(cities.shape[2]) - self.alpha * distances
        return (CLIP * torch.tanh(scores)).masked_fill(~is_open, -math.inf)


def load(path, mean=plain_mean):
    """The network of a file of weights, in float32."""
    weights = {name: each.float() for name, each in load_file(path).items()}
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    network = Network(weights["embed.weight"].shape[0], layers, mean)
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def rows(x, index):
    """x[b, index[b, i]], [B, n, C], for x of [B, N, C]."""
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


def normalised(places):
    """The places moved and scaled into the unit square, [B, N, 2]. The longer side of their box becomes 1."""
    low = places.amin(1, keepdim=True)
    side = (places.amax(1, keepdim=True) - low).amax(2, keepdim=True)
    return (places - low) / torch.where(side > 0, side, 1)


def lengths(places, tours):
    """Of closed tours, [B, n]. places: [B, N, 2]. tours: [B, n, N], the cities in order."""
    B, n, N = tours.shape
    stops = rows(places, tours.reshape(B, n * N)).reshape(B, n, N, 2)
    return (stops - stops.roll(-1, 2)).square().sum(3).sqrt().sum(2)


@torch.no_grad()
def make_tours(network, places):
    """Greedy tours from every city, [B, N, N]."""
    B, N = places.shape[:2]
    encoded = network.encode(places)
    start = torch.arange(N).expand(B, N)
    tours, is_open = [start], torch.ones(B, N, N, dtype=torch.bool)
    for _ in range(N - 1):
        is_open = is_open & (torch.arange(N) != tours[-1][:, :, None])
        tours.append(network.logits(encoded, start, tours[-1], is_open).argmax(2))
    return torch.stack(tours, 2)


def log_probabilities(network, places, tours):
    """Of each step of the tours but the last one, which has no choice: [B, n, N - 2]. tours: [B, n, N].

    All steps of all tours of an instance are the targets of one call.
    """
    B, n, N = tours.shape
    time = torch.empty_like(tours).scatter_(2, tours, torch.arange(N).expand(B, n, N))  # when a tour visits a city
    is_open = time[:, :, None] > torch.arange(N - 2)[:, None]  # [B, n, N - 2, N]
    flat = [B, n * (N - 2)]
    current, following = (tours[:, :, i:N - 2 + i].reshape(flat) for i in (0, 1))
    start = tours[:, :, :1].expand(B, n, N - 2).reshape(flat)
    logits = network.logits(network.encode(places), start, current, is_open.reshape(flat + [N]))
    chosen = logits.gather(2, following[:, :, None])[:, :, 0] - logits.logsumexp(2)
    return chosen.reshape(B, n, N - 2)
