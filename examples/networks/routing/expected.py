"""Writes what routing_test compares with: an instance, its greedy tours, and the logits of all their steps, computed in
double by PyTorch's operators.

    python examples/networks/routing/expected.py routing.safetensors expected.safetensors
"""

import sys

import torch
from safetensors.torch import save_file

import model

CITIES = 20


def main():
    weights, path = sys.argv[1:]
    network = model.load(weights).double()
    places = torch.rand(1, CITIES, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    in_square = model.normalised(places).float().double()  # the program's are float32
    tours = model.make_tours(network, in_square)
    encoded = network.encode(in_square)
    logits, is_open = [], torch.ones(1, CITIES, CITIES, dtype=torch.bool)
    for step in range(CITIES - 1):
        is_open = is_open.scatter(2, tours[:, :, step, None], False)
        each = network.logits(encoded, tours[:, :, 0], tours[:, :, step], is_open)
        logits.append(each[0].masked_fill(~is_open[0], 0).float())
    save_file({"places": places[0], "tours": tours[0].double(), "logits": torch.stack(logits)}, path)


if __name__ == "__main__":
    main()
