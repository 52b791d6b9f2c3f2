"""Configs, weights, files of weights, and the list of kernels and devices."""

import copy
import pickle

import numpy as np
import pytest

import aft
import reference
from aft import _library as c
from reference import DATA, FORMS, config_of, floats, parameters_of, read_safetensors, same_bits


def test_configs_are_values():
    config = aft.Config("conv", 8, 6, window=3, heads=2, gate="tanh")
    assert config == aft.Config("conv", np.int64(8), 6, 1, 3, "tanh", 0, 0, 2)
    assert hash(config) == hash(copy.copy(config)) and pickle.loads(pickle.dumps(config)) == config
    assert type(aft.Config("simple", np.int64(8), 6).hidden) is int
    with pytest.raises(AttributeError):
        config.hidden = 9


@pytest.mark.parametrize("arguments, error, text", [
    (("fulll", 8, 6), aft.ConfigError, "form is 'fulll', must be one of full, simple, "),
    (("full", 8, 6, 1, 0, "relu"), aft.ConfigError, "gate is 'relu', must be one of sigmoid, tanh, none, identity"),
    (("full", 2**64 + 8, 6), aft.ArgumentError, "hidden is 18446744073709551624, must be a number of 64 bits"),
    (("full", 8.0, 6), TypeError, "integer")])
def test_configs_that_make_no_sense_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        aft.Config(*arguments)


@pytest.mark.parametrize("form", FORMS)
def test_shapes_are_those_that_c_asks_for(form):
    """A layer takes parameters of the shapes, and none that lacks a row or a name."""
    config = config_of(form, key_hidden=5, value_hidden=7)
    parameters = parameters_of(config)
    aft.Layer(config, parameters, device="cpu")
    for name, shape in config.shapes().items():
        if not name.endswith("_bias") or name == "position_bias":
            with pytest.raises(aft.ArgumentError, match=f"{name} is null, must be"):
                aft.Weights(config, **{**parameters, name: None})
        with pytest.raises(aft.ShapeError, match=f"{name} is .*, must be "):
            aft.Weights(config, **{**parameters, name: np.zeros((shape[0] + 1, *shape[1:]), np.float32)})


def test_weights_are_copied():
    config = config_of("full")
    parameters = parameters_of(config)
    weights = aft.Weights(config, **parameters)
    x = floats(0, 1, 9, 12)
    before = aft.Layer(config, parameters, device="cpu")(x)
    for array in parameters.values():
        array[...] = 0
    assert same_bits(aft.Layer(config, weights, device="cpu")(x), before)


def test_weights_with_gaps_are_taken():
    config = config_of("full")
    parameters = parameters_of(config)
    strided = {name: np.repeat(array, 2, axis=-1)[..., ::2] for name, array in parameters.items()}
    strided["key_weight"] = np.asfortranarray(parameters["key_weight"])
    assert not strided["query_weight"].flags.c_contiguous and not strided["key_weight"].flags.c_contiguous
    x = floats(0, 1, 9, 12)
    assert same_bits(aft.Layer(config, strided, device="cpu")(x), aft.Layer(config, parameters, device="cpu")(x))


def test_weights_that_do_not_fit_are_refused():
    config = config_of("full")
    parameters = parameters_of(config)
    with pytest.raises(aft.WeightsError, match="a layer of the form full with the gate sigmoid has no parameter "
                                               "'decay': its parameters are query_weight, "):
        aft.Weights(config, **parameters, decay=floats(0, 8))
    with pytest.raises(aft.WeightsError, match="a layer of .* gate none has no parameter 'query_weight'"):
        aft.Weights(config_of("full", "none"), **parameters)
    with pytest.raises(aft.WeightsError, match="a core .* 'query_weight': its parameters are position_bias$"):
        aft.Weights.for_core(config, **parameters)
    with pytest.raises(aft.WeightsError, match="a core .* 'position_bias': its parameters are none"):
        aft.Core(config_of("simple"), {"position_bias": parameters["position_bias"]})
    with pytest.raises(TypeError, match="key_weight has the dtype float64, must be float32"):
        aft.Weights(config, **{**parameters, "key_weight": parameters["key_weight"].astype(float)})
    parameters["key_weight"][3, 4] = np.nan
    with pytest.raises(aft.WeightsError, match=r"has nan at \[3, 4\], must be finite"):
        aft.Weights(config, **parameters)


def test_weights_of_files():
    path = DATA / "aftp_full_small.safetensors"
    config = aft.config_from_weights(path, "full")
    assert config == aft.Config("full", 8, 6, max_seq_len=7)
    x = read_safetensors(path)["input"]
    weights = [aft.load_weights(where, config) for where in (path, str(path))]
    tensors = read_safetensors(path)
    names = {"query": "to_q", "key": "to_k", "value": "to_v", "project": "project"}
    parameters = {f"{parameter}_{part}": tensors[f"{name}.{part}"] for parameter, name in names.items()
                  for part in ("weight", "bias")}
    weights.append(aft.Weights(config, **parameters, position_bias=tensors["wbias"]))
    weights.append(aft.load_weights(path, config, prefix="", naming="aft-pytorch", gate="sigmoid"))
    weights.append(aft.load_weights(path, config, names={**names, "position_bias": "wbias"}))
    first, *others = [aft.Layer(config, each, device="cpu")(x) for each in weights]
    assert all(same_bits(first, other) for other in others)


