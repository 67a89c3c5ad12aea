/* The network in integers: every sum is exact, its width was proved when the model was exported. */
#include "kws.h"

#include <string.h>

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

void kws_network_reset(kws_network *net)
{
    uint8_t *bits = net->bits;
    for (int b = 0; b < KWS_BLOCKS; b++) {
        memcpy(bits, kws_blocks[b].initial, kws_blocks[b].cells);
        bits += kws_blocks[b].cells;
    }
}

void kws_network_step(kws_network *net, const int32_t *features,
                      kws_sum *logits)
{
    kws_wire x[KWS_WIDTH], in[KWS_WIDEST];
    kws_sum out[KWS_WIDEST];
    uint8_t *bits = net->bits;

    for (unsigned i = 0; i < KWS_FEATURES; i++)
        in[i] = features[i];
    affine(&kws_pre, in, out);
    for (unsigned i = 0; i < KWS_WIDTH; i++)
        x[i] = (kws_wire)out[i];

    for (int b = 0; b < KWS_BLOCKS; b++) {
        const kws_block *block = &kws_blocks[b];
        for (unsigned i = 0; i < KWS_WIDTH; i++)
            in[i] = x[i] > 0 ? x[i] : 0;
        affine(&block->candidate, in, out);
        for (unsigned i = 0; i < block->cells; i++) {
            kws_sum candidate = out[i] > 0 ? out[i] : 0;
            bits[i] = candidate >= (bits[i] ? block->beta1[i] : block->beta2[i]);
            in[i] = bits[i] ? block->alpha[i] : 0;
        }
        bits += block->cells;
        affine(&block->post, in, out);
        for (unsigned i = 0; i < KWS_WIDTH; i++)
            if (out[i] > 0)
                x[i] += (kws_wire)out[i];
    }
    affine(&kws_classifier, x, logits);
}
