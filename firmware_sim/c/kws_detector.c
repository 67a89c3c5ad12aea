/* From logits to events: smoothed = softmax(mean of the last KWS_WINDOW logits).
 *
 * A keyword fires when it is armed, leads all classes and its smoothed score reaches its
 * threshold. Sums of logits are exact; scores are those of the Python package, to the last bit.
 */
#include "kws.h"

#include <string.h>

#ifdef KWS_RUNTIME
#include "kws_engine_model.h"
#endif

#define LOG2_E 1549082005 /* log2(e), units of 2^-30 */
#define NEVER (-((int64_t)1 << 62))

/* Of logits finer than 2^-26 the rest is rounded down. */
#define FINER (KWS_LOGIT_FRACTION > 26 ? KWS_LOGIT_FRACTION - 26 : 0)
#define FRACTION (KWS_LOGIT_FRACTION - FINER)

/* 2^-(i / 2^6), 2^-(i / 2^12), 2^-(i / 2^18) and 2^-(i / 2^24), units of 2^-30 */
static const uint32_t powers[4][64] = {
    {
        1073741824u, 1062175491u, 1050733751u, 1039415261u, 1028218693u, 1017142735u, 1006186087u, 995347464u,
        984625594u, 974019220u, 963527098u, 953147997u, 942880699u, 932724001u, 922676710u, 912737649u,
        902905651u, 893179563u, 883558244u, 874040567u, 864625413u, 855311680u, 846098274u, 836984114u,
        827968132u, 819049271u, 810226483u, 801498734u, 792865000u, 784324269u, 775875538u, 767517817u,
        759250125u, 751071493u, 742980960u, 734977579u, 727060411u, 719228525u, 711481005u, 703816941u,
        696235434u, 688735596u, 681316545u, 673977412u, 666717336u, 659535466u, 652430958u, 645402981u,
        638450708u, 631573326u, 624770026u, 618040012u, 611382493u, 604796689u, 598281827u, 591837143u,
        585461881u, 579155293u, 572916640u, 566745190u, 560640218u, 554601009u, 548626854u, 542717053u,
    },
    {
        1073741824u, 1073560135u, 1073378477u, 1073196849u, 1073015252u, 1072833686u, 1072652151u, 1072470646u,
        1072289173u, 1072107729u, 1071926317u, 1071744935u, 1071563584u, 1071382264u, 1071200974u, 1071019715u,
        1070838486u, 1070657289u, 1070476122u, 1070294985u, 1070113879u, 1069932804u, 1069751760u, 1069570746u,
        1069389763u, 1069208810u, 1069027888u, 1068846997u, 1068666136u, 1068485306u, 1068304506u, 1068123737u,
        1067942999u, 1067762291u, 1067581614u, 1067400968u, 1067220351u, 1067039766u, 1066859211u, 1066678687u,
        1066498193u, 1066317730u, 1066137297u, 1065956895u, 1065776523u, 1065596182u, 1065415871u, 1065235591u,
        1065055341u, 1064875122u, 1064694933u, 1064514775u, 1064334647u, 1064154550u, 1063974484u, 1063794447u,
        1063614442u, 1063434466u, 1063254521u, 1063074607u, 1062894723u, 1062714869u, 1062535046u, 1062355254u,
    },
    {
        1073741824u, 1073738985u, 1073736146u, 1073733307u, 1073730468u, 1073727628u, 1073724789u, 1073721950u,
        1073719111u, 1073716272u, 1073713433u, 1073710594u, 1073707755u, 1073704916u, 1073702077u, 1073699238u,
        1073696399u, 1073693560u, 1073690721u, 1073687882u, 1073685043u, 1073682204u, 1073679365u, 1073676526u,
        1073673687u, 1073670848u, 1073668009u, 1073665170u, 1073662331u, 1073659492u, 1073656653u, 1073653815u,
        1073650976u, 1073648137u, 1073645298u, 1073642459u, 1073639620u, 1073636781u, 1073633942u, 1073631104u,
        1073628265u, 1073625426u, 1073622587u, 1073619748u, 1073616910u, 1073614071u, 1073611232u, 1073608393u,
        1073605554u, 1073602716u, 1073599877u, 1073597038u, 1073594199u, 1073591361u, 1073588522u, 1073585683u,
        1073582844u, 1073580006u, 1073577167u, 1073574328u, 1073571490u, 1073568651u, 1073565812u, 1073562974u,
    },
    {
        1073741824u, 1073741780u, 1073741735u, 1073741691u, 1073741647u, 1073741602u, 1073741558u, 1073741513u,
        1073741469u, 1073741425u, 1073741380u, 1073741336u, 1073741292u, 1073741247u, 1073741203u, 1073741159u,
        1073741114u, 1073741070u, 1073741025u, 1073740981u, 1073740937u, 1073740892u, 1073740848u, 1073740804u,
        1073740759u, 1073740715u, 1073740671u, 1073740626u, 1073740582u, 1073740538u, 1073740493u, 1073740449u,
        1073740404u, 1073740360u, 1073740316u, 1073740271u, 1073740227u, 1073740183u, 1073740138u, 1073740094u,
        1073740050u, 1073740005u, 1073739961u, 1073739916u, 1073739872u, 1073739828u, 1073739783u, 1073739739u,
        1073739695u, 1073739650u, 1073739606u, 1073739562u, 1073739517u, 1073739473u, 1073739428u, 1073739384u,
        1073739340u, 1073739295u, 1073739251u, 1073739207u, 1073739162u, 1073739118u, 1073739074u, 1073739029u,
    },
};

