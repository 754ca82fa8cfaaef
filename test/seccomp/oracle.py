#!/usr/bin/python3
"""What libseccomp makes of profiles: the reference that our compiler is compared with.

Reads one job per line, {"native": "x86_64", "seccomp": {...linux.seccomp...}}, and answers each
with one line, {"program": "hex of struct sock_filter[]", "unknown": [names], "refused": [rules],
"newest": {architecture: number}}: the last is what runc's ENOSYS stub starts from.
The rules are handed to libseccomp as runc does it (libcontainer/seccomp/seccomp_linux.go).
"""
import json
import sys
import tempfile

import seccomp as scmp

ARCHS = {
    "SCMP_ARCH_X86_64": scmp.Arch.X86_64,
    "SCMP_ARCH_X86": scmp.Arch.X86,
    "SCMP_ARCH_X32": scmp.Arch.X32,
    "SCMP_ARCH_AARCH64": scmp.Arch.AARCH64,
    "SCMP_ARCH_ARM": scmp.Arch.ARM,
}
NATIVE = {"x86_64": scmp.Arch.X86_64, "aarch64": scmp.Arch.AARCH64}
OPERATORS = {
    "SCMP_CMP_NE": scmp.NE,
    "SCMP_CMP_LT": scmp.LT,
    "SCMP_CMP_LE": scmp.LE,
    "SCMP_CMP_EQ": scmp.EQ,
    "SCMP_CMP_GE": scmp.GE,
    "SCMP_CMP_GT": scmp.GT,
    "SCMP_CMP_MASKED_EQ": scmp.MASKED_EQ,
}
ACTIONS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}


def action(word, errno):
    verdict = ACTIONS[word]
    if word in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        verdict |= 1 if errno is None else errno
    # The binding takes an int.
    return verdict - (1 << 32) if verdict >> 31 else verdict


def condition(arg):
    operator = OPERATORS[arg["op"]]
    if operator == scmp.MASKED_EQ:
        return scmp.Arg(arg["index"], operator, arg["value"], arg.get("valueTwo", 0))
    return scmp.Arg(arg["index"], operator, arg["value"])


def known(name, archs):
    for arch in archs:
        try:
            if scmp.resolve_syscall(arch, name) != -1:
                return True
        except ValueError:
            pass
    return False


def newest(profile, archs):
    """The highest number named per architecture; without those that are not in order of age."""
    result = {}
    for word, arch in ARCHS.items():
        if arch not in archs:
            continue
        for rule in profile.get("syscalls", []):
            for name in rule["names"]:
                number = scmp.resolve_syscall(arch, name)
                ordinal = number & ~0x40000000
                if number < 0 or ordinal >= 0xF0000 or (number != ordinal and ordinal >= 512):
                    continue
                result[word] = max(result.get(word, 0), number)
    return result


def answer(job):
    profile = job["seccomp"]
    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    native = NATIVE[job["native"]]
    # The architecture of this machine is always in it; nobody asks for its verdicts if it is
    # another than "native".
    filter = scmp.SyscallFilter(default)
    archs = [native] + [ARCHS[word] for word in profile.get("architectures", [])]
    for arch in archs:
        if not filter.exist_arch(arch):
            filter.add_arch(arch)
    unknown, refused = [], []
    for index, rule in enumerate(profile.get("syscalls", [])):
        verdict = action(rule["action"], rule.get("errnoRet"))
        args = rule.get("args", [])
        indexes = [arg["index"] for arg in args]
        twice = len(set(indexes)) != len(indexes)
        sets = [[arg] for arg in args] if twice else [args]
        for name in rule["names"]:
            if not known(name, archs):
                unknown.append(name)
                continue
            if verdict == default:
                continue
            for conditions in sets:
                try:
                    filter.add_rule(verdict, name, *map(condition, conditions))
                except RuntimeError:
                    # It also keeps rules about calls that exist nowhere here.
                    if any(scmp.resolve_syscall(arch, name) >= 0 for arch in archs):
                        refused.append(index)
    with tempfile.TemporaryFile() as file:
        filter.export_bpf(file)
        file.seek(0)
        return {
            "program": file.read().hex(),
            "unknown": unknown,
            "refused": refused,
            "newest": newest(profile, archs),
        }


def main():
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


main()
