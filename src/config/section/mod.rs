//! What is being loaded, and where a line goes: section headers (manual 2, 4) and the keywords of the section they open.
//! A section ends where the next begins, or with its file.

pub mod draft;
pub mod http_errors;
pub mod peers;
pub mod proxy;
pub mod resolvers;
pub mod ring;
pub mod userlist;

use self::draft::Draft;
use super::{
    diagnostic::{Diagnostics, Severity, suggest},
    env::Environment,
    folder::Folder,
    keyword::{
        NEGATABLE, Prefix, absent,
        args::{Args, Fault, Form},
        unserved,
    },
    lexer::Line,
    load::Options,
};
use crate::language::pattern::Registry;
use crate::model::certificates::{certificate::Beside, store::Store};
use crate::model::{
    global::Global, guid::Guids, http_errors::HttpErrors, peers::Peers, resolvers::Resolvers, userlist::Userlist,
};
use std::cell::OnceCell;
use std::sync::Arc;

/// Everything that is known while lines are read. Handlers write here.
pub struct Loading<'a> {
    pub options: &'a Options,
    pub environment: &'a mut Environment,
    pub diagnostics: &'a mut Diagnostics,
    pub global: Global,
    /// What `global` wrote once and may not write again.
    pub written: Written,
    pub proxies: Vec<Draft>,
    pub defaults: Vec<Draft>,
    pub userlists: Vec<Userlist>,
    pub peers: Vec<Peers>,
    pub resolvers: Vec<Resolvers>,
    pub http_errors: Vec<HttpErrors>,
    pub rings: ring::Rings,
    pub patterns: Arc<Registry>,
    pub guids: Guids,
    /// Where relative file names start.
    pub folder: Folder,
    /// Certificates and trust files read so far; see [`Loading::store`].
    store: OnceCell<Arc<Store>>,
    /// Rule lines of a defaults section are compiled again for a proxy that inherits; what they say was said already.
    pub replaying: bool,
    /// Something was read that needs `expose-experimental-directives`.
    pub experimental_used: bool,
    /// `default-server` of the `peers` section that is being read.
    pub peers_default_server: Option<draft::ServerDraft>,
    /// Its `default-bind`.
    pub peers_default_bind: Option<crate::model::bind::Bind>,
    pub section: Section,
    pub prefix: Prefix,
}

/// Keywords of `global` that were seen, for those that may stand once.
#[derive(Debug, Default)]
pub struct Written {
    pub maxconn: bool,
    pub uid: bool,
    pub gid: bool,
    /// The last `h1-case-adjust-file`.
    pub case_adjust_file: Option<String>,
    /// A section other than `global` was opened.
    pub other_section: bool,
}

/// Where the next line belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section {
    /// Before the first section, or after a file ended.
    None,
    Global,
    Defaults(usize),
    Proxy(usize),
    Userlist(usize),
    Peers(usize),
    Resolvers(usize),
    HttpErrors(usize),
    Ring(usize),
    /// A section whose header was refused: its lines are not looked at.
    Skipped,
}

/// A kind of section: its name and what reads its header.
pub struct Header {
    pub name: &'static str,
    pub open: fn(&mut Loading<'_>, &Args<'_>) -> Result<Section, Fault>,
}

/// The sections there are.
pub static HEADERS: &[Header] = &[
    Header { name: "global", open: proxy::open_global },
    Header { name: "defaults", open: proxy::open_defaults },
    Header { name: "frontend", open: proxy::open_proxy },
    Header { name: "backend", open: proxy::open_proxy },
    Header { name: "listen", open: proxy::open_proxy },
    Header { name: "userlist", open: userlist::open },
    Header { name: "peers", open: peers::open },
    Header { name: "resolvers", open: resolvers::open },
    Header { name: "http-errors", open: http_errors::open },
    Header { name: "ring", open: ring::open },
];

/// Whether a line that begins with this word opens a section, be it one that is refused.
pub fn opens(word: &str) -> bool {
    HEADERS.iter().any(|h| h.name == word) || absent::section(word).is_some()
}

impl<'a> Loading<'a> {
    pub fn new(options: &'a Options, environment: &'a mut Environment, diagnostics: &'a mut Diagnostics) -> Self {
        Loading {
            options,
            environment,
            diagnostics,
            global: Global::default(),
            written: Written::default(),
            proxies: Vec::new(),
            defaults: Vec::new(),
            userlists: Vec::new(),
            peers: Vec::new(),
            resolvers: Vec::new(),
            http_errors: Vec::new(),
            rings: ring::Rings::default(),
            patterns: Arc::default(),
            guids: Guids::default(),
            folder: Folder::default(),
            store: OnceCell::new(),
            replaying: false,
            experimental_used: false,
            peers_default_server: None,
            peers_default_bind: None,
            section: Section::None,
            prefix: Prefix::None,
        }
    }

    /// A new file begins: the section of the one before does not continue in it.
    pub fn begin_file(&mut self, file: &str) {
        self.folder.begin(file);
        self.section = Section::None;
    }

