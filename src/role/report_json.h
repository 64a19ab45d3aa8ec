/* report_json.h: reports of others as JSON: of the house's store, and of a file. */
#ifndef ROLE_REPORT_JSON_H
#define ROLE_REPORT_JSON_H

#include "bus/bus.h"

#include <jansson.h>

/* "dmarc", "tls", "failure", or "unreadable". */
const char *report_json_kind(enum bus_report kind);
/* Lines `name=value` as an array of texts. */
json_t *report_json_lines(struct slice lines);

/* One row, as the lists of reader_report in bus/messages.def. */
struct report_json_row {
	enum bus_report kind;
	struct slice domain, source;
	int64_t total;
	struct slice outcome, means, who, detail;
};
/* With the names that its columns have for this kind. */
json_t *report_json_row(const struct report_json_row *w);

#endif
