/* move.h: moving mail: from a source (another server's IMAP, a Maildir, an mbox file, a directory of messages) into an account
 * (move_in.c), and out of an account to a target (move_out.c). All of it runs in the process of the operator who asked for it,
 * which reads what strangers wrote and has no file of the house; the account's mail it reaches over a connection to the account's
 * desk (imap_move_in.c). Runs on fibers; files are read and written in place.
 *
 * Errors: those of a message or folder are told to the report and passed over; those of a connection are tried again; what
 * cannot go on ends it. */
#ifndef MOVE_MOVE_H
#define MOVE_MOVE_H

#include "move/move_client.h"

#define MOVE_SOURCE_BYTES STORE_ID_BYTES
/* Messages that are looked at together. */
#define MOVE_BATCH 200

/* ---- what is told ------------------------------------------------------------------------------------------------- */

struct move_counts {
	uint64_t seen;    /* messages that are there */
	uint64_t moved;   /* that were brought by this run */
	uint64_t known;   /* that had been before */
	uint64_t dropped; /* that went here because they went there */
	uint64_t damaged; /* that could not be brought: each has been told */
};
struct move_report {
	void *arg;
	/* A message, or with an empty `which` a folder, that cannot be moved, and why. */
	void (*damage)(void *arg, struct slice folder, struct slice which, struct slice why);
	/* A folder is done. kept: it has the UIDVALIDITY and UIDs that it had there. */
	void (*folder)(void *arg, struct slice there, struct slice here, const struct move_counts *n, bool kept);
	/* Something that whoever waits may like to know. */
	void (*note)(void *arg, struct slice text);
};

/* Tells that the message cannot be moved, and counts it. */
struct move_message;
void move_tell(const struct move_report *r, struct move_counts *n, struct slice folder, const struct move_message *m,
    struct slice why);

/* ---- sources ---------------------------------------------------------------------------------------------------------- */

struct move_folder {
	struct slice name; /* ours */
	struct slice raw;  /* the source's own */
	enum store_role role;
	bool subscribed;
};
struct move_opened {
	uint32_t uidvalidity; /* 0: none that can be carried on */
	uint32_t uidnext;
	uint8_t source[MOVE_SOURCE_BYTES];
	bool complete; /* numbers ascend, and what is not listed is gone: others may be dropped */
};
struct move_message {
	uint8_t source[MOVE_SOURCE_BYTES];
	int64_t number; /* what it is known by in `source` */
	uint32_t uid;   /* 0: none */
	uint8_t flags;
	struct slice_list keywords;
	int64_t internal_s; /* INT64_MIN: unknown */
	uint64_t place;     /* the source's own: a sequence number, an offset */
	struct slice file;  /* the source's own */
};
/* A body has arrived: of v[i]. Not 0 ends the reading. */
typedef int move_take_fn(void *arg, size_t i, struct move_body *b);
struct move_source {
	void *of;
	/* Connects, or looks whether it is there. */
	int (*begin)(void *of);
	int (*folders)(void *of, struct arena *a, struct move_folder **v, size_t *n);
	int (*open)(void *of, const struct move_folder *f, struct move_opened *o);
	/* The next messages of the open folder, at most MOVE_BATCH; *n is 0 at the end. *lost: how many could not be told. */
	int (*next)(void *of, struct arena *a, struct move_message *v, size_t *n, size_t *lost);
	/* Their bodies, in any order; those that cannot be had are left out. */
	int (*bodies)(
	    void *of, const struct move_message *v, size_t n, struct move_body *b, move_take_fn *take, void *arg);
	/* The last failure in words. */
	struct slice (*words)(void *of);
	/* Lets go of what begin() took; it may begin again. */
	void (*end)(void *of);
	void (*free)(void *of);
};

/* Another server. `s` and what it points to must outlive the source. */
NODISCARD int move_imap_source(
    struct loop *l, const struct limits *limits, const struct move_server *s, struct move_source *out);
/* A Maildir with its subfolders (Maildir++), an mbox file or a folder of them, a folder of messages: below `path`. */
NODISCARD int move_maildir_source(const struct limits *limits, const char *path, struct move_source *out);
NODISCARD int move_mbox_source(const struct limits *limits, const char *path, struct move_source *out);
NODISCARD int move_eml_source(const struct limits *limits, const char *path, struct move_source *out);

/* 16 bytes that stand for the words: of a source. */
void move_source_id(uint8_t out[MOVE_SOURCE_BYTES], struct slice_list words);
/* A number of 62 bits from a hash. */
int64_t move_number_of(const uint8_t hash[32]);

/* ---- the account ------------------------------------------------------------------------------------------------------ */

struct move_account {
	void *arg;
	/* A new connection to the account's desk: *fd, or an error (told to the report). Blocks. */
	int (*connect)(void *arg, int *fd);
};

/* A batch of messages on their way to the account: those that fit in memory go together. */
#define MOVE_TOGETHER 32
#define MOVE_TOGETHER_BYTES ((size_t)2 << 20)
struct move_house {
	struct move_client c;
	struct slice mailbox;
	struct move_report *report;
	struct move_counts *n;
	struct arena arena; /* of the messages that wait */
	struct move_message waiting[MOVE_TOGETHER];
	struct slice bodies[MOVE_TOGETHER];
	size_t waiting_n, waiting_bytes;
	bool keep_uids;
};
NODISCARD int move_house_open(
    struct move_house *h, struct loop *l, const struct limits *limits, struct move_account *a);
void move_house_close(struct move_house *h);
/* Finds or makes the mailbox for a folder of that name and role, subscribed if `subscribed`: h->mailbox, in `a`. */
NODISCARD int move_house_mailbox(struct move_house *h, const struct move_folder *f, struct arena *a);
/* store_mailbox_adopt(), where the folder has UIDs; selects the mailbox unless `done`. */
NODISCARD int move_house_adopt(struct move_house *h, const struct move_opened *o, bool done);
/* Which of v[0..n-1], all of one source, are missing here: missing[i]. lo..hi with `drop`: what else of this range came here goes. */
NODISCARD int move_house_check(
    struct move_house *h, const struct move_message *v, size_t n, bool drop, int64_t lo, int64_t hi, bool *missing);
/* Adds a message; it may wait until move_house_flush(). */
NODISCARD int move_house_put(struct move_house *h, const struct move_message *m, struct move_body *b);
NODISCARD int move_house_flush(struct move_house *h);

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

struct move_in {
	struct loop *loop;
	const struct limits *limits;
	struct move_report report;
	struct move_account account;
	/* A new one for each connection that works: 0 or an error. */
	int (*source)(void *arg, struct move_source *out);
	void *source_arg;
	size_t connections;
	bool drop;              /* what went there goes here */
	struct slice into;      /* everything into this mailbox; empty: each folder into its own */
	struct slice_list only; /* folders by our names; empty: all */
	/* results */
	struct move_counts counts;
	size_t folders, folders_failed;
	int err; /* why nothing could be done */
};
/* On a fiber. 0 when every folder was gone through, whatever was found damaged. */
NODISCARD int move_in_run(struct move_in *m);

#endif