    /// Reads one line. Answers the name that `${.SECTION}` has from here on when the line opened a section.
    pub fn line(&mut self, line: &Line) -> Option<String> {
        let args = Args::new(line, 0);
        if let Some(header) = HEADERS.iter().find(|h| h.name == args.get(0)) {
            self.written.other_section |= header.name != "global";
            self.section = match (header.open)(self, &args) {
                Ok(section) => section,
                Err(fault) => {
                    self.report(line, fault);
                    Section::Skipped
                }
            };
            self.refuse_unserved(&args, 0, "section", header.name);
            return Some(if args.get(1).is_empty() { header.name.to_owned() } else { args.get(1).to_owned() });
        }
        if let Some(fault) = absent::section(args.get(0)).map(|_| args.fault(0, absent::text(args.get(0)))) {
            self.report(line, fault);
            self.section = Section::Skipped;
            return Some(args.get(0).to_owned());
        }
        if let Err(fault) = self.statement(line) {
            self.report(line, fault);
        }
        None
    }

    fn statement(&mut self, line: &Line) -> Result<(), Fault> {
        let mut args = Args::new(line, 0);
        self.prefix = Prefix::None;
        if self.section == Section::Skipped {
            return Ok(());
        }
        if self.section == Section::None {
            return Err(args.tight(0, format!("unknown keyword '{}' out of section.", args.get(0))));
        }
        if let prefix @ ("no" | "default") = args.get(0) {
            self.prefix = if prefix == "no" { Prefix::No } else { Prefix::Default };
            args = args.skip(1);
            if !NEGATABLE.contains(&args.get(0)) {
                let names = "options, log, busy-polling, set-dumpable, strict-limits, insecure-fork-wanted and numa-cpu-mapping";
                return Err(args.tight(0, format!("negation/default currently supported only for {names}.")));
            }
        }
        match self.section {
            Section::Global => super::keyword::global::read(self, &args),
            Section::Defaults(_) | Section::Proxy(_) => super::keyword::proxy::read(self, &args),
            Section::Userlist(index) => userlist::read(self, index, &args),
            Section::Peers(index) => peers::read(self, index, &args),
            Section::Resolvers(index) => resolvers::read(self, index, &args),
            Section::HttpErrors(index) => http_errors::read(self, index, &args),
            Section::Ring(index) => ring::read(self, index, &args),
            Section::None | Section::Skipped => Ok(()),
        }
    }

    /// Adds an alert for a fault in a line.
    pub fn report(&mut self, line: &Line, fault: Fault) {
        let word = fault.word;
        match fault.form {
            Form::Spaced => self.diagnostics.alert(line, word, fault.text),
            Form::Tight => self.diagnostics.at_tight(Severity::Alert, line, word, fault.text),
            Form::Own => self.diagnostics.pointing(Severity::Alert, line, word, format!("config : {}", fault.text)),
            Form::Bare => self.diagnostics.pointing(Severity::Alert, line, word, fault.text),
        }
    }

    /// `config : parsing [file:line] : text` as a warning.
    pub fn warn(&mut self, args: &Args<'_>, index: usize, text: impl AsRef<str>) {
        self.diagnostics.warning(args.line, args.word(index), text);
    }

    /// As [`Loading::warn`] with HAProxy's other spelling of the place.
    pub fn warn_tight(&mut self, args: &Args<'_>, index: usize, text: impl AsRef<str>) {
        self.diagnostics.at_tight(Severity::Warning, args.line, args.word(index), text);
    }

    pub fn notice(&mut self, args: &Args<'_>, index: usize, text: impl AsRef<str>) {
        self.diagnostics.at(Severity::Notice, args.line, args.word(index), text);
    }

    /// The store of certificates and trust files, made when the first of them is named.
    pub fn store(&self) -> Arc<Store> {
        let tls = &self.global.tls;
        let beside = Beside { files: tls.load_extra_files, del_ext: tls.load_extra_del_ext };
        self.store.get_or_init(|| Store::new(beside)).clone()
    }

    /// The proxy or defaults section that is being read.
    ///
    /// Only called from handlers of proxy keywords, which run in these sections only.
    pub fn draft(&mut self) -> &mut Draft {
        match self.section {
            Section::Defaults(index) => &mut self.defaults[index],
            Section::Proxy(index) => &mut self.proxies[index],
            _ => unreachable!("a proxy keyword outside a proxy section"),
        }
    }

    /// Name of the local peer: `-L`, `localpeer`, or the machine's own name.
    pub fn local_peer(&self) -> &str {
        let named = self.options.local_peer.as_deref().or(self.global.localpeer.as_deref());
        named.unwrap_or(&self.options.hostname)
    }

    pub fn in_defaults(&self) -> bool {
        matches!(self.section, Section::Defaults(_))
    }

    /// Refuses by name what is read but not served by the data plane yet.
    pub fn refuse_unserved(&mut self, args: &Args<'_>, index: usize, kind: &str, name: &str) {
        if self.options.refuse_unserved && unserved::reason_of(kind, name, args.get(index + 1)).is_some() {
            self.diagnostics.alert(args.line, args.word(index), absent::text(name));
        }
    }
}

/// HAProxy's text for a keyword that no catalogue has, with the nearest name it may have been meant as; one that HAProxy
/// has and ringway lacks is named as such.
pub fn unknown_keyword<'n>(
    args: &Args<'_>,
    section: &str,
    known_elsewhere: bool,
    names: impl Iterator<Item = &'n str>,
) -> Fault {
    let word = args.get(0);
    if known_elsewhere {
        return args.fault(0, absent::text(word));
    }
    let mut text = format!("unknown keyword '{word}' in '{section}' section");
    if let Some(near) = suggest(word, names) {
        text.push_str(&format!("; did you mean '{near}' maybe ?"));
    }
    args.fault(0, text)
}

/// The first character of a name that HAProxy does not take in names of sections and servers.
pub fn forbidden_character(name: &str) -> Option<char> {
    name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')))
}
