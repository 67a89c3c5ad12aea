/* The analog-style filterbank and its gain control, in integers, a block of samples at a time.
 *
 * Every sum is exact and every rounding is stated (kws.h), so any order of summation gives the
 * same bits. That nothing overflows was proved when the model was exported.
 */
#include "kws.h"

#include <string.h>

/* Right shifts of negative numbers round down, as every compiler in use does it. */
typedef char kws_shifts_round_down[(-3 >> 1) == -2 ? 1 : -1];

#ifdef KWS_RUNTIME
#include "kws_engine_model.h"
#else
#define KWS_FILTER kws_filter
#define KWS_QUOTIENT quotient
#define KWS_ROOT root
#endif

#ifndef KWS_CHUNK
#define KWS_CHUNK 56u /* samples worked through at once: bounds the stack; whole blocks */
#endif

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && defined(__GNUC__) && KWS_BLOCK == 8

#include "kws_dsp.h"

/* Listens to whole blocks from x[0] on; x[-1] is the sample before them. */
void kws_filter(kws_front_end *front_end, const int16_t *x, unsigned blocks,
                const uint32_t *weights)
{
    kws_record records[KWS_CHUNK / KWS_BLOCK], *end = records + blocks;
    if (blocks == 0)
        return;
    for (kws_record *record = records; record < end; record++) {
        record->weights[0] = *weights++;
        record->weights[1] = *weights++;
        memcpy(&record->before, x - 1, sizeof record->before);
        memcpy(record->x, x, sizeof record->x);
        x += KWS_BLOCK;
    }
    (KWS_HALF_WAVE ? kws_hear_half : kws_hear)(kws_bands, records, end, front_end->modes,
                                               kws_bands + KWS_CHANNELS);
}

#else

/* |y + 1/2| - 1/2, or max(y, 0) */
static uint32_t rectified(int32_t y)
{
    return (uint32_t)(KWS_HALF_WAVE ? y & ~(y >> 31) : y ^ (y >> 31));
}

/* mean + round((weights[0] first + weights[1] second) / 2^32) */
static inline uint32_t weighted(uint32_t mean, const uint32_t *weights, uint32_t first,
                                uint32_t second)
{
    uint64_t sum = (uint64_t)mean << 32 | 0x80000000u;
    sum += (uint64_t)weights[0] * first;
    return (uint32_t)((sum + (uint64_t)weights[1] * second) >> 32);
}

/* sum / 2^tap_shift + re 2^-16 turn[0] + im 2^-16 turn[1], each rounded down, rectified; a mode is
 * given as 2^16 high + low, with low in 0 ... 2^16 - 1. */
static inline uint32_t output(int32_t sum, unsigned shift, const int32_t *mode,
                              const int16_t *turn)
{
    return rectified((sum >> shift) + mode[0] * turn[0] + (mode[1] * turn[0] >> 16) +
                     mode[2] * turn[1] + (mode[3] * turn[1] >> 16));
}

/* mean + the rectified outputs over the block x[0..], times the weights of its halves, / 2^32.
 * Written out, a sample at a time, so that the sums stay in registers. */
static uint32_t block_mean(const kws_band *band, const int16_t *x, int32_t re, int32_t im,
                           const uint32_t *weights, uint32_t mean)
{
    const int16_t *h = band->taps, *turn = band->turn;
    const int32_t mode[4] = {re >> 16, re & 0xffff, im >> 16, im & 0xffff};
    const unsigned shift = band->tap_shift;
    int32_t v = x[0];
    int32_t y0 = h[0] * v + band->first[0] * x[-1], y1 = h[1] * v, y2 = h[2] * v, y3 = h[3] * v;
    int32_t y4 = h[4] * v, y5 = h[5] * v, y6 = h[6] * v, y7 = h[7] * v;
    uint32_t first = output(y0, shift, mode, turn), second;
    v = x[1];
    y1 += h[0] * v, y2 += h[1] * v, y3 += h[2] * v, y4 += h[3] * v;
    y5 += h[4] * v, y6 += h[5] * v, y7 += h[6] * v;
    first += output(y1, shift, mode, turn + 8);
    v = x[2];
    y2 += h[0] * v, y3 += h[1] * v, y4 += h[2] * v, y5 += h[3] * v;
    y6 += h[4] * v, y7 += h[5] * v;
    first += output(y2, shift, mode, turn + 2);
    v = x[3];
    y3 += h[0] * v, y4 += h[1] * v, y5 += h[2] * v, y6 += h[3] * v, y7 += h[4] * v;
    first += output(y3, shift, mode, turn + 10);
    v = x[4];
    y4 += h[0] * v, y5 += h[1] * v, y6 += h[2] * v, y7 += h[3] * v;
    second = output(y4, shift, mode, turn + 4);
    v = x[5];
    y5 += h[0] * v, y6 += h[1] * v, y7 += h[2] * v;
    second += output(y5, shift, mode, turn + 12);
    v = x[6];
    y6 += h[0] * v, y7 += h[1] * v;
    second += output(y6, shift, mode, turn + 6);
    y7 += h[0] * x[7];
    second += output(y7, shift, mode, turn + 14);
    return weighted(mean, weights, first, second);
}

