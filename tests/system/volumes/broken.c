/* Makes files whose names begin with "broken" fail with BROKEN_ERRNO, as a damaged disk, a security
   module or a file server does for single files; preload it. With BROKEN_TYPES listings have no
   types, as on file systems that keep none in their directories, so that each name is looked up.
   The files are whole again once the file that BROKEN_UNTIL names exists. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int is_broken(const char *path)
{
    const char *number = getenv("BROKEN_ERRNO"), *until = getenv("BROKEN_UNTIL");
    const char *name = path ? strrchr(path, '/') : NULL;
    if (!path || !number || strncmp(name ? name + 1 : path, "broken", 6))
        return 0;
    if (until && access(until, F_OK) == 0)
        return 0;
    errno = atoi(number);
    return 1;
}

int fstatat64(int directory, const char *path, struct stat64 *found, int flags)
{
    return is_broken(path) ? -1 : (REAL(fstatat64))(directory, path, found, flags);
}

int fstatat(int directory, const char *path, struct stat *found, int flags)
{
    return is_broken(path) ? -1 : (REAL(fstatat))(directory, path, found, flags);
}

int lstat64(const char *path, struct stat64 *found)
{
    return is_broken(path) ? -1 : (REAL(lstat64))(path, found);
}

int lstat(const char *path, struct stat *found)
{
    return is_broken(path) ? -1 : (REAL(lstat))(path, found);
}

struct dirent64 *readdir64(DIR *directory)
{
    struct dirent64 *found = (REAL(readdir64))(directory);
    if (found && getenv("BROKEN_TYPES"))
        found->d_type = DT_UNKNOWN;
    return found;
}
