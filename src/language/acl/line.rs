//! Reading an ACL's expression: the fetch or alias (`path_beg` is `path -m beg`), converters, flags, operators and
//! patterns.

use super::AclLine;
use crate::language::parse::{Error, Parse, Words};
use crate::language::pattern::{Entries, Method, PatternSet};
use crate::language::sample::expr::Role;
use crate::language::sample::{Expr, Type, fetch};
use crate::language::words;
use std::sync::{Arc, OnceLock};

/// Aliases: the name, the fetch, the method (HAProxy lists them with `-dKacl`).
const SUFFIXED: &[(&str, &str)] = &[
    ("base", "base"),
    ("cook", "req.cook"),
    ("hdr", "req.hdr"),
    ("path", "path"),
    ("scook", "res.cook"),
    ("shdr", "res.hdr"),
    ("url", "url"),
    ("urlp", "urlp"),
];
const SUFFIXES: &[Method] =
    &[Method::Beg, Method::Dir, Method::Dom, Method::End, Method::Len, Method::Reg, Method::Sub];
const PLAIN: &[(&str, &str, Method)] = &[
    ("base", "base", Method::Str),
    ("cook", "req.cook", Method::Str),
    ("hdr", "req.hdr", Method::Str),
    ("path", "path", Method::Str),
    ("scook", "res.cook", Method::Str),
    ("shdr", "res.hdr", Method::Str),
    ("url", "url", Method::Str),
    ("urlp", "urlp", Method::Str),
    ("http_auth_group", "http_auth_group", Method::Str),
    ("method", "method", Method::Str),
    ("payload", "req.payload", Method::Bin),
    ("payload_lv", "req.payload_lv", Method::Bin),
    ("req.ssl_ver", "req.ssl_ver", Method::Int),
    ("req_rdp_cookie", "req.rdp_cookie", Method::Str),
    ("req_rdp_cookie_cnt", "req.rdp_cookie_cnt", Method::Int),
    ("req_ssl_sni", "req.ssl_sni", Method::Str),
    ("req_ssl_ver", "req.ssl_ver", Method::Int),
    ("req_ver", "req.ver", Method::Str),
    ("resp_ver", "res.ver", Method::Str),
    ("ssl_fc_sni_end", "ssl_fc_sni", Method::End),
    ("ssl_fc_sni_reg", "ssl_fc_sni", Method::Reg),
];

/// Every alias with the fetch and method behind it.
pub fn aliases() -> impl Iterator<Item = (String, &'static str, Method)> {
    let plain = PLAIN.iter().map(|(name, fetch, method)| ((*name).to_owned(), *fetch, *method));
    let suffixed = SUFFIXED.iter().flat_map(|(stem, fetch)| {
        SUFFIXES.iter().map(move |method| (format!("{stem}_{}", method.name()), *fetch, *method))
    });
    plain.chain(suffixed)
}

/// The fetch and method behind an alias.
pub fn alias(name: &str) -> Option<(&'static str, Method)> {
    if let Some((_, fetch, method)) = PLAIN.iter().find(|(n, _, _)| *n == name) {
        return Some((fetch, *method));
    }
    let (stem, suffix) = name.rsplit_once('_')?;
    let fetch = SUFFIXED.iter().find(|(n, _)| *n == stem)?.1;
    SUFFIXES.iter().find(|m| m.name() == suffix).map(|m| (fetch, *m))
}

/// The method used when none is named.
fn default_method(kind: Type) -> Option<Method> {
    match kind {
        Type::Bool => Some(Method::Bool),
        Type::Sint => Some(Method::Int),
        Type::Addr | Type::Ipv4 | Type::Ipv6 => Some(Method::Ip),
        Type::Str | Type::Meth => Some(Method::Str),
        Type::Bin | Type::Any | Type::Same => None,
    }
}

