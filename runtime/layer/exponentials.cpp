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

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

std::vector<std::int64_t> of_groups(std::int64_t batch, std::int64_t rows, std::int64_t projected) {
    return {batch, ceil_div(projected, Exponentials::lanes), rows, Exponentials::lanes};
}

std::vector<std::int64_t> of_chunks(std::int64_t batch, std::int64_t rows, std::int64_t projected) {
    return {batch, ceil_div(rows, Exponentials::chunk_rows), projected};
}

template<std::size_t Rank>
Tensor shape(const std::vector<std::int64_t> &extents) {
    typename TensorView<float, Rank>::Extents all;
    std::copy(extents.begin(), extents.end(), all.begin());
    return TensorView<float, Rank>(nullptr, all);
}

KeptTensor copy_of(const char *name, const KeptTensor &other) {
    const Tensor tensor = other.tensor();
    return {name,
            {tensor.extents.begin(), tensor.extents.begin() + tensor.rank},
            static_cast<float *>(tensor.data),
            nullptr};
}

void copy_sample(const KeptTensor &to, std::int64_t sample, const KeptTensor &from, std::int64_t from_sample) {
    const std::int64_t size = to.tensor().strides[0];
    std::copy_n(static_cast<const float *>(from.tensor().data) + from_sample * size, size,
                static_cast<float *>(to.tensor().data) + sample * size);
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

bool Exponentials::fit(std::int64_t batch, std::int64_t rows, std::int64_t projected) {
    const std::int64_t channels = ceil_div(projected, lanes) * lanes;
    return batch == 0 || rows == 0 || channels <= max_elements / batch / rows;
}

Exponentials::Exponentials(std::int64_t batch, std::int64_t rows, std::int64_t projected)
    : key("exp_key", of_groups(batch, rows, projected), nullptr, nullptr),
      value("exp_value", of_groups(batch, rows, projected), nullptr, nullptr),
      key_maximum("key_maximum", of_chunks(batch, rows, projected), nullptr, nullptr), made(batch) {}

Exponentials::Exponentials(const Exponentials &other)
    : key(copy_of("exp_key", other.key)), value(copy_of("exp_value", other.value)),
      key_maximum(copy_of("key_maximum", other.key_maximum)), made(other.made) {}

void Exponentials::copy(std::int64_t sample, const Exponentials &from, std::int64_t from_sample) {
    copy_sample(key, sample, from.key, from_sample);
    copy_sample(value, sample, from.value, from_sample);
    copy_sample(key_maximum, sample, from.key_maximum, from_sample);
    made[sample] = from.made[from_sample];
}

std::array<Operand, 3> Exponentials::operands(std::int64_t first_sample, std::int64_t samples) const {
    const auto of_samples = [&](const KeptTensor &tensor) { return tensor.tensor().part(0, first_sample, samples); };
    return {Operand("exp_key", of_samples(key)), Operand("exp_value", of_samples(value)),
            Operand("key_maximum", of_samples(key_maximum))};
}

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

void ExponentialKernels::make(CallMemory &memory, const Tensor &key, const Tensor &value, Exponentials &result,
                              std::int64_t first_sample, std::int64_t first_row) const {
    const std::int64_t samples = key.extents[0], rows = key.extents[1];
    const std::int64_t first_chunk = first_row / Exponentials::chunk_rows,
                       chunks = ceil_div(rows, Exponentials::chunk_rows);
    std::array<Operand, 3> made = result.operands(first_sample, samples);
    made[0] = {made[0].name, made[0].part(2, first_row, rows)};
    made[1] = {made[1].name, made[1].part(2, first_row, rows)};
    made[2] = {made[2].name, made[2].part(1, first_chunk, chunks)};
    sources_.kernel_for({samples, rows}).call({{"k", key}, {"v", value}, made[0], made[1], made[2]}, memory);
    std::fill_n(result.made.begin() + first_sample, samples, first_row + rows);
}

}  // namespace aft
