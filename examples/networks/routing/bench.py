"""Times the tours of one instance from every city, by the C++ program, PyTorch and ONNX Runtime in turns.

Prints a table in Markdown: milliseconds of processor time on one thread, the least of many rounds. So other programs on
the machine count little. PyTorch runs the network of model.py by its own operators, eager and compiled; compiled are
the encoder and a step. The ONNX model has all steps in one graph. All must find the same tours.

    cmake --build build --target routing_time
    build/peers-venv/bin/python examples/networks/routing/bench.py build/examples/networks/routing/routing_time
"""

import argparse
import pathlib
import subprocess
import tempfile
import time
import warnings

import onnxruntime
import torch
from safetensors.torch import save_file

import model

WEIGHTS = pathlib.Path(__file__).with_name("routing.safetensors")


class Greedy(torch.nn.Module):
    """What ONNX Runtime computes: the tours of an instance or, without the steps, its encoding."""

    def __init__(self, network, steps):
        super().__init__()
        self.network, self.steps = network, steps

    def forward(self, places):
        return model.make_tours(self.network, places) if self.steps else self.network.encode(places)


def compiled(network):
    """The network with a compiled encoder and step."""
    network.encode, network.logits = torch.compile(network.encode), torch.compile(network.logits)
    return network


class Pytorch:
    def __init__(self, network, places):
        self.network, self.places = network, places

    @torch.no_grad()
    def encode(self):
        return self.network.encode(self.places)

    def tours(self):
        return model.make_tours(self.network, self.places)


class Onnx:
    def __init__(self, network, places, folder):
        self.places = {"places": places.numpy()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.sessions = []
        for steps in (False, True):
            path = f"{folder}/{places.shape[1]}_{steps}.onnx"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the exporter that needs no further package is an old one
                torch.onnx.export(Greedy(network, steps), (places,), path, input_names=["places"], dynamo=False,
                                  opset_version=18)
            self.sessions.append(onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]))

    def encode(self):
        return self.sessions[0].run(None, self.places)

    def tours(self):
        return torch.from_numpy(self.sessions[1].run(None, self.places)[0])


class Program:
    def __init__(self, program, places, folder):
        path = f"{folder}/{places.shape[0]}.safetensors"
        save_file({"places": places}, path)
        self.process = subprocess.Popen([program, WEIGHTS, path], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.found = torch.tensor([int(city) for city in self.process.stdout.readline().split()])

    def seconds(self):
        print(file=self.process.stdin, flush=True)
        return [float(each) for each in self.process.stdout.readline().split()]


def seconds_of(peer):
    """Of the encoding, and of all tours with it. The call before has filled the caches."""
    result = []
    for work in (peer.encode, peer.tours):
        work()
        start = time.process_time()
        work()
        result.append(time.process_time() - start)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="routing_time")
    parser.add_argument("--cities", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)

    print("| cities | | ours | PyTorch | PyTorch, compiled | ONNX Runtime |\n|---|---|---|---|---|---|")
    for N in options.cities:
        with tempfile.TemporaryDirectory() as folder:
            places = torch.rand(N, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(N))
            in_square = model.normalised(places[None]).float()
            torch.compiler.reset()
            program = Program(options.program, places, folder)
            peers = [Pytorch(model.load(WEIGHTS), in_square), Pytorch(compiled(model.load(WEIGHTS)), in_square),
                     Onnx(model.load(WEIGHTS), in_square, folder)]
            for peer in peers:
                if not torch.equal(peer.tours().flatten(), program.found):
                    raise SystemExit(f"{type(peer).__name__} finds other tours of {N} cities")
            rounds = [[program.seconds()] + [seconds_of(peer) for peer in peers] for _ in range(options.rounds)]
        best = torch.tensor(rounds).amin(0)  # [who, what]
        for what, name in enumerate(("encoding", "all tours")):
            cells = " | ".join(f"{1e3 * each:.2f}" for each in best[:, what].tolist())
            print(f"| {N} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
