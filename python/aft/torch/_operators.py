"""The operators aft::layer and aft::mean, with fake and autograd registrations, for float32 on the CPU.

Each has an operator for its gradients, whose own gradients are computed by PyTorch's operators.
"""

import ctypes
import functools

import torch

from .. import _library as c
from . import _composite

#: Arguments that have gradients. Those that may be None are marked.
LAYER = ("query", "key?", "value?", "query_weight?", "query_bias?", "key_weight", "key_bias?", "value_weight",
         "value_bias?", "project_weight?", "project_bias?", "position_bias?", "given_bias?")
MEAN = ("query?", "key", "value", "position_bias?", "given_bias?")
_INPUTS = ("query", "key", "value", "given_bias")  # tensors with strides; the others are parameters

_library = torch.library.Library("aft", "DEF")


def _tensor(tensor):
    return c.Tensor(tensor.data_ptr(), c.Extents(*tensor.shape), c.Extents(*tensor.stride()))


def _regular(tensor):
    """[B, rows, channels] with strides that the library takes: channels side by side, rows and samples apart."""
    (batch, rows, channels), (of_batch, of_rows, of_channels) = tensor.shape, tensor.stride()
    is_regular = of_channels == 1 and (channels <= of_rows and rows * of_rows <= of_batch
                                       or channels <= of_batch and batch * of_batch <= of_rows)
    return tensor if is_regular else tensor.contiguous()


class _Call:
    """The structs of C for one call, and what keeps their tensors alive."""

    def __init__(self, tensors, lengths, mask, targets):
        self.tensors = {name: _regular(tensor) if name in _INPUTS else tensor.contiguous()
                        for name, tensor in tensors.items() if tensor is not None}
        source = self.tensors.get("key", self.tensors.get("query"))
        self.batch, self.targets, self.sources = source.shape[0], targets, source.shape[1]
        _check(lengths, "lengths", (self.batch,))
        self._check_pairs("position_bias", tensors["given_bias"])
        self._check_pairs("mask", mask)
        self.sight = c.Sight()
        given = self.tensors.get("given_bias")
        if given is not None:
            self.sight.position_bias = self._broadcast(given)
        if lengths is not None:
            self.lengths = lengths.to(torch.int64).contiguous()
            self.sight.lengths = self.lengths.data_ptr()
        if mask is not None:
            self.mask = mask.contiguous()
            self.sight.mask = self._broadcast(self.mask)

    def _check_pairs(self, name, tensor):
        if tensor is not None:
            _check(tensor, name, tuple(mine if mine == 1 else all_ for mine, all_ in
                                       zip(tensor.shape, (self.batch, self.targets))) + (self.sources,))

    def _broadcast(self, tensor):
        """[B or 1, n or 1, m] as [B, n, m]."""
        strides = [stride if extent > 1 else 0 for stride, extent in zip(tensor.stride()[:2], tensor.shape)]
        return c.Tensor(tensor.data_ptr(), c.Extents(self.batch, self.targets, self.sources), c.Extents(*strides, 1))

    def fill(self, struct):
        """Sets the members of a struct of inputs or parameters."""
        for name, kind in struct._fields_:
            tensor = self.tensors.get(name)
            if tensor is not None:
                setattr(struct, name, _tensor(tensor) if kind is c.Tensor else tensor.data_ptr())
        return struct

    def inputs(self, kind):
        return self.fill(kind(sight=ctypes.pointer(self.sight)))

    def gradients(self, struct, wanted):
        """New tensors for the gradients of `wanted`, which the struct points to."""
        result = []
        for name in wanted:
            gradient = torch.empty(self.tensors[name].shape)
            result.append(gradient)
            if name == "given_bias":
                setattr(struct, name, self._broadcast(gradient))
            else:
                setattr(struct, name, _tensor(gradient) if name in _INPUTS else gradient.data_ptr())
        return result


