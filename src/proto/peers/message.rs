//! Messages after the handshake ("Messages"): two bytes, and for types from 128 on a length and so many bytes. Classes and
//! types that are not known are passed over, so that later versions may add some.

use super::Fault;
use super::varint::{Reader, encode};

/// Bytes of a message at most: more than the longest entry that HAProxy's buffers can hold.
pub const MESSAGE_MAX: u64 = 64 << 10;

const CONTROL: u8 = 0;
const ERROR: u8 = 1;
const TABLE: u8 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Control(Control),
    /// The other side says that we sent something wrong; it closes.
    Error(Fault),
    /// The table that the following updates are about.
    Definition(&'a [u8]),
    /// The same, of a table that was defined before.
    Switch(&'a [u8]),
    Update(Kind, &'a [u8]),
    Ack {
        table: u64,
        update: u32,
    },
    /// Something of a later version.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Send all you know.
    ResyncRequest = 0,
    /// All was sent, by one who knows all.
    ResyncFinished = 1,
    /// All was sent, by one who may not know all.
    ResyncPartial = 2,
    /// One of these two was received.
    ResyncConfirm = 3,
    Heartbeat = 4,
}

/// Which fields an update begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its number is not written: one more than that of the update before.
    pub incremental: bool,
    /// The milliseconds that the entry has left are written.
    pub timed: bool,
}

impl Kind {
    fn byte(self) -> u8 {
        match (self.timed, self.incremental) {
            (false, false) => 128,
            (false, true) => 129,
            (true, false) => 133,
            (true, true) => 134,
        }
    }
}

impl<'a> Message<'a> {
    /// Reads the first message and says how long it was; `None`: more bytes are needed.
    ///
    /// # Errors
    /// What the other side is to be told before the connection closes.
    pub fn read(bytes: &'a [u8]) -> Result<Option<(Message<'a>, usize)>, Fault> {
        let [class, kind, rest @ ..] = bytes else { return Ok(None) };
        if *kind < 128 {
            return Ok(Some((short(*class, *kind)?, 2)));
        }
        let mut reader = Reader(rest);
        let Ok(length) = reader.integer() else {
            // An integer has ten bytes at most.
            return if rest.len() >= 10 { Err(Fault::Protocol) } else { Ok(None) };
        };
        if length > MESSAGE_MAX {
            return Err(Fault::TooLong);
        }
        let Ok(data) = reader.bytes(length) else { return Ok(None) };
        let used = bytes.len() - reader.0.len();
        Ok(Some((long(*class, *kind, data)?, used)))
    }
}

fn short<'a>(class: u8, kind: u8) -> Result<Message<'a>, Fault> {
    Ok(match (class, kind) {
        (CONTROL, 0) => Message::Control(Control::ResyncRequest),
        (CONTROL, 1) => Message::Control(Control::ResyncFinished),
        (CONTROL, 2) => Message::Control(Control::ResyncPartial),
        (CONTROL, 3) => Message::Control(Control::ResyncConfirm),
        (CONTROL, 4) => Message::Control(Control::Heartbeat),
        (ERROR, 0) => Message::Error(Fault::Protocol),
        (ERROR, 1) => Message::Error(Fault::TooLong),
        // All messages about tables have a length.
        (TABLE, _) => return Err(Fault::Protocol),
        _ => Message::Other,
    })
}

fn long(class: u8, kind: u8, data: &[u8]) -> Result<Message<'_>, Fault> {
    if class != TABLE {
        return Ok(Message::Other);
    }
    let update = |incremental, timed| Message::Update(Kind { incremental, timed }, data);
    Ok(match kind {
        128 => update(false, false),
        129 => update(true, false),
        130 => Message::Definition(data),
        131 => Message::Switch(data),
        132 => {
            let mut reader = Reader(data);
            Message::Ack { table: reader.integer()?, update: reader.fixed()? }
        }
        // The document says 133 for acknowledgements; HAProxy sends 132 for them and timed updates as these (observed).
        133 => update(false, true),
        134 => update(true, true),
        _ => Message::Other,
    })
}

pub fn control(control: Control, out: &mut Vec<u8>) {
    out.extend([CONTROL, control as u8]);
}

pub fn error(fault: Fault, out: &mut Vec<u8>) {
    out.extend([ERROR, if fault == Fault::TooLong { 1 } else { 0 }]);
}

pub fn ack(table: u64, update: u32, out: &mut Vec<u8>) {
    let mut data = Vec::with_capacity(14);
    encode(table, &mut data);
    data.extend(update.to_be_bytes());
    table_message(132, &data, out);
}

pub fn definition(data: &[u8], out: &mut Vec<u8>) {
    table_message(130, data, out);
}

pub fn update(kind: Kind, data: &[u8], out: &mut Vec<u8>) {
    table_message(kind.byte(), data, out);
}

fn table_message(kind: u8, data: &[u8], out: &mut Vec<u8>) {
    out.extend([TABLE, kind]);
    encode(data.len() as u64, out);
    out.extend_from_slice(data);
}
