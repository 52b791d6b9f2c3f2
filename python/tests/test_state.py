"""Sequences in pieces, with a state."""

import copy

import numpy as np
import pytest

import aft
import reference
from reference import IN_PIECES, assert_close, config_of, floats, parameters_of, same_bits


def layer_of(form, **sizes):
    config = config_of(form, **sizes)
    parameters = parameters_of(config)
    return aft.Layer(config, parameters, device="cpu"), parameters


def whole(layer, parameters, x):
    return reference.layer(layer.config, parameters, x)


@pytest.mark.parametrize("pieces", [(9,), (1,) * 9, (4, 0, 3, 2)])
@pytest.mark.parametrize("form", IN_PIECES)
def test_pieces_have_the_values_of_the_whole(form, pieces):
    layer, parameters = layer_of(form)
    x, state, at = floats(0, 2, 9, 12), layer.state(2), 0
    assert state.batch == 2 and state.position(1) == 0
    parts = []
    for piece in pieces:
        parts.append(layer.step(state, x[:, at:at + piece]))
        at += piece
        assert state.position(0) == state.position(1) == at
    assert_close(np.concatenate(parts, axis=1), whole(layer, parameters, x))


@pytest.mark.parametrize("form", IN_PIECES)
def test_a_core_in_pieces(form):
    config = config_of(form, hidden=0)
    parameters = reference.core_parameters_of(config_of(form))
    core = aft.Core(config, parameters or None, device="cpu")
    query, key, value = (floats(i, 2, 9, 8) for i in range(3))
    state, out = core.state(2), np.empty((2, 9, 8), np.float32)
    for at, end in ((0, 5), (5, 6), (6, 9)):
        piece = out[:, at:end]
        assert core.step(state, query[:, at:end], key[:, at:end], value[:, at:end], out=piece) is piece
    assert_close(out, reference.mean(config, parameters, query, key, value))


@pytest.mark.parametrize("form", IN_PIECES)
def test_sequences_stand_at_positions_of_their_own(form):
    layer, parameters = layer_of(form)
    x, state = floats(0, 3, 9, 12), layer.state(3)
    y = layer.step(state, x[:, :5], lengths=[5, 0, 2])
    assert [state.position(b) for b in range(3)] == [5, 0, 2]
    right = whole(layer, parameters, x)
    assert_close(y[0], right[0, :5])
    assert_close(y[2, :2], right[2, :2])
    assert not y[1].any() and not y[2, 2:].any()
    assert_close(layer.step(state, x[2:, 2:4].repeat(3, 0), lengths=np.array([0, 0, 2]))[2], right[2, 2:4])
    state.reset(0)
    assert state.position(0) == 0
    assert_close(layer.step(state, x[:, :3], lengths=[3, 0, 0])[0], right[0, :3])


@pytest.mark.parametrize("form", IN_PIECES)
def test_copies_and_saved_states_go_on_with_the_same_bits(form, tmp_path):
    layer, _ = layer_of(form)
    x, state = floats(0, 2, 9, 12), layer.state(2)
    layer.step(state, x[:, :6])
    path = tmp_path / "state.safetensors"
    state.save(path)
    others = [state.copy(), copy.copy(state), copy.deepcopy(state), aft.State.load(str(path), layer.config)]
    swapped = aft.State(layer.config, 2)
    swapped.copy_sample(0, state, 1)
    swapped.copy_sample(1, state, 0)
    y = layer.step(state, x[:, 6:])
    for other in others:
        assert other.position(0) == 6 and other.batch == 2 and other.config == layer.config
        assert same_bits(layer.step(other, x[:, 6:]), y)
    assert same_bits(layer.step(swapped, x[::-1, 6:].copy()), y[::-1].copy())


def test_what_can_not_be_is_refused_and_changes_nothing(tmp_path):
    layer, parameters = layer_of("causal_full")
    x, state = floats(0, 1, 9, 12), layer.state()
    layer.step(state, x[:, :6])
    out = np.full((1, 6, 12), 7, np.float32)
    with pytest.raises(aft.ShapeError, match="max_seq_len"):
        layer.step(state, x[:, :6], out=out)
    with pytest.raises(aft.ShapeError, match="out is .1, 6, 12., must be .1, 3, 12."):
        layer.step(state, x[:, 6:], out=out)
    with pytest.raises(aft.ShapeError, match="batch is 2, must be 1"):
        layer.step(state, x[:, 6:].repeat(2, 0))
    with pytest.raises(aft.ShapeError, match="lengths: sample 0 is 4, must be 0 to 3"):
        layer.step(state, x[:, 6:], lengths=[4])
    other, _ = layer_of("causal_full", projected=4)
    with pytest.raises(aft.ConfigError):
        other.step(state, x[:, 6:])
    assert (out == 7).all() and state.position() == 6
    assert_close(layer.step(state, x[:, 6:]), whole(layer, parameters, x)[:, 6:])

    for call in (lambda: state.position(1), lambda: state.reset(-1), lambda: state.copy_sample(0, state, 1)):
        with pytest.raises(aft.ShapeError, match="must be 0 to 0"):
            call()
    with pytest.raises(aft.ArgumentError, match="sample is 18446744073709551616, must be a number of 64 bits"):
        state.position(2**64)
    with pytest.raises(aft.ConfigError):
        state.copy_sample(0, other.state(), 0)
    for form in ("full", "causal_given"):
        with pytest.raises(aft.ConfigError, match=form):
            aft.State(config_of(form), 1)
    with pytest.raises(aft.ShapeError, match="batch"):
        aft.State(layer.config, -1)
    state.save(tmp_path / "state")
    with pytest.raises(aft.WeightsError, match="state"):
        aft.State.load(tmp_path / "state", other.config)
    with pytest.raises(aft.WeightsError, match="nowhere"):
        state.save(tmp_path / "nowhere" / "state")
    with pytest.raises(aft.WeightsError, match="nowhere"):
        aft.State.load(tmp_path / "nowhere", layer.config)
