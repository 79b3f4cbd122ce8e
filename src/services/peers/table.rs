//! Shared tables between their two forms: entries as homes keep them, and definitions and values as the wire has them.

use super::{Peer, PeersContext, Section};
use crate::base::hash::xxh64;
use crate::dataplane::persist::{server_of_word, word as word_of_server};
use crate::dataplane::tables::message::{Learned, Listed};
use crate::dataplane::tables::registry::TableId;
use crate::model::plan::ProxyIndex;
use crate::model::stick_table::KeyType;
use crate::model::stick_table::data::{DataType, Layout, Stored};
use crate::proto::peers::definition::{Column, DATA_TYPES, Definition, Key};
use crate::proto::peers::dictionary::Sent;
use crate::proto::peers::entry::{self, Update, Value};
use crate::proto::peers::message::{self, Kind};
use std::rc::Rc;
use std::sync::Arc;

/// Entries that are asked of a home at once.
pub const PIECE_ENTRIES: usize = 128;

/// A table of this process that a section shares.
pub struct Shared {
    pub number: TableId,
    pub name: String,
    /// Its place among the section's tables, from 0.
    place: usize,
    key: Key,
    wire_name: Vec<u8>,
    layout: Arc<Layout>,
    server_key_address: bool,
    recv_only: bool,
    write_to: Option<TableId>,
    /// The definition message that goes before its updates.
    pub definition: Vec<u8>,
    /// Whose servers it may name: the proxies that use it.
    proxies: Vec<ProxyIndex>,
}

fn key_of(key: KeyType) -> Key {
    let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    match key {
        KeyType::Ip => Key::Ipv4,
        KeyType::Ipv6 => Key::Ipv6,
        KeyType::Integer => Key::Integer,
        KeyType::String(n) => Key::String(length(n)),
        KeyType::Binary(n) => Key::Binary(length(n)),
    }
}

impl Shared {
    /// The tables of a section, numbered in the order in which they are declared, as HAProxy does.
    pub fn of_section(cx: &PeersContext, section: usize) -> Vec<Shared> {
        let registry = &cx.tables.registry;
        let mut numbers: Vec<TableId> =
            registry.shown().filter(|n| registry.def(*n).peers == Some(section)).collect();
        numbers.reverse();
        let mut tables = Vec::new();
        for number in numbers {
            let def = registry.def(number);
            // A table of the section itself goes by its own name, with a slash before it (manual 11.2, "table").
            let prefix = cx.plan.peers[section].name.len();
            let own = cx.plan.peers[section].tables.iter().any(|t| t.name == def.name);
            let wire_name = if own { &def.name[prefix..] } else { &def.name };
            let uses = |proxy: ProxyIndex| {
                let p = &cx.plan.proxies[proxy];
                p.name == def.name || p.backend.stick_rules.iter().any(|r| r.table.as_deref() == Some(&def.name))
            };
            let mut table = Shared {
                number,
                name: def.name.clone(),
                place: tables.len(),
                key: key_of(def.key),
                wire_name: wire_name.as_bytes().to_vec(),
                layout: def.layout.clone(),
                server_key_address: def.server_key_address,
                recv_only: def.recv_only,
                write_to: def.write_to,
                definition: Vec::new(),
                proxies: (0..cx.plan.proxies.len()).filter(|p| uses(*p)).collect(),
            };
            let columns = table.layout.columns().iter().map(|c| Column {
                data: c.data as u8,
                elements: c.elements,
                period_ms: c.period_ms,
            });
            let definition = Definition {
                id: table.wire_id(),
                name: table.wire_name.clone(),
                key: table.key,
                expire_ms: def.expire_ms.unwrap_or(0),
                columns: columns.collect(),
            };
            definition.write(&mut table.definition);
            tables.push(table);
        }
        tables
    }

    /// Our number of the table on the wire.
    pub fn wire_id(&self) -> u64 {
        self.place as u64 + 1
    }

    /// The server that an entry's word means, as others know it.
    pub fn server_text(&self, cx: &PeersContext, word: u64) -> Option<String> {
        let (proxy, server) = server_of_word(word)?;
        let live = cx.board.live.server(proxy, server)?;
        if self.server_key_address { live.address().map(|a| a.to_string()) } else { Some(live.settings.name.clone()) }
    }

