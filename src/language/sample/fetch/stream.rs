//! What is remembered of a stream (manual 7.3.2, 7.3.3 and 7.3.6): captures, names, timers, byte counts, states.

use super::{Fetch, row};
use crate::language::context::{Context, Early, Side};
use crate::language::facts::ConnectionError;
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Probe, Sample, Type};

pub const ROWS: &[Fetch] = &[
    row("capture.req.hdr", "integer", Type::Str, REQUEST, |a, cx, _| capture(a, &cx.stream.request_captures)),
    row("capture.req.method", "", Type::Str, REQUEST, |_, cx, _| text(&cx.stream.method)),
    row("capture.req.uri", "", Type::Str, REQUEST, |_, cx, _| {
        // Path and query, whatever stands before them.
        super::url::pathq(&cx.stream.uri).map(Sample::str)
    }),
    row("capture.req.ver", "", Type::Str, REQUEST, |_, cx, _| {
        (!cx.stream.method.is_empty()).then(|| Sample::str(version_family(cx.stream.version)))
    }),
    row("capture.res.hdr", "integer", Type::Str, RESPONSE, |a, cx, _| capture(a, &cx.stream.response_captures)),
    row("capture.res.ver", "", Type::Str, REQUEST, |_, cx, _| {
        let came = cx.stream.status != 0 || cx.stream.server_status != 0;
        came.then(|| Sample::str(version_family(cx.stream.response_version)))
    }),
    row("req.ver", "", Type::Str, REQUEST, |_, cx, _| version(cx, Side::Request)),
    row("req_ver", "", Type::Str, REQUEST, |_, cx, _| version(cx, Side::Request)),
    row("res.ver", "", Type::Str, RESPONSE, |_, cx, _| version(cx, Side::Response)),
    row("resp_ver", "", Type::Str, RESPONSE, |_, cx, _| version(cx, Side::Response)),
    row("req.proto_http", "", Type::Bool, REQUEST, |_, cx, probe| proto_http(cx, probe)),
    row("req_proto_http", "", Type::Bool, REQUEST, |_, cx, probe| proto_http(cx, probe)),
    row("http_first_req", "", Type::Bool, REQUEST, |_, cx, _| Some(Sample::Bool(cx.stream.first_request))),
    row("status", "", Type::Sint, RESPONSE, |_, cx, _| Some(Sample::Sint(cx.response.as_deref()?.status() as i64))),
    row("server_status", "", Type::Sint, RESPONSE, |_, cx, _| nonzero(cx.stream.server_status as i64)),
    row("unique-id", "", Type::Str, ANYWHERE, |_, cx, _| cx.stream.unique_id.as_deref().map(Sample::str)),
    row("be_id", "", Type::Sint, BACKEND, |_, cx, _| Some(Sample::Sint(cx.stream.backend.as_ref()?.id as i64))),
    row("be_name", "", Type::Str, BACKEND, |_, cx, _| Some(Sample::str(cx.stream.backend.as_ref()?.name.as_bytes()))),
    row("srv_id", "", Type::Sint, SERVER, |_, cx, _| Some(Sample::Sint(cx.stream.server.as_ref()?.id as i64))),
    row("srv_name", "", Type::Str, SERVER, |_, cx, _| Some(Sample::str(cx.stream.server.as_ref()?.name.as_bytes()))),
    row("fe_id", "", Type::Sint, FRONTEND, |_, cx, _| Some(Sample::Sint(cx.session.listener.frontend.id as i64))),
    row("fe_name", "", Type::Str, FRONTEND, |_, cx, _| {
        Some(Sample::str(cx.session.listener.frontend.name.as_bytes()))
    }),
    row("fe_defbe", "", Type::Str, FRONTEND, |_, cx, _| {
        cx.session.listener.default_backend.as_deref().map(|n| Sample::str(n.as_bytes()))
    }),
    row("so_id", "", Type::Sint, FRONTEND, |_, cx, _| Some(Sample::Sint(cx.session.listener.id as i64))),
    row("so_name", "", Type::Str, FRONTEND, |_, cx, _| {
        cx.session.listener.name.as_deref().map(|n| Sample::str(n.as_bytes()))
    }),
    row("last_rule_file", "", Type::Str, INTERNAL, |_, cx, _| {
        cx.stream.last_rule.as_ref().map(|o| Sample::str(o.file.as_bytes()))
    }),
    row("last_rule_line", "", Type::Sint, INTERNAL, |_, cx, _| {
        cx.stream.last_rule.as_ref().map(|o| Sample::Sint(o.line as i64))
    }),
    row("txn.status", "", Type::Sint, RESPONSE, |_, cx, _| Some(Sample::Sint(cx.stream.status as i64))),
    row("txn.sess_term_state", "", Type::Str, INTERNAL, |_, cx, _| Some(Sample::str(&cx.stream.termination[..2]))),
    row("txn.conn_retries", "", Type::Sint, SERVER_L4, |_, cx, _| Some(Sample::Sint(cx.stream.retries as i64))),
    row("txn.redispatched", "", Type::Bool, SERVER_L4, |_, cx, _| Some(Sample::Bool(cx.stream.redispatched))),
    row("txn.id32", "", Type::Sint, INTERNAL, |_, cx, _| Some(Sample::Sint(cx.stream.id as u32 as i64))),
    row("txn.timer.total", "", Type::Sint, TRANSACTION, |_, cx, _| timer(cx.stream.timers.total)),
    row("txn.timer.user", "", Type::Sint, TRANSACTION, |_, cx, _| timer(cx.stream.timers.user)),
    row("fc.timer.handshake", "", Type::Sint, CLIENT_L4, |_, cx, _| timer(cx.stream.timers.handshake)),
    row("fc.timer.total", "", Type::Sint, FRONTEND, |_, cx, _| {
        Some(Sample::Sint((cx.now.wall_us.saturating_sub(cx.session.accept_us) / 1000) as i64))
    }),
    row("req.timer.idle", "", Type::Sint, REQUEST_HEADERS, |_, cx, _| timer(cx.stream.timers.idle)),
    row("req.timer.hdr", "", Type::Sint, REQUEST_HEADERS, |_, cx, _| timer(cx.stream.timers.request)),
    row("req.timer.tq", "", Type::Sint, REQUEST_HEADERS, |_, cx, _| {
        let t = &cx.stream.timers;
        timer(if t.request < 0 { -1 } else { t.handshake + t.idle + t.request })
    }),
    row("req.timer.queue", "", Type::Sint, SERVER_L4, |_, cx, _| timer(cx.stream.timers.queue)),
    row("bc.timer.connect", "", Type::Sint, SERVER_L4, |_, cx, _| timer(cx.stream.timers.connect)),
    row("res.timer.hdr", "", Type::Sint, RESPONSE_HEADERS, |_, cx, _| timer(cx.stream.timers.response)),
    row("res.timer.data", "", Type::Sint, RESPONSE_STATISTICS, |_, cx, _| timer(cx.stream.timers.data)),
    row("bytes_in", "", Type::Sint, REQUEST_STATISTICS, |_, cx, _| Some(Sample::Sint(cx.stream.bytes_in as i64))),
    row("bytes_out", "", Type::Sint, RESPONSE_STATISTICS, |_, cx, _| Some(Sample::Sint(cx.stream.bytes_out as i64))),
    row("req.bytes_in", "", Type::Sint, REQUEST_STATISTICS, |_, cx, _| {
        Some(Sample::Sint(cx.stream.request_bytes_in as i64))
    }),
    row("req.bytes_out", "", Type::Sint, REQUEST_STATISTICS, |_, cx, _| {
        Some(Sample::Sint(cx.stream.request_bytes_out as i64))
    }),
    row("res.bytes_in", "", Type::Sint, RESPONSE_STATISTICS, |_, cx, _| {
        Some(Sample::Sint(cx.stream.response_bytes_in as i64))
    }),
    row("res.bytes_out", "", Type::Sint, RESPONSE_STATISTICS, |_, cx, _| {
        Some(Sample::Sint(cx.stream.response_bytes_out as i64))
    }),
    row("cur_client_timeout", "", Type::Sint, FRONTEND, |_, cx, _| timeout(cx.stream.timeouts.client)),
    row("cur_connect_timeout", "", Type::Sint, BACKEND, |_, cx, _| timeout(cx.stream.timeouts.connect)),
    row("cur_queue_timeout", "", Type::Sint, BACKEND, |_, cx, _| timeout(cx.stream.timeouts.queue)),
    row("cur_server_timeout", "", Type::Sint, BACKEND, |_, cx, _| timeout(cx.stream.timeouts.server)),
    row("cur_tarpit_timeout", "", Type::Sint, CLIENT_L4, |_, cx, _| timeout(cx.stream.timeouts.tarpit)),
    row("cur_tunnel_timeout", "", Type::Sint, BACKEND, |_, cx, _| timeout(cx.stream.timeouts.tunnel)),
    row("prio_class", "", Type::Sint, INTERNAL, |_, cx, _| Some(Sample::Sint(cx.stream.priority_class as i64))),
    row("prio_offset", "", Type::Sint, INTERNAL, |_, cx, _| Some(Sample::Sint(cx.stream.priority_offset as i64))),
    row("bc_be_queue", "", Type::Sint, SERVER_L4, |_, cx, _| Some(Sample::Sint(cx.stream.backend_queue as i64))),
    row("bc_srv_queue", "", Type::Sint, SERVER_L4, |_, cx, _| Some(Sample::Sint(cx.stream.server_queue as i64))),
    row("bc_reused", "", Type::Bool, SERVER_L4, |_, cx, _| Some(Sample::Bool(cx.stream.server_reused))),
    row("bc_http_major", "", Type::Sint, SERVER_L4, |_, cx, _| nonzero(cx.stream.server_http_major as i64)),
    row("bc_err", "", Type::Sint, SERVER_L4, |_, cx, _| error_code(cx.stream.server_error)),
    row("bc_err_name", "", Type::Str, SERVER_L4, |_, cx, _| {
        cx.stream.server_error.map(|e| Sample::str(e.name.as_bytes()))
    }),
    row("bc_err_str", "", Type::Str, SERVER_L4, |_, cx, _| {
        Some(Sample::str(cx.stream.server_error.map_or("Success", |e| e.text).as_bytes()))
    }),
    row("fc_err", "", Type::Sint, CLIENT_L4, |_, cx, _| error_code(cx.session.error.as_deref().copied())),
    row("fc_err_name", "", Type::Str, CLIENT_L4, |_, cx, _| {
        cx.session.error.as_ref().map(|e| Sample::str(e.name.as_bytes()))
    }),
    row("fc_err_str", "", Type::Str, CLIENT_L4, |_, cx, _| {
        Some(Sample::str(cx.session.error.as_ref().map_or("Success", |e| e.text).as_bytes()))
    }),
    row("res.comp", "", Type::Bool, RESPONSE, |_, cx, _| Some(Sample::Bool(cx.stream.compression.is_some()))),
    row("res.comp_algo", "", Type::Str, RESPONSE, |_, cx, _| {
        cx.stream.compression.map(|n| Sample::str(n.as_bytes()))
    }),
    row("res.cache_hit", "", Type::Bool, RESPONSE_EARLY, |_, cx, _| {
        Some(Sample::Bool(cx.stream.cache_hit.is_some()))
    }),
    row("res.cache_name", "", Type::Str, RESPONSE_EARLY, |_, cx, _| {
        cx.stream.cache_hit.as_deref().map(|n| Sample::str(n.as_bytes()))
    }),
];

