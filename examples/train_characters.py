"""Trains a small model of text with AFT layers of aft.torch, or of aft-pytorch.

It predicts hidden characters from those around them or, with --causal, the next character from those before. Each step
prints its loss as a line of JSON. The same seed gives the same initial weights and the same batches with both packages.

    python examples/train_characters.py --layer full --steps 200 README.md docs/*.md
    torchrun --nproc-per-node 2 examples/train_characters.py README.md docs/*.md  # the joint batch on 2 processes

--save writes the model for examples/networks/characters, in bfloat16.
"""

import argparse
import importlib
import json
import os
import pathlib
import time

import torch
import torch.nn.functional as F
from torch import nn

HIDDEN_SHARE = 0.15


class Block(nn.Module):
    def __init__(self, mix, dim):
        super().__init__()
        self.mix = mix
        self.before_mix, self.before_net = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.net = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        x = x + self.mix(self.before_mix(x))
        return x + self.net(self.before_net(x))


class Model(nn.Module):
    """Scores of each character at each position, [batch, seq, characters]."""

    def __init__(self, make_layer, characters, seq, dim, blocks):
        super().__init__()
        self.characters = nn.Embedding(characters + 1, dim)  # and the sign for a hidden one
        self.positions = nn.Parameter(0.02 * torch.randn(seq, dim))
        self.blocks = nn.Sequential(*(Block(make_layer(), dim) for _ in range(blocks)))
        self.scores = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, characters))

    def forward(self, text):
        return self.scores(self.blocks(self.characters(text) + self.positions[:text.shape[1]]))


def loss_of(model, text, is_hidden, characters, causal):
    if causal:
        scores, expected = model(text[:, :-1]), text[:, 1:]
        return F.cross_entropy(scores.flatten(0, 1), expected.flatten(), reduction="sum"), expected.numel()
    scores = model(text.masked_fill(is_hidden, characters))
    return F.cross_entropy(scores[is_hidden], text[is_hidden], reduction="sum"), int(is_hidden.sum())


def batches(options, text):
    """The joint batches of all processes: pieces of the text, and which of their characters are hidden."""
    generator = torch.Generator().manual_seed(options.seed)
    while True:
        first = torch.randint(len(text) - options.seq, (options.batch,), generator=generator)
        pieces = torch.stack([text[i:i + options.seq + options.causal] for i in first])
        yield pieces, torch.rand(pieces.shape, generator=generator) < HIDDEN_SHARE


def save(model, alphabet, options):
    """All tensors in bfloat16, the position biases without what lies outside of their windows."""
    from safetensors.torch import save_file

    tensors = {name: values.detach().bfloat16() for name, values in model.state_dict().items()}
    for name, bias in tensors.items():
        if name.endswith("wbias") and options.layer == "local":
            tensors[name] = bias.tril().triu(1 - options.window)
    metadata = {"alphabet": "".join(alphabet), "layer": options.layer, "window": str(options.window)}
    save_file({name: values.contiguous() for name, values in tensors.items()}, options.save, metadata)


def train(options):
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1:
        torch.distributed.init_process_group("gloo")
    if options.threads:
        torch.set_num_threads(options.threads)
    text = "".join(pathlib.Path(each).read_text(encoding="utf-8") for each in options.text)
    alphabet = sorted(set(text))
    if options.save and not text.isascii():
        raise ValueError("--save: the text isn't ASCII")
    text = torch.tensor([alphabet.index(each) for each in text])

    torch.manual_seed(options.seed)
    package = importlib.import_module(options.package)
    kind = {"full": "AFTFull", "simple": "AFTSimple", "local": "AFTLocal"}[options.layer]
    more = {"s": options.window} if options.layer == "local" else {}
    if options.causal:
        more["causal"] = True
    model = Model(lambda: getattr(package, kind)(options.seq, options.dim, options.dim, **more), len(alphabet),
                  options.seq, options.dim, options.blocks)
    run = nn.parallel.DistributedDataParallel(model) if processes > 1 else model
    if options.compile:
        run = torch.compile(run)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate)

    share = options.batch // processes
    mine = slice(rank * share, (rank + 1) * share)
    for step, (pieces, is_hidden) in zip(range(options.steps), batches(options, text)):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss, count = loss_of(run, pieces[mine], is_hidden[mine], len(alphabet), options.causal)
        sums = torch.tensor([float(loss.detach()), float(count)], dtype=torch.float64)
        if processes > 1:
            torch.distributed.all_reduce(sums)
        # The gradients of the processes are averaged.
        (loss * (processes / float(sums[1]))).backward()
        optimizer.step()
        if rank == 0:
            print(json.dumps({"step": step, "loss": float(sums[0] / sums[1]),
                              "seconds": time.perf_counter() - start}), flush=True)
    if processes > 1:
        torch.distributed.destroy_process_group()
    if options.save and rank == 0:
        save(model, alphabet, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="+", help="files that it learns from")
    parser.add_argument("--package", default="aft.torch", help="aft.torch, or aft_pytorch")
    parser.add_argument("--layer", default="full", choices=("full", "simple", "local"))
    parser.add_argument("--causal", action="store_true", help="predict the next character; not with aft_pytorch")
    parser.add_argument("--window", type=int, default=16, help="of local")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16, help="of all processes together")
    parser.add_argument("--seq", type=int, default=128)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--save", metavar="FILE", help="of a causal model, whose text is ASCII")
    options = parser.parse_args()
    if options.batch % int(os.environ.get("WORLD_SIZE", 1)):
        parser.error(f"--batch {options.batch} can't be divided among the processes")
    if options.save and not options.causal:
        parser.error("--save: the model must be causal")
    train(options)


if __name__ == "__main__":
    main()
