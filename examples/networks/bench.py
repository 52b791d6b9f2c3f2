#!/usr/bin/env python3
"""Times networks beside PyTorch and ONNX Runtime, whose results must be ours. Contestants are processes that take turns
on the same processors; those that don't have their turn are stopped. The time is that of the fastest call of all turns:
on one thread its processor time, which neighbours on the same machine don't add to.

    python bench.py featurebooster WEIGHTS       SIFT+Boost-F, of images with 96, 500 and 2000 keypoints
    python bench.py characters MODEL             a text of 256 characters, one by one; all peers but the one "with a state"
                                                 compute the text so far for each of them
    python bench.py work NETWORK PEER THREADS FILE      what the other two start
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = {"featurebooster": ["PyTorch", "PyTorch compiled", "ONNX Runtime"],
         "characters": ["PyTorch", "PyTorch compiled", "PyTorch with a state", "ONNX Runtime"]}
KEYPOINTS = [96, 500, 2000]
PROMPT, LENGTH = "The Licensor ", 256
TURN_S = 0.3
LARGEST_DIFFERENCE = 1e-5


# ---- the peers: a network as a function of NumPy arrays


def session(model, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in made.get_inputs()]
    return lambda *inputs: made.run(None, dict(zip(names, inputs)))[0]


def of_torch(module, peer, threads):
    import torch

    torch.set_num_threads(threads)
    run = torch.compile(module, dynamic=True) if peer.endswith("compiled") else module

    def call(*inputs):
        with torch.inference_mode():
            return run(*(torch.from_numpy(each) for each in inputs)).numpy()

    return call


def boosting(peer, threads, weights, features):
    from safetensors.numpy import load_file

    sys.path[:0] = [str(HERE / "featurebooster"), str(HERE)]
    import peers

    tensors = load_file(weights)
    call = (session(peers.onnx_model(tensors), threads) if peer == "ONNX Runtime" else
            of_torch(peers.module(tensors), peer, threads))
    file = load_file(features)
    return lambda: call(file["descriptors"], file["keypoints"])


def writing(peer, threads, path):
    sys.path[:0] = [str(HERE / "characters"), str(HERE)]
    import peers

    module, alphabet = peers.load(path)
    call = (session(peers.onnx_model(path), threads) if peer == "ONNX Runtime" else
            peers.Stepper(module) if peer == "PyTorch with a state" else of_torch(module, peer, threads))

    def write():
        text = [alphabet.index(each) for each in PROMPT]
        while len(text) < LENGTH:
            text.append(int(call(numpy.array([text]))[0, -1].argmax()))
        return numpy.array(text, numpy.float32)

    return write


def work(network, peer, threads, *files):
    """Answers requests: {"output": file} by the result in this file, {"seconds": s} by the fastest call of s seconds."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    call = {"featurebooster": boosting, "characters": writing}[network](peer, int(threads), *files)
    clock = time.process_time if int(threads) == 1 else time.perf_counter
    for line in sys.stdin:
        request, fastest, start = json.loads(line), float("inf"), time.perf_counter()
        if "output" in request:
            numpy.save(request["output"], call())
        while time.perf_counter() - start < request.get("seconds", 0):
            before = clock()
            call()
            fastest = min(fastest, clock() - before)
        print(json.dumps({"seconds": fastest}), file=answers)


# ---- ours


class Booster:
    def __init__(self, options, features, cpus):
        self.cpus, self.output = cpus, features + ".boosted"
        self.command = [options.build / "featurebooster/featurebooster", options.file, features, self.output]

    def run(self, *arguments):
        return subprocess.run([*self.command, *map(str, arguments)], check=True, capture_output=True, text=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, self.cpus))

    def result(self):
        from safetensors.numpy import load_file

        self.run()
        return load_file(self.output)["descriptors"]

    def seconds(self, least):
        once = self.time(self.run(1).stdout)
        return self.time(self.run(max(1, round(least / once))).stdout)

    def time(self, printed):
        """Of the two that the programs print."""
        seconds, of_processors = map(float, printed.split())
        return of_processors if len(self.cpus) == 1 else seconds