/* e^-(difference / (count 2^FRACTION)), units of 2^-30; difference >= 0 */
static uint32_t power(int64_t difference, uint32_t count)
{
    if (difference >= (int64_t)count << (FRACTION + 5)) /* e^-32 < 2^-46 */
        return 0;
    uint64_t distance = ((uint64_t)difference << (26 - FRACTION)) / count;
    uint32_t exponent = (uint32_t)(distance * LOG2_E >> 32); /* of two, units of 2^-24 */
    uint64_t result = powers[0][exponent >> 18 & 63];
    for (unsigned i = 1; i < 4; i++)
        result = (result * powers[i][exponent >> (18 - 6 * i) & 63] + ((uint64_t)1 << 29)) >> 30;
    return (uint32_t)(result >> (exponent >> 24));
}

void kws_detector_reset(kws_detector *detector)
{
    memset(detector->recent, 0, KWS_WINDOW * KWS_CLASSES * sizeof *detector->recent);
    memset(detector->sums, 0, KWS_CLASSES * sizeof *detector->sums);
    memset(detector->scores, 0, KWS_CLASSES * sizeof *detector->scores);
    memset(detector->low, 0, KWS_CLASSES * sizeof *detector->low);
    for (unsigned k = 0; k < KWS_CLASSES; k++)
        detector->fired[k] = NEVER;
    detector->frames = 0;
    detector->events = 0;
    detector->at = 0;
}

/* Scores from the sums of logits; returns the class with the greatest, of equal ones the first. */
static unsigned score(kws_detector *detector, uint32_t count)
{
    unsigned best = 0;
    int64_t top = detector->sums[0];
    uint64_t total = 0;
    uint32_t left = (uint32_t)1 << 24;
    for (unsigned k = 1; k < KWS_CLASSES; k++)
        if (detector->sums[k] > top)
            top = detector->sums[k];
    for (unsigned k = 0; k < KWS_CLASSES; k++) {
        detector->scores[k] = power(top - detector->sums[k], count);
        total += detector->scores[k];
        if (detector->scores[k] > detector->scores[best])
            best = k;
    }
    for (unsigned k = 0; k < KWS_CLASSES; k++) {
        detector->scores[k] = (uint32_t)(((uint64_t)detector->scores[k] << 24) / total);
        left -= detector->scores[k];
    }
    detector->scores[best] += left; /* what rounding has left: the sum is 1 */
    return best;
}

int kws_detector_step(kws_detector *detector, const kws_sum *logits,
                      kws_event *event)
{
    kws_sum *slot = &detector->recent[detector->at * KWS_CLASSES];
    int64_t frame = ++detector->frames;
    uint32_t count = frame < KWS_WINDOW ? (uint32_t)frame : KWS_WINDOW;

    for (unsigned k = 0; k < KWS_CLASSES; k++) {
        kws_sum logit = logits[k] >> FINER;
        detector->sums[k] += (int64_t)logit - slot[k];
        slot[k] = logit;
    }
    detector->at = (uint16_t)((detector->at + 1) % KWS_WINDOW);

    unsigned best = score(detector, count);
    for (unsigned k = 0; k < KWS_CLASSES; k++)
        if (detector->scores[k] < kws_rearms[k])
            detector->low[k] = frame;

    event->keyword = KWS_NONE;
    if (detector->scores[best] < kws_thresholds[best] ||
        detector->low[best] <= detector->fired[best] || frame <= KWS_WARMUP ||
        frame < detector->fired[best] + KWS_REFRACTORY)
        return 0;
    int64_t start = detector->low[best] * KWS_FRAME_MS - KWS_ONSET_MS;
    event->keyword = (int)best;
    event->score = detector->scores[best];
    event->time_ms = (uint64_t)frame * KWS_FRAME_MS;
    event->start_ms = start > 0 ? (uint64_t)start : 0;
    event->index = detector->events++;
    detector->fired[best] = frame;
    return 1;
}
