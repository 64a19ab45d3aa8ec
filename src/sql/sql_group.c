/* sql_group.c: group commit. One thread writes: it takes all jobs that wait, runs them in one transaction, each in
 * a savepoint of its own, commits once, and wakes their fibers through the loop. While it commits, the next jobs
 * gather. A second thread with a second connection reads.
 *
 * A job that fails is rolled back alone. When its error has ended the whole transaction (disk full, I/O), the
 * others run again without it. When the commit fails, all get its error. */
#include "sql/sql_engine.h"

#include <signal.h>

/* What waits longest is served; more than this at once would make one commit slow for all. */
#define BATCH_MAX 256

#ifdef POSTHOUSE_SANITIZED
#define THREAD_STACK_BYTES ((size_t)4 << 20)
#else
#define THREAD_STACK_BYTES ((size_t)512 << 10)
#endif

/* On the loop's thread: the callers of a chain of jobs go on. A job's memory is its fiber's stack and may be gone
 * as soon as the fiber runs. */
static void
wake_jobs(void *arg)
{
	struct sql_job *next;

	for (struct sql_job *j = arg; j != NULL; j = next) {
		next = j->next;
		j->woken = true;
		fiber_wake(j->fiber);
	}
}

static void
post_jobs(struct sqldb *db, struct sql_job *first)
{
	first->post = (struct loop_job){.fn = wake_jobs, .arg = first};
	loop_post(db->loop, &first->post);
}

/* Runs the unfinished jobs in the open transaction. *again: one ended the transaction; the rest must run again. */
static int
run_jobs(struct sqldb *db, struct sql_job *first, bool *wrote, bool *again)
{
	const struct sql_engine *e = db->engine;
	bool alone = first->next == NULL;
	int err;

	*wrote = *again = false;
	for (struct sql_job *j = first; j != NULL; j = j->next) {
		if (j->finished)
			continue;
		err = alone ? 0 : e->savepoint(db->writer);
		if (err != 0)
			return err;
		j->result = sql_call(db, db->writer, true, j->fn, j->arg);
		if (!e->in_transaction(db->writer)) {
			if (j->result >= 0)
				j->result = ERR_IO;
			j->finished = true;
			*again = true;
			return 0;
		}
		if (j->result >= 0) {
			*wrote = true;
			err = alone ? 0 : e->release(db->writer);
		} else {
			j->finished = true;
			err = alone ? 0 : e->rollback_to(db->writer);
		}
		if (err != 0)
			return err;
	}
	return 0;
}

/* One transaction for the batch; every job has its result afterwards. */
static void
run_batch(struct sqldb *db, struct sql_job *first)
{
	const struct sql_engine *e = db->engine;
	bool wrote, again = true;
	int err = 0;

	while (again && err == 0) {
		err = sqldb_failed(db);
		if (err == 0)
			err = e->begin(db->writer, true);
		if (err != 0)
			break;
		err = run_jobs(db, first, &wrote, &again);
		if (err != 0 || again || !wrote)
			e->rollback(db->writer);
		else
			err = e->commit(db->writer);
	}
	(void)sql_note_error(db, db->writer, err);
	for (struct sql_job *j = first; err != 0 && j != NULL; j = j->next)
		if (!j->finished)
			j->result = err;
}

/* The waiting jobs, at most `max`, as a chain; NULL: the thread shall end. */
static struct sql_job *
take_jobs(struct sql_thread *t, size_t max)
{
	struct sql_job *first, *end;

	pthread_mutex_lock(&t->lock);
	while (t->first == NULL && !t->stop)
		pthread_cond_wait(&t->wake, &t->lock);
	first = end = t->first;
	for (size_t n = 1; end != NULL && end->next != NULL && n < max; n++)
		end = end->next;
	if (end != NULL) {
		t->first = end->next;
		end->next = NULL;
		if (t->first == NULL)
			t->last = &t->first;
	}
	pthread_mutex_unlock(&t->lock);
	return first;
}

static void
put_job(struct sql_thread *t, struct sql_job *j)
{
	pthread_mutex_lock(&t->lock);
	*t->last = j;
	t->last = &j->next;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
}

/* On the writer's thread, after a commit was answered. Most of a checkpoint is the reader's, and commits go on meanwhile; what came meanwhile
 * is little, and after it the log can begin anew. None when a sync has failed on either connection: another would only bring a false yes, and what
 * is copied then may not be what was written. */
static void
tidy(struct sqldb *db)
{
	const struct sql_engine *e = db->engine;

	if (sqldb_failed(db) != 0)
		return;
	if (atomic_exchange(&db->checkpoint.done, false)) {
		db->checkpoint.asked = false;
		(void)sql_note_error(db, db->writer, e->checkpoint(db->writer));
	} else if (!db->checkpoint.asked && e->checkpoint_due(db->writer)) {
		db->checkpoint.asked = true;
		db->checkpoint.job = (struct sql_job){0};
		put_job(&db->read_thread, &db->checkpoint.job);
	}
}

static void *
write_main(void *arg)
{
	struct sqldb *db = arg;
	struct sql_job *first;

	while ((first = take_jobs(&db->write_thread, BATCH_MAX)) != NULL) {
		run_batch(db, first);
		post_jobs(db, first);
		tidy(db);
	}
	return NULL;
}

static void *
read_main(void *arg)
{
	struct sqldb *db = arg;
	struct sql_job *j;

	while ((j = take_jobs(&db->read_thread, 1)) != NULL) {
		if (j == &db->checkpoint.job) {
			if (sqldb_failed(db) == 0)
				(void)sql_note_error(db, db->reader, db->engine->checkpoint(db->reader));
			atomic_store(&db->checkpoint.done, true);
			continue;
		}
		j->result = sql_run_read(db, db->reader, j->fn, j->arg);
		post_jobs(db, j);
	}
	return NULL;
}

/* ---- the fibers' side -------------------------------------------------------------------------------- */

static int
run_on(struct sqldb *db, struct sql_thread *t, sql_fn *fn, void *arg)
{
	struct sql_job job = {.fn = fn, .arg = arg, .fiber = fiber_self(db->loop)};
	struct loop *loop = db->loop; /* the database may be closed while we wait */

	ASSERT(db->started && job.fiber != NULL);
	put_job(t, &job);
	while (!job.woken)
		fiber_park_always(loop);
	return job.result;
}

int
sql_write(struct sqldb *db, sql_fn *fn, void *arg)
{
	return run_on(db, &db->write_thread, fn, arg);
}

int
sql_read(struct sqldb *db, sql_fn *fn, void *arg)
{
	return run_on(db, &db->read_thread, fn, arg);
}

/* ---- starting and ending ---------------------------------------------------------------------------------- */

static int
thread_start(struct sql_thread *t, void *(*entry)(void *), struct sqldb *db, const char *name)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc;

	t->last = &t->first;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->wake, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
	sigfillset(&all); /* signals belong to the loop */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&t->thread, &attr, entry, db);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		return err_from_errno(rc);
	t->running = true;
	pthread_setname_np(t->thread, name);
	return 0;
}

static void
thread_stop(struct sql_thread *t)
{
	if (!t->running)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	t->running = false;
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
}

int
sql_group_start(struct sqldb *db)
{
	int err = thread_start(&db->write_thread, write_main, db, "sql-write");

	if (err == 0)
		err = thread_start(&db->read_thread, read_main, db, "sql-read");
	db->started = err == 0;
	if (err != 0)
		sql_group_stop(db);
	return err;
}

void
sql_group_stop(struct sqldb *db)
{
	thread_stop(&db->write_thread);
	thread_stop(&db->read_thread);
	db->started = false;
}
