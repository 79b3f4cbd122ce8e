//! What the commands do, by what they are about.

pub mod certificate;
pub mod cookie;
pub mod descriptors;
pub mod events;
pub mod frontend;
pub mod memory;
pub mod pattern;
pub mod process;
pub mod profiling;
pub mod resolvers;
pub mod server;
pub mod show;
pub mod table;
pub mod variable;

use super::Process;
use crate::model::plan::{ProxyIndex, ServerIndex};

/// The server that `backend/server` names, or HAProxy's complaint. `#id` is taken for both.
pub fn server_of(process: &dyn Process, word: &str) -> Result<(ProxyIndex, ServerIndex), &'static str> {
    let (backend, server) = word.split_once('/').ok_or("Require 'backend/server'.")?;
    if server.is_empty() {
        return Err("Require 'backend/server'.");
    }
    let proxy = backend_of(process, backend).ok_or("No such backend.")?;
    let live = process.board().live.backend(proxy);
    let by_id = server.strip_prefix('#').and_then(|id| id.parse::<u32>().ok());
    let found = match by_id {
        Some(id) => live.servers().find(|(_, s)| s.settings.id == id).map(|(i, _)| i),
        None => live.find(server),
    };
    Ok((proxy, found.ok_or("No such server.")?))
}

pub fn backend_of(process: &dyn Process, word: &str) -> Option<ProxyIndex> {
    match word.strip_prefix('#').and_then(|id| id.parse::<u32>().ok()) {
        Some(id) => process.plan().proxies.iter().position(|p| p.has_backend && p.id == id),
        None => process.plan().backend(word),
    }
}

/// A number followed by nothing.
pub fn integer(word: &str) -> Option<i64> {
    word.parse().ok()
}
