/* An event as a line of text, for a UART or a terminal, without <stdio.h>. */
#include "kws.h"

typedef struct {
    char *line;
    size_t length;
} writer;

static void put(writer *out, char character)
{
    if (out->length < KWS_LINE - 1)
        out->line[out->length++] = character;
}

static void text(writer *out, const char *characters)
{
    while (*characters != '\0')
        put(out, *characters++);
}

/* hundredths as "12.34", right-aligned in `width` characters */
static void hundredths(writer *out, uint64_t value, unsigned width)
{
    char digits[24];
    unsigned n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
        if (n == 2)
            digits[n++] = '.';
    } while (value != 0 || n < 4);
    for (; width > n; width--)
        put(out, ' ');
    while (n > 0)
        put(out, digits[--n]);
}

size_t kws_format(const kws_event *event, char line[KWS_LINE])
{
    writer out = {line, 0};
    hundredths(&out, (event->time_ms + 5) / 10, 6);
    text(&out, " s  ");
    text(&out, kws_class_names[event->keyword]);
    text(&out, "  score ");
    hundredths(&out, ((uint64_t)event->score * 100 + (1u << 23)) >> 24, 0);
    text(&out, "  (from ");
    hundredths(&out, (event->start_ms + 5) / 10, 0);
    text(&out, " s)\n");
    line[out.length] = '\0';
    return out.length;
}
