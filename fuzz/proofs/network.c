/* The network's step, for every frame of features that there can be and every state of the cells:
 * CBMC checks each index, each sum and each conversion; bits stay bits, so this holds for ever. */
#include "kws.h"

uint8_t nondet_uint8(void);
int32_t nondet_int32(void);

void proof(void)
{
    kws_network network;
    int32_t features[KWS_FEATURES];
    kws_sum logits[KWS_CLASSES];

    for (unsigned i = 0; i < KWS_CELLS; i++) {
        network.bits[i] = nondet_uint8();
        __CPROVER_assume(network.bits[i] <= 1);
    }
    for (unsigned i = 0; i < KWS_FEATURES; i++) {
        features[i] = nondet_int32();
        __CPROVER_assume(features[i] >= 0 && features[i] <= KWS_FEATURE_MAX);
    }
    kws_network_step(&network, features, logits);
    for (unsigned i = 0; i < KWS_CELLS; i++)
        __CPROVER_assert(network.bits[i] <= 1, "a bit is a bit");
}
