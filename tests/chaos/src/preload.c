/* Preloaded into a node: makes syncs, and writes that are durable when they return, fail, take long or do
   nothing for it, and moves the wall clock, as the file says that CHAOS_CONTROL names. The harness writes that
   file, and reads in it how often each has happened; this maps it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct control {
  volatile int64_t wall_ms;
  volatile int64_t fail_sync;
  volatile int64_t slow_sync_ms;
  volatile int64_t failed;
  volatile int64_t lie;
  volatile int64_t slowed;
  volatile int64_t moved;
};

static struct control *control;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CHAOS_CONTROL");
  int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped != MAP_FAILED) control = mapped;
}

/* Takes as long as it is to take, and says whether it is to fail. */
static int fails_as_told(void) {
  struct control *now = control;
  if (now && now->slow_sync_ms > 0) {
    struct timespec pause = {now->slow_sync_ms / 1000, now->slow_sync_ms % 1000 * 1000000};
    now->slowed++;
    nanosleep(&pause, NULL);
  }
  if (!now || !now->fail_sync) return 0;
  now->failed++;
  return 1;
}

static int sync_as_told(long call, int file) {
  if (fails_as_told()) {
    errno = EIO;
    return -1;
  }
  if (control && control->lie) return 0;
  return (int)syscall(call, file);
}

/* To the cache alone, from which it may be lost. */
static ssize_t write_to_cache(int file, const void *bytes, size_t count, off_t offset) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  int cached = open(path, O_WRONLY | O_CLOEXEC);
  if (cached < 0) return -1;
  ssize_t written = syscall(SYS_pwrite64, cached, bytes, count, offset);
  int error = errno;
  close(cached);
  errno = error;
  return written;
}

static ssize_t write_as_told(int file, const void *bytes, size_t count, off_t offset) {
  if (!control || !(fcntl(file, F_GETFL) & O_DSYNC)) return syscall(SYS_pwrite64, file, bytes, count, offset);
  int fails = fails_as_told();
  ssize_t written;
  if (control->lie)
    written = write_to_cache(file, bytes, count, offset);
  else
    /* Of what fails, all or nothing may have come to the disk. */
    written = fails && control->failed % 2 ? 0 : syscall(SYS_pwrite64, file, bytes, count, offset);
  if (!fails) return written;
  errno = EIO;
  return -1;
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
  return write_as_told(file, bytes, count, offset);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
  return write_as_told(file, bytes, count, offset);
}

int fsync(int file) { return sync_as_told(SYS_fsync, file); }
int fdatasync(int file) { return sync_as_told(SYS_fdatasync, file); }

int clock_gettime(clockid_t clock, struct timespec *time) {
  if (!real_gettime) *(void **)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real_gettime(clock, time);
  if (result == 0 && clock == CLOCK_REALTIME && control && control->wall_ms) {
    time->tv_sec += control->wall_ms / 1000;
    control->moved++;
  }
  return result;
}
