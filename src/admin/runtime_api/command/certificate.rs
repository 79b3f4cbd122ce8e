//! Commands about certificates, lists of them, trust files and ticket keys (management guide "set ssl cert" and its kin):
//! the words; what happens is `model::certificates::store`'s, which also has the texts.

use crate::{
    admin::runtime_api::{
        Answer, Call, Severity,
        catalogue::{Command, command},
    },
    model::{
        bind::Level,
        certificates::{
            store::{self, Store},
            trust::Kind,
        },
    },
    proto::tls::tickets::{TicketKeys, TicketKeysError},
};
use base64::Engine;
use std::sync::Arc;

pub static COMMANDS: &[Command] = &[
    command(
        &["abort", "ssl", "ca-file"],
        Level::Admin,
        abort_trust,
        "abort ssl ca-file <cafile>              : abort a transaction for a CA file",
    ),
    command(
        &["abort", "ssl", "cert"],
        Level::Admin,
        abort,
        "abort ssl cert <certfile>               : abort a transaction for a certificate file",
    ),
    command(
        &["abort", "ssl", "crl-file"],
        Level::Admin,
        abort_trust,
        "abort ssl crl-file <crlfile>            : abort a transaction for a CRL file",
    ),
    command(
        &["add", "ssl", "ca-file"],
        Level::Admin,
        set_trust,
        "add ssl ca-file <cafile> <payload>      : add a certificate into the CA file",
    ),
    command(
        &["add", "ssl", "crt-list"],
        Level::Admin,
        add_to_list,
        "add ssl crt-list <list> <cert> [opts]*  : add to crt-list file <list> a line <cert> or a payload",
    ),
    command(
        &["commit", "ssl", "ca-file"],
        Level::Admin,
        commit_trust,
        "commit ssl ca-file <cafile>             : commit a CA file",
    ),
    command(
        &["commit", "ssl", "cert"],
        Level::Admin,
        commit,
        "commit ssl cert <certfile>              : commit a certificate file",
    ),
    command(
        &["commit", "ssl", "crl-file"],
        Level::Admin,
        commit_trust,
        "commit ssl crl-file <crlfile>           : commit a CRL file",
    ),
    command(
        &["del", "ssl", "ca-file"],
        Level::Admin,
        del_trust,
        "del ssl ca-file <cafile>                : delete an unused CA file",
    ),
    command(
        &["del", "ssl", "cert"],
        Level::Admin,
        del,
        "del ssl cert <certfile>                 : delete an unused certificate file",
    ),
    command(
        &["del", "ssl", "crl-file"],
        Level::Admin,
        del_trust,
        "del ssl crl-file <crlfile>              : delete an unused CRL file",
    ),
    command(
        &["del", "ssl", "crt-list"],
        Level::Admin,
        delete_from_list,
        "del ssl crt-list <list> <cert[:line]>   : delete a line <cert> from crt-list file <list>",
    ),
    command(
        &["new", "ssl", "ca-file"],
        Level::Admin,
        new_trust,
        "new ssl ca-file <cafile>                : create a new CA file to be used in a crt-list",
    ),
    command(
        &["new", "ssl", "cert"],
        Level::Admin,
        new,
        "new ssl cert <certfile>                 : create a new certificate file to be used in a crt-list or a directory",
    ),
    command(
        &["new", "ssl", "crl-file"],
        Level::Admin,
        new_trust,
        "new ssl crl-file <crlfile>               : create a new CRL file to be used in a crt-list",
    ),
    command(
        &["set", "ssl", "ca-file"],
        Level::Admin,
        set_trust,
        "set ssl ca-file <cafile> <payload>      : replace a CA file",
    ),
    command(
        &["set", "ssl", "cert"],
        Level::Admin,
        set,
        "set ssl cert <certfile> <payload>       : replace a certificate file",
    ),
    command(
        &["set", "ssl", "crl-file"],
        Level::Admin,
        set_trust,
        "set ssl crl-file <crlfile> <payload>    : replace a CRL file",
    ),
    command(
        &["set", "ssl", "ocsp-response"],
        Level::Admin,
        set_ocsp,
        "set ssl ocsp-response <resp|payload>       : update a certificate's OCSP Response from a base64-encode DER",
    ),
    command(
        &["show", "ssl", "ocsp-response"],
        Level::Admin,
        show_ocsp,
        "show ssl ocsp-response [[text|base64] id]  : display the IDs of the OCSP responses used in memory, or the details of a single OCSP response (in text or base64 format)",
    ),
    command(
        &["show", "ssl", "ocsp-updates"],
        Level::Admin,
        show_ocsp_updates,
        "show ssl ocsp-updates                      : display information about the next 'nb' ocsp responses that will be updated automatically",
    ),
    command(
        &["set", "ssl", "tls-key"],
        Level::Admin,
        set_ticket_key,
        "set ssl tls-key [id|file] <key>         : set the next TLS key for the <id> or <file> listener to <key>",
    ),
    command(
        &["show", "ssl", "ca-file"],
        Level::User,
        show_trust,
        "show ssl ca-file [<cafile>[:<index>]]   : display the SSL CA files used in memory, or the details of a <cafile>, or a single certificate of index <index> of a CA file <cafile>",
    ),
    command(
        &["show", "ssl", "cert"],
        Level::User,
        show,
        "show ssl cert [<certfile>]              : display the SSL certificates used in memory, or the details of a file",
    ),
    command(
        &["show", "ssl", "crl-file"],
        Level::User,
        show_trust,
        "show ssl crl-file [<crlfile[:<index>>]] : display the SSL CRL files used in memory, or the details of a <crlfile>, or a single CRL of index <index> of CRL file <crlfile>",
    ),
    command(
        &["show", "ssl", "crt-list"],
        Level::Admin,
        show_lists,
        "show ssl crt-list [-n] [<list>]         : show the list of crt-lists or the content of a crt-list file <list>",
    ),
    command(
        &["show", "ssl", "providers"],
        Level::User,
        show_providers,
        "show ssl providers                      : show loaded SSL providers",
    ),
    command(
        &["show", "ssl", "sni"],
        Level::User,
        show_sni,
        "show ssl sni [-f <frontend>] [-A]       : display the list of SNI and their corresponding filename",
    ),
    command(
        &["show", "tls-keys"],
        Level::Admin,
        show_ticket_keys,
        "show tls-keys [id|*]                    : show tls keys references or dump tls ticket keys when id specified",
    ),
];

