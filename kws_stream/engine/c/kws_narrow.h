/* The filterbank in 128-bit vectors, for processors without AVX2, 64-bit Arm and WebAssembly: the same
 * integers as kws_filter of firmware_sim/c/kws_front_end.c. A vector holds the first or the last four
 * outputs of a block; the modes are computed one by one.
 *
 * For each set of instructions there are
 *
 *   kws_pairs                  two 16-bit factors for each of the four outputs
 *   pairs_of(t)                from eight numbers, output after output
 *   with_samples(sum, p, x, k) sum + p times the samples 2 k and 2 k + 1, which must be a constant
 *   with_mode(sum, p, re, im)  sum + p times a mode, each product / 2^16 rounded down
 *   products(a, b, x)          the sums of a x and of b x, eight 16-bit numbers each
 *   both_sums(first, last)     the sums of the four numbers of each
 */

typedef struct {
    int32_t first, last;
} two_sums;

#if defined(__SSE2__)

#include <emmintrin.h>

typedef __m128i kws_lanes;
typedef __m128i kws_pairs;

static inline __m128i eight_at(const int16_t *x)
{
    return _mm_loadu_si128((const __m128i *)(const void *)x);
}

#define pairs_of eight_at
#define with_samples(sum, pairs, x, k) \
    _mm_add_epi32(sum, _mm_madd_epi16(pairs, _mm_shuffle_epi32(x, 0x55 * (k))))

static inline kws_lanes in_first_lane(int32_t value)
{
    return _mm_cvtsi32_si128(value);
}

static inline kws_lanes shifted(kws_lanes sum, int bits)
{
    return _mm_sra_epi32(sum, _mm_cvtsi32_si128(bits));
}

static inline kws_lanes with_mode(kws_lanes sum, kws_pairs turn, int32_t re, int32_t im)
{
    /* value turn / 2^16 = high turn + (low turn / 2^16), with a low part that has a sign */
    const uint32_t round = 0x8000;
    const uint32_t highs =
        ((uint32_t)re + round) >> 16 | (((uint32_t)im + round) & 0xffff0000u);
    const uint32_t lows = ((uint32_t)re & 0xffffu) | (uint32_t)im << 16;
    sum = _mm_add_epi32(sum, _mm_madd_epi16(turn, _mm_set1_epi32((int32_t)highs)));
    return _mm_add_epi32(sum, _mm_madd_epi16(_mm_mulhi_epi16(turn, _mm_set1_epi32((int32_t)lows)),
                                             _mm_set1_epi16(1)));
}

static inline kws_lanes rectified_lanes(kws_lanes y, int half_wave)
{
    const __m128i signs = _mm_srai_epi32(y, 31);
    return half_wave ? _mm_andnot_si128(signs, y) : _mm_xor_si128(signs, y);
}

static inline two_sums both_sums(kws_lanes first, kws_lanes last)
{
    const __m128i four =
        _mm_add_epi32(_mm_unpacklo_epi32(first, last), _mm_unpackhi_epi32(first, last));
    const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return (two_sums){_mm_cvtsi128_si32(two), _mm_cvtsi128_si32(_mm_shuffle_epi32(two, 1))};
}

static inline two_sums products(__m128i a, __m128i b, __m128i x)
{
    return both_sums(_mm_madd_epi16(a, x), _mm_madd_epi16(b, x));
}

typedef __m128i kws_eight;

#elif defined(__aarch64__)

#include <arm_neon.h>

typedef int32x4_t kws_lanes;
typedef int16x4x2_t kws_pairs;
typedef int16x8_t kws_eight;

#define eight_at vld1q_s16
#define pairs_of vld2_s16
#define with_samples(sum, pairs, x, k)                                    \
    vmlal_laneq_s16(vmlal_laneq_s16(sum, (pairs).val[0], x, 2 * (k)), (pairs).val[1], x, \
                    2 * (k) + 1)

static inline kws_lanes in_first_lane(int32_t value)
{
    return vsetq_lane_s32(value, vdupq_n_s32(0), 0);
}

