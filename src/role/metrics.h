/* metrics.h: the numbers of the house as GET /metrics tells them: Prometheus's text format 0.0.4, by the table metrics.def. */
#ifndef ROLE_METRICS_H
#define ROLE_METRICS_H

#include "base/buf.h"
#include "base/histogram.h"

#include <jansson.h>

/* Of one EACH: what is over is left out. Processes are few, so that this bounds the answer. */
#define METRICS_EACH_MAX 100

/* rows: an array of objects, one a process, as `posthouse status` prints them. What in them is not of the form that it should be is left
 * out; whatever is in them, the text is well formed. */
void metrics_put(const json_t *rows, struct buf *out);
/* A histogram as it is in such a row: {counts, sum_us}. */
json_t *metrics_times(const struct histogram *h);

#endif
