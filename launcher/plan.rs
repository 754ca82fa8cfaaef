//! Build a plan: the bytes that init will decode, and for each step the field of config.json behind
//! it.
//!
//! Knows slots, origins and preloaded descriptors. Makes no system call; decides nothing.

use std::ffi::{CStr, CString};
use std::fmt;

use tiny_ce_init::step::{Header, MAGIC, Plan as Steps};
use tiny_ce_init::wire::Sink;
use tiny_ce_init::{Guard, Op, Slot, Step, Unless};

use crate::errno::ErrnoName;
use crate::error::{Error, Result};

/// A descriptor that the launcher opens, and that init has in a slot before its first step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preload {
    /// The listening socket of `start`.
    StartSocket,
    /// A namespace to join, whose kind the launcher verified.
    Namespace {
        /// Where it is.
        path: String,
        /// CLONE_NEW* of its kind.
        kind: u32,
    },
    /// A detached tree of mounts that only the launcher can make: an id-mapped one, or one whose
    /// source the container's root cannot reach.
    Tree {
        /// Index in `mounts`.
        mount: usize,
    },
    /// A device that the host lacks: a detached mount of a node that only the launcher can make.
    Node {
        /// Index in `linux.devices`.
        device: usize,
    },
    /// A pidfd of the container's init: one setns(2) joins all its namespaces (Linux 5.8).
    Process,
    /// A cgroup v1 hierarchy's `tasks` file, into which a process writes itself.
    CgroupTasks,
    /// A hook's standard input, or the descriptor for its standard output and standard error.
    Stdio,
    /// A program that init executes by descriptor: a hook's, or CRIU.
    Program,
    /// CRIU's end of the socket pair between CRIU and the launcher.
    Service,
}

/// The bytes, the origins and the preloads of a plan under construction.
#[derive(Default)]
pub struct Plan {
    bytes: Bytes,
    origins: Vec<(u32, String)>,
    steps: u32,
    preloads: Vec<Preload>,
    busy: u64,
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Sink for Bytes {
    fn put(&mut self, bytes: &[u8]) {
        // Most fields have one to eight bytes, for which a call of memcpy(3) costs more: a plan has
        // thousands of them.
        match bytes.len() {
            0..=8 => bytes.iter().for_each(|byte| self.0.push(*byte)),
            _ => self.0.extend_from_slice(bytes),
        }
    }
}

impl Plan {
    /// An empty plan.
    pub fn new() -> Self {
        let mut plan = Plan { busy: 1, ..Plan::default() };
        plan.bytes.0.reserve(16 << 10);
        plan.bytes.0.resize(Header::SIZE, 0);
        plan
    }

    /// Set the origin of the following steps: a field of config.json.
    pub fn origin(&mut self, text: impl Into<String>) {
        // The origin must be one line, in errors and in the file.
        let mut text: String = text.into();
        if text.contains('\n') {
            text = text.replace('\n', "\\n");
        }
        if self.origins.last().is_none_or(|(_, last)| *last != text) {
            self.origins.push((self.steps, text));
        }
    }

    /// Add a step that must succeed.
    pub fn step(&mut self, op: Op<'_>) {
        self.push(Step { guard: Guard::Always, unless: Unless::NOTHING, op });
    }

    /// Add a step that tolerates these errnos.
    pub fn step_unless(&mut self, unless: Unless, op: Op<'_>) {
        self.push(Step { guard: Guard::Always, unless, op });
    }

    /// Add a step with a guard of its own.
    pub fn push(&mut self, step: Step<'_>) {
        step.encode(&mut self.bytes);
        self.steps += 1;
    }

    /// Take a free slot. Preloads take the first slots, in the order in which they are requested.
    ///
    /// # Errors
    /// No slot is free.
    pub fn slot(&mut self) -> Result<Slot> {
        let number = self.busy.trailing_ones() as u8;
        let slot = Slot::new(number)
            .ok_or_else(|| Error::new("too many descriptors are needed at once by this config"))?;
        self.busy |= 1 << number;
        Ok(slot)
    }

    /// Take a slot that the launcher fills before the first step.
    ///
    /// # Errors
    /// As [`Plan::slot`].
    pub fn preload(&mut self, what: Preload) -> Result<Slot> {
        debug_assert!(self.busy.count_ones() as usize == self.preloads.len() + 1);
        self.preloads.push(what);
        self.slot()
    }

    /// Close the descriptor in a slot, which may then be used again.
    pub fn close(&mut self, slot: Slot) {
        self.step(Op::Close { fd: slot });
        self.free(slot);
    }

    /// Close the descriptor in a slot, if the slot is filled.
    pub fn close_present(&mut self, slot: Slot) {
        let guard = Guard::Present(slot);
        self.push(Step { guard, unless: Unless::NOTHING, op: Op::Close { fd: slot } });
        self.free(slot);
    }

    /// Make a slot free, whose descriptor is closed or was never opened.
    pub fn free(&mut self, slot: Slot) {
        self.busy &= !(1 << slot.number());
    }

    /// The descriptors to open before launch, for the slots from 1 on.
    pub fn preloads(&self) -> &[Preload] {
        &self.preloads
    }

    /// How many steps there are.
    pub fn len(&self) -> u32 {
        self.steps
    }

    /// Whether the plan has no step.
    pub fn is_empty(&self) -> bool {
        self.steps == 0
    }

