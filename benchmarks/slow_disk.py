"""A disk whose fsync takes as long as on most servers: test machines often answer before they have written."""

import shutil
import subprocess
from pathlib import Path

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int after_a_while(const char *name, int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    long delay = atol(getenv("FSYNC_DELAY_US"));
    struct timespec pause = {delay / 1000000, delay % 1000000 * 1000};
    nanosleep(&pause, NULL);
    return real(descriptor);
}

int fsync(int descriptor) { return after_a_while("fsync", descriptor); }
int fdatasync(int descriptor) { return after_a_while("fdatasync", descriptor); }
"""


def slow_fsync(directory: Path, milliseconds: float) -> dict[str, str] | None:
    """The environment that makes each fsync of a process this much slower; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, library = directory / "slow_fsync.c", directory / "slow_fsync.so"
    if not library.exists():
        source.write_text(SOURCE, encoding="utf-8")
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "FSYNC_DELAY_US": str(round(milliseconds * 1000))}
