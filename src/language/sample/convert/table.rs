//! Stick-table lookups by the sample as key, and names of proxies and servers as samples (manual 7.3.1).

use super::{Convert, bytes_of, row};
use crate::language::context::Context;
use crate::language::sample::{Args, Sample, Type};
use crate::language::world::{Answer, BackendFact, Counter, CounterEdit, Entry, ServerFact};

/// One row a column.
macro_rules! columns {
    ($($column:literal => $counter:expr),* $(,)?) => {
        pub const ROWS: &[Convert] = &[$(
            row(concat!("table_", $column), "table", Type::Any, Type::Sint, |a, s, cx| get(a, 0, s, cx, $counter)),
        )*];
    };
}

columns! {
    "bytes_in_rate" => Counter::BytesInRate,
    "bytes_out_rate" => Counter::BytesOutRate,
    "conn_cnt" => Counter::ConnCnt,
    "conn_cur" => Counter::ConnCur,
    "conn_rate" => Counter::ConnRate,
    "glitch_cnt" => Counter::GlitchCnt,
    "glitch_rate" => Counter::GlitchRate,
    "gpc0" => Counter::Gpc0,
    "gpc0_rate" => Counter::Gpc0Rate,
    "gpc1" => Counter::Gpc1,
    "gpc1_rate" => Counter::Gpc1Rate,
    "gpt0" => Counter::Gpt0,
    "http_err_cnt" => Counter::HttpErrCnt,
    "http_err_rate" => Counter::HttpErrRate,
    "http_fail_cnt" => Counter::HttpFailCnt,
    "http_fail_rate" => Counter::HttpFailRate,
    "http_req_cnt" => Counter::HttpReqCnt,
    "http_req_rate" => Counter::HttpReqRate,
    "kbytes_in" => Counter::KbytesIn,
    "kbytes_out" => Counter::KbytesOut,
    "server_id" => Counter::ServerId,
    "sess_cnt" => Counter::SessCnt,
    "sess_rate" => Counter::SessRate,
    "trackers" => Counter::Trackers,
}

pub const OTHER_ROWS: &[Convert] = &[
    row("in_table", "table", Type::Any, Type::Bool, |a, s, cx| {
        let found = ask(a, 0, &s, cx, Counter::Exists).unwrap_or(0);
        Some(Sample::Bool(found != 0))
    }),
    row("table_idle", "table[,integer]", Type::Any, Type::Sint, |a, s, cx| timed(a, s, cx, Counter::Idle)),
    row("table_expire", "table[,integer]", Type::Any, Type::Sint, |a, s, cx| timed(a, s, cx, Counter::Expire)),
    row("table_gpc", "integer,table", Type::Any, Type::Sint, |a, s, cx| get(a, 1, s, cx, Counter::Gpc(nth(a)?))),
    row("table_gpc_rate", "integer,table", Type::Any, Type::Sint, |a, s, cx| {
        get(a, 1, s, cx, Counter::GpcRate(nth(a)?))
    }),
    row("table_gpt", "integer,table", Type::Any, Type::Sint, |a, s, cx| get(a, 1, s, cx, Counter::Gpt(nth(a)?))),
    row("table_inc_gpc", "integer,table", Type::Any, Type::Sint, |a, s, cx| {
        edit(a, 1, s, cx, Counter::Gpc(nth(a)?), ADD)
    }),
    row("table_clr_gpc", "integer,table", Type::Any, Type::Sint, |a, s, cx| {
        edit(a, 1, s, cx, Counter::Gpc(nth(a)?), CLR)
    }),
    row("table_inc_gpc0", "table", Type::Any, Type::Sint, |a, s, cx| edit(a, 0, s, cx, Counter::Gpc0, ADD)),
    row("table_inc_gpc1", "table", Type::Any, Type::Sint, |a, s, cx| edit(a, 0, s, cx, Counter::Gpc1, ADD)),
    row("table_clr_gpc0", "table", Type::Any, Type::Sint, |a, s, cx| edit(a, 0, s, cx, Counter::Gpc0, CLR)),
    row("table_clr_gpc1", "table", Type::Any, Type::Sint, |a, s, cx| edit(a, 0, s, cx, Counter::Gpc1, CLR)),
    row("nbsrv", "", Type::Str, Type::Sint, |_, s, cx| {
        cx.world.backend_named(bytes_of(s)?.as_slice(), BackendFact::ServersUp).map(Sample::Sint)
    }),
    row("srv_is_up", "", Type::Str, Type::Bool, |_, s, cx| {
        Some(Sample::Bool(cx.world.server_named(bytes_of(s)?.as_slice(), ServerFact::IsUp)? != 0))
    }),
    row("srv_queue", "", Type::Str, Type::Sint, |_, s, cx| {
        cx.world.server_named(bytes_of(s)?.as_slice(), ServerFact::Queue).map(Sample::Sint)
    }),
    row("fe_exists", "", Type::Str, Type::Bool, |_, s, cx| {
        Some(Sample::Bool(cx.world.frontend_exists(bytes_of(s)?.as_slice())))
    }),
];

const ADD: CounterEdit = CounterEdit::Add(1);
const CLR: CounterEdit = CounterEdit::Clear;

fn nth(args: &Args) -> Option<u32> {
    args.int(0).and_then(|n| u32::try_from(n).ok())
}

/// The answer at once; one that is on its way counts as none here, since converters cannot wait.
fn ask(args: &Args, table: usize, key: &Sample<'_>, cx: &Context<'_>, counter: Counter) -> Option<i64> {
    match cx.world.counter(Entry::Key { table: args.reference(table)?, key }, counter)? {
        Answer::Now(n) => Some(n),
        Answer::Later => None,
    }
}

/// An entry that does not exist counts zero.
fn get<'c>(
    args: &'c Args,
    table: usize,
    key: Sample<'c>,
    cx: &'c Context<'_>,
    counter: Counter,
) -> Option<Sample<'c>> {
    Some(Sample::Sint(ask(args, table, &key, cx, counter).unwrap_or(0)))
}

/// The default is given for entries that do not exist.
fn timed<'c>(args: &'c Args, key: Sample<'c>, cx: &'c Context<'_>, counter: Counter) -> Option<Sample<'c>> {
    ask(args, 0, &key, cx, counter).or_else(|| args.int(1)).map(Sample::Sint)
}

fn edit<'c>(
    args: &'c Args,
    table: usize,
    key: Sample<'c>,
    cx: &'c Context<'_>,
    counter: Counter,
    edit: CounterEdit,
) -> Option<Sample<'c>> {
    let entry = Entry::Key { table: args.reference(table)?, key: &key };
    match cx.world.edit_counter(entry, counter, edit)? {
        Answer::Now(n) => Some(Sample::Sint(n)),
        Answer::Later => None,
    }
}
