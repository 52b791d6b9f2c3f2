"""Prints how much longer than LKH's the network's tours are, as a table in Markdown. Needs elkai, which has LKH 3.

    python examples/networks/routing/gap.py routing.safetensors --cities 20 35 50 100
"""

import argparse

import elkai
import torch

import model

PRECISION = 1e6  # LKH takes whole numbers


def of_lkh(places):
    """Lengths of LKH's tours, [B]."""
    tours = []
    for each in torch.cdist(places, places):
        tours.append(elkai.DistanceMatrix((each * PRECISION).round().int().tolist()).solve_tsp()[:-1])
    return model.lengths(places, torch.tensor(tours)[:, None])[:, 0]


def of_nearest(places):
    """Lengths of the tours that go from every city to the nearest one that they haven't visited, [B, N]."""
    B, N = places.shape[:2]
    distances = torch.cdist(places, places)
    tours, is_open = [torch.arange(N).expand(B, N)], torch.ones(B, N, N, dtype=torch.bool)
    for _ in range(N - 1):
        is_open = is_open.scatter(2, tours[-1][:, :, None], False)
        tours.append(model.rows(distances, tours[-1]).masked_fill(~is_open, torch.inf).argmin(2))
    return model.lengths(places, torch.stack(tours, 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--cities", type=int, nargs="+", default=[20, 35, 50, 100])
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = model.load(options.weights)
    print("| cities | nearest, one start | nearest, best start | network, one start | network, best start |")
    print("|---|---|---|---|---|")
    for N in options.cities:
        generator = torch.Generator().manual_seed(options.seed)
        places = torch.rand(options.instances, N, 2, dtype=torch.float64, generator=generator)
        best = of_lkh(places)
        cells = []
        tours = torch.cat([model.make_tours(network, model.normalised(each).float()) for each in places.split(20)])
        for lengths in (of_nearest(places), model.lengths(places, tours)):
            for found in (lengths[:, 0], lengths.amin(1)):
                cells.append(f"{100 * (found / best - 1).mean():.1f} %")
        print(f"| {N} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
