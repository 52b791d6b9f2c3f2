#pragma once

#include "kernels/device.h"
#include "kernels/kernels.h"
#include "weights/bias_range.h"

#include <aft/kernels.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace aft {

/// An operation of a form that a layer needs a kernel for. The extents of `config` are those that the operation has:
/// the channels that a `linear` maps to each other, for example. Kernels without a form serve every form.
struct Demand {
    std::string operation;
    LayerConfig config;
    BiasRange bias = {};
    std::string storage = "float32";  // in which kernels may keep their operands besides float32
};

enum class Fit {
    automatic,  // a layer may choose the kernel
    by_id,      // the kernel runs only if the caller names it, or its storage
    none,       // the kernel can't run
};

struct Judgement {
    Fit fit;
    std::string reason;  // why the fit is no better; empty for `automatic`
};

/// Whether a kernel can run on this machine, for some layer.
Judgement judge(const KernelInfo &kernel);

/// Whether a kernel can run here and serves a demand: calls of this shape, or without one, some calls of the layer.
Judgement judge(const KernelInfo &kernel, const Demand &demand, const std::optional<Shape> &shape = {});

/// A kernel of a layer, and the lengths of the sequences that it runs for.
struct Candidate {
    const Kernel *kernel;
    PreferredExtents::Range seq;
};

struct PassedOver {
    const Kernel *kernel;
    std::string reason;
};

/// Every kernel of a demand's operation and layer on one device, in order of preference. A kernel that is named by
/// its id is the only one.
struct Selection {
    const DriverDevice *device = nullptr;
    std::string storage;                // that the demand names
    std::vector<Candidate> candidates;  // the last one runs for every sequence that the others leave
    std::vector<PassedOver> passed_over;
    bool is_named = false;

    /// The index of the first candidate that runs for a shape. Throws ShapeError when none does.
    std::size_t candidate_for(const Shape &shape) const;
};

/// The kernels of each demand, all on one device.
using Plan = std::vector<Selection>;

/// The devices on which all demands of a layer can be met, in order of preference. There is one plan at least, and one
/// plan only when the options or the environment name a device or a kernel. A named kernel is the only one of
/// each demand that it is for. Throws ConfigError, and DeviceError for a named device that can't be used.
std::vector<Plan> select(std::vector<Demand> demands, const LayerOptions &options);

/// The kernels of a demand on one device, whatever the environment names. Throws ConfigError without any.
Selection select_on(const DriverDevice &device, const Demand &demand);

/// Throws ConfigError, "storage 'int8' <why>", if the options or the environment name this storage.
void refuse_int8(const LayerOptions &options, const char *why);

/// The kernel that the options or the environment name; null when they name none, or one that doesn't exist.
const KernelRow *named_kernel(const LayerOptions &options);

}  // namespace aft
