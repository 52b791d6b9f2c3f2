"""A program for several processes (torchrun): sequence_parallel() is the layer on the whole sequence, gradients too."""

import copy

import torch
import torch.distributed as dist

import aft
from aft.torch import AFTFull, AFTLocal, AFTSimple, sequence_parallel

B, T, H, P = 3, 24, 8, 6
dist.init_process_group("gloo")
rank, ranks = dist.get_rank(), dist.get_world_size()
rows = T // ranks
own = slice(rank * rows, (rank + 1) * rows)

for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 1e-5)):
    for name, layer in {
        "full": AFTFull(T + 1, H, P),
        "simple": AFTSimple(T, H, P),
        "without a gate": AFTSimple(T, H, P, gate="none"),
        "without a projection": AFTSimple(T, H, H, project=False),
        "a window of one": AFTLocal(T, H, P, 1),
        "a window within the neighbours": AFTLocal(T, H, P, 3),
        "a window of all rows of the neighbours": AFTLocal(T, H, P, rows + 1),
        "a window beyond the neighbours": AFTLocal(T, H, P, rows + 3),
        "causal full": AFTFull(T, H, P, causal=True),
        "causal simple": AFTSimple(T, H, P, causal=True),
        "causal local": AFTLocal(T, H, P, 3, causal=True),
        "factorised": AFTFull(T, H, P, rank=2),
    }.items():
        torch.manual_seed(0)
        layer = layer.to(dtype)
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter)
        whole = copy.deepcopy(layer).double()
        x = torch.randn(B, T, H, dtype=torch.float64)
        dy = torch.randn(B, T, H, dtype=torch.float64)
        all_rows, own_rows = x.clone().requires_grad_(), x[:, own].to(dtype).requires_grad_()
        whole(all_rows).backward(dy)
        y = sequence_parallel(layer, own_rows)
        y.backward(dy[:, own].to(dtype))
        compared = [(y, whole(all_rows)[:, own]), (own_rows.grad, all_rows.grad[:, own])]
        for mine, exact in zip(layer.parameters(), whole.parameters()):
            dist.all_reduce(mine.grad)
            if mine is not layer.to_k.bias:  # whose gradient is 0 but for rounding
                compared.append((mine.grad, exact.grad))
        for mine, exact in compared:
            assert (mine - exact).abs().max() <= tolerance * max(1, exact.abs().max()), (name, dtype)


def refusal(layer, x):
    try:
        sequence_parallel(layer, x)
    except aft.ShapeError as error:
        return str(error)
    return ""


assert ranks == 1 or "must be the same in all" in refusal(AFTSimple(T, H, P), torch.zeros(1, 2 + rank, H))
assert f"the sequence length is {T}, must be at most max_seqlen, {T - 1}" in refusal(AFTFull(T - 1, H, P),
                                                                                      torch.zeros(1, rows, H))
dist.barrier()
dist.destroy_process_group()