fn text<'c>(bytes: &'c [u8]) -> Option<Sample<'c>> {
    (!bytes.is_empty()).then(|| Sample::str(bytes))
}

/// A whole head of a request has come. In TCP mode it is looked for in what was received (manual 7.3.5 "req.proto_http").
fn proto_http<'c>(cx: &Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    let is_http = cx.head(Side::Request).is_some();
    if !is_http && matches!(cx.early(), Early::Partial) {
        probe.may_change = !cx.payload(Side::Request).complete;
        return None;
    }
    Some(Sample::Bool(is_http))
}

fn capture<'c>(args: &'c Args, captures: &'c [Option<Vec<u8>>]) -> Option<Sample<'c>> {
    captures.get(usize::try_from(args.int(0)?).ok()?)?.as_deref().map(Sample::str)
}

/// Only HTTP/1.0 and HTTP/1.1 are told apart here (manual, "capture.req.ver").
fn version_family(version: &'static str) -> &'static [u8] {
    if version == "HTTP/1.0" { b"HTTP/1.0" } else { b"HTTP/1.1" }
}

fn version<'c>(cx: &'c Context<'_>, side: Side) -> Option<Sample<'c>> {
    Some(Sample::str(cx.head(side)?.version().number().as_bytes()))
}

fn nonzero<'c>(n: i64) -> Option<Sample<'c>> {
    (n != 0).then_some(Sample::Sint(n))
}

fn timer<'c>(ms: i64) -> Option<Sample<'c>> {
    (ms >= 0).then_some(Sample::Sint(ms))
}

fn timeout<'c>(ms: Option<u64>) -> Option<Sample<'c>> {
    Some(Sample::Sint(ms.unwrap_or(0) as i64))
}

/// No error is number 0.
fn error_code<'c>(error: Option<ConnectionError>) -> Option<Sample<'c>> {
    Some(Sample::Sint(error.map_or(0, |e| e.code as i64)))
}
