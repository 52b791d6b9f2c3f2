"""Results of layers and means, against the definition in double and cases of other implementations."""

import gc
import weakref

import numpy as np
import pytest

import aft
import reference
from reference import (FORMS, GATES, IN_ORDER, assert_close, config_of, floats, parameters_of, read_safetensors,
                       same_bits)


def sight_of(form, B, n, m):
    """The position bias that each call of this form needs, as an argument of the call and one of the reference."""
    if not form.endswith("given"):
        return {}, {}
    w = floats(7, B, n, m)
    return {"position_bias": w}, {"position_bias_of_call": w}


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_with_every_gate_matches_the_definition(form, gate):
    config = config_of(form, gate)
    parameters = parameters_of(config)
    layer = aft.Layer(config, parameters, device="cpu")
    x = floats(0, 2, 9, 12)
    given, expected = sight_of(form, 2, 9, 9)
    y = layer(x, **given)
    assert y.dtype == np.float32
    assert_close(y, reference.layer(config, parameters, x, **expected))


@pytest.mark.parametrize("form", FORMS)
def test_lengths_and_masks_hide_sources_whatever_they_hold(form):
    config = config_of(form)
    parameters = parameters_of(config)
    layer = aft.Layer(config, parameters, device="cpu")
    x, lengths = floats(0, 3, 9, 12), [9, 4, 0]
    mask = np.random.default_rng(3).random((3, 1, 9)) < 0.7  # of sources
    given, expected = sight_of(form, 3, 9, 9)
    right = reference.layer(config, parameters, x, **expected, lengths=lengths, mask=mask)
    for b, count in enumerate(lengths):
        x[b, count:] = np.nan
    y = layer(x, **given, lengths=lengths, mask=mask)
    assert_close(y, right)
    assert not y[1, 4:].any() and not y[2].any()
    assert same_bits(layer(x, **given, lengths=np.array(lengths, np.int32), mask=mask), y)


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("conv", "wkv")])
def test_a_mask_of_pairs_hides_them(form):
    config = config_of(form)
    parameters = parameters_of(config)
    layer = aft.Layer(config, parameters, device="cpu")
    x = floats(0, 2, 9, 12)
    mask = np.random.default_rng(3).random((9, 9)) < 0.6
    mask[5] = False  # sees nothing
    given, expected = sight_of(form, 2, 9, 9)
    assert_close(layer(x, **given, mask=mask), reference.layer(config, parameters, x, **expected, mask=mask))
    everywhere = np.broadcast_to(mask, (2, 9, 9)).copy()
    assert same_bits(layer(x, **given, mask=everywhere), layer(x, **given, mask=mask))


@pytest.mark.parametrize("form", FORMS)
def test_keys_and_values_may_have_inputs_and_widths_of_their_own(form):
    config = config_of(form, key_hidden=5, value_hidden=7)
    parameters = parameters_of(config)
    layer = aft.Layer(config, parameters, device="cpu")
    n, m = (9, 9) if form in IN_ORDER else (6, 10)
    query, key, value = floats(0, 2, n, 12), floats(1, 2, m, 5), floats(2, 2, m, 7)
    given, expected = sight_of(form, 2, n, m)
    right = reference.layer(config, parameters, query, key, value, **expected)
    assert_close(layer(query, key, value, **given), right)
    if form not in IN_ORDER:
        sources = layer.sources(key, value)
        assert sources.count == m
        assert same_bits(layer(query, sources=sources, **given), layer(query, key, value, **given))


def test_sources_outlive_their_layer_not_the_reverse():
    config = config_of("simple")
    layer = aft.Layer(config, parameters_of(config), device="cpu")
    sources = layer.sources(floats(1, 1, 4, 12))
    alive = weakref.ref(layer)
    del layer
    gc.collect()
    assert alive() is not None  # C destroys sources before their layer
    del sources
    gc.collect()
    assert alive() is None


def test_a_bias_of_a_call_is_scaled_and_hides_pairs():
    config = config_of("given")
    parameters = parameters_of(config)
    layer = aft.Layer(config, parameters, device="cpu")
    x, distance = floats(0, 2, 9, 12), np.abs(floats(5, 9, 9))
    right = reference.layer(config, parameters, x, position_bias_of_call=distance[None], bias_scale=-0.5)
    assert_close(layer(x, position_bias=distance, bias_scale=-0.5), right)
    assert_close(layer(x, position_bias=-distance / 2), right)
    mask = np.random.default_rng(3).random((9, 9)) < 0.6
    hidden = np.where(mask, distance, -np.inf).astype(np.float32)
    assert_close(layer(x, position_bias=hidden),
                 reference.layer(config, parameters, x, position_bias_of_call=distance[None], mask=mask))
    with pytest.raises(aft.ArgumentError, match="bias_scale is given without position_bias"):
        layer(x, bias_scale=2)
    with pytest.raises(aft.ShapeError, match="scale"):
        layer(x, position_bias=distance, bias_scale=np.inf)


