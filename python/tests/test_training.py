"""Results and gradients of training, against the definition in double and its differences."""

import numpy as np
import pytest

import aft
import reference
from reference import FORMS, GATES, assert_close, config_of, floats, parameters_of, same_bits

TRAINED = [form for form in FORMS if form not in ("conv", "wkv")]
TOLERANCE = 2e-5  # of gradients, relative to the largest


def slopes(function, arrays, wanted, dy):
    """The gradients of sum(dy * function(arrays)) by central differences, for each element of `wanted` arrays."""
    step, result = 1e-5, {}
    arrays = {name: None if array is None else np.array(array, np.float64) for name, array in arrays.items()}
    for name in wanted:
        array = arrays[name]
        result[name] = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            kept = array[index]
            sides = []
            for side in (kept + step, kept - step):
                array[index] = side
                sides.append((dy * function(arrays)).sum())
            array[index] = kept
            result[name][index] = (sides[0] - sides[1]) / (2 * step)
    return result


def split(arrays):
    """Inputs of a call, and parameters."""
    inputs = ("query", "key", "value", "given_bias")
    return ({name: array for name, array in arrays.items() if name in inputs},
            {name: array for name, array in arrays.items() if name not in inputs})


def check_layer(config, inputs, parameters, **sight):
    training = aft.LayerTraining(config)
    arrays = {**inputs, **parameters}
    given = inputs.get("given_bias")
    call = [inputs[name] for name in ("query", "key", "value") if name in inputs]

    def definition(values):
        x, p = split(values)
        return reference.layer(config, p, *(x[name] for name in ("query", "key", "value") if name in x),
                               position_bias_of_call=x.get("given_bias"), **sight)

    y, saved = training.forward(parameters, *call, position_bias=given, **sight)
    assert_close(y, definition(arrays))
    dy = floats(99, *y.shape)
    gradients = training.backward(dy, saved, parameters, *call, position_bias=given, **sight)
    assert list(gradients) == [name for name in (*inputs, *aft._training.PARAMETERS) if arrays.get(name) is not None]
    for name, right in slopes(definition, arrays, gradients, dy).items():
        scale = max(np.abs(right).max(), 1e-3)  # the gradient of key_bias is 0
        assert gradients[name].shape == right.shape
        error = np.abs(gradients[name] - right).max() / scale
        assert error <= (TOLERANCE if name != "key_bias" else 1e-2), f"{name}: {error}"
    wanted = ["value_weight", "query"]
    some = training.backward(dy, saved, parameters, *call, position_bias=given, wanted=wanted, **sight)
    assert list(some) == wanted
    assert all(same_bits(some[name], gradients[name]) for name in some)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("form", TRAINED)
def test_every_gradient_of_a_layer_is_the_slope_of_the_definition(form, gate):
    config = config_of(form, gate, hidden=5, projected=4, max_seq_len=6)
    inputs = {"query": floats(0, 2, 5, 5)}
    if form.endswith("given"):
        inputs["given_bias"] = floats(7, 2, 5, 5)
    check_layer(config, inputs, parameters_of(config))


def test_gradients_with_inputs_of_their_own_lengths_and_a_mask():
    config = config_of("full", hidden=5, projected=4, max_seq_len=7, key_hidden=3, value_hidden=2)
    inputs = {"query": floats(0, 2, 5, 5), "key": floats(1, 2, 7, 3), "value": floats(2, 2, 7, 2)}
    mask = np.random.default_rng(3).random((2, 5, 7)) < 0.7
    check_layer(config, inputs, parameters_of(config), lengths=[7, 4], mask=mask)


def test_gradients_without_an_output_projection_and_biases():
    config = config_of("simple", hidden=4, projected=4)
    parameters = {name: array for name, array in parameters_of(config).items() if name.endswith("_weight")}
    del parameters["project_weight"]
    check_layer(config, {"query": floats(0, 2, 5, 4)}, {**parameters, "key_bias": None})


