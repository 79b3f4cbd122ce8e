//! What an entry of a stick table stores (manual 11.1 "store"): data types, where each lies in an entry's words, and how an
//! event or an edit changes them. Time is an argument. Values are those of one entry; entries are `shard`.

use super::StoredData;
use crate::base::clock::Millis;
use crate::language::world::{Counter, CounterEdit};

/// Data types, numbered as on the wire of the peers protocol; `show table` lists them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DataType {
    ServerId,
    Gpt0,
    Gpc0,
    Gpc0Rate,
    ConnCnt,
    ConnRate,
    ConnCur,
    SessCnt,
    SessRate,
    HttpReqCnt,
    HttpReqRate,
    HttpErrCnt,
    HttpErrRate,
    BytesInCnt,
    BytesInRate,
    BytesOutCnt,
    BytesOutRate,
    Gpc1,
    Gpc1Rate,
    ServerKey,
    HttpFailCnt,
    HttpFailRate,
    Gpt,
    Gpc,
    GpcRate,
    GlitchCnt,
    GlitchRate,
}

use DataType::*;

const ALL: [(DataType, &str); 27] = [
    (ServerId, "server_id"),
    (Gpt0, "gpt0"),
    (Gpc0, "gpc0"),
    (Gpc0Rate, "gpc0_rate"),
    (ConnCnt, "conn_cnt"),
    (ConnRate, "conn_rate"),
    (ConnCur, "conn_cur"),
    (SessCnt, "sess_cnt"),
    (SessRate, "sess_rate"),
    (HttpReqCnt, "http_req_cnt"),
    (HttpReqRate, "http_req_rate"),
    (HttpErrCnt, "http_err_cnt"),
    (HttpErrRate, "http_err_rate"),
    (BytesInCnt, "bytes_in_cnt"),
    (BytesInRate, "bytes_in_rate"),
    (BytesOutCnt, "bytes_out_cnt"),
    (BytesOutRate, "bytes_out_rate"),
    (Gpc1, "gpc1"),
    (Gpc1Rate, "gpc1_rate"),
    (ServerKey, "server_key"),
    (HttpFailCnt, "http_fail_cnt"),
    (HttpFailRate, "http_fail_rate"),
    (Gpt, "gpt"),
    (Gpc, "gpc"),
    (GpcRate, "gpc_rate"),
    (GlitchCnt, "glitch_cnt"),
    (GlitchRate, "glitch_rate"),
];

impl DataType {
    /// The type with this number.
    pub fn numbered(number: u8) -> Option<DataType> {
        ALL.get(number as usize).map(|(d, _)| *d)
    }

    pub fn named(name: &str) -> Option<DataType> {
        ALL.iter().find(|(_, n)| *n == name).map(|(d, _)| *d)
    }

    /// The word of `store`; elements of arrays are shown as `gpc0`, `gpc1_rate`.
    pub fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    pub fn is_rate(self) -> bool {
        matches!(
            self,
            Gpc0Rate
                | ConnRate
                | SessRate
                | HttpReqRate
                | HttpErrRate
                | BytesInRate
                | BytesOutRate
                | Gpc1Rate
                | HttpFailRate
                | GpcRate
                | GlitchRate
        )
    }
}

/// Words that a rate takes: when its period began, and the events of this period and the one before.
const RATE_WORDS: usize = 2;

/// A stored data type and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub data: DataType,
    pub elements: u32,
    /// Milliseconds; 0 where there is no period.
    pub period_ms: u64,
    offset: usize,
}

/// Where everything lies in the words of an entry.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    columns: Vec<Column>,
    words: usize,
    /// Bits of the data types in `columns`.
    stored: u32,
}

/// An element without the clock of the process that stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    Number(u64),
    /// Milliseconds since the present period began, its events and those of the period before.
    Rate {
        elapsed_ms: u64,
        current: u32,
        past: u32,
    },
}

/// What happened to an entry, or what is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection or stream began to be tracked.
    Connection,
    /// One that was tracked ended.
    ConnectionEnd,
    /// The count of connections alone, as rules change it.
    ConnectionCount,
    Session,
    Request,
    Error,
    Failure,
    BytesIn,
    BytesOut,
    Glitch,
    Gpc(u32),
    Gpt(u32),
    ServerId,
    /// Which server, as the data plane packs it.
    ServerKey,
    /// How many track the entry; no data of it.
    Trackers,
}