@functools.lru_cache(maxsize=None)
def _training(which, storage, form, hidden, projected, max_seq_len, window, gate, key_hidden, value_hidden):
    """The object of C for a config. It holds no weights, and lives as long as the process."""
    config = c.Config(kind=form, hidden=hidden, projected=projected, max_seq_len=max_seq_len, window=window, gate=gate,
                      key_hidden=key_hidden, value_hidden=value_hidden)
    handle = ctypes.c_void_p()
    getattr(c, f"{which}_training_create")(config, c.LayerOptions(storage=storage), handle)
    _made.append((getattr(c, f"{which}_training_scratch_bytes"), handle.value))
    return handle.value


_made = []  # (function of scratch bytes, handle)


def scratch_bytes() -> int:
    """Bytes that the kernels of aft.torch keep between calls."""
    result, count = 0, ctypes.c_uint64()
    for scratch_of, handle in _made:
        scratch_of(handle, count)
        result += count.value
    return result


def _check(tensor, name, shape):
    """C takes parameters, lengths and masks without their shapes."""
    if tensor is not None and tensor.shape != shape:
        raise c.ShapeError(f"{name} is {list(tensor.shape)}, must be {list(shape)}")


def _check_saved(saved, size):
    if saved.shape != (size,) or not saved.is_contiguous():
        raise c.ShapeError(f"saved is {list(saved.shape)}, must be [{size}], without gaps")


def _storage(bfloat16):
    return b"bfloat16" if bfloat16 else b"float32"


def _positions(position_bias):
    return 1 if position_bias is None else position_bias.shape[0]


def _saved_rows(form, mask, gate, n, m, projections):
    """How many rows of P floats the library saves of each sample."""
    pairs = c.FORMS[form] != "simple" or (mask is not None and mask.shape[1] > 1)
    of_projections = n * (2 if c.GATES[gate] != "none" else 1) + 2 * m if projections else 0
    return of_projections + 4 * n * pairs


class _Layer:
    """How aft::layer calls C."""

    name, tensors, composite = "layer", LAYER, staticmethod(_composite.layer)
    extra = ""

    @staticmethod
    def result(t):
        """The shape of y: B, n, H."""
        B, n, H = t["query"].shape
        return B, n, H if t["project_weight"] is None else t["project_weight"].shape[0]

    @staticmethod
    def saved(t, mask, form, gate):
        B, n, _ = t["query"].shape
        m = n if t["key"] is None else t["key"].shape[1]
        return B * _saved_rows(form, mask, gate, n, m, True) * t["key_weight"].shape[0]

    @staticmethod
    def handle(t, form, gate, window, bfloat16):
        P, H = t["key_weight"].shape[0], t["query"].shape[2]
        key = H if t["key"] is None else t["key"].shape[2]
        value = key if t["value"] is None else t["value"].shape[2]
        S = _positions(t["position_bias"])
        for name, shape in {"query_weight": (P, H), "query_bias": (P,), "key_weight": (P, key), "key_bias": (P,),
                            "value_weight": (P, value), "value_bias": (P,), "project_weight": (H, P),
                            "project_bias": (H,), "position_bias": (S, S)}.items():
            _check(t[name], name, shape)
        return _training("layer", _storage(bfloat16), form, H, P, S, window, gate, key, value)

    @staticmethod
    def forward(handle, call, extents, y, saved):
        inputs = call.inputs(c.LayerInputs)
        size = ctypes.c_int64()
        c.layer_training_saved_size(handle, inputs, extents, size)
        _check_saved(saved, size.value)
        c.layer_training_forward(handle, call.fill(c.Parameters()), inputs, extents, y.data_ptr(), None,
                                 saved.data_ptr())

    @staticmethod
    def backward(handle, call, extents, dy, saved, wanted):
        gradients = c.LayerGradients()
        result = call.gradients(gradients, wanted)
        c.layer_training_backward(handle, call.fill(c.Parameters()), call.inputs(c.LayerInputs), extents,
                                  dy.data_ptr(), c.Extents(*dy.stride()), saved.data_ptr(), gradients)
        return result


