//! What is said about a configuration: messages in HAProxy's layout, with where they point to, and the exit code that
//! they lead to (management guide 3, "-c", "-q", "-V", "-dW"). Collects; writes nothing itself.

use std::fmt::Write as _;

use super::lexer::{Line, bytes_of, pointed};
use crate::base::origin::Origin;

/// How bad it is. Only an alert fails the load by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Shown with `-dD` only.
    Diag,
    Notice,
    Warning,
    Alert,
}

impl Severity {
    /// HAProxy's tag, padded so that the process ids stand below each other.
    fn tag(self) -> &'static str {
        match self {
            Severity::Diag => "[DIAG]     (",
            Severity::Notice => "[NOTICE]   (",
            Severity::Warning => "[WARNING]  (",
            Severity::Alert => "[ALERT]    (",
        }
    }
}

/// One message. `text` is all that follows the tag and the process id; its line breaks are written as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub severity: Severity,
    pub text: String,
    pub origin: Option<Origin>,
    /// Column in the raw line, in bytes from 1.
    pub column: Option<u32>,
    pub raw_line: Option<String>,
}

/// All messages of one load, in the order in which they were found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    messages: Vec<Message>,
    failures: usize,
    aborted: bool,
    diag_mode: bool,
}

impl Diagnostics {
    /// `diag_mode`: `-dD` was given, [`Severity::Diag`] counts (as warnings do).
    pub fn new(diag_mode: bool) -> Self {
        Diagnostics { diag_mode, ..Diagnostics::default() }
    }

    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// An alert was given: the load fails.
    pub fn failed(&self) -> bool {
        self.failures > 0
    }

    /// How many alerts so far make the load fail.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// A warning was given (or a diag message in diag mode).
    pub fn warned(&self) -> bool {
        self.messages.iter().any(|m| matches!(m.severity, Severity::Warning | Severity::Diag))
    }

    /// Reading stopped before the end of the files (`.alert`, a truncated file).
    pub fn abort(&mut self) {
        self.failures += 1;
        self.aborted = true;
    }

    pub fn aborted(&self) -> bool {
        self.aborted
    }

    /// Adds a message; an alert makes the load fail.
    pub fn push(&mut self, message: Message) {
        if message.severity == Severity::Diag && !self.diag_mode {
            return;
        }
        self.failures += usize::from(message.severity == Severity::Alert);
        self.messages.push(message);
    }

    /// Adds an alert that does not fail the load; HAProxy has two (observed: a second global `maxconn`, an ambiguous
    /// `defaults` name).
    pub fn harmless_alert(&mut self, line: &Line, word: usize, text: impl AsRef<str>) {
        self.alert(line, word, text);
        self.failures -= 1;
    }

    /// What `say` adds does not make the load fail.
    pub fn without_failing(&mut self, say: impl FnOnce(&mut Diagnostics)) {
        let failures = self.failures;
        say(self);
        self.failures = failures;
    }

    /// `config : parsing [file:line] : text`, pointing at a word of the line.
    pub fn alert(&mut self, line: &Line, word: usize, text: impl AsRef<str>) {
        self.at(Severity::Alert, line, word, text);
    }

    /// As [`Diagnostics::alert`], as a warning.
    pub fn warning(&mut self, line: &Line, word: usize, text: impl AsRef<str>) {
        self.at(Severity::Warning, line, word, text);
    }

    pub fn at(&mut self, severity: Severity, line: &Line, word: usize, text: impl AsRef<str>) {
        let text = format!("config : parsing [{}] : {}", line.origin, text.as_ref());
        self.pointing(severity, line, word, text);
    }

    /// `config : parsing [file:line]: text`: HAProxy's other spelling, without the blank before the colon.
    pub fn at_tight(&mut self, severity: Severity, line: &Line, word: usize, text: impl AsRef<str>) {
        let text = format!("config : parsing [{}]: {}", line.origin, text.as_ref());
        self.pointing(severity, line, word, text);
    }

    /// A text of its own layout that points at a word of a line.
    pub fn pointing(&mut self, severity: Severity, line: &Line, word: usize, text: impl Into<String>) {
        self.push(Message {
            severity,
            text: text.into(),
            origin: Some(line.origin.clone()),
            column: Some(line.column(word)),
            raw_line: Some(line.raw.clone()),
        });
    }