def test_a_gate_may_be_that_of_the_caller():
    path = DATA / "aftp_full_small.safetensors"
    config = aft.config_from_weights(path, "full", gate="tanh")
    assert config.gate == "tanh"
    layer = aft.Layer(config, aft.load_weights(path, config, gate="tanh"), device="cpu")
    assert layer.config.gate == "tanh"
    with pytest.raises(aft.ConfigError, match="gate"):
        aft.load_weights(path, config)
    with pytest.raises(aft.ConfigError, match="gate is 'relu'"):
        aft.load_weights(path, config, gate="relu")


def test_a_window_and_a_length_that_the_file_does_not_say():
    path = DATA / "aftp_local_s7.safetensors"
    assert aft.config_from_weights(path, "local", window=7) == aft.Config("local", 11, 16, 64, window=7)
    path = DATA / "aftp_simple_t1.safetensors"
    assert aft.config_from_weights(path, "simple", max_seq_len=5).max_seq_len == 5


def test_the_error_lists_all_that_is_wrong_with_a_file():
    with pytest.raises(aft.WeightsError) as raised:
        aft.load_weights(DATA / "aftp_full_small.safetensors", aft.Config("full", 9, 5, max_seq_len=7))
    for tensor in ("to_q.weight is [6, 8], must be [5, 9]", "to_v.bias is [6], must be [5]", "project.weight"):
        assert tensor in str(raised.value)
    assert str(raised.value) == c.last_error().decode()


@pytest.mark.parametrize("path, options, error, text", [
    ("nowhere.safetensors", {}, aft.WeightsError, "nowhere.safetensors: can't be opened: No such file or directory"),
    (DATA / "README.md", {}, aft.WeightsError, "README.md"),
    ("a\0b", {}, aft.ArgumentError, "null character"),
    (DATA / "aftp_full_small.safetensors", {"naming": "nobody"}, aft.ConfigError, "nobody"),
    (DATA / "aftp_full_small.safetensors", {"prefix": "attn."}, aft.WeightsError, "attn."),
    (DATA / "aftp_full_small.safetensors", {"prefix": "a\0"}, aft.ArgumentError, "prefix is .*null character"),
    (DATA / "aftp_full_small.safetensors", {"names": {"query": "w_q"}}, aft.WeightsError, "w_q.weight is missing"),
    (DATA / "aftp_full_small.safetensors", {"names": {"nothing": "w_q"}}, aft.ConfigError, "nothing")])
def test_files_and_options_that_do_not_fit_are_refused(path, options, error, text):
    with pytest.raises(error, match=text):
        aft.load_weights(path, aft.Config("full", 8, 6, max_seq_len=7), **options)
    with pytest.raises(error, match=text):
        aft.config_from_weights(path, "full", **options)


def test_errors_are_of_the_kinds_of_python():
    for kind in (aft.ArgumentError, aft.ShapeError, aft.ConfigError, aft.WeightsError):
        assert issubclass(kind, aft.Error) and issubclass(kind, ValueError)
    for kind in (aft.DeviceError, aft.KernelError, aft.InternalError):
        assert issubclass(kind, aft.Error) and issubclass(kind, RuntimeError)


def test_objects_of_the_library_are_not_pickled():
    config = config_of("simple")
    weights = aft.Weights(config, **parameters_of(config))
    for thing in (weights, aft.Layer(config, weights, device="cpu"), aft.LayerTraining(config)):
        with pytest.raises(TypeError, match=f"a {type(thing).__name__} can't be pickled"):
            pickle.dumps(thing)


def test_kernels_and_devices():
    kernels = aft.kernels()
    assert len({kernel.id for kernel in kernels}) == len(kernels)
    assert {kernel.form for kernel in kernels} <= {None, *reference.FORMS}
    packed = next(kernel for kernel in kernels if kernel.form == "full" and kernel.device == "cpu" and kernel.usable
                  and kernel.storage == "float32")
    assert packed.schedule == "packed" and packed.reason == "" and packed.minimum_batch >= 1
    least, most = packed.preferred_seq
    assert 0 <= least <= most
    unusable = [kernel for kernel in kernels if not kernel.usable]
    assert all(kernel.reason for kernel in unusable)
    devices = aft.devices()
    assert "cpu" in [device.id for device in devices]
    assert all(device.usable or device.reason for device in devices)


def test_the_version_is_that_of_the_library():
    assert aft.__version__ == c.version()
