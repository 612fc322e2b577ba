/* Preloaded into a node: makes syncs fail, take long or do nothing, and moves the wall clock, as the file says
   that CHAOS_CONTROL names. The harness writes that file; this maps it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
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

static int sync_as_told(long call, int file) {
  struct control *now = control;
  if (now && now->slow_sync_ms > 0) {
    struct timespec pause = {now->slow_sync_ms / 1000, now->slow_sync_ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
  }
  if (now && now->fail_sync) {
    now->failed++;
    errno = EIO;
    return -1;
  }
  if (now && now->lie) return 0;
  return (int)syscall(call, file);
}

int fsync(int file) { return sync_as_told(SYS_fsync, file); }
int fdatasync(int file) { return sync_as_told(SYS_fdatasync, file); }

int clock_gettime(clockid_t clock, struct timespec *time) {
  if (!real_gettime) *(void **)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real_gettime(clock, time);
  if (result == 0 && clock == CLOCK_REALTIME && control) time->tv_sec += control->wall_ms / 1000;
  return result;
}
