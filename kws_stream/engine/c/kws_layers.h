/* What firmware_sim/c/kws_network.c calls in the engine: layers by what is active, in vectors, and
 * the sums for power. */
#ifndef KWS_LAYERS_H
#define KWS_LAYERS_H

#include "kws_engine_model.h"

#include <string.h>

/* Places and values of the inputs that are not 0; returns how many there are. */
static inline unsigned find_active(const int32_t *restrict in, unsigned n,
                                   uint32_t *restrict places, int32_t *restrict values)
{
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++)
        if (in[i] != 0) {
            places[count] = i;
            values[count++] = in[i];
        }
    return count;
}

/* low[j] += value weight[j] */
static inline void add_one(const int8_t *restrict weight, int32_t value, int32_t *restrict low,
                           unsigned n)
{
    for (unsigned j = 0; j < n; j++)
        low[j] += value * weight[j];
}

/* low[j] += (value & 2^15 - 1) weight[j], high[j] += (value >> 15) weight[j] */
static inline void add_two(const int8_t *restrict weight, int32_t value, int32_t *restrict low,
                           int32_t *restrict high, unsigned n)
{
    const int32_t a = value & 0x7fff, b = value >> 15;
    for (unsigned j = 0; j < n; j++) {
        low[j] += a * weight[j];
        high[j] += b * weight[j];
    }
}

static inline void add_wide(const int32_t *restrict weight, int64_t value, int64_t *restrict sums,
                            unsigned n)
{
    for (unsigned j = 0; j < n; j++)
        sums[j] += value * weight[j];
}

/* The layer's products with its inputs, as long as a row; in kws_now->sums. */
static inline int64_t *products(const kws_layer *layer, const int32_t *in)
{
    uint32_t *places = kws_now->places;
    int32_t *values = kws_now->values, *low = kws_now->low, *high = kws_now->high;
    int64_t *sums = kws_now->sums;
    const unsigned count = find_active(in, layer->n_in, places, values);
    const unsigned n = layer->stride;
    const int8_t *narrow = layer->narrow;
    if (layer->limbs == 0) {
        memset(sums, 0, n * sizeof *sums);
        for (unsigned i = 0; i < count; i++)
            add_wide(layer->wide + (size_t)places[i] * n, values[i], sums, n);
    } else if (layer->limbs == 1) {
        memset(low, 0, n * sizeof *low);
        for (unsigned i = 0; i < count; i++)
            add_one(narrow + (size_t)places[i] * n, values[i], low, n);
        for (unsigned j = 0; j < n; j++)
            sums[j] = low[j];
    } else {
        memset(low, 0, n * sizeof *low);
        memset(high, 0, n * sizeof *high);
        for (unsigned i = 0; i < count; i++)
            add_two(narrow + (size_t)places[i] * n, values[i], low, high, n);
        for (unsigned j = 0; j < n; j++)
            sums[j] = (int64_t)high[j] * 32768 + low[j];
    }
    return sums;
}

/* out = sums 2^shift + bias */
static inline void finish(const kws_layer *layer, const int64_t *restrict sums,
                          int64_t *restrict out)
{
    const unsigned shift = layer->shift, n = layer->n_out;
    const int64_t *bias = layer->bias;
    for (unsigned j = 0; j < n; j++)
        out[j] = (int64_t)((uint64_t)sums[j] << shift) + bias[j];
}

KWS_CLONES static void affine(const kws_layer *layer, const kws_wire *in, kws_sum *out)
{
    finish(layer, products(layer, in), out);
}

/* The first layer. Its products go by what has changed since the frame before: slow copies stay for
 * many frames. */
KWS_CLONES static void first_affine(kws_network *net, const int32_t *features, kws_wire *in,
                                    kws_sum *out)
{
    const kws_layer *layer = &kws_pre;
    int32_t *last = net->more.features;
    int64_t *kept = net->more.products;
    for (unsigned i = 0; i < layer->n_in; i++)
        in[i] = features[i] - last[i];
    memcpy(last, features, layer->n_in * sizeof *last);
    const int64_t *changes = products(layer, in);
    for (unsigned j = 0; j < layer->n_out; j++)
        kept[j] += changes[j];
    finish(layer, kept, out);
}

/* Adds to the sums for power. */
KWS_CLONES static void watch_block(kws_network *net, int b, const kws_wire *x,
                                   const kws_sum *candidates, const uint8_t *bits)
{
    const unsigned width = KWS_WIDTH, cells = kws_blocks[b].cells;
    const size_t before = (size_t)(bits - net->bits); /* cells of the blocks before */
    int64_t *restrict inputs = net->more.inputs + (size_t)b * width;
    int64_t *restrict total = net->more.candidates + before, *restrict on = net->more.on + before;
    for (unsigned j = 0; j < width; j++)
        inputs[j] += x[j] > 0 ? x[j] : 0;
    for (unsigned i = 0; i < cells; i++)
        total[i] += candidates[i] > 0 ? candidates[i] : 0;
    for (unsigned i = 0; i < cells; i++)
        on[i] += bits[i];
}

KWS_CLONES static void watch_last(kws_network *net, const kws_wire *x)
{
    const unsigned width = KWS_WIDTH;
    int64_t *restrict above = net->more.above, *restrict below = net->more.below;
    for (unsigned j = 0; j < width; j++) {
        above[j] += x[j] > 0 ? x[j] : 0;
        below[j] -= x[j] < 0 ? x[j] : 0;
    }
}

#endif
