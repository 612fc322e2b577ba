/* Cuts the power of an ext4 file system: nothing that was not synced gets to its device any more, its
   journal included, and all further calls fail. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define WITHOUT_FLUSHING_THE_LOG 2

int main(int count, char **words) {
  uint32_t how = WITHOUT_FLUSHING_THE_LOG;
  int file = count == 2 ? open(words[1], O_RDONLY) : -1;
  if (file < 0 || ioctl(file, EXT4_IOC_SHUTDOWN, &how) != 0) {
    perror("EXT4_IOC_SHUTDOWN");
    return 1;
  }
  return 0;
}
