/* Sums of many virtual chips, as many at once as a register of the machine holds: see kws_chip.h.
 *
 * Compiled without contraction of a product and a sum into one operation, which would round once
 * (CMakeLists.txt). */
#include "kws_chip.h"

#include <string.h>

#define CHUNK 64u
#define SPAN 16u
#define TILE 8u

typedef void lane_sums(double *total, const double *x, const double *weight, size_t frames,
                       size_t inputs, size_t outputs, size_t chips, int shared);

typedef struct {
    lane_sums *sums;
    size_t lanes; /* chips at once */
} way;

#define KWS_LANES(name) name##_of_one
#define KWS_TARGET
#define KWS_NUMBERS double
#include "kws_chip_lanes.h"
#undef KWS_LANES
#undef KWS_NUMBERS

#if defined(__GNUC__) || defined(__clang__)

/* A wider vector than a register has would be correct, and slower: gcc keeps it in memory. */
typedef double two __attribute__((vector_size(16), aligned(8), may_alias));
#define KWS_NUMBERS two
#define KWS_LANES(name) name##_of_two
#include "kws_chip_lanes.h"
#undef KWS_LANES
#undef KWS_TARGET
#undef KWS_NUMBERS

#if defined(__x86_64__) || defined(__i386__)
typedef double four __attribute__((vector_size(32), aligned(8), may_alias));
#define KWS_NUMBERS four
#define KWS_LANES(name) name##_avx2
#define KWS_TARGET __attribute__((target("avx2")))
#include "kws_chip_lanes.h"
#undef KWS_LANES
#undef KWS_TARGET
#undef KWS_NUMBERS

typedef double eight __attribute__((vector_size(64), aligned(8), may_alias));
#define KWS_NUMBERS eight
#define KWS_LANES(name) name##_avx512
#define KWS_TARGET __attribute__((target("avx512f")))
#include "kws_chip_lanes.h"

static way widest(void)
{
    if (__builtin_cpu_supports("avx512f"))
        return (way){sums_avx512, 8};
    return __builtin_cpu_supports("avx2") ? (way){sums_avx2, 4} : (way){sums_of_two, 2};
}
#else
static way widest(void)
{
    return (way){sums_of_two, 2};
}
#endif

#else
static way widest(void)
{
    return (way){sums_of_one, 1};
}
#endif

void kws_chip_sums(double *total, const double *x, const double *weight, size_t frames,
                   size_t inputs, size_t outputs, size_t chips, int shared)
{
    const way wide = widest(), one = {sums_of_one, 1};
    if (inputs == 0)
        memset(total, 0, frames * outputs * chips * sizeof *total);
    for (size_t chip = 0; chip < chips;) {
        const way by = chip + wide.lanes <= chips ? wide : one;
        by.sums(total + chip, x + (shared ? 0 : chip), weight + chip, frames, inputs, outputs,
                chips, shared);
        chip += by.lanes;
    }
}
