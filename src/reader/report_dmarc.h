/* report_dmarc.h: a DMARC aggregate report (RFC 9990 appendix A, and the older form of RFC 7489 appendix C that most still send): XML, read in one
 * pass and never kept. A document type, entities, and what is too deep or has too many elements are refused. Elements that nobody knows are
 * passed over; namespaces do not matter; what may be missing is missing in reports of the world. */
#ifndef READER_REPORT_DMARC_H
#define READER_REPORT_DMARC_H

#include "reader/report.h"

struct report_dmarc;

/* ERR_NOMEM. */
NODISCARD int report_dmarc_new(struct report_dmarc **out, struct report *r);
void report_dmarc_free(struct report_dmarc **d);
#define REPORT_DMARC_CLEANUP __attribute__((cleanup(report_dmarc_free)))
/* The next piece of the XML, of any length: 0; ERR_INVALID with a problem; ERR_NOMEM. */
NODISCARD int report_dmarc_feed(struct report_dmarc *d, struct slice xml);
/* The report is complete: r->kind is REPORT_DMARC. Errors as before. */
NODISCARD int report_dmarc_end(struct report_dmarc *d);

#endif
