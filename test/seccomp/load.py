#!/usr/bin/python3
"""Runs system calls under a filter and tells what came of them.

Reads {"program": "hex of struct sock_filter[]", "flags": number, "calls": [[number, arg, ...]]};
each call is made in a process of its own. Answers a list of "ok", "errno N" or "signal N", after
"listener" or "no listener": whether seccomp(2) returned a descriptor.
"""
import ctypes
import json
import os
import platform
import sys

SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}[platform.machine()]
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def syscall(number, *args):
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, args))
    return "ok %d" % result if result >= 0 else "errno %d" % ctypes.get_errno()


def child(job, call, pipe):
    data = bytes.fromhex(job["program"])
    memory = ctypes.create_string_buffer(data, len(data))
    program = Program(len(data) // 8, ctypes.addressof(memory))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    loaded = syscall(
        SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, job["flags"], ctypes.addressof(program)
    )
    if call is not None:
        loaded = syscall(*call)
    os.write(pipe, loaded.encode())


def run(job, call):
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(job, call, theirs)
        finally:
            os._exit(0)
    os.close(theirs)
    said = os.read(ours, 100).decode()
    os.close(ours)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return said if status == 0 else "signal %d" % -status


job = json.load(sys.stdin)
loaded = run(job, None)
if loaded.startswith("ok"):
    loaded = "no listener" if loaded == "ok 0" else "listener"
made = [run(job, call) for call in job["calls"]]
print(json.dumps([loaded] + ["ok" if said.startswith("ok") else said for said in made]))
