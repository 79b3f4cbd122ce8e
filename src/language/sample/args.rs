//! Arguments of fetches and converters: their specification (`integer,string[,string]`, as `haproxy -dKsmp` writes
//! it), how they are read from `(a,b)`, and HAProxy's errors about them.

use crate::base::origin::Origin;
use crate::language::acl::Acl;
use crate::language::pattern::PatternSet;
use crate::language::pattern::map::Map;
use crate::language::regex::{Regex, Replacement};
use crate::language::vars::VarName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, OnceLock};

/// What a name in an argument refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    Table,
    Frontend,
    Backend,
    Server,
    Userlist,
    /// A section, named by a rule.
    Resolvers,
}

/// A name that is resolved when the whole configuration is known: by `config`, which sets `index`.
#[derive(Debug)]
pub struct Reference {
    pub kind: ReferenceKind,
    /// Empty: the proxy where it stands. `backend/server` or `server` for servers.
    pub name: Arc<str>,
    /// The proxy where the name stands.
    pub proxy: Arc<str>,
    pub origin: Origin,
    /// How messages call the place: `arg 1 of ACL keyword 'http_auth'`.
    pub place: String,
    /// Index of the proxy, table or list; for servers also the server's.
    pub index: OnceLock<(usize, usize)>,
    pub userlist: OnceLock<Arc<crate::language::auth::Userlist>>,
}

impl Reference {
    /// HAProxy's error when the name stays unresolved, after `parsing [file:line]: `.
    pub fn missing(&self) -> String {
        let (what, name) = match self.kind {
            ReferenceKind::Table if self.name.is_empty() => ("table", &self.proxy),
            ReferenceKind::Table => ("table", &self.name),
            ReferenceKind::Frontend => ("frontend", &self.name),
            ReferenceKind::Backend => ("backend", &self.name),
            ReferenceKind::Server => return self.missing_server(),
            ReferenceKind::Userlist => ("userlist", &self.name),
            ReferenceKind::Resolvers => {
                return format!("Can't find resolvers section '{}' for {}.", self.name, self.place);
            }
        };
        if name.is_empty() {
            return format!("missing {what} name in {} in proxy '{}'.", self.place, self.proxy);
        }
        format!("unable to find {what} '{name}' referenced in {} in proxy '{}'.", self.place, self.proxy)
    }

    fn missing_server(&self) -> String {
        let (proxy, server) = self.name.split_once('/').unwrap_or((&self.proxy, &self.name));
        let place = &self.place;
        format!(
            "unable to find server '{server}' in proxy '{proxy}', referenced in {place} in proxy '{}'.",
            self.proxy
        )
    }

    /// The whole message of an unresolved name: rules that track have a form of their own.
    pub fn message(&self) -> String {
        match self.place.starts_with("track-sc") {
            true => {
                format!("Proxy '{}': unable to find table '{}' referenced by {}.", self.proxy, self.name, self.place)
            }
            false => format!("parsing [{}]: {}", self.origin, self.missing()),
        }
    }
}

/// One argument. Rows' check functions replace plain ones by resolved ones (a variable, a map, a regex).
#[derive(Debug, Clone)]
pub enum Arg {
    /// Left out.
    None,
    Str(Box<[u8]>),
    Int(i64),
    Ip(IpAddr),
    Ref(Arc<Reference>),
    Var(Arc<VarName>),
    Regex(Arc<Regex>, RegexFlags),
    Replacement(Arc<Replacement>),
    Map(Arc<Map>),
    Acls(Arc<Vec<(bool, Arc<Acl>)>>),
    Set(Arc<PatternSet>),
    Words(Arc<Vec<Box<[u8]>>>),
}

/// Flags of `regsub`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegexFlags {
    pub global: bool,
}

/// Arguments of one use of a word.
#[derive(Debug, Clone, Default)]
pub struct Args(pub Vec<Arg>);

impl Args {
    pub fn get(&self, i: usize) -> &Arg {
        self.0.get(i).unwrap_or(&Arg::None)
    }

    /// A string argument; `None` when it was left out.
    pub fn str(&self, i: usize) -> Option<&[u8]> {
        match self.get(i) {
            Arg::Str(s) => Some(s),
            _ => None,
        }
    }

    /// A string argument for parsing, as text.
    pub fn text(&self, i: usize) -> Option<&str> {
        self.str(i).and_then(|s| std::str::from_utf8(s).ok())
    }

