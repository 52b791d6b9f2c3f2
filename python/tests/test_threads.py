"""Threads, signals and children of processes."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import aft
from aft import _library as c
from reference import FORMS, config_of, floats, parameters_of, same_bits

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def thread_count():
    """The number of threads is as before afterwards, and is at least 2 now, so that loops have threads."""
    before = aft.thread_count()
    aft.set_thread_count(max(before, 2))
    yield
    aft.set_thread_count(before)


def large_layer():
    """A layer and an input for which a call runs on all threads, and takes tens of milliseconds."""
    config = aft.Config("full", 128, 128, max_seq_len=512)
    parameters = {name: array * np.float32(0.1) for name, array in parameters_of(config).items()}
    return aft.Layer(config, parameters, device="cpu"), floats(0, 64, 512, 128)


def run(script, **options):
    """Runs a script of Python that imports what this file has."""
    return subprocess.run([sys.executable, "-c", f"from test_threads import *\n{script}"], env=ENVIRONMENT, text=True,
                          capture_output=True, timeout=300, **options)


def bits_of_a_call(seed=0):
    layer, x = large_layer()
    return layer(x[seed:seed + 2]).tobytes()


def test_any_number_of_threads_gives_the_same_bits(thread_count):
    layer, x = large_layer()
    results = []
    for threads in (1, 2, 3):
        aft.set_thread_count(threads)
        assert aft.thread_count() == threads
        results.append(layer(x[:3]))
    assert same_bits(results[0], results[1]) and same_bits(results[0], results[2])
    for wrong in (0, 257):
        with pytest.raises(aft.ConfigError, match=f"thread count is {wrong}, must be 1 to 256"):
            aft.set_thread_count(wrong)
    with pytest.raises(aft.ArgumentError, match="threads is 4294967297, must be a number of 32 bits"):
        aft.set_thread_count(2**32 + 1)
    assert aft.thread_count() == 3


def test_threads_share_layers(thread_count):
    layers = {form: aft.Layer(config_of(form), parameters_of(config_of(form)), device="cpu")
              for form in FORMS if not form.endswith("given")}
    inputs = [floats(i, 1 + i % 3, 1 + i, 12) for i in range(10)]
    right = {(form, i): layer(x) for form, layer in layers.items() for i, x in enumerate(inputs)}

    def work(number):
        order = np.random.default_rng(number).permutation(len(right) * 4) % len(right)
        calls = list(right)
        return all(same_bits(layers[calls[k][0]](inputs[calls[k][1]]), right[calls[k]]) for k in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_each_thread_has_the_message_of_its_own_error():
    layer = aft.Layer(config_of("full"), parameters_of(config_of("full")), device="cpu")

    def work(channels):
        x = floats(0, 1, 2, channels)
        for _ in range(300):
            with pytest.raises(aft.ShapeError, match=f"is {channels}, must be 12"):
                layer(x)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(20, 28)))


def test_other_threads_run_python_during_a_call():
    layer, x = large_layer()
    times, stop = [], threading.Event()

    def record():
        while not stop.wait(0.001):
            times.append(time.perf_counter())

    recorder = threading.Thread(target=record)
    recorder.start()
    try:
        for _ in range(5):
            start = time.perf_counter()
            layer(x)
            end = time.perf_counter()
            quarter = (end - start) / 4
            # in the middle of the call, not around it, where this thread runs Python
            if [t for t in times if start + quarter < t < end - quarter]:
                return
    finally:
        stop.set()
        recorder.join()
    pytest.fail("no other thread ran in the middle of a call")


def test_control_c_interrupts_a_loop_of_calls():
    child = subprocess.Popen([sys.executable, "-c", "from test_threads import *\n"
                              "layer, x = large_layer()\n"
                              "right = layer(x[:2])\n"
                              "try:\n"
                              "    print('ready', flush=True)\n"
                              "    while True:\n"
                              "        layer(x)\n"
                              "except KeyboardInterrupt:\n"
                              "    print('interrupted', same_bits(layer(x[:2]), right))"],
                             env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=300)[0] == "interrupted True\n"
    assert child.returncode == 0


def bits_of_a_child():
    """What a child of fork() computes; this process is the child, or waits for it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            with open(write, "wb") as file:
                file.write(bits_of_a_call())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        bits = file.read()
    os.waitpid(child, 0)
    return bits


@pytest.mark.filterwarnings("ignore:.*fork")
def test_children_of_fork_compute_the_same_bits(thread_count):
    right = bits_of_a_call()
    assert bits_of_a_child() == right
    assert bits_of_a_call() == right


@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing_compute_the_same_bits(method, thread_count):
    right = [bits_of_a_call(seed) for seed in range(4)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(bits_of_a_call, range(4)) == right


needs_openmp = pytest.mark.skipif(not (c.FOLDER / "libaft_openmp.so").exists(), reason="the build has no OpenMP loops")


@pytest.fixture
def libgomp():
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        pytest.skip("there is no libgomp")


@needs_openmp
def test_openmp_threads_give_the_same_bits_in_children_too(libgomp):
    """In a process of its own, as an OpenMP library stays loaded."""
    done = run("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
aft.set_thread_count(1)
right = bits_of_a_call()
threads = len(os.listdir("/proc/self/task"))
openmp = ctypes.CDLL("libgomp.so.1")
openmp.omp_set_num_threads(3)
assert aft.use_openmp_threads()
assert bits_of_a_call() == right
assert len(os.listdir("/proc/self/task")) > threads, "no thread is OpenMP's"
aft.set_thread_count(2)
assert bits_of_a_child() == right
assert bits_of_a_call() == right
with ThreadPoolExecutor(4) as pool:
    assert set(pool.map(lambda _: bits_of_a_call(), range(8))) == {right}
aft.use_own_threads()
assert bits_of_a_call() == right
assert aft.use_openmp_threads()
assert bits_of_a_child() == right == bits_of_a_call()
print("done")
""")
    assert done.stdout == "done\n", done.stderr


def test_without_an_openmp_library_own_threads_stay():
    done = run("""
loaded = any(name in open("/proc/self/maps").read() for name in ("libgomp", "libiomp5", "libomp"))
right = bits_of_a_call()
assert aft.use_openmp_threads() == loaded
assert bits_of_a_call() == right
print("done")
""")
    assert done.stdout == "done\n", done.stderr


def test_layers_end_with_the_process_without_a_word():
    """Layers, states and sources that are global, or in a cycle, at the end of Python."""
    done = run("""
layer = aft.Layer(config_of("causal_full"), parameters_of(config_of("causal_full")), device="cpu")
cycle = [aft.Layer(config_of("simple"), parameters_of(config_of("simple")), device="cpu")]
cycle += [cycle, cycle[0].sources(floats(0, 1, 4, 12))]
state = layer.state()
layer.step(state, floats(0, 1, 3, 12))
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
