/* The filterbank's loop for Arm's DSP instructions (Cortex-M4 and up), in Thumb-2: two products
 * are one instruction, and a block takes 107 because all it works on stays in registers, fourteen
 * of them, which no compiler manages. Included by kws_front_end.c. */
#ifndef KWS_DSP_H
#define KWS_DSP_H

/* A block of samples x, with what goes with it: x_-1 and x_0, and the weights of its halves. */
typedef struct {
    uint32_t weights[2], before, x[KWS_BLOCK / 2];
} kws_record;

/* the offsets below */
typedef char kws_band_is_laid_out[offsetof(kws_band, odd) == 16 && offsetof(kws_band, even) == 32 &&
                                  offsetof(kws_band, turn) == 48 &&
                                  offsetof(kws_band, into) == 80 &&
                                  offsetof(kws_band, pole) == 112 &&
                                  offsetof(kws_band, first) == 120 &&
                                  offsetof(kws_band, tap_shift) == 124 &&
                                  offsetof(kws_band, into_shift) == 125 ? 1 : -1];
typedef char kws_record_is_laid_out[sizeof(kws_record) == 28 && sizeof(kws_mode) == 12 &&
                                    sizeof(kws_band) == 128 ? 1 : -1];

/* The channels of the bands up to `last` over the records up to `end`, which are some.
 *
 * r0 band, r1 x of the next record, r2 re, r3 im, r4-r7 x, r8 tap_shift; r9-r12 and lr are free.
 * On the stack: mean, x of the first record and behind the last, mode; behind nine registers of
 * the caller, last. RECTIFY is eor for |y + 1/2| - 1/2, bic for max(y, 0). */
