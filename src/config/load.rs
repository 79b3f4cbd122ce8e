//! The whole way from files to a plan: every file and line is read, then what only the whole shows is resolved; errors of
//! all stages are reported in one run.

use super::{
    diagnostic::{Diagnostics, Severity},
    env::{Environment, Own},
    files::{self, Event, Reader, Source},
    keyword::args::Args,
    preprocess::FACTS,
    resolve,
    section::{self, Loading},
};
use crate::model::{bind::Bind, global::Global, plan::Plan};

/// What the command line and the machine say about a load.
#[derive(Debug, Clone)]
pub struct Options {
    /// `-L`.
    pub local_peer: Option<String>,
    /// The machine's name, for the local peer and `log-send-hostname`.
    pub hostname: String,
    /// `-dr`: a server whose name can't be resolved is disabled, not an error.
    pub ignore_unresolvable: bool,
    /// `-dD`.
    pub diag: bool,
    /// Refuse by name what the data plane does not serve yet. Off for tools that only look at configurations.
    pub refuse_unserved: bool,
    /// CPUs of the inherited mask: the threads when `nbthread` is not written.
    pub cpus: usize,
    /// `-W`, `-Ws`.
    pub master_worker: bool,
    /// The version that the master was started with, when it was another.
    pub startup_version: Option<String>,
    /// `-n`: the process's limit of connections, over the file's.
    pub maxconn: Option<u32>,
    /// `-N`: of a frontend that does not say it.
    pub proxy_maxconn: Option<u32>,
    /// `-dV`: as `ssl-server-verify none`.
    pub no_server_verify: bool,
    /// `-4`: as `dns-accept-family ipv4`.
    pub ipv4_only: bool,
    /// `-dI`: as `insecure-fork-wanted`.
    pub insecure_fork: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            local_peer: None,
            hostname: "localhost".to_owned(),
            ignore_unresolvable: false,
            diag: false,
            refuse_unserved: true,
            cpus: 1,
            master_worker: false,
            startup_version: None,
            maxconn: None,
            proxy_maxconn: None,
            no_server_verify: false,
            ipv4_only: false,
            insecure_fork: false,
        }
    }
}

/// The end of a load.
#[derive(Debug)]
pub struct Outcome {
    /// `None` when anything was wrong.
    pub plan: Option<Plan>,
    pub diagnostics: Diagnostics,
    /// The plan listens somewhere. Without it the process ends with code 2.
    pub listeners: bool,
}

/// Loads the files that `-f` names.
pub fn load(paths: &[String], options: &Options, environment: &mut Environment) -> Outcome {
    let mut diagnostics = Diagnostics::new(options.diag);
    let sources = match files::load(paths) {
        Ok(sources) => sources,
        Err(text) => {
            diagnostics.say(Severity::Alert, None, text);
            diagnostics.abort();
            return Outcome { plan: None, diagnostics, listeners: false };
        }
    };
    environment.define(&Own {
        local_peer: options.local_peer.as_deref().or(Some(options.hostname.as_str())),
        config_files: paths,
        master_worker: options.master_worker,
        startup_version: options.startup_version.as_deref(),
        ..Own::default()
    });
    let outcome = load_sources(sources, options, environment, diagnostics);
    environment.forget_formats();
    outcome
}

/// What the `global` sections say, and nothing else: what a master has to know. Faults are its worker's to tell.
pub fn globals(paths: &[String], options: &Options, environment: &mut Environment) -> Global {
    let mut diagnostics = Diagnostics::new(false);
    environment.define(&Own {
        config_files: paths,
        master_worker: true,
        startup_version: options.startup_version.as_deref(),
        ..Own::default()
    });
    let mut reader = Reader::new(files::load(paths).unwrap_or_default(), FACTS);
    let mut loading = Loading::new(options, environment, &mut diagnostics);
    let mut elsewhere = false;
    while let Some(event) = reader.next_line(loading.environment, loading.diagnostics) {
        let line = match event {
            Event::Line(line) => line,
            Event::File(file) => {
                loading.begin_file(&file);
                elsewhere = false;
                continue;
            }
        };
        let args = Args::new(&line, 0);
        if section::opens(args.get(0)) {
            elsewhere = args.get(0) != "global";
            let name = if args.get(1).is_empty() { args.get(0) } else { args.get(1) };
            reader.enter_section(name);
        }
        if !elsewhere {
            loading.line(&line);
        }
    }
    let global = std::mem::take(&mut loading.global);
    environment.forget_formats();
    global
}

/// Reads words as `-S` has them, an address and `bind` options joined by commas: a runtime API socket of its own.
///
/// # Errors
/// What is wrong, in HAProxy's words.
pub fn master_socket(text: &str) -> Result<Bind, String> {
    let place = "master-socket";
    let (address, options) = text.split_once(',').unwrap_or((text, ""));
    let content = format!("global\n stats socket {address} level admin {}\n", options.replace(',', " "));
    let source = Source { name: place.to_owned(), content: content.into_bytes() };
    let (mut environment, options) = (Environment::of_process(), Options::default());
    let outcome = load_sources(vec![source], &options, &mut environment, Diagnostics::new(false));
    match outcome.plan.and_then(|mut plan| plan.global.stats_sockets.pop()) {
        Some(bind) => Ok(bind),
        None => {
            let messages = outcome.diagnostics.messages();
            let said = messages.iter().find(|m| m.severity == Severity::Alert).map(|m| m.text.as_str());
            let said = said.unwrap_or_default();
            let said = said.split_once("'stats socket' : ").map_or(said, |(_, text)| text);
            Err(format!("'{}' : {said}", text.replace(',', " ")))
        }
    }
}

/// Loads what is in memory already.
pub fn load_sources(
    sources: Vec<Source>,
    options: &Options,
    environment: &mut Environment,
    mut diagnostics: Diagnostics,
) -> Outcome {
    let mut reader = Reader::new(sources, FACTS);
    let mut loading = Loading::new(options, environment, &mut diagnostics);
    loop {
        let event = reader.next_line(loading.environment, loading.diagnostics);
        match event {
            Some(Event::File(file)) => loading.begin_file(&file),
            Some(Event::Line(line)) => {
                if let Some(section) = loading.line(&line) {
                    reader.enter_section(&section);
                }
            }
            None => break,
        }
    }
    let parse_failed = loading.diagnostics.failed();
    let read = std::mem::replace(loading.diagnostics, Diagnostics::new(options.diag));
    let (plan, listeners) = resolve::resolve(loading);
    let resolved = std::mem::replace(&mut diagnostics, read);
    for message in resolved.messages() {
        // What is missing because its line was refused needs no warning of its own; errors are told all the same.
        if !parse_failed || message.severity == Severity::Alert {
            diagnostics.push(message.clone());
        }
    }
    let plan = (!diagnostics.failed()).then_some(plan);
    Outcome { plan, diagnostics, listeners }
}
