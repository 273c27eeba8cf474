//! Numbers that look random and come again with their seed.

/// Xorshift (Marsaglia, 2003): enough to spread moments and places. The seed is that of
/// `BLAST_TEST_SEED`, else another one each time; tests print it with what they did.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// From `BLAST_TEST_SEED`, or from the clock.
    ///
    /// # Panics
    /// If the variable is no number.
    #[expect(clippy::new_without_default, reason = "two of them are not equal")]
    pub fn new() -> Self {
        let now = || {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            since.as_nanos() as u64
        };
        let seed = std::env::var("BLAST_TEST_SEED")
            .map_or_else(|_| now(), |text| text.parse().expect("a number as seed"));
        Self::of(seed)
    }

    /// With this seed.
    pub fn of(seed: u64) -> Self {
        // Never zero, and far from the seeds beside it.
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { seed, state }
    }

    /// What makes the same numbers again.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        ((self.state >> 11) % end as u64) as usize
    }
}
