/* The verifier's network, on the host: windows of features (KWS_VERIFIER_FRAMES, KWS_CHANNELS) as
 * bytes in; int32 scores of the keywords, units of 2^-16, out. Native byte order. */
#include <stdio.h>

#include "kws.h"

int main(void)
{
    static uint8_t codes[KWS_VERIFIER_ROOM];
    int32_t scores[KWS_VERIFIER_KEYWORDS];
    const size_t size = KWS_VERIFIER_FRAMES * KWS_CHANNELS;

    while (fread(codes, 1, size, stdin) == size) {
        kws_verifier_scores(codes, scores);
        if (fwrite(scores, sizeof scores, 1, stdout) != 1)
            return 1;
    }
    return fflush(stdout) != 0;
}