def test_hidden_rows_touch_no_gradient():
    config = config_of("simple", hidden=5, projected=4)
    parameters, training = parameters_of(config), aft.LayerTraining(config)
    x, dy = floats(0, 2, 5, 5), floats(1, 2, 5, 5)
    sight = {"lengths": [5, 2]}
    right = training.backward(dy, training.forward(parameters, x, **sight)[1], parameters, x, **sight)
    x[1, 2:] = dy[1, 2:] = np.nan
    y, saved = training.forward(parameters, x, **sight)
    gradients = training.backward(dy, saved, parameters, x, **sight)
    assert np.isfinite(y).all() and not gradients["query"][1, 2:].any()
    assert all(same_bits(gradients[name], right[name]) for name in right)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("form", TRAINED)
def test_every_gradient_of_a_core_is_the_slope_of_the_definition(form, gate):
    config = config_of(form, gate, hidden=0, projected=3, max_seq_len=6)
    n, m = (5, 5) if form in reference.IN_ORDER else (4, 6)
    parameters = reference.core_parameters_of(config)
    query = None if gate == "none" else floats(0, 2, n, 3)
    given = floats(7, 2, n, m) if form.endswith("given") else None
    arrays = {"key": floats(1, 2, m, 3), "value": floats(2, 2, m, 3), "query": query, "given_bias": given, **parameters}
    targets = n if query is None else None

    def definition(values):
        return reference.mean(config, values, values["query"], values["key"], values["value"], targets=targets,
                              position_bias_of_call=values["given_bias"])

    training = aft.CoreTraining(config)
    call = (query, arrays["key"], arrays["value"], parameters or None)
    y, saved = training.forward(*call, targets=targets, position_bias=given)
    assert_close(y, definition(arrays))
    dy = floats(99, *y.shape)
    gradients = training.backward(dy, saved, *call, targets=targets, position_bias=given)
    assert set(gradients) == {name for name, array in arrays.items() if array is not None}
    for name, right in slopes(definition, arrays, gradients, dy).items():
        assert_close(gradients[name], right, TOLERANCE)
    key = training.backward(dy, saved, *call, targets=targets, position_bias=given, wanted=("key",))
    assert list(key) == ["key"] and same_bits(key["key"], gradients["key"])


def test_a_core_in_training_takes_lengths_and_masks():
    config = config_of("simple", hidden=0)
    core, training = aft.Core(config, device="cpu"), aft.CoreTraining(config)
    query, key, value = floats(0, 2, 5, 8), floats(1, 2, 7, 8), floats(2, 2, 7, 8)
    sight = {"lengths": [7, 3], "mask": np.random.default_rng(3).random((5, 7)) < 0.7}
    y, saved = training.forward(query, key, value, **sight)
    assert_close(y, reference.mean(config, {}, query, key, value, **sight))
    assert same_bits(y, core(query, key, value, **sight))
    gradients = training.backward(floats(3, 2, 5, 8), saved, query, key, value, **sight)
    assert not gradients["key"][1, 3:].any() and gradients["key"][1, :3].any()


@pytest.mark.parametrize("form", ["simple", "given"])
def test_sources_in_pieces_have_the_mean_of_all(form):
    config = config_of(form, gate="none")
    B, n, m, P = 2, 5, 10, config.projected
    key, value, bias = floats(1, B, m, P, scale=9), floats(2, B, m, P), floats(3, n, m, scale=9)
    training = aft.CoreTraining(config)

    def call(first, end):
        more = {"position_bias": np.ascontiguousarray(bias[:, first:end])} if form == "given" else {}
        return {"key": key[:, first:end], "value": value[:, first:end], "targets": n, **more}

    means, logs = zip(*(training.partial(**call(first, end)) for first, end in ((0, 3), (3, 3), (3, 10))))
    assert not means[1].any() and (logs[1] == -np.inf).all()  # of no sources
    keys, values = (np.stack(each, 2).reshape(B * n, 3, P) for each in (logs, means))
    whole = aft.Core(config)(None, **call(0, m))
    combined = aft.Core(aft.Config("simple", 0, P, gate="none"))(None, keys, values, targets=1)
    assert_close(combined.reshape(B, n, P), whole)


