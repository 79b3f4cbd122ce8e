//! Stick tables (manual 4.2 "stick-table", 11): the settings of a table here, its keys in `key`, what entries store in
//! `data`, the entries that one worker is home to in `shard`. All of it is pure; who asks whom is the data plane's.

pub mod data;
pub mod key;
pub mod shard;

use crate::base::origin::Origin;

#[derive(Debug, Clone, PartialEq)]
pub struct StickTable {
    pub origin: Origin,
    /// The proxy's name, or `peers/table`.
    pub name: String,
    pub key: KeyType,
    /// Entries at most.
    pub size: u64,
    pub nopurge: bool,
    /// Milliseconds without use after which an entry goes; `None`: only when the table is full.
    pub expire_ms: Option<u64>,
    /// `peers` section the table is shared through.
    pub peers: Option<String>,
    /// `srvkey addr`: servers are named by address, not by name.
    pub server_key_address: bool,
    /// `write-to <table>`.
    pub write_to: Option<String>,
    /// `recv-only`.
    pub recv_only: bool,
    pub store: Vec<StoredData>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Ip,
    Ipv6,
    Integer,
    /// Bytes at most.
    String(usize),
    Binary(usize),
}

/// One data type of `store`, with its period or array length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredData {
    pub name: &'static str,
    /// Elements of an array type (`gpc(3)`); 1 elsewhere.
    pub elements: u32,
    /// Milliseconds of a rate's period.
    pub period_ms: Option<u64>,
}

/// `stick on|match|store-request|store-response <expression> [table <t>] [if ...]`.
#[derive(Debug, Clone, PartialEq)]
pub struct StickRule {
    pub origin: Origin,
    pub kind: StickKind,
    /// The words of the expression; compiled by `config`.
    pub expression: Vec<String>,
    /// Name of the table; `None`: the backend's own.
    pub table: Option<String>,
    /// `if` or `unless` and the condition's words; empty: always.
    pub condition: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickKind {
    /// `on`: match, and store-request.
    On,
    Match,
    StoreRequest,
    StoreResponse,
}
