//! Commands about maps and the patterns of ACLs: both are sources of `language::pattern`, edited while in use.

use crate::{
    admin::runtime_api::{Answer, Call},
    language::{
        pattern::{Method, Registry, Source},
        sample::Sample,
        scratch::Pool,
    },
};
use std::sync::Arc;

/// Map or ACL: the commands differ in words only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Map,
    Acl,
}

impl Kind {
    fn of(call: &Call<'_>) -> Kind {
        if call.words.get(1) == Some(&"map") { Kind::Map } else { Kind::Acl }
    }

    fn title(self) -> &'static str {
        if self == Kind::Map { "map" } else { "ACL" }
    }
}

/// The words after the name: `@version`, if one was given, and the others.
struct Words<'a> {
    kind: Kind,
    version: Option<&'a str>,
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn of(call: &Call<'a>) -> Words<'a> {
        let words = &call.words[call.named..];
        let version = words.first().and_then(|w| w.strip_prefix('@'));
        let rest = words.iter().skip(version.is_some() as usize).copied().collect();
        Words { kind: Kind::of(call), version, rest }
    }

    fn source(&self, registry: &Registry) -> Result<Arc<Source>, Answer> {
        let found = self.rest.first().and_then(|name| registry.find(name));
        found.filter(|s| s.is_map == (self.kind == Kind::Map)).ok_or_else(|| {
            Answer::error(format!("Unknown {} identifier. Please use #<id> or <file>.", self.kind.title()))
        })
    }

    /// The version, if one was given and is one.
    fn version(&self) -> Result<Option<u32>, Answer> {
        match self.version {
            None => Ok(None),
            Some(word) => word.parse().map(Some).map_err(|_| Answer::error("Version number out of range.")),
        }
    }
}

/// A refused pattern's text ends in a full stop here, as all of the runtime API's sentences do.
fn outcome(result: Result<(), String>) -> Answer {
    match result {
        Ok(()) => Answer::Empty,
        Err(text) if text.ends_with('.') => Answer::error(text),
        Err(text) => Answer::error(format!("{text}.")),
    }
}

/// The words and the source they name, or the complaint.
macro_rules! source {
    ($call:expr, $words:expr) => {
        match $words.source($call.process.patterns()) {
            Ok(source) => source,
            Err(answer) => return answer,
        }
    };
}

/// `show map`, `show acl`: all sources, or the entries of one.
pub fn show(call: &mut Call<'_>) -> Answer {
    let words = Words::of(call);
    let mut out = Vec::new();
    if words.rest.is_empty() {
        out.extend_from_slice(b"# id (file) description\n");
        for source in call.process.patterns().all().iter().filter(|s| s.is_map == (words.kind == Kind::Map)) {
            out.extend_from_slice(description(source).as_bytes());
        }
        return Answer::Text(out);
    }
    let source = source!(call, words);
    let entries = match words.version() {
        Err(answer) => return answer,
        Ok(Some(version)) if version != source.versions().0 => Arc::new(source.prepared(version).unwrap_or_default()),
        Ok(_) => source.entries(),
    };
    for entry in entries.iter() {
        out.extend_from_slice(reference(&source, entry.index).as_bytes());
        out.push(b' ');
        out.extend_from_slice(entry.pattern);
        if words.kind == Kind::Map {
            out.push(b' ');
            out.extend_from_slice(entry.value);
        }
        out.push(b'\n');
    }
    Answer::Text(out)
}

fn description(source: &Source) -> String {
    let (current, next) = source.versions();
    let users: Vec<String> = source.users().iter().map(|user| format!("by {user}")).collect();
    let (file, text) = match &source.file {
        Some(file) => (&**file, format!("pattern loaded from file '{file}' used {}", users.join(", "))),
        None => {
            let user = source.users().into_iter().next();
            let origin = &source.origin;
            ("", user.unwrap_or_else(|| format!("acl at file '{}' line {}", origin.file, origin.line)))
        }
    };
    format!(
        "{} ({file}) {text}. curr_ver={current} next_ver={next} entry_cnt={}\n",
        source.id,
        source.entries().len()
    )
}

/// Stands for HAProxy's address of an entry: the source's number and the entry's place, good until the next edit.
fn reference(source: &Source, index: usize) -> String {
    format!("0x{:012x}", (source.id as u64 + 1) << 32 | (index as u64 + 1) << 4)
}

/// `get map`, `get acl`: what a value matches, by each index over the source.
pub fn get(call: &mut Call<'_>) -> Answer {
    let words = Words::of(call);
    let [_, key] = words.rest[..] else {
        return Answer::error(format!("Missing {} identifier and/or key.", words.kind.title()));
    };
    let source = source!(call, words);
    let (pool, mut text) = (Pool::new(), String::new());
    for set in source.sets() {
        let case = if set.ignore_case { "insensitive" } else { "sensitive" };
        let tree = matches!(set.method, Method::Ip | Method::Beg) || (set.method == Method::Str && !set.ignore_case);
        let index = if tree { "tree" } else { "list" };
        text.push_str(&format!("type={}, case={case}, ", set.method.name()));
        let found = Sample::str(key.as_bytes()).cast(set.method.input(), &pool).and_then(|sample| {
            set.find(&sample, &pool, |entry| {
                let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
                (lossy(entry.pattern), lossy(entry.value))
            })
        });
        text.push_str(&match (found, words.kind) {
            (Some((key, value)), Kind::Map) => {
                format!("found=yes, idx={index}, key=\"{key}\", value=\"{value}\", type=\"str\"\n")
            }
            (Some((pattern, _)), Kind::Acl) => format!("match=yes, idx={index}, pattern=\"{pattern}\"\n"),
            (None, Kind::Map) => "found=no\n".into(),
            (None, Kind::Acl) => "match=no\n".into(),
        });
    }
    Answer::Text(text.into_bytes())
}

