/* The filterbank with vector instructions where the processor has them: the same integers as
 * kws_filter of firmware_sim/c/kws_front_end.c, eight outputs at once. */
#include "kws_engine_model.h"

#include <string.h>

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))

#include <immintrin.h>

static inline int32_t word_at(const int16_t *x)
{
    int32_t word;
    memcpy(&word, x, sizeof word);
    return word;
}

#define LANES 8u
#define MOST_BLOCKS (KWS_CHUNK / KWS_BLOCK)
#define AVX2 __attribute__((target("avx2")))

/* The modes of eight channels at the start of every block, each as two words of 16-bit halves:
 * high and low part of re, and above them of im. The low parts are signed. */
typedef struct {
    int32_t high[MOST_BLOCKS][LANES], low[MOST_BLOCKS][LANES];
} mode_words;

/* lanes of a at even places, of b at odd ones: the high halves of 64-bit products */
AVX2 static inline __m256i high_halves(__m256i even, __m256i odd)
{
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}

/* Runs the modes of channels from `first` on through the blocks; lanes are channels. */
AVX2 static void run_modes(kws_front_end *front_end, unsigned first, unsigned n, const int16_t *x,
                           unsigned blocks, mode_words *words)
{
    int32_t table[13][LANES];
    memset(table, 0, sizeof table);
    for (unsigned l = 0; l < n; l++) {
        const kws_band *band = &kws_bands[first + l];
        for (unsigned k = 0; k < 4; k++) {
            table[k][l] = word_at(&band->into[0][2 * k]);
            table[4 + k][l] = word_at(&band->into[1][2 * k]);
        }
        table[8][l] = band->pole[0];
        table[9][l] = band->pole[1];
        table[10][l] = band->into_shift;
        table[11][l] = front_end->modes[first + l].re;
        table[12][l] = front_end->modes[first + l].im;
    }
    __m256i v[13];
    for (unsigned k = 0; k < 13; k++)
        v[k] = _mm256_loadu_si256((const __m256i *)(const void *)table[k]);
    const __m256i a = v[8], b = v[9], shift = v[10];
    const __m256i a_odd = _mm256_srli_epi64(a, 32), b_odd = _mm256_srli_epi64(b, 32);
    const __m256i half = _mm256_set1_epi64x(0x80000000ll), round = _mm256_set1_epi32(0x8000);
    __m256i re = v[11], im = v[12];
    for (unsigned i = 0; i < blocks; i++) {
        const __m256i high = _mm256_blend_epi16(
            _mm256_srli_epi32(_mm256_add_epi32(re, round), 16), _mm256_add_epi32(im, round), 0xaa);
        const __m256i low = _mm256_blend_epi16(re, _mm256_slli_epi32(im, 16), 0xaa);
        _mm256_storeu_si256((__m256i *)(void *)words->high[i], high);
        _mm256_storeu_si256((__m256i *)(void *)words->low[i], low);
        __m256i to_re = _mm256_setzero_si256(), to_im = to_re;
        for (unsigned k = 0; k < 4; k++) {
            const __m256i pair = _mm256_set1_epi32(word_at(x + i * KWS_BLOCK + 2 * k));
            to_re = _mm256_add_epi32(to_re, _mm256_madd_epi16(v[k], pair));
            to_im = _mm256_add_epi32(to_im, _mm256_madd_epi16(v[4 + k], pair));
        }
        const __m256i re_odd = _mm256_srli_epi64(re, 32), im_odd = _mm256_srli_epi64(im, 32);
        const __m256i re_even = _mm256_add_epi64(
            _mm256_sub_epi64(_mm256_mul_epi32(re, a), _mm256_mul_epi32(im, b)), half);
        const __m256i re_rest = _mm256_add_epi64(
            _mm256_sub_epi64(_mm256_mul_epi32(re_odd, a_odd), _mm256_mul_epi32(im_odd, b_odd)),
            half);
        const __m256i im_even = _mm256_add_epi64(
            _mm256_add_epi64(_mm256_mul_epi32(im, a), _mm256_mul_epi32(re, b)), half);
        const __m256i im_rest = _mm256_add_epi64(
            _mm256_add_epi64(_mm256_mul_epi32(im_odd, a_odd), _mm256_mul_epi32(re_odd, b_odd)),
            half);
        re = _mm256_slli_epi32(_mm256_add_epi32(high_halves(re_even, re_rest),
                                                _mm256_srav_epi32(to_re, shift)), 1);
        im = _mm256_slli_epi32(_mm256_add_epi32(high_halves(im_even, im_rest),
                                                _mm256_srav_epi32(to_im, shift)), 1);
    }
    _mm256_storeu_si256((__m256i *)(void *)table[11], re);
    _mm256_storeu_si256((__m256i *)(void *)table[12], im);
    for (unsigned l = 0; l < n; l++) {
        front_end->modes[first + l].re = table[11][l];
        front_end->modes[first + l].im = table[12][l];
    }
}

/* The rectified outputs of one channel over the blocks; lanes are the outputs of a block, and
 * four blocks are weighted at once. `weights`: of their first halves, then of their second. */
