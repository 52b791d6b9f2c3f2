"""Arrays of callers: strides, dtypes, results in `out`, and DLPack of other libraries, without a copy."""

import ctypes
import gc
import inspect

import numpy as np
import pytest

import aft
from aft import _arrays
from reference import assert_close, config_of, floats, parameters_of, same_bits


@pytest.fixture(scope="module")
def layer():
    config = config_of("full")
    return aft.Layer(config, parameters_of(config), device="cpu")


@pytest.fixture
def x():
    return floats(0, 2, 9, 12)


class Producer:
    """An array behind DLPack alone, of version 0 or 1. `change` gets the tensor before it is handed out."""

    def __init__(self, array, version=1, change=None, flags=0):
        self.array, self.version, self.change, self.flags, self.streams = array, version, change, flags, []

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream=None, **others):
        self.streams.append(stream)
        if self.version == 0:
            if others:
                raise TypeError("__dlpack__() got an unexpected keyword argument")
            capsule = self.array.__dlpack__()
            tensor = _arrays._DLTensor.from_address(_arrays._pointer_of(capsule, b"dltensor"))
        else:
            capsule = self.array.__dlpack__(**others)
            managed = _arrays._Versioned.from_address(_arrays._pointer_of(capsule, b"dltensor_versioned"))
            managed.flags |= self.flags
            tensor = managed.tensor
        if self.change:
            self.change(tensor)
        return capsule


versions = pytest.mark.parametrize("version", [0, pytest.param(1, marks=pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="NumPy has DLPack 1 from 2.1 on"))])


def test_strided_arrays_need_no_copy(layer, x):
    right = layer(x)
    wide = np.full((2, 12, 20), np.nan, np.float32)
    rows = wide[:, 2:11, 5:17]
    rows[...] = x
    time_major = np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2)
    for strided in (rows, time_major):
        assert not strided.flags.c_contiguous
        out = np.full((2, 9, 30), 7, np.float32)
        assert layer(strided, out=out[..., 10:22]).base is out
        assert same_bits(np.ascontiguousarray(out[..., 10:22]), right)
        assert (out[..., :10] == 7).all() and (out[..., 22:] == 7).all()
    one = np.broadcast_to(x[:1], (3, 9, 12))  # samples that are shared
    assert same_bits(layer(one), layer(one.copy()))
    assert same_bits(layer(x[:, :1]), layer(x[:, :1].copy()))


@pytest.mark.parametrize("change, text", [
    (lambda x: x[::-1], "the batch stride is -108, must be at least"),
    (lambda x: x[:, ::-1], "the row stride is -12, must be at least"),
    (lambda x: np.asfortranarray(x), "the stride of the channels is 18, must be 1"),
    (lambda x: x[0], "query is .9, 12., must have 3 dimensions"),
    (lambda x: x[..., :11], "is 11, must be 12"),
    (lambda x: x.repeat(2, axis=1), "seq is 18, must be 0 to max_seq_len 11"),
    (lambda x: np.frombuffer(bytes(x.nbytes + 1), np.uint8)[1:].view(np.float32).reshape(x.shape),
     "query is at an address that isn't a multiple of 4"),
    (lambda x: np.zeros(x.shape, "u1, f4")["f1"], "strides of .* bytes, must be whole elements of 4")])
