//! Facts about the rest of the process that fetches and actions ask for: other proxies, servers, stick tables,
//! randomness. The data plane answers for one stream; every method has an answer for "nobody knows", so that tests
//! answer little.

use super::context::Context;
use super::facts::Transport;
use super::sample::Sample;
use super::sample::args::Reference;
use crate::base::origin::Origin;
use std::net::IpAddr;

/// Numbers about a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendFact {
    /// `nbsrv`: usable servers.
    ServersUp,
    Connections,
    ConnectionsFree,
    /// `connslots`.
    Slots,
    Queue,
    QueueAverage,
    SessionRate,
}

/// Numbers about a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontendFact {
    Connections,
    RequestRate,
    SessionRate,
}

/// Numbers about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerFact {
    IsUp,
    Connections,
    ConnectionsFree,
    Queue,
    SessionRate,
    Weight,
    UserWeight,
    InitialWeight,
}

/// Numbers about the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessFact {
    ActiveConnections,
    Pid,
    Threads,
    Thread,
    ThreadGroup,
    UptimeSeconds,
    Stopping,
    /// Connections to the listener of this session (`dst_conn`).
    ListenerConnections,
    CpuUsageProcess,
    CpuUsageThread,
    CpuUsageGroup,
}

/// Columns of stick-table entries, by the names of `stick-table store`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    BytesInRate,
    BytesOutRate,
    ConnCnt,
    ConnCur,
    ConnRate,
    GlitchCnt,
    GlitchRate,
    Gpc(u32),
    GpcRate(u32),
    Gpc0,
    Gpc1,
    Gpc0Rate,
    Gpc1Rate,
    Gpt(u32),
    Gpt0,
    HttpErrCnt,
    HttpErrRate,
    HttpFailCnt,
    HttpFailRate,
    HttpReqCnt,
    HttpReqRate,
    KbytesIn,
    KbytesOut,
    SessCnt,
    SessRate,
    ServerId,
    /// How many streams track the entry.
    Trackers,
    /// Milliseconds since the last use, and until it expires.
    Idle,
    Expire,
    /// Whether the entry exists.
    Exists,
}

/// What is done to a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterEdit {
    Add(i64),
    Set(i64),
    Clear,
}

/// Which entry is meant.
pub enum Entry<'e, 'c> {
    /// The one tracked in this slot; the other table's entry of the same key when a table is named.
    Tracked { slot: u8, table: Option<&'e Reference> },
    /// By key, in a table.
    Key { table: &'e Reference, key: &'e Sample<'c> },
}

/// The answer to a request that may have to be sent to another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    Now(T),
    /// The answer is on its way: the rule is to be tried again when it came.
    Later,
}

/// The address family to take where a name has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    Ipv4,
    Ipv6,
}

/// What the rest of the process says. `None`: there is no such thing, the fetch has no sample.
pub trait World {
    fn backend(&self, _backend: &Reference, _fact: BackendFact) -> Option<i64> {
        None
    }
    fn frontend(&self, _frontend: &Reference, _fact: FrontendFact) -> Option<i64> {
        None
    }
    fn server(&self, _server: &Reference, _fact: ServerFact) -> Option<i64> {
        None
    }
    /// The same by name at run time, for the converters `srv_is_up`, `nbsrv`, `fe_exists`.
    fn backend_named(&self, _name: &[u8], _fact: BackendFact) -> Option<i64> {
        None
    }
    fn frontend_exists(&self, _name: &[u8]) -> bool {
        false
    }
    /// `name` is `backend/server`, or a server of this stream's backend.
    fn server_named(&self, _name: &[u8], _fact: ServerFact) -> Option<i64> {
        None
    }
    fn process(&self, _fact: ProcessFact) -> Option<i64> {
        None
    }
    fn counter(&self, _entry: Entry<'_, '_>, _counter: Counter) -> Option<Answer<i64>> {
        None
    }
    /// Changes a counter and gives its new value.
    fn edit_counter(&self, _entry: Entry<'_, '_>, _counter: Counter, _edit: CounterEdit) -> Option<Answer<i64>> {
        None
    }
    /// Starts tracking `key` in `slot`; a slot that is in use stays as it is.
    fn track(&self, _slot: u8, _table: &Reference, _key: &Sample<'_>) -> Answer<()> {
        Answer::Now(())
    }
    /// Whether a slot tracks an entry.
    fn is_tracked(&self, _slot: u8) -> bool {
        false
    }
    /// Appends the key that a slot tracks; false when it tracks none.
    fn tracked_key(&self, _slot: u8, _out: &mut Vec<u8>) -> bool {
        false
    }
    /// A rule is evaluated, for the first time or again: its questions to tables come in the same order.
    fn rewind(&self) {}
    /// Whether an answer that this evaluation asked for is on its way.
    fn is_waiting(&self) -> bool {
        false
    }
    /// The evaluation is over: what comes asks anew.
    fn settle(&self) {}
    /// Entries in use and free in a table.
    fn table_used(&self, _table: &Reference) -> Option<i64> {
        None
    }
    fn table_free(&self, _table: &Reference) -> Option<i64> {
        None
    }
    /// The address of a host name by a section of resolvers, whose index `resolvers` has.
    fn resolve(&self, _resolvers: &Reference, _prefer: Prefer, _name: &[u8]) -> Answer<Option<IpAddr>> {
        Answer::Now(None)
    }
    /// An edit of a head did not fit; for counters.
    fn failed_rewrite(&self) {}
    /// What the kernel measures of the client's connection; `None` where it is not TCP.
    fn client_transport(&self) -> Option<Transport> {
        None
    }
    /// Whether the machine has this address.
    fn is_local(&self, _ip: IpAddr) -> bool {
        false
    }
    /// 64 random bits.
    fn random(&self) -> u64;
    /// Seconds that local time is ahead of UTC at this moment (seconds since 1970), for dates in logs.
    fn utc_offset(&self, _at: u64) -> i32 {
        0
    }
    /// The machine's name.
    fn hostname(&self) -> &str {
        ""
    }
}

/// Listens to an evaluation (`explain`). Costs nothing when absent.
pub trait Recorder {
    /// A line of an ACL was compared: where it stands, its expression, the value as text (`None`: no sample), and
    /// whether it matched. Once for each value that the expression gives, until one matches.
    fn value(&self, _origin: &Origin, _expression: &str, _value: Option<&[u8]>, _matched: bool) {}
    /// A term of a condition: its text, whether it stands under `!`, what it gave. The values before it are its own.
    fn term(&self, _origin: &Origin, _text: &str, _negated: bool, _truth: super::acl::Truth) {}
    /// A rule: its words, and what came of it. The terms before it are its condition's; the messages and variables
    /// in `cx` are as the rule left them.
    fn rule(&self, _origin: &Origin, _text: &str, _outcome: Outcome, _cx: &Context<'_>) {}
}

/// What came of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The condition was false.
    Skipped,
    /// Done, and the next rule follows.
    Done,
    /// It ended the evaluation: a verdict, or the backend or server that it chooses.
    Final,
    /// It must wait.
    Waits,
}
