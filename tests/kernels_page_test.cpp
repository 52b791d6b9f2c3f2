#include <aft/aft.h>

#include <catch2/catch_test_macros.hpp>

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using namespace aft;

namespace {

enum Column { operation = 1, layer, algorithm, schedule, storage, device, extents, any_bias, columns };

/// The cells of each kernel's row in docs/kernels.md, by its id.
std::map<std::string, std::vector<std::string>> rows_of_page() {
    std::map<std::string, std::vector<std::string>> rows;
    std::ifstream page(AFT_KERNELS_PAGE);
    for (std::string line; std::getline(page, line);) {
        if (line.rfind("| `", 0) != 0) {
            continue;
        }
        std::vector<std::string> cells;
        for (std::size_t at = 2, end; (end = line.find(" |", at)) != std::string::npos; at = end + 3) {
            cells.push_back(line.substr(at, end - at));
        }
        cells.resize(columns);
        rows[cells[0].substr(1, cells[0].size() - 2)] = cells;
    }
    return rows;
}

/// As the page says it: the least of each for a kernel by an autoscheduler, or the sequences that one by hand is for.
std::string extents_of(const KernelInfo &kernel) {
    const MinimumExtents &minimum = kernel.minimum;
    const PreferredExtents::Range &seq = kernel.preferred.seq, any;
    std::ostringstream text;
    if (minimum.seq > 1) {
        text << "B >= " << minimum.batch << ", T >= " << minimum.seq;
        if (kernel.operation == "forward" || !kernel.layer) {
            text << ", H >= " << minimum.hidden;
        }
        text << ", P >= " << minimum.projected;
        if (kernel.layer && kernel.layer->has_window()) {
            text << ", s >= " << minimum.window;
        }
    } else if (seq.from != any.from || seq.to != any.to) {
        text << "T " << seq.from << " to " << seq.to;
    }
    return text.str().empty() ? "any" : text.str();
}

}  // namespace

TEST_CASE("docs/kernels.md says of each kernel what the build says", "[registry]") {
    const auto rows = rows_of_page();
    if (rows.empty()) {
        SKIP("the sources aren't on this machine");
    }
    for (const KernelInfo &kernel : kernels()) {
        if (kernel.schedule == "tuned") {
            continue;  // from wisdom
        }
        INFO(kernel.id);
        const auto row = rows.find(kernel.id.substr(0, kernel.id.find('@')));
        REQUIRE(row != rows.end());
        const std::vector<std::string> &cells = row->second;
        CHECK(cells[operation] == kernel.operation);
        CHECK(cells[layer] == (kernel.layer ? name(*kernel.layer) : "none"));
        CHECK(cells[algorithm] == kernel.algorithm);
        CHECK(cells[schedule] == kernel.schedule);
        CHECK(cells[storage] == kernel.storage);
        CHECK(cells[device] == kernel.api);
#ifndef AFT_WISDOM  // which may have lengths of its own
        CHECK(cells[extents] == extents_of(kernel));
#endif
        CHECK(cells[any_bias] == (kernel.any_bias_range ? "yes" : "no"));
    }
}
