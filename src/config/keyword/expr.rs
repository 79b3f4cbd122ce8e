//! The bridge to `language`: the environment of a parse for the proxy that is being read, and its errors as ours.

use super::args::{Args, Fault, Form};
use crate::{
    base::origin::Origin,
    config::{
        diagnostic::Severity,
        env::Environment,
        lexer::Line,
        section::{Loading, draft::Draft},
    },
    language::{
        acl::AclSet,
        auth::Userlists,
        parse::{Captures, Error, Files, Parse, SectionKind, SystemFiles},
        pattern::Registry,
        sample::scope::Points,
    },
    model::{plan::Plan, proxy::Mode, rules::Rules},
};
use std::sync::Arc;

/// How `language` calls a section.
fn kind(draft: &Draft) -> SectionKind {
    match draft.section {
        "defaults" => SectionKind::Defaults,
        "frontend" => SectionKind::Frontend,
        "backend" => SectionKind::Backend,
        _ => SectionKind::Listen,
    }
}

/// Files of the machine, and the environment as `setenv` and its kin have left it.
struct Surroundings<'e>(&'e Environment);

impl Files for Surroundings<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        SystemFiles.read(path)
    }
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).map(str::to_owned)
    }
}

/// Runs a parser of `language` for the proxy that is being read, with its ACLs and rules at hand. Answers the error as it
/// came; warnings are passed on.
pub fn parse<T>(
    cx: &mut Loading<'_>,
    origin: Origin,
    line: Option<&Line>,
    run: impl FnOnce(&mut Parse<'_>, &mut Rules) -> Result<T, Error>,
) -> Result<T, Error> {
    let draft = cx.draft();
    let (mut acls, mut captures) = (std::mem::take(&mut draft.acls), std::mem::take(&mut draft.captures));
    let mut rules = std::mem::take(&mut draft.rules);
    let (name, section, http) = (draft.proxy.name.clone(), kind(draft), draft.proxy.mode == Mode::Http);
    let patterns = cx.patterns.clone();
    let no_lists = Userlists::default();
    let mut p = Parse {
        origin: origin.clone(),
        proxy: &name,
        section,
        http,
        points: Points(0),
        acls: &mut acls,
        patterns: &patterns,
        userlists: &no_lists,
        captures: &mut captures,
        files: &Surroundings(cx.environment),
        warnings: Vec::new(),
        references: Vec::new(),
        stick_counters: u8::try_from(cx.global.tune.stick_counters).unwrap_or(u8::MAX),
        experimental: cx.global.expose_experimental_directives,
        experimental_used: false,
    };
    let result = run(&mut p, &mut rules);
    let (warnings, references) = (std::mem::take(&mut p.warnings), std::mem::take(&mut p.references));
    let experimental_used = p.experimental_used;
    cx.experimental_used |= experimental_used;
    let draft = cx.draft();
    (draft.acls, draft.captures, draft.rules) = (acls, captures, rules);
    draft.references.extend(references);
    if !cx.replaying {
        for text in warnings {
            // A warning about an ACL without patterns names no place; the others are told with theirs.
            let text = match text.starts_with("parsing acl keyword") {
                true => format!("config : {text}"),
                false => format!("config : parsing [{origin}] : {text}"),
            };
            match line {
                Some(line) => cx.diagnostics.pointing(Severity::Warning, line, 0, text),
                None => cx.diagnostics.say(Severity::Warning, Some(&origin), text),
            }
        }
    }
    result
}

/// Runs a parser of `language` for what `global` evaluates when the process starts.
pub fn global<T>(
    cx: &mut Loading<'_>,
    origin: Origin,
    run: impl FnOnce(&mut Parse<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let patterns = cx.patterns.clone();
    without_proxy(origin, Points::CFG_PARSER, &patterns, cx.global.expose_experimental_directives, run)
}

/// Runs a parser of `language` for the runtime API.
pub fn cli<T>(plan: &Plan, run: impl FnOnce(&mut Parse<'_>) -> Result<T, Error>) -> Result<T, Error> {
    let origin = Origin { file: "CLI".into(), line: 1 };
    without_proxy(origin, Points::CLI_PARSER, &plan.patterns, true, run)
}

fn without_proxy<T>(
    origin: Origin,
    points: Points,
    patterns: &Arc<Registry>,
    experimental: bool,
    run: impl FnOnce(&mut Parse<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let no_lists = Userlists::default();
    run(&mut Parse {
        origin,
        proxy: "",
        section: SectionKind::Global,
        http: false,
        points,
        acls: &mut AclSet::new(),
        patterns,
        userlists: &no_lists,
        captures: &mut Captures::default(),
        files: &SystemFiles,
        warnings: Vec::new(),
        references: Vec::new(),
        stick_counters: 0,
        experimental,
        experimental_used: false,
    })
}

/// [`parse`] for a line of words.
pub fn line<T>(
    cx: &mut Loading<'_>,
    a: &Args<'_>,
    run: impl FnOnce(&mut Parse<'_>, &mut Rules) -> Result<T, Error>,
) -> Result<T, Fault> {
    parse(cx, a.origin(), Some(a.line), run).map_err(|error| {
        let mut fault = fault(error);
        // HAProxy compiles this one when all is read, and says so in that stage's words.
        if fault.text.starts_with("failed to parse use_backend rule") {
            fault.text = format!("Parsing [{}]: {}", a.line.origin, fault.text);
            fault.form = Form::Bare;
        }
        fault
    })
}

/// An error of `language` as a fault of a line. The lists of actions are told with HAProxy's tight spelling.
pub fn fault(error: Error) -> Fault {
    let listing = error.text.starts_with("'http-")
        && (error.text.contains("' expects '") || error.text.contains("' expects either 'if'"));
    Fault { text: error.text, word: error.word, form: if listing { Form::Tight } else { Form::Spaced } }
}
