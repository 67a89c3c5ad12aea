/* The network alone, on the host: features in, logits and bits out.
 *
 * stdin: int32 features, frame after frame; stdout: int64 logits and the bits of all cells, a byte
 * each. Argument: frames of a stream, after which the state starts anew. Native byte order.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kws.h"

int main(int argc, char **argv)
{
    static kws_network net;
    int32_t features[KWS_FEATURES];
    kws_sum logits[KWS_CLASSES];
    long length = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

    for (long t = 0; fread(features, sizeof features, 1, stdin) == 1; t++) {
        if (t == 0 || t == length) {
            kws_network_reset(&net);
            t = 0;
        }
        kws_network_step(&net, features, logits);
        for (unsigned k = 0; k < KWS_CLASSES; k++) {
            int64_t logit = logits[k];
            if (fwrite(&logit, sizeof logit, 1, stdout) != 1)
                return 1;
        }
        if (fwrite(net.bits, 1, KWS_CELLS, stdout) != KWS_CELLS)
            return 1;
    }
    return fflush(stdout) != 0;
}
