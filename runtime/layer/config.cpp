#include <aft/config.h>
#include <aft/error.h>

namespace aft {
namespace {

std::string list_of_names() {
    std::string names;
    for (const NamedForm &named : named_forms) {
        names.append(names.empty() ? "" : ", ").append(named.name);
    }
    return names;
}

template<typename Part>
std::string number(Part part) {
    return std::to_string(static_cast<int>(part));
}

}  // namespace

std::string_view name(const LayerForm &form) {
    for (const NamedForm &named : named_forms) {
        if (named.form.bias == form.bias && named.form.reach == form.reach) {
            return named.name;
        }
    }
    throw ConfigError("no layer has position bias " + number(form.bias) + " and reach " + number(form.reach) +
                      ": must be the form of " + list_of_names());
}

LayerForm layer_form(std::string_view name) {
    for (const NamedForm &named : named_forms) {
        if (named.name == name) {
            return named.form;
        }
    }
    throw ConfigError("layer '" + std::string(name) + "' doesn't exist: must be one of " + list_of_names());
}

}  // namespace aft
