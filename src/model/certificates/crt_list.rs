//! `crt-list` files (manual 5.1): `<crtfile> [\[<sslbindconf> ...\]] [[!]<snifilter> ...]`, a certificate a line.

use crate::model::tls::{TlsOptions, Verify, Version};
use std::path::{Path, PathBuf};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    pub number: usize,
    pub file: PathBuf,
    pub options: TlsOptions,
    /// Whether anything stands in brackets.
    pub has_options: bool,
    /// `curves` was written as `ecdhe`.
    pub ecdhe: bool,
    pub key: Option<PathBuf>,
    pub ocsp: Option<PathBuf>,
    pub filters: Vec<String>,
}

/// Directories that relative paths begin at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bases<'a> {
    pub ca: Option<&'a Path>,
    pub crt: Option<&'a Path>,
    pub key: Option<&'a Path>,
}

/// `path` under `base`, unless it is absolute.
pub fn under(base: Option<&Path>, path: &str) -> PathBuf {
    match base {
        Some(base) if !path.starts_with('/') => base.join(path),
        _ => path.into(),
    }
}

/// Reads the text of a list. Errs with HAProxy's text, which follows `'crt-list' : `.
pub fn parse(text: &str, file: &str, bases: Bases) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (at, raw) in text.lines().enumerate() {
        let number = at + 1;
        if number == text.lines().count() && !text.ends_with('\n') {
            return Err(format!(
                "parsing [{file}:{number}]: Missing LF on last line, file might have been truncated at position {}.",
                raw.len() + 1
            ));
        }
        let raw = raw.trim();
        if raw.is_empty() || raw.starts_with('#') {
            continue;
        }
        lines.push(line(raw, file, number, bases)?);
    }
    Ok(lines)
}

/// Reads one line, as `add ssl crt-list` also gives it.
pub fn line(raw: &str, file: &str, number: usize, bases: Bases) -> Result<Line, String> {
    let at = || format!("parsing [{file}:{number}]: ");
    let (before, inside, after) = match raw.find('[') {
        Some(open) => {
            let rest = &raw[open + 1..];
            let (inside, after) = rest.split_once(']').unwrap_or((rest, ""));
            if inside.contains('[') || after.contains('[') {
                return Err(at() + "too many '['");
            }
            if after.contains(']') {
                return Err(at() + "too many ']'");
            }
            (&raw[..open], Some(inside), after)
        }
        None if raw.contains(']') => return Err(at() + "missing '['"),
        None => (raw, None, ""),
    };
    let mut words = before.split_ascii_whitespace();
    let path = words.next().ok_or_else(|| at() + "file not found")?;
    let mut line = Line {
        number,
        file: under(bases.crt, path),
        has_options: inside.is_some_and(|i| !i.trim().is_empty()),
        filters: words.chain(after.split_ascii_whitespace()).map(str::to_owned).collect(),
        ..Line::default()
    };
    let mut inside = inside.unwrap_or_default().split_ascii_whitespace();
    while let Some(word) = inside.next() {
        option(&mut line, word, &mut inside, bases).map_err(|e| match e {
            OptionError::Unknown => format!("{}unknown ssl keyword {word}", at()),
            OptionError::NotBuilt => {
                format!("{}'{word}' : keyword not supported by this build of ringway", at())
            }
            OptionError::Missing => format!("{}'{word}' : missing argument", at()),
            OptionError::Text(text) => text,
        })?;
    }
    Ok(line)
}

/// What a line says after its file, as `show ssl crt-list` has it (taken from runs of HAProxy 3.4.0): options in a fixed
/// order, and filters.
pub fn said(line: &Line) -> String {
    let options = &line.options;
    let mut words = Vec::new();
    match options.alpn.as_deref() {
        Some([]) => words.push("no-alpn ".to_owned()),
        Some(names) => words.push(format!("alpn {} ", names.join(","))),
        None => {}
    }
    let verify = options.verify.map(|v| match v {
        Verify::None => "none",
        Verify::Optional => "optional",
        Verify::Required => "required",
    });
    words.extend(verify.map(|v| format!("verify {v}")));
    words.extend(options.no_ca_names.then(|| "no-ca-names".to_owned()));
    let path = |word: &str, path: &Option<PathBuf>| path.as_ref().map(|p| format!("{word} {}", p.display()));
    words.extend(path("ca-file", &options.ca_file));
    words.extend(path("crl-file", &options.crl_file));
    let text = |word: &str, text: &Option<String>| text.as_ref().map(|t| format!("{word} {t}"));
    words.extend(text("ciphers", &options.ciphers));
    words.extend(text("ciphersuites", &options.ciphersuites));
    words.extend(text(if line.ecdhe { "ecdhe" } else { "curves" }, &options.curves));
    words.extend(options.versions.min.map(|v| format!("ssl-min-ver {}", v.name())));
    words.extend(options.versions.max.map(|v| format!("ssl-max-ver {}", v.name())));
    let mut parts = Vec::new();
    parts.extend(line.has_options.then(|| format!("[{}]", words.join(" "))));
    parts.extend(line.filters.iter().cloned());
    parts.join(" ")
}

enum OptionError {
    Unknown,
    NotBuilt,
    Missing,
    Text(String),
}