fn store(call: &Call<'_>) -> Arc<Store> {
    call.process.plan().certificates.0.clone()
}

fn done(answer: store::Answer) -> Answer {
    match answer {
        Ok(text) => Answer::Message(Severity::Notice, text),
        Err(text) => Answer::error(text),
    }
}

fn listing(answer: store::Answer) -> Answer {
    answer.map_or_else(Answer::error, |text| Answer::Text(text.into_bytes()))
}

/// `set ssl cert <file> <<payload`.
pub fn set(call: &mut Call<'_>) -> Answer {
    match (call.argument(0), call.payload) {
        ("", _) | (_, None) => Answer::error("'set ssl cert' expects a filename and a certificate as a payload"),
        (file, Some(payload)) => done(store(call).set(file, payload.as_bytes())),
    }
}

/// `commit ssl cert <file>`: the answer tells of progress, and is no sentence.
pub fn commit(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error("'commit ssl cert' expects a filename"),
        file => listing(store(call).commit(file)),
    }
}

pub fn abort(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error("'abort ssl cert' expects a filename"),
        file => done(store(call).abort(file)),
    }
}

pub fn new(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error("'new ssl cert' expects a filename"),
        file => done(store(call).create(file)),
    }
}

pub fn del(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error("'del ssl cert' expects a certificate name"),
        file => done(store(call).delete(file)),
    }
}

/// `show ssl cert [[*]<file>]`.
pub fn show(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::Text(store(call).list().into_bytes()),
        file => listing(store(call).show(file)),
    }
}

/// `show ssl crt-list [-n] [<file>]`.
pub fn show_lists(call: &mut Call<'_>) -> Answer {
    match (call.argument(0), call.argument(1)) {
        ("-n", "") => Answer::error("'show ssl crt-list -n' expects a filename or a directory"),
        ("-n", file) => listing(store(call).show_lists(Some(file), true)),
        ("", _) => listing(store(call).show_lists(None, false)),
        (file, _) => listing(store(call).show_lists(Some(file), false)),
    }
}

/// `add ssl crt-list <list> <file>`, or with the whole line as a payload.
pub fn add_to_list(call: &mut Call<'_>) -> Answer {
    const EXPECTS: &str = "'add ssl crtlist' expects a filename and a certificate name";
    let payload = call.payload.map(str::trim_end).filter(|p| !p.is_empty());
    match (call.argument(0), call.argument(1), payload) {
        ("", ..) | (_, "", None) => Answer::error(EXPECTS),
        (_, _, Some(payload)) if payload.contains('\n') => {
            Answer::error("Can't edit the crt-list: only one line of payload is supported!")
        }
        (list, file, payload) => {
            let line = payload.unwrap_or(file);
            listing(store(call).add_to_list(list, line, &call.process.plan().global.tls))
        }
    }
}

/// `del ssl crt-list <list> <file>[:<line>]`.
pub fn delete_from_list(call: &mut Call<'_>) -> Answer {
    match (call.argument(0), call.argument(1)) {
        ("", _) | (_, "") => Answer::error("'del ssl crtlist' expects a filename and a certificate name"),
        (list, file) => done(store(call).delete_from_list(list, file)),
    }
}

