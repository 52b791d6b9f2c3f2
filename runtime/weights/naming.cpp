#include "weights/naming.h"
#include "weights/enumeration.h"
#include "weights/gates.h"
#include "weights/safetensors_header.h"

#include <aft/error.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>
#include <vector>

namespace aft {
namespace {

/// A file with so many of a layer's three or four matrices has the layer, with tensors missing.
constexpr std::size_t fewest_matrices = 2;

/// The number of missing matrices, by prefix and naming.
using Places = std::map<std::pair<std::string, const Naming *>, std::size_t>;

/// The parameters by their names in LoadOptions::names.
constexpr struct {
    std::string_view parameter;
    std::string_view Naming::*name;
    bool needed = false;
} renamed[] = {
    {"query", &Naming::query},
    {"key", &Naming::key, true},
    {"value", &Naming::value, true},
    {"project", &Naming::project},
    {"position_bias", &Naming::position_bias},
    {"target_factor", &Naming::target_factor},
    {"source_factor", &Naming::source_factor},
    {"local_mask", &Naming::local_mask},
    {"filter", &Naming::filter},
    {"decay", &Naming::decay},
    {"log_decay", &Naming::log_decay},
    {"bonus", &Naming::bonus},
    {"beside", &Naming::beside},
};

std::string weight_of(std::string_view module) {
    return std::string(module) + ".weight";
}

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// The naming of the table with the caller's names in it. Only a network that the caller names has a gate.
Naming with_names(Naming naming, const LoadOptions &options) {
    const std::map<std::string, std::string> &names = options.names;
    if (names.empty()) {
        return naming;
    }
    naming.name = "the map of names";
    if (options.naming.empty()) {
        naming.gate = std::nullopt;
    }
    for (const auto &named : names) {
        const auto *found = std::find_if(std::begin(renamed), std::end(renamed),
                                         [&](const auto &known) { return known.parameter == named.first; });
        if (found == std::end(renamed)) {
            Enumeration all(", ");
            for (const auto &known : renamed) {
                all.add(std::string(known.parameter));
            }
            throw ConfigError("parameter " + in_quotes(named.first) + " doesn't exist: must be one of " + all.text());
        }
        if (found->needed && named.second.empty()) {
            throw ConfigError("the name of " + named.first + " is empty, every layer has a " + named.first);
        }
        naming.*found->name = named.second;
    }
    return naming;
}

/// The namings that the options leave.
std::vector<Naming> allowed_namings(const LoadOptions &options) {
    const std::string_view chosen =
        options.naming.empty() && !options.names.empty() ? aft_pytorch.name : std::string_view(options.naming);
    std::vector<Naming> allowed;
    for (const Naming &naming : naming_table) {
        if (chosen.empty() || naming.name == chosen) {
            allowed.push_back(with_names(naming, options));
        }
    }
    if (allowed.empty()) {
        Enumeration names(", ");
        for (const std::string &name : namings()) {
            names.add(name);
        }
        throw ConfigError("naming " + in_quotes(options.naming) + " doesn't exist: must be one of " + names.text());
    }
    return allowed;
}

Places places_in(const StoredTensors &tensors, const std::vector<Naming> &allowed, const LoadOptions &options) {
    Places places;
    for (const Naming &naming : allowed) {
        const std::vector<std::string_view> modules = naming.modules();
        for (const std::string_view module : modules) {
            const std::string name = weight_of(module);
            for (const auto &tensor : tensors.names()) {
                if (!ends_with(tensor.first, name)) {
                    continue;
                }
                const std::string prefix = tensor.first.substr(0, tensor.first.size() - name.size());
                if (prefix.empty() || prefix.back() == '.' || prefix == options.prefix) {
                    places.emplace(std::pair(prefix, &naming), modules.size()).first->second--;
                }
            }
        }
    }
    return places;
}

/// Keeps the places that miss the fewest matrices.
void keep_likeliest(Places &places) {
    const auto has_enough = [](const auto &place) {
        return place.first.second->modules().size() - place.second >= fewest_matrices;
    };
    std::size_t fewest = std::numeric_limits<std::size_t>::max();
    for (const auto &place : places) {
        fewest = has_enough(place) ? std::min(fewest, place.second) : fewest;
    }
    for (auto place = places.begin(); place != places.end();) {
        place = has_enough(*place) && place->second == fewest ? std::next(place) : places.erase(place);
    }
}

/// "\"a.\" (labml-nn), \"b.\" (featurebooster or liftfeat)"
std::string list(const Places &places) {
    Enumeration all(", ");
    for (auto place = places.begin(); place != places.end();) {
        const std::string &prefix = place->first.first;
        std::string names(place->first.second->name);
        for (++place; place != places.end() && place->first.first == prefix; ++place) {
            names.append(" or ").append(place->first.second->name);
        }
        all.add(in_quotes(prefix) + " (" + names + ")");
    }
    return all.text();
}

/// "featurebooster (gate sigmoid) and liftfeat (gate identity)"
std::string list_gates(const Places &places) {
    std::string all;
    std::size_t left = places.size();
    for (const auto &place : places) {
        const Naming &naming = *place.first.second;
        all.append(naming.name).append(" (gate ").append(name_of(naming.gate.value_or(LayerForm().gate))).append(")");
        all += --left > 1 ? ", " : left == 1 ? " and " : "";
    }
    return all;
}

/// Keeps the namings with the gate among those that fit one layer, if there are any.
void keep_gate(Places &places, Gate gate) {
    const auto has_gate = [gate](const auto &place) { return place.first.second->gate == gate; };
    if (std::any_of(places.begin(), places.end(), has_gate)) {
        for (auto place = places.begin(); place != places.end();) {
            place = has_gate(*place) ? std::next(place) : places.erase(place);
        }
    }
}

std::string sought(const std::vector<Naming> &allowed) {
    Enumeration all("; ");
    for (const Naming &naming : allowed) {
        Enumeration matrices(", ");
        for (const std::string_view module : naming.modules()) {
            matrices.add(weight_of(module));
        }
        all.add(matrices.text() + " (" + std::string(naming.name) + ")");
    }
    return all.text();
}

/// The names that begin with the prefix, or all if none does.
std::string names_in(const StoredTensors &tensors, const std::string &prefix) {
    Enumeration all(", "), with_prefix(", ");
    for (const auto &tensor : tensors.names()) {
        all.add(in_quotes(tensor.first));
        if (tensor.first.compare(0, prefix.size(), prefix) == 0) {
            with_prefix.add(in_quotes(tensor.first));
        }
    }
    return all.empty() ? "no tensor" : with_prefix.empty() ? all.text() : with_prefix.text();
}

}  // namespace

std::vector<std::string_view> Naming::modules() const {
    std::vector<std::string_view> all;
    for (const std::string_view module : {query, key, value, project}) {
        if (!module.empty()) {
            all.push_back(module);
        }
    }
    return all;
}

std::string where(const StoredTensors &tensors) {
    return tensors.path().empty() ? "" : tensors.path() + ": ";
}

std::string in_layer(const std::string &prefix) {
    return prefix.empty() ? "" : "layer " + in_quotes(prefix) + " ";
}

LayerPlace locate(const StoredTensors &tensors, const LoadOptions &options) {
    const std::vector<Naming> allowed = allowed_namings(options);
    Places all = places_in(tensors, allowed, options), places;
    for (const auto &place : all) {
        if (!options.prefix || place.first.first == *options.prefix) {
            places.insert(place);
        }
    }
    keep_likeliest(all);
    keep_likeliest(places);
    if (places.empty()) {
        const std::string prefix = options.prefix.value_or("");
        throw WeightsError(
            where(tensors) + "has no layer" + (options.prefix ? " with prefix " + in_quotes(prefix) : "") +
            (all.empty() ? ": looked for " + sought(allowed) + "; the file has " + names_in(tensors, prefix)
                         : "; the file has " + list(all)));
    }
    const std::string prefix = places.begin()->first.first;
    if (places.rbegin()->first.first != prefix) {
        throw WeightsError(where(tensors) +
                           "may have more than one layer, choose one by prefix or naming: " + list(places));
    }
    if (options.gate) {
        keep_gate(places, *options.gate);
    }
    if (places.size() > 1) {
        throw WeightsError(where(tensors) + in_layer(prefix) + "fits " + list_gates(places) + ": choose one by naming" +
                           (options.gate ? "" : " or gate"));
    }
    Naming naming = *places.begin()->first.second;
    if (options.gate) {
        naming.gate = options.gate;
    }
    return {prefix, naming};
}

}  // namespace aft
