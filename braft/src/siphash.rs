//! SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, 2012, and their reference code).
//!
//! Written out here because cluster ids and digests must be the same for every build, which the
//! standard library's hasher does not promise. It need not resist an attacker: whoever can choose
//! the members of a proposal can disturb formation in easier ways.

use std::io::{self, Write};

/// Bytes hashed at once by [`Chain`]. What it gives depends on it: it must be the same on all nodes.
const CHUNK_BYTES: usize = 16 << 10;

/// A hash of what is written to it, of any length, the same for every build.
#[derive(Default)]
pub(crate) struct Chain {
    key: [u64; 2],
    chunk: Vec<u8>,
}

impl Chain {
    fn fold(&mut self) {
        let hash = siphash_2_4_128(self.key, &self.chunk);
        self.key = [hash as u64, (hash >> 64) as u64];
        self.chunk.clear();
    }

    /// Both halves of the hash, the lower one first.
    pub(crate) fn finish(mut self) -> [u64; 2] {
        self.fold();
        self.key
    }
}

impl Write for Chain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK_BYTES {
            self.fold();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes `data` under `key`.
pub(crate) fn siphash_2_4_128(key: [u64; 2], data: &[u8]) -> u128 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut words = data.chunks_exact(8);
    for word in words.by_ref() {
        absorb(
            &mut state,
            u64::from_le_bytes(word.try_into().expect("chunks of eight bytes")),
        );
    }
    // The last word carries what is left and, in its top byte, the length modulo 256.
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    last[7] = (data.len() & 0xff) as u8;
    absorb(&mut state, u64::from_le_bytes(last));

    state[2] ^= 0xee;
    let low = squeeze(&mut state);
    state[1] ^= 0xdd;
    let high = squeeze(&mut state);
    u128::from(high) << 64 | u128::from(low)
}

fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    round(state);
    state[0] ^= word;
}

fn squeeze(state: &mut [u64; 4]) -> u64 {
    for _ in 0..4 {
        round(state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `vectors_sip128` of the reference implementation: key 00..0f, data 00, 01, …
    #[test]
    fn agrees_with_the_reference_vectors() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let digest = |data: &[u8]| siphash_2_4_128(key, data).to_le_bytes();
        let empty = [
            0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55,
            0x02, 0x93,
        ];
        let one = [
            0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22,
            0xfc, 0x45,
        ];
        assert_eq!(digest(&[]), empty);
        assert_eq!(digest(&[0]), one);
    }
}
