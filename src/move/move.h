/* move.h: moving mail from a source to a target (move_run.c): an account of the house is one of them, the other is another server's IMAP, a
 * Maildir, an mbox file or a folder of messages. All of it runs in the process of the operator who asked for it,
 * which reads what strangers wrote and has no file of the house; the account's mail it reaches over a connection to its desk
 * (imap_move_in.c). Runs on fibers; files are read and written in place.
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
	uint64_t modseq; /* the highest; 0: none that is known */
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
	uint32_t size;      /* as the source says; 0: unknown */
	uint64_t print;     /* of a house's message: a hash of its date, size and Message-ID */
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
NODISCARD int move_imap_source(struct loop *l, const struct limits *limits, const struct move_server *s,
    const struct move_scratch *scratch, struct move_source *out);
/* A Maildir with its subfolders (Maildir++), an mbox file or a folder of them, a folder of messages: below `path`. All are lent
 * `scratch`, as a struct move_body is. */
NODISCARD int move_maildir_source(
    const struct limits *limits, const char *path, const struct move_scratch *scratch, struct move_source *out);
NODISCARD int move_mbox_source(
    const struct limits *limits, const char *path, const struct move_scratch *scratch, struct move_source *out);
NODISCARD int move_eml_source(
    const struct limits *limits, const char *path, const struct move_scratch *scratch, struct move_source *out);

/* 16 bytes that stand for the words: of a source. */
void move_source_id(uint8_t out[MOVE_SOURCE_BYTES], struct slice_list words);
/* A number of 62 bits from a hash. */
int64_t move_number_of(const uint8_t hash[32]);
/* "(\\Seen Work)" */
void move_put_flags(struct buf *out, const struct move_message *m);
/* What a message is told by on a server that keeps no UIDs of ours, from an answer to INTERNALDATE, RFC822.SIZE and this. */
#define MOVE_PRINT_ITEM "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"
uint64_t move_print(const struct move_answer *a);

/* ---- targets ---------------------------------------------------------------------------------------------------------- */

/* A struct move_counts and a report are lent to it from begin() to end(). What a target cannot take of a message it tells and counts
 * there, and goes on. */
struct move_target {
	void *of;
	int (*begin)(void *of, const struct move_report *r, struct move_counts *n);
	/* Finds or makes the place for a folder: *there is its name, in `a`; *kept: UIDVALIDITY and UIDs are kept in it. */
	int (*open)(void *of, const struct move_folder *f, const struct move_opened *o, struct arena *a,
	    struct slice *there, bool *kept);
	/* Which of v[0..n-1], all of one source, have never come there: missing[i]; of the others the flags are brought up to date. With
	 * `drop`, what else came from numbers lo..hi goes. */
	int (*check)(
	    void *of, const struct move_message *v, size_t n, bool drop, int64_t lo, int64_t hi, bool *missing);
	/* Adds a message; it may wait until flush(). */
	int (*put)(void *of, const struct move_message *m, struct move_body *b);
	int (*flush)(void *of);
	/* The folder has been gone through. */
	int (*close)(void *of);
	struct slice (*words)(void *of);
	/* Lets go of what begin() took; it may begin again. */
	void (*end)(void *of);
	void (*free)(void *of);
};

/* A way to an account of the house. */
struct move_account {
	void *arg;
	/* A new connection to the account's desk: *fd, or an error (told to whoever waits). Blocks. */
	int (*connect)(void *arg, int *fd);
};
NODISCARD int move_house_target(
    struct loop *l, const struct limits *limits, const struct move_account *a, struct move_target *out);
NODISCARD int move_house_source(struct loop *l, const struct limits *limits, const struct move_account *a,
    const struct move_scratch *scratch, struct move_source *out);

/* Another server: what is there already is told by its date, size and Message-ID. */
NODISCARD int move_imap_target(
    struct loop *l, const struct limits *limits, const struct move_server *s, struct move_target *out);
/* A Maildir++ that Dovecot can go on with: UIDs and keywords in its own files. It is made where it is missing; messages that were
 * written before get their flags of today. */
NODISCARD int move_maildir_target(const struct limits *limits, const char *path, struct move_target *out);
/* NAME.mbox for each folder, written anew; flags in Status, X-Status and X-Keywords. */
NODISCARD int move_mbox_target(const struct limits *limits, const char *path, struct move_target *out);
/* NAME/UID.eml; flags are lost. */
NODISCARD int move_eml_target(const struct limits *limits, const char *path, struct move_target *out);

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

struct move_run {
	struct loop *loop;
	const struct limits *limits;
	struct move_report report;
	/* New ones for each connection that works: 0 or an error. */
	int (*source)(void *arg, struct move_source *out);
	int (*target)(void *arg, struct move_target *out);
	void *arg;
	const struct move_scratch *scratch; /* for bodies */
	size_t connections;
	bool drop;              /* what went at the source goes at the target */
	struct slice into;      /* everything into this folder; empty: each into its own */
	struct slice_list only; /* folders by our names; empty: all */
	/* results */
	struct move_counts counts;
	size_t folders, folders_failed;
	int err; /* why it could not go on */
};
/* On a fiber. 0 when every folder was gone through, whatever was found damaged. */
NODISCARD int move_run(struct move_run *m);

#endif
