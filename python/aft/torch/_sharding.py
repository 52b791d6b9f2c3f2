"""A layer whose sequence is shared among the processes of a group."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from .. import _library as c
from ._modules import AFTFull, AFTLocal, AFTSimple, mean


class _Exchange(torch.autograd.Function):
    """Sends a part of a vector to each process, and receives one from each. Gradients take the way back.

    `own` goes through unchanged: as long as a process uses that, it takes part in the way back, as all others wait for.
    """

    @staticmethod
    def forward(ctx, vector, own, sent, received, group):
        ctx.sent, ctx.received, ctx.group = sent, received, group
        result = vector.new_empty(sum(received))
        dist.all_to_all_single(result, vector.contiguous(), received, sent, group=group)
        return result, own.view_as(own)

    @staticmethod
    def backward(ctx, gradient, of_own):
        return *_Exchange.apply(gradient, of_own, ctx.received, ctx.sent, ctx.group), None, None, None


def _exchange(parts, own, shapes, group):
    """parts: a tensor for each process. shapes: of the tensors that come from each. Returns these, and `own`."""
    sizes = [torch.Size(shape).numel() for shape in shapes]
    received, own = _Exchange.apply(torch.cat([part.reshape(-1) for part in parts]), own,
                                    [part.numel() for part in parts], sizes, group)
    return [each.view(shape) for each, shape in zip(received.split(sizes), shapes)], own


def _as_one_source(key, value):
    """A key and a value that stand for many sources without a bias: [B, 1, 2 P]. Without sources, the key is -inf."""
    if key.shape[1] == 0:
        return torch.cat([key.new_full((len(key), 1, key.shape[2]), -torch.inf), value.new_zeros(len(key), 1,
                                                                                                value.shape[2])], 2)
    return torch.cat([key.logsumexp(1, keepdim=True), (key.softmax(1) * value).sum(1, keepdim=True)], 2)


def _rows_of_each(x, group):
    """How many rows each process has, after a look at all of them."""
    shapes = x.new_empty(dist.get_world_size(group), 3, dtype=torch.int64)
    dist.all_gather_into_tensor(shapes, torch.tensor([x.shape], device=x.device), group=group)
    if (shapes != shapes[0]).any():
        raise c.ShapeError(f"x is {shapes.tolist()} in the processes of the group, must be the same in all")
    return x.shape[1]


def _near(layer, rank, ranks, rows):
    """How many rows before and after its own a process needs one by one, at most `rows` of each neighbour; None if it
    needs those of more processes than its neighbours."""
    if layer.form == "full":
        return None
    reach = 0 if layer.form == "simple" else min(max(layer.s - 1, 0), rows * ranks)
    if reach > rows:
        return None
    return reach if rank > 0 else 0, reach if rank < ranks - 1 and not layer.causal else 0


def sequence_parallel(layer: AFTFull | AFTSimple | AFTLocal, x: Tensor,
                      group: dist.ProcessGroup | None = None) -> Tensor:
    """y of this process's rows, where the processes of a group share the sequence in the order of their ranks.

    layer: an AFTFull, AFTSimple or AFTLocal with the same parameters in all processes, without lengths or masks.
    x: [B, t, dim], of the same shape in all processes: rows rank t to rank t + t of the sequence.
    group: of torch.distributed; None: all processes.

    AFTSimple sends 2 B P floats to each other process, AFTLocal these and its window's s - 1 rows to each neighbour,
    AFTFull all its keys and values, 2 B t P, to each other process. Gradients take the way back. Those of parameters
    are of this process's rows: sum them over the group (DistributedDataParallel divides that by the processes).

    Every process of the group must call it. ShapeError in all of them if their x differ.
    """
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    rows = _rows_of_each(x, group)
    bias = layer.position_bias()
    if layer.form != "simple" and bias is None:
        raise c.ConfigError("the layer has no position bias of its own")
    if bias is not None and rows * ranks > layer.max_seqlen:
        raise c.ShapeError(f"the sequence length is {rows * ranks}, must be at most max_seqlen, {layer.max_seqlen}")
    query = layer.to_q(x) if layer.gate != "none" else None
    key, value = layer.to_k(x), layer.to_v(x)
    own = torch.cat([key, value], 2)
    near = [_near(layer, each, ranks, rows) for each in range(ranks)]

    def sees(each, other):
        return each != other and not (layer.causal and each < other)

    nothing = own[:, :0]
    if near[rank] is None:  # all rows of all processes that it sees
        received, own = _exchange([own if sees(each, rank) else nothing for each in range(ranks)], own,
                                  [(own if sees(rank, each) else nothing).shape for each in range(ranks)], group)
        received[rank] = own
        sources = torch.cat(received, 1)
        first, far = 0, 0
    else:
        # To each process: the rows that it needs one by one, and all others as one source.
        parts, shapes = [], []
        for each in range(ranks):
            before, after = near[each]
            start, end = after if each == rank - 1 else 0, rows - (before if each == rank + 1 else 0)
            parts.append(torch.cat([own[:, :start], _as_one_source(key[:, start:end], value[:, start:end]),
                                    own[:, end:]], 1) if sees(each, rank) else nothing)
            before, after = near[rank]
            count = 1 + (before if each == rank - 1 else 0) + (after if each == rank + 1 else 0)
            shapes.append((len(own), count if sees(rank, each) else 0, own.shape[2]))
        received, own = _exchange(parts, own, shapes, group)
        left, right = (received[each] if 0 <= each < ranks else nothing for each in (rank - 1, rank + 1))
        as_one = [left[:, :left.shape[1] - before], right[:, after:],
                  *(each for i, each in enumerate(received) if abs(i - rank) > 1)]
        far = sum(each.shape[1] for each in as_one)
        sources = torch.cat([*as_one, left[:, left.shape[1] - before:], own, right[:, :after]], 1)
        first = rank * rows - before

    if bias is not None:
        i = torch.arange(rank * rows, (rank + 1) * rows, device=x.device)
        j = torch.arange(first, first + sources.shape[1] - far, device=x.device)
        bias = bias[i[0]:i[-1] + 1, j[0]:j[-1] + 1] if rows else bias[:0, :0]
        if layer.form == "local":
            bias = torch.where((i[:, None] - j).abs() < layer.s, bias, torch.zeros_like(bias))
        bias = torch.nn.functional.pad(bias, (far, 0))
    key, value = sources.split([key.shape[2], value.shape[2]], 2)
    y = mean(query, key, value, bias, causal=layer.causal, gate=layer.gate, targets=rows)
    return layer.project(y) if hasattr(layer, "project") else y