/// Parses the words after an ACL's name, or between braces. `name` is for messages.
pub fn parse(w: &mut Words<'_>, name: Option<&str>, p: &mut Parse<'_>) -> Result<AclLine, Error> {
    let index = w.index();
    let word = w.next().unwrap_or_default();
    if word.is_empty() {
        return Err(Error::new(index, "missing fetch method in ACL expression ''."));
    }
    let name_len = word.find(['(', ',']).unwrap_or(word.len());
    let keyword = &word[..name_len];
    let (fetch_name, mut method) = match alias(keyword) {
        Some((fetch, method)) => (fetch, Some(method)),
        None => (keyword, None),
    };
    let Some(fetch) = fetch::find(fetch_name) else {
        return Err(Error::new(
            index,
            match words::is_known(words::Kind::Fetch, fetch_name) {
                true => words::unsupported(keyword),
                false => format!("unknown fetch method '{word}' in ACL expression '{word}'."),
            },
        ));
    };
    let (expr, used) =
        Expr::parse_with(word, name_len, fetch, Role::Acl, false, p).map_err(|e| Error::new(index, e + "."))?;
    if used < word.len() {
        return Err(Error::new(
            index,
            format!("ACL keyword '{keyword}' : missing comma after fetch keyword '{}'.", &word[..used]),
        ));
    }
    // A converter changes what comes out: the alias's method is for the fetch alone. Comparing strings is what follows
    // anyway, so nothing is lost with it.
    let lost = |method| method != Method::Str || matches!(keyword, "method" | "http_auth_group");
    if expr.has_converters() && method.take().is_some_and(lost) {
        p.warnings.push(format!(
            "original matching method '{keyword}' was overwritten and will not be applied as expected."
        ));
    }
    warn_scope(&expr, name, p);
    let method = method.or_else(|| default_method(expr.out_type()));
    patterns(w, word, expr, method, p)
}

fn warn_scope(expr: &Expr, name: Option<&str>, p: &mut Parse<'_>) {
    // A named ACL may be used in several places: the conditions that use it are checked instead.
    if name.is_none() && !expr.is_available(p) {
        p.warnings.push(format!(
            "'anonymous acl will never match because it uses keyword '{}' which is incompatible with '{}'.",
            expr.fetch.name,
            p.points.name()
        ));
    }
}

