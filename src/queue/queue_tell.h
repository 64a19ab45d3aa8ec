/* queue_tell.h: rows of the queue in words and as JSON. Pure: golden files hold the wording (queue_tell_test.c). */
#ifndef QUEUE_QUEUE_TELL_H
#define QUEUE_QUEUE_TELL_H

#include "queue/queue_private.h"

/* Words for people and for --json. */
const char *tell_history_kind(int64_t kind);
const char *tell_origin(int64_t origin);

/* "Received from mail.a.test [127.0.0.1] over TLSv1.3 …" */
struct slice tell_received(struct arena *a, const struct row_message *m);
/* An alias led elsewhere; empty when none did. */
struct slice tell_expanded(struct arena *a, const struct row_rcpt *r);
/* How it ended, or what it waits for. */
struct slice tell_rcpt(struct arena *a, const struct row_rcpt *r);
/* Why an attempt came to nothing for now, and when the next one is. */
struct slice tell_deferred(struct arena *a, struct slice host, struct slice code, struct slice status,
    struct slice reply, int64_t reply_class, int64_t next_us);
/* A history row: "bob@b.test: mx.b.test [127.0.0.1] said 451 …". */
struct slice tell_history(struct arena *a, struct slice recipient, int64_t kind, struct slice detail);

struct json_t *tell_message_json(struct arena *a, const struct row_message *m);
/* `state` in words: pending, in-flight, delivered-not-durable, deferred, held, delivered, sent, failed, removed. */
struct json_t *tell_rcpt_json(struct arena *a, const struct row_rcpt *r, const char *state);
void json_set_text(json_t *o, const char *key, struct arena *a, struct slice s);
void json_set_time(json_t *o, const char *key, int64_t us); /* nothing for 0 */

#endif