static inline kws_lanes shifted(kws_lanes sum, int bits)
{
    return vshlq_s32(sum, vdupq_n_s32(-bits));
}

static inline kws_lanes with_mode(kws_lanes sum, kws_pairs turn, int32_t re, int32_t im)
{
    const uint32_t round = 0x8000;
    sum = vmlal_n_s16(sum, turn.val[0], (int16_t)(((uint32_t)re + round) >> 16));
    sum = vmlal_n_s16(sum, turn.val[1], (int16_t)(((uint32_t)im + round) >> 16));
    sum = vsraq_n_s32(sum, vmull_n_s16(turn.val[0], (int16_t)re), 16);
    return vsraq_n_s32(sum, vmull_n_s16(turn.val[1], (int16_t)im), 16);
}

static inline kws_lanes rectified_lanes(kws_lanes y, int half_wave)
{
    return half_wave ? vmaxq_s32(y, vdupq_n_s32(0)) : veorq_s32(y, vshrq_n_s32(y, 31));
}

static inline two_sums both_sums(kws_lanes first, kws_lanes last)
{
    return (two_sums){vaddvq_s32(first), vaddvq_s32(last)};
}

static inline two_sums products(int16x8_t a, int16x8_t b, int16x8_t x)
{
    return both_sums(vmlal_high_s16(vmull_s16(vget_low_s16(a), vget_low_s16(x)), a, x),
                     vmlal_high_s16(vmull_s16(vget_low_s16(b), vget_low_s16(x)), b, x));
}

#else /* WebAssembly */

#include <wasm_simd128.h>

typedef v128_t kws_lanes;
typedef v128_t kws_pairs;
typedef v128_t kws_eight;

#define eight_at wasm_v128_load
#define pairs_of wasm_v128_load
#define with_samples(sum, pairs, x, k) \
    wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(pairs, wasm_i32x4_shuffle(x, x, k, k, k, k)))

static inline kws_lanes in_first_lane(int32_t value)
{
    return wasm_i32x4_make(value, 0, 0, 0);
}

static inline kws_lanes shifted(kws_lanes sum, int bits)
{
    return wasm_i32x4_shr(sum, (uint32_t)bits);
}

static inline kws_lanes with_mode(kws_lanes sum, kws_pairs turn, int32_t re, int32_t im)
{
    const uint32_t round = 0x8000;
    const uint32_t highs =
        ((uint32_t)re + round) >> 16 | (((uint32_t)im + round) & 0xffff0000u);
    const uint32_t lows = ((uint32_t)re & 0xffffu) | (uint32_t)im << 16;
    const v128_t low = wasm_i32x4_splat((int32_t)lows);
    const v128_t a = wasm_i32x4_shr(wasm_i32x4_extmul_low_i16x8(turn, low), 16);
    const v128_t b = wasm_i32x4_shr(wasm_i32x4_extmul_high_i16x8(turn, low), 16);
    sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(turn, wasm_i32x4_splat((int32_t)highs)));
    return wasm_i32x4_add(sum, wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6),
                                              wasm_i32x4_shuffle(a, b, 1, 3, 5, 7)));
}

static inline kws_lanes rectified_lanes(kws_lanes y, int half_wave)
{
    return half_wave ? wasm_i32x4_max(y, wasm_i32x4_splat(0))
                     : wasm_v128_xor(y, wasm_i32x4_shr(y, 31));
}

static inline two_sums both_sums(kws_lanes first, kws_lanes last)
{
    const v128_t four = wasm_i32x4_add(wasm_i32x4_shuffle(first, last, 0, 4, 1, 5),
                                       wasm_i32x4_shuffle(first, last, 2, 6, 3, 7));
    const v128_t two = wasm_i32x4_add(four, wasm_i32x4_shuffle(four, four, 2, 3, 2, 3));
    return (two_sums){wasm_i32x4_extract_lane(two, 0), wasm_i32x4_extract_lane(two, 1)};
}

