//! Stick-table counters (manual 7.3.3): of tracked entries (`sc_*`, `sc0_*` …) and by source address (`src_*`). One
//! list of columns, four ways to name an entry.

use super::{Fetch, row};
use crate::language::context::Context;
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Probe, Sample, Type};
use crate::language::world::{Answer, Counter, CounterEdit, Entry};

/// The four rows of a column: by number, by the old numbered names, by source.
macro_rules! columns {
    ($($column:literal => $counter:expr),* $(,)?) => {
        pub const ROWS: &[Fetch] = &[$(
            row(concat!("sc_", $column), "integer[,table]", Type::Sint, INTERNAL, |a, cx, p| tracked(a, cx, p, $counter)),
            row(concat!("sc0_", $column), "[table]", Type::Sint, INTERNAL, |a, cx, p| slot(a, cx, p, 0, $counter)),
            row(concat!("sc1_", $column), "[table]", Type::Sint, INTERNAL, |a, cx, p| slot(a, cx, p, 1, $counter)),
            row(concat!("sc2_", $column), "[table]", Type::Sint, INTERNAL, |a, cx, p| slot(a, cx, p, 2, $counter)),
            row(concat!("src_", $column), "table", Type::Sint, CLIENT_L4, |a, cx, p| source(a, cx, p, $counter)),
        )*];
    };
}

columns! {
    "bytes_in_rate" => Counter::BytesInRate,
    "bytes_out_rate" => Counter::BytesOutRate,
    "conn_cnt" => Counter::ConnCnt,
    "conn_cur" => Counter::ConnCur,
    "conn_rate" => Counter::ConnRate,
    "get_gpc0" => Counter::Gpc0,
    "get_gpc1" => Counter::Gpc1,
    "get_gpt0" => Counter::Gpt0,
    "glitch_cnt" => Counter::GlitchCnt,
    "glitch_rate" => Counter::GlitchRate,
    "gpc0_rate" => Counter::Gpc0Rate,
    "gpc1_rate" => Counter::Gpc1Rate,
    "http_err_cnt" => Counter::HttpErrCnt,
    "http_err_rate" => Counter::HttpErrRate,
    "http_fail_cnt" => Counter::HttpFailCnt,
    "http_fail_rate" => Counter::HttpFailRate,
    "http_req_cnt" => Counter::HttpReqCnt,
    "http_req_rate" => Counter::HttpReqRate,
    "sess_cnt" => Counter::SessCnt,
    "sess_rate" => Counter::SessRate,
}