def test_arrays_of_a_wrong_shape_are_refused(layer, x, change, text):
    out = np.full((2, 9, 12), 7, np.float32)
    with pytest.raises(aft.ShapeError, match=text):
        layer(change(x), out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("array", [np.zeros((2, 9, 12)), np.zeros((2, 9, 12), ">f4"), np.zeros((2, 9, 12), np.float16),
                                   np.zeros((2, 9, 12), int), np.zeros((2, 9, 12), object), [[[1.0]]], None])
def test_other_dtypes_are_refused(layer, array):
    text = "query has the dtype .*, must be float32" if isinstance(array, np.ndarray) else "query is a (list|NoneType)"
    with pytest.raises(TypeError, match=text):
        layer(array)


def test_masks_and_biases_of_calls_are_broadcast(x):
    config = config_of("given")
    layer = aft.Layer(config, parameters_of(config), device="cpu")
    rng = np.random.default_rng(1)
    for shape in [(9, 9), (1, 9, 9), (2, 9, 9), (2, 1, 9), (9,), (1, 1, 9)]:
        bias, mask = rng.standard_normal(shape).astype(np.float32), rng.random(shape) < 0.7
        dense_bias, dense_mask = (np.broadcast_to(array, (2, 9, 9)).copy() for array in (bias, mask))
        assert same_bits(layer(x, position_bias=bias, mask=mask), layer(x, position_bias=dense_bias, mask=dense_mask))
    for wrong in [(8, 9), (3, 9, 9), (1, 2, 9, 9)]:
        with pytest.raises(aft.ShapeError, match="position_bias is .*, must broadcast to .2, 9, 9."):
            layer(x, position_bias=np.zeros(wrong, np.float32))
    with pytest.raises(aft.ShapeError, match="mask: the stride of the sources is 0, must be 1"):
        layer(x, position_bias=np.zeros((9, 9), np.float32), mask=np.ones((9, 1), bool))
    with pytest.raises(TypeError, match="mask has the dtype int64, must be bool"):
        layer(x, position_bias=np.zeros((9, 9), np.float32), mask=np.ones((9, 9), int))


@pytest.mark.parametrize("lengths", [[9], [9, 9, 9], 9, [9.0, 9.0], [True, True], [[9, 9]]])
def test_lengths_are_whole_numbers_one_for_each_sample(layer, x, lengths):
    with pytest.raises(aft.ShapeError, match="lengths are .*, must be .2. of whole numbers"):
        layer(x, lengths=lengths)


def test_lengths_beyond_the_sources_are_refused(layer, x):
    for wrong in (-1, 10):
        with pytest.raises(aft.ShapeError, match=f"lengths: sample 1 is {wrong}, must be 0 to 9"):
            layer(x, lengths=[9, wrong])


def test_out_must_be_an_array_that_fits(layer, x):
    out = np.empty_like(x)
    assert layer(x, out=out) is out and same_bits(out, layer(x))
    read_only = np.empty_like(x)
    read_only.flags.writeable = False
    for wrong, error, text in [(read_only, ValueError, "out is read-only"), (x, aft.ShapeError, "y overlaps x"),
                               (np.empty((2, 9, 12)), TypeError, "out has the dtype float64"),
                               (np.empty((2, 9, 11), np.float32), aft.ShapeError, "is 11, must be 12"),
                               (np.empty((2, 8, 12), np.float32), aft.ShapeError, "2, 8, 12|8"),
                               (np.empty(216, np.float32), aft.ShapeError, "out is .216., must have 3 dimensions")]:
        with pytest.raises(error, match=text):
            layer(x, out=wrong)
    shared = np.zeros((2, 9, 24), np.float32)
    with pytest.raises(aft.ShapeError, match="overlaps"):
        layer(shared[..., :12], out=shared[..., 12:])


@versions
def test_arrays_with_dlpack_are_read_in_place(layer, x, version):
    right = layer(x)
    assert same_bits(layer(Producer(x, version)), right)
    wide = np.full((2, 9, 20), np.nan, np.float32)
    wide[..., 3:15] = x
    assert same_bits(layer(Producer(wide[..., 3:15], version)), right)
    seen = []
    producer = Producer(x, version, change=lambda tensor: seen.append(tensor.data))
    assert _arrays.view(producer, "x").address == x.ctypes.data == seen[0]
    assert producer.streams[-1] is None
    if np.lib.NumpyVersion(np.__version__) >= "1.25.0":  # before, NumPy had no DLPack for bool
        mask = np.random.default_rng(1).random((9, 9)) < 0.5
        assert same_bits(layer(x, mask=Producer(mask, version)), layer(x, mask=mask))


@versions
def test_parameters_with_dlpack_are_copied(x, version):
    config = config_of("full")
    parameters = parameters_of(config)
    produced = {name: Producer(array, version) for name, array in parameters.items()}
    right = aft.Layer(config, parameters, device="cpu")(x)
    assert same_bits(aft.Layer(config, produced, device="cpu")(x), right)


def test_dlpack_without_strides_or_with_an_offset(layer, x):
    def without_strides(tensor):
        tensor.strides = None

    def with_offset(tensor):
        tensor.data, tensor.byte_offset = tensor.data - 64, 64

    for change in (without_strides, with_offset):
        assert same_bits(layer(Producer(x, 0, change)), layer(x))


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="NumPy has DLPack 1 from 2.1 on")
def test_results_are_written_to_arrays_with_dlpack(layer, x):
    out = np.empty_like(x)
    producer = Producer(out)
    assert layer(x, out=producer) is producer and same_bits(out, layer(x))
    before = out.copy()
    for refused, text in [(Producer(out, 0), "old DLPack"), (Producer(out, flags=1), "read-only"),
                          (Producer(out, flags=2), "read-only")]:  # a copy would be lost
        with pytest.raises(ValueError, match=f"out .*{text}"):
            layer(floats(5, 2, 9, 12), out=refused)
    assert same_bits(out, before)