static inline two_sums products(v128_t a, v128_t b, v128_t x)
{
    return both_sums(wasm_i32x4_dot_i16x8(a, x), wasm_i32x4_dot_i16x8(b, x));
}

#endif

/* The taps n - 2 k and n - 2 k - 1 of the outputs n = from ... from + 3; none before the first. */
static kws_pairs taps_from(const kws_band *band, int from, int k)
{
    int16_t taps[8];
    for (int n = from; n < from + 4; n++)
        for (int i = 0; i < 2; i++)
            taps[2 * (n - from) + i] = n < 2 * k + i ? 0 : band->taps[n - 2 * k - i];
    return pairs_of(taps);
}

static kws_pairs turn_from(const kws_band *band, unsigned from)
{
    int16_t turn[8];
    for (unsigned n = from; n < from + 4; n++) /* of the outputs 0 2 4 6, then of 1 3 5 7 */
        memcpy(turn + 2 * (n - from), band->turn + 8 * (n % 2) + n / 2 * 2, 2 * sizeof *turn);
    return pairs_of(turn);
}

/* 2 (round((re a + im b) / 2^32) + brought) */
static inline int32_t mode_after(int32_t re, int32_t a, int32_t im, int32_t b, int32_t brought)
{
    const int64_t sum = (int64_t)re * a + (int64_t)im * b + 0x80000000ll;
    return (int32_t)(((uint32_t)((uint64_t)sum >> 32) + (uint32_t)brought) * 2);
}

static void filter_narrow(kws_front_end *front_end, const int16_t *x, unsigned blocks,
                          const uint32_t *weights)
{
    const int half_wave = KWS_HALF_WAVE;
    for (unsigned c = 0; c < KWS_CHANNELS; c++) {
        const kws_band *band = &kws_bands[c];
        kws_mode *mode = &front_end->modes[c];
        const kws_pairs first0 = taps_from(band, 0, 0), first1 = taps_from(band, 0, 1);
        const kws_pairs last0 = taps_from(band, 4, 0), last1 = taps_from(band, 4, 1);
        const kws_pairs last2 = taps_from(band, 4, 2), last3 = taps_from(band, 4, 3);
        const kws_pairs first_turn = turn_from(band, 0), last_turn = turn_from(band, 4);
        const kws_eight into_re = eight_at(band->into[0]), into_im = eight_at(band->into[1]);
        const int32_t a = band->pole[0], b = band->pole[1];
        int32_t re = mode->re, im = mode->im;
        uint32_t mean = mode->mean;
        for (unsigned i = 0; i < blocks; i++) {
            const int16_t *block = x + i * KWS_BLOCK;
            const kws_eight now = eight_at(block);
            kws_lanes first = in_first_lane(band->first[0] * block[-1]);
            first = with_samples(first, first0, now, 0);
            first = with_samples(first, first1, now, 1);
            kws_lanes last = in_first_lane(0);
            last = with_samples(last, last0, now, 0);
            last = with_samples(last, last1, now, 1);
            last = with_samples(last, last2, now, 2);
            last = with_samples(last, last3, now, 3);
            first = with_mode(shifted(first, band->tap_shift), first_turn, re, im);
            last = with_mode(shifted(last, band->tap_shift), last_turn, re, im);
            const two_sums heard =
                both_sums(rectified_lanes(first, half_wave), rectified_lanes(last, half_wave));
            uint64_t sum = (uint64_t)mean << 32 | 0x80000000u;
            sum += (uint64_t)weights[2 * i] * (uint32_t)heard.first;
            mean = (uint32_t)((sum + (uint64_t)weights[2 * i + 1] * (uint32_t)heard.last) >> 32);
            const two_sums into = products(into_re, into_im, now);
            const int32_t before = re;
            re = mode_after(re, a, im, -b, into.first >> band->into_shift);
            im = mode_after(im, a, before, b, into.last >> band->into_shift);
        }
        *mode = (kws_mode){re, im, mean};
    }
}
