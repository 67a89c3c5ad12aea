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

/* round(sum of the products / 2^32), doubled, and twice what the block brings */
static inline int32_t next_mode(int32_t re, int32_t a, int32_t im, int64_t b, int32_t brought)
{
    const int64_t sum = (int64_t)re * a + (int64_t)im * b + 0x80000000ll;
    return (int32_t)((uint32_t)((int32_t)(sum >> 32) + brought) * 2u);
}

__attribute__((target("avx2"))) static void filter_avx2(kws_front_end *front_end, const int16_t *x,
                                                        unsigned blocks, const uint32_t *weights)
{
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i half_wave = _mm256_set1_epi32(KWS_HALF_WAVE ? -1 : 0);
    const unsigned channels = KWS_CHANNELS;
    for (unsigned c = 0; c < channels; c++) {
        const kws_band *band = &kws_bands[c];
        /* lane n: the taps n - 2 j and n - 2 j - 1 of the pair of samples j */
        const __m128i taps = _mm_loadu_si128((const __m128i *)(const void *)band->taps);
        const __m128i older = _mm_slli_si128(taps, 2);
        const __m128i low = _mm_unpacklo_epi16(taps, older), high = _mm_unpackhi_epi16(taps, older);
        const __m128i zero = _mm_setzero_si128();
        const __m256i taps0 = _mm256_set_m128i(high, low);
        const __m256i taps1 =
            _mm256_set_m128i(_mm_alignr_epi8(high, low, 8), _mm_slli_si128(low, 8));
        const __m256i taps2 = _mm256_set_m128i(low, zero);
        const __m256i taps3 = _mm256_set_m128i(_mm_slli_si128(low, 8), zero);
        const __m256i before = _mm256_setr_epi32(band->before & 0xffff, 0, 0, 0, 0, 0, 0, 0);
        const __m256i turn = _mm256_loadu_si256((const __m256i *)(const void *)band->turn);
        const __m128i into_re = _mm_loadu_si128((const __m128i *)(const void *)band->into[0]);
        const __m128i into_im = _mm_loadu_si128((const __m128i *)(const void *)band->into[1]);
        const __m128i shift = _mm_cvtsi32_si128(band->tap_shift);
        const __m128i into_shift = _mm_cvtsi32_si128(band->into_shift);
        const int32_t a = band->pole[0], b = band->pole[1];
        int32_t re = front_end->re[c], im = front_end->im[c];
        uint32_t mean = front_end->mean[c];
        for (unsigned i = 0; i < blocks; i++) {
            const int16_t *block = x + i * KWS_BLOCK;
            __m256i sum = _mm256_madd_epi16(taps0, _mm256_set1_epi32(word_at(block)));
            sum = _mm256_add_epi32(
                sum, _mm256_madd_epi16(taps1, _mm256_set1_epi32(word_at(block + 2))));
            sum = _mm256_add_epi32(
                sum, _mm256_madd_epi16(taps2, _mm256_set1_epi32(word_at(block + 4))));
            sum = _mm256_add_epi32(
                sum, _mm256_madd_epi16(taps3, _mm256_set1_epi32(word_at(block + 6))));
            sum = _mm256_add_epi32(
                sum, _mm256_madd_epi16(before, _mm256_set1_epi32(word_at(block - 1))));
            /* value turn / 2^16 = high turn + (low turn / 2^16), the low part signed */
            const int32_t re_high = (re + 0x8000) >> 16, im_high = (im + 0x8000) >> 16;
            const __m256i highs =
                _mm256_set1_epi32((int32_t)((uint32_t)im_high << 16 | (re_high & 0xffff)));
            const __m256i lows =
                _mm256_set1_epi32((int32_t)((uint32_t)im << 16 | (re & 0xffff)));
            __m256i y = _mm256_sra_epi32(sum, shift);
            y = _mm256_add_epi32(y, _mm256_madd_epi16(highs, turn));
            y = _mm256_add_epi32(y, _mm256_madd_epi16(_mm256_mulhi_epi16(lows, turn), ones));
            const __m256i sign = _mm256_srai_epi32(y, 31);
            y = _mm256_xor_si256(y, sign);
            y = _mm256_andnot_si256(_mm256_and_si256(sign, half_wave), y);
            __m128i halves =
                _mm_hadd_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
            halves = _mm_hadd_epi32(halves, halves);
            uint64_t total = (uint64_t)mean << 32 | 0x80000000u;
            total += (uint64_t)weights[2 * i] * (uint32_t)_mm_cvtsi128_si32(halves);
            total += (uint64_t)weights[2 * i + 1] * (uint32_t)_mm_extract_epi32(halves, 1);
            mean = (uint32_t)(total >> 32);
            const __m128i samples = _mm_loadu_si128((const __m128i *)(const void *)block);
            __m128i brought = _mm_hadd_epi32(_mm_madd_epi16(into_re, samples),
                                             _mm_madd_epi16(into_im, samples));
            brought = _mm_sra_epi32(_mm_hadd_epi32(brought, brought), into_shift);
            const int32_t old = re;
            re = next_mode(re, a, im, -(int64_t)b, _mm_cvtsi128_si32(brought));
            im = next_mode(im, a, old, b, _mm_extract_epi32(brought, 1));
        }
        front_end->re[c] = re;
        front_end->im[c] = im;
        front_end->mean[c] = mean;
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
