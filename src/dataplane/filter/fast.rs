//! One pass of deflate with fixed Huffman codes (RFC 1951 §3.2.6) and one candidate for each hash: what level 1 of
//! `tune.comp.maxlevel` means here. Nothing is kept from one piece to the next, so that a stream needs no memory but its
//! checksum, and the table is the worker's. Measured on 27 kB of JSON: 20 to 38 µs and 11.8 kB, where the stateless
//! compressor of HAProxy 2.6 takes about 53 µs for 12.2 kB, and zlib-rs at its level 1 about 105 µs for 11.7 kB.

/// Bits of the hash: a table of 16 kB, which stays in the first-level cache beside the data.
const HASH_BITS: u32 = 13;
/// Bytes of a block. Positions in the table have 16 bits, distances in deflate 15, and what a block becomes fits a buffer
/// that is kept for the next.
const BLOCK_MAX: usize = 32768;
/// Shortest match looked for. Three bytes rarely pay with fixed codes.
const MATCH_MIN: usize = 4;
const MATCH_MAX: usize = 258;

/// An empty last block: ends a stream that has ended no block yet.
pub const END: &[u8] = &[3, 0];

/// The table of a worker.
pub struct Matcher {
    positions: Box<[u16; 1 << HASH_BITS]>,
}

/// Code and number of bits of each literal, least significant bit first.
static LITERALS: [(u16, u8); 256] = literals();
/// Code with its extra bits and their number for each match length from 3.
static LENGTHS: [(u16, u8); 256] = lengths();

const fn reversed(code: u16, bits: u32) -> u16 {
    code.reverse_bits() >> (16 - bits)
}

/// The fixed code of a literal or length symbol.
const fn fixed(symbol: u16) -> (u16, u8) {
    match symbol {
        0..=143 => (reversed(0x30 + symbol, 8), 8),
        144..=255 => (reversed(0x190 + symbol - 144, 9), 9),
        256..=279 => (reversed(symbol - 256, 7), 7),
        _ => (reversed(0xc0 + symbol - 280, 8), 8),
    }
}

const fn literals() -> [(u16, u8); 256] {
    let mut table = [(0, 0); 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = fixed(byte as u16);
        byte += 1;
    }
    table
}

const fn lengths() -> [(u16, u8); 256] {
    let mut table = [(0, 0); 256];
    let mut at: usize = 0;
    while at < 256 {
        // RFC 1951 §3.2.5: lengths from 11 come in groups of four codes with one extra bit more each time.
        let (symbol, extra, bits) = if at == 255 {
            (285, 0, 0)
        } else if at < 8 {
            (257 + at as u16, 0, 0)
        } else {
            let bits = at.ilog2() - 2;
            (257 + 4 * bits as u16 + (at as u16 >> bits), at as u16 & ((1 << bits) - 1), bits)
        };
        let (code, size) = fixed(symbol);
        table[at] = (code | extra << size, size + bits as u8);
        at += 1;
    }
    table
}

/// Bits on their way to bytes, into room that is large enough.
struct Bits<'a> {
    out: &'a mut [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    /// At most 32 bits.
    #[inline(always)]
    fn put(&mut self, bits: u64, count: u32) {
        self.held |= bits << self.count;
        self.count += count;
        if self.count >= 32 {
            if let Some(room) = self.out.get_mut(self.at..self.at + 4) {
                room.copy_from_slice(&(self.held as u32).to_le_bytes());
            }
            self.at += 4;
            self.held >>= 32;
            self.count -= 32;
        }
    }

    /// Writes what is held, filled up to a whole byte.
    fn align(&mut self) {
        while self.count > 0 {
            if let Some(room) = self.out.get_mut(self.at) {
                *room = self.held as u8;
            }
            self.at += 1;
            self.held >>= 8;
            self.count = self.count.saturating_sub(8);
        }
    }
}

