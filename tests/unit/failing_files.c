// SPDX-License-Identifier: Apache-2.0
// A library for LD_PRELOAD that fails one call of the file system, once: the n-th of a kind that concerns a path below
// $FUZZ_ROOT, with an error number. fuzz_arm() sets which; fuzz_count() is how many there were since. The file
// $FUZZ_STATE, if there is one, is the state of all processes together.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kinds[] = { "open", "write", "fsync", "rename", "flock", "mkdir", "unlink" };
enum { OPEN, WRITE, FSYNC, RENAME, FLOCK, MKDIR, UNLINK, KINDS };
static struct state { long seen[KINDS], which; int kind_armed, error_armed; } own = { .which = -1, .kind_armed = -1 };
static struct state *state = &own;

int fuzz_arm(const char *kind, long n, int error)
{
	memset(state->seen, 0, sizeof(state->seen));
	state->kind_armed = -1;
	for (int i = 0; i < KINDS; i++)
		if (!strcmp(kinds[i], kind))
			state->kind_armed = i;
	state->which = n;
	state->error_armed = error;
	return state->kind_armed;
}

long fuzz_count(const char *kind)
{
	for (int i = 0; i < KINDS; i++)
		if (!strcmp(kinds[i], kind))
			return state->seen[i];
	return -1;
}

static int below(const char *path)
{
	const char *root = getenv("FUZZ_ROOT");

	return root && path && !strncmp(path, root, strlen(root));
}

static const char *of_fd(int fd, char *buffer, size_t size)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buffer, size - 1);
	if (n < 0)
		return NULL;
	buffer[n] = 0;
	return buffer;
}

static int concerns(int dir, const char *path)
{
	char buffer[4096];

	return path[0] == '/' ? below(path) : dir != AT_FDCWD && below(of_fd(dir, buffer, sizeof(buffer)));
}

static int fails(int kind, int concerned)
{
	if (!concerned)
		return 0;
	if (__atomic_add_fetch(&state->seen[kind], 1, __ATOMIC_SEQ_CST) != state->which || kind != state->kind_armed)
		return 0;
	errno = state->error_armed;
	return 1;
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))
#define MODE(last) \
	mode_t mode = 0; \
	if (flags & (O_CREAT | O_TMPFILE)) { \
		va_list more; \
		va_start(more, last); \
		mode = va_arg(more, mode_t); \
		va_end(more); \
	}

int open(const char *path, int flags, ...)
{
	MODE(flags)
	return fails(OPEN, concerns(AT_FDCWD, path)) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	MODE(flags)
	return fails(OPEN, concerns(AT_FDCWD, path)) ? -1 : REAL(open64)(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	MODE(flags)
	return fails(OPEN, concerns(dir, path)) ? -1 : REAL(openat)(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
	MODE(flags)
	return fails(OPEN, concerns(dir, path)) ? -1 : REAL(openat64)(dir, path, flags, mode);
}

ssize_t write(int fd, const void *data, size_t size)
{
	char buffer[4096];

	return fails(WRITE, below(of_fd(fd, buffer, sizeof(buffer)))) ? -1 : REAL(write)(fd, data, size);
}

int fsync(int fd)
{
	char buffer[4096];

	return fails(FSYNC, below(of_fd(fd, buffer, sizeof(buffer)))) ? -1 : REAL(fsync)(fd);
}

int flock(int fd, int how)
{
	char buffer[4096];

	return fails(FLOCK, below(of_fd(fd, buffer, sizeof(buffer)))) ? -1 : REAL(flock)(fd, how);
}

int rename(const char *from, const char *to)
{
	return fails(RENAME, concerns(AT_FDCWD, to)) ? -1 : REAL(rename)(from, to);
}

int mkdir(const char *path, mode_t mode)
{
	return fails(MKDIR, concerns(AT_FDCWD, path)) ? -1 : REAL(mkdir)(path, mode);
}

int unlink(const char *path)
{
	return fails(UNLINK, concerns(AT_FDCWD, path)) ? -1 : REAL(unlink)(path);
}

int unlinkat(int dir, const char *path, int flags)
{
	return fails(UNLINK, concerns(dir, path)) ? -1 : REAL(unlinkat)(dir, path, flags);
}

__attribute__((constructor)) static void share(void)
{
	const char *file = getenv("FUZZ_STATE");
	int fd = file ? REAL(open)(file, O_RDWR) : -1;
	void *shared;

	if (fd < 0)
		return;
	shared = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared != MAP_FAILED)
		state = shared;
}
