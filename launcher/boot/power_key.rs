//! The power key: the input devices that have one, and whether it is pressed (include/uapi/linux/
//! input.h). A kernel without their drivers, `button` and `evdev` on x86, has none.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// KEY_POWER of include/uapi/linux/input-event-codes.h.
const KEY_POWER: u16 = 116;
/// EV_KEY of the same file.
const EV_KEY: u16 = 1;

/// A struct input_event of a 64-bit kernel: two words of time, type, code and value.
const EVENT_BYTES: usize = 24;

/// The devices with a power key.
pub struct PowerKeys(Vec<File>);

impl PowerKeys {
    /// Open those that are there now.
    pub fn open() -> PowerKeys {
        let entries = fs::read_dir("/sys/class/input").into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let with_key = names.filter(|name| {
            let keys = format!("/sys/class/input/{name}/device/capabilities/key");
            name.starts_with("event") && has_key(&fs::read_to_string(keys).unwrap_or_default())
        });
        let open = |name| {
            let path = format!("/dev/input/{name}");
            File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()
        };
        PowerKeys(with_key.filter_map(open).collect())
    }

    /// Their descriptors, to wait for.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(AsFd::as_fd)
    }

    /// Whether the key of this device has been pressed.
    pub fn is_pressed(&mut self, number: usize) -> bool {
        let Some(device) = self.0.get_mut(number) else { return false };
        let mut events = [0; 64 * EVENT_BYTES];
        match device.read(&mut events) {
            Ok(got) => events[..got].chunks_exact(EVENT_BYTES).any(is_power),
            Err(e) if super::outside::would_block(&e) => false,
            Err(_) => {
                // The device is gone.
                drop(self.0.remove(number));
                false
            }
        }
    }
}

fn is_power(event: &[u8]) -> bool {
    let half = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    (half(16), half(18), event[20]) == (EV_KEY, KEY_POWER, 1)
}

/// Whether the map of keys, words of 64 bits in hexadecimal with the last first, has the power key.
fn has_key(map: &str) -> bool {
    let word = map.split_whitespace().rev().nth(usize::from(KEY_POWER / 64));
    let word = word.and_then(|word| u64::from_str_radix(word, 16).ok());
    word.is_some_and(|word| word & (1 << (KEY_POWER % 64)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_power_button_a_keyboard_and_a_mouse() {
        assert!(has_key("10000000000000 0\n"));
        assert!(has_key("402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n"));
        assert!(!has_key("1f0000 0 0 0 0\n") && !has_key(""));
    }

    #[test]
    fn only_the_pressed_power_key_counts() {
        let event = |code: u16, value: u8| {
            let mut event = [0; EVENT_BYTES];
            event[16..18].copy_from_slice(&EV_KEY.to_ne_bytes());
            event[18..20].copy_from_slice(&code.to_ne_bytes());
            event[20] = value;
            event
        };
        assert!(is_power(&event(KEY_POWER, 1)));
        assert!(!is_power(&event(KEY_POWER, 0)) && !is_power(&event(30, 1)));
    }
}