/// Which kind of trust file a command is about, by its third word.
fn kind(call: &Call<'_>) -> Kind {
    if call.words.get(2) == Some(&"crl-file") { Kind::Crl } else { Kind::Ca }
}

/// `set|add ssl ca-file <file> <<payload`, `set ssl crl-file <file> <<payload`.
pub fn set_trust(call: &mut Call<'_>) -> Answer {
    let kind = kind(call);
    match (call.argument(0), call.payload) {
        ("", _) | (_, None) => {
            let word = kind.word();
            let file = word.to_ascii_lowercase();
            Answer::error(format!("'set ssl {file}-file' expects a filename and {word}s as a payload"))
        }
        (file, Some(payload)) => {
            let more = call.words[0] == "add";
            done(store(call).with_trust(|files| files.set(kind, file, payload.as_bytes(), more)))
        }
    }
}

pub fn commit_trust(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        // HAProxy 3.4.0 names ca-file for both.
        "" => Answer::error("'commit ssl ca-file' expects a filename"),
        file => listing(store(call).commit_trust(kind(call), file)),
    }
}

pub fn abort_trust(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error(format!("'abort ssl {}' expects a filename", call.words[2])),
        file => done(store(call).with_trust(|files| files.abort(kind(call), file))),
    }
}

pub fn new_trust(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error(format!("'new ssl {}' expects a filename", call.words[2])),
        file => done(store(call).with_trust(|files| files.create(kind(call), file))),
    }
}

pub fn del_trust(call: &mut Call<'_>) -> Answer {
    let kind = kind(call);
    match call.argument(0) {
        "" => {
            let word = kind.word();
            Answer::error(format!("'del ssl {}' expects a {word} file name", call.words[2]))
        }
        file => {
            let store = store(call);
            let used = store.users_of_trust(file);
            done(store.with_trust(|files| files.delete(kind, file, used)))
        }
    }
}

/// `show ssl ca-file [[*]<file>[:<index>]]`, `show ssl crl-file …`.
pub fn show_trust(call: &mut Call<'_>) -> Answer {
    let (kind, store) = (kind(call), store(call));
    match call.argument(0) {
        "" => Answer::Text(store.with_trust(|files| files.list(kind)).into_bytes()),
        file => {
            let name = file.rsplit_once(':').map_or(file, |(name, _)| name);
            let used = store.users_of_trust(name) > 0;
            listing(store.with_trust(|files| files.show(kind, file, used)))
        }
    }
}

/// `show ssl sni [-f <frontend>] [-A] [-t <offset>]`: the names that bind lines answer.
pub fn show_sni(call: &mut Call<'_>) -> Answer {
    let (mut frontend, mut until) = (None, None);
    let mut n = 0;
    while !call.argument(n).is_empty() {
        match (call.argument(n), call.argument(n + 1)) {
            ("-f", "") => return Answer::error("'-f' requires a frontend name!"),
            ("-t", "") => return Answer::error("'-t' requires an offset argument!"),
            ("-f", name) => frontend = Some(name),
            ("-A", _) => until = Some(0),
            ("-t", offset) => match offset_s(offset) {
                Some(offset) => until = Some(offset),
                None => return Answer::error("'-t' requires an offset argument!"),
            },
            _ => {
                return Answer::error("Invalid parameters, 'show ssl sni' only supports '-f', '-A' or '-t' options!");
            }
        }
        n += if call.argument(n) == "-A" { 1 } else { 2 };
    }
    let now_s = (call.process.now().wall_us / 1_000_000) as i64;
    let mut text = "# Frontend/Bind\tSNI\tNegative Filter\tType\tFilename\tNotAfter\tNotBefore\n".to_owned();
    for bind in store(call).binds() {
        let (proxy, origin) = bind.place();
        // HAProxy 3.4.0 does not mind a name that no frontend has.
        let exists = |name: &str| call.process.plan().proxies.iter().any(|p| p.name == name);
        if frontend.is_some_and(|name| name != proxy && exists(name)) {
            continue;
        }
        bind.each_name(|name, filters, slot| {
            let certificate = slot.certificate.load();
            let Some((certificate, leaf)) = certificate.as_ref().and_then(|c| Some((c, c.leaf()?))) else { return };
            if until.is_some_and(|offset: i64| leaf.not_after_s() > now_s + offset) {
                return;
            }
            let (from, to) = leaf.validity_text();
            let negative: String = match name.starts_with('*') {
                true => filters.iter().filter(|f| f.starts_with('!')).map(|f| format!("{f} ")).collect(),
                false => String::new(),
            };
            let negative = if negative.is_empty() { "-" } else { &negative };
            let key = if certificate.ecdsa { "ecdsa" } else { "rsa" };
            text.push_str(&format!("{proxy}/{origin}\t{name}\t{negative}\t{key}\t{}\t{to}\t{from}\n", slot.name));
        });
    }
    Answer::Text(text.into_bytes())
}