#define KWS_HEAR(name, RECTIFY)                                                                    \
    __attribute__((naked, noinline)) static void name(                                             \
        const kws_band *bands __attribute__((unused)),                                             \
        const kws_record *from __attribute__((unused)),                                            \
        const kws_record *end __attribute__((unused)),                                             \
        kws_mode *modes __attribute__((unused)), const kws_band *last __attribute__((unused)))     \
    {                                                                                              \
        __asm__ volatile(                                                                          \
            "push {r4-r11, lr}\n add r1, r1, #12\n add r2, r2, #12\n push {r0-r3}\n"               \
            "1:\n"                                                                                 \
            "ldr r6, [sp, #12]\n ldr r1, [sp, #4]\n ldm r6, {r2-r4}\n"                             \
            "ldrb r8, [r0, #124]\n str r4, [sp]\n"                                                 \
            "2:\n"                                                                                 \
            "ldrd r4, r5, [r1], #8\n ldrd r6, r7, [r1], #20\n"                                     \
            /* outputs 6 in r12 and 4 in lr; their sum to lr */                                    \
            "ldrd r11, r12, [r0, #40]\n ldrd r9, r10, [r0, #32]\n"                                 \
            "smuad r12, r12, r4\n smuad lr, r11, r4\n"                                             \
            "smlad r12, r11, r5, r12\n smlad lr, r10, r5, lr\n"                                    \
            "smlad r12, r10, r6, r12\n smlad lr, r9, r6, lr\n"                                     \
            "smlad r12, r9, r7, r12\n ldrd r9, r10, [r0, #56]\n"                                   \
            "asr r12, r12, r8\n asr lr, lr, r8\n"                                                  \
            "smlawb r12, r2, r10, r12\n smlawb lr, r2, r9, lr\n"                                   \
            "smlawt r12, r3, r10, r12\n smlawt lr, r3, r9, lr\n"                                   \
            RECTIFY " r12, r12, r12, asr #31\n " RECTIFY " lr, lr, lr, asr #31\n"                  \
            "add lr, lr, r12\n"                                                                    \
            /* outputs 7 in r12 and 5 in r11, added to lr */                                       \
            "ldrd r11, r12, [r0, #24]\n ldrd r9, r10, [r0, #16]\n"                                 \
            "smuad r12, r12, r4\n smlad r12, r11, r5, r12\n"                                       \
            "smuad r11, r11, r4\n smlad r12, r10, r6, r12\n"                                       \
            "smlad r11, r10, r5, r11\n smlad r12, r9, r7, r12\n"                                   \
            "smlad r11, r9, r6, r11\n ldrd r9, r10, [r0, #72]\n"                                   \
            "asr r12, r12, r8\n asr r11, r11, r8\n"                                                \
            "smlawb r12, r2, r10, r12\n smlawb r11, r2, r9, r11\n"                                 \
            "smlawt r12, r3, r10, r12\n smlawt r11, r3, r9, r11\n"                                 \
            RECTIFY " r12, r12, r12, asr #31\n " RECTIFY " r11, r11, r11, asr #31\n"               \
            "add lr, lr, r12\n add lr, lr, r11\n"                                                  \
            /* outputs 2 in r10 and 0 in r9; their sum to r9. The mode's turn at 0 is real. */     \
            "ldrd r9, r10, [r0, #32]\n ldr r11, [r1, #-32]\n ldr r12, [r0, #120]\n"                \
            "smuad r10, r10, r4\n smlad r10, r9, r5, r10\n smuad r9, r11, r12\n"                   \
            "ldrd r11, r12, [r0, #48]\n"                                                           \
            "asr r10, r10, r8\n asr r9, r9, r8\n"                                                  \
            "smlawb r10, r2, r12, r10\n smlawb r9, r2, r11, r9\n"                                  \
            "smlawt r10, r3, r12, r10\n"                                                           \
            RECTIFY " r10, r10, r10, asr #31\n " RECTIFY " r9, r9, r9, asr #31\n"                  \
            "add r9, r9, r10\n"                                                                    \
            /* outputs 3 in r11 and 1 in r10, added to r9 */                                       \
            "ldrd r10, r11, [r0, #16]\n"                                                           \
            "smuad r11, r11, r4\n smlad r11, r10, r5, r11\n smuad r10, r10, r4\n"                  \
            "ldr r12, [r0, #68]\n"                                                                 \
            "asr r11, r11, r8\n asr r10, r10, r8\n"                                                \
            "smlawb r11, r2, r12, r11\n smlawt r11, r3, r12, r11\n"                                \
            "ldr r12, [r0, #64]\n"                                                                 \
            "smlawb r10, r2, r12, r10\n smlawt r10, r3, r12, r10\n"                                \
            RECTIFY " r11, r11, r11, asr #31\n " RECTIFY " r10, r10, r10, asr #31\n"               \
            "add r9, r9, r11\n add r9, r9, r10\n"                                                  \
            /* mean */                                                                             \
            "ldr r12, [r1, #-40]\n mov r10, #0x80000000\n ldr r11, [sp]\n"                         \
            "umlal r10, r11, r12, r9\n ldr r12, [r1, #-36]\n"                                      \
            "umlal r10, r11, r12, lr\n str r11, [sp]\n"                                            \
            /* what the block brings to re in r9, to im in r10 */                                  \
            "ldrd r9, r10, [r0, #80]\n ldrd r11, r12, [r0, #96]\n"                                 \
            "smuad r9, r9, r4\n smuad r11, r11, r4\n"                                              \
            "smlad r9, r10, r5, r9\n smlad r10, r12, r5, r11\n"                                    \
            "ldrd r4, r5, [r0, #88]\n ldrd r11, r12, [r0, #104]\n"                                 \
            "smlad r9, r4, r6, r9\n smlad r10, r11, r6, r10\n"                                     \
            "smlad r9, r5, r7, r9\n smlad r10, r12, r7, r10\n"                                     \
            "ldrb r12, [r0, #125]\n ldrd r6, r7, [r0, #112]\n"                                     \
            "asr r9, r9, r12\n asr r10, r10, r12\n"                                                \
            /* and what the pole makes of the mode */                                              \
            "mov r4, #0x80000000\n mov r5, #0x80000000\n"                                          \
            "smlal r5, r10, r3, r6\n smlal r4, r9, r2, r6\n"                                       \
            "smlal r5, r10, r2, r7\n rsb r7, r7, #0\n"                                             \
            "smlal r4, r9, r3, r7\n ldr r12, [sp, #8]\n"                                           \
            "lsl r2, r9, #1\n lsl r3, r10, #1\n"                                                   \
            "cmp r1, r12\n bne 2b\n"                                                               \
            "ldr r6, [sp, #12]\n ldr r4, [sp]\n stm r6!, {r2-r4}\n str r6, [sp, #12]\n"            \
            "add r0, r0, #128\n ldr r5, [sp, #52]\n cmp r0, r5\n bne 1b\n"                         \
            "add sp, sp, #16\n pop {r4-r11, pc}\n");                                               \
    }

KWS_HEAR(kws_hear, "eor")
KWS_HEAR(kws_hear_half, "bic")

#endif
