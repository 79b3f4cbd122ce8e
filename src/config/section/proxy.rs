//! Headers of `global`, `defaults`, `frontend`, `backend` and `listen` (manual 4), and what a new proxy inherits.

use super::{
    Loading, Section,
    draft::{Draft, ServerDraft},
    forbidden_character,
};
use crate::{
    base::origin::Origin,
    config::keyword::{
        args::{Args, Fault},
        proxy::rules,
    },
    model::proxy::Proxy,
};

pub fn open_global(_: &mut Loading<'_>, args: &Args<'_>) -> Result<Section, Fault> {
    args.at_most(0)?;
    Ok(Section::Global)
}

/// `defaults [<name>] [from <name>]`. Each starts from scratch unless it says `from`.
pub fn open_defaults(loading: &mut Loading<'_>, args: &Args<'_>) -> Result<Section, Fault> {
    let name = if args.get(1) == "from" { "" } else { args.get(1) };
    let from_at = if name.is_empty() { 1 } else { 2 };
    let origin = args.origin();
    let mut draft = Draft::new(Proxy::new(name, origin.clone(), true, true), "defaults");
    let mut lines = Vec::new();
    if args.get(from_at) == "from" {
        let base = base(loading, args, from_at + 1, "defaults", name)?;
        draft = inherit(&loading.defaults[base], name, origin, "defaults", (true, true));
        lines = loading.defaults[base].rule_lines.clone();
    }
    loading.defaults.push(draft);
    loading.section = Section::Defaults(loading.defaults.len() - 1);
    rules::replay(loading, &lines);
    Ok(Section::Defaults(loading.defaults.len() - 1))
}

/// `frontend|backend|listen <name> [from <defaults>]`.
pub fn open_proxy(loading: &mut Loading<'_>, args: &Args<'_>) -> Result<Section, Fault> {
    let (section, capabilities) = match args.get(0) {
        "frontend" => ("frontend", (true, false)),
        "backend" => ("backend", (false, true)),
        _ => ("listen", (true, true)),
    };
    let name = args.get(1);
    if name.is_empty() {
        let text = format!("'{section}' expects an <id> argument");
        return Err(args.fault(1, text));
    }
    if let Some(c) = forbidden_character(name) {
        // HAProxy says so and goes on: the load does not fail by it.
        let text = format!("character '{c}' is not permitted in '{section}' name '{name}'.");
        loading.diagnostics.harmless_alert(args.line, args.word(1), text);
    }
    let from = args.get(2) == "from" && !args.get(3).is_empty();
    if !args.get(2).is_empty() && (!from || !args.get(4).is_empty()) {
        if from {
            let fault = args.at_most(3).err();
            fault.into_iter().for_each(|f| loading.report(args.line, f));
        }
        let at = if from { 4 } else { 2 };
        return Err(args.fault(at, "please use the 'bind' keyword for listening addresses."));
    }
    let origin = args.origin();
    let kind = Proxy::new(name, origin.clone(), capabilities.0, capabilities.1).kind();
    let base = match from {
        true => Some(base(loading, args, 3, kind, name)?),
        false => loading.defaults.len().checked_sub(1),
    };
    mixed_usage(loading, args, base, from);
    same_names(loading, args, kind, name, capabilities);
    let mut lines = Vec::new();
    let draft = match base {
        Some(base) => {
            lines = loading.defaults[base].rule_lines.clone();
            if section == "listen" {
                rules::refuse_for_listen(loading, args, base);
            }
            inherit(&loading.defaults[base], name, origin, section, capabilities)
        }
        None => Draft::new(Proxy::new(name, origin, capabilities.0, capabilities.1), section),
    };
    loading.proxies.push(draft);
    loading.section = Section::Proxy(loading.proxies.len() - 1);
    rules::replay(loading, &lines);
    Ok(Section::Proxy(loading.proxies.len() - 1))
}

/// A defaults section should be used by name or by being the last one, not both.
fn mixed_usage(loading: &mut Loading<'_>, args: &Args<'_>, base: Option<usize>, explicit: bool) {
    let Some(defaults) = base.and_then(|b| loading.defaults.get_mut(b)) else { return };
    if explicit {
        defaults.used_by_name = true;
        return;
    }
    if !defaults.used_by_name {
        return;
    }
    let text = format!(
        "defaults section '{}' (declared at {}) is explicitly referenced by another proxy and implicitly used here. To avoid \
         any ambiguity don't mix both usage. Add a last defaults section not explicitly used or always use explicit references.",
        defaults.proxy.name, defaults.proxy.origin
    );
    loading.warn(args, 0, text);
}

/// The defaults section that `from` names: the last one of that name.
fn base(loading: &mut Loading<'_>, args: &Args<'_>, at: usize, kind: &str, name: &str) -> Result<usize, Fault> {
    let wanted = args.get(at);
    let found: Vec<usize> =
        loading.defaults.iter().enumerate().filter(|(_, d)| d.proxy.name == wanted).map(|(i, _)| i).collect();
    let Some(&last) = found.last() else {
        let text = format!("defaults section '{wanted}' not found for {kind} '{name}'.");
        return Err(args.fault(at, text));
    };
    if let [.., before, _] = found[..] {
        let (first, second) = (&loading.defaults[last].proxy.origin, &loading.defaults[before].proxy.origin);
        let text = format!(
            "ambiguous defaults section name '{wanted}' referenced by {kind} '{name}' exists at least at {first} and {second}."
        );
        loading.diagnostics.harmless_alert(args.line, args.word(at), text);
    }
    Ok(last)
}

/// Names must be distinct; a frontend and a backend of one name load with a warning, as HAProxy 2.6 took them (83 of the
/// real configurations we know rely on that).
fn same_names(loading: &mut Loading<'_>, args: &Args<'_>, kind: &str, name: &str, (front, back): (bool, bool)) {
    let Some(other) = loading.proxies.iter().find(|p| p.proxy.name == name) else { return };
    let overlap = (front && other.proxy.has_frontend) || (back && other.proxy.has_backend);
    let same = loading
        .proxies
        .iter()
        .find(|p| p.proxy.name == name && ((front && p.proxy.has_frontend) || (back && p.proxy.has_backend)));
    let other = same.unwrap_or(other);
    let text = format!(
        "config : Parsing [{}]: {kind} '{name}' has the same name as {} '{name}' declared at {}.",
        args.line.origin,
        other.proxy.kind(),
        other.proxy.origin
    );
    use crate::config::diagnostic::Severity;
    let no_longer = format!("{text} This is no longer supported as of 3.3. Please rename one or the other.");
    if overlap || same.is_some() {
        loading.diagnostics.pointing(Severity::Alert, args.line, args.word(1), text);
        loading.diagnostics.pointing(Severity::Alert, args.line, args.word(1), no_longer);
    } else {
        let text = no_longer;
        loading.diagnostics.pointing(Severity::Warning, args.line, args.word(1), text);
    }
}

/// A proxy that starts as a copy of a defaults section.
fn inherit(
    base: &Draft,
    name: &str,
    origin: Origin,
    section: &'static str,
    (has_frontend, has_backend): (bool, bool),
) -> Draft {
    let mut draft = base.inherited();
    draft.section = section;
    name.clone_into(&mut draft.proxy.name);
    draft.proxy.origin = origin.clone();
    draft.proxy.has_frontend = has_frontend;
    draft.proxy.has_backend = has_backend;
    draft.proxy.description = None;
    draft.proxy.id = 0;
    draft.default_server = ServerDraft { server: base.default_server.server.clone(), ..base.default_server.clone() };
    draft
}