    /// A text of its own layout about something at `origin`, or about nothing in particular.
    pub fn say(&mut self, severity: Severity, origin: Option<&Origin>, text: impl Into<String>) {
        self.push(Message { severity, text: text.into(), origin: origin.cloned(), column: None, raw_line: None });
    }
}

impl Message {
    /// File and line, where the text itself does not name them.
    fn place(&self) -> Option<String> {
        let place = self.origin.as_ref().filter(|o| o.line > 0)?.to_string();
        (!self.text.contains(&place)).then_some(place)
    }
}

/// How messages are written.
#[derive(Clone, Copy, Debug)]
pub struct Rendering<'a> {
    pub pid: u32,
    /// What the second notice calls the executable.
    pub executable: &'a str,
    /// Standard error is a terminal: the source line is shown too, with a caret below the column.
    pub terminal: bool,
    /// The two notices were written before in this process.
    pub announced: bool,
}

impl Diagnostics {
    /// All messages as standard error gets them: two notices once before the first one.
    pub fn render(&self, how: &Rendering<'_>) -> String {
        render(&self.messages, how)
    }
}

/// See [`Diagnostics::render`].
pub fn render(messages: &[Message], how: &Rendering<'_>) -> String {
    let mut out = String::new();
    if messages.is_empty() {
        return out;
    }
    if !how.announced {
        let tag = Severity::Notice.tag();
        let _ = writeln!(out, "{tag}{}) : haproxy version is {}", how.pid, super::PERSONALITY);
        let _ = writeln!(out, "{tag}{}) : path to executable is {}", how.pid, how.executable);
    }
    for message in messages {
        let place = message.place();
        let _ = match (&place, message.text.split_once('\n')) {
            // HAProxy's text first; the place stands behind its first line where the text does not say it.
            (Some(place), Some((first, rest))) => {
                writeln!(out, "{}{}) : {first} [{place}]\n{rest}", message.severity.tag(), how.pid)
            }
            (Some(place), None) => {
                writeln!(out, "{}{}) : {} [{place}]", message.severity.tag(), how.pid, message.text)
            }
            (None, _) => writeln!(out, "{}{}) : {}", message.severity.tag(), how.pid, message.text),
        };
        // Texts of the lexer show their line already.
        if let (true, Some(column), Some(raw)) = (how.terminal, message.column, &message.raw_line)
            && !message.text.contains('\n')
        {
            let _ = writeln!(out, "{}", pointed(&bytes_of(raw), column));
        }
    }
    out
}

/// What the command line asked for, as far as it decides about outputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mode {
    /// `-c`.
    pub check: bool,
    /// `-V`.
    pub verbose: bool,
    /// `-q` or `quiet`: nothing is written at all.
    pub quiet: bool,
    /// `-dW` or `zero-warning`.
    pub zero_warning: bool,
    /// A master listens to its workers, so it starts without any `bind`.
    pub master_worker: bool,
}

/// The end of a load: what goes where, and with which code the process exits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conclusion {
    pub stdout: String,
    pub stderr: String,
    /// `None`: go on and run.
    pub exit: Option<i32>,
}

/// Decides about outputs and exit code of a load (management guide 3, and observed). `listeners` tells whether the plan
/// would listen anywhere.
pub fn conclude(mut diagnostics: Diagnostics, listeners: bool, mode: Mode, how: &Rendering<'_>) -> Conclusion {
    let mut out = Conclusion::default();
    if diagnostics.failed() {
        if !diagnostics.aborted() {
            diagnostics.say(Severity::Alert, None, "config : Fatal errors found in configuration.");
        }
        out.exit = Some(1);
    } else if diagnostics.warned() && mode.zero_warning {
        let text = "Some warnings were found and 'zero-warning' is set. Aborting.";
        diagnostics.say(Severity::Alert, None, text);
        out.exit = Some(1);
    } else {
        if mode.check && diagnostics.warned() {
            out.stdout.push_str("Warnings were found.\n");
        }
        if !listeners && mode.check {
            out.stdout.push_str("Configuration file has no error but will not start (no listener) => exit(2).\n");
            out.exit = Some(2);
        } else if !listeners && !mode.master_worker {
            let text = "No enabled listener found (check for 'bind' directives) ! Exiting.";
            diagnostics.say(Severity::Alert, None, format!("[{}.main()] {text}", how.executable));
            out.exit = Some(1);
        } else if mode.check {
            if mode.verbose {
                out.stdout.push_str("Configuration file is valid\n");
            }
            out.exit = Some(0);
        }
    }
    out.stderr = diagnostics.render(how);
    if mode.quiet {
        out.stdout.clear();
        out.stderr.clear();
    }
    out
}

