#pragma once

#include <string>

namespace aft {

/// Why somebody else could have written or replaced a file or a folder, "may be written by its group (mode 0664)".
/// Empty where nobody but this user and root can. Follows no link at the end of the path. A path that isn't there has
/// a reason, too.
std::string why_not_trusted(const std::string &path);

}  // namespace aft
