/* The sums of several chips side by side. kws_chip.c includes this once for each set of
 * instructions, with
 *
 *   KWS_LANES(name)   names of its functions and types
 *   KWS_TARGET        attribute of its functions
 *   KWS_NUMBERS       double, or a vector of it: one number of each chip
 */

#define LANES (sizeof(KWS_NUMBERS) / sizeof(double))

/* Inputs of one frame that are not 0 on all of these chips. */
typedef struct {
    KWS_NUMBERS values[CHUNK];
    size_t rows[CHUNK]; /* of the weights */
    size_t n;
} KWS_LANES(inputs);

/* `x` being the first input of `end`, the others follow. */
KWS_TARGET static inline void KWS_LANES(find)(KWS_LANES(inputs) *in, const double *x,
                                              size_t begin, size_t end, size_t chips, int shared)
{
    in->n = 0;
    for (size_t i = begin; i < end; i++, x += shared ? 1 : chips) {
        double *values = (double *)(void *)&in->values[in->n];
        int any = 0;
        for (size_t l = 0; l < LANES; l++) {
            values[l] = x[shared ? 0 : l];
            any |= values[l] != 0.0;
        }
        in->rows[in->n] = i;
        in->n += (size_t)any;
    }
}

/* Adds to the sums of `outputs` wires, TILE or 1, `from` being the weights of the first. */
KWS_TARGET static inline void KWS_LANES(add)(double *total, const KWS_LANES(inputs) *in,
                                             const double *from, size_t row, size_t chips,
                                             const size_t outputs, int begin)
{
    KWS_NUMBERS sums[TILE];
    for (size_t k = 0; k < outputs; k++)
        sums[k] = begin ? (KWS_NUMBERS){0.0} : *(KWS_NUMBERS *)(void *)(total + k * chips);
    for (size_t a = 0; a < in->n; a++) {
        const double *weight = from + in->rows[a] * row;
        for (size_t k = 0; k < outputs; k++)
            sums[k] += in->values[a] * *(const KWS_NUMBERS *)(const void *)(weight + k * chips);
    }
    for (size_t k = 0; k < outputs; k++)
        *(KWS_NUMBERS *)(void *)(total + k * chips) = sums[k];
}

/* As kws_chip_sums, of the LANES chips that arguments begin with. Inputs go by CHUNK and frames by
 * SPAN, so that a tile's weights stay near while all frames of a span use them; inputs that are 0
 * on all lanes are left out, since they change no sum. */
KWS_TARGET static void KWS_LANES(sums)(double *total, const double *x, const double *weight,
                                       size_t frames, size_t inputs, size_t outputs, size_t chips,
                                       int shared)
{
    const size_t row = outputs * chips;
    KWS_LANES(inputs) in[SPAN];
    for (size_t chunk = 0; chunk < inputs; chunk += CHUNK) {
        const size_t end = inputs - chunk < CHUNK ? inputs : chunk + CHUNK;
        for (size_t first = 0; first < frames; first += SPAN) {
            const size_t span = frames - first < SPAN ? frames - first : SPAN;
            double *const sums = total + first * row;
            for (size_t t = 0; t < span; t++)
                KWS_LANES(find)(&in[t], x + ((first + t) * inputs + chunk) * (shared ? 1 : chips),
                                chunk, end, chips, shared);
            size_t o = 0;
            for (; o + TILE <= outputs; o += TILE)
                for (size_t t = 0; t < span; t++)
                    KWS_LANES(add)(sums + t * row + o * chips, &in[t], weight + o * chips, row,
                                   chips, TILE, chunk == 0);
            for (; o < outputs; o++)
                for (size_t t = 0; t < span; t++)
                    KWS_LANES(add)(sums + t * row + o * chips, &in[t], weight + o * chips, row,
                                   chips, 1, chunk == 0);
        }
    }
}

#undef LANES
