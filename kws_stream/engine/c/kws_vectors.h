/* The filterbank in 256-bit vectors: the same integers as kws_filter of
 * firmware_sim/c/kws_front_end.c. kws_simd.c includes this once for each set of instructions, with
 *
 *   KWS_VECTORS(name)      names of its functions
 *   KWS_TARGET             attribute of its functions
 *   KWS_DOT(sum, a, b)     sum + a[2 i] b[2 i] + a[2 i + 1] b[2 i + 1] for each 32-bit lane i
 */

/* lanes of a at even places, of b at odd ones: the high halves of 64-bit products */
KWS_TARGET static inline __m256i KWS_VECTORS(high_halves)(__m256i even, __m256i odd)
{
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}

/* Runs the modes of channels from `first` on through the blocks; lanes are channels. */
KWS_TARGET static void KWS_VECTORS(run_modes)(kws_front_end *front_end, unsigned first, unsigned n,
                                              const int16_t *x, unsigned blocks,
                                              mode_words *words)
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
            to_re = KWS_DOT(to_re, v[k], pair);
            to_im = KWS_DOT(to_im, v[4 + k], pair);
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
        re = _mm256_slli_epi32(_mm256_add_epi32(KWS_VECTORS(high_halves)(re_even, re_rest),
                                                _mm256_srav_epi32(to_re, shift)), 1);
        im = _mm256_slli_epi32(_mm256_add_epi32(KWS_VECTORS(high_halves)(im_even, im_rest),
                                                _mm256_srav_epi32(to_im, shift)), 1);
    }
    _mm256_storeu_si256((__m256i *)(void *)table[11], re);
    _mm256_storeu_si256((__m256i *)(void *)table[12], im);
    for (unsigned l = 0; l < n; l++) {
        front_end->modes[first + l].re = table[11][l];
        front_end->modes[first + l].im = table[12][l];
    }
}

/* The rectified outputs of one channel over the blocks, four at a time. The lanes of a vector are the
 * first four outputs of two blocks that follow each other, or the last four. `weights`: of the
 * halves of blocks 0, 2, 1 and 3 of each four. */