impl What {
    /// The counter and the rate of something that happens to who tracks an entry.
    fn columns(self) -> Option<(DataType, DataType)> {
        Some(match self {
            What::Connection => (ConnCnt, ConnRate),
            What::Session => (SessCnt, SessRate),
            What::Request => (HttpReqCnt, HttpReqRate),
            What::Error => (HttpErrCnt, HttpErrRate),
            What::Failure => (HttpFailCnt, HttpFailRate),
            What::BytesIn => (BytesInCnt, BytesInRate),
            What::BytesOut => (BytesOutCnt, BytesOutRate),
            What::Glitch => (GlitchCnt, GlitchRate),
            _ => return None,
        })
    }
}

/// One change of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub what: What,
    pub edit: CounterEdit,
    pub at: Millis,
}

impl Change {
    pub fn add(what: What, n: i64, at: Millis) -> Change {
        Change { what, edit: CounterEdit::Add(n), at }
    }

    /// Adds `later` to a list, into an equal addition where one stands at the end of its kind.
    pub fn push(list: &mut Vec<Change>, later: Change) {
        if let CounterEdit::Add(n) = later.edit
            && let Some(same) = list.iter_mut().rev().find(|c| c.what == later.what)
            && let CounterEdit::Add(m) = same.edit
        {
            same.edit = CounterEdit::Add(m + n);
            same.at = later.at;
            return;
        }
        list.push(later);
    }
}

impl Layout {
    pub fn new(store: &[StoredData]) -> Layout {
        let mut columns: Vec<Column> = store
            .iter()
            .filter_map(|s| {
                let data = DataType::named(s.name)?;
                Some(Column { data, elements: s.elements.max(1), period_ms: s.period_ms.unwrap_or(0), offset: 0 })
            })
            .collect();
        columns.sort_by_key(|c| c.data as u8);
        let mut words = 0;
        for c in &mut columns {
            c.offset = words;
            words += c.elements as usize * if c.data.is_rate() { RATE_WORDS } else { 1 };
        }
        let stored = columns.iter().fold(0, |all, c| all | 1 << c.data as u32);
        Layout { columns, words, stored }
    }

