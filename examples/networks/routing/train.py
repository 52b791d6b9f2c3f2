"""Trains the network of model.py, and writes its weights in float16.

The network imitates the tours of OR-Tools' local search: each step maximises the probability of some of them, from any
start and in both directions. Places are uniform in the unit square. It needs torch, safetensors and ortools.

    PYTHONPATH=python AFT_LIBRARY=build/runtime/libaft.so python examples/networks/routing/train.py routing.safetensors
"""

import argparse
import json
import math
import time

import torch
from ortools.constraint_solver import pywrapcp, routing_enums_pb2
from safetensors.torch import save_file

import aft.torch

import model

PRECISION = 1e6  # OR-Tools takes whole numbers


def local_search(places):
    """A closed tour of OR-Tools, [N]. places: [N, 2]."""
    N = places.shape[0]
    manager = pywrapcp.RoutingIndexManager(N, 1, 0)
    routing = pywrapcp.RoutingModel(manager)
    distances = (torch.cdist(places, places) * PRECISION).round().long()
    routing.SetArcCostEvaluatorOfAllVehicles(routing.RegisterTransitMatrix(distances.tolist()))
    parameters = pywrapcp.DefaultRoutingSearchParameters()
    parameters.first_solution_strategy = routing_enums_pb2.FirstSolutionStrategy.CHRISTOFIDES
    solution = routing.SolveWithParameters(parameters)
    tour, index = [], routing.Start(0)
    while not routing.IsEnd(index):
        tour.append(manager.IndexToNode(index))
        index = solution.Value(routing.NextVar(index))
    return torch.tensor(tour)


def labelled(cities, instances):
    """For each number of cities: places [instances, N, 2], and tours [instances, N]."""
    result = []
    for N in range(cities[0], cities[1] + 1):
        places = torch.rand(instances, N, 2, dtype=torch.float64)
        result.append((places.float(), torch.stack([local_search(each) for each in places])))
    return result


def mirrored(places):
    """One of the 8 symmetries of the square for each instance."""
    swap, *flips = (torch.rand(3, places.shape[0], 1) < 0.5)
    places = torch.where(swap[:, :, None], places.flip(2), places)
    return torch.where(torch.stack(flips, 2), 1 - places, places)


def imitation(network, labels, batch, starts=4):
    """Minus the mean log of the probability of a step of the labels' tours."""
    places, tours = labels[int(torch.randint(len(labels), ()))]
    chosen = torch.randint(len(places), (batch,))
    places, tours = mirrored(places[chosen]), tours[chosen]
    N = places.shape[1]
    order = torch.arange(N) * torch.tensor([1, -1])[torch.randint(2, (batch, starts, 1))]
    order = (order + torch.randint(N, (batch, starts, 1))) % N
    tours = tours[:, None].expand(-1, starts, -1).gather(2, order)
    return -model.log_probabilities(network, model.normalised(places), tours).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="the file to write")
    parser.add_argument("--cities", type=int, nargs=2, default=[20, 50], help="from and to")
    parser.add_argument("--labelled", type=int, default=1000, help="instances for each number of cities")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=64, help="instances of a step")
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    start = time.perf_counter()
    labels = labelled(options.cities, options.labelled)
    test = model.normalised(torch.rand(100, options.cities[1], 2))
    network = model.Network(mean=aft.torch.mean)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(  # a warm-up, then a cosine
        optimizer, lambda step: min(1, step / 200) * 0.5 * (1 + math.cos(math.pi * step / options.steps)))
    for step in range(options.steps + 1):
        loss = imitation(network, labels, options.batch)
        if step % 200 == 0 or step == options.steps:
            length = model.lengths(test, model.make_tours(network, test)).amin(1).mean()
            print(json.dumps({"step": step, "loss": float(loss.detach()), "length": float(length),
                              "seconds": round(time.perf_counter() - start)}), flush=True)
            save_file({name: each.half() for name, each in network.state_dict().items()}, options.weights)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()


if __name__ == "__main__":
    main()