/// The candidate that a misspelt `word` was probably meant to be; HAProxy's "did you mean 'x' maybe ?". Calibrated
/// with its answers on misspellings of its own keywords.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.as_bytes();
    if word.is_empty() || word.len() > SUGGEST_MAX {
        return None;
    }
    let mut best: Option<(usize, usize, &str)> = None;
    for candidate in candidates {
        let length = candidate.len();
        if length == 0 || length > SUGGEST_MAX || candidate.as_bytes() == word {
            continue;
        }
        let distance = distance(word, candidate.as_bytes());
        // More than half of the longer word wrong: a different word, not a misspelt one. Of three letters, two may
        // be.
        let limit = (word.len().max(length) * EDIT / 2).max(if word.len() > 2 { 2 * EDIT } else { 0 });
        let key = (distance, word.len().abs_diff(length));
        if distance <= limit && best.is_none_or(|(d, l, _)| key < (d, l)) {
            best = Some((key.0, key.1, candidate));
        }
    }
    best.map(|(_, _, candidate)| candidate)
}

/// Longer words are not compared.
const SUGGEST_MAX: usize = 64;
/// Cost of a letter too many or too few, of a wrong one, and of two in the wrong order.
const EDIT: usize = 4;
const REPLACE: usize = 5;
const SWAP: usize = 3;

