/* report.h: what a report comes to that others sent us about our domains: the values of a stranger, each made sound or left out, and rows in
 * bounded number. Filled by report_dmarc.c, report_tls.c and report_failure.c; readers only. */
#ifndef READER_REPORT_H
#define READER_REPORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "bus/values.h"

#include <stdarg.h>

#define REPORT_COUNT_MAX 1000000000 /* of one row */
#define REPORT_ROW_DETAIL_MAX 2000  /* bytes */
#define REPORT_POLICY_MAX 4000      /* bytes */

/* As the lists of reader_report in bus/messages.def. */
struct report_row {
	struct slice domain, source;
	int64_t count;
	struct slice outcome, means, who, detail;
};

struct report {
	const struct limits *limits;
	struct arena *a;
	uint64_t salt; /* for hash tables of libraries */
	enum bus_report kind;
	struct slice organisation, contact, id, domain;
	int64_t begin_s, end_s;
	struct buf policy;  /* lines `name=value` */
	struct buf problem; /* a sentence: why it cannot be read */
	struct report_row *rows;
	size_t n, cap, merged; /* merged: the last ones, which are sums */
	size_t bytes;
	int64_t skipped; /* rows that were not sound */
};

/* Results lie in the arena. */
void report_begin(struct report *r, const struct limits *l, struct arena *a, uint64_t salt);
void report_free(struct report *r);
#define REPORT_CLEANUP __attribute__((cleanup(report_free)))
/* Forgets what was found; keeps the problem. */
void report_reset(struct report *r);

/* Says why the report cannot be read: returns ERR_INVALID. The first reason stays. */
NODISCARD int report_refuse(struct report *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Adds a row, whose texts are copied. Past limits.report_rows or report_row_bytes it is added to a row of the same outcome and means without
 * source. A count that is not 1 to REPORT_COUNT_MAX: skipped. 0, or ERR_NOMEM. */
NODISCARD int report_add(struct report *r, const struct report_row *row);

/* A stranger's value as one line of valid UTF-8: control characters are spaces, the ends are trimmed, at most limits.report_text_bytes. */
struct slice report_text(const struct report *r, struct slice raw);
/* A domain in lower-case A-labels, or empty when it is none. */
struct slice report_domain(const struct report *r, struct slice raw);
/* An IP address in its usual form, or empty. */
struct slice report_address(const struct report *r, struct slice raw);
/* Appends "name=value\n" unless the value is empty or the line no longer fits. */
void report_put(const struct report *r, struct buf *lines, const char *name, struct slice value);
/* Seconds since 1970 of a number or of a date of RFC 3339; 0 when it is neither, or not of the years 2000 to 2200. */
int64_t report_time(struct slice raw);

#endif
