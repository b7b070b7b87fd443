/* Says of each file whether programs read and map it where it lies in the machine's memory (DAX), or in copies of its pages. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct statx status;
        if (statx(AT_FDCWD, argv[i], 0, STATX_BASIC_STATS, &status) != 0) {
            perror(argv[i]);
            return 1;
        }
        printf("%s: %s\n", argv[i], status.stx_attributes & STATX_ATTR_DAX ? "in place" : "in copies");
    }
}
