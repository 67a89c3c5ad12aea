/* Sums of many virtual chips, eight at once where the compiler has vectors: see kws_chip.h.
 *
 * Compiled without contraction of a product and a sum into one operation, which would round once
 * (CMakeLists.txt). */
#include "kws_chip.h"

#include <string.h>

#define CHUNK 64u
#define TILE 4u

typedef void lane_sums(double *total, const double *x, const double *weight, size_t frames,
                       size_t inputs, size_t outputs, size_t chips, int shared);

#define KWS_LANES(name) name##_of_one
#define KWS_TARGET
#define KWS_NUMBERS double
#include "kws_chip_lanes.h"
#undef KWS_LANES
#undef KWS_NUMBERS

#if defined(__GNUC__) || defined(__clang__)

typedef double eight __attribute__((vector_size(64), aligned(8), may_alias));
#define KWS_NUMBERS eight

#define KWS_LANES(name) name##_of_eight
#include "kws_chip_lanes.h"
#undef KWS_LANES
#undef KWS_TARGET

#if defined(__x86_64__) || defined(__i386__)
#define KWS_LANES(name) name##_avx2
#define KWS_TARGET __attribute__((target("avx2")))
#include "kws_chip_lanes.h"
#undef KWS_LANES
#undef KWS_TARGET

#define KWS_LANES(name) name##_avx512
#define KWS_TARGET __attribute__((target("avx512f")))
#include "kws_chip_lanes.h"

static lane_sums *eight_at_once(void)
{
    if (__builtin_cpu_supports("avx512f"))
        return sums_avx512;
    return __builtin_cpu_supports("avx2") ? sums_avx2 : sums_of_eight;
}
#else
static lane_sums *eight_at_once(void)
{
    return sums_of_eight;
}
#endif

#else
static lane_sums *eight_at_once(void)
{
    return NULL;
}
#endif

void kws_chip_sums(double *total, const double *x, const double *weight, size_t frames,
                   size_t inputs, size_t outputs, size_t chips, int shared)
{
    lane_sums *const of_eight = eight_at_once();
    if (inputs == 0)
        memset(total, 0, frames * outputs * chips * sizeof *total);
    for (size_t chip = 0; chip < chips;) {
        const size_t lanes = of_eight && chip + 8 <= chips ? 8 : 1;
        (lanes == 8 ? of_eight : sums_of_one)(total + chip, x + (shared ? 0 : chip), weight + chip,
                                              frames, inputs, outputs, chips, shared);
        chip += lanes;
    }
}
