#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/ndarray.h"
#include "cpu/features.h"
#include "cpu/tiers.h"
#include "threading/cpu_quota.h"
#include "threading/thread_count.h"

namespace qkern::bindings {

void bind_isa(py::module_& m) {
  m.def(
      "isa_compiled",
      [] {
        std::vector<std::string> names;
        for (const auto& tier : cpu::tiers()) names.emplace_back(tier.name);
        return names;
      },
      "Names of the tiers in this build, best first.");
  m.def(
      "isa_available",
      [] {
        std::vector<std::string> names;
        for (const auto& tier : cpu::tiers()) {
          if (cpu::is_available(tier)) names.emplace_back(tier.name);
        }
        return names;
      },
      "Names of the tiers this processor can run, best first.");
  m.def(
      "isa_required",
      [](const std::string& name) -> std::vector<std::string> {
        for (const auto& tier : cpu::tiers()) {
          if (tier.name != name) continue;
          std::vector<std::string> features;
          std::string_view rest = tier.required;
          while (!rest.empty()) {
            const auto end = rest.find(' ');
            features.emplace_back(rest.substr(0, end));
            rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
          }
          return features;
        }
        value_error("'" + name + "' is not a tier of this build");
      },
      py::arg("name"), "CPU features the tier `name` needs. Raises ValueError for an unknown tier.");
  m.def(
      "isa_active", [] { return std::string(cpu::tiers()[static_cast<std::size_t>(cpu::active())].name); }, "Name of the tier that new work uses.");
  m.def(
      "isa_use", [](const std::string& name) { cpu::use(name); }, py::arg("name"),
      "Makes `name` the tier of new work, for the whole process. Raises ValueError naming what is available.");
  m.def(
      "cpu_features",
      [] {
        py::dict features;
        for (const auto& feature : cpu::features()) features[py::str(std::string(feature.name))] = feature.present;
        return features;
      },
      "CPU features the tiers ask for, and whether this processor and operating system offer them.");
  m.def(
      "compiler",
      [] {
#if defined(__clang__)
        return "Clang " __clang_version__;
#elif defined(__GNUC__)
        return "GCC " __VERSION__;
#else
        return "unknown";
#endif
      },
      "Name and version of the compiler that built the extension.");
  m.def(
      "set_num_threads",
      [](Index n) {
        if (n < 1) value_error("n must be at least 1");
        threading::set_num_threads(static_cast<int>(std::min(n, Index{1024})));
      },
      py::arg("n"),
      "Sets how many threads a call may use, 1024 at most, for the whole process. Results don't depend on it. Raises ValueError for n < 1.");
  m.def(
      "limit_num_threads", [](Index n) { return threading::limit_num_threads(static_cast<int>(std::clamp(n, Index{0}, Index{1024}))); }, py::arg("n"),
      "Sets how many threads calls made by this thread may use; 0: what the process may. Returns what it was.");
  m.def(
      "get_num_threads", [] { return threading::num_threads(); },
      R"(How many threads a call may use.

Starts as the least of the processors that this process may use, the CPU quota of its control groups (a container's limit), rounded up, and the
environment variable QKERN_NUM_THREADS, else OMP_NUM_THREADS.)");
  m.def(
      "cpu_quota", [](const std::string& root) { return threading::cpu_quota(root); }, py::arg("root") = "",
      "Processors' worth of time that the control groups of this process allow, None without a limit; `root` is where /proc is, for tests.");
}

}  // namespace qkern::bindings