    /// Words of an entry.
    pub fn words(&self) -> usize {
        self.words
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub fn column(&self, data: DataType) -> Option<&Column> {
        self.columns.iter().find(|c| c.data == data)
    }

    pub fn stores(&self, data: DataType) -> bool {
        self.stored & 1 << data as u32 != 0
    }

    /// Whether something that happens to who tracks an entry changes what it stores.
    pub fn counts(&self, what: What) -> bool {
        match what {
            What::Connection if self.stores(ConnCur) => true,
            What::ConnectionEnd => self.stores(ConnCur),
            What::Trackers => true,
            _ => what.columns().is_some_and(|(count, rate)| self.stores(count) || self.stores(rate)),
        }
    }

    /// A column's element, where it is stored.
    fn at(&self, data: DataType, index: u32) -> Option<Cell> {
        let c = self.column(data)?;
        if index >= c.elements {
            return None;
        }
        let step = if data.is_rate() { RATE_WORDS } else { 1 };
        Some(Cell {
            offset: c.offset + index as usize * step,
            period_ms: c.period_ms,
            wide: wide(data),
            signed: data == ConnCur,
        })
    }

    /// `gpc<index>`: an array's element, or the old single counter (manual 11.1: an array overrides them).
    fn gpc(&self, index: u32) -> Option<Cell> {
        self.at(Gpc, index).or_else(|| match index {
            0 => self.at(Gpc0, 0),
            1 => self.at(Gpc1, 0),
            _ => None,
        })
    }

    fn gpc_rate(&self, index: u32) -> Option<Cell> {
        self.at(GpcRate, index).or_else(|| match index {
            0 => self.at(Gpc0Rate, 0),
            1 => self.at(Gpc1Rate, 0),
            _ => None,
        })
    }

    fn gpt(&self, index: u32) -> Option<Cell> {
        self.at(Gpt, index).or_else(|| if index == 0 { self.at(Gpt0, 0) } else { None })
    }

    fn cell(&self, counter: Counter) -> Option<Cell> {
        match counter {
            Counter::BytesInRate => self.at(BytesInRate, 0),
            Counter::BytesOutRate => self.at(BytesOutRate, 0),
            Counter::ConnCnt => self.at(ConnCnt, 0),
            Counter::ConnCur => self.at(ConnCur, 0),
            Counter::ConnRate => self.at(ConnRate, 0),
            Counter::GlitchCnt => self.at(GlitchCnt, 0),
            Counter::GlitchRate => self.at(GlitchRate, 0),
            Counter::Gpc(n) => self.at(Gpc, n),
            Counter::GpcRate(n) => self.at(GpcRate, n),
            Counter::Gpc0 => self.gpc(0),
            Counter::Gpc1 => self.gpc(1),
            Counter::Gpc0Rate => self.gpc_rate(0),
            Counter::Gpc1Rate => self.gpc_rate(1),
            Counter::Gpt(n) => self.at(Gpt, n),
            Counter::Gpt0 => self.gpt(0),
            Counter::HttpErrCnt => self.at(HttpErrCnt, 0),
            Counter::HttpErrRate => self.at(HttpErrRate, 0),
            Counter::HttpFailCnt => self.at(HttpFailCnt, 0),
            Counter::HttpFailRate => self.at(HttpFailRate, 0),
            Counter::HttpReqCnt => self.at(HttpReqCnt, 0),
            Counter::HttpReqRate => self.at(HttpReqRate, 0),
            Counter::KbytesIn => self.at(BytesInCnt, 0),
            Counter::KbytesOut => self.at(BytesOutCnt, 0),
            Counter::SessCnt => self.at(SessCnt, 0),
            Counter::SessRate => self.at(SessRate, 0),
            Counter::ServerId => self.at(ServerId, 0),
            Counter::Trackers | Counter::Idle | Counter::Expire | Counter::Exists => None,
        }
    }

    /// Whether entries store what `counter` reads.
    pub fn has(&self, counter: Counter) -> bool {
        matches!(counter, Counter::Trackers | Counter::Idle | Counter::Expire | Counter::Exists)
            || self.cell(counter).is_some()
    }

    /// What a fetch gives; `None` when it is not stored.
    pub fn read(&self, words: &[u64], counter: Counter, now: Millis) -> Option<i64> {
        let value = self.cell(counter)?.read(words, now) as i64;
        Some(match counter {
            Counter::KbytesIn | Counter::KbytesOut => value / 1024,
            _ => value,
        })
    }

    /// One element of a stored column, as `show table` prints it.
    pub fn element(&self, words: &[u64], column: &Column, index: u32, now: Millis) -> u64 {
        self.at(column.data, index).map_or(0, |c| c.read(words, now))
    }

    /// Sets an element: `set table`, and what a peer says.
    pub fn set_element(&self, words: &mut [u64], data: DataType, index: u32, value: u64, now: Millis) -> bool {
        let Some(cell) = self.at(data, index) else { return false };
        if cell.period_ms > 0 {
            Rate::of(words, cell.offset).set(value as u32, now);
        } else {
            words[cell.offset] = if cell.wide { value } else { value & u32::MAX as u64 };
        }
        true
    }

    /// One element as it is stored: what peers tell each other.
    pub fn stored(&self, words: &[u64], column: &Column, index: u32, now: Millis) -> Stored {
        let Some(cell) = self.at(column.data, index) else { return Stored::Number(0) };
        if cell.period_ms == 0 {
            return Stored::Number(cell.read(words, now));
        }
        let Frozen { start, current, past } = Frozen::of(words, cell.offset);
        // What was never counted begins now.
        let elapsed_ms = if start == 0 { 0 } else { moment(now).saturating_sub(start) };
        Stored::Rate { elapsed_ms, current, past }
    }

    /// Sets an element to what [`Layout::stored`] gave elsewhere.
    pub fn restore(&self, words: &mut [u64], data: DataType, index: u32, stored: Stored, now: Millis) {
        let Some(cell) = self.at(data, index) else { return };
        match stored {
            Stored::Number(n) if cell.period_ms == 0 => {
                words[cell.offset] = if cell.wide { n } else { n & u32::MAX as u64 }
            }
            Stored::Rate { elapsed_ms, current, past } if cell.period_ms > 0 => {
                let nothing = elapsed_ms >= cell.period_ms.saturating_mul(2).min(EPOCH) || (current, past) == (0, 0);
                let rate = &mut words[cell.offset..cell.offset + RATE_WORDS];
                rate[0] = if nothing { 0 } else { moment(now) - elapsed_ms };
                rate[1] = if nothing { 0 } else { (current as u64) << 32 | past as u64 };
            }
            Stored::Number(_) | Stored::Rate { .. } => {}
        }
    }

    /// The words of an entry that hold an element.
    pub fn words_of(&self, data: DataType, index: u32) -> std::ops::Range<usize> {
        let Some(cell) = self.at(data, index) else { return 0..0 };
        cell.offset..cell.offset + if data.is_rate() { RATE_WORDS } else { 1 }
    }

    /// What an edit of a counter changes; `None` when it is not stored.
    pub fn what(&self, counter: Counter) -> Option<What> {
        let what = match counter {
            Counter::Gpc(n) | Counter::GpcRate(n) => {
                self.at(Gpc, n).or_else(|| self.at(GpcRate, n))?;
                return Some(What::Gpc(n));
            }
            Counter::Gpc0 | Counter::Gpc0Rate => What::Gpc(0),
            Counter::Gpc1 | Counter::Gpc1Rate => What::Gpc(1),
            Counter::Gpt(n) => {
                self.at(Gpt, n)?;
                return Some(What::Gpt(n));
            }
            Counter::Gpt0 => What::Gpt(0),
            Counter::ConnCnt => What::ConnectionCount,
            _ => return None,
        };
        let stored = match what {
            What::Gpc(n) => self.gpc(n).is_some() || self.gpc_rate(n).is_some(),
            What::Gpt(n) => self.gpt(n).is_some(),
            _ => self.stores(ConnCnt) || self.stores(ConnRate),
        };
        stored.then_some(what)
    }

    /// Applies a change. The value: what it left, or for a clearing what was there before (manual 7.3.3 "sc_clr_gpc0").
    pub fn apply(&self, words: &mut [u64], change: Change) -> i64 {
        let (count, rate) = match change.what {
            What::ConnectionCount => (self.at(ConnCnt, 0), None),
            What::Gpc(n) => (self.gpc(n), self.gpc_rate(n)),
            What::Gpt(n) => (self.gpt(n), None),
            What::ServerId => (self.at(ServerId, 0), None),
            What::ServerKey => (self.at(ServerKey, 0), None),
            What::ConnectionEnd => {
                if let (Some(current), CounterEdit::Add(n)) = (self.at(ConnCur, 0), change.edit) {
                    current.edit(words, CounterEdit::Add(-n), change.at);
                }
                return 0;
            }
            What::Trackers => return 0,
            what => what.columns().map_or((None, None), |(count, rate)| (self.at(count, 0), self.at(rate, 0))),
        };
        if change.what == What::Connection
            && let Some(current) = self.at(ConnCur, 0)
        {
            current.edit(words, change.edit, change.at);
        }
        // Clearing a counter leaves its rate (observed).
        let rate = rate.filter(|_| change.edit != CounterEdit::Clear || count.is_none());
        let rated = rate.map(|cell| cell.edit(words, change.edit, change.at));
        let counted = count.map(|cell| cell.edit(words, change.edit, change.at));
        counted.or(rated).unwrap_or(0)
    }
}

/// Counters of bytes hold 64 bits, the others 32 (manual 11.1), as does the server's word.
fn wide(data: DataType) -> bool {
    matches!(data, BytesInCnt | BytesOutCnt | ServerKey)
}

#[derive(Clone, Copy)]
struct Cell {
    offset: usize,
    period_ms: u64,
    wide: bool,
    /// Ends may be heard of before beginnings; it reads as none then.
    signed: bool,
}

impl Cell {
    fn read(&self, words: &[u64], now: Millis) -> u64 {
        if self.signed {
            return (words[self.offset] as u32 as i32).max(0) as u64;
        }
        if self.period_ms == 0 {
            return words[self.offset];
        }
        Frozen::of(words, self.offset).value(self.period_ms, now)
    }

