# A thin driver: scripts/setup brings the tools, CMakePresets.json says how to build.
# CMAKE_FLAGS are options for one configuration, e.g. make test CMAKE_FLAGS=-DAFT_TARGET=x86-64-linux-avx2-fma-f16c
# PEERS_FLAGS are options of bench/peers/compare.py, e.g. make bench-peers PEERS_FLAGS=--quick

PRESET := release
CMAKE := .venv/bin/cmake
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: bench bench-peers test gpu-bundle configure setup format clean help

bench: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_cli
	build/aft bench --report build/bench

bench-peers: configure
	$(CMAKE) --build --preset $(PRESET) --target aft_peers
	bench/peers/setup
	build/peers-venv/bin/python bench/peers/compare.py $(PEERS_FLAGS)

test: configure
	$(CMAKE) --build --preset $(PRESET)
	.venv/bin/ctest --preset $(PRESET)

gpu-bundle: setup
	scripts/gpu-bundle $(CMAKE_FLAGS)

configure: setup
	$(CMAKE) --preset $(PRESET) $(CMAKE_FLAGS)

setup:
	scripts/setup

format: setup
	git ls-files --cached --others --exclude-standard '*.h' '*.cpp' | xargs .venv/bin/clang-format -i

clean:
	rm -rf build

help:
	@echo 'make bench       generate the kernels for this machine and compare every schedule: build/bench/report.html'
	@echo 'make bench-peers compare our layers with PyTorch, JAX, ONNX Runtime, OpenVINO and BLAS: build/bench/peers.md'
	@echo 'make test        build everything and run every test'
	@echo 'make gpu-bundle  pack tests and benchmark for a machine with a GPU: build/aft-gpu-bundle.tar.xz'
	@echo 'make setup       install what is missing: packages (as root or with sudo) and .venv; the others do it first'
	@echo 'make format      format the sources'
	@echo 'make clean       remove build/'