static int32_t added(const int16_t *into, const int16_t *x)
{
    int32_t sum = 0;
    for (unsigned k = 0; k < KWS_BLOCK; k++)
        sum += into[k] * x[k];
    return sum;
}

/* 2 (round(sum of the products / 2^32) + brought) */
static inline int32_t next_mode(int32_t re, int32_t a, int32_t im, int32_t b, int32_t brought)
{
    int64_t sum = (int64_t)((uint64_t)(uint32_t)brought << 32 | 0x80000000u);
    sum += (int64_t)re * a;
    sum += (int64_t)im * b;
    return (int32_t)((uint32_t)((uint64_t)sum >> 32) * 2);
}

/* Listens to whole blocks from x[0] on; x[-1] is the sample before them. */
void kws_filter(kws_front_end *front_end, const int16_t *x, unsigned blocks,
                const uint32_t *weights)
{
    for (unsigned c = 0; c < KWS_CHANNELS; c++) {
        const kws_band *band = &kws_bands[c];
        kws_mode *mode = &front_end->modes[c];
        int32_t re = mode->re, im = mode->im;
        uint32_t mean = mode->mean;
        for (unsigned i = 0; i < blocks; i++) {
            const int16_t *block = x + i * KWS_BLOCK;
            const int32_t a = band->pole[0], b = band->pole[1], before = re;
            mean = block_mean(band, block, re, im, weights + 2 * i, mean);
            re = next_mode(re, a, im, -b, added(band->into[0], block) >> band->into_shift);
            im = next_mode(im, a, before, b, added(band->into[1], block) >> band->into_shift);
        }
        *mode = (kws_mode){re, im, mean};
    }
}

#endif

/* One step of a one-pole low-pass: the state is 2^31 finer than its input. */
static int64_t follow(int64_t state, int32_t input, int32_t gain)
{
    return state + (int64_t)(input - (int32_t)(state >> 31)) * gain;
}

#ifndef KWS_RUNTIME

/* floor(2^24 n / d) */
static uint64_t quotient(uint32_t n, uint32_t d)
{
    if (d >> 26 != 0)
        return ((uint64_t)n << 24) / d;
    /* by hand, six bits at a time, where a 64-bit division is a long function */
    const uint32_t whole = n / d;
    n = n % d << 6;
    uint32_t part = n / d;
    n = n % d << 6;
    part = part << 6 | n / d;
    n = n % d << 6;
    part = part << 6 | n / d;
    n = n % d << 6;
    return (uint64_t)whole << 24 | (part << 6 | n / d);
}

/* floor(sqrt(value)) by Newton's method from above; *left: value less its square */
static uint32_t small_root(uint32_t value, uint32_t *left)
{
    uint32_t result, other;
    *left = 0;
    if (value == 0)
        return 0;
#ifdef __GNUC__
    result = (uint32_t)1 << (33 - __builtin_clz(value)) / 2;
#else
    result = (uint32_t)1 << 16;
#endif
    while ((other = value / result) < result)
        result = (result + other) >> 1;
    *left = value - result * result;
    return result;
}

/* floor(sqrt(value)) for value < 2^52 */
static uint32_t root(uint64_t value)
{
    uint32_t left, result;
    if (value < (uint64_t)1 << 32)
        return small_root((uint32_t)value, &left);
    /* value = (result^2 + left) 2^20 + rest, result >= 64: a step of Newton's gives ten bits
     * more, too much by less than 512 / result */
    result = small_root((uint32_t)(value >> 20), &left);
    uint32_t more = (left << 9 | ((uint32_t)value & 0xfffffu) >> 11) / result;
    result = (result << 10) + more;
    while ((uint64_t)result * result > value)
        result--;
    return result;
}