    pub fn int(&self, i: usize) -> Option<i64> {
        match self.get(i) {
            Arg::Int(n) => Some(*n),
            _ => None,
        }
    }

    pub fn reference(&self, i: usize) -> Option<&Arc<Reference>> {
        match self.get(i) {
            Arg::Ref(r) => Some(r),
            _ => None,
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a resolved argument at `i`.
    pub fn put(&mut self, i: usize, arg: Arg) {
        while self.0.len() <= i {
            self.0.push(Arg::None);
        }
        self.0[i] = arg;
    }
}

/// Types of arguments, by the words of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArgType {
    String,
    Integer,
    Ipv4,
    Ipv6,
    Mask4,
    Mask6,
    Regex,
    Protobuf,
    Ref(ReferenceKind),
}

impl ArgType {
    fn parse(word: &str) -> ArgType {
        match word {
            "integer" => ArgType::Integer,
            "IPv4 address" => ArgType::Ipv4,
            "IPv6 address" => ArgType::Ipv6,
            "IPv4 mask" => ArgType::Mask4,
            "IPv6 mask" => ArgType::Mask6,
            "regex" => ArgType::Regex,
            "Protocol buffers field number" => ArgType::Protobuf,
            "table" => ArgType::Ref(ReferenceKind::Table),
            "frontend" => ArgType::Ref(ReferenceKind::Frontend),
            "backend" => ArgType::Ref(ReferenceKind::Backend),
            "server" => ArgType::Ref(ReferenceKind::Server),
            "user list" => ArgType::Ref(ReferenceKind::Userlist),
            _ => ArgType::String,
        }
    }

    fn name(self) -> &'static str {
        match self {
            ArgType::String => "string",
            ArgType::Integer => "integer",
            ArgType::Ipv4 => "IPv4 address",
            ArgType::Ipv6 => "IPv6 address",
            ArgType::Mask4 => "IPv4 mask",
            ArgType::Mask6 => "IPv6 mask",
            ArgType::Regex => "regex",
            ArgType::Protobuf => "Protocol buffers field number",
            ArgType::Ref(ReferenceKind::Table) => "table",
            ArgType::Ref(ReferenceKind::Frontend) => "frontend",
            ArgType::Ref(ReferenceKind::Backend) => "backend",
            ArgType::Ref(ReferenceKind::Server) => "server",
            ArgType::Ref(ReferenceKind::Userlist) => "user list",
            ArgType::Ref(ReferenceKind::Resolvers) => "resolvers",
        }
    }
}

/// The types of a specification and how many of them are mandatory.
fn types(spec: &str) -> (Vec<ArgType>, usize) {
    let (mandatory, optional) = match spec.split_once('[') {
        Some((m, o)) => (m, o.trim_end_matches(']')),
        None => (spec, ""),
    };
    let words = |s: &'_ str| s.split(',').filter(|w| !w.is_empty()).map(ArgType::parse).collect::<Vec<_>>();
    let mut all = words(mandatory);
    let count = all.len();
    all.extend(words(optional));
    (all, count)
}

/// What a failed reading of arguments says: the argument's number from 1, and HAProxy's text.
pub struct ArgError {
    pub arg: usize,
    pub text: String,
}

/// Where the names among the arguments stand, for later messages.
pub struct Place<'p> {
    pub proxy: &'p str,
    pub origin: &'p Origin,
    /// `ACL keyword 'x'`, `sample fetch keyword 'x'`, `conv keyword`.
    pub word: String,
}

