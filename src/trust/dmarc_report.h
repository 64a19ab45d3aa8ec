/* dmarc_report.h: aggregate reports (RFC 9990): what is remembered of a checked message, and the report that its author's domain gets of
 * a day.
 *
 * Gates count messages that are alike. What they have in common is a row: lines `name=value`, of which the same message always makes
 * the same. So is what the domain had published then: one report is about one policy (§3.3). */
#ifndef TRUST_DMARC_REPORT_H
#define TRUST_DMARC_REPORT_H

#include "trust/assess.h"

#define DMARC_ROW_BYTES_MAX 4096
#define DMARC_REPORT_SIGNATURES_MAX 10 /* of one row */

/* Is there a domain that wants to hear of it? */
bool dmarc_report_wanted(const struct assessment *r);
/* The lines of a row and of a policy. */
void dmarc_report_put_row(const struct assess_question *q, const struct assessment *r, struct buf *out);
void dmarc_report_put_policy(const struct dmarc_result *d, struct buf *out);
/* The addresses of the record to which reports go: those of other organisations only when these agree (§4). Asks DNS. 0; ERR_UNAVAILABLE: it
 * did not answer; ERR_NOMEM, ERR_CANCELLED. */
NODISCARD int dmarc_report_destinations(const struct trust_dns *dns, struct arena *a, struct slice policy_domain,
    struct slice_list addresses, struct slice_list *out);

struct dmarc_report_row {
	struct slice text;
	int64_t count;
};

struct dmarc_report {
	struct slice organisation, email; /* who reports */
	struct slice id;
	struct slice domain; /* about whom */
	struct slice policy; /* lines */
	int64_t begin_s, end_s;
	const struct dmarc_report_row *rows;
	size_t rows_n;
};

/* Writes the XML file. Rows that are not sound are left out; how many were written is returned. Errors are out->err. */
size_t dmarc_report_put_xml(const struct dmarc_report *r, struct buf *out);

#endif