class Characters(Booster):
    def __init__(self, options, cpus):
        self.cpus, self.count = cpus, LENGTH - len(PROMPT)
        self.command = [options.build / "characters/characters", options.file, PROMPT, str(self.count)]

    def result(self):
        from safetensors import safe_open

        with safe_open(self.command[1], "numpy") as file:
            alphabet = file.metadata()["alphabet"]
        return numpy.array([alphabet.index(each) for each in self.run(0, 1e-4).stdout[:LENGTH]], numpy.float32)

    def seconds(self, least):
        fastest, start = float("inf"), time.perf_counter()
        while time.perf_counter() - start < least:
            fastest = min(fastest, self.time(self.run(0, 1e-4).stderr))
        return fastest


# ---- the comparison


def compare(ours, network, files, threads, turns, folder):
    """{contestant: seconds}, after all results were found the same."""
    from turns import Worker

    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    log = open(os.path.join(folder, "log"), "w+", encoding="utf-8")
    workers = {peer: Worker([sys.executable, __file__, "work", network, peer, str(threads), *files], environment,
                            ours.cpus, log) for peer in PEERS[network]}
    expected, seconds = ours.result(), {"ours": []}
    try:
        for peer, worker in workers.items():
            output = os.path.join(folder, "y.npy")
            worker.ask(output=output)
            difference = abs(numpy.load(output) - expected).max() / abs(expected).max()
            if not difference <= LARGEST_DIFFERENCE:
                sys.exit(f"{peer} differs from ours by {difference}")
            seconds[peer] = []
        for _ in range(turns):
            seconds["ours"].append(ours.seconds(TURN_S))
            for peer, worker in workers.items():
                seconds[peer].append(worker.ask(seconds=TURN_S)["seconds"])
    except RuntimeError as error:
        log.seek(0)
        sys.exit(f"{log.read()[-2000:]}{peer}: {error}")
    finally:
        for worker in workers.values():
            worker.end()
    return {each: min(times) for each, times in seconds.items()}


def features_of(folder, n):
    """Descriptors and keypoints as an image could have them."""
    from safetensors.numpy import save_file

    random = numpy.random.default_rng(0)
    descriptors = random.random((n, 128), numpy.float32) ** 3
    descriptors /= numpy.linalg.norm(descriptors, axis=1, keepdims=True)
    keypoints = numpy.column_stack([random.uniform(-0.7, 0.7, (n, 2)), random.uniform(1, 10, n),
                                    random.uniform(0, 2 * numpy.pi, n)]).astype(numpy.float32)
    path = os.path.join(folder, f"{n}.safetensors")
    save_file({"descriptors": descriptors, "keypoints": keypoints}, path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=("featurebooster", "characters"))
    parser.add_argument("file", help="its weights")
    cores = sorted(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, nargs="*", default=sorted({1, len(cores)}))
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/examples/networks", metavar="FOLDER")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "bench/peers"))
    peers = PEERS[options.network]
    print("| threads | size | ours, ms |", " | ".join(f"{peer}, ms" for peer in peers), "|")
    print("|---|---|---|" + "---|" * len(peers))
    with tempfile.TemporaryDirectory() as folder:
        for threads in options.threads:
            for size in KEYPOINTS if options.network == "featurebooster" else [LENGTH]:
                cpus = cores[:threads]
                if options.network == "featurebooster":
                    files = [options.file, features_of(folder, size)]
                    ours = Booster(options, files[1], cpus)
                else:
                    files, ours = [options.file], Characters(options, cpus)
                found = compare(ours, options.network, files, threads, options.turns, folder)
                print(f"| {threads} | {size} |", " | ".join(f"{1e3 * each:.3g}" for each in found.values()), "|", flush=True)


if __name__ == "__main__":
    work(*sys.argv[2:]) if sys.argv[1:2] == ["work"] else main()
