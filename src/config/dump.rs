//! `-dC`: the configuration as it was read, line by line: words without comments, quotes and superfluous blanks (management
//! guide 3). What `.if` excludes stands there too, with its directives. With a key, what could tell whose configuration it is
//! is left out or stands hashed, as HAProxy's dumps under the same key have it.

use super::{
    env::{Environment, Own},
    files::{self, Source},
    lexer::{Place, bytes_of, lex},
    section,
};
use crate::base::hash::xxh32;
use crate::base::origin::Origin;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// What stands behind `-dC`: `[[<key>][,line]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// The seed of the hashes; 0: nothing is hidden.
    pub key: u32,
    /// Each line begins with its number.
    pub numbered: bool,
}

impl Manner {
    /// Reads it as HAProxy does: a number as far as there is one, and the word `line` anywhere.
    pub fn parse(text: &str) -> Manner {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let end = digits.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = digits[..end].parse().unwrap_or(0);
        Manner { key: (sign * number) as u32, numbered: text.contains("line") }
    }
}

/// The lines of the files that `-f` names.
///
/// # Errors
/// HAProxy's text, where a file cannot be read or a line cannot be cut into words.
pub fn dump(paths: &[String], manner: Manner, environment: &Environment) -> Result<String, String> {
    let mut environment = environment.clone();
    environment.define(&Own { config_files: paths, ..Own::default() });
    let mut out = String::new();
    for source in files::load(paths)? {
        write(&source, manner, &environment, &mut out)?;
    }
    Ok(out)
}

fn write(source: &Source, manner: Manner, environment: &Environment, out: &mut String) -> Result<(), String> {
    let name: Arc<str> = source.name.as_str().into();
    let mut section = String::new();
    for (number, raw) in (1..).zip(source.content.split(|&b| b == b'\n')) {
        let place = Place { file: &name, line: number, section: &section };
        let lexed = lex(raw, place, environment).map_err(|error| {
            format!("config : parsing [{}]: {}", Origin::new(name.clone(), number), error.text(raw))
        })?;
        let words: Vec<String> =
            lexed.words.iter().map(|w| String::from_utf8_lossy(&bytes_of(&w.text)).into_owned()).collect();
        let Some(first) = words.first().filter(|w| !w.is_empty()) else { continue };
        if manner.numbered {
            out.push_str(&format!("{number}\t"));
        }
        if section::opens(first) {
            section.clone_from(words.get(1).unwrap_or(first));
        } else {
            out.push('\t');
        }
        let shown = if manner.key == 0 { words } else { hidden(&words, manner.key) };
        for word in shown {
            out.push_str(&word);
            out.push(' ');
        }
        out.push('\n');
    }
    Ok(())
}

/// Keywords whose words tell nothing but how things are set.
const HARMLESS: [&str; 11] = [
    "balance",
    "compression",
    "daemon",
    "fullconn",
    "hash-type",
    "http-reuse",
    "master-worker",
    "maxconn",
    "nbthread",
    "retries",
    "retry-on",
];
/// Keywords that an own name follows.
const NAMING: [&str; 11] = [
    "acl",
    "cookie",
    "default_backend",
    "group",
    "nameserver",
    "peer",
    "server",
    "server-template",
    "table",
    "use_backend",
    "user",
];

/// The words of a line with all that is somebody's own replaced.
fn hidden(words: &[String], key: u32) -> Vec<String> {
    let first = words[0].clone();
    let Some(second) = words.get(1) else { return vec![first] };
    let rest = |shown: usize| (words.len() > shown).then(|| "[...]".to_owned());
    if section::opens(&first) {
        return vec![first, identifier(second, key)];
    }
    match first.as_str() {
        "timeout" => words.iter().take(3).cloned().collect(),
        // A path or a name may follow.
        "option" | "mode" | "no" => [first, second.clone()].into_iter().chain(rest(2)).collect(),
        word if HARMLESS.contains(&word) => words.to_vec(),
        "server" | "peer" | "nameserver" => {
            let address = words.get(2).map(|w| address(w, key));
            [first, identifier(second, key)].into_iter().chain(address).chain(rest(3)).collect()
        }
        word if NAMING.contains(&word) => [first, identifier(second, key)].into_iter().chain(rest(2)).collect(),
        "bind" | "log" => [first, address(second, key)].into_iter().chain(rest(2)).collect(),
        _ => vec![first, "[...]".to_owned()],
    }
}

