"""A program that runs another one without network access. It is run by its path and imports nothing of octosync.

On Linux, a seccomp filter refuses all sockets except local ones, so not even ports of this machine can be reached; on other
systems only the environment variables restrict it. The program ends with its parent process.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys

_SET_PARENT_DEATH_SIGNAL, _SET_SECCOMP, _SET_NO_NEW_PRIVILEGES = 1, 22, 38
_FILTER = 2
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13  # EACCES
_LOCAL = 1  # AF_UNIX
# By machine: its audit architecture, and the number of the system call `socket`.
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("if_true", ctypes.c_ubyte),
        ("if_false", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def refuse_sockets() -> None:
    """Refuse non-local sockets to this process and the program that replaces it. Does nothing on other systems."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return
    machine, socket = _MACHINES[platform.machine()]
    steps = (
        (_LOAD, 0, 0, 4),  # the machine
        (_EQUALS, 0, 4, machine),
        (_LOAD, 0, 0, 0),  # the system call
        (_EQUALS, 0, 2, socket),
        (_LOAD, 0, 0, 16),  # its first argument: the family
        (_EQUALS, 0, 1, _LOCAL),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    )
    instructions = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    program = _Program(len(steps), instructions)
    system = ctypes.CDLL(None)
    system.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    system.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)


def main() -> None:
    """Replace this process by a program; the arguments are `online` or `offline`, the program and its arguments."""
    network, *program = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if network == "offline":
        refuse_sockets()
    os.execv(program[0], program)  # noqa: S606 — no shell


if __name__ == "__main__":
    main()