@pytest.mark.parametrize("shape", [(0, 5), (2, 0)])
def test_the_gradients_of_an_empty_call_are_0(shape):
    config = config_of("full")
    parameters, training = parameters_of(config), aft.LayerTraining(config)
    x = floats(0, *shape, 12)
    for _ in range(20):  # so that new arrays have memory that was used
        y, saved = training.forward(parameters, x)
        gradients = training.backward(y, saved, parameters, x)
        assert y.shape == x.shape and list(gradients) == ["query", *parameters]
        assert not any(gradient.any() for gradient in gradients.values())
        for gradient in gradients.values():
            gradient.fill(np.nan)


def test_results_go_to_out_and_states_of_training_are_told():
    config = config_of("full")
    parameters, training = parameters_of(config), aft.LayerTraining(config)
    x, wide = floats(0, 2, 9, 12), np.full((2, 9, 20), 7, np.float32)
    out = wide[..., :12]
    y, saved = training.forward(parameters, x, out=out)
    assert y is out and (wide[..., 12:] == 7).all() and saved.ndim == 1
    assert same_bits(np.ascontiguousarray(out), training.forward(parameters, x)[0])
    assert training.scratch_bytes > 0
    dy = np.full((2, 9, 20), np.nan, np.float32)
    dy[..., :12] = floats(1, 2, 9, 12)
    strided = training.backward(dy[..., :12], saved, parameters, x)
    dense = training.backward(np.ascontiguousarray(dy[..., :12]), saved, parameters, x)
    assert all(same_bits(strided[name], dense[name]) for name in dense)


def test_what_can_not_be_is_refused():
    config = config_of("full")
    parameters, training = parameters_of(config), aft.LayerTraining(config)
    x = floats(0, 2, 9, 12)
    y, saved = training.forward(parameters, x)
    with pytest.raises(aft.ArgumentError, match="wanted has 'key', must be of query, query_weight, "):
        training.backward(y, saved, parameters, x, wanted=["key"])
    with pytest.raises(aft.ShapeError, match=rf"saved is \[{saved.size - 1}\], must be \[{saved.size}\]"):
        training.backward(y, saved[:-1], parameters, x)
    with pytest.raises(aft.ShapeError, match="dy"):
        training.backward(y[:, :8], saved, parameters, x)
    with pytest.raises(TypeError, match="dy has the dtype float64, must be float32"):
        training.backward(y.astype(float), saved, parameters, x)
    with pytest.raises(aft.ArgumentError, match="query_weight is null"):
        training.forward({**parameters, "query_weight": None}, x)
    with pytest.raises(aft.WeightsError, match="has no parameter 'nothing'"):
        training.forward({**parameters, "nothing": x}, x)
    with pytest.raises(aft.ShapeError, match="y overlaps"):
        training.forward(parameters, x, out=x)
    for form in ("conv", "wkv"):
        for kind in (aft.LayerTraining, aft.CoreTraining):
            with pytest.raises(aft.ConfigError, match="no gradients"):
                kind(config_of(form))
    with pytest.raises(aft.ConfigError, match="no_such_kernel"):
        aft.LayerTraining(config, kernel="no_such_kernel")


@pytest.mark.skipif(not any(kernel.usable and kernel.storage == "bfloat16" for kernel in aft.kernels()),
                    reason="no kernel keeps bfloat16")
def test_storage():
    config = config_of("full")
    parameters, x, dy = parameters_of(config), floats(0, 2, 9, 12), floats(1, 2, 9, 12)
    results = []
    for storage in ("float32", "bfloat16"):
        training = aft.LayerTraining(config, storage=storage)
        y, saved = training.forward(parameters, x)
        results.append((y, training.backward(dy, saved, parameters, x)))
    (y, gradients), (rounded, of_rounded) = results
    assert 0 < np.abs(rounded - y).max() < 0.03 * np.abs(y).max()
    for name, gradient in gradients.items():
        assert np.abs(of_rounded[name] - gradient).max() < 0.03 * max(np.abs(gradient).max(), 1e-6), name
    with pytest.raises(aft.ConfigError, match="storage 'int8' is for layers that keep their weights, not for training"):
        aft.LayerTraining(config, storage="int8")
