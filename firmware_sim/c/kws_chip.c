#include "kws_chip.h"

#include "kws_registers.h"

static uint32_t number(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* CRC-32 of IEEE 802.3 */
static uint32_t crc(const uint8_t *bytes, size_t n)
{
    uint32_t state = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        state ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            state = state >> 1 ^ (state & 1 ? 0xedb88320u : 0);
    }
    return ~state;
}

int kws_chip_check(const uint8_t *stream, size_t bytes)
{
    return bytes >= KWS_REG_LENGTH_OFFSET / 8 + 8 && number(stream) == KWS_REG_MAGIC &&
           stream[KWS_REG_VERSION_OFFSET / 8] == KWS_REG_VERSION &&
           number(stream + KWS_REG_LENGTH_OFFSET / 8) == (uint64_t)bytes * 8 &&
           number(stream + bytes - 4) == crc(stream, bytes - 4);
}

int kws_chip_holds(const kws_chip_pins *pins, const uint8_t *stream, size_t bytes)
{
    int same = 1;
    pins->capture(pins->context);
    for (size_t i = 0; i < bytes; i++)
        for (int bit = 7; bit >= 0; bit--)
            if (pins->clock(pins->context, 0) != (stream[i] >> bit & 1))
                same = 0;
    return same;
}

kws_chip_result kws_chip_program(const kws_chip_pins *pins, const uint8_t *stream, size_t bytes)
{
    if (!kws_chip_check(stream, bytes))
        return KWS_CHIP_BAD_STREAM;
    for (size_t i = 0; i < bytes; i++)
        for (int bit = 7; bit >= 0; bit--)
            pins->clock(pins->context, stream[i] >> bit & 1);
    if (!pins->latch(pins->context))
        return KWS_CHIP_REFUSED;
    return kws_chip_holds(pins, stream, bytes) ? KWS_CHIP_OK : KWS_CHIP_BAD_READBACK;
}
