//! `linux.seccomp` as it is written: one row per property of the runtime specification 1.3.
//!
//! Knows names and types only; see `types`. What the filter does is not known here.

use super::record::{record, words};

record! {
    /// `linux.seccomp`.
    pub struct Seccomp {
        /// What happens to a system call that no rule is about.
        "defaultAction" default_action: SeccompAction,
        /// errno of a default action ERRNO or TRACE.
        "defaultErrnoRet" default_errno_ret: Option<u32>,
        /// Architectures beside the native one.
        "architectures" architectures: Vec<String>,
        /// Flags of seccomp(2); absent and empty differ.
        "flags" flags: Option<Vec<SeccompFlag>>,
        /// Socket that gets the notification descriptor.
        "listenerPath" listener_path: Option<String>,
        /// Opaque words sent along.
        "listenerMetadata" listener_metadata: Option<String>,
        /// Rules.
        "syscalls" syscalls: Vec<SeccompRule>,
    }
}

words! {
    /// Actions of a filter.
    pub enum SeccompAction ("seccomp action") {
        /// Kill the thread.
        Kill = "SCMP_ACT_KILL",
        /// Kill the process.
        KillProcess = "SCMP_ACT_KILL_PROCESS",
        /// Kill the thread.
        KillThread = "SCMP_ACT_KILL_THREAD",
        /// SIGSYS.
        Trap = "SCMP_ACT_TRAP",
        /// Fail with an errno.
        Errno = "SCMP_ACT_ERRNO",
        /// Tell the tracer.
        Trace = "SCMP_ACT_TRACE",
        /// Allow.
        Allow = "SCMP_ACT_ALLOW",
        /// Allow and log.
        Log = "SCMP_ACT_LOG",
        /// Ask the listener.
        Notify = "SCMP_ACT_NOTIFY",
    }
}

words! {
    /// Flags of seccomp(2).
    pub enum SeccompFlag ("seccomp flag") {
        /// All threads.
        Tsync = "SECCOMP_FILTER_FLAG_TSYNC",
        /// Log actions other than allow.
        Log = "SECCOMP_FILTER_FLAG_LOG",
        /// No speculative store bypass mitigation.
        SpecAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        /// Notified system calls wait killably.
        WaitKillableRecv = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    }
}

record! {
    /// `linux.seccomp.syscalls[]`.
    pub struct SeccompRule {
        /// System calls.
        "names" names: Vec<String>,
        /// What happens to them.
        "action" action: SeccompAction,
        /// errno of an action ERRNO or TRACE.
        "errnoRet" errno_ret: Option<u32>,
        /// Conditions, all of which must hold.
        "args" args: Vec<SeccompArg>,
    }
}

record! {
    /// `linux.seccomp.syscalls[].args[]`.
    pub struct SeccompArg {
        /// Argument, 0 to 5.
        "index" index: u32,
        /// What it is compared with; the mask of MASKED_EQ.
        "value" value: u64,
        /// The datum of MASKED_EQ.
        "valueTwo" value_two: Option<u64>,
        /// How.
        "op" op: SeccompOperator,
    }
}

words! {
    /// Comparisons of an argument.
    pub enum SeccompOperator ("seccomp operator") {
        /// Not equal.
        Ne = "SCMP_CMP_NE",
        /// Less.
        Lt = "SCMP_CMP_LT",
        /// Less or equal.
        Le = "SCMP_CMP_LE",
        /// Equal.
        Eq = "SCMP_CMP_EQ",
        /// Greater or equal.
        Ge = "SCMP_CMP_GE",
        /// Greater.
        Gt = "SCMP_CMP_GT",
        /// Equal under a mask.
        MaskedEq = "SCMP_CMP_MASKED_EQ",
    }
}
