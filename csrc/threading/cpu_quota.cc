#include "threading/cpu_quota.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

namespace qkern::threading {
namespace {

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

bool holds(const std::vector<std::string>& names, std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }

// Where a hierarchy of control groups is mounted, and which of its groups is seen there.
struct Mount {
  std::string point, group;
};

// A line of mountinfo: number parent device group point options [fields] - type source options
std::optional<Mount> mount_of(const std::string& line, bool second) {
  const auto separator = line.find(" - ");
  if (separator == std::string::npos) return {};
  const auto front = split(line.substr(0, separator), ' '), back = split(line.substr(separator + 3), ' ');
  if (front.size() < 5 || back.size() < 3) return {};
  if (second ? back[0] != "cgroup2" : back[0] != "cgroup" || !holds(split(back[2], ','), "cpu")) return {};
  return Mount{front[4], front[3] == "/" ? "" : front[3]};
}

// "quota period" of version 2, or the two files of version 1; "max" and -1 are no limit.
std::optional<double> quota_of(const std::string& folder, bool second) {
  std::string quota, period;
  if (second) {
    std::ifstream(folder + "/cpu.max") >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  const double time = std::strtod(quota.c_str(), nullptr), of = std::strtod(period.c_str(), nullptr);
  if (!(time > 0 && of > 0 && std::isfinite(time))) return {};
  return time / of;
}

// The least quota of `group` and those around it.
std::optional<double> least_quota(const std::string& root, const Mount& mount, std::string group, bool second) {
  // A group outside of what is mounted: a container that sees the names of its host.
  if (group.compare(0, mount.group.size(), mount.group) == 0) group.erase(0, mount.group.size());
  else group.clear();
  std::optional<double> least;
  for (;;) {
    if (const auto quota = quota_of(root + mount.point + group, second); quota && (!least || *quota < *least)) least = quota;
    const auto slash = group.find_last_of('/');
    if (slash == std::string::npos) return least;
    group.erase(slash);
  }
}

}  // namespace

int usable_processors() {
#ifdef __linux__
  // A set too small for the machine is refused.
  for (std::size_t size = 1024 / 8; size <= 1024 * 1024 / 8; size *= 2) {
    std::vector<unsigned char> set(size);
    const auto count = [&] {
      int bits = 0;
      for (const unsigned char byte : set) bits += __builtin_popcount(byte);
      return bits;
    };
    if (sched_getaffinity(0, size, reinterpret_cast<cpu_set_t*>(set.data())) == 0) return std::max(1, count());
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::optional<double> cpu_quota(const std::string& root) {
  std::vector<std::string> mounts;
  std::ifstream mountinfo(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(mountinfo, line);) {
    if (line.find(" - cgroup") != std::string::npos) mounts.push_back(line);
  }
  std::optional<double> least;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // hierarchy:controllers:group
    const auto first = line.find(':'), last = line.find(':', first + 1);
    if (first == std::string::npos || last == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, last - first - 1);
    const bool second = controllers.empty() && line.compare(0, first, "0") == 0;
    if (!second && !holds(split(controllers, ','), "cpu")) continue;
    for (const std::string& entry : mounts) {
      const auto mount = mount_of(entry, second);
      if (!mount) continue;
      if (const auto quota = least_quota(root, *mount, line.substr(last + 1), second); quota && (!least || *quota < *least)) least = quota;
    }
  }
  return least;
}

}  // namespace qkern::threading
