//! `linux.seccomp` as it is written: one row per property of the runtime specification 1.3.
//!
//! This module has names and types only, as `types`; `seccomp` compiles the filter.

use super::record::{record, words};

record! {
    /// `linux.seccomp`.
    pub struct Seccomp {
        /// The action for a system call that no rule matches.
        "defaultAction" default_action: SeccompAction,
        /// errno of a default action ERRNO or TRACE.
        "defaultErrnoRet" default_errno_ret: Option<u32>,
        /// Architectures in addition to the native one.
        "architectures" architectures: Vec<String>,
        /// Flags of seccomp(2); absent and empty differ.
        "flags" flags: Option<Vec<SeccompFlag>>,
        /// Socket that gets the notification descriptor.
        "listenerPath" listener_path: Option<String>,
        /// Opaque text that is sent with the descriptor.
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
        /// Send SIGSYS.
        Trap = "SCMP_ACT_TRAP",
        /// Fail with an errno.
        Errno = "SCMP_ACT_ERRNO",
        /// Notify the tracer.
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
        /// Apply the filter to all threads.
        Tsync = "SECCOMP_FILTER_FLAG_TSYNC",
        /// Log actions other than allow.
        Log = "SECCOMP_FILTER_FLAG_LOG",
        /// Switch off the mitigation of speculative store bypass.
        SpecAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        /// A system call that waits for its listener can be interrupted by fatal signals only.
        WaitKillableRecv = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    }
}

record! {
    /// `linux.seccomp.syscalls[]`.
    pub struct SeccompRule {
        /// System calls.
        "names" names: Vec<String>,
        /// The action for these system calls.
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
        /// The argument, 0 to 5.
        "index" index: u32,
        /// The value to compare the argument with; for MASKED_EQ, the mask.
        "value" value: u64,
        /// For MASKED_EQ, the value to compare the masked argument with.
        "valueTwo" value_two: Option<u64>,
        /// The comparison.
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
