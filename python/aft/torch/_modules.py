"""Modules for PyTorch, and the mean as a function."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from .. import _library as c
from .. import Config, Core, Layer
from . import _composite
from . import _operators  # noqa: F401, which defines the operators


def _is_transformed():
    """Whether vmap, grad, jvp or forward mode is at work, which the operators have no rules for."""
    return not torch.compiler.is_compiling() and (torch._C._are_functorch_transforms_active()
                                                  or forward_ad._current_level >= 0)


_told = set()


def _tell_once(device):
    if device not in _told and not torch.compiler.is_compiling():
        _told.add(device)
        warnings.warn(f"aft.torch has kernels for the CPU only: on {device} it computes with PyTorch's operators",
                      stacklevel=4)


def _have_kernels(tensors):
    """Whether the kernels compute a call of these tensors."""
    for tensor in tensors:
        if tensor is None:
            continue
        if tensor.device.type != "cpu":
            if tensor.device.type != "meta":
                _tell_once(tensor.device.type)
            return False
        if tensor.dtype != torch.float32:
            return False
    return not _is_transformed()


def _rows(tensor, name, batch, targets, sources):
    """A bias or mask as [B or 1, n or 1, m]."""
    shape = (batch, targets, sources)
    missing = 3 - tensor.dim()
    if missing < 0 or any(mine not in (1, other) for mine, other in zip(tensor.shape, shape[missing:])):
        raise c.ShapeError(f"{name} is {list(tensor.shape)}, must broadcast to {list(shape)}")
    tensor = tensor[(None,) * missing]
    return tensor.expand(-1, -1, sources)


def _sight(batch, targets, sources, position_bias, lengths, mask):
    """What a call sees, as the operators take it."""
    if position_bias is not None:
        position_bias = _rows(position_bias, "position_bias", batch, targets, sources).expand(-1, targets, -1)
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"mask has the dtype {mask.dtype}, must be bool")
        mask = _rows(mask, "mask", batch, targets, sources)
    if lengths is not None and (lengths.shape != (batch,) or lengths.is_floating_point()):
        raise c.ShapeError(f"lengths are {list(lengths.shape)} of {lengths.dtype}, must be [{batch}] of whole numbers")
    return position_bias, lengths, mask


def _autocasts(device):
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _multiplies_bfloat16():
    """Whether the CPU and the kernels do. Others that keep bfloat16 aren't faster than float32."""
    core = Core(Config("given", 1, 1, 64), device="cpu", storage="bfloat16")  # which loads no driver
    kernel = core.kernel_for(64, 64)
    return kernel.storage == "bfloat16" and any(name in kernel.target for name in (
        "avx512_zen4", "avx512_zen5", "avx512_sapphirerapids"))


_HAS_BFLOAT16 = _multiplies_bfloat16()


def _run(operator, composite, tensors, arguments, bfloat16=False):
    """The operator where it has kernels, or the same by PyTorch's operators. Autocast gives the result its dtype, and
    runs kernels that multiply bfloat16 if that is the dtype and there are any.
    """
    device = next(tensor.device.type for tensor in tensors if tensor is not None)
    if _autocasts(device):
        dtype = torch.get_autocast_dtype(device)
        in_float32 = [None if tensor is None else tensor.float() for tensor in tensors]
        with torch.autocast(device, enabled=False):
            return _run(operator, composite, in_float32, arguments,
                        dtype == torch.bfloat16 and _HAS_BFLOAT16).to(dtype)
    if not _have_kernels(tensors):
        return composite(*tensors, *arguments)
    save = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
    return operator(*tensors, *arguments, bfloat16, save)[0]