def test_a_layer_without_an_output_projection_has_the_gated_mean():
    config = config_of("full", hidden=8)
    parameters = parameters_of(config)
    del parameters["project_weight"], parameters["project_bias"]
    parameters["key_bias"] = None
    layer = aft.Layer(config, parameters, device="cpu")
    x = floats(0, 2, 9, 8)
    assert_close(layer(x), reference.layer(config, parameters, x))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("form", FORMS)
def test_every_core_matches_the_definition(form, gate):
    config = config_of(form, gate, hidden=0)
    parameters = reference.core_parameters_of(config_of(form, gate))
    core = aft.Core(config, parameters or None, device="cpu")
    n, m = (9, 9) if form in IN_ORDER else (6, 10)
    query = None if gate == "none" else floats(0, 2, n, 8)
    key, value = floats(1, 2, m, 8), floats(2, 2, m, 8)
    given, expected = sight_of(form, 2, n, m)
    targets = n if gate == "none" else None
    y = core(query, key, value, targets=targets, **given)
    assert_close(y, reference.mean(config, parameters, query, key, value, targets=targets, **expected))


def test_a_core_takes_lengths_masks_and_keys_of_minus_infinity():
    config = config_of("simple", hidden=0)
    core = aft.Core(config, device="cpu")
    query, key, value = floats(0, 2, 5, 8), floats(1, 2, 7, 8), floats(2, 2, 7, 8)
    key[0, 2, 3] = -np.inf
    mask = np.random.default_rng(3).random((2, 5, 7)) < 0.7
    y = core(query, key, value, lengths=[7, 3], mask=mask)
    with np.errstate(invalid="ignore"):
        assert_close(y, reference.mean(config, {}, query, key, value, lengths=[7, 3], mask=mask))


def test_targets_must_be_those_of_the_query():
    core = aft.Core(config_of("simple", hidden=0), device="cpu")
    a, b = floats(0, 1, 5, 8), floats(1, 1, 7, 8)
    assert same_bits(core(a, b, b, targets=5), core(a, b, b))
    with pytest.raises(aft.ShapeError, match="targets is 6, must be 5 like those of query"):
        core(a, b, b, targets=6)


@pytest.mark.parametrize("case", ["aftp_full_t1", "aftp_full_small", "aftp_full_k40", "aftp_simple_t1",
                                  "aftp_simple_k40", "aftp_local_s1", "aftp_local_s7", "aftp_local_s15_gt_t",
                                  "own_factorised_full", "own_causal_full", "own_causal_simple",
                                  "own_causal_local_s4"])
def test_layers_of_files_match_other_implementations(case):
    path = reference.DATA / f"{case}.safetensors"
    tensors = read_safetensors(path)
    form = "_".join(word for word in case.split("_") if word in ("causal", "full", "simple", "local"))
    form = "full" if case == "own_factorised_full" else form
    window = int(case.split("_s")[-1].split("_")[0]) if "local" in case else 0
    config = aft.config_from_weights(path, form, window=window, max_seq_len=tensors["input"].shape[1])
    layer = aft.Layer(config, aft.load_weights(path, config), device="cpu")
    assert_close(layer(tensors["input"]), tensors["output_f64"])


def test_time_major_arrays_need_no_copy():
    path = reference.DATA / "labml_nomask_short.safetensors"
    tensors = read_safetensors(path)
    config = aft.config_from_weights(path, "local", naming="labml-nn")
    layer = aft.Layer(config, aft.load_weights(path, config, naming="labml-nn"), device="cpu")
    x, out = tensors["input"], np.empty_like(tensors["output"])  # [T, B, H]
    layer(x.transpose(1, 0, 2), out=out.transpose(1, 0, 2))
    assert_close(out, tensors["output_f64"])


@pytest.mark.parametrize("case", ["wkv_decay", "wkv_zero_is_causal_simple"])
def test_wkv_matches_that_of_transformers(case):
    tensors = read_safetensors(reference.DATA / f"{case}.safetensors")
    P = tensors["k"].shape[2]
    config = aft.Config("wkv", 0, P, gate="none")
    core = aft.Core(config, {"decay": np.exp(tensors["time_decay"]), "bonus": tensors["time_first"]}, device="cpu")
    assert_close(core(None, tensors["k"], tensors["v"]), tensors["output_f64"])