/// Flags, operators and patterns.
fn patterns(
    w: &mut Words<'_>,
    word: &str,
    expr: Expr,
    mut method: Option<Method>,
    p: &mut Parse<'_>,
) -> Result<AclLine, Error> {
    let mut ignore_case = false;
    let mut as_map = false;
    let mut id = None;
    let mut files: Vec<(&str, usize)> = Vec::new();
    let mut no_warning = false;
    while let Some(flag) = w.peek().filter(|f| f.len() > 1 && f.starts_with('-')) {
        let at = w.index();
        match flag {
            "-i" => ignore_case = true,
            "-n" => {} // No name is ever resolved here: addresses are addresses.
            "-M" => as_map = true,
            "-f" => {
                w.next();
                files.push((w.peek().unwrap_or_default(), at + 1));
            }
            "-u" => {
                w.next();
                let Some(n) = w.peek().and_then(|n| n.parse::<u32>().ok()) else {
                    return Err(Error::new(at, "the argument of -u must be an integer."));
                };
                id = Some(n);
            }
            "-m" => {
                w.next();
                let name = w.peek().unwrap_or_default();
                let Some(m) = Method::parse(name) else {
                    return Err(Error::new(
                        at + 1,
                        format!("unknown matching method '{name}' when parsing ACL expression."),
                    ));
                };
                if !method_fits(m, expr.out_type()) {
                    return Err(Error::new(
                        at + 1,
                        format!("matching method '{name}' cannot be used with fetch keyword '{}'.", expr.fetch.name),
                    ));
                }
                method = Some(m);
            }
            "--" => {
                w.next();
                no_warning = true;
                break;
            }
            _ if flag.as_bytes()[1].is_ascii_digit() => break,
            _ => {
                return Err(Error::new(
                    at,
                    format!(
                        "'{flag}' is not a valid ACL option. Please use '--' before any pattern beginning with a '-'."
                    ),
                ));
            }
        }
        w.next();
    }
    let Some(method) = method else {
        return Err(w.error(format!(
            "matching method must be specified first (using '-m') when using a sample fetch of this type ('{}').",
            expr.fetch.name
        )));
    };
    let mut sets: Vec<Arc<PatternSet>> = Vec::new();
    for (file, at) in files {
        let reader = p.files;
        let source = p
            .patterns
            .file(file, as_map, &p.origin, |path| reader.read(path))
            .map_err(|e| Error::new(at, e + "."))?;
        source.used_by(format!("acl at file '{}' line {}", p.origin.file, p.origin.line));
        sets.push(source.set(method, ignore_case).map_err(|e| Error::new(at, e + "."))?);
    }
    let versions = matches!(expr.fetch.name, "req.ssl_ver" | "req_ssl_ver");
    let entries = words_as_entries(w, method, versions)?;
    if !entries.is_empty() || id.is_some() {
        let at = w.index();
        let source = p.patterns.line(id, &p.origin, entries);
        sets.push(source.set(method, ignore_case).map_err(|e| Error::new(at, e + "."))?);
    }
    let never = sets.is_empty() && !matches!(method, Method::Found | Method::Bool) && !no_warning;
    if never {
        p.warnings.push(format!(
            "parsing acl keyword '{word}' :\n  no pattern to match against were provided, so this ACL will never \
             match.\n  If this is what you intended, please add '--' to get rid of this warning.\n  If you intended to \
             match only for existence, please use '-m found'.\n  If you wanted to force an int to match as a bool, \
             please use '-m bool'.\n"
        ));
    }
    Ok(AclLine { origin: p.origin.clone(), expr, method, sets, next: OnceLock::new() })
}

fn method_fits(method: Method, kind: Type) -> bool {
    method == Method::Found || crate::language::sample::cast::possible(kind, method.input())
}

/// The words that are left as patterns; `gt 5` and its kin become ranges.
fn words_as_entries(w: &mut Words<'_>, method: Method, versions: bool) -> Result<Entries, Error> {
    let mut entries = Entries::default();
    let numeric = matches!(method, Method::Int | Method::Len);
    let mut operator = "eq";
    while let Some(word) = w.next() {
        if !numeric {
            entries.push(word.as_bytes(), b"");
            continue;
        }
        if matches!(word, "eq" | "gt" | "ge" | "lt" | "le") {
            operator = word;
            continue;
        }
        let word = if versions { undotted(word) } else { word.into() };
        if operator == "eq" {
            entries.push(word.as_bytes(), b"");
            continue;
        }
        let (low, _) = crate::language::pattern::parse_range(word.as_bytes()).map_err(|e| w.error_before(e + "."))?;
        let range = match operator {
            "gt" => format!("{}:", low.saturating_add(1)),
            "ge" => format!("{low}:"),
            "lt" => format!(":{}", low.saturating_sub(1)),
            _ => format!(":{low}"),
        };
        entries.push(range.as_bytes(), b"");
    }
    Ok(entries)
}

/// Versions as `3.1` count 65536 a major step; ranges have one at each end.
fn undotted(word: &str) -> std::borrow::Cow<'_, str> {
    let one = |w: &str| match w.split_once('.') {
        Some((major, minor)) => match (major.parse::<i64>(), minor.parse::<i64>()) {
            (Ok(major), Ok(minor)) => ((major << 16) + minor).to_string(),
            _ => w.to_owned(),
        },
        None => match w.parse::<i64>() {
            Ok(major) => (major << 16).to_string(),
            Err(_) => w.to_owned(),
        },
    };
    word.split(':').map(one).collect::<Vec<_>>().join(":").into()
}
