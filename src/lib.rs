//! ringway: a load balancer and reverse proxy that reads HAProxy's configuration and runs it on one io_uring event
//! loop per core. This page is the map of the house; each folder's `mod.rs` says what lives in its rooms.
//!
//! | floor | in one sentence |
//! |---|---|
//! | [`base`] | Small tools everyone may use. |
//! | [`engine`] | The kernel: operations in, completions out, tasks in between. |
//! | [`proto`] | Wire formats, without sockets. |
//! | [`language`] | HAProxy's expression language: samples, patterns, ACLs, rules, log-format. |
//! | [`model`] | The configuration, resolved and frozen ([`model::plan::Plan`]), and the live facts about it. |
//! | [`config`] | Text to plan, with diagnostics worth reading. |
//! | [`dataplane`] | One core's work: sessions, streams and bytes. |
//! | [`services`] | What runs beside the traffic: checks, resolvers, peers. |
//! | [`admin`] | What tools and people ask: runtime API, statistics, Prometheus. |
//! | [`control`] | The main thread: start, publish, reload, supervise, stop. |
//!
//! A floor uses only the floors above it in this table, with two exceptions: `proto`, `language`, `model` and `config`
//! never use `engine`, and `dataplane`, `services` and `admin` never use `config`. `tests/tidy.rs` holds that.
//!
//! **The life of a request.** `engine::listener` accepts and `dataplane::worker` admits; `session` reads the PROXY protocol,
//! TLS and the rules of a connection (`mux` where many streams share one). `stream::request` reads the head with
//! `proto::h1`, `stream::http` walks the phases with `rules`, `stream::forward` takes it to the server that `connect` finds
//! (`persist`, `cookie`, `key`, `model::balance`, `queue`, `idle`). `stream::response` and `download` bring the answer, `body`
//! and `filter` its bytes, `splice` long ones without a copy. What fails goes through `termination` to `reply`; `log` ends it.
//!
//! **The life of a reload.** `control::master::watch` hears SIGUSR2, or `cli` the word. The master writes its `memory`, executes
//! itself and forks a worker; there `startup` loads (`config::load`), takes sockets (`inherit`) and state (`carry`) from the
//! former worker, opens the rest (`sockets`), gives up rights (`jail`) and says on the `channel` that it serves. Then the master
//! tells the former worker to leave (`stop`), which lets its idle server connections (`bequest`) and its TCP sessions
//! (`transfer`) go there too.
//!
//! Unsafe code lives in [`engine`] alone; the clock is read in [`base::clock`] alone.

pub mod admin;
pub mod base;
pub mod config;
pub mod control;
pub mod dataplane;
pub mod engine;
pub mod language;
pub mod model;
pub mod proto;
pub mod services;