#endif

static int32_t on_grid(int32_t value)
{
    int32_t code = (value + KWS_HALF_STEP) >> KWS_STEP_SHIFT;
    return code < KWS_FEATURE_MAX ? code : KWS_FEATURE_MAX;
}

/* Gain control, compression and slow copies of one channel, once a frame. */
static void condition(kws_front_end *front_end, unsigned c, int32_t *features)
{
    front_end->envelope[c] =
        follow(front_end->envelope[c], (int32_t)front_end->modes[c].mean, KWS_LOWPASS_GAIN);
    front_end->modes[c].mean = 0;
    int32_t envelope = (int32_t)(front_end->envelope[c] >> 31);
    int64_t level = front_end->level[c];
    if (level >> 31 == 0) { /* a stream may begin in the middle of any sound */
        int64_t first = (int64_t)KWS_ROOT((uint64_t)envelope << 16) * KWS_START_ROOT << 15;
        level = first > level ? first : level;
    }
    front_end->level[c] = level = follow(level, envelope, KWS_AGC_GAIN);
    uint32_t under = (uint32_t)(level >> 31) + KWS_FLOOR;
    uint64_t ratio = KWS_QUOTIENT((uint32_t)envelope, under);
    if (ratio >= (uint64_t)1 << 35)
        ratio = ((uint64_t)1 << 35) - 1;
    int32_t value = (int32_t)(KWS_ROOT((ratio + KWS_OFFSET) << 16) - KWS_ROOT_OFFSET);
    int64_t *slow = &front_end->slow[c * KWS_SLOW_COPIES];
    features += c;
    *features = on_grid(value);
    for (unsigned s = 0; s + 1 <= KWS_SLOW_COPIES; s++) {
        slow[s] = follow(slow[s], value, kws_slow_gains[s]);
        features += KWS_CHANNELS;
        *features = on_grid((int32_t)(slow[s] >> 31));
    }
}

void kws_front_end_reset(kws_front_end *front_end)
{
    memset(front_end->envelope, 0, KWS_CHANNELS * sizeof *front_end->envelope);
    memset(front_end->level, 0, KWS_CHANNELS * sizeof *front_end->level);
    memset(front_end->slow, 0, KWS_CHANNELS * KWS_SLOW_COPIES * sizeof *front_end->slow);
    memset(front_end->modes, 0, KWS_CHANNELS * sizeof *front_end->modes);
    front_end->last = 0;
    front_end->filled = 0;
}

size_t kws_front_end_process(kws_front_end *front_end, const int16_t *pcm, size_t n,
                             int32_t *features, int *ready)
{
    size_t used = 0;
    *ready = 0;
    if (n > (size_t)(KWS_FRAME_SAMPLES - front_end->filled))
        n = (size_t)(KWS_FRAME_SAMPLES - front_end->filled);
    while (used < n) {
        uint32_t words[1 + KWS_CHUNK / 2]; /* pairs of samples; the last before the blocks is odd */
        int16_t *x = (int16_t *)(void *)(words + 1);
        unsigned waiting = front_end->filled % KWS_BLOCK;
        unsigned take = KWS_CHUNK - waiting < n - used ? KWS_CHUNK - waiting : (unsigned)(n - used);
        unsigned blocks = (waiting + take) / KWS_BLOCK, whole = blocks * KWS_BLOCK;
        x[-1] = front_end->last;
        if (waiting != 0)
            memcpy(x, front_end->block, waiting * sizeof *x);
        memcpy(x + waiting, pcm + used, take * sizeof *x);
        KWS_FILTER(front_end, x, blocks, &kws_weights[front_end->filled / KWS_BLOCK * 2]);
        front_end->last = x[(int)whole - 1];
        if (waiting + take != whole)
            memcpy(front_end->block, x + whole, (waiting + take - whole) * sizeof *x);
        front_end->filled = (uint16_t)(front_end->filled + take);
        used += take;
    }
    if (front_end->filled == KWS_FRAME_SAMPLES) {
        front_end->filled = 0;
        *ready = 1;
        for (unsigned c = 0; c < KWS_CHANNELS; c++)
            condition(front_end, c, features);
    }
    return n;
}