/// Optimal string alignment distance: insertions, removals, replacements and swaps of neighbours.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let width = to.len() + 1;
    let mut rows = [vec![0; width], vec![0; width], (0..width).map(|j| j * EDIT).collect::<Vec<_>>()];
    for i in 1..=from.len() {
        rows.rotate_left(1);
        rows[2][0] = i * EDIT;
        for j in 1..width {
            let (a, b) = (from[i - 1], to[j - 1]);
            let mut cost = (rows[1][j] + EDIT).min(rows[2][j - 1] + EDIT);
            cost = cost.min(rows[1][j - 1] + if a == b { 0 } else { REPLACE });
            if i > 1 && j > 1 && a == to[j - 2] && from[i - 2] == b && a != b {
                cost = cost.min(rows[0][j - 2] + SWAP);
            }
            rows[2][j] = cost;
        }
    }
    rows[2][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::lexer::Word;

    const HOW: Rendering<'_> = Rendering { pid: 7, executable: "./haproxy", terminal: false, announced: false };
    const NOTICES: &str =
        "[NOTICE]   (7) : haproxy version is 3.4.0\n[NOTICE]   (7) : path to executable is ./haproxy\n";

    fn line() -> Line {
        let words = vec![Word { text: "foo".to_owned(), column: 3 }, Word { text: "bar".to_owned(), column: 7 }];
        Line { origin: Origin::new("f", 3), raw: "  foo bar".to_owned(), words }
    }

    fn said(severity: Option<Severity>) -> Diagnostics {
        let mut diagnostics = Diagnostics::default();
        if let Some(severity) = severity {
            diagnostics.at_tight(severity, &line(), 1, "'x'.");
        }
        diagnostics
    }

    #[test]
    fn messages_have_haproxys_layout() {
        let mut diagnostics = said(Some(Severity::Warning));
        diagnostics.alert(&line(), 0, "unknown keyword 'foo' in 'global' section");
        let wanted = format!(
            "{NOTICES}[WARNING]  (7) : config : parsing [f:3]: 'x'.\n[ALERT]    (7) : config : parsing [f:3] : \
             unknown keyword 'foo' in 'global' section\n"
        );
        assert_eq!(diagnostics.render(&HOW), wanted);
        assert_eq!(Diagnostics::default().render(&HOW), "");
        assert!(!diagnostics.render(&Rendering { announced: true, ..HOW }).contains("NOTICE"));
    }

    #[test]
    fn a_terminal_sees_the_line_and_a_caret() {
        let how = Rendering { terminal: true, announced: true, ..HOW };
        let wanted = "[ALERT]    (7) : config : parsing [f:3]: 'x'.\n  foo bar\n      ^\n";
        assert_eq!(said(Some(Severity::Alert)).render(&how), wanted);
    }

    #[test]
    fn outputs_and_exit_codes_of_a_check() {
        let check = Mode { check: true, ..Mode::default() };
        let verbose = Mode { verbose: true, ..check };
        let strict = Mode { zero_warning: true, ..check };
        let (valid, warned) = ("Configuration file is valid\n", "Warnings were found.\n");
        let no_listener = "Configuration file has no error but will not start (no listener) => exit(2).\n";
        let warning = Some(Severity::Warning);
        let cases = [
            (None, true, check, String::new(), Some(0)),
            (None, true, verbose, valid.to_owned(), Some(0)),
            (None, true, strict, String::new(), Some(0)),
            (None, false, check, no_listener.to_owned(), Some(2)),
            (warning, true, check, warned.to_owned(), Some(0)),
            (warning, true, verbose, format!("{warned}{valid}"), Some(0)),
            (warning, true, strict, String::new(), Some(1)),
            (warning, false, check, format!("{warned}{no_listener}"), Some(2)),
            (warning, false, strict, String::new(), Some(1)),
            (Some(Severity::Alert), true, verbose, String::new(), Some(1)),
            (Some(Severity::Notice), true, check, String::new(), Some(0)),
            (None, true, Mode::default(), String::new(), None),
            (None, false, Mode::default(), String::new(), Some(1)),
            (None, false, Mode { master_worker: true, ..Mode::default() }, String::new(), None),
        ];
        for (severity, listeners, mode, stdout, exit) in cases {
            let out = conclude(said(severity), listeners, mode, &HOW);
            assert_eq!((out.stdout, out.exit), (stdout, exit), "{severity:?} {listeners} {mode:?}");
            let quiet = conclude(said(severity), listeners, Mode { quiet: true, ..mode }, &HOW);
            assert_eq!((quiet.stdout, quiet.stderr, quiet.exit), (String::new(), String::new(), exit));
        }
        let strict = conclude(said(warning), true, strict, &HOW).stderr;
        assert!(strict.ends_with("[ALERT]    (7) : Some warnings were found and 'zero-warning' is set. Aborting.\n"));
        let failed = conclude(said(Some(Severity::Alert)), true, check, &HOW).stderr;
        assert!(failed.ends_with("[ALERT]    (7) : config : Fatal errors found in configuration.\n"));
        let mut aborted = said(Some(Severity::Alert));
        aborted.abort();
        assert!(!conclude(aborted, true, check, &HOW).stderr.contains("Fatal errors"));
    }

    #[test]
    fn two_of_haproxys_alerts_do_not_fail() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.harmless_alert(&line(), 0, "'maxconn' already specified. Continuing.");
        assert!(!diagnostics.failed() && diagnostics.messages().len() == 1);
    }

    #[test]
    fn suggestions_are_haproxys() {
        let keywords = [
            "maxconn",
            "nbthread",
            "daemon",
            "log",
            "log-tag",
            "stats",
            "ulimit-n",
            "user",
            "group",
            "chroot",
            "quiet",
            "tune.bufsize",
            "hard-stop-after",
            "cpu-map",
            "option",
            "timeout",
            "mode",
            "backend",
            "default_backend",
            "server",
            "bind",
            "balance",
            "retries",
            "retry-on",
            "default-server",
            "http-request",
            "ssl",
            "crt",
            "tfo",
            "httplog",
            "httpslog",
            "http-keep-alive",
            "check",
            "weight",
        ];
        let cases = [
            ("maxcon", "maxconn"),
            ("nbthread1", "nbthread"),
            ("dameon", "daemon"),
            ("lgo", "log"),
            ("xlog", "log"),
            ("ulimit", "ulimit-n"),
            ("usr", "user"),
            ("choot", "chroot"),
            ("quite", "quiet"),
            ("conn", "maxconn"),
            ("hard-stop", "hard-stop-after"),
            ("thread", "nbthread"),
            ("cpu_map", "cpu-map"),
            ("optoin", "option"),
            ("mdoe", "mode"),
            ("srever", "server"),
            ("bnd", "bind"),
            ("retry", "retry-on"),
            ("sssl", "ssl"),
            ("defaultserver", "default-server"),
            ("crtt", "crt"),
            ("foo", "tfo"),
            ("http-log", "httplog"),
            ("keepalive", "http-keep-alive"),
            ("wieght", "weight"),
            ("chek", "check"),
        ];
        for (word, wanted) in cases {
            assert_eq!(suggest(word, keywords), Some(wanted), "{word}");
        }
        for word in ["abc", "zzz", "nb", "", "max"] {
            assert_eq!(suggest(word, keywords), None, "{word}");
        }
    }
}