/// What changes counters, arrays, and tells whether something is tracked.
pub const OTHER_ROWS: &[Fetch] = &[
    row("sc_kbytes_in", "integer[,table]", Type::Sint, CLIENT_L4, |a, cx, p| tracked(a, cx, p, Counter::KbytesIn)),
    row("sc0_kbytes_in", "[table]", Type::Sint, CLIENT_L4, |a, cx, p| slot(a, cx, p, 0, Counter::KbytesIn)),
    row("sc1_kbytes_in", "[table]", Type::Sint, CLIENT_L4, |a, cx, p| slot(a, cx, p, 1, Counter::KbytesIn)),
    row("sc2_kbytes_in", "[table]", Type::Sint, CLIENT_L4, |a, cx, p| slot(a, cx, p, 2, Counter::KbytesIn)),
    row("src_kbytes_in", "table", Type::Sint, CLIENT_L4, |a, cx, p| source(a, cx, p, Counter::KbytesIn)),
    row("sc_kbytes_out", "integer[,table]", Type::Sint, CLIENT_L4, |a, cx, p| tracked(a, cx, p, Counter::KbytesOut)),
    row("sc0_kbytes_out", "[table]", Type::Sint, CLIENT_L4, |a, cx, p| slot(a, cx, p, 0, Counter::KbytesOut)),
    row("sc1_kbytes_out", "[table]", Type::Sint, CLIENT_L4, |a, cx, p| slot(a, cx, p, 1, Counter::KbytesOut)),
    row("sc2_kbytes_out", "[table]", Type::Sint, CLIENT_L4, |a, cx, p| slot(a, cx, p, 2, Counter::KbytesOut)),
    row("src_kbytes_out", "table", Type::Sint, CLIENT_L4, |a, cx, p| source(a, cx, p, Counter::KbytesOut)),
    row("sc_inc_gpc0", "integer[,table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, None, Counter::Gpc0, ADD)),
    row("sc_inc_gpc1", "integer[,table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, None, Counter::Gpc1, ADD)),
    row("sc_clr_gpc0", "integer[,table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, None, Counter::Gpc0, CLR)),
    row("sc_clr_gpc1", "integer[,table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, None, Counter::Gpc1, CLR)),
    row("sc0_inc_gpc0", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(0), Counter::Gpc0, ADD)),
    row("sc0_inc_gpc1", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(0), Counter::Gpc1, ADD)),
    row("sc0_clr_gpc0", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(0), Counter::Gpc0, CLR)),
    row("sc0_clr_gpc1", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(0), Counter::Gpc1, CLR)),
    row("sc1_inc_gpc0", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(1), Counter::Gpc0, ADD)),
    row("sc1_inc_gpc1", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(1), Counter::Gpc1, ADD)),
    row("sc1_clr_gpc0", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(1), Counter::Gpc0, CLR)),
    row("sc1_clr_gpc1", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(1), Counter::Gpc1, CLR)),
    row("sc2_inc_gpc0", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(2), Counter::Gpc0, ADD)),
    row("sc2_inc_gpc1", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(2), Counter::Gpc1, ADD)),
    row("sc2_clr_gpc0", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(2), Counter::Gpc0, CLR)),
    row("sc2_clr_gpc1", "[table]", Type::Sint, INTERNAL, |a, cx, p| edit(a, cx, p, Some(2), Counter::Gpc1, CLR)),
    row("src_inc_gpc0", "table", Type::Sint, CLIENT_L4, |a, cx, p| edit_source(a, cx, p, 0, Counter::Gpc0, ADD)),
    row("src_inc_gpc1", "table", Type::Sint, CLIENT_L4, |a, cx, p| edit_source(a, cx, p, 0, Counter::Gpc1, ADD)),
    row("src_clr_gpc0", "table", Type::Sint, CLIENT_L4, |a, cx, p| edit_source(a, cx, p, 0, Counter::Gpc0, CLR)),
    row("src_clr_gpc1", "table", Type::Sint, CLIENT_L4, |a, cx, p| edit_source(a, cx, p, 0, Counter::Gpc1, CLR)),
    row("src_updt_conn_cnt", "table", Type::Sint, CLIENT_L4, |a, cx, p| {
        edit_source(a, cx, p, 0, Counter::ConnCnt, ADD)
    }),
    row("sc_get_gpc", "integer,integer[,table]", Type::Sint, INTERNAL, |a, cx, p| array(a, cx, p, Counter::Gpc)),
    row("sc_gpc_rate", "integer,integer[,table]", Type::Sint, INTERNAL, |a, cx, p| array(a, cx, p, Counter::GpcRate)),
    row("sc_get_gpt", "integer,integer[,table]", Type::Sint, INTERNAL, |a, cx, p| array(a, cx, p, Counter::Gpt)),
    row("sc_inc_gpc", "integer,integer[,table]", Type::Sint, INTERNAL, |a, cx, p| edit_array(a, cx, p, ADD)),
    row("sc_clr_gpc", "integer,integer[,table]", Type::Sint, INTERNAL, |a, cx, p| edit_array(a, cx, p, CLR)),
    row("src_get_gpc", "integer,table", Type::Sint, CLIENT_L4, |a, cx, p| source_array(a, cx, p, Counter::Gpc)),
    row("src_gpc_rate", "integer,table", Type::Sint, CLIENT_L4, |a, cx, p| source_array(a, cx, p, Counter::GpcRate)),
    row("src_get_gpt", "integer,table", Type::Sint, CLIENT_L4, |a, cx, p| source_array(a, cx, p, Counter::Gpt)),
    row("src_inc_gpc", "integer,table", Type::Sint, CLIENT_L4, |a, cx, p| {
        edit_source(a, cx, p, 1, Counter::Gpc(index(a, 0)?), ADD)
    }),
    row("src_clr_gpc", "integer,table", Type::Sint, CLIENT_L4, |a, cx, p| {
        edit_source(a, cx, p, 1, Counter::Gpc(index(a, 0)?), CLR)
    }),
    row("sc_trackers", "integer[,table]", Type::Sint, INTERNAL, |a, cx, p| tracked(a, cx, p, Counter::Trackers)),
    row("sc0_trackers", "[table]", Type::Sint, INTERNAL, |a, cx, p| slot(a, cx, p, 0, Counter::Trackers)),
    row("sc1_trackers", "[table]", Type::Sint, INTERNAL, |a, cx, p| slot(a, cx, p, 1, Counter::Trackers)),
    row("sc2_trackers", "[table]", Type::Sint, INTERNAL, |a, cx, p| slot(a, cx, p, 2, Counter::Trackers)),
    row("sc_tracked", "integer[,table]", Type::Bool, INTERNAL, |a, cx, _| is_tracked(cx, index(a, 0)?)),
    row("sc0_tracked", "[table]", Type::Bool, INTERNAL, |_, cx, _| is_tracked(cx, 0)),
    row("sc1_tracked", "[table]", Type::Bool, INTERNAL, |_, cx, _| is_tracked(cx, 1)),
    row("sc2_tracked", "[table]", Type::Bool, INTERNAL, |_, cx, _| is_tracked(cx, 2)),
    row("sc_key", "integer", Type::Any, INTERNAL, |a, cx, _| key(cx, index(a, 0)?)),
    row("sc0_key", "", Type::Any, INTERNAL, |_, cx, _| key(cx, 0)),
    row("sc1_key", "", Type::Any, INTERNAL, |_, cx, _| key(cx, 1)),
    row("sc2_key", "", Type::Any, INTERNAL, |_, cx, _| key(cx, 2)),
    row("table_cnt", "table", Type::Sint, INTERNAL, |a, cx, _| {
        cx.world.table_used(a.reference(0)?).map(Sample::Sint)
    }),
    row("table_avl", "table", Type::Sint, INTERNAL, |a, cx, _| {
        cx.world.table_free(a.reference(0)?).map(Sample::Sint)
    }),
];

