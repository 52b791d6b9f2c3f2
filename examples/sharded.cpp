// A sequence that the processes of MPI share: each one has the same number of its rows. The first process computes the
// whole layer, too, and compares the results and the times, of one thread each:
//
//     mpirun -np 2 sharded [form [rows of the whole sequence [channels [window]]]]
#include <aft/aft.h>
#include <aft/mpi.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <vector>

namespace {

std::vector<float> values(std::int64_t count, float size) {
    std::vector<float> result;
    for (std::int64_t i = 0; i < count; ++i) {
        result.push_back(size * std::sin(static_cast<float>(i % 65537)));
    }
    return result;
}

/// The median of some calls, in ms.
template<typename Call>
double time_of(const Call &call) {
    std::vector<double> times;
    for (int i = 0; i < 9; ++i) {
        const double start = MPI_Wtime();
        call();
        times.push_back(1000 * (MPI_Wtime() - start));
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

void run(int argc, char **argv) {
    const auto argument = [&](int i, std::int64_t otherwise) { return i < argc ? std::atoll(argv[i]) : otherwise; };
    int rank = 0, ranks = 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const std::int64_t t = argument(2, 256) / ranks, T = t * ranks, C = argument(3, 64);
    const aft::LayerConfig config{aft::layer_form(argc > 1 ? argv[1] : "local"), C, C, T, argument(4, 16)};

    aft::Weights weights;
    weights.query_weight = weights.key_weight = weights.value_weight = weights.project_weight =
        values(C * C, 1 / std::sqrt(static_cast<float>(C)));
    aft::Weights own_weights = weights;
    if (config.form.has_positions()) {
        weights.position_bias = values(T * T, 1);
        const auto first = weights.position_bias.begin() + rank * t * T;
        own_weights.position_bias.assign(first, first + t * T);
    }
    const aft::ShardedLayer layer(config, own_weights, MPI_COMM_WORLD);

    const std::vector<float> x = values(T * C, 1);
    std::vector<float> y(t * C), all(T * C), expected(T * C);
    const double shared = time_of([&] { layer.forward({x.data() + rank * t * C, {1, t, C}}, {y.data(), {1, t, C}}); });
    MPI_Gather(y.data(), static_cast<int>(t * C), MPI_FLOAT, all.data(), static_cast<int>(t * C), MPI_FLOAT, 0,
               MPI_COMM_WORLD);
    if (rank == 0) {
        const aft::Layer whole(config, weights, {"", "cpu"});
        const double alone = time_of([&] { whole.forward({x.data(), {1, T, C}}, {expected.data(), {1, T, C}}); });
        float difference = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const float each = std::abs(all[i] - expected[i]);
            difference = std::isnan(each) || each > difference ? each : difference;  // a NaN stays
        }
        std::cout << aft::name(config.form) << " of " << T << " rows: " << shared << " ms on " << ranks
                  << " processes, which send " << layer.bytes_sent({1, t}) << " bytes, " << alone
                  << " ms on one, at most " << difference << " apart\n";
    }
}

}  // namespace

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    aft::set_thread_count(1);
    run(argc, argv);
    MPI_Finalize();
}
