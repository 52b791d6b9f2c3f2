#include "layer/exponentials.h"

#include "kernels/kernels.h"

#include <algorithm>
#include <string_view>

namespace aft {
namespace {

bool has_kernels(const DriverDevice &device, const char *operation) {
    const std::vector<Kernel> &kernels = kernels_of(device.info.api);
    return std::any_of(kernels.begin(), kernels.end(), [&](const Kernel &kernel) {
        return std::string_view(kernel.row.operation) == operation && judge(kernel.info).fit == Fit::automatic;
    });
}

std::vector<std::int64_t> of_groups(std::int64_t batch, std::int64_t rows, std::int64_t projected) {
    return {batch, (projected + Exponentials::lanes - 1) / Exponentials::lanes, rows, Exponentials::lanes};
}

std::vector<std::int64_t> of_chunks(std::int64_t batch, std::int64_t rows, std::int64_t projected) {
    return {batch, (rows + Exponentials::chunk_rows - 1) / Exponentials::chunk_rows, projected};
}

template<std::size_t Rank>
Tensor shape(const std::vector<std::int64_t> &extents) {
    typename TensorView<float, Rank>::Extents all;
    std::copy(extents.begin(), extents.end(), all.begin());
    return TensorView<float, Rank>(nullptr, all);
}

std::vector<Operand> smallest(std::int64_t projected) {
    return {{"exp_key", shape<4>(of_groups(1, 1, projected))},
            {"exp_value", shape<4>(of_groups(1, 1, projected))},
            {"key_maximum", shape<3>(of_chunks(1, 1, projected))}};
}

}  // namespace

Demand demand_of_mean(const char *operation, const LayerConfig &config, const LayerForm &form) {
    LayerConfig of_kernel = config;
    of_kernel.form = form;
    of_kernel.hidden = config.projected;
    of_kernel.max_seq_len = max_elements;
    return {operation, of_kernel};
}

Exponentials::Exponentials(std::int64_t batch, std::int64_t rows, std::int64_t projected)
    : key("exp_key", of_groups(batch, rows, projected), nullptr, nullptr),
      value("exp_value", of_groups(batch, rows, projected), nullptr, nullptr),
      key_maximum("key_maximum", of_chunks(batch, rows, projected), nullptr, nullptr) {}

ExponentialKernels::ExponentialKernels(const Selection &sources, const Selection &kept, const LayerConfig &config,
                                       const KernelParameters &parameters,
                                       const PreparedSelection::LargestCall &operands)
    : sources_(
          sources, {},
          [&](const Candidate &) {
              const TensorView<float, 3> k(nullptr, {1, 1, config.projected});
              std::vector<Operand> all = smallest(config.projected);
              all.insert(all.end(), {{"k", k}, {"v", k}});
              return all;
          },
          nullptr),
      kept_(
          kept, parameters,
          [&](const Candidate &candidate) {
              std::vector<Operand> all = operands(candidate);
              for (const Operand &operand : smallest(config.projected)) {
                  all.push_back(operand);
              }
              return all;
          },
          nullptr) {}

std::unique_ptr<const ExponentialKernels> ExponentialKernels::find(const DriverDevice &device,
                                                                   const LayerConfig &config,
                                                                   const KernelParameters &parameters,
                                                                   const PreparedSelection::LargestCall &operands) {
    if (device.info.api != "cpu" || !has_kernels(device, "sources") || !has_kernels(device, "kept")) {
        return nullptr;
    }
    const LayerForm given = LayerForm().with_given_bias();
    return std::unique_ptr<const ExponentialKernels>(
        new ExponentialKernels(select_on(device, demand_of_mean("sources", config, given)),
                               select_on(device, demand_of_mean("kept", config, given)), config, parameters, operands));
}

std::unique_ptr<const Exponentials> ExponentialKernels::make(CallMemory &memory, const Tensor &key,
                                                             const Tensor &value) const {
    const std::int64_t batch = key.extents[0], rows = key.extents[1], projected = key.extents[2];
    auto result = std::make_unique<const Exponentials>(batch, rows, projected);
    const std::array<Operand, 3> operands = operands_of(*result);
    sources_.kernel_for({batch, rows}).call({{"k", key}, {"v", value}, operands[0], operands[1], operands[2]}, memory);
    return result;
}

std::array<Operand, 3> operands_of(const Exponentials &exponentials) {
    return {Operand("exp_key", exponentials.key.tensor()), Operand("exp_value", exponentials.value.tensor()),
            Operand("key_maximum", exponentials.key_maximum.tensor())};
}

}  // namespace aft