    /// Prepend the header, which completes the plan.
    pub fn finish(mut self) -> Finished {
        let length = self.bytes.0.len() as u32;
        let mut head = Bytes::default();
        Header { length, preloaded: self.preloads.len() as u32 }.encode(&mut head);
        self.bytes.0[..Header::SIZE].copy_from_slice(&head.0);
        let Plan { bytes, origins, steps, preloads, .. } = self;
        Finished { bytes: bytes.0, origins, steps, preloads }
    }
}

/// A complete plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// As init decodes it.
    pub bytes: Vec<u8>,
    origins: Vec<(u32, String)>,
    steps: u32,
    /// The descriptors to open before launch.
    pub preloads: Vec<Preload>,
}

impl Finished {
    /// The content of the file `plan` in the state: the plan's bytes, then a line for the origin of
    /// each step, and one for the end of the plan.
    pub fn to_file(&self) -> Vec<u8> {
        let lines: usize = self.origins.iter().map(|(_, text)| text.len() + 12).sum();
        let mut file = Vec::with_capacity(self.bytes.len() + lines + 12);
        file.extend_from_slice(&self.bytes);
        let end = (self.steps, String::new());
        for (first, text) in self.origins.iter().chain([&end]) {
            file.extend_from_slice(first.to_string().as_bytes());
            file.push(b'\t');
            file.extend_from_slice(text.as_bytes());
            file.push(b'\n');
        }
        file
    }

    /// Decode what `to_file` wrote; `None` if the bytes are malformed.
    pub fn from_file(file: &[u8]) -> Option<Finished> {
        let length = u32::from_le_bytes(file.get(8..12)?.try_into().ok()?) as usize;
        let bytes = file.get(..length)?.to_vec();
        let steps = Steps::new(&bytes).ok()?.count() as u32;
        let lines = std::str::from_utf8(file.get(length..)?).ok()?;
        let lines = lines.strip_suffix(&format!("{steps}\t\n"))?;
        if !(lines.is_empty() || lines.ends_with('\n')) {
            return None;
        }
        let mut origins = Vec::new();
        for line in lines.lines() {
            let (first, text) = line.split_once('\t')?;
            origins.push((first.parse().ok()?, text.to_owned()));
        }
        Some(Finished { bytes, origins, steps, preloads: Vec::new() })
    }

    /// Whether the file is a plan, as far as its header tells, with operations of another build.
    pub fn is_of_another_build(file: &[u8]) -> bool {
        let length = file.get(8..12).and_then(|bytes| bytes.try_into().ok());
        let fits = length.is_some_and(|bytes| u32::from_le_bytes(bytes) as usize <= file.len());
        fits && !file.starts_with(&MAGIC)
    }

    /// The steps, decoded from the very bytes that init gets.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        Steps::new(&self.bytes).into_iter().flatten()
    }

    /// The field of config.json behind a step.
    pub fn origin(&self, index: u32) -> &str {
        let at = self.origins.partition_point(|(first, _)| *first <= index);
        at.checked_sub(1).and_then(|at| self.origins.get(at)).map_or("", |(_, text)| text)
    }

    /// A step as text, with the type of its file system, if an earlier fsopen(2) of the plan names
    /// it.
    fn about(&self, index: u32, step: &Step<'_>) -> String {
        let before = self.steps().take(index as usize);
        let opened = before.filter_map(|step| match step.op {
            Op::Fsopen { into, fsname, .. } => Some((into, fsname.to_owned())),
            _ => None,
        });
        match step.op.words().zip(opened.last()) {
            Some((fs, (into, name))) if fs == into => format!("{name:?}: {step}"),
            _ => step.to_string(),
        }
    }

    /// The failure of a step in full: its field, its system call, the errno, the kernel's words.
    pub fn failure(&self, index: u32, errno: i32, words: &str) -> Error {
        let Some(step) = self.steps().nth(index as usize) else {
            return Error::new(format!("init ended its plan: {}", ErrnoName(errno)));
        };
        let call = crate::hints::call_name(step.op.call_name());
        let place = self.origin(index);
        let error = if errno == 0 {
            let text = format!("{place}: {call}(2): the kernel's answer is not what was asked for");
            let error = Error::new(text);
            match crate::hints::of_answer(call) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        } else {
            let error = Error::call(place, call, errno);
            let of_place = crate::hints::find(call, errno, place);
            let hint = || crate::hints::find(call, errno, &self.about(index, &step));
            match of_place.or_else(hint) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        };
        let error = if words.is_empty() { error } else { error.kernel(words) };
        error.detail(format!("step {} of {}: {}", index + 1, self.steps, step))
    }
}

/// One line for each step, below the field that the step comes from.
impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut origins = self.origins.iter().peekable();
        for (index, step) in self.steps().enumerate() {
            while let Some((first, text)) = origins.peek() {
                if *first as usize > index {
                    break;
                }
                let next = origins.clone().nth(1).map(|(first, _)| *first as usize);
                if next.is_none_or(|next| next > index) {
                    writeln!(f, "{text}")?;
                }
                origins.next();
            }
            writeln!(f, "  {:>3}  {step}", index + 1)?;
        }
        Ok(())
    }
}

/// Convert a path or a name for the kernel.
///
/// # Errors
/// `text` contains NUL.
pub fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(format!("{text:?}: contains NUL")))
}

/// The empty path: the descriptor itself.
pub const EMPTY: &CStr = c"";
