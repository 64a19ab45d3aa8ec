/* extract_private.h: the parts of extraction (extract.c). */
#ifndef SPAM_EXTRACT_PRIVATE_H
#define SPAM_EXTRACT_PRIVATE_H

#include "spam/extract.h"
#include "spam/plain_text.h"

/* extract_words.c: words and neighbours of a text in its plain form. */
void extract_words(struct spam_features *f, enum spam_group words, enum spam_group pairs, struct slice plain);
/* extract_links.c: a link and, of HTML, what it is shown as. */
struct extract_links {
	struct arena *a;
	struct spam_features *f;
	struct slice from_domain; /* registrable, of the From field; or empty */
	size_t n, max;
	size_t foreign; /* to other domains than the sender's */
};
void extract_link(struct extract_links *l, const char *kind, struct slice link);
void extract_text_links(struct extract_links *l, struct slice text);
/* extract_html.c: tags, attributes, links of a page. */
void extract_html(struct extract_links *l, struct slice html);
/* extract_header.c: the fields of the message. `from` gets the From field's registrable domain. */
void extract_header(struct spam_extractor *x, const struct spam_message *m, const struct header *h,
    struct spam_features *f, struct slice *from);
/* A value's shape: runs of digits are 0, of letters a, what is longer than `max` ends in +. `out` has max + 2 bytes. */
size_t extract_shape(struct slice s, uint8_t *out, size_t max);

#endif