/// Seconds, or a number with a unit.
fn offset_s(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

/// `show ssl providers`: the library that does the cryptography.
pub fn show_providers(_: &mut Call<'_>) -> Answer {
    Answer::Text(b"Loaded providers : \n\t- aws-lc-rs\n".to_vec())
}

/// `show tls-keys [*|#<id>|<file>]`.
pub fn show_ticket_keys(call: &mut Call<'_>) -> Answer {
    let files = store(call).ticket_key_files();
    let which = call.argument(0);
    if which.is_empty() {
        let lines = files.iter().enumerate().map(|(id, (file, _))| format!("{id} ({})\n", file.display()));
        return Answer::Text(("# id (file)\n".to_owned() + &lines.collect::<String>()).into_bytes());
    }
    let chosen: Vec<usize> = match which {
        "*" => (0..files.len()).collect(),
        name => match found(&files, name) {
            Some(id) => vec![id],
            None => return Answer::error("'show tls-keys' unable to locate referenced filename"),
        },
    };
    let mut text = "# id secret\n".to_owned();
    for id in chosen {
        let (file, keys) = &files[id];
        text.push_str(&format!("# {id} ({})\n", file.display()));
        for (at, key) in keys.export().iter().enumerate() {
            let secret = base64::engine::general_purpose::STANDARD.encode(key);
            text.push_str(&format!("{id}.{at} {secret}\n"));
        }
    }
    Answer::Text(text.into_bytes())
}

/// `set ssl tls-key [#<id>|<file>] <key>`.
pub fn set_ticket_key(call: &mut Call<'_>) -> Answer {
    let (which, key) = (call.argument(0), call.argument(1));
    if which.is_empty() || key.is_empty() {
        return Answer::error("'set ssl tls-key' expects a filename and the new TLS key in base64 encoding.");
    }
    let files = store(call).ticket_key_files();
    let Some(id) = found(&files, which) else {
        return Answer::error("'set ssl tls-key' unable to locate referenced filename");
    };
    match files[id].1.push(key) {
        Ok(()) => Answer::info("TLS ticket key updated!"),
        Err(TicketKeysError::BadBase64 { .. }) => {
            Answer::error("'set ssl tls-key' received invalid base64 encoded TLS key.")
        }
        Err(_) => Answer::error("'set ssl tls-key' received a key of wrong size."),
    }
}

/// `set ssl ocsp-response <base64>`, or with a payload.
pub fn set_ocsp(call: &mut Call<'_>) -> Answer {
    let text = call.payload.unwrap_or(call.argument(0));
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    if text.is_empty() {
        return Answer::error("'set ssl ocsp-response' expects response in base64 encoding.");
    }
    match base64::engine::general_purpose::STANDARD.decode(text) {
        Ok(response) => listing(store(call).set_ocsp(response)),
        Err(_) => Answer::error("'set ssl ocsp-response' received invalid base64 encoded response."),
    }
}

/// `show ssl ocsp-response [base64 <id|path>]`.
pub fn show_ocsp(call: &mut Call<'_>) -> Answer {
    let store = store(call);
    let (form, which) = match (call.argument(0), call.argument(1)) {
        ("", _) => return Answer::Text(store.list_ocsp().into_bytes()),
        (form @ ("text" | "base64"), which) => (form, which),
        (which, _) => ("text", which),
    };
    let Some(response) = store.ocsp(which) else {
        return Answer::error("'show ssl ocsp-response' expects a valid certid or certificate path.");
    };
    if form == "text" {
        return Answer::error("'show ssl ocsp-response' has no 'text' format in this build, use 'base64'.");
    }
    let text = base64::engine::general_purpose::STANDARD.encode(response);
    Answer::Text(format!("{text}\n").into_bytes())
}

/// `show ssl ocsp-updates`: no line may ask for `ocsp-update`, so none is due.
pub fn show_ocsp_updates(_: &mut Call<'_>) -> Answer {
    let head = "OCSP Certid | Path | Next Update | Last Update | Successes | Failures | Last Update Status | Last \
                Update Status (str)\n";
    Answer::Text(head.into())
}

/// The file that `#<id>` or a name means.
fn found(files: &[(std::path::PathBuf, Arc<TicketKeys>)], which: &str) -> Option<usize> {
    match which.strip_prefix('#') {
        Some(id) => id.parse().ok().filter(|id| *id < files.len()),
        None => files.iter().position(|(file, _)| file.as_os_str() == which),
    }
}
