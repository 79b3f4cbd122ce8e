//! `ring` sections (manual 12.5): buffers in memory that log lines go to, and the servers that read them.

use super::server::Server;
use crate::base::origin::Origin;
use crate::proto::syslog::Format;

/// Index of a ring in [`super::plan::Plan::rings`].
pub type RingIndex = usize;

/// Bytes of `size` that hold no events: HAProxy's own book-keeping, kept so that the same limits hold.
const RESERVED: usize = 192;
/// Bytes that an event takes beside its own.
pub const EVENT_HEAD: usize = 5;
/// Size of a ring that does not say it (BUFSIZE).
const SIZE_DEFAULT: usize = 16384;
/// Size of the rings that are always there.
const SIZE_BUILT_IN: usize = 1 << 20;

#[derive(Debug, Clone)]
pub struct Ring {
    pub origin: Origin,
    pub name: String,
    pub description: String,
    /// Of every event, whatever the `log` line says.
    pub format: Format,
    /// `size`, in bytes.
    pub size: usize,
    /// Bytes of an event at most, what is before the text included.
    pub length_max: usize,
    pub timeout_connect_ms: Option<u64>,
    pub timeout_server_ms: Option<u64>,
    /// Each gets all events.
    pub servers: Vec<Server>,
    /// Made for a `log` line that names the address of a stream.
    pub implicit: bool,
    /// The order of sections; `None`: only a `log` line names it.
    pub declared: Option<u32>,
}

impl Ring {
    pub fn new(name: &str, origin: Origin) -> Ring {
        Ring {
            origin,
            name: name.to_owned(),
            description: name.to_owned(),
            format: Format::Raw,
            size: SIZE_DEFAULT,
            length_max: usize::MAX,
            timeout_connect_ms: None,
            timeout_server_ms: None,
            servers: Vec::new(),
            implicit: false,
            declared: None,
        }
    }

    /// The rings that exist without a section.
    pub fn built_in() -> Vec<Ring> {
        let ring = |name, description: &str, format, place| Ring {
            description: description.to_owned(),
            format,
            size: SIZE_BUILT_IN,
            declared: Some(place),
            ..Ring::new(name, Origin::none())
        };
        vec![
            ring("buf0", "in-memory ring buffer", Format::Timed, 0),
            ring("dpapi", "DPAPI ring buffer", Format::Raw, 1),
        ]
    }

    /// `size`, where it is enough to hold anything.
    pub fn resize(&mut self, bytes: usize) {
        if bytes > RESERVED + EVENT_HEAD {
            self.size = bytes;
        }
    }

    /// Bytes for events and their heads.
    pub fn room(&self) -> usize {
        self.size - RESERVED
    }

    /// Bytes of an event that fits at all.
    pub fn payload_max(&self) -> usize {
        self.room() - EVENT_HEAD
    }
}
