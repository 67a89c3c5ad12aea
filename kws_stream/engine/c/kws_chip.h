/* Sums of many virtual chips at once (kws_stream/bmru/chip.py, ordered_sums). */
#ifndef KWS_CHIP_H
#define KWS_CHIP_H

#include <stddef.h>

/* total[t][o][c] = sum over i of x[t][i][c] weight[i][o][c], chips c last, or with `shared` of
 * x[t][i] weight[i][o][c]. Sums run in the order of i; each product and each sum is rounded by
 * itself, in double precision. Numbers are finite. */
void kws_chip_sums(double *total, const double *x, const double *weight, size_t frames,
                   size_t inputs, size_t outputs, size_t chips, int shared);

#endif