    /// The word of the server that others know as `text`; 0: there is none here.
    fn server_word(&self, cx: &PeersContext, text: &[u8]) -> u64 {
        let Ok(text) = std::str::from_utf8(text) else { return 0 };
        for &proxy in &self.proxies {
            let backend = cx.board.live.backend(proxy);
            let found = if self.server_key_address {
                let here = |a: Option<String>| a.as_deref() == Some(text);
                backend.servers().find(|(_, s)| here(s.address().map(|a| a.to_string()))).map(|(i, _)| i)
            } else {
                backend.find(text)
            };
            if let Some(server) = found {
                return word_of_server(proxy, server);
            }
        }
        0
    }
}

impl Section {
    /// Whether a peer is told of a key: with `shards`, each peer with a `shard` has its part of them.
    pub fn is_for(&self, peer: &Peer, table: &Shared, key: &[u8]) -> bool {
        if self.shards == 0 || peer.shard == 0 || peer.local {
            return true;
        }
        xxh64(key, xxh64(&table.wire_name, 0)) % self.shards as u64 + 1 == peer.shard as u64
    }
}

/// Appends the message that tells an entry.
pub fn write_update(
    section: &Section,
    table: &Shared,
    kind: Kind,
    number: u32,
    listed: &Listed,
    words: &mut Sent,
    out: &mut Vec<u8>,
) {
    let now = section.cx.now();
    let mut data = Vec::with_capacity(64);
    let update = Update {
        number: (!kind.incremental).then_some(number),
        left_ms: kind.timed.then(|| u32::try_from(listed.expires_ms).unwrap_or(u32::MAX)),
        key: &listed.key,
    };
    entry::write_head(table.key, &update, &mut data);
    for column in table.layout.columns() {
        for index in 0..column.elements {
            let stored = table.layout.stored(&listed.words, column, index, now);
            if let (DataType::ServerKey, Stored::Number(word)) = (column.data, stored) {
                let text = table.server_text(&section.cx, word);
                entry::write_value(Value::Word(text.as_deref().map(str::as_bytes)), words, &mut data);
                continue;
            }
            let value = match stored {
                Stored::Number(n) => Value::Number(n),
                Stored::Rate { elapsed_ms, current, past } => Value::Rate { elapsed_ms, current, past },
            };
            entry::write_value(value, words, &mut data);
        }
    }
    message::update(kind, &data, out);
}

/// A table as a peer has defined it, for one of ours.
pub struct Remote {
    /// Place among the section's tables.
    pub table: usize,
    pub definition: Definition,
    own: Target,
    /// The table that learns with it (`write-to`).
    second: Option<Target>,
}

/// A table of ours that learns.
struct Target {
    number: TableId,
    layout: Arc<Layout>,
    /// Elements that are learned, by data type.
    elements: [u32; DATA_TYPES as usize],
    /// Words of an entry that are learned.
    words: Arc<[usize]>,
}

impl Target {
    fn new(
        number: TableId,
        layout: &Arc<Layout>,
        definition: &Definition,
        takes: impl Fn(DataType) -> bool,
    ) -> Target {
        let mut elements = [0; DATA_TYPES as usize];
        let mut words = Vec::new();
        for told in &definition.columns {
            let Some(data) = DataType::numbered(told.data).filter(|d| takes(*d)) else { continue };
            let Some(column) = layout.column(data) else { continue };
            let common = column.elements.min(told.elements);
            elements[told.data as usize] = common;
            words.extend((0..common).flat_map(|index| layout.words_of(data, index)));
        }
        Target { number, layout: layout.clone(), elements, words: words.into() }
    }

    fn takes(&self, data: u8, index: u32) -> Option<DataType> {
        let elements = self.elements.get(data as usize)?;
        if index < *elements { DataType::numbered(data) } else { None }
    }
}

/// Milliseconds that are a little less than none, as 32 bits have them: a thread of HAProxy may be a moment behind the clock
/// that began the period (observed). It begins now.
fn elapsed(ms: u64) -> u64 {
    const BEHIND_MS: u32 = 60_000;
    let wrapped = u32::try_from(ms).is_ok_and(|ms| ms > u32::MAX - BEHIND_MS);
    if wrapped { 0 } else { ms }
}