def mean(query: Tensor | None, key: Tensor, value: Tensor, position_bias: Tensor | None = None, *,
         causal: bool = False, window: int | None = None, gate: str = "sigmoid", targets: int | None = None,
         lengths: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
    """The weighted mean of a layer, without projections: gate(Q) sum exp(K + w) V / sum exp(K + w), [B, n, P].

    query: [B, n, P]; None for the gate "none", where `targets` is n (None: m). key, value: [B, m, P].
    position_bias: w. None: 0. With a window s, [S, S], which holds where |t - t'| < s, and is 0 elsewhere. Without,
        it broadcasts to [B, n, m], and -inf hides a pair.
    causal: target i sees the sources j <= i + m - n.
    gate: "sigmoid", "tanh", "none" or "identity".
    lengths: [B] of 0..m, how many sources each sample has.
    mask: bools, true where the target sees the source; broadcasts to [B, n, m].

    Hidden sources may hold anything. A target without a source has 0. ShapeError, TypeError, ConfigError.
    """
    if gate not in c.GATES:
        raise c.ConfigError(f"gate is {gate!r}, must be one of {', '.join(c.GATES)}")
    B, m = key.shape[:2]
    n = query.shape[1] if query is not None else m if targets is None else targets
    banded = window is not None
    if banded and position_bias is None:
        raise c.ConfigError(f"window is {window}, needs a position_bias")
    if position_bias is None and causal and n != m:  # kernels of causal AFTSimple take as many targets as sources
        position_bias = key.new_zeros(n, m)
    form = "local" if banded else "simple" if position_bias is None else "given"
    form = c.FORMS.index(f"causal_{form}" if causal else form)
    given, lengths, mask = _sight(B, n, m, None if banded else position_bias, lengths, mask)
    return _run(torch.ops.aft.mean, _composite.mean, [query, key, value, position_bias if banded else None, given],
                [lengths, mask, form, c.GATES.index(gate), window or 0, n])


class _Layer(nn.Module):
    """A layer of any form."""

    def __init__(self, form, max_seqlen, dim, hidden_dim, s, causal, gate, rank, source_dim, value_dim, project,
                 device, dtype):
        super().__init__()
        # ConfigError for what makes no sense.
        Config(form, dim, hidden_dim, gate=gate)
        if rank is not None and max_seqlen is None:
            raise c.ConfigError("rank needs max_seqlen")
        if not project and dim != hidden_dim:
            raise c.ConfigError(f"project is false, so that dim, {dim}, must be hidden_dim, {hidden_dim}")
        like = {"device": device, "dtype": dtype}
        self.form, self.dim, self.hidden_dim = form, dim, hidden_dim
        self.max_seqlen, self.s, self.causal, self.gate, self.rank = max_seqlen, s, causal, gate, rank
        self.source_dim = source_dim or dim
        self.value_dim = value_dim or self.source_dim
        # In the order of aft-pytorch, so that a seed gives the same values.
        if gate != "none":
            self.to_q = nn.Linear(dim, hidden_dim, **like)
        self.to_k = nn.Linear(self.source_dim, hidden_dim, **like)
        self.to_v = nn.Linear(self.value_dim, hidden_dim, **like)
        if project:
            self.project = nn.Linear(hidden_dim, dim, **like)
        if form == "simple" or max_seqlen is None:
            return
        if rank is None:
            self.wbias = nn.Parameter(torch.empty(max_seqlen, max_seqlen, **like))
            nn.init.xavier_uniform_(self.wbias)
        else:
            self.wbias_target, self.wbias_source = (nn.Parameter(torch.empty(max_seqlen, rank, **like))
                                                    for _ in range(2))
            nn.init.normal_(self.wbias_target, std=0.01)
            nn.init.normal_(self.wbias_source, std=0.01)

    def position_bias(self) -> Tensor | None:
        """w, [max_seqlen, max_seqlen]: wbias, or the product of its factors; None if each call gives it."""
        if self.rank is not None:
            with torch.autocast(self.wbias_target.device.type, enabled=False):
                return self.wbias_target @ self.wbias_source.T
        return getattr(self, "wbias", None)

    def forward(self, x: Tensor, key: Tensor | None = None, value: Tensor | None = None, *,
                position_bias: Tensor | None = None, lengths: Tensor | None = None,
                mask: Tensor | None = None) -> Tensor:
        """y, [B, n, dim].

        x: [B, n, dim]. key: [B, m, source_dim]; None: x. value: [B, m, value_dim]; None: the key input.
        position_bias: w, of a layer without max_seqlen; broadcasts to [B, n, m], and -inf hides a pair.
        lengths: [B] of 0..m, how many sources each sample has. Without key, y is 0 beyond them.
        mask: bools, true where the target sees the source; broadcasts to [B, n, m].

        Causal layers see the sources j <= i + m - n. ShapeError before anything is computed.
        """
        bias, form = self.position_bias(), self.form
        if form == "full" and self.max_seqlen is None:
            if position_bias is None:
                raise c.ShapeError("position_bias isn't given, but the layer was made without max_seqlen")
            form = "given"
        elif position_bias is not None:
            raise c.ShapeError("position_bias is given, but the layer has its own: make it with max_seqlen=None")
        if x.dim() != 3 or x.shape[2] != self.dim:
            raise c.ShapeError(f"x is {list(x.shape)}, must be [batch, sequence, {self.dim}]")
        B, n = x.shape[:2]
        m = n if key is None else key.shape[1]
        if bias is not None and max(n, m) > self.max_seqlen:
            raise c.ShapeError(f"the sequence length is {max(n, m)}, must be at most max_seqlen, {self.max_seqlen}")
        given, lengths, mask = _sight(B, n, m, position_bias, lengths, mask)
        query = getattr(self, "to_q", None)
        project = getattr(self, "project", None)
        tensors = [x, key, value,
                   query and query.weight, query and query.bias, self.to_k.weight, self.to_k.bias,
                   self.to_v.weight, self.to_v.bias, project and project.weight, project and project.bias, bias, given]
        form = c.FORMS.index(f"causal_{form}" if self.causal else form)
        return _run(torch.ops.aft.layer, _composite.layer, tensors,
                    [lengths, mask, form, c.GATES.index(self.gate), self.s or 0])

    def config(self) -> Config:
        """The aft.Config of this layer. Without max_seqlen, it is that of the form whose calls give the bias."""
        form = "given" if self.form == "full" and self.max_seqlen is None else self.form
        size = self.max_seqlen if form in ("full", "local") else 2**24
        return Config(f"causal_{form}" if self.causal else form, self.dim, self.hidden_dim, size, self.s or 0,
                      self.gate, self.source_dim, self.value_dim)

    def prepared(self, *, kernel: str | None = None, device: str | None = None) -> Layer:
        """An aft.Layer with a copy of the weights, for inference: it prepares them once, and takes PyTorch's tensors.

        Later changes of the module don't change it. Its results are NumPy arrays, or `out`. The options are its own.
        """
        names = {"query": "to_q", "key": "to_k", "value": "to_v", "project": "project"}
        weights = {f"{name}_{part}": getattr(getattr(self, module), part).detach()
                   for name, module in names.items() if hasattr(self, module) for part in ("weight", "bias")}
        bias = self.position_bias()
        if bias is not None:
            weights["position_bias"] = bias.detach()
        return Layer(self.config(), weights, kernel=kernel, device=device)

    def extra_repr(self) -> str:
        shown = {"max_seqlen": self.max_seqlen, "dim": self.dim, "hidden_dim": self.hidden_dim, "s": self.s,
                 "causal": self.causal or None, "gate": self.gate if self.gate != "sigmoid" else None,
                 "rank": self.rank}
        return ", ".join(f"{name}={value}" for name, value in shown.items() if value is not None)


class AFTFull(_Layer):
    """AFTFull: a position bias between any two positions. The positional arguments are aft-pytorch's.

    max_seqlen: S, the longest sequence; `wbias` is [S, S]. None: each call gives the position bias.
    dim: channels of x and y. hidden_dim: channels of query, key and value.
    causal: targets see no later sources.
    gate: "sigmoid", "tanh", "none" (there is no to_q) or "identity" (the query itself).
    rank: of a factorised bias: `wbias_target` @ `wbias_source`^T, both [S, rank]. None: `wbias`.
    source_dim, value_dim: channels of the key and the value input. None: dim, and source_dim.
    project: whether there is an output projection; without, hidden_dim must be dim.

    ConfigError for arguments that make no sense.
    """

    def __init__(self, max_seqlen: int | None, dim: int, hidden_dim: int = 64, *, causal: bool = False,
                 gate: str = "sigmoid", rank: int | None = None, source_dim: int | None = None,
                 value_dim: int | None = None, project: bool = True, device: torch.device | str | None = None,
                 dtype: torch.dtype | None = None) -> None:
        super().__init__("full", max_seqlen, dim, hidden_dim, None, causal, gate, rank, source_dim, value_dim, project,
                         device, dtype)


class AFTSimple(_Layer):
    """AFTSimple: no position bias, so that any length goes and max_seqlen isn't read. The others are AFTFull's."""

    def __init__(self, max_seqlen: int | None, dim: int, hidden_dim: int = 64, *, causal: bool = False,
                 gate: str = "sigmoid", source_dim: int | None = None, value_dim: int | None = None,
                 project: bool = True, device: torch.device | str | None = None,
                 dtype: torch.dtype | None = None) -> None:
        super().__init__("simple", max_seqlen, dim, hidden_dim, None, causal, gate, None, source_dim, value_dim,
                         project, device, dtype)


class AFTLocal(_Layer):
    """AFTLocal: the position bias holds where |t - t'| < s, and is 0 elsewhere. The others are AFTFull's.

    Unlike aft-pytorch's, it keeps its parameter `wbias`, which an optimizer can train.
    """

    def __init__(self, max_seqlen: int, dim: int, hidden_dim: int = 64, s: int = 256, *, causal: bool = False,
                 gate: str = "sigmoid", rank: int | None = None, source_dim: int | None = None,
                 value_dim: int | None = None, project: bool = True, device: torch.device | str | None = None,
                 dtype: torch.dtype | None = None) -> None:
        if max_seqlen is None:
            raise c.ConfigError("max_seqlen is None, must be the longest sequence")
        super().__init__("local", max_seqlen, dim, hidden_dim, s, causal, gate, rank, source_dim, value_dim, project,
                         device, dtype)
