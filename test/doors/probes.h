/* probes.h: what a role that runs somebody else's code might try. */
#ifndef DOORS_PROBES_H
#define DOORS_PROBES_H

/* Where the probes find what they try: made before the role starts. */
struct doors {
	char data[256];    /* the house's data folder */
	char outside[256]; /* a folder that belongs to nobody's data */
	int parent;        /* the process that started the role */
	int port;          /* a TCP port on 127.0.0.1 that listens */
	char abstract[64]; /* name of an abstract socket that listens */
};

struct probe {
	const char *name;
	/* 0: what was tried went through; else the errno. May end the process. */
	int (*try)(const struct doors *d);
};
extern const struct probe probes[];
extern const int probes_count;

#endif
