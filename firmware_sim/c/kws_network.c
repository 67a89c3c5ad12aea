/* The network in integers: every sum is exact, its width was proved when the model was exported. */
#include "kws.h"

#include <string.h>

#ifdef KWS_RUNTIME
#include "kws_layers.h" /* layers in vectors, and sums for power */
#else

#define KWS_CLONES
#define KWS_SCRATCH(net, type, name, size) type name[size]
#define watch_block(net, b, x, candidates, bits)
#define watch_last(net, x)

/* Most wires carry nothing most of the time, so the sums go by the inputs that are not 0. */
static void affine(const kws_layer *layer, const kws_wire *in, kws_sum *out)
{
    const kws_weight *weight = layer->weight;
    const unsigned n_out = layer->n_out;
    memset(out, 0, n_out * sizeof *out);
    for (unsigned i = 0; i < layer->n_in; i++, weight += n_out) {
        const kws_sum value = in[i];
        if (value == 0)
            continue;
        for (unsigned j = 0; j < n_out; j++)
            out[j] += weight[j] * value;
    }
    for (unsigned j = 0; j < n_out; j++)
        out[j] = out[j] * layer->gain + layer->bias[j];
}

static void first_affine(kws_network *net, const int32_t *features, kws_wire *in, kws_sum *out)
{
    (void)net;
    for (unsigned i = 0; i < KWS_FEATURES; i++)
        in[i] = features[i];
    affine(&kws_pre, in, out);
}

#endif

KWS_CLONES static void rectify(const kws_wire *restrict x, kws_wire *restrict out, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        out[i] = x[i] > 0 ? x[i] : 0;
}

KWS_CLONES static void decide(const kws_block *block, const kws_sum *restrict candidates,
                              uint8_t *restrict bits, kws_wire *restrict states)
{
    for (unsigned i = 0; i < block->cells; i++) {
        const kws_sum candidate = candidates[i] > 0 ? candidates[i] : 0;
        bits[i] = candidate >= (bits[i] ? block->beta1[i] : block->beta2[i]);
        states[i] = bits[i] ? block->alpha[i] : 0;
    }
}

KWS_CLONES static void add_rectified(const kws_sum *restrict post, kws_wire *restrict x, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (post[i] > 0)
            x[i] += (kws_wire)post[i];
}

void kws_network_reset(kws_network *net)
{
    uint8_t *bits = net->bits;
    for (int b = 0; b < (int)KWS_BLOCKS; b++) {
        memcpy(bits, kws_blocks[b].initial, kws_blocks[b].cells);
        bits += kws_blocks[b].cells;
    }
}

void kws_network_step(kws_network *net, const int32_t *features, kws_sum *logits)
{
    KWS_SCRATCH(net, kws_wire, x, KWS_WIDTH);
    KWS_SCRATCH(net, kws_wire, in, KWS_WIDEST);
    KWS_SCRATCH(net, kws_sum, out, KWS_WIDEST);
    const unsigned width = KWS_WIDTH;
    uint8_t *bits = net->bits;

    first_affine(net, features, in, out);
    for (unsigned i = 0; i < width; i++)
        x[i] = (kws_wire)out[i];

    for (int b = 0; b < (int)KWS_BLOCKS; b++) {
        const kws_block *block = &kws_blocks[b];
        rectify(x, in, width);
        affine(&block->candidate, in, out);
        decide(block, out, bits, in);
        watch_block(net, b, x, out, bits);
        bits += block->cells;
        affine(&block->post, in, out);
        add_rectified(out, x, width);
    }
    watch_last(net, x);
    affine(&kws_classifier, x, logits);
}
