/* The filterbank with vector instructions where the processor has them: the same integers as
 * kws_filter of firmware_sim/c/kws_front_end.c, four or eight outputs at once. */
#include "kws_engine_model.h"

#include <string.h>

/* KWS_PLAIN: without any, for comparison */
#if !defined(KWS_PLAIN) && \
    (defined(__SSE2__) || (defined(__aarch64__) && defined(__ARM_NEON)) || defined(__wasm_simd128__))
#include "kws_narrow.h"
#else
#define filter_narrow kws_filter
#endif

#if !defined(KWS_PLAIN) && (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))

#include <immintrin.h>

static inline int32_t word_at(const int16_t *x)
{
    int32_t word;
    memcpy(&word, x, sizeof word);
    return word;
}

#define LANES 8u
#define MOST_BLOCKS (KWS_CHUNK / KWS_BLOCK)

/* The modes of eight channels at the start of every block, each as two words of 16-bit halves:
 * high and low part of re, and above them of im. The low parts are signed. */
typedef struct {
    int32_t high[MOST_BLOCKS][LANES], low[MOST_BLOCKS][LANES];
} mode_words;

#define KWS_VECTORS(name) name##_avx2
#define KWS_TARGET __attribute__((target("avx2")))
#define KWS_DOT(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#include "kws_vectors.h"
#undef KWS_VECTORS
#undef KWS_TARGET
#undef KWS_DOT

#define KWS_VECTORS(name) name##_vnni
#define KWS_TARGET __attribute__((target("avx2,avx512vl,avx512vnni")))
#define KWS_DOT(sum, a, b) _mm256_dpwssd_epi32(sum, a, b)
#include "kws_vectors.h"

void kws_filter_best(kws_front_end *front_end, const int16_t *x, unsigned blocks,
                     const uint32_t *weights)
{
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl"))
        filter_vnni(front_end, x, blocks, weights);
    else if (__builtin_cpu_supports("avx2"))
        filter_avx2(front_end, x, blocks, weights);
    else
        filter_narrow(front_end, x, blocks, weights);
}

#else

void kws_filter_best(kws_front_end *front_end, const int16_t *x, unsigned blocks,
                     const uint32_t *weights)
{
    filter_narrow(front_end, x, blocks, weights);
}

#endif
