"""Processes of which one file operation fails: `fault_shim.c`, compiled and preloaded."""

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

KILL = -1
FAULTS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "kill": KILL}
OPERATIONS = ".operations"
SOURCE = Path(__file__).parent / "fault_shim.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")


def compiled(folder: Path) -> Path:
    """The library to preload."""
    library = folder / "fault_shim.so"
    command = [COMPILER, "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"]
    subprocess.run(command, check=True)
    return library


class Forked:
    """A copy of this process, in which the library is preloaded, with a fault.

    Args:
        below: The folder whose files are meant.
        at: Which operation fails, from 1; 0 for none.
        fault: An error number, or `KILL`.
        work: What the process does; returns its exit status.
        output: The file that it prints to; beside it, with the suffix `OPERATIONS`, its operations
            and their files, a line each.
    """

    def __init__(self, below: Path, at: int, fault: int, work: Callable[[], int], output: Path):
        self._count = mmap.mmap(-1, 8)
        self.process = os.fork()
        if self.process:
            return
        status = 1
        try:
            flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
            file = os.open(output, flags)
            os.dup2(file, 1)
            os.dup2(file, 2)
            log = os.open(output.with_suffix(OPERATIONS), flags)
            counter = ctypes.c_long.from_buffer(self._count)
            arm = ctypes.CDLL(None).fault_arm
            arm(os.fsencode(below), ctypes.c_long(at), fault, ctypes.byref(counter), log)
            status = work()
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def wait(self) -> int:
        """Its exit status, negative where a signal ended it."""
        _, status = os.waitpid(self.process, 0)
        return os.waitstatus_to_exitcode(status)

    @property
    def operations(self) -> int:
        """How many it has come to."""
        return int.from_bytes(self._count[:8], "little")