const ADD: CounterEdit = CounterEdit::Add(1);
const CLR: CounterEdit = CounterEdit::Clear;

fn index(args: &Args, i: usize) -> Option<u32> {
    args.int(i).and_then(|n| u32::try_from(n).ok())
}

/// An answer that is on its way leaves the rule undecided.
fn answered<'c>(answer: Option<Answer<i64>>, probe: &mut Probe) -> Option<Sample<'c>> {
    match answer? {
        Answer::Now(n) => Some(Sample::Sint(n)),
        Answer::Later => {
            probe.may_change = true;
            None
        }
    }
}

fn get<'c>(cx: &'c Context<'_>, probe: &mut Probe, entry: Entry<'_, '_>, counter: Counter) -> Option<Sample<'c>> {
    answered(cx.world.counter(entry, counter), probe)
}

fn tracked<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, counter: Counter) -> Option<Sample<'c>> {
    let entry = Entry::Tracked { slot: index(args, 0)? as u8, table: args.reference(1).map(|r| &**r) };
    get(cx, probe, entry, counter)
}

fn slot<'c>(
    args: &'c Args,
    cx: &'c Context<'_>,
    probe: &mut Probe,
    slot: u8,
    counter: Counter,
) -> Option<Sample<'c>> {
    get(cx, probe, Entry::Tracked { slot, table: args.reference(0).map(|r| &**r) }, counter)
}

fn source<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, counter: Counter) -> Option<Sample<'c>> {
    let key = Sample::Ip(cx.session.src?.ip());
    get(cx, probe, Entry::Key { table: args.reference(0)?, key: &key }, counter)
}

fn array<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, of: fn(u32) -> Counter) -> Option<Sample<'c>> {
    let entry = Entry::Tracked { slot: index(args, 1)? as u8, table: args.reference(2).map(|r| &**r) };
    get(cx, probe, entry, of(index(args, 0)?))
}

fn source_array<'c>(
    args: &'c Args,
    cx: &'c Context<'_>,
    probe: &mut Probe,
    of: fn(u32) -> Counter,
) -> Option<Sample<'c>> {
    let key = Sample::Ip(cx.session.src?.ip());
    get(cx, probe, Entry::Key { table: args.reference(1)?, key: &key }, of(index(args, 0)?))
}

fn edit<'c>(
    args: &'c Args,
    cx: &'c Context<'_>,
    probe: &mut Probe,
    slot: Option<u8>,
    counter: Counter,
    edit: CounterEdit,
) -> Option<Sample<'c>> {
    let (slot, table) = match slot {
        Some(slot) => (slot, args.reference(0)),
        None => (index(args, 0)? as u8, args.reference(1)),
    };
    answered(cx.world.edit_counter(Entry::Tracked { slot, table: table.map(|r| &**r) }, counter, edit), probe)
}

fn edit_array<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, edit: CounterEdit) -> Option<Sample<'c>> {
    let entry = Entry::Tracked { slot: index(args, 1)? as u8, table: args.reference(2).map(|r| &**r) };
    answered(cx.world.edit_counter(entry, Counter::Gpc(index(args, 0)?), edit), probe)
}

fn edit_source<'c>(
    args: &'c Args,
    cx: &'c Context<'_>,
    probe: &mut Probe,
    table: usize,
    counter: Counter,
    edit: CounterEdit,
) -> Option<Sample<'c>> {
    let key = Sample::Ip(cx.session.src?.ip());
    answered(cx.world.edit_counter(Entry::Key { table: args.reference(table)?, key: &key }, counter, edit), probe)
}

fn is_tracked<'c>(cx: &'c Context<'_>, slot: u32) -> Option<Sample<'c>> {
    Some(Sample::Bool(cx.world.is_tracked(slot as u8)))
}

fn key<'c>(cx: &'c Context<'_>, slot: u32) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    cx.world.tracked_key(slot as u8, &mut out).then(|| Sample::str_buf(out))
}