/// Reads the arguments at the start of `text`, which begins after the word's name. Gives what was read and how many
/// bytes of `text` it took, the parentheses included.
pub fn parse(
    spec: &str,
    text: &str,
    place: &Place<'_>,
    references: &mut Vec<Arc<Reference>>,
) -> Result<(Args, usize), ArgError> {
    let (types, mandatory) = types(spec);
    let bytes = text.as_bytes();
    let open = bytes.first() == Some(&b'(');
    let mut args = Args::default();
    let mut at = open as usize;
    let fail = |arg: usize, text: String| Err(ArgError { arg, text });
    loop {
        let index = args.len();
        // A word without arguments may stand with or without `()`; one with mandatory ones gets an empty first one.
        if index == types.len() {
            break;
        }
        let (value, end) = if open { unquote(bytes, at) } else { (Vec::new(), at) };
        if value.is_empty() && index >= mandatory && !matches!(bytes.get(end), Some(b',')) && end == at {
            break;
        }
        let kind = types[index];
        let arg = match convert(kind, &value, index, place, references) {
            _ if value.is_empty() && index >= mandatory => Arg::None,
            Some(arg) => arg,
            None => {
                let value = String::from_utf8_lossy(&value).into_owned();
                if value.is_empty() && kind != ArgType::String {
                    return fail(index + 1, missing(index, mandatory, kind));
                }
                let n = index + 1;
                return fail(n, format!("failed to parse '{value}' as type '{}' at position {n}", kind.name()));
            }
        };
        args.0.push(arg);
        at = end;
        if open && bytes.get(at) == Some(&b',') && args.len() < types.len() {
            at += 1;
            continue;
        }
        break;
    }
    if args.len() < mandatory {
        let n = args.len();
        return fail(n + 1, missing(n, mandatory, types[n]));
    }
    if !open {
        return Ok((args, 0));
    }
    if bytes.get(at) != Some(&b')') {
        let n = (args.len() + (args.len() < types.len() || types.is_empty()) as usize).max(1);
        return match &text[at.min(text.len())..] {
            "" => fail(n, "expected ')'".into()),
            rest => fail(n, format!("expected ')' before '{rest}'")),
        };
    }
    Ok((args, at + 1))
}

fn missing(got: usize, mandatory: usize, kind: ArgType) -> String {
    format!("missing arguments (got {got}/{mandatory}), type '{}' expected", kind.name())
}

/// One argument from `at`: quotes and backslashes are undone (manual 2.2). Ends at an unquoted comma or closing
/// parenthesis.
fn unquote(bytes: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let mut quote = 0u8;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'"' | b'\'' if quote == 0 => quote = b,
            _ if b == quote && quote != 0 => quote = 0,
            b'\\' if quote != b'\'' => {
                let escaped = match bytes.get(at + 1) {
                    Some(b'r') => Some(b'\r'),
                    Some(b'n') => Some(b'\n'),
                    Some(b't') => Some(b'\t'),
                    Some(c @ (b'\\' | b'"' | b'\'')) => Some(*c),
                    _ => None,
                };
                // Before anything else a backslash stands for itself.
                at += escaped.is_some() as usize;
                out.push(escaped.unwrap_or(b'\\'));
            }
            b',' | b')' if quote == 0 => break,
            _ => out.push(b),
        }
        at += 1;
    }
    (out, at)
}

fn convert(
    kind: ArgType,
    value: &[u8],
    index: usize,
    place: &Place<'_>,
    references: &mut Vec<Arc<Reference>>,
) -> Option<Arg> {
    let text = || std::str::from_utf8(value).ok();
    Some(match kind {
        ArgType::String | ArgType::Regex | ArgType::Protobuf => Arg::Str(value.into()),
        ArgType::Integer => Arg::Int(text()?.parse().ok()?),
        ArgType::Ipv4 => Arg::Ip(IpAddr::V4(text()?.parse::<Ipv4Addr>().ok()?)),
        ArgType::Ipv6 => Arg::Ip(IpAddr::V6(text()?.parse::<Ipv6Addr>().ok()?)),
        ArgType::Mask4 => Arg::Ip(IpAddr::V4(mask4(text()?)?)),
        ArgType::Mask6 => Arg::Ip(IpAddr::V6(mask6(text()?)?)),
        ArgType::Ref(kind) => {
            let reference = Arc::new(Reference {
                kind,
                name: text()?.into(),
                proxy: place.proxy.into(),
                origin: place.origin.clone(),
                place: format!("arg {} of {}", index + 1, place.word),
                index: OnceLock::new(),
                userlist: OnceLock::new(),
            });
            references.push(reference.clone());
            Arg::Ref(reference)
        }
    })
}

/// A mask as an address or as a prefix length.
fn mask4(text: &str) -> Option<Ipv4Addr> {
    match text.parse::<u32>() {
        Ok(n) if n <= 32 => Some(Ipv4Addr::from(u32::MAX.checked_shl(32 - n).unwrap_or(0))),
        _ => text.parse().ok(),
    }
}

fn mask6(text: &str) -> Option<Ipv6Addr> {
    match text.parse::<u32>() {
        Ok(n) if n <= 128 => Some(Ipv6Addr::from(u128::MAX.checked_shl(128 - n).unwrap_or(0))),
        _ => text.parse().ok(),
    }
}
