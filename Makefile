# A thin driver: scripts/setup installs the tools, CMakePresets.json has the builds.
# CMAKE_FLAGS are options of CMake for one run, e.g. make test CMAKE_FLAGS=-DAFT_TARGETS=x86-64-linux-avx2-fma-f16c
# PEERS_FLAGS are options of bench/peers/compare.py, e.g. make bench-peers PEERS_FLAGS=--quick

PRESET := release
BUILD = build$(if $(filter release ci,$(PRESET)),,/$(PRESET))
CMAKE := .venv/bin/cmake
# Has the libraries that bench-check compares the kernels with.
BENCH_VENV := build/bench-venv
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: all bench test test-torch test-cpus test-aarch64 test-riscv64 test-windows test-wasm test-recipes check-targets \
        test-valgrind sanitize fuzz tune bench-check bench-baseline bench-scaling bench-peers bench-avx2 bench-training \
        bench-stages atlas gpu-bundle install package wheel docs \
        kernels-page configure setup format lint clean help

# All that is installed: the library and the tool.
all: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_package

bench: all
	build/aft bench --report build/bench

bench-peers: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_peers
	bench/peers/setup
	build/peers-venv/bin/python bench/peers/compare.py $(PEERS_FLAGS)

# Our kernels, oneDNN, OpenBLAS and MKL, all limited to AVX2.
bench-avx2: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_generator
	$(CMAKE) --preset avx2
	$(CMAKE) --build --preset avx2 --target aft_peers
	bench/peers/setup
	build/peers-venv/bin/python bench/peers/compare.py --avx2 --output build/bench/avx2 $(PEERS_FLAGS)

# Steps of training beside those of PyTorch.
bench-training: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_peers aft_python
	bench/peers/setup
	build/peers-venv/bin/python bench/peers/compare.py --training --output build/bench/training $(PEERS_FLAGS)
	PYTHONPATH=python AFT_LIBRARY=build/runtime/libaft.so build/peers-venv/bin/python bench/peers/loss_curves.py

test: configure
	$(CMAKE) --build --preset $(PRESET)
	.venv/bin/ctest --preset $(PRESET)

# The tests of the Python package with PyTorch and JAX, which `make test` goes without where they are missing.
test-torch: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_python
	bench/peers/setup
	build/peers-venv/bin/pip install --quiet --disable-pip-version-check -r python/tests/requirements.txt
	PYTHONPATH=python AFT_LIBRARY=build/runtime/libaft.so build/peers-venv/bin/python -m pytest -q python/tests

# bench/baseline.json has the figures of this kind of machine; bench-baseline replaces them.
bench-check: configure $(BENCH_VENV)/installed
	$(CMAKE) --build --preset $(PRESET) --target aft_cli
	$(BENCH_VENV)/bin/python scripts/bench-check build/aft

bench-baseline: configure $(BENCH_VENV)/installed
	$(CMAKE) --build --preset $(PRESET) --target aft_cli
	$(BENCH_VENV)/bin/python scripts/bench-check --record 5 build/aft

bench-scaling: configure $(BENCH_VENV)/installed
	$(CMAKE) --build --preset $(PRESET) --target aft_cli aft_memory
	$(BENCH_VENV)/bin/python scripts/bench-scaling build

# Stages of whole layers and beams of Adams2019, for the atlas. ARGS are options of bench/atlas/measure.py.
bench-stages: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_generator
	python3 bench/atlas/measure.py $(ARGS)

