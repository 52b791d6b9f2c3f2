#pragma once

#include <nlohmann/json.hpp>

#include <exception>
#include <string>

/// The result of f(), as the text of JSON, until the next call; {"problem": ...} when it fails.
template<typename Function>
const char *json(const Function &f) {
    using Json = nlohmann::json;
    static std::string result;
    Json value;
    try {
        value = f();
    } catch (const std::exception &error) {
        value = {{"problem", error.what()}};
    }
    result = value.dump(-1, ' ', false, Json::error_handler_t::replace);  // a path may be no UTF-8
    return result.c_str();
}
