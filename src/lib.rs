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
//! | [`services`] | What runs beside the traffic: checks, logs, resolvers, peers. |
//! | [`admin`] | What tools and people ask: runtime API, statistics, Prometheus. |
//! | [`control`] | The main thread: start, publish, reload, supervise, stop. |
//!
//! A floor uses only the floors above it in this table, with two exceptions: `proto`, `language`, `model` and `config`
//! never use `engine`, and `dataplane` never uses `config`. `tests/tidy.rs` holds that.
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