def change_to(**members):
    def change(tensor):
        for name, value in members.items():
            setattr(tensor, name, value)

    return change


@pytest.mark.parametrize("members", [{"bits": 64}, {"bits": 16}, {"code": 4, "bits": 16}, {"lanes": 2}, {"code": 0}])
def test_other_dtypes_with_dlpack_are_refused(layer, x, members):
    with pytest.raises(TypeError, match="query has the dtype of another kind, must be float32"):
        layer(Producer(x, 0, change_to(**members)))


def test_arrays_on_devices_are_refused_where_they_can_not_be(layer, x):
    on_cuda, on_metal = Producer(x, 0, change_to(device_type=2)), Producer(x, 0, change_to(device_type=8))
    with pytest.raises(aft.DeviceError, match="key is in the memory of a CUDA device, must be in the host's memory"):
        layer(x, on_cuda)
    with pytest.raises(aft.DeviceError, match="query is on a device of DLPack's type 8, must be on the CPU or CUDA"):
        layer(on_metal)
    assert same_bits(layer(Producer(x, 0, change_to(device_type=3))), layer(x))  # pinned memory of the host


def test_calls_on_cuda_take_out_and_stream_alone(layer, x):
    class OnCuda(Producer):
        def __dlpack_device__(self):
            return (2, 0)

    on_cuda = OnCuda(x, 0, change_to(device_type=2))
    with pytest.raises(aft.ArgumentError, match="out must be given"):
        layer(on_cuda)
    with pytest.raises(aft.ArgumentError, match="takes no other argument than out and stream"):
        layer(on_cuda, lengths=[9, 9])
    with pytest.raises(aft.DeviceError, match="out is in the host's memory, must be in the memory of a CUDA device"):
        layer(on_cuda, out=np.empty_like(x), stream=77)
    assert on_cuda.streams[0] is None and on_cuda.streams[-1] == 77  # whose work comes after the producer's
    with pytest.raises(aft.ArgumentError, match="stream is given, but query isn't on CUDA"):
        layer(x, stream=77)


def test_arrays_are_released_after_a_call(layer, x):
    released = []

    class Watched(Producer):
        def __del__(self):
            released.append(1)

    layer(Watched(x, 0), Watched(x, 0))
    gc.collect()
    assert len(released) == 2


def test_errors_of_a_producer_are_its_own(layer):
    class Broken:
        def __dlpack__(self, **others):
            raise BufferError("can't be exported")

    with pytest.raises(BufferError, match="can't be exported"):
        layer(Broken())


def test_tensors_of_pytorch(layer, x):
    torch = pytest.importorskip("torch")
    right, tensor = layer(x), torch.from_numpy(x.copy())
    assert same_bits(layer(tensor), right)
    wide = torch.full((2, 9, 20), torch.nan)
    wide[..., 3:15] = tensor
    assert same_bits(layer(wide[..., 3:15]), right)
    assert same_bits(layer(x, mask=torch.ones(9, 9, dtype=torch.bool)), layer(x, mask=np.ones((9, 9), bool)))
    assert same_bits(layer(x, lengths=torch.tensor([9, 4])), layer(x, lengths=[9, 4]))
    out = torch.empty(2, 9, 12)
    if "max_version" in inspect.signature(torch.Tensor.__dlpack__).parameters:
        assert layer(tensor, out=out) is out and same_bits(out.numpy(), right)
    with pytest.raises(TypeError, match="query has the dtype torch.float64, must be float32"):
        layer(tensor.double())
    with pytest.raises(BufferError, match="require gradient"):
        layer(tensor.requires_grad_())


def test_arrays_of_jax(layer, x):
    jnp = pytest.importorskip("jax.numpy")
    array = jnp.asarray(x)
    assert same_bits(layer(array), layer(x))
    assert same_bits(layer(x, mask=jnp.ones((9, 9), bool)), layer(x, mask=np.ones((9, 9), bool)))
    with pytest.raises(ValueError, match="out .*read-only"):
        layer(x, out=array)
    with pytest.raises(TypeError, match="query has the dtype float16, must be float32"):
        layer(array.astype("float16"))


def test_a_view_keeps_its_array_alive():
    view = _arrays.view(floats(0, 3, 4), "x")
    gc.collect()
    values = np.ctypeslib.as_array(ctypes.cast(view.address, ctypes.POINTER(ctypes.c_float)), (3, 4))
    assert_close(values, floats(0, 3, 4))
