"""Layers and means by their definition, in double, and problems for them: independent of the library."""

import json
import pathlib

import numpy as np

import aft

DATA = pathlib.Path(__file__).parents[2] / "tests" / "data"

FORMS = ("full", "simple", "local", "causal_full", "causal_simple", "causal_local", "conv", "wkv", "given",
         "causal_given")
GATES = {"sigmoid": lambda q: 1 / (1 + np.exp(-q)), "tanh": np.tanh, "none": None, "identity": lambda q: q}
#: Forms that go through their targets in order: as many sources as targets.
IN_ORDER = ("causal_simple", "causal_local", "conv", "wkv")
#: Forms whose sequences can come in pieces.
IN_PIECES = ("causal_full", *IN_ORDER)


def config_of(form, gate="sigmoid", **sizes):
    """A small config: H 12, P 8, S 11."""
    window = 4 if form in ("local", "causal_local", "conv") else 0
    heads = 2 if form == "conv" else 0
    return aft.Config(form, **{"hidden": 12, "projected": 8, "max_seq_len": 11, "window": window, "gate": gate,
                               "heads": heads, **sizes})


def floats(seed, *shape, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def parameters_of(config, seed=1):
    """Random parameters of a layer; those of a core are among them."""
    result = {name: floats(seed + i, *shape) for i, (name, shape) in enumerate(config.shapes().items())}
    if "decay" in result:
        result["decay"] = np.abs(result["decay"])
    return result


def core_parameters_of(config, seed=1):
    names = ("position_bias", "decay", "bonus")
    return {name: array for name, array in parameters_of(config, seed).items() if name in names}


def position_bias(config, parameters, n, m, given):
    """w[b, i, j, c], which broadcasts to [B, n, m, P], and whether target i's form reaches source j, [n, m]."""
    causal = config.form.startswith("causal") or config.form in ("conv", "wkv")
    i, j = np.arange(n)[:, None] + (m - n if causal else 0), np.arange(m)[None, :]
    reach = j <= i if causal else np.full((n, m), True)
    if config.form.endswith("given"):
        return np.asarray(given, np.float64)[..., None], reach
    if config.form == "conv":
        filters = np.asarray(parameters["position_bias"], np.float64)  # [heads, window]
        distance = np.clip(i - j, 0, config.window - 1)
        within = (i - j >= 0) & (i - j < config.window)
        by_head = np.where(within, filters[:, distance], 0)
        return np.repeat(by_head, config.projected // len(filters), axis=0).transpose(1, 2, 0)[None], reach
    if config.form == "wkv":
        decay, bonus = (np.asarray(parameters[name], np.float64) for name in ("decay", "bonus"))
        return np.where((i == j)[..., None], bonus, -(i - 1 - j)[..., None] * decay)[None], reach
    if "position_bias" not in parameters:
        return np.zeros((1, n, m, 1)), reach
    w = np.asarray(parameters["position_bias"], np.float64)[i[0, 0]:i[0, 0] + n, :m]
    if config.form.endswith("local"):
        w = np.where(abs(i - j) < config.window, w, 0)
    return w[None, ..., None], reach


def mean(config, parameters, query, key, value, targets=None, position_bias_of_call=None, bias_scale=1, lengths=None,
         mask=None, mirrors=False):
    """gate(Q) sum exp(K + w) V / sum exp(K + w), [B, n, P]; 0 for a target that sees nothing.

    mirrors: the targets are the sources, so that the rows beyond a sample's length are 0.
    """
    key, value = np.asarray(key, np.float64), np.asarray(value, np.float64)
    B, m, P = key.shape
    n = query.shape[1] if query is not None else m if targets is None else targets
    w, visible = position_bias(config, parameters, n, m, position_bias_of_call)
    visible = np.broadcast_to(visible, (B, n, m))
    if lengths is not None:
        counted = np.arange(m) < np.asarray(lengths)[:, None]
        visible = visible & counted[:, None, :]
    if mask is not None:
        visible = visible & np.broadcast_to(mask, (B, n, m))
    visible = visible[..., None]
    seen = visible.any(1)
    key, value = np.where(seen, key, 0), np.where(seen, value, 0)  # hidden rows may hold anything
    logits = np.where(visible, key[:, None] + bias_scale * w, -np.inf)
    top = logits.max(2, keepdims=True, initial=-np.inf)
    weights = np.exp(logits - np.where(np.isinf(top), 0, top))
    sums = weights.sum(2)
    result = (weights * value[:, None]).sum(2) / np.where(sums == 0, 1, sums)
    if GATES[config.gate]:
        result = GATES[config.gate](np.asarray(query, np.float64)) * result
    if mirrors and lengths is not None:
        result[np.arange(n) >= np.asarray(lengths)[:, None]] = 0
    return result


def project(x, weight, bias):
    y = np.asarray(x, np.float64) @ np.asarray(weight, np.float64).T
    return y if bias is None else y + np.asarray(bias, np.float64)


def layer(config, parameters, query, key=None, value=None, **sight):
    """y, [B, n, H]."""
    p = parameters
    alone = key is None
    key = query if key is None else key
    value = key if value is None else value
    Q = None if config.gate == "none" else project(query, p["query_weight"], p.get("query_bias"))
    K = project(key, p["key_weight"], p.get("key_bias"))
    V = project(value, p["value_weight"], p.get("value_bias"))
    y = mean(config, p, Q, K, V, targets=query.shape[1], **sight)
    if p.get("project_weight") is not None:
        y = project(y, p["project_weight"], p.get("project_bias"))
    if alone and sight.get("lengths") is not None:
        y[np.arange(query.shape[1]) >= np.asarray(sight["lengths"])[:, None]] = 0
    return y


def assert_close(actual, expected, tolerance=5e-6):
    """Relative to the largest element; NaN fails."""
    assert actual.shape == expected.shape
    if expected.size:
        error = np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-30)
        assert error <= tolerance, f"error {error}"


def same_bits(one, other):
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def read_safetensors(path):
    """The tensors of a golden case, by name."""
    content = pathlib.Path(path).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    dtypes = {"F32": np.float32, "F64": np.float64, "BOOL": np.bool_, "I64": np.int64}
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(content[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]],
                                dtypes[entry["dtype"]]).reshape(entry["shape"]) for name, entry in header.items()}
