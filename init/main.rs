//! Init: the program that becomes a container's program. Reads a plan from descriptor 3, runs it.
//!
//! Freestanding: no C library, no heap, no strings. Without a plan it ends at once.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "the entry point, and the four functions that a compiler assumes")]

#[cfg(target_arch = "x86_64")]
use core::arch::asm;
use core::arch::naked_asm;

use tiny_ce_init::life::Watch;
use tiny_ce_init::machine::{self, Machine};
use tiny_ce_init::step::Plan;

/// The machine lies in .bss: the kernel allocates its pages when they are first touched.
static mut MACHINE: Machine = Machine::new();

/// The kernel enters here, with argc, argv and envp on the stack.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("mov rdi, rsp", "and rsp, -16", "call {main}", "ud2", main = sym main);
    #[cfg(target_arch = "aarch64")]
    naked_asm!("mov x0, sp", "bl {main}", "brk #1", main = sym main);
}

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel puts argc there, then argc pointers and a NULL, then the environment.
    let (argv, envp) = unsafe { (stack.add(1), stack.add(2 + *stack)) };
    let Some(mut watch) = watch() else { machine::exit(1) };
    if let Some(plan) = machine::receive().and_then(|bytes| Plan::new(bytes).ok()) {
        // SAFETY: init has one thread, and no other reference to MACHINE is ever made.
        let machine = unsafe { &mut *core::ptr::addr_of_mut!(MACHINE) };
        machine.begin(argv as usize, envp as usize, plan.preloaded());
        machine.life(plan, &mut watch);
    }
    machine::exit(1)
}

/// The build for `--analyze` stamps each step; the other one does not know of stamps.
#[cfg(feature = "analyze")]
fn watch() -> Option<impl Watch> {
    tiny_ce_init::stamps::Stamps::receive()
}

#[cfg(not(feature = "analyze"))]
fn watch() -> Option<impl Watch> {
    Some(())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    machine::exit(2)
}

/// memcpy(3), which the compiler may call for any copy.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller promises what memcpy(3) asks for; the instruction does just that.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _);
    }
    #[cfg(not(target_arch = "x86_64"))]
    for i in 0..n {
        // SAFETY: as above. The write is volatile, or the compiler would turn this loop into a call
        // of memcpy itself.
        unsafe { to.add(i).write_volatile(*from.add(i)) }
    }
    to
}

/// memmove(3): copies backwards where `to` begins inside the bytes at `from`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        // SAFETY: copying forwards is right when `to` is not inside `from`'s bytes.
        return unsafe { memcpy(to, from, n) };
    }
    for i in (0..n).rev() {
        // SAFETY: the caller promises that both places have n bytes.
        unsafe { to.add(i).write_volatile(*from.add(i)) }
    }
    to
}

/// memset(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller promises n bytes at `to`; the instruction writes just those.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte as u8);
    }
    #[cfg(not(target_arch = "x86_64"))]
    for i in 0..n {
        // SAFETY: as above.
        unsafe { to.add(i).write_volatile(byte as u8) }
    }
    to
}

/// memcmp(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: the caller promises n bytes at both.
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

/// bcmp(3), which some versions of LLVM call instead of memcmp(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the same promise.
    unsafe { memcmp(a, b, n) }
}
