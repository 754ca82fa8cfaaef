//! The first process of a container whose init stays: pass signals on to the program, reap what
//! ends, and end with the program.
//!
//! All signals are blocked, so none interrupts a call and none is lost. Needs no descriptor.

use crate::machine::{EAGAIN, Machine, exit, raw};
use crate::ops::Op;

const SIGCHLD: usize = 17;
const WNOHANG: usize = 1;
const EVERY_CHILD: usize = usize::MAX;

impl Machine {
    /// Wait for signals by `op` as long as the program lives. Return the errno of a wait that
    /// fails.
    pub(crate) fn supervise(&mut self, op: &Op<'_>) -> i32 {
        loop {
            match self.call(op) {
                Ok(SIGCHLD) => self.reap(),
                // Only this process reaps the program, so the pid is still the program's.
                Ok(signal) => drop(raw(sc::nr::KILL, [self.program, signal, 0, 0, 0, 0])),
                // Interrupted many times: the container was frozen and thawed, for example.
                Err(EAGAIN) => {}
                Err(errno) => return errno,
            }
        }
    }

    /// Reap every child that has ended. End if the program is among them: with its exit status, or
    /// with 128 and the number of the signal that killed it, as a shell does.
    fn reap(&mut self) {
        let status = self.scratch();
        while let Ok(pid @ 1..) = raw(sc::nr::WAIT4, [EVERY_CHILD, status, WNOHANG, 0, 0, 0]) {
            if pid == self.program {
                let (signal, code) = (self.u8_at(0) & 0x7f, self.u8_at(1));
                exit(if signal == 0 { i32::from(code) } else { 128 + i32::from(signal) });
            }
        }
    }
}
