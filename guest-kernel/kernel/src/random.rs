//! Random numbers: ChaCha20 (RFC 8439) keyed with the seed that the VMM gives at boot, with fast key erasure.

use ampoule_kbase::Mutex;

struct Generator {
    key: [u32; 8],
    counter: u64,
}

static GENERATOR: Mutex<Generator> = Mutex::new(Generator { key: [0; 8], counter: 0 });

/// Keys the generator; mixes into what is there.
pub fn seed(bytes: &[u8]) {
    let mut generator = GENERATOR.lock();
    for (i, byte) in bytes.iter().enumerate() {
        generator.key[i / 4 % 8] ^= u32::from(*byte) << (i % 4 * 8);
        if i % 32 == 31 {
            generator.rekey();
        }
    }
    let tsc = crate::arch::cpu::read_tsc();
    generator.key[0] ^= tsc as u32;
    generator.key[1] ^= (tsc >> 32) as u32;
    generator.rekey();
}

/// Fills a buffer.
pub fn fill(buffer: &mut [u8]) {
    let mut generator = GENERATOR.lock();
    for chunk in buffer.chunks_mut(64) {
        let block = generator.block();
        chunk
            .iter_mut()
            .zip(block.iter().flat_map(|word| word.to_le_bytes()))
            .for_each(|(to, from)| *to = from);
    }
    // What was handed out can't be found again from what is kept.
    generator.rekey();
}

impl Generator {
    fn block(&mut self) -> [u32; 16] {
        let mut state = [0u32; 16];
        state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        state[4..12].copy_from_slice(&self.key);
        state[12] = self.counter as u32;
        state[13] = (self.counter >> 32) as u32;
        self.counter += 1;
        let mut work = state;
        for _ in 0..10 {
            for [a, b, c, d] in [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]] {
                quarter_round(&mut work, a, b, c, d);
            }
            for [a, b, c, d] in [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]] {
                quarter_round(&mut work, a, b, c, d);
            }
        }
        core::array::from_fn(|i| work[i].wrapping_add(state[i]))
    }

    fn rekey(&mut self) {
        let block = self.block();
        self.key.copy_from_slice(&block[..8]);
    }
}

fn quarter_round(s: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(16);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(12);
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(8);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(7);
}
