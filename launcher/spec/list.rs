//! Lists of CPUs and memory nodes, `0-3,7`, as the kernel's bitmap_parselist() reads them.

/// Return a bit mask of the numbers of a list that `check` has accepted, in 64-bit words.
pub fn mask(list: &str) -> Vec<u64> {
    let mut words = Vec::new();
    for number in list.split(',').flat_map(numbers) {
        let (word, bit) = (number as usize / 64, number % 64);
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] |= 1 << bit;
    }
    words
}

/// Return the numbers of one part: `7`, `0-3`, `0-31:2/4`. Numbers are cut to 65536, which is more
/// than a kernel supports.
fn numbers(part: &str) -> Vec<u32> {
    const MOST: u32 = 1 << 16;
    let (range, group) = part.split_once(':').unwrap_or((part, "1/1"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (used, size) = group.split_once('/').unwrap_or(("1", "1"));
    let number = |text: &str| text.parse::<u32>().unwrap_or(0).min(MOST);
    let (first, last, used, size) = (number(first), number(last), number(used), number(size));
    (first..=last).filter(|n| (n - first) % size.max(1) < used).collect()
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn bits() {
        assert_eq!(mask("0-3,7"), [0b1000_1111]);
        assert_eq!(mask("0-7:2/4"), [0b0011_0011]);
        assert_eq!(mask("64"), [0, 1]);
    }
}
