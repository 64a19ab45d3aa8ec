/* failure_report.h: reports of single failures (RFC 9991, in the format of RFC 6591): whether the author's domain wants one of a message, and what it
 * says. They show no body, and of the header only what says how the message came to be signed and sent (RFC 6590): no recipients. */
#ifndef TRUST_FAILURE_REPORT_H
#define TRUST_FAILURE_REPORT_H

#include "trust/assess.h"

#define FAILURE_REPORT_BYTES_MAX 32768 /* of the fields, and of the header that is shown */

/* Does the record ask for a report of such a message (ruf=, fo=)? Never of a report. */
bool failure_report_wanted(const struct assess_question *q, const struct assessment *r);
/* The fields of the part message/feedback-report, with CRLF; version: of this program. SPF's record is asked for once more. Errors are out->err, and
 * ERR_NOMEM, ERR_CANCELLED. */
NODISCARD int failure_report_put_fields(
    const struct assess_question *q, const struct assessment *r, struct arena *a, const char *version, struct buf *out);
/* The fields of the message that may be shown, with CRLF. */
void failure_report_put_header(const struct assess_question *q, struct buf *out);

#endif