class _Mean:
    """How aft::mean calls C."""

    name, tensors, composite = "mean", MEAN, staticmethod(_composite.mean)
    extra = ", SymInt targets"

    @staticmethod
    def result(t, targets):
        B, _, P = t["key"].shape
        return B, targets, P

    @staticmethod
    def saved(t, mask, form, gate, targets):
        B, m, P = t["key"].shape
        return B * _saved_rows(form, mask, gate, targets, m, False) * P

    @staticmethod
    def handle(t, form, gate, window, bfloat16):
        S = _positions(t["position_bias"])
        _check(t["position_bias"], "position_bias", (S, S))
        return _training("core", _storage(bfloat16), form, 0, t["key"].shape[2], S, window, gate, 0, 0)

    @staticmethod
    def forward(handle, call, extents, y, saved):
        size = ctypes.c_int64()
        c.core_training_saved_size(handle, call.batch, call.targets, call.sight, size)
        _check_saved(saved, size.value)
        c.core_training_forward(handle, call.fill(c.CoreParameters()), call.inputs(c.CoreInputs), extents,
                                y.data_ptr(), None, saved.data_ptr())

    @staticmethod
    def backward(handle, call, extents, dy, saved, wanted):
        gradients = c.CoreGradients()
        result = call.gradients(gradients, wanted)
        c.core_training_backward(handle, call.fill(c.CoreParameters()), call.inputs(c.CoreInputs), extents,
                                 dy.data_ptr(), c.Extents(*dy.stride()), saved.data_ptr(), gradients)
        return result


def _differentiate(name, keep, backward):
    """Gives an operator its gradients: torch.library.register_autograd(), without the 50 us that it takes per call to
    look at an operator with so many arguments.
    """
    operator = getattr(torch.ops.aft, name)

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *arguments):
            with torch._C._AutoDispatchBelowAutograd():
                output = operator(*arguments)
            keep(ctx, arguments, output)
            return tuple(output)

        @staticmethod
        def backward(ctx, *directions):
            return backward(ctx, *directions)

    def run(*arguments):
        if torch.is_grad_enabled() and any(isinstance(each, torch.Tensor) and each.requires_grad
                                           for each in arguments):
            return Function.apply(*arguments)
        with torch._C._AutoDispatchBelowAutograd():
            return operator(*arguments)

    _library.impl(name, run, "Autograd")


