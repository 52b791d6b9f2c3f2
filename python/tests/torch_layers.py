"""Layers of aft.torch for the tests."""

import torch

import aft.torch

B, T, H, P, S = 3, 10, 8, 6, 12


FORMS = {
    "full": lambda **more: aft.torch.AFTFull(S, H, P, **more),
    "simple": lambda **more: aft.torch.AFTSimple(S, H, P, **more),
    "local": lambda **more: aft.torch.AFTLocal(S, H, P, 3, **more),
    "local, a wide window": lambda **more: aft.torch.AFTLocal(S, H, P, **more),
    "causal full": lambda **more: aft.torch.AFTFull(S, H, P, causal=True, **more),
    "causal simple": lambda **more: aft.torch.AFTSimple(S, H, P, causal=True, **more),
    "causal local": lambda **more: aft.torch.AFTLocal(S, H, P, 4, causal=True, **more),
    "factorised": lambda **more: aft.torch.AFTFull(S, H, P, rank=2, **more),
    "tanh": lambda **more: aft.torch.AFTFull(S, H, P, gate="tanh", **more),
    "no gate": lambda **more: aft.torch.AFTSimple(S, H, P, gate="none", **more),
    "identity": lambda **more: aft.torch.AFTLocal(S, H, P, 2, gate="identity", **more),
}


def layer_of(form):
    """A layer whose position bias matters."""
    made = FORMS[form]()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.startswith("wbias"):
                parameter.normal_()
    return made


def x_of(*shape):
    return torch.randn(*shape or (B, T, H))


def gradients(layer, inputs, dy, **call):
    """Those of the inputs, of tensors in `call`, and of the parameters, by name."""
    layer.zero_grad()
    leaves = [each.detach().clone().requires_grad_() for each in inputs]
    given = {name: each.detach().clone().requires_grad_() if each.is_floating_point() else each
             for name, each in call.items()}
    y = layer(*leaves, **given)
    y.backward(dy)
    named = {f"input {i}": leaf.grad for i, leaf in enumerate(leaves)}
    named.update((name, each.grad) for name, each in given.items() if each.requires_grad)
    named.update((name, parameter.grad) for name, parameter in layer.named_parameters())
    return y.detach(), named
