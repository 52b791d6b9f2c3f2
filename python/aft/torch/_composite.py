"""Layers and means by PyTorch's operators: for all that the kernels don't compute."""

import torch
import torch.nn.functional as F

from .. import _library as c


def _exp_below(x, dim, work):
    """exp(x - max x), 0 where x is -inf. The mean doesn't depend on the maximum, so that it has no gradient."""
    x = x.to(work)
    top = x.detach().amax(dim, keepdim=True)
    return torch.exp(x - torch.where(torch.isinf(top), torch.zeros_like(top), top))


def _visible(n, m, causal, lengths, mask, device):
    """The pairs that see each other, [B or 1, n or 1, m], or None for all."""
    result = None
    if causal:
        i, j = torch.arange(n, device=device), torch.arange(m, device=device)
        result = (j[None, :] <= i[:, None] + (m - n))[None]
    if lengths is not None:
        counted = (torch.arange(m, device=device) < lengths[:, None])[:, None]
        result = counted if result is None else result & counted
    if mask is not None:
        result = mask if result is None else result & mask
    return result


def _gated(query, gate, mean):
    name = c.GATES[gate]
    if name == "none":
        return mean
    return (query if name == "identity" else getattr(torch, name)(query)) * mean


def mean(query, key, value, position_bias, given_bias, lengths, mask, form, gate, window, targets):
    """gate(Q) sum exp(K + w) V / sum exp(K + w), [B, n, P]; shapes as those of the operator.

    The exponentials are computed in float64 on the CPU, which has room for spreads of keys and biases up to 700.
    """
    name = c.FORMS[form]
    B, m, _ = key.shape
    n = targets if query is None else query.shape[1]
    dtype = value.dtype
    work = torch.float64 if key.device.type in ("cpu", "meta") else torch.promote_types(dtype, torch.float32)
    causal = name.startswith("causal")
    visible = _visible(n, m, causal, lengths, mask, key.device)
    if visible is not None and m > 0:
        seen = visible.any(1)[..., None]  # [B or 1, m, 1]; what no target sees may hold anything
        key, value = (torch.where(seen, each, torch.zeros_like(each)) for each in (key, value))

    bias = given_bias
    if position_bias is not None:
        i, j = torch.arange(n, device=key.device), torch.arange(m, device=key.device)
        if causal:
            i = (i + (m - n)).clamp(min=0)  # the last target is at the last source
        bias = position_bias[i, :m]
        if name.endswith("local"):
            bias = torch.where((i[:, None] - j[None]).abs() < window, bias, torch.zeros_like(bias))
        bias = bias[None]
    value = value.to(work)
    if m == 0:
        result = value.new_zeros((B, n, value.shape[2]))
    else:
        if visible is not None and visible.shape[1] == 1 and bias is None:  # one set of sources for all targets
            key, visible = key.masked_fill(~visible.transpose(1, 2), -torch.inf), None
        weight = _exp_below(key, 1, work)
        if bias is None and visible is None:
            numerator, denominator = (weight * value).sum(1, keepdim=True), weight.sum(1, keepdim=True)
        else:
            if bias is None:
                bias = torch.zeros((), dtype=work, device=key.device)
            if visible is not None:
                bias = torch.where(visible, bias, torch.full_like(bias, -torch.inf))
            pairs = _exp_below(bias.expand(bias.shape[0], n, m), 2, work)
            numerator, denominator = pairs @ (weight * value), pairs @ weight
        some = denominator > 0
        result = torch.where(some, numerator / torch.where(some, denominator, torch.ones_like(denominator)),
                             torch.zeros_like(numerator))
    return _gated(query, gate, result.to(dtype).expand(B, n, -1))


def layer(query, key, value, query_weight, query_bias, key_weight, key_bias, value_weight, value_bias, project_weight,
          project_bias, position_bias, given_bias, lengths, mask, form, gate, window):
    """A layer, [B, n, H]; shapes as those of the operator."""
    source = query if key is None else key
    projected = F.linear(query, query_weight, query_bias) if c.GATES[gate] != "none" else None
    keys = F.linear(source, key_weight, key_bias)
    values = F.linear(source if value is None else value, value_weight, value_bias)
    y = mean(projected, keys, values, position_bias, given_bias, lengths, mask, form, gate, window, query.shape[1])
    if project_weight is not None:
        y = F.linear(y, project_weight, project_bias)
    if lengths is not None and key is None:
        beyond = torch.arange(query.shape[1], device=y.device) >= lengths[:, None]
        y = y.masked_fill(beyond[..., None], 0)
    return y