def _define(kind):
    names = [name.rstrip("?") for name in kind.tensors]
    count = len(names)
    arguments = ", ".join(f"Tensor{'?' if name.endswith('?') else ''} {name.rstrip('?')}" for name in kind.tensors)
    arguments += f", Tensor? lengths, Tensor? mask, int form, int gate, int window{kind.extra}, bool bfloat16"
    name, name_of_gradients = kind.name, f"{kind.name}_backward"
    _library.define(f"{name}({arguments}, bool save) -> (Tensor, Tensor)")
    _library.define(f"{name_of_gradients}(Tensor dy, Tensor saved, {arguments}, bool[] wanted) -> Tensor[]")

    def split(arguments):
        """Tensors by name, lengths, mask, form, gate, window, and the rest."""
        tensors = dict(zip(names, arguments))
        return (tensors, *arguments[count:])

    def forward(*arguments):
        *arguments, bfloat16, save = arguments
        tensors, lengths, mask, form, gate, window, *rest = split(arguments)
        shape = kind.result(tensors, *rest)
        y = torch.empty(shape)
        saved = torch.empty(kind.saved(tensors, mask, form, gate, *rest))
        call = _Call(tensors, lengths, mask, shape[1])
        kind.forward(kind.handle(tensors, form, gate, window, bfloat16), call, c.Extents(*shape), y, saved)
        return y, saved if save else torch.empty(0)

    def fake(*arguments):
        *arguments, _, save = arguments
        tensors, _, mask, form, gate, _, *rest = split(arguments)
        like = tensors["key" if name == "mean" else "query"]
        return (like.new_empty(kind.result(tensors, *rest)),
                like.new_empty(kind.saved(tensors, mask, form, gate, *rest) if save else 0))

    def gradients(dy, saved, *arguments):
        *arguments, bfloat16, wanted = arguments
        tensors, lengths, mask, form, gate, window, *rest = split(arguments)
        _check_saved(saved, kind.saved(tensors, mask, form, gate, *rest))
        _check(dy, "dy", kind.result(tensors, *rest))
        dy = _regular(dy)
        call = _Call(tensors, lengths, mask, dy.shape[1])
        return kind.backward(kind.handle(tensors, form, gate, window, bfloat16), call, c.Extents(*dy.shape), dy, saved,
                             [each for each, is_wanted in zip(names, wanted) if is_wanted])

    def fake_gradients(dy, saved, *arguments):
        *arguments, wanted = arguments
        return [tensor.new_empty(tensor.shape) for tensor, is_wanted in zip(arguments, wanted) if is_wanted]

    _library.impl(name, forward, "CPU")
    _library.impl(name_of_gradients, gradients, "CPU")
    torch.library.register_fake(f"aft::{name}", fake, lib=_library)
    torch.library.register_fake(f"aft::{name_of_gradients}", fake_gradients, lib=_library)
    operator_of_gradients = getattr(torch.ops.aft, name_of_gradients)

    def keep_arguments(ctx, first, arguments):
        """With another tensor before them."""
        ctx.given = [tensor is not None for tensor in arguments[:count + 2]]
        ctx.rest = arguments[count + 2:]
        ctx.save_for_backward(first, *(tensor for tensor in arguments[:count + 2] if tensor is not None))
        ctx.set_materialize_grads(False)

    def keep(ctx, inputs, output):
        *arguments, save = inputs
        if not save:
            raise RuntimeError(f"aft::{name} needs save=True for its gradients")
        keep_arguments(ctx, output[1], arguments)

    def arguments_of(ctx, kept):
        kept = iter(kept)
        return [next(kept) if is_given else None for is_given in ctx.given] + list(ctx.rest)

    def backward(ctx, dy, _):
        nothing = [None] * (len(ctx.rest) + 3)  # of lengths, mask and save too
        if dy is None:
            return (*[None] * count, *nothing)
        saved, *kept = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:count])
        found = iter(operator_of_gradients(dy, saved, *arguments_of(ctx, kept), wanted))
        return (*(next(found) if is_wanted else None for is_wanted in wanted), *nothing)

    def keep_of_gradients(ctx, inputs, output):
        dy, _, *arguments, ctx.wanted = inputs
        keep_arguments(ctx, dy, arguments)

    def second(ctx, *directions):
        """The gradients of the gradients, with those of y by PyTorch's operators."""
        dy, *kept = ctx.saved_tensors
        arguments = arguments_of(ctx, kept)
        with torch.enable_grad():
            leaves = [None if each is None else each.detach().requires_grad_() for each in (dy, *arguments[:count])]
            y = kind.composite(*leaves[1:], *arguments[count:-1])
            wanted = [leaf for leaf, is_wanted in zip(leaves[1:], ctx.wanted) if is_wanted]
            first = torch.autograd.grad(y, wanted, leaves[0], create_graph=True, allow_unused=True)
            pairs = [(each, direction) for each, direction in zip(first, directions)
                     if each is not None and direction is not None and each.requires_grad]
            given = [leaf for leaf in leaves if leaf is not None]
            found = iter(torch.autograd.grad([each for each, _ in pairs], given, [direction for _, direction in pairs],
                                             allow_unused=True) if pairs else [None] * len(given))
        of_dy, *others = (None if leaf is None else next(found) for leaf in leaves)
        return (of_dy, None, *others, *[None] * (len(ctx.rest) + 3))

    _differentiate(name, keep, backward)
    _differentiate(name_of_gradients, keep_of_gradients, second)


_define(_Layer)
_define(_Mean)
