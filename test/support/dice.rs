//! Pseudorandom numbers: the same seed gives the same numbers.

/// xorshift64*, Vigna 2016.
pub struct Dice(u64);

impl Dice {
    /// Start from this seed. Another number replaces the seed 0, from which xorshift yields only 0.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.max(1))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `sides`.
    pub fn throw(&mut self, sides: usize) -> usize {
        (self.number() >> 33) as usize % sides
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }

    /// Return one of these.
    pub fn one<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.throw(of.len())]
    }

    /// Return a random subset of these.
    pub fn some<T: Clone>(&mut self, of: &[T]) -> Vec<T> {
        of.iter().filter(|_| self.throw(2) == 0).cloned().collect()
    }
}
