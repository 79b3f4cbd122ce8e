//! Facts about proxies and servers (manual 7.3.2): usable servers, connections, queues, weights, rates.

use super::{Fetch, row};
use crate::language::context::Context;
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Sample, Type};
use crate::language::world::{BackendFact, FrontendFact, ServerFact};

pub const ROWS: &[Fetch] = &[
    row("nbsrv", "backend", Type::Sint, INTERNAL, |a, cx, _| backend(a, cx, BackendFact::ServersUp)),
    row("be_conn", "backend", Type::Sint, INTERNAL, |a, cx, _| backend(a, cx, BackendFact::Connections)),
    row("be_conn_free", "backend", Type::Sint, INTERNAL, |a, cx, _| backend(a, cx, BackendFact::ConnectionsFree)),
    row("be_sess_rate", "backend", Type::Sint, INTERNAL, |a, cx, _| backend(a, cx, BackendFact::SessionRate)),
    row("connslots", "backend", Type::Sint, INTERNAL, |a, cx, _| backend(a, cx, BackendFact::Slots)),
    row("queue", "backend", Type::Sint, INTERNAL, |a, cx, _| backend(a, cx, BackendFact::Queue)),
    row("avg_queue", "backend", Type::Sint, INTERNAL, |a, cx, _| backend(a, cx, BackendFact::QueueAverage)),
    row("fe_conn", "frontend", Type::Sint, INTERNAL, |a, cx, _| frontend(a, cx, FrontendFact::Connections)),
    row("fe_req_rate", "frontend", Type::Sint, INTERNAL, |a, cx, _| frontend(a, cx, FrontendFact::RequestRate)),
    row("fe_sess_rate", "frontend", Type::Sint, INTERNAL, |a, cx, _| frontend(a, cx, FrontendFact::SessionRate)),
    row("srv_is_up", "server", Type::Bool, INTERNAL, |a, cx, _| {
        Some(Sample::Bool(cx.world.server(a.reference(0)?, ServerFact::IsUp)? != 0))
    }),
    row("srv_conn", "server", Type::Sint, INTERNAL, |a, cx, _| server(a, cx, ServerFact::Connections)),
    row("srv_conn_free", "server", Type::Sint, INTERNAL, |a, cx, _| server(a, cx, ServerFact::ConnectionsFree)),
    row("srv_queue", "server", Type::Sint, INTERNAL, |a, cx, _| server(a, cx, ServerFact::Queue)),
    row("srv_sess_rate", "server", Type::Sint, INTERNAL, |a, cx, _| server(a, cx, ServerFact::SessionRate)),
    row("srv_weight", "server", Type::Sint, INTERNAL, |a, cx, _| server(a, cx, ServerFact::Weight)),
    row("srv_uweight", "server", Type::Sint, INTERNAL, |a, cx, _| server(a, cx, ServerFact::UserWeight)),
    row("srv_iweight", "server", Type::Sint, INTERNAL, |a, cx, _| server(a, cx, ServerFact::InitialWeight)),
];

fn backend<'c>(args: &'c Args, cx: &'c Context<'_>, fact: BackendFact) -> Option<Sample<'c>> {
    cx.world.backend(args.reference(0)?, fact).map(Sample::Sint)
}

fn frontend<'c>(args: &'c Args, cx: &'c Context<'_>, fact: FrontendFact) -> Option<Sample<'c>> {
    cx.world.frontend(args.reference(0)?, fact).map(Sample::Sint)
}

fn server<'c>(args: &'c Args, cx: &'c Context<'_>, fact: ServerFact) -> Option<Sample<'c>> {
    cx.world.server(args.reference(0)?, fact).map(Sample::Sint)
}
