//! SETTINGS (RFC 9113 §6.5.2, RFC 8441 §3): what each side may ask of the other.

use super::error::{ConnectionError, ErrorCode};
use super::flow::WINDOW_MAX;

pub mod id {
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    pub const ENABLE_PUSH: u16 = 0x2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub const MAX_FRAME_SIZE: u16 = 0x5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
}

/// The least that MAX_FRAME_SIZE may say, and what holds until it is said.
pub const MIN_MAX_FRAME_SIZE: u32 = 1 << 14;
/// The most that it may say.
pub const MAX_MAX_FRAME_SIZE: u32 = (1 << 24) - 1;

/// What the peer has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    pub header_table_size: u32,
    pub max_concurrent_streams: u32,
    pub initial_window_size: u32,
    pub max_frame_size: u32,
    pub connect_protocol: bool,
}

impl Default for PeerSettings {
    fn default() -> PeerSettings {
        PeerSettings {
            header_table_size: 4096,
            max_concurrent_streams: u32::MAX,
            initial_window_size: 65535,
            max_frame_size: MIN_MAX_FRAME_SIZE,
            connect_protocol: false,
        }
    }
}

impl PeerSettings {
    /// Takes one setting over. `from_server`: a server sent it.
    pub fn apply(&mut self, entry: [u8; 6], from_server: bool) -> Result<(), ConnectionError> {
        let [a, b, value @ ..] = entry;
        let value = u32::from_be_bytes(value);
        let wrong = Err(ConnectionError::Setting(ErrorCode::PROTOCOL_ERROR));
        match u16::from_be_bytes([a, b]) {
            id::HEADER_TABLE_SIZE => self.header_table_size = value,
            // RFC 9113 §6.5.2: from a server only 0.
            id::ENABLE_PUSH if value > 1 || (from_server && value == 1) => return wrong,
            id::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value,
            id::INITIAL_WINDOW_SIZE if value > WINDOW_MAX => {
                return Err(ConnectionError::Setting(ErrorCode::FLOW_CONTROL_ERROR));
            }
            id::INITIAL_WINDOW_SIZE => self.initial_window_size = value,
            id::MAX_FRAME_SIZE if !(MIN_MAX_FRAME_SIZE..=MAX_MAX_FRAME_SIZE).contains(&value) => return wrong,
            id::MAX_FRAME_SIZE => self.max_frame_size = value,
            // RFC 8441 §3: once granted, it stays.
            id::ENABLE_CONNECT_PROTOCOL if value > 1 || (self.connect_protocol && value == 0) => return wrong,
            id::ENABLE_CONNECT_PROTOCOL => self.connect_protocol = value == 1,
            // MAX_HEADER_LIST_SIZE is advice; what is unknown is ignored.
            _ => {}
        }
        Ok(())
    }
}