KWS_TARGET static uint32_t KWS_VECTORS(weigh_outputs)(const kws_band *band, const int16_t *x,
                                                      unsigned fours, const mode_words *words,
                                                      unsigned lane, const __m256i *weights)
{
    /* lane n: the taps n - 2 k and n - 2 k - 1 of the pair of samples k */
    const __m128i taps = _mm_loadu_si128((const __m128i *)(const void *)band->taps);
    const __m128i older = _mm_slli_si128(taps, 2);
    const __m128i low = _mm_unpacklo_epi16(taps, older), high = _mm_unpackhi_epi16(taps, older);
    const __m128i middle = _mm_alignr_epi8(high, low, 8), end = _mm_slli_si128(low, 8);
    const __m128i before = _mm_cvtsi32_si128(band->first[0] & 0xffff); /* of x[-1], for lane 0 */
    const __m256i first0 = _mm256_broadcastsi128_si256(low);
    const __m256i first1 = _mm256_broadcastsi128_si256(_mm_or_si128(end, before));
    const __m256i last0 = _mm256_broadcastsi128_si256(high);
    const __m256i last1 = _mm256_broadcastsi128_si256(middle);
    const __m256i last2 = first0, last3 = _mm256_broadcastsi128_si256(end);
    const __m256i turn =
        _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const __m256i *)(const void *)band->turn),
                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    const __m256i first_turn = _mm256_permute4x64_epi64(turn, 0x44);
    const __m256i last_turn = _mm256_permute4x64_epi64(turn, 0xee);
    const __m256i ones = _mm256_set1_epi16(1), nothing = _mm256_setzero_si256();
    const __m128i shift = _mm_cvtsi32_si128(band->tap_shift);
    const __m256i half = _mm256_set1_epi64x(0x80000000ll);
    const int half_wave = KWS_HALF_WAVE;
    __m256i mean = nothing;
    for (unsigned i = 0; i < 4 * fours; i += 4) {
        __m256i sums[2];
        for (unsigned k = 0; k < 2; k++) {
            const unsigned a = i + 2 * k, b = a + 1;
            const __m256i *at = (const __m256i *)(const void *)(x + a * KWS_BLOCK);
            const __m256i now = _mm256_loadu_si256(at);
            const __m256i then = _mm256_loadu_si256((const __m256i *)(const void *)(x + a * KWS_BLOCK - 1));
            const __m256i pair0 = _mm256_shuffle_epi32(now, 0x00);
            const __m256i pair1 = _mm256_shuffle_epi32(now, 0x55);
            const __m256i pair2 = _mm256_shuffle_epi32(now, 0xaa);
            const __m256i pair3 = _mm256_shuffle_epi32(now, 0xff);
            __m256i first = KWS_DOT(nothing, first0, pair0);
            __m256i last = KWS_DOT(nothing, last0, pair0);
            first = KWS_DOT(first, first1, _mm256_blend_epi32(pair1, then, 0x11));
            last = KWS_DOT(last, last1, pair1);
            last = KWS_DOT(last, last2, pair2);
            last = KWS_DOT(last, last3, pair3);
            /* value turn / 2^16 = high turn + (low turn / 2^16) */
            const __m256i highs =
                _mm256_blend_epi32(_mm256_set1_epi32(words->high[a][lane]),
                                   _mm256_set1_epi32(words->high[b][lane]), 0xf0);
            const __m256i lows =
                _mm256_blend_epi32(_mm256_set1_epi32(words->low[a][lane]),
                                   _mm256_set1_epi32(words->low[b][lane]), 0xf0);
            first = KWS_DOT(_mm256_sra_epi32(first, shift), first_turn, highs);
            last = KWS_DOT(_mm256_sra_epi32(last, shift), last_turn, highs);
            first = KWS_DOT(first, _mm256_mulhi_epi16(lows, first_turn), ones);
            last = KWS_DOT(last, _mm256_mulhi_epi16(lows, last_turn), ones);
            if (half_wave) {
                first = _mm256_max_epi32(first, nothing);
                last = _mm256_max_epi32(last, nothing);
            } else {
                first = _mm256_xor_si256(first, _mm256_srai_epi32(first, 31));
                last = _mm256_xor_si256(last, _mm256_srai_epi32(last, 31));
            }
            sums[k] = _mm256_hadd_epi32(first, last);
        }
        const __m256i all = _mm256_hadd_epi32(sums[0], sums[1]);
        const __m256i of_first = _mm256_mul_epu32(all, weights[i / 4]);
        const __m256i of_last = _mm256_mul_epu32(_mm256_srli_epi64(all, 32),
                                                 _mm256_srli_epi64(weights[i / 4], 32));
        const __m256i of_blocks = _mm256_add_epi64(_mm256_add_epi64(of_first, of_last), half);
        mean = _mm256_add_epi64(mean, _mm256_srli_epi64(of_blocks, 32));
    }
    const __m128i two =
        _mm_add_epi64(_mm256_castsi256_si128(mean), _mm256_extracti128_si256(mean, 1));
    return (uint32_t)_mm_cvtsi128_si32(_mm_add_epi64(two, _mm_srli_si128(two, 8)));
}

KWS_TARGET static void KWS_VECTORS(filter)(kws_front_end *front_end, const int16_t *x,
                                           unsigned blocks, const uint32_t *weights)
{
    const unsigned fours = (blocks + 3) / 4;
    __m256i ordered[(MOST_BLOCKS + 3) / 4];
    int16_t padded[2 + MOST_BLOCKS * KWS_BLOCK];
    mode_words words;
    for (unsigned i = 0; i < fours; i++) {
        static const unsigned order[4] = {0, 2, 1, 3};
        uint32_t of_four[LANES] = {0};
        for (unsigned k = 0; k < 4; k++) {
            if (i * 4 + order[k] >= blocks)
                continue;
            of_four[2 * k] = weights[2 * (i * 4 + order[k])];
            of_four[2 * k + 1] = weights[2 * (i * 4 + order[k]) + 1];
        }
        ordered[i] = _mm256_loadu_si256((const __m256i *)(const void *)of_four);
    }
    if (blocks % 4 != 0) { /* those that are not there weigh nothing */
        memset(padded, 0, sizeof padded);
        memcpy(padded + 1, x - 1, (1 + blocks * KWS_BLOCK) * sizeof *x);
        memset(&words, 0, sizeof words);
        x = padded + 2;
    }
    for (unsigned first = 0; first < KWS_CHANNELS; first += LANES) {
        const unsigned n = KWS_CHANNELS - first < LANES ? KWS_CHANNELS - first : LANES;
        KWS_VECTORS(run_modes)(front_end, first, n, x, blocks, &words);
        for (unsigned l = 0; l < n; l++)
            front_end->modes[first + l].mean += KWS_VECTORS(weigh_outputs)(
                &kws_bands[first + l], x, fours, &words, l, ordered);
    }
}
