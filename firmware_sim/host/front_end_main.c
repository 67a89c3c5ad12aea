/* The front end alone, on the host: samples in, features out.
 *
 * stdin: int16 samples; stdout: int32 features in steps of the grid, frame after frame. Argument:
 * samples of a stream, after which the state starts anew. Native byte order. Samples come in
 * portions of 1, 2, 3 ... up to a frame, and again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kws.h"

int main(int argc, char **argv)
{
    static kws_front_end front_end;
    static int16_t pcm[KWS_FRAME_SAMPLES];
    int32_t features[KWS_FEATURES];
    int ready;
    const size_t length = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    size_t heard = 0, portion = 0, n;

    kws_front_end_reset(&front_end);
    for (;;) {
        portion = portion % KWS_FRAME_SAMPLES + 1;
        n = length != 0 && length - heard < portion ? length - heard : portion;
        n = fread(pcm, sizeof *pcm, n, stdin);
        if (n == 0)
            break;
        for (size_t at = 0; at < n;) {
            at += kws_front_end_process(&front_end, pcm + at, n - at, features, &ready);
            if (ready && fwrite(features, sizeof features, 1, stdout) != 1)
                return 1;
        }
        heard += n;
        if (heard == length) {
            kws_front_end_reset(&front_end);
            heard = 0;
        }
    }
    return fflush(stdout) != 0;
}
