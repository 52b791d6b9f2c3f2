#pragma once

#include <string>

namespace aft {

/// Whether this build has SHA-256: it comes from libmd (docs/building.md).
bool has_sha256();

/// The SHA-256 of a text in hexadecimal, 64 digits in lower case; "" where has_sha256() is false.
std::string sha256(const std::string &text);

}  // namespace aft
