#include "naming.h"
#include "problems.h"
#include "safetensors_header.h"

#include <aft/error.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace aft {
namespace {

/// Of the four matrices, what a file must have before it is said to have a layer with tensors missing.
constexpr int fewest_matrices = 2;

using Places = std::map<std::pair<std::string, const Naming *>, int>;  // how many of the four matrices are there

std::string weight_of(std::string_view module) {
    return std::string(module) + ".weight";
}

bool is_allowed(const Naming &naming, const LoadOptions &options) {
    return options.naming.empty() || naming.name == options.naming;
}

Places places_in(const SafetensorsFile &file, const LoadOptions &options) {
    Places places;
    for (const auto &[tensor, stored] : file.tensors) {
        for (const Naming &naming : naming_table) {
            for (const std::string_view module : naming.modules()) {
                const std::string name = weight_of(module);
                if (!is_allowed(naming, options) || tensor.size() < name.size() ||
                    tensor.compare(tensor.size() - name.size(), name.size(), name) != 0) {
                    continue;
                }
                const std::string prefix = tensor.substr(0, tensor.size() - name.size());
                if (prefix.empty() || prefix.back() == '.' || prefix == options.prefix) {
                    places[{prefix, &naming}]++;
                }
            }
        }
    }
    return places;
}

/// Keeps those with the most matrices.
void keep_likeliest(Places &places) {
    int most = fewest_matrices;
    for (const auto &place : places) {
        most = std::max(most, place.second);
    }
    for (auto place = places.begin(); place != places.end();) {
        place = place->second < most ? places.erase(place) : std::next(place);
    }
}

std::string list(const Places &places) {
    Enumeration all(", ");
    for (const auto &place : places) {
        all.add(in_quotes(place.first.first) + " (" + std::string(place.first.second->name) + ")");
    }
    return all.text();
}

std::string sought(const LoadOptions &options) {
    Enumeration all("; ");
    for (const Naming &naming : naming_table) {
        if (is_allowed(naming, options)) {
            Enumeration matrices(", ");
            for (const std::string_view module : naming.modules()) {
                matrices.add(weight_of(module));
            }
            all.add(matrices.text() + " (" + std::string(naming.name) + ")");
        }
    }
    return all.text();
}

}  // namespace

std::vector<std::string> namings() {
    std::vector<std::string> names;
    for (const Naming &naming : naming_table) {
        names.emplace_back(naming.name);
    }
    return names;
}

std::string where(const SafetensorsFile &file) {
    return file.path.empty() ? "" : file.path + ": ";
}

LayerPlace locate(const SafetensorsFile &file, const LoadOptions &options) {
    if (std::none_of(std::begin(naming_table), std::end(naming_table),
                     [&](const Naming &naming) { return is_allowed(naming, options); })) {
        Enumeration names(", ");
        for (const std::string &name : namings()) {
            names.add(name);
        }
        throw ConfigError("naming " + in_quotes(options.naming) + " doesn't exist: must be one of " + names.text());
    }
    Places all = places_in(file, options), places;
    for (const auto &place : all) {
        if (!options.prefix || place.first.first == *options.prefix) {
            places.insert(place);
        }
    }
    keep_likeliest(all);
    keep_likeliest(places);
    if (places.size() == 1) {
        return {places.begin()->first.first, places.begin()->first.second};
    }
    if (!places.empty()) {
        throw WeightsError(where(file) + "may have more than one layer, prefix or naming must choose: " + list(places));
    }
    throw WeightsError(where(file) + "has no layer" +
                       (options.prefix ? " with prefix " + in_quotes(*options.prefix) : "") +
                       (all.empty() ? ", looked for " + sought(options) : "; there are: " + list(all)));
}

}  // namespace aft
