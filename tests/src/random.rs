//! A seeded source of bytes and choices that will never change its mind: sample data and fault plans are named by
//! their seed alone, so the generator is fixed here (xorshift64*, seeded through splitmix64).

/// A deterministic generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        // splitmix64 spreads neighbouring seeds; xorshift must not start at zero.
        let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self((mixed ^ (mixed >> 31)) | 1)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < u64::from(percent)
    }

    /// Appends `length` bytes, of which about `compressible` percent are text that compresses well.
    pub fn fill(&mut self, into: &mut Vec<u8>, length: usize, compressible: u32) {
        const WORDS: [&str; 8] =
            ["blueking ", "package ", "import ", "ferry\n", "return ", "config=", "/usr/lib/", "0000 "];
        let end = into.len() + length;
        while into.len() < end {
            let block_end = end.min(into.len() + 4096);
            if self.chance(compressible) {
                while into.len() < block_end {
                    into.extend_from_slice(WORDS[(self.bits() >> 61) as usize].as_bytes());
                }
            } else {
                while into.len() < block_end {
                    into.extend_from_slice(&self.bits().to_le_bytes());
                }
            }
            into.truncate(block_end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_bytes() {
        let bytes = |seed| {
            let mut bytes = Vec::new();
            Random::new(seed).fill(&mut bytes, 10_001, 50);
            bytes
        };
        assert_eq!(bytes(1).len(), 10_001);
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }
}