/// `add map [@v] <map> <key> <value>` or with a payload of `key value` lines; `add acl [@v] <acl> <pattern>`.
pub fn add(call: &mut Call<'_>) -> Answer {
    let words = Words::of(call);
    let complete = match words.kind {
        Kind::Map => {
            words.rest.len() >= 3 || (words.rest.len() == 1 && call.payload.is_some_and(|p| !p.trim().is_empty()))
        }
        // A payload is for maps only.
        Kind::Acl => words.rest.len() >= 2,
    };
    if !complete {
        return Answer::error(match words.kind {
            Kind::Map => {
                "'add map' expects three parameters (map identifier, key and value) or one parameter (map identifier) and a \
                 payload"
            }
            Kind::Acl => "'add acl' expects two parameters: ACL identifier and pattern.",
        });
    }
    let source = source!(call, words);
    let version = match words.version() {
        Ok(version) => version,
        Err(answer) => return answer,
    };
    if version.is_some_and(|v| v > source.versions().1) {
        let command = if words.kind == Kind::Map { "map" } else { "acl" };
        return Answer::error(format!("Version number in the future, please use 'prepare {command}' before."));
    }
    let pairs: Vec<(&str, &str)> = match (&words.rest[1..], call.payload) {
        ([key, value, ..], _) => vec![(key, value)],
        ([pattern], _) => vec![(pattern, "")],
        ([], payload) => {
            let lines = payload.unwrap_or("").lines().map(str::trim).filter(|l| !l.is_empty());
            let split = |line: &'_ str| -> (usize, usize) {
                let end = line.find(char::is_whitespace).unwrap_or(line.len());
                (end, line.len() - line[end..].trim_start().len())
            };
            lines
                .map(|line| {
                    let (end, value) = split(line);
                    if words.kind == Kind::Map { (&line[..end], &line[value..]) } else { (line, "") }
                })
                .collect()
        }
    };
    if let (Kind::Map, Some((key, _))) = (words.kind, pairs.iter().find(|(_, value)| value.is_empty()))
        && words.rest.len() == 1
    {
        return Answer::error(format!("Missing value for key '{key}'."));
    }
    match version.filter(|v| *v != source.versions().0) {
        Some(version) => {
            let add = |(key, value): &(&str, &str)| source.add_prepared(version, key.as_bytes(), value.as_bytes());
            outcome(pairs.iter().try_for_each(add))
        }
        None => outcome(source.edit(|entries| {
            pairs.iter().for_each(|(key, value)| entries.push(key.as_bytes(), value.as_bytes()));
            Ok(())
        })),
    }
}

/// `set map <map> <key|#ref> <value>`.
pub fn set(call: &mut Call<'_>) -> Answer {
    let words = Words::of(call);
    let [_, key, value, ..] = words.rest[..] else {
        return Answer::error("'set map' expects three parameters: map identifier, key and value.");
    };
    let source = source!(call, words);
    match referenced(&source, key) {
        None => outcome(source.replace_value(key.as_bytes(), value.as_bytes())),
        Some(None) => Answer::error("key or pattern not found."),
        Some(Some(at)) => outcome(source.edit(|entries| {
            let mut new = crate::language::pattern::Entries::default();
            entries.iter().for_each(|e| new.push(e.pattern, if e.index == at { value.as_bytes() } else { e.value }));
            *entries = new;
            Ok(())
        })),
    }
}

/// The place a `#0x…` means: `None` for a plain key, `Some(None)` for a reference to nothing.
fn referenced(source: &Source, key: &str) -> Option<Option<usize>> {
    let word = key.strip_prefix('#')?;
    // What is no number is a key.
    u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()?;
    Some((0..source.entries().len()).find(|index| reference(source, *index) == word))
}

/// `del map`, `del acl`.
pub fn del(call: &mut Call<'_>) -> Answer {
    let words = Words::of(call);
    let [_, key, ..] = words.rest[..] else {
        return Answer::error(format!(
            "This command expects two parameters: {} identifier and key.",
            words.kind.title()
        ));
    };
    let source = source!(call, words);
    match referenced(&source, key) {
        None => outcome(source.delete(key.as_bytes())),
        Some(None) => Answer::error("Key not found."),
        Some(Some(at)) => outcome(source.edit(|entries| {
            let mut kept = crate::language::pattern::Entries::default();
            entries.iter().filter(|e| e.index != at).for_each(|e| kept.push(e.pattern, e.value));
            *entries = kept;
            Ok(())
        })),
    }
}

pub fn clear(call: &mut Call<'_>) -> Answer {
    let words = Words::of(call);
    if words.rest.is_empty() {
        return Answer::error(format!("Missing {} identifier.", words.kind.title()));
    }
    let source = source!(call, words);
    match words.version() {
        Err(answer) => answer,
        Ok(Some(version)) if version != source.versions().0 => Answer::error("Version number out of range."),
        Ok(_) => outcome(source.clear()),
    }
}

pub fn prepare(call: &mut Call<'_>) -> Answer {
    let words = Words::of(call);
    let source = source!(call, words);
    Answer::info(format!("New version created: {}", source.prepare()))
}

pub fn commit(call: &mut Call<'_>) -> Answer {
    let words = Words::of(call);
    let version = match words.version() {
        Ok(Some(version)) => version,
        Ok(None) => return Answer::error("Missing version number."),
        Err(answer) => return answer,
    };
    if words.rest.is_empty() {
        return Answer::error(format!("Missing {} identifier.", words.kind.title()));
    }
    let source = source!(call, words);
    outcome(source.commit(version))
}