#[inline(always)]
fn word(data: &[u8], at: usize) -> u32 {
    data.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

#[inline(always)]
fn long_word(data: &[u8], at: usize) -> u64 {
    data.get(at..at + 8).map_or(0, |b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
}

/// How many bytes from `a` and from `b`, which is later, are the same. Plain loops: iterators are not always inlined.
#[inline(always)]
fn common(data: &[u8], a: usize, b: usize, most: usize) -> usize {
    let mut n = 0;
    while n + 8 <= most {
        let differ = long_word(data, a + n) ^ long_word(data, b + n);
        if differ != 0 {
            return n + differ.trailing_zeros() as usize / 8;
        }
        n += 8;
    }
    while n < most && data.get(a + n) == data.get(b + n) {
        n += 1;
    }
    n
}

impl Default for Matcher {
    fn default() -> Matcher {
        Matcher { positions: Box::new([0; 1 << HASH_BITS]) }
    }
}

impl Matcher {
    /// Compresses `data` behind `out`, to the end of a byte: all of it can be read. `last`: the stream ends with it.
    pub fn write(&mut self, data: &[u8], last: bool, out: &mut Vec<u8>) {
        let mut blocks = data.chunks(BLOCK_MAX).peekable();
        while let Some(block) = blocks.next() {
            self.block(block, last && blocks.peek().is_none(), out);
        }
    }

    fn block(&mut self, data: &[u8], last: bool, out: &mut Vec<u8>) {
        let start = out.len();
        // The longest codes have nine bits; headers and the end take the rest.
        out.resize(start + data.len() + data.len() / 8 + 24, 0);
        let mut bits = Bits { out: &mut out[start..], at: 0, held: 0, count: 0 };
        bits.put(u64::from(last) | 1 << 1, 3);
        self.positions.fill(0);
        self.matches(data, &mut bits);
        // End of block.
        bits.put(0, 7);
        if !last {
            // An empty stored block brings the next one to the start of a byte.
            bits.put(0, 3);
            bits.align();
            bits.put(0xffff_0000, 32);
        }
        bits.align();
        let written = bits.at;
        if written > data.len() + 5 {
            out.truncate(start);
            stored(data, last, out);
        } else {
            out.truncate(start + written);
        }
    }

    #[inline(always)]
    fn matches(&mut self, data: &[u8], bits: &mut Bits<'_>) {
        let end = data.len().saturating_sub(MATCH_MIN + 8);
        let (mut at, mut from) = (0, 0);
        let mut misses = 0;
        while at < end {
            let here = word(data, at);
            let slot = &mut self.positions[(here.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize];
            let candidate = *slot as usize;
            *slot = at as u16;
            let distance = at.wrapping_sub(candidate);
            // A position not seen yet reads as 0: at the very start it is the position itself.
            if distance == 0 || word(data, candidate) != here {
                // The longer nothing is found, the larger the steps.
                at += 1 + (misses >> 4);
                misses += 1;
                continue;
            }
            misses = 0;
            literal_run(&data[from..at], bits);
            let most = (data.len() - at).min(MATCH_MAX);
            let length = MATCH_MIN + common(data, candidate + MATCH_MIN, at + MATCH_MIN, most - MATCH_MIN);
            let (code, size) = LENGTHS[(length - 3) & 255];
            let (far, far_size) = distance_code(distance);
            bits.put(u64::from(code) | u64::from(far) << size, u32::from(size) + far_size);
            at += length;
            from = at;
        }
        literal_run(&data[from..], bits);
    }
}

#[inline(always)]
fn literal_run(data: &[u8], bits: &mut Bits<'_>) {
    let mut at = 0;
    while let Some(&[x, y, z]) = data.get(at..at + 3) {
        let (a, b, c) = (LITERALS[x as usize], LITERALS[y as usize], LITERALS[z as usize]);
        let two = u32::from(a.1 + b.1);
        bits.put(u64::from(a.0) | u64::from(b.0) << a.1 | u64::from(c.0) << two, two + u32::from(c.1));
        at += 3;
    }
    while let Some(byte) = data.get(at) {
        let (code, size) = LITERALS[*byte as usize];
        bits.put(code.into(), size.into());
        at += 1;
    }
}

/// Five bits of code and the extra bits (RFC 1951 §3.2.5).
#[inline(always)]
fn distance_code(distance: usize) -> (u32, u32) {
    let d = distance as u32 - 1;
    if d < 4 {
        return (u32::from(FIVE[d as usize & 31]), 5);
    }
    let n = d.ilog2();
    let symbol = 2 * n + (d >> (n - 1) & 1);
    (u32::from(FIVE[symbol as usize & 31]) | (d & ((1 << (n - 1)) - 1)) << 5, 5 + n - 1)
}

static FIVE: [u8; 32] = five();

const fn five() -> [u8; 32] {
    let mut table = [0; 32];
    let mut at: usize = 0;
    while at < 32 {
        table[at] = (at as u8).reverse_bits() >> 3;
        at += 1;
    }
    table
}

/// Blocks that hold `data` as it is.
pub fn stored(data: &[u8], last: bool, out: &mut Vec<u8>) {
    let mut blocks = data.chunks(BLOCK_MAX).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(last && blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zlib_rs::{Inflate, InflateFlush, Status};

    fn round_trip(data: &[u8], piece: usize) -> usize {
        let (mut matcher, mut out) = (Matcher::default(), Vec::new());
        for (index, part) in data.chunks(piece).enumerate() {
            matcher.write(part, (index + 1) * piece >= data.len(), &mut out);
        }
        let mut back = vec![0; data.len() + 1];
        let mut inflate = Inflate::new(false, 15);
        let status = inflate.decompress(&out, &mut back, InflateFlush::SyncFlush).expect("a good stream");
        back.truncate(inflate.total_out() as usize);
        assert!(back == data && status == Status::StreamEnd, "{} bytes in pieces of {piece}", data.len());
        out.len()
    }

    /// xorshift: the same noise each time.
    fn noise(length: usize, letters: u64) -> Vec<u8> {
        let mut x = 0x2545_f491_4f6c_dd1du64;
        let mut next = move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        (0..length).map(|_| (next() >> 20) % letters).map(|n| n as u8).collect()
    }

    #[test]
    fn any_bytes_come_back() {
        for letters in [1, 2, 5, 40, 256] {
            for length in [1, 2, 3, 4, 11, 12, 13, 257, 258, 259, 300, 5000, 32768, 32769, 100_000] {
                let data = noise(length, letters);
                for piece in [1000, 32768, 65536, 100_000] {
                    round_trip(&data, piece);
                }
            }
        }
    }

    #[test]
    fn every_match_length_and_distance_can_be_written() {
        // Runs of each length, each after noise that moves them apart by more and more.
        let noise = noise(30_000, 256);
        let mut data = Vec::new();
        for length in 4..300 {
            data.extend_from_slice(&noise[..length]);
            data.extend_from_slice(&noise[length * 7..length * 7 + length / 3]);
            data.push(length as u8);
        }
        assert!(round_trip(&data, data.len()) < data.len() / 2);
    }

    #[test]
    fn noise_is_stored() {
        assert!(round_trip(&noise(60_000, 256), 60_000) <= 60_000 + 2 * 10);
    }
}