@pytest.mark.parametrize("case", ["adv_wninf_row", "adv_nan_contain", "adv_nan_contain_causal", "rect_persample"])
def test_means_match_hard_cases(case):
    tensors = read_safetensors(reference.DATA / f"{case}.safetensors")
    form = "causal_given" if "causal" in case else "given"
    core = aft.Core(aft.Config(form, 0, tensors["k"].shape[2]), device="cpu")
    y = core(tensors["q"], tensors["k"], tensors["v"], position_bias=tensors["w"])
    known = np.isfinite(tensors["gated_f64"])  # NaN spreads to the targets that see it
    assert known.any() and np.isnan(y[~known]).all()
    assert_close(np.where(known, y, 0), np.where(known, tensors["gated_f64"], 0))


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (0, 0)])
def test_empty_calls_succeed(shape):
    config = config_of("full")
    layer = aft.Layer(config, parameters_of(config), device="cpu")
    x = floats(0, *shape, 12)
    assert layer(x).shape == x.shape
    assert layer(x, lengths=[0] * shape[0]).shape == x.shape
    assert layer(x, x, mask=np.zeros((shape[0], shape[1], shape[1]), bool)).shape == x.shape


def test_without_sources_the_mean_is_0():
    config = config_of("simple")
    parameters = parameters_of(config)
    y = aft.Layer(config, parameters, device="cpu")(floats(0, 2, 3, 12), floats(1, 2, 0, 12))
    assert_close(y, np.broadcast_to(parameters["project_bias"].astype(np.float64), (2, 3, 12)), 1e-6)


def test_a_layer_tells_its_config_device_kernel_and_scratch():
    config = config_of("full")
    layer = aft.Layer(config, aft.Weights(config, **parameters_of(config)), kernel="", device="cpu")
    assert layer.config is config
    assert layer.device.id == "cpu" and layer.device.usable is True and layer.device.is_gpu is False
    assert isinstance(layer.kernel_for(2, 9), aft.Kernel)
    assert layer.kernel_for(2, 9).form == "full" and layer.kernel_for(2, 9).device == "cpu"
    layer(floats(0, 2, 9, 12))
    assert layer.scratch_bytes > 0
    core = aft.Core(config_of("simple", hidden=0), device="cpu")
    assert core.kernel_for(3, 5).operation == "core" and core.device.api == "cpu"
    layer.synchronize()


def test_a_kernel_can_be_chosen():
    config = config_of("full")
    parameters = parameters_of(config)
    kernel = next(kernel.id for kernel in aft.kernels()
                  if kernel.form == "full" and kernel.algorithm == "exact" and kernel.usable and kernel.device == "cpu")
    assert aft.Layer(config, parameters, device="cpu").kernel_for(2, 9).id != kernel
    layer = aft.Layer(config, parameters, kernel=kernel)
    assert layer.kernel_for(2, 9).id == kernel
    x = floats(0, 2, 9, 12)
    assert_close(layer(x), reference.layer(config, parameters, x))
    with pytest.raises(aft.ConfigError, match="no_such_kernel"):
        aft.Layer(config, parameters, kernel="no_such_kernel")
    with pytest.raises(aft.ConfigError, match="no_such_device"):
        aft.Layer(config, parameters, device="no_such_device")


@pytest.mark.skipif(not any(kernel.usable and kernel.storage == "bfloat16" for kernel in aft.kernels()),
                    reason="no kernel keeps bfloat16")
@pytest.mark.parametrize("make", [aft.Layer, aft.Core])
def test_storage(make):
    config = config_of("full", max_seq_len=20)
    parameters = parameters_of(config)
    if make is aft.Core:
        parameters = {"position_bias": parameters["position_bias"]}
    exact, rounded = make(config, parameters, device="cpu"), make(config, parameters, device="cpu", storage="bfloat16")
    assert exact.kernel_for(20, 20).storage == "float32"
    assert rounded.kernel_for(20, 20).storage == "bfloat16"
    inputs = [floats(0, 2, 20, 12)] if make is aft.Layer else [floats(each, 2, 20, 8) for each in range(3)]
    y = exact(*inputs)
    assert 0 < np.abs(rounded(*inputs) - y).max() < 0.03 * np.abs(y).max()
    with pytest.raises(aft.ConfigError, match="storage 'int4' must be float32, bfloat16 or int8"):
        make(config, parameters, storage="int4")


@pytest.mark.skipif(not any(kernel.usable and kernel.storage == "int8" for kernel in aft.kernels()),
                    reason="no kernel keeps int8")
@pytest.mark.parametrize("form", ["full", "causal_simple"])
def test_int8(form):
    config = config_of(form, max_seq_len=20)
    parameters = parameters_of(config)
    exact, rounded = (aft.Layer(config, parameters, device="cpu", storage=each) for each in ("float32", "int8"))
    if form == "full":
        assert [rounded.kernel_for(1, T).storage for T in (1, 3, 20)] == ["int8"] * 3
    for T in (1, 3, 20):
        x = floats(T, 2, T, 12)
        y = exact(x)
        assert 0 < np.abs(rounded(x) - y).max() < 0.03 * np.abs(y).max()
    with pytest.raises(aft.ConfigError, match="storage 'int8' is for the weights of projections, and a core has none"):
        aft.Core(config, {name: parameters[name] for name in parameters if name == "position_bias"}, storage="int8")
