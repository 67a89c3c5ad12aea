/* The front end alone, on the host: samples in, features out.
 *
 * stdin: int16 samples; stdout: int32 features in steps of the grid, frame after frame. Argument:
 * samples of a stream, after which the state starts anew. Native byte order.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kws.h"

int main(int argc, char **argv)
{
    static kws_front_end front_end;
    int32_t features[KWS_FEATURES];
    int16_t sample;
    int ready;
    long length = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

    for (long n = 0; fread(&sample, sizeof sample, 1, stdin) == 1; n++) {
        if (n == 0 || n == length) {
            kws_front_end_reset(&front_end);
            n = 0;
        }
        kws_front_end_process(&front_end, &sample, 1, features, &ready);
        if (ready && fwrite(features, sizeof features, 1, stdout) != 1)
            return 1;
    }
    return fflush(stdout) != 0;
}
