// Preloaded into a process, has every library in it see a processor without its newer instructions.
//
// Linux lets a process trap its own CPUID (arch_prctl(2), ARCH_SET_CPUID): the instruction then raises SIGSEGV, and the
// handler gives the processor's own answer but for some bits. Threads and forked children inherit the trap; programs
// that they execute load this library again. BENCH_INSTRUCTIONS in the environment names the tier: avx2, avx_vnni, or
// avx512_vnni, which is without tiles (AMX) and 16-bit floats.

#if defined(__x86_64__) && defined(__linux__)

#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace {

constexpr int SetCpuid = 0x1012;  // ARCH_SET_CPUID: glibc has no name for it

struct Registers {
  std::uint32_t eax, ebx, ecx, edx;
};

constexpr std::uint32_t bits(std::initializer_list<int> indices) {
  std::uint32_t all = 0;
  for (int index : indices) all |= std::uint32_t{1} << index;
  return all;
}

// Intel's manual, volume 2A, CPUID. Leaf 7:
constexpr std::uint32_t Avx512Ebx = bits({16, 17, 21, 26, 27, 28, 30, 31});  // F, DQ, IFMA, PF, ER, CD, BW, VL
constexpr std::uint32_t Avx512Ecx = bits({1, 6, 11, 12, 14});                // VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ
constexpr std::uint32_t Avx512Edx = bits({2, 3, 8});                         // 4VNNIW, 4FMAPS, VP2INTERSECT
constexpr std::uint32_t NewerEdx = bits({22, 23, 24, 25});                   // AMX_BF16, FP16, AMX_TILE, AMX_INT8
// Subleaf 1 of it. Everything else there is newer than all tiers: bfloat16, AVX10, more kinds of VNNI.
constexpr std::uint32_t AvxVnniEax = bits({4});
constexpr std::uint32_t TileLeaf = 0x1d, TileMultiplierLeaf = 0x1e, Avx10Leaf = 0x24;

std::uint32_t leaf7_ebx = ~0u, leaf7_ecx = ~0u, leaf7_edx = ~NewerEdx, leaf7_1_eax = AvxVnniEax;

Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  Registers found{};
  __asm__ volatile("cpuid" : "=a"(found.eax), "=b"(found.ebx), "=c"(found.ecx), "=d"(found.edx) : "a"(leaf), "c"(subleaf));
  return found;
}

Registers limited(std::uint32_t leaf, std::uint32_t subleaf) {
  Registers found = cpuid(leaf, subleaf);
  if (leaf == 7 && subleaf == 0) {
    found.ebx &= leaf7_ebx;
    found.ecx &= leaf7_ecx;
    found.edx &= leaf7_edx;
  } else if (leaf == 7 && subleaf == 1) {
    found = {found.eax & leaf7_1_eax, 0, 0, 0};
  } else if (leaf == TileLeaf || leaf == TileMultiplierLeaf || leaf == Avx10Leaf) {
    found = {};
  }
  return found;
}

void answer(int number, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto* instruction = reinterpret_cast<const unsigned char*>(registers[REG_RIP]);
  if (instruction[0] != 0x0f || instruction[1] != 0xa2) {
    signal(number, SIG_DFL);  // another fault: it happens again, and ends the process
    return;
  }
  syscall(SYS_arch_prctl, SetCpuid, 1);
  const Registers found = limited(static_cast<std::uint32_t>(registers[REG_RAX]),  //
                                  static_cast<std::uint32_t>(registers[REG_RCX]));
  syscall(SYS_arch_prctl, SetCpuid, 0);
  registers[REG_RAX] = found.eax;
  registers[REG_RBX] = found.ebx;
  registers[REG_RCX] = found.ecx;
  registers[REG_RDX] = found.edx;
  registers[REG_RIP] += 2;
}

[[gnu::constructor]] void start() {
  const char* tier = std::getenv("BENCH_INSTRUCTIONS");
  if (tier == nullptr) return;
  if (std::strcmp(tier, "avx512_vnni") != 0) {
    leaf7_ebx = ~Avx512Ebx;
    leaf7_ecx = ~Avx512Ecx;
    leaf7_edx = ~(NewerEdx | Avx512Edx);
    if (std::strcmp(tier, "avx_vnni") != 0) leaf7_1_eax = 0;
  }
  struct sigaction action {};
  action.sa_sigaction = answer;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  if (syscall(SYS_arch_prctl, SetCpuid, 0) != 0) {
    std::perror("bench: CPUID can't be trapped");
    _exit(1);
  }
}

}  // namespace

#endif
