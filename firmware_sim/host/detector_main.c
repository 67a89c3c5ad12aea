/* The detector alone, on the host: int64 logits in, uint32 smoothed scores out, a frame a time. */
#include <stdio.h>

#include "kws.h"

int main(void)
{
    static kws_detector detector;
    int64_t row[KWS_CLASSES];
    kws_sum logits[KWS_CLASSES];
    kws_event event;

    kws_detector_reset(&detector);
    while (fread(row, sizeof row, 1, stdin) == 1) {
        for (unsigned k = 0; k < KWS_CLASSES; k++)
            logits[k] = (kws_sum)row[k];
        kws_detector_step(&detector, logits, &event);
        if (fwrite(detector.scores, sizeof detector.scores, 1, stdout) != 1)
            return 1;
    }
    return fflush(stdout) != 0;
}
