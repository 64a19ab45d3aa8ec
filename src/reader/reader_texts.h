/* reader_texts.h: what a reader does: strangers' texts (HTML, any charset, encoded words) become plain UTF-8. One request,
 * one reply (reader_texts of bus/messages.def), each as its coded bytes behind a 32-bit length. */
#ifndef READER_READER_TEXTS_H
#define READER_READER_TEXTS_H

#include "base/arena.h"
#include "base/limits.h"
#include "bus/bus.h"

/* How an input is read: "plain" in its charset; "html" in its charset, or the one that the document names; "words": a
 * header field's value with encoded words. */
#define READER_PLAIN SLICE("plain")
#define READER_HTML SLICE("html")
#define READER_WORDS SLICE("words")

/* Longest coded request and reply. */
#define READER_FRAME_MAX (64u << 20)

/* Fills the reply for the request; everything lies in `a`. texts has one for each input, cut at
 * limits.message_text_bytes; one that cannot be read (too deep a document, an unknown kind) is empty. Not on a fiber:
 * it needs a real stack. ERR_INVALID: the lists differ in length; ERR_LIMIT, ERR_NOMEM. */
NODISCARD int reader_texts(const struct limits *l, const struct bus_reader_texts_request *q, struct arena *a,
    struct bus_reader_texts_reply *reply);

#endif
