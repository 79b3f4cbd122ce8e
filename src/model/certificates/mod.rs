//! Certificates and keys as `crt`, `crt-list`, `ca-file` and their kin name them (manual 5.1, 12.7): loaded from files,
//! found by the name a client asks for, replaced while running. The settings are `model::tls`'s; what comes out runs
//! `proto::tls` sessions: [`bind::BindContext`] for a bind line, [`server::settings`] for a server line.

pub mod bind;
pub mod certificate;
pub mod crt_list;
pub mod list;
pub mod names;
pub mod pem;
pub mod server;
pub mod store;
pub mod trust;