# REPORTS are reports of `make bench`, ARGS are options of bench/atlas/atlas.py, e.g. --before code.json
REPORTS := $(wildcard build/bench/report.json bench/machines/*/report.json)

atlas: $(BENCH_VENV)/installed
	$(BENCH_VENV)/bin/python bench/atlas/atlas.py $(ARGS) $(REPORTS)

$(BENCH_VENV)/installed: bench/check-requirements.txt
	python3 -m venv --clear $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

test-cpus:
	scripts/test-cpus $(CMAKE_FLAGS)

test-aarch64 test-riscv64 test-windows test-wasm: test-%:
	scripts/test-cross $* $(CMAKE_FLAGS)

test-recipes: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_generator
	scripts/test-recipes $(BUILD) "$$(sed -n 's/^Halide_DIR:PATH=//p' $(BUILD)/CMakeCache.txt)"

check-targets:
	scripts/setup llvm lld
	$(CMAKE) --preset release -B build/host -DAFT_DEVICES=cpu -DAFT_BUILD_BENCH=OFF
	$(CMAKE) --build build/host --target aft_generator
	scripts/check-targets build/host/generators/aft_generator

sanitize:
	scripts/test-sanitizers

test-valgrind:
	scripts/test-valgrind $(CMAKE_FLAGS)

# Each fuzzer runs for so long, side by side.
SECONDS := 60

fuzz:
	scripts/fuzz $(SECONDS)

tune: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_cli
	build/aft tune $(ARGS)

gpu-bundle: setup
	scripts/gpu-bundle $(CMAKE_FLAGS)

# DESTDIR is CMake's: https://cmake.org/cmake/help/latest/envvar/DESTDIR.html
PREFIX := /usr/local

install: all
	$(CMAKE) --install $(BUILD) --prefix "$(PREFIX)"

# The installed tree as a .tar.gz and a .deb.
package: all
	.venv/bin/cpack --config $(BUILD)/CPackConfig.cmake -B build/packages

# ARGS are options of pip, e.g. make wheel ARGS='-C cmake.define.AFT_TARGETS=host'
wheel:
	scripts/wheel $(ARGS)

lint: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_pipelines
	scripts/lint $(BUILD)

docs:
	scripts/setup doxygen doxygen-awesome-css
	scripts/docs

# After a change of the table: docs/kernels.md.
kernels-page: setup
	$(CMAKE) -P generators/table/page.cmake

configure: setup
	$(CMAKE) --preset $(PRESET) $(CMAKE_FLAGS)

setup:
	scripts/setup

format: setup
	git ls-files --cached --others --exclude-standard '*.h' '*.c' '*.cpp' | xargs .venv/bin/clang-format -i

clean:
	rm -rf build

help:
	@echo 'make                 build the library and the tool: build/libaft.a, build/aft'
	@echo 'make bench           generate the kernels for this machine and compare every schedule: build/bench/report.html'
	@echo 'make test            build everything and run every test'
	@echo 'make test-torch      test the Python package with PyTorch and JAX, 3 GB that it installs: build/peers-venv'
	@echo 'make test-cpus       test kernels for three instruction sets on emulated CPUs that lack some: build/cpus'
	@echo 'make test-aarch64    cross-compile for aarch64 and run the tests emulated: build/aarch64'
	@echo 'make test-riscv64    the same for riscv64 with vectors of 128 bits: build/riscv64'
	@echo 'make test-windows    the same for x86-64 Windows by MinGW-w64 and Wine: build/windows'
	@echo 'make test-wasm       the same for WebAssembly by Emscripten, Node.js and Chromium, with a page: build/wasm'
	@echo 'make test-recipes    make packages of Conan, and build and run the examples against them: build/recipes-test'
	@echo 'make check-targets   generate kernels for macOS, iOS, Android, Windows and wasm, and check the objects'
	@echo 'make sanitize        run the tests with the sanitizers for memory, undefined behaviour and threads: build/asan, build/tsan'
	@echo 'make test-valgrind   run the kernels and the readers of files in memcheck: build/valgrind'
	@echo 'make fuzz            fuzz the readers of files and arguments; SECONDS=3600 for an hour: build/fuzz'
	@echo 'make tune            search for faster kernels, e.g. ARGS="--layer full --shape 4,1024,512,512": docs/tuning.md'
	@echo 'make bench-check     fail if a hand schedule is slower than in bench/baseline.json, for this kind of machine'
	@echo 'make bench-baseline  record the figures for bench-check; run nothing else meanwhile'
	@echo 'make bench-scaling   measure time and memory as T, P and B grow: build/bench/scaling.svg'
	@echo 'make bench-stages    measure the stages of layers, and trace the beams of Adams2019: build/bench/stages.json'
	@echo 'make atlas           draw the reports of machines, with the loops, schedules and hashes of kernels: build/atlas'
	@echo 'make bench-peers     compare the layers with PyTorch, JAX, ONNX Runtime, OpenVINO and BLAS: build/bench/peers.md'
	@echo 'make bench-avx2      compare the layers with oneDNN, OpenBLAS and MKL, all limited to AVX2: build/bench/avx2/peers.md'
	@echo 'make bench-training  compare steps of training with PyTorch: build/bench/training/peers.md'
	@echo 'make gpu-bundle      pack tests and benchmark for a machine with a GPU: build/aft-gpu-bundle.tar.xz'
	@echo 'make install         install library, headers and tool below PREFIX=/usr/local, or DESTDIR and PREFIX'
	@echo 'make package         the same as a .tar.gz and a .deb: build/packages'
	@echo 'make wheel           build the Python package for every x86-64 CPU with SSE4.1: build/wheels'
	@echo 'make docs            build the documents and the reference of the headers as a site: build/docs/index.html'
	@echo 'make kernels-page    list the kernels of generators/kernels.cmake in docs/kernels.md'
	@echo 'make setup           install missing packages (as root or with sudo) and .venv; the other targets do it first'
	@echo 'make format          format the sources'
	@echo 'make lint            clang-tidy, and what the formatter can do nothing about'
	@echo 'make clean           remove build/'
