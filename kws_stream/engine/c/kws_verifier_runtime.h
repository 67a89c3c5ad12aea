/* What a model's header is to the verifier of the firmware, for any verifier: names of numbers that
 * are read at run time. Included by kws_verifier.h. */
#ifndef KWS_VERIFIER_RUNTIME_H
#define KWS_VERIFIER_RUNTIME_H

typedef struct {
    const kws_convolution *layers;
    const uint16_t *looks;
    const uint8_t *rows;
    uint32_t count, frames, codes, keywords, n_looks;
    int32_t threshold;
    /* room to work in */
    int32_t *sum, *scores;
    uint8_t *room, *ordered;
} kws_verifier_model;

extern KWS_THREAD const kws_verifier_model *kws_verifier_now;

#define KWS_VERIFIER_SCRATCH(type, name, size) type *const name = kws_verifier_now->name
#define KWS_VERIFIER_LAYERS (kws_verifier_now->count)
#define KWS_VERIFIER_FRAMES (kws_verifier_now->frames)
#define KWS_VERIFIER_CODES (kws_verifier_now->codes)
#define KWS_VERIFIER_KEYWORDS (kws_verifier_now->keywords)
#define KWS_VERIFIER_LOOKS (kws_verifier_now->n_looks)
#define KWS_VERIFIER_THRESHOLD (kws_verifier_now->threshold)

#define kws_verifier_layers (kws_verifier_now->layers)
#define kws_verifier_looks (kws_verifier_now->looks)
#define kws_verifier_rows (kws_verifier_now->rows)

#endif
