#include "cuda_loops.h"

#include <fmt/format.h>

namespace aft::bench {

// Everything depends on the thread and on arguments, so that nothing can be computed ahead, and the sums are stored, so
// that nothing is left out.
std::string cuda_loops_ptx() {
    std::string text = R"(.version 6.4
.target sm_70
.address_size 64

// sums[thread] = the sum of the chains x = x a + b
.visible .entry fma_loop(.param .u64 sums, .param .f32 scale, .param .f32 shift, .param .u32 steps)
{
    .reg .pred %again;
    .reg .b32 %block, %size, %thread, %left;
    .reg .f32 %number, %a, %b, %x<16>;
    .reg .b64 %to, %offset;
    mov.u32 %block, %ctaid.x;
    mov.u32 %size, %ntid.x;
    mov.u32 %thread, %tid.x;
    mad.lo.u32 %thread, %block, %size, %thread;
    cvt.rn.f32.u32 %number, %thread;
    ld.param.f32 %a, [scale];
    ld.param.f32 %b, [shift];
    fma.rn.f32 %a, %number, 0f2E000000, %a; // 2^-35
    mul.rn.f32 %b, %number, %b;
    ld.param.u32 %left, [steps];
    mov.f32 %x0, %number;
)";
    for (int i = 1; i < fma_chains; ++i) {
        text += fmt::format("    add.rn.f32 %x{}, %x{}, %b;\n", i, i - 1);
    }
    text += "step:\n";
    for (int i = 0; i < fma_unrolled * fma_chains; ++i) {
        text += fmt::format("    fma.rn.f32 %x{0}, %x{0}, %a, %b;\n", i % fma_chains);
    }
    text += R"(    sub.u32 %left, %left, 1;
    setp.ne.u32 %again, %left, 0;
    @%again bra step;
)";
    for (int i = 1; i < fma_chains; ++i) {
        text += fmt::format("    add.rn.f32 %x0, %x0, %x{};\n", i);
    }
    text += R"(    ld.param.u64 %to, [sums];
    mul.wide.u32 %offset, %thread, 4;
    add.u64 %to, %to, %offset;
    st.global.f32 [%to], %x0;
    ret;
}

.visible .entry copy_loop(.param .u64 source, .param .u64 destination)
{
    .reg .b32 %block, %thread, %x<16>;
    .reg .b64 %from, %to, %offset;
    mov.u32 %block, %ctaid.x;
    mov.u32 %thread, %tid.x;
)";
    text += fmt::format("    mad.lo.u32 %thread, %block, {}, %thread;\n", copy_loads * threads_of_block);
    text += R"(    mul.wide.u32 %offset, %thread, 16;
    ld.param.u64 %from, [source];
    ld.param.u64 %to, [destination];
    add.u64 %from, %from, %offset;
    add.u64 %to, %to, %offset;
)";
    for (const char *const move : {"ld.global.v4.u32 {{%x{1}, %x{2}, %x{3}, %x{4}}}, [%from+{0}]",
                                   "st.global.v4.u32 [%to+{0}], {{%x{1}, %x{2}, %x{3}, %x{4}}}"}) {
        for (int i = 0; i < copy_loads; ++i) {
            text += "    " +
                    fmt::format(fmt::runtime(move), 16 * threads_of_block * i, 4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3) +
                    ";\n";
        }
    }
    return text + "    ret;\n}\n";
}

}  // namespace aft::bench