fn hash(text: &str, key: u32) -> String {
    format!("{:06x}", xxh32(text.as_bytes(), key) & 0xff_ffff)
}

fn identifier(name: &str, key: u32) -> String {
    format!("ID({})", hash(name, key))
}

/// An address with its host hashed; loopback and what names no host stay.
fn address(word: &str, key: u32) -> String {
    let (host, port) = word.rsplit_once(':').unwrap_or((word, ""));
    let port = if word.contains(':') { format!(":{port}") } else { String::new() };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() || ip.is_unspecified() => word.to_owned(),
        Ok(IpAddr::V4(_)) => format!("IPV4({}){port}", hash(bare, key)),
        Ok(IpAddr::V6(_)) => format!("IPV6({}){port}", hash(bare, key)),
        Err(_) if matches!(host, "" | "*") => word.to_owned(),
        // An address of IPv6 without brackets and port.
        Err(_) if word.parse::<Ipv6Addr>().is_ok() => format!("IPV6({})", hash(word, key)),
        Err(_) => hash(word, key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumped(text: &str, manner: &str) -> String {
        let source = Source { name: "f".to_owned(), content: text.as_bytes().to_vec() };
        let (mut environment, mut out) = (Environment::default(), String::new());
        environment.set("A", "x");
        write(&source, Manner::parse(manner), &environment, &mut out).expect("lines");
        out
    }

    const CONFIG: &str = "# comment\nglobal\n  maxconn   100\nfrontend f # here\n  bind \"$A\":80\n.if 0\n  default_backend b\n\
                          .endif\nbackend b\n  server s 10.0.0.1:1000 check\n";

    #[test]
    fn words_stand_without_comments_and_quotes() {
        let wanted = "global \n\tmaxconn 100 \nfrontend f \n\tbind x:80 \n\t.if 0 \n\tdefault_backend b \n\t.endif \n\
                      backend b \n\tserver s 10.0.0.1:1000 check \n";
        assert_eq!(dumped(CONFIG, ""), wanted);
        assert_eq!(dumped("listen l\n bind :80\n", ",line"), "1\tlisten l \n2\t\tbind :80 \n");
    }

    #[test]
    fn a_key_hides_names_as_haproxy_does_and_all_that_is_not_known_to_be_harmless() {
        let hidden = dumped(CONFIG, "123");
        let own =
            ["frontend ID(8cfedc) ", "default_backend ID(fc8ec3) ", "server ID(889ed9) IPV4(00fdaf):1000 [...] "];
        assert!(own.iter().all(|line| hidden.contains(line)), "{hidden}");
        let text = "listen l\n stats auth foo:bar\n log /dev/log local0\n timeout client 1s\n option httpchk GET /own\n\
                    \x20log-format own\n errorfile 503 /own\n user a password own\n acl own path own\n";
        let hidden = dumped(text, "5");
        assert!(!hidden.contains("own") && !hidden.contains("foo") && !hidden.contains("/dev"), "{hidden}");
        assert!(hidden.contains("timeout client 1s ") && hidden.contains("option httpchk [...] "), "{hidden}");
    }

    #[test]
    fn what_stands_behind_the_letters_is_read_as_haproxy_reads_it() {
        let read = |text: &str| (Manner::parse(text).key, Manner::parse(text).numbered);
        assert_eq!(
            [read(""), read("0"), read("abc"), read("12ab")],
            [(0, false), (0, false), (0, false), (12, false)]
        );
        assert_eq!([read("line"), read(",line"), read("7,line")], [(0, true), (0, true), (7, true)]);
        assert_eq!([read("-5"), read("4294967296")], [(u32::MAX - 4, false), (0, false)]);
    }

    #[test]
    fn a_line_that_cannot_be_cut_is_told() {
        let source = Source { name: "f".to_owned(), content: b"global\n a \"b\n".to_vec() };
        let told = write(&source, Manner::default(), &Environment::default(), &mut String::new());
        assert!(told.is_err_and(|text| text.starts_with("config : parsing [f:2]: unmatched quote at position")));
    }
}