    fn edit(&self, words: &mut [u64], edit: CounterEdit, at: Millis) -> i64 {
        if self.period_ms > 0 {
            let before = self.read(words, at) as i64;
            let mut rate = Rate::of(words, self.offset);
            match edit {
                CounterEdit::Add(n) => rate.add(n.clamp(0, u32::MAX as i64) as u32, self.period_ms, at),
                CounterEdit::Set(n) => rate.set(n as u32, at),
                CounterEdit::Clear => {
                    rate.set(0, at);
                    return before;
                }
            }
            return self.read(words, at) as i64;
        }
        let word = &mut words[self.offset];
        let before = *word;
        *word = match edit {
            CounterEdit::Add(n) => before.wrapping_add(n as u64),
            CounterEdit::Set(n) => n as u64,
            CounterEdit::Clear => 0,
        };
        if !self.wide {
            *word &= u32::MAX as u64;
        }
        if edit == CounterEdit::Clear { before as i64 } else { *word as i64 }
    }
}

/// What is added to moments in words: what a peer tells may have begun before this process did.
const EPOCH: u64 = 1 << 48;

/// A moment as words have it.
fn moment(at: Millis) -> u64 {
    at.0.saturating_add(EPOCH)
}

/// The words of a rate, read only.
struct Frozen {
    /// See [`moment`]; 0: nothing was ever counted.
    start: u64,
    current: u32,
    past: u32,
}

impl Frozen {
    fn of(words: &[u64], offset: usize) -> Frozen {
        Frozen { start: words[offset], current: (words[offset + 1] >> 32) as u32, past: words[offset + 1] as u32 }
    }