AVX2 static uint32_t weigh_outputs(const kws_band *band, const int16_t *x, unsigned blocks,
                                   const mode_words *words, unsigned lane, const __m256i *weights)
{
    /* lane n: the taps n - 2 k and n - 2 k - 1 of the pair of samples k */
    const __m128i taps = _mm_loadu_si128((const __m128i *)(const void *)band->taps);
    const __m128i older = _mm_slli_si128(taps, 2), zero = _mm_setzero_si128();
    const __m128i low = _mm_unpacklo_epi16(taps, older), high = _mm_unpackhi_epi16(taps, older);
    const __m256i taps0 = _mm256_set_m128i(high, low);
    const __m256i taps1 = _mm256_set_m128i(_mm_alignr_epi8(high, low, 8), _mm_slli_si128(low, 8));
    const __m256i taps2 = _mm256_set_m128i(low, zero);
    const __m256i taps3 = _mm256_set_m128i(_mm_slli_si128(low, 8), zero);
    const __m256i before = _mm256_setr_epi32(band->first[0] & 0xffff, 0, 0, 0, 0, 0, 0, 0);
    const __m256i turn =
        _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const __m256i *)(const void *)band->turn),
                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i half_wave = _mm256_set1_epi32(KWS_HALF_WAVE ? -1 : 0);
    const __m128i shift = _mm_cvtsi32_si128(band->tap_shift);
    const __m128i half = _mm_set1_epi64x(0x80000000ll);
    __m128i mean = _mm_setzero_si128();
    for (unsigned group = 0; group * 4 < blocks; group++) {
        __m256i r[4];
        for (unsigned k = 0; k < 4; k++) {
            const unsigned i = group * 4 + k;
            const int16_t *block = x + i * KWS_BLOCK;
            if (i >= blocks) {
                r[k] = _mm256_setzero_si256();
                continue;
            }
            __m256i y = _mm256_madd_epi16(taps0, _mm256_set1_epi32(word_at(block)));
            y = _mm256_add_epi32(y, _mm256_madd_epi16(taps1, _mm256_set1_epi32(word_at(block + 2))));
            y = _mm256_add_epi32(y, _mm256_madd_epi16(taps2, _mm256_set1_epi32(word_at(block + 4))));
            y = _mm256_add_epi32(y, _mm256_madd_epi16(taps3, _mm256_set1_epi32(word_at(block + 6))));
            y = _mm256_add_epi32(y, _mm256_madd_epi16(before, _mm256_set1_epi32(word_at(block - 1))));
            /* value turn / 2^16 = high turn + (low turn / 2^16) */
            const __m256i highs = _mm256_set1_epi32(words->high[i][lane]);
            const __m256i lows = _mm256_set1_epi32(words->low[i][lane]);
            y = _mm256_sra_epi32(y, shift);
            y = _mm256_add_epi32(y, _mm256_madd_epi16(highs, turn));
            y = _mm256_add_epi32(y, _mm256_madd_epi16(_mm256_mulhi_epi16(lows, turn), ones));
            const __m256i sign = _mm256_srai_epi32(y, 31);
            r[k] = _mm256_andnot_si256(_mm256_and_si256(sign, half_wave),
                                       _mm256_xor_si256(y, sign));
        }
        /* the sums of the first halves of the four blocks, then of the second */
        const __m256i sums =
            _mm256_hadd_epi32(_mm256_hadd_epi32(r[0], r[1]), _mm256_hadd_epi32(r[2], r[3]));
        const __m256i even = _mm256_mul_epu32(sums, weights[group]);
        const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(sums, 32),
                                             _mm256_srli_epi64(weights[group], 32));
        const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(even),
                                          _mm256_extracti128_si256(even, 1));
        const __m128i others =
            _mm_add_epi64(_mm256_castsi256_si128(odd), _mm256_extracti128_si256(odd, 1));
        mean = _mm_add_epi64(mean, _mm_srli_epi64(_mm_add_epi64(two, half), 32));
        mean = _mm_add_epi64(mean, _mm_srli_epi64(_mm_add_epi64(others, half), 32));
    }
    mean = _mm_add_epi64(mean, _mm_srli_si128(mean, 8));
    return (uint32_t)_mm_cvtsi128_si32(mean);
}

AVX2 static void filter_avx2(kws_front_end *front_end, const int16_t *x, unsigned blocks,
                             const uint32_t *weights)
{
    __m256i ordered[(MOST_BLOCKS + 3) / 4];
    mode_words words;
    for (unsigned group = 0; group * 4 < blocks; group++) {
        uint32_t of_group[LANES] = {0};
        for (unsigned k = 0; k < 4 && group * 4 + k < blocks; k++) {
            of_group[k] = weights[2 * (group * 4 + k)];
            of_group[4 + k] = weights[2 * (group * 4 + k) + 1];
        }
        ordered[group] = _mm256_loadu_si256((const __m256i *)(const void *)of_group);
    }
    for (unsigned first = 0; first < KWS_CHANNELS; first += LANES) {
        const unsigned n = KWS_CHANNELS - first < LANES ? KWS_CHANNELS - first : LANES;
        run_modes(front_end, first, n, x, blocks, &words);
        for (unsigned l = 0; l < n; l++)
            front_end->modes[first + l].mean +=
                weigh_outputs(&kws_bands[first + l], x, blocks, &words, l, ordered);
    }
}

void kws_filter_best(kws_front_end *front_end, const int16_t *x, unsigned blocks,
                     const uint32_t *weights)
{
    if (__builtin_cpu_supports("avx2"))
        filter_avx2(front_end, x, blocks, weights);
    else
        kws_filter(front_end, x, blocks, weights);
}

#else

void kws_filter_best(kws_front_end *front_end, const int16_t *x, unsigned blocks,
                     const uint32_t *weights)
{
    kws_filter(front_end, x, blocks, weights);
}

#endif
