/* A frame on a simulated Cortex-M of QEMU's MPS2 boards; how many instructions it takes.
 *
 * With -icount shift=0 the board's clock goes on by 1 ns an instruction, and SysTick, at 25 MHz,
 * by one every 40 instructions: instructions, not cycles. Each stage runs often enough to count
 * well. Results go to UART 0; a semihosting call ends the run.
 */
#include "kws.h"

extern uint32_t data_start, data_end, data_load, bss_start, bss_end;
int main(void);

#define UART ((volatile uint32_t *)0x40004000)
#define SYSTICK ((volatile uint32_t *)0xe000e010)
#define INSTRUCTIONS_PER_TICK 40u
#define FRAMES 20u

static void leave(void)
{
    register uint32_t operation __asm__("r0") = 0x18;  /* SYS_EXIT */
    register uint32_t reason __asm__("r1") = 0x20026; /* ADP_Stopped_ApplicationExit */
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(reason));
    for (;;) {
    }
}

void reset(void)
{
    uint32_t *from = &data_load;
    for (uint32_t *to = &data_start; to < &data_end;)
        *to++ = *from++;
    for (uint32_t *to = &bss_start; to < &bss_end;)
        *to++ = 0;
    main();
    leave();
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))0x20400000, reset};

static void put(char character)
{
    while (UART[1] & 1) {
    }
    UART[0] = (uint8_t)character;
}

static void number(uint32_t value)
{
    char digits[10];
    unsigned n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (n > 0)
        put(digits[--n]);
}

static void report(const char *name, uint32_t ticks)
{
    while (*name != '\0')
        put(*name++);
    put(' ');
    number((uint32_t)((uint64_t)ticks * INSTRUCTIONS_PER_TICK / FRAMES));
    put('\n');
}

static uint32_t now(void)
{
    return 0xffffff - SYSTICK[2];
}

int main(void)
{
    static kws_spotter spotter;
    static int16_t pcm[KWS_FRAME_SAMPLES];
    static int32_t features[KWS_FEATURES];
    static kws_sum logits[KWS_CLASSES];
    kws_event event;
    uint32_t spent[3] = {0, 0, 0}, random = 1;
    int ready;

    UART[4] = 16; /* baud divider, any */
    UART[2] = 1;  /* transmit */
    SYSTICK[1] = 0xffffff;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* processor clock, no interrupt */
    kws_init(&spotter);
    for (unsigned f = 0; f < FRAMES; f++) {
        for (unsigned i = 0; i < KWS_FRAME_SAMPLES; i++) {
            random = random * 1664525u + 1013904223u;
            pcm[i] = (int16_t)((int32_t)(random >> 20) - 2048);
        }
        uint32_t start = now();
        kws_front_end_process(&spotter.front_end, pcm, KWS_FRAME_SAMPLES, features, &ready);
        uint32_t heard = now();
        kws_network_step(&spotter.network, features, logits);
        uint32_t thought = now();
        kws_detector_step(&spotter.detector, logits, &event);
        spent[0] += (heard - start) & 0xffffff;
        spent[1] += (thought - heard) & 0xffffff;
        spent[2] += (now() - thought) & 0xffffff;
    }
    report("front_end", spent[0]);
    report("network", spent[1]);
    report("detector", spent[2]);
#ifdef KWS_VERIFIER
    {
        static uint8_t codes[KWS_VERIFIER_ROOM]; /* every row the last frame's features */
        int32_t scores[KWS_VERIFIER_KEYWORDS];
        for (unsigned i = 0; i < KWS_VERIFIER_FRAMES * KWS_CHANNELS; i++)
            codes[i] = (uint8_t)features[i % KWS_CHANNELS];
        uint32_t start = now();
        kws_verifier_scores(codes, scores);
        report("verifier", ((now() - start) & 0xffffff) * FRAMES);
    }
#endif
    return 0;
}
