#pragma once

/// @file
/// The whole library.

#include <aft/call.h>
#include <aft/config.h>
#include <aft/core.h>
#include <aft/device.h>
#include <aft/error.h>
#include <aft/kernels.h>
#include <aft/layer.h>
#include <aft/safetensors.h>
#include <aft/state.h>
#include <aft/tensor_view.h>
#include <aft/threads.h>
#include <aft/training.h>
#include <aft/version.h>
#include <aft/weights.h>

/// Attention-free transformer layers as ahead-of-time compiled Halide kernels.
namespace aft {}