fn option<'w>(
    line: &mut Line,
    word: &str,
    rest: &mut impl Iterator<Item = &'w str>,
    bases: Bases,
) -> Result<(), OptionError> {
    let options = &mut line.options;
    let mut argument = || rest.next().ok_or(OptionError::Missing);
    match word {
        "alpn" => options.alpn = Some(argument()?.split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect()),
        "no-alpn" => options.alpn = Some(Vec::new()),
        "ca-file" => options.ca_file = Some(under(bases.ca, argument()?)),
        "ca-verify-file" => options.ca_verify_file = Some(under(bases.ca, argument()?)),
        "crl-file" => options.crl_file = Some(under(bases.ca, argument()?)),
        "ciphers" => options.ciphers = Some(argument()?.to_owned()),
        "ciphersuites" => options.ciphersuites = Some(argument()?.to_owned()),
        "curves" | "ecdhe" => {
            options.curves = Some(argument()?.to_owned());
            line.ecdhe = word == "ecdhe";
        }
        "no-ca-names" => options.no_ca_names = true,
        "ssl-min-ver" => options.versions.min = Some(version(argument()?)?),
        "ssl-max-ver" => options.versions.max = Some(version(argument()?)?),
        "verify" => options.verify = Some(verify(argument()?).map_err(OptionError::Text)?),
        "key" => line.key = Some(under(bases.key, argument()?)),
        "ocsp" => line.ocsp = Some(under(bases.crt, argument()?)),
        "allow-0rtt" | "client-sigalgs" | "npn" | "sigalgs" | "crt" | "issuer" | "sctl" | "ocsp-update" => {
            return Err(OptionError::NotBuilt);
        }
        _ => return Err(OptionError::Unknown),
    }
    Ok(())
}

fn version(word: &str) -> Result<Version, OptionError> {
    Version::parse(word).ok_or_else(|| OptionError::Text(format!("'{word}' : unknown ssl/tls version")))
}

/// The argument of `verify` on bind and crt-list lines. Errs with HAProxy's text.
pub fn verify(word: &str) -> Result<Verify, String> {
    match word {
        "none" => Ok(Verify::None),
        "optional" => Ok(Verify::Optional),
        "required" => Ok(Verify::Required),
        other => Err(format!(
            "'verify' : unknown verify method '{other}', only 'none', 'optional', and 'required' are supported"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Line>, String> {
        parse(text, "list", Bases { crt: Some(Path::new("/crt")), ..Bases::default() })
    }

    #[test]
    fn lines_have_options_and_filters() {
        let lines = read("# c\n\nd.pem *\n/w.pem [alpn h2,http/1.1 verify required ca-file /ca ssl-min-ver TLSv1.3] *.a !b.a\ne.pem [no-alpn]\n")
            .unwrap();
        assert_eq!((lines[0].file.to_str(), &lines[0].filters[..]), (Some("/crt/d.pem"), &["*".to_owned()][..]));
        assert_eq!(lines[1].number, 4);
        assert_eq!(lines[1].filters, ["*.a", "!b.a"]);
        assert_eq!(lines[1].options.alpn.as_deref().unwrap(), ["h2", "http/1.1"]);
        assert_eq!(lines[1].options.verify, Some(Verify::Required));
        assert_eq!(lines[1].options.versions.min, Some(Version::Tlsv13));
        assert_eq!(lines[2].options.alpn.as_deref(), Some(&[][..]));
        assert_eq!(read("a.pem [alpn h2\n").unwrap()[0].options.alpn.as_deref().unwrap(), ["h2"], "as HAProxy");
    }

    #[test]
    fn lines_are_told_as_haproxy_tells_them() {
        for (line, told) in [
            ("a.pem [alpn h2] a.example", "[alpn h2 ] a.example"),
            ("a.pem [ verify none alpn h2,http/1.1 ] a  !b", "[alpn h2,http/1.1  verify none] a !b"),
            ("a.pem [] x", "x"),
            ("a.pem [no-alpn]", "[no-alpn ]"),
            ("a.pem [ecdhe P-256 ssl-max-ver TLSv1.3]", "[ecdhe P-256 ssl-max-ver TLSv1.3]"),
            ("a.pem [ca-verify-file /ca]", "[]"),
            ("a.pem", ""),
        ] {
            assert_eq!(said(&read(&format!("{line}\n")).unwrap()[0]), told);
        }
    }

    #[test]
    fn errors_are_haproxys() {
        for (text, error) in [
            ("a [foo bar] a.b\n", "parsing [list:1]: unknown ssl keyword foo"),
            ("a [alpn h2] junk [x]\n", "parsing [list:1]: too many '['"),
            ("a alpn] x\n", "parsing [list:1]: missing '['"),
            ("a\nb.pem", "parsing [list:2]: Missing LF on last line, file might have been truncated at position 6."),
            (
                "a [verify maybe]\n",
                "'verify' : unknown verify method 'maybe', only 'none', 'optional', and 'required' are supported",
            ),
            ("a [ssl-min-ver 1]\n", "'1' : unknown ssl/tls version"),
            ("a [allow-0rtt]\n", "parsing [list:1]: 'allow-0rtt' : keyword not supported by this build of ringway"),
        ] {
            assert_eq!(read(text).unwrap_err(), error);
        }
    }
}