    /// Events of the last period: those of the present one, and of the one before in proportion to what is left of it.
    fn value(&self, period: u64, now: Millis) -> u64 {
        if self.start == 0 {
            return 0;
        }
        let elapsed = moment(now).saturating_sub(self.start);
        let (current, past, left) = match elapsed / period {
            0 => (self.current, self.past, period - elapsed),
            1 => (0, self.current, 2 * period - elapsed),
            _ => return 0,
        };
        // A single event does not flap between one and nothing.
        if past <= 1 && current == 0 {
            return past as u64;
        }
        current as u64 + past as u64 * left / period
    }
}

/// The words of a rate that changes.
struct Rate<'w>(&'w mut [u64]);

impl<'w> Rate<'w> {
    fn of(words: &'w mut [u64], offset: usize) -> Rate<'w> {
        Rate(&mut words[offset..offset + RATE_WORDS])
    }

    fn add(&mut self, n: u32, period: u64, at: Millis) {
        let Frozen { start, mut current, mut past } = Frozen::of(self.0, 0);
        let (mut begin, at) = (start, moment(at));
        if at < begin {
            // Late news of the period before.
            past = past.saturating_add(n);
        } else {
            let elapsed = at - begin;
            if start == 0 || elapsed >= 2 * period {
                (begin, current, past) = (at, 0, 0);
            } else if elapsed >= period {
                (begin, past, current) = (begin + period, current, 0);
            }
            current = current.saturating_add(n);
        }
        self.0[0] = begin;
        self.0[1] = (current as u64) << 32 | past as u64;
    }

    /// `n` events in the period that begins now.
    fn set(&mut self, n: u32, at: Millis) {
        self.0[0] = moment(at);
        self.0[1] = (n as u64) << 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(store: &[(&'static str, u32, Option<u64>)]) -> Layout {
        let store: Vec<StoredData> = store
            .iter()
            .map(|(name, elements, period_ms)| StoredData { name, elements: *elements, period_ms: *period_ms })
            .collect();
        Layout::new(&store)
    }

    #[test]
    fn rates_fade_over_the_next_period() {
        let l = layout(&[("http_req_rate", 1, Some(1000))]);
        let mut words = vec![0; l.words()];
        for _ in 0..10 {
            l.apply(&mut words, Change::add(What::Request, 1, Millis(500)));
        }
        let read = |words: &[u64], ms| l.read(words, Counter::HttpReqRate, Millis(ms)).unwrap();
        assert_eq!(read(&words, 500), 10);
        assert_eq!(read(&words, 1499), 10);
        assert_eq!(read(&words, 1500), 10);
        assert_eq!(read(&words, 2000), 5);
        assert_eq!(read(&words, 2500), 0);
        l.apply(&mut words, Change::add(What::Request, 1, Millis(1750)));
        assert_eq!(read(&words, 1750), 1 + 7);
        // News of the first period that comes late counts there.
        l.apply(&mut words, Change::add(What::Request, 10, Millis(1400)));
        assert_eq!(read(&words, 1750), 1 + 15);
    }

    #[test]
    fn what_is_said_to_count_is_what_changes_an_entry() {
        use What::*;
        let happens = [Connection, ConnectionEnd, Session, Request, Error, Failure, BytesIn, BytesOut, Glitch];
        for (data, name) in ALL {
            let l = layout(&[(name, 1, data.is_rate().then_some(1000))]);
            for what in happens {
                let mut words = vec![0; l.words()];
                l.apply(&mut words, Change::add(what, 1, Millis(500)));
                assert_eq!(l.counts(what), words.iter().any(|w| *w != 0), "{name} {what:?}");
            }
        }
    }

    #[test]
    fn rates_of_peers_go_on_even_if_they_began_before_this_process() {
        let l = layout(&[("http_req_rate", 1, Some(10_000)), ("conn_cnt", 1, None)]);
        let (mut words, now) = (vec![0; l.words()], Millis(3));
        let rate = l.columns()[1];
        let stored = Stored::Rate { elapsed_ms: 12_000, current: 8, past: 4 };
        l.restore(&mut words, rate.data, 0, stored, now);
        assert_eq!(l.stored(&words, &rate, 0, now), stored);
        assert_eq!(l.element(&words, &rate, 0, now), 6);
        l.restore(&mut words, rate.data, 0, Stored::Rate { elapsed_ms: u64::MAX, current: 8, past: 4 }, now);
        assert_eq!(l.element(&words, &rate, 0, now), 0);
        assert_eq!(l.stored(&words, &rate, 0, now), Stored::Rate { elapsed_ms: 0, current: 0, past: 0 });
        // What does not fit the type changes nothing.
        l.restore(&mut words, rate.data, 0, Stored::Number(7), now);
        l.restore(&mut words, DataType::ConnCnt, 0, stored, now);
        assert!(words.iter().all(|w| *w == 0));
    }

    #[test]
    fn arrays_stand_for_the_old_counters() {
        let l = layout(&[("gpc", 3, None), ("gpc_rate", 2, Some(10_000)), ("gpt", 2, None)]);
        let mut words = vec![0; l.words()];
        let now = Millis(7);
        assert_eq!(l.apply(&mut words, Change::add(What::Gpc(0), 2, now)), 2);
        assert_eq!(l.apply(&mut words, Change::add(What::Gpc(0), 1, now)), 3);
        assert_eq!(l.read(&words, Counter::Gpc0, now), Some(3));
        assert_eq!(l.read(&words, Counter::Gpc(0), now), Some(3));
        assert_eq!(l.read(&words, Counter::GpcRate(0), now), Some(3));
        assert_eq!(l.read(&words, Counter::Gpc(3), now), None);
        let clear = Change { what: What::Gpc(0), edit: CounterEdit::Clear, at: now };
        assert_eq!(l.apply(&mut words, clear), 3);
        assert_eq!(l.read(&words, Counter::Gpc0, now), Some(0));
        let set = Change { what: What::Gpt(1), edit: CounterEdit::Set(-1), at: now };
        assert_eq!(l.apply(&mut words, set), u32::MAX as i64);
    }

    #[test]
    fn a_connection_that_ends_lowers_only_the_current_ones() {
        let l = layout(&[("conn_cnt", 1, None), ("conn_cur", 1, None), ("conn_rate", 1, Some(10_000))]);
        let mut words = vec![0; l.words()];
        l.apply(&mut words, Change::add(What::Connection, 1, Millis(1)));
        l.apply(&mut words, Change::add(What::Connection, 1, Millis(1)));
        l.apply(&mut words, Change::add(What::ConnectionEnd, 1, Millis(2)));
        let read = |c| l.read(&words, c, Millis(3)).unwrap();
        assert_eq!((read(Counter::ConnCnt), read(Counter::ConnCur), read(Counter::ConnRate)), (2, 1, 2));
    }
}
