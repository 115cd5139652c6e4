#include "cpu/features.h"

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace qkern::cpu {
namespace {

#if defined(__x86_64__) || defined(__i386__)

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  Registers(unsigned leaf, unsigned subleaf) { __get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx); }
};

bool bit(unsigned value, int index) { return (value >> index & 1u) != 0; }

// XCR0: which register files the operating system saves. CPUID alone would promise registers that lose their contents.
std::uint64_t saved_state(bool osxsave) {
  if (!osxsave) return 0;
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
}

auto detect() {
  const Registers one(1, 0), seven(7, 0), seven_one(7, 1);
  const std::uint64_t saved = saved_state(bit(one.ecx, 27));
  const bool ymm = (saved & 0x06) == 0x06, zmm = ymm && (saved & 0xe0) == 0xe0;
  return std::array{
      Feature{"fma", ymm && bit(one.ecx, 12)},           Feature{"avx2", ymm && bit(seven.ebx, 5)},
      Feature{"avx_vnni", ymm && bit(seven_one.eax, 4)}, Feature{"avx512f", zmm && bit(seven.ebx, 16)},
      Feature{"avx512bw", zmm && bit(seven.ebx, 30)},    Feature{"avx512dq", zmm && bit(seven.ebx, 17)},
      Feature{"avx512vl", zmm && bit(seven.ebx, 31)},    Feature{"avx512_vnni", zmm && bit(seven.ecx, 11)},
  };
}

#elif defined(__aarch64__) && defined(__APPLE__)

bool has(const char* name) {
  int value = 0;
  std::size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

auto detect() {
  return std::array{
      Feature{"neon", true},
      Feature{"dotprod", has("hw.optional.arm.FEAT_DotProd")},
      Feature{"i8mm", has("hw.optional.arm.FEAT_I8MM")},
  };
}

#elif defined(__aarch64__) && defined(__linux__)

// What the kernel says this process may use, not what the processor has: an emulator or a hypervisor may hide something. The bits
// are those of <asm/hwcap.h>, by number because older headers lack the later names.
auto detect() {
  const unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
  return std::array{
      Feature{"neon", (hwcap >> 1 & 1) != 0},
      Feature{"dotprod", (hwcap >> 20 & 1) != 0},
      Feature{"i8mm", (hwcap2 >> 13 & 1) != 0},
  };
}

#else

auto detect() { return std::array<Feature, 0>{}; }

#endif

}  // namespace

std::span<const Feature> features() {
  static const auto detected = detect();
  return detected;
}

bool has_all(std::string_view required) {
  while (!required.empty()) {
    const auto end = required.find(' ');
    const std::string_view name = required.substr(0, end);
    bool known = false, present = false;
    for (const Feature& feature : features()) {
      if (feature.name == name) known = true, present = feature.present;
    }
    if (!known) throw std::logic_error("unknown CPU feature: " + std::string(name));
    if (!present) return false;
    required = end == std::string_view::npos ? std::string_view() : required.substr(end + 1);
  }
  return true;
}

}  // namespace qkern::cpu
