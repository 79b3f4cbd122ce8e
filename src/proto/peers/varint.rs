//! Integers of the protocol ("Encoding"): below 240 one byte; else four bits, then seven bits a byte, each with what the
//! bytes before it could not hold taken off.

use super::Fault;

/// Appends a number.
pub fn encode(mut value: u64, out: &mut Vec<u8>) {
    if value < 0xf0 {
        out.push(value as u8);
        return;
    }
    out.push(value as u8 | 0xf0);
    value = (value - 0xf0) >> 4;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value = (value - 0x80) >> 7;
    }
    out.push(value as u8);
}

/// What is left of a message while it is read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// Fewer are left; so for all that follow.
    pub fn bytes(&mut self, n: u64) -> Result<&'a [u8], Fault> {
        let n = usize::try_from(n).map_err(|_| Fault::Protocol)?;
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Fault::Protocol)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.bytes(1)?[0])
    }

    /// Four bytes in network order.
    pub fn fixed(&mut self) -> Result<u32, Fault> {
        let bytes = self.bytes(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// An encoded integer; also an error when it does not fit into 64 bits.
    pub fn integer(&mut self) -> Result<u64, Fault> {
        let mut value = self.byte()? as u64;
        if value < 0xf0 {
            return Ok(value);
        }
        for shift in (4..64).step_by(7) {
            let byte = self.byte()?;
            let add = (byte as u128) << shift;
            value = u64::try_from(value as u128 + add).map_err(|_| Fault::Protocol)?;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Fault::Protocol)
    }

    /// An encoded integer that must fit into 32 bits; what is beyond is cut off, as fields of 32 bits are.
    pub fn short(&mut self) -> Result<u32, Fault> {
        Ok(self.integer()? as u32)
    }
}