/// The words of an entry that is being learned, for each target.
pub struct Words {
    own: Box<[u64]>,
    second: Box<[u64]>,
}

impl Remote {
    /// Ours that a peer's definition means. `None`: there is none, or its keys are others.
    pub fn of(section: &Section, definition: Definition) -> Option<Remote> {
        let cx = &section.cx;
        let table = section.tables.iter().position(|t| t.wire_name == definition.name && t.key == definition.key)?;
        let shared = &section.tables[table];
        // What counts our own connections is ours, unless nothing is counted here (manual 11.2).
        let own = |data| data != DataType::ConnCur || shared.recv_only;
        let registry = &cx.tables.registry;
        let second = shared.write_to.filter(|to| key_of(registry.def(*to).key) == shared.key && *to != shared.number);
        // Nothing that is counted (manual 11.1 "write-to").
        let plain = |data| matches!(data, DataType::ServerId | DataType::ServerKey | DataType::Gpt | DataType::Gpt0);
        let second = second.map(|to| Target::new(to, &registry.def(to).layout, &definition, plain));
        let own = Target::new(shared.number, &shared.layout, &definition, own);
        Some(Remote { table, own, second, definition })
    }

    /// Bits of the data types that it tells.
    pub fn bits(&self) -> u64 {
        self.definition.columns.iter().fold(0, |bits, c| bits | 1 << c.data)
    }

    pub fn begin(&self) -> Words {
        let zeros = |target: &Target| vec![0; target.layout.words()].into_boxed_slice();
        Words { own: zeros(&self.own), second: self.second.as_ref().map(zeros).unwrap_or_default() }
    }

    /// One element of the entry.
    pub fn value(&self, section: &Section, words: &mut Words, data: u8, index: u32, value: Value<'_>) {
        let stored = match value {
            Value::Number(n) => Stored::Number(n),
            Value::Rate { elapsed_ms, current, past } => {
                Stored::Rate { elapsed_ms: elapsed(elapsed_ms), current, past }
            }
            Value::Word(None) => Stored::Number(0),
            Value::Word(Some(text)) => Stored::Number(section.tables[self.table].server_word(&section.cx, text)),
        };
        let now = section.cx.now();
        for (target, words) in [(Some(&self.own), &mut words.own), (self.second.as_ref(), &mut words.second)] {
            if let Some(target) = target
                && let Some(data) = target.takes(data, index)
            {
                target.layout.restore(words, data, index, stored, now);
            }
        }
    }
}

/// Entries on their way to their homes: all of one definition.
#[derive(Default)]
pub struct Lessons {
    remote: Option<Rc<Remote>>,
    own: Vec<Learned>,
    second: Vec<Learned>,
}

impl Lessons {
    pub fn len(&self) -> usize {
        self.own.len()
    }

    pub fn push(&mut self, section: &Section, remote: &Rc<Remote>, words: Words, key: &[u8], left_ms: Option<u32>) {
        let registry = &section.cx.tables.registry;
        // Tables without a time say nothing of it.
        let left_ms = left_ms.filter(|ms| *ms > 0).map(u64::from);
        let learned = |table, words| Learned { key: key.into(), hash: registry.hash(table, key), left_ms, words };
        self.own.push(learned(remote.own.number, words.own));
        if let Some(second) = &remote.second {
            self.second.push(learned(second.number, words.second));
        }
        self.remote = Some(remote.clone());
    }

    /// Gives them to their homes, and waits until these have them.
    pub async fn hand_over(&mut self, section: &Section, source: u32) {
        let Some(remote) = self.remote.take() else { return };
        let tables = &section.cx.tables;
        tables.learn(remote.own.number, &remote.own.words, source, std::mem::take(&mut self.own)).await;
        if let Some(second) = &remote.second {
            tables.learn(second.number, &second.words, source, std::mem::take(&mut self.second)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::elapsed;

    #[test]
    fn a_period_that_begins_in_the_future_begins_now() {
        let ms = [0, 5, u32::MAX as u64, u32::MAX as u64 - 59_999, u32::MAX as u64 - 60_000, 1 << 40].map(elapsed);
        assert_eq!(ms, [0, 5, 0, 0, u32::MAX as u64 - 60_000, 1 << 40]);
    }
}
