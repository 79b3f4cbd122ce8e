//! Server-state files at the start (manual 3.1 "server-state-file", 4.2 "load-server-state-from-file"): read while the file
//! system is still the whole one, applied to live state before anyone serves.

use crate::base::clock::Millis;
use crate::config::diagnostic::Severity;
use crate::config::files;
use crate::model::persist::ServerState;
use crate::model::plan::{Plan, ProxyIndex};
use crate::model::state::file;
use crate::model::state::live::Live;
use std::path::{Path, PathBuf};

/// What a file says, and which backend it is for: all that load from the global one, or one.
pub struct Saved {
    text: String,
    path: PathBuf,
    only: Option<ProxyIndex>,
}

/// What is to be told.
pub type Messages = Vec<(Severity, String)>;

/// Reads the files that the plan names.
pub fn read(plan: &Plan) -> (Vec<Saved>, Messages) {
    let (mut saved, mut messages) = (Vec::new(), Messages::new());
    let base = plan.global.server_state_base.as_deref();
    let place = |name: &Path| base.map_or_else(|| name.to_owned(), |b| b.join(name));
    let globally = plan.proxies.iter().any(|p| p.backend.load_server_state == ServerState::Global);
    if let Some(name) = plan.global.server_state_file.as_deref().filter(|_| globally) {
        let path = place(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => saved.push(Saved { text, path, only: None }),
            Err(e) => {
                let why = files::reason(&e);
                let text = format!("config: Can't open global server state file '{}': {why}", path.display());
                messages.push((Severity::Notice, text));
            }
        }
    }
    for (index, proxy) in plan.proxies.iter().enumerate() {
        if !proxy.has_backend || proxy.disabled || proxy.backend.load_server_state != ServerState::Local {
            continue;
        }
        let path = place(Path::new(proxy.backend.server_state_file_name.as_deref().unwrap_or(&proxy.name)));
        match std::fs::read_to_string(&path) {
            Ok(text) => saved.push(Saved { text, path, only: Some(index) }),
            Err(e) => {
                let (name, why) = (&proxy.name, files::reason(&e));
                let text = format!("Proxy '{name}': Can't open server state file '{}': {why}.", path.display());
                messages.push((Severity::Notice, text));
            }
        }
    }
    (saved, messages)
}

/// Brings the states back.
pub fn apply(saved: &[Saved], plan: &Plan, live: &Live, now: Millis) -> Messages {
    let mut messages = Messages::new();
    for file in saved {
        let wanted = |proxy: ProxyIndex| match file.only {
            Some(only) => proxy == only,
            None => plan.proxies[proxy].backend.load_server_state == ServerState::Global,
        };
        let path = file.path.display();
        match file::load(&file.text, plan, live, wanted, now) {
            Ok(bad) => {
                for line in bad {
                    let text = format!("server-state application failed for line {line} of '{path}'");
                    messages.push((Severity::Warning, text));
                }
            }
            Err(_) => {
                let text = match file.only {
                    None => format!("config: Can't get version of the global server state file '{path}'."),
                    Some(p) => {
                        let name = &plan.proxies[p].name;
                        format!("Proxy '{name}': Can't get version of the server state file '{path}'.")
                    }
                };
                messages.push((Severity::Warning, text));
            }
        }
    }
    messages
}
