/* html_scan.h: the tags of an HTML document one after the other, as they stand there, without building a tree: what is asked
 * here is how the page is made, not what it says (reader/html_text.h). Linear, no memory. */
#ifndef SPAM_HTML_SCAN_H
#define SPAM_HTML_SCAN_H

#include "base/slice.h"

struct html_scan {
	struct slice in;
	size_t pos;
	size_t comments; /* passed so far */
};

struct html_tag {
	struct slice name; /* as written; empty for <!…> and <?…> */
	bool closing;      /* </…> */
	struct slice attributes;
	size_t at;  /* where its < is */
	size_t end; /* behind its > */
};

/* The next tag: false at the end. Comments are passed over, and what is inside script and style. */
bool html_next(struct html_scan *s, struct html_tag *t);
/* Cuts the next attribute off a tag's: false at the end. Values without their quotes; entities as they are. */
bool html_attribute(struct slice *attributes, struct slice *name, struct slice *value);

#endif
