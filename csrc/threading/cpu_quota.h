// How much processor time this process may use.
#pragma once

#include <optional>
#include <string>

namespace qkern::threading {

// Processors that the scheduler may run this process on.
int usable_processors();

// Processors' worth of time that the control groups (version 1 or 2) of this process and those around it allow, as containers with a
// limit have it; none without a limit. `root`: where /proc is, and what it names.
std::optional<double> cpu_quota(const std::string& root = "");

}  // namespace qkern::threading
