//! One connection to the runtime API: lines, chains of commands, payloads, the prompt. Bytes in, bytes out. A line is one
//! command or several joined by `;`; without a prompt the connection ends after its first line. `<<` at a line's end
//! begins a payload that an empty line ends; `<<word` one that ends at that word.
//!
//! On a master's socket (management guide 9.4) `@` sends commands to a worker; what is sent is the owner's to carry.

use super::{
    Answer, Call, Need, Process,
    catalogue::{self, Command},
};
use crate::{admin::stats::report::Report, model::bind::Level};

/// Bytes of a payload at most; more ends the session. A command's line has the bound of a buffer.
const PAYLOAD_MAX: usize = 1 << 20;
/// Bytes of answers that gather before they are to be sent.
const ANSWER_PIECE: usize = 64 << 10;
const TOO_LONG: &[u8] = b"The command line is too big for the buffer size. Please change 'tune.bufsize' in the \
                          configuration to use a bigger command.\n";
/// Words of a command at most; HAProxy has the same bound.
const WORDS_MAX: usize = 64;

/// What the owner of the connection does after [`CliSession::feed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Read on.
    Read,
    /// Write what there is, then close.
    Close,
    /// Write what there is, then call [`CliSession::resume`]: more answers follow.
    Flush,
    /// Let the process gather this ([`Process::gathered`]), then call [`CliSession::resume`].
    Gather(Need),
    /// Write this, then call [`CliSession::answered`].
    Report(Report),
    /// Do this with a stick table, then call [`CliSession::answered`].
    Table(super::command::table::Job),
    /// Write what these descriptors are, then call [`CliSession::answered`].
    Descriptors(super::command::descriptors::Wanted),
    /// Write these events, then call [`CliSession::answered`].
    Events(super::command::events::Reading),
    /// Let a worker do this and pass on its answer, then call [`CliSession::forwarded`].
    Forward(Forward),
    /// Reload; the answer is the last of this connection.
    Reload { hard: bool },
    /// Call [`CliSession::resume`] soon, at the latest at this moment of the monotonic clock.
    Wait { until_ms: u64 },
}

/// What goes to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    pub pid: u32,
    /// Lines with their ends; none for a dialogue.
    pub text: String,
    /// `@@`: the client's further bytes follow until the worker closes.
    pub stay: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SeverityOutput {
    #[default]
    None,
    Number,
    String,
}

/// What commands may change about their own session.
#[derive(Clone)]
pub struct State {
    pub level: Level,
    pub severity: SeverityOutput,
    /// Stays open after an answer.
    pub interactive: bool,
    pub prompt: bool,
    pub timed: bool,
    pub expert: bool,
    pub experimental: bool,
    /// `set timeout cli`, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Tables of commands of this session, for `help`.
    pub(super) tables: Vec<&'static [Command]>,
}

pub struct CliSession {
    state: State,
    input: Vec<u8>,
    /// Commands of the present line that are still to be run.
    chain: std::collections::VecDeque<String>,
    /// What it says, and the word that ended it.
    payload: Option<(String, String)>,
    /// On a master's socket: the worker that commands go to; 0 is the master.
    target: Option<u32>,
    collecting: Option<Payload>,
    waiting: Option<(u64, Option<(String, String)>)>,
    /// The last command's answer is kept until the workers have heard of it.
    confirming: bool,
    quit: bool,
}

struct Payload {
    line: String,
    end: String,
    text: String,
}

impl CliSession {
    /// `tables`: the catalogue and those of other rooms.
    pub fn new(level: Level, tables: Vec<&'static [Command]>) -> CliSession {
        let state = State {
            level,
            severity: SeverityOutput::None,
            interactive: false,
            prompt: false,
            timed: false,
            expert: false,
            experimental: false,
            timeout_ms: None,
            tables,
        };
        CliSession {
            state,
            input: Vec::new(),
            chain: Default::default(),
            payload: None,
            target: None,
            collecting: None,
            waiting: None,
            confirming: false,
            quit: false,
        }
    }

    /// A session on a master's socket.
    pub fn of_master(level: Level) -> CliSession {
        CliSession { target: Some(0), ..CliSession::new(level, vec![catalogue::MASTER]) }
    }

    /// Begins with modes that were chosen elsewhere.
    pub fn set_modes(&mut self, set: impl FnOnce(&mut State)) {
        set(&mut self.state);
    }

    /// Bytes that came and are not looked at yet.
    pub fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// `severity-output` of the socket.
    pub fn set_severity(&mut self, severity: SeverityOutput) {
        self.state.severity = severity;
    }

    /// A command waits for a moment or a condition.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes bytes and appends answers.
    pub fn feed(&mut self, bytes: &[u8], process: &mut dyn Process, out: &mut Vec<u8>) -> Then {
        self.input.extend_from_slice(bytes);
        if self.waiting.is_some() {
            // What comes while a command waits interrupts it.
            self.waiting = None;
            self.finish(Answer::error("Interrupted."), out);
            return self.after_wait(process, out);
        }
        self.run(process, out)
    }

    /// Looks again whether a waiting command may end.
    pub fn resume(&mut self, process: &mut dyn Process, out: &mut Vec<u8>) -> Then {
        if std::mem::take(&mut self.confirming) {
            self.finish(Answer::Empty, out);
            return self.after_wait(process, out);
        }
        let Some((until_ms, removable)) = self.waiting.take() else { return self.run(process, out) };
        let now = process.now().mono.0;
        match &removable {
            Some((backend, server)) => match super::command::server::removable(process, backend, server) {
                Ok(()) => self.finish(Answer::info("Done."), out),
                Err(Some(fatal)) => self.finish(Answer::error(format!("Failed. {fatal}")), out),
                Err(None) if now >= until_ms => self.finish(Answer::error("Wait delay expired."), out),
                Err(None) => {
                    self.waiting = Some((until_ms, removable));
                    return Then::Wait { until_ms };
                }
            },
            None if now >= until_ms => self.finish(Answer::info("Done."), out),
            None => {
                self.waiting = Some((until_ms, removable));
                return Then::Wait { until_ms };
            }
        }
        self.after_wait(process, out)
    }

    /// What its owner has done for a command ends with this answer.
    pub fn answered(&mut self, answer: Answer, process: &mut dyn Process, out: &mut Vec<u8>) -> Then {
        self.finish(answer, out);
        self.after_wait(process, out)
    }

    /// A worker has answered; these bytes came meanwhile.
    pub fn forwarded(&mut self, bytes: &[u8], process: &mut dyn Process, out: &mut Vec<u8>) -> Then {
        self.input.extend_from_slice(bytes);
        self.after_wait(process, out)
    }

    /// A command that waited has its answer: its line goes on, or ends as others do.
    fn after_wait(&mut self, process: &mut dyn Process, out: &mut Vec<u8>) -> Then {
        if self.chain.is_empty() {
            if !self.state.interactive {
                return Then::Close;
            }
            self.write_prompt(process, out);
        }
        self.run(process, out)
    }

    fn run(&mut self, process: &mut dyn Process, out: &mut Vec<u8>) -> Then {
        loop {
            while let Some(command) = self.chain.pop_front() {
                if let Some(need) = self.need(&command)
                    && !process.gathered(need)
                {
                    self.chain.push_front(command);
                    return Then::Gather(need);
                }
                // The payload belongs to the last command of its line.
                let payload = if self.chain.is_empty() { self.payload.take() } else { None };
                let route = self.route(command, payload.as_ref(), process);
                let answer = match route {
                    Route::Here(command) => self.execute(&command, payload.as_ref().map(|p| p.0.as_str()), process),
                    Route::There(forward) => return Then::Forward(forward),
                    Route::Switched => Answer::Silent,
                    Route::Nowhere(prefix) => {
                        let text = format!("Can't find the target PID matching the prefix '{prefix}'\n");
                        out.extend_from_slice(text.as_bytes());
                        Answer::Silent
                    }
                };
                if let Answer::Reload { hard } = answer {
                    return Then::Reload { hard };
                }
                if let Answer::Confirmed = answer {
                    self.confirming = true;
                    return Then::Gather(Need::Counters);
                }
                if let Answer::Report(report) = answer {
                    return Then::Report(report);
                }
                if let Answer::Table(job) = answer {
                    return Then::Table(job);
                }
                if let Answer::Descriptors(wanted) = answer {
                    return Then::Descriptors(wanted);
                }
                if let Answer::Events(reading) = answer {
                    return Then::Events(reading);
                }
                if let Answer::Wait { until_ms, removable } = answer {
                    self.waiting = Some((until_ms, removable));
                    return self.resume(process, out);
                }
                self.finish(answer, out);
                if self.quit {
                    return Then::Close;
                }
                if self.chain.is_empty() {
                    if !self.state.interactive {
                        return Then::Close;
                    }
                    self.write_prompt(process, out);
                }
                if out.len() >= ANSWER_PIECE {
                    return Then::Flush;
                }
            }
            let Some(end) = self.input.iter().position(|b| *b == b'\n') else {
                if self.fits(self.input.len(), process) {
                    return Then::Read;
                }
                out.extend_from_slice(TOO_LONG);
                return Then::Close;
            };
            if !self.fits(end, process) {
                out.extend_from_slice(TOO_LONG);
                return Then::Close;
            }
            let mut line: Vec<u8> = self.input.drain(..=end).collect();
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.line(String::from_utf8_lossy(&line).into_owned());
            if self.collecting.as_ref().is_some_and(|p| p.text.len() > PAYLOAD_MAX) {
                out.extend_from_slice(TOO_LONG);
                return Then::Close;
            }
        }
    }

    /// Whether a line of this length is taken.
    fn fits(&self, len: usize, process: &dyn Process) -> bool {
        let most = if self.collecting.is_some() { PAYLOAD_MAX } else { process.plan().global.tune.bufsize };
        len < most
    }

    /// What must be gathered from the workers before this command may run.
    fn need(&self, command: &str) -> Option<Need> {
        let mut words = command.split_ascii_whitespace();
        match (words.next()?, words.next().unwrap_or_default()) {
            ("show", "sess") | ("shutdown", "session") => Some(Need::Sessions),
            ("show", "tasks" | "profiling") => Some(Need::Tasks),
            ("show", "info" | "stat" | "activity" | "threads" | "servers" | "pools") => Some(Need::Counters),
            _ => None,
        }
    }

    /// One line: commands, or a line of a payload.
    fn line(&mut self, mut line: String) {
        // To HAProxy a NUL ends the line.
        line.truncate(line.find('\0').unwrap_or(line.len()));
        if let Some(payload) = &mut self.collecting {
            if line != payload.end {
                payload.text.push_str(&line);
                payload.text.push('\n');
                return;
            }
            if let Some(done) = self.collecting.take() {
                self.payload = Some((done.text, done.end));
                self.chain.extend(split_chain(&done.line));
            }
            return;
        }
        if let Some(at) = line.rfind("<<") {
            let end = line[at + 2..].trim();
            let opens = (at == 0 || line[..at].ends_with(char::is_whitespace)) && !end.contains(char::is_whitespace);
            if opens {
                let (line, end) = (line[..at].trim_end().to_owned(), end.to_owned());
                self.collecting = Some(Payload { line, end, text: String::new() });
                return;
            }
        }
        // What stays in a worker goes there as it is.
        if self.target.is_some() && line.trim_start().starts_with("@@") {
            return self.chain.push_back(line);
        }
        self.chain.extend(split_chain(&line));
    }

    /// Where a command goes. Only on a master's socket can that be elsewhere.
    fn route(&mut self, command: String, payload: Option<&(String, String)>, process: &dyn Process) -> Route {
        /// What concerns this connection is done here, wherever the others go.
        const OWN: [&str; 6] = ["prompt", "quit", "operator", "user", "expert-mode", "experimental-mode"];
        let Some(target) = self.target else { return Route::Here(command) };
        let line = command.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (pid, rest, stay) = match word.strip_prefix('@') {
            None if word.is_empty() || OWN.contains(&word) => (0, line, false),
            None => (target, line, false),
            Some(name) => {
                let name = name.strip_prefix('@').unwrap_or(name);
                let Some(pid) = process.worker(name) else { return Route::Nowhere(word.to_owned()) };
                let stay = word.starts_with("@@") && pid != 0;
                if rest.trim().is_empty() && !stay {
                    self.target = Some(pid);
                    return Route::Switched;
                }
                (pid, rest.trim_start(), stay)
            }
        };
        if pid == 0 {
            return Route::Here(rest.to_owned());
        }
        let text = match payload {
            Some((text, end)) => format!("{rest} <<{end}\n{text}{end}\n"),
            None if rest.is_empty() => String::new(),
            None => format!("{rest}\n"),
        };
        Route::There(Forward { pid, text, stay })
    }

    fn execute(&mut self, command: &str, payload: Option<&str>, process: &mut dyn Process) -> Answer {
        let words = words(command);
        if words.len() > WORDS_MAX {
            return Answer::error("Too many arguments. Commands must have at most 64 arguments.");
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words.is_empty() {
            return Answer::Empty;
        }
        let tables = self.state.tables.clone();
        let Some(found) = catalogue::find(&tables, &words) else {
            let mut text =
                format!("Unknown command: '{}', but maybe one of the following ones is a better match:\n", words[0]);
            for line in catalogue::help_lines(&tables, &words, self.state.level) {
                text.push_str(&format!("  {line}\n"));
            }
            return Answer::info(text);
        };
        if found.level > self.state.level {
            return Answer::Message(super::Severity::Alert, "Permission denied".into());
        }
        let named = found.words.len();
        (found.run)(&mut Call { words: &words, named, payload, process, state: &mut self.state })
    }

    /// Writes an answer and the empty line after it.
    fn finish(&mut self, answer: Answer, out: &mut Vec<u8>) {
        match answer {
            Answer::Silent | Answer::Reload { .. } => return,
            // On a master's socket, what only changes the session is not confirmed.
            Answer::Empty if self.target.is_some() => return,
            Answer::Empty
            | Answer::Confirmed
            | Answer::Wait { .. }
            | Answer::Report(_)
            | Answer::Table(_)
            | Answer::Events(_)
            | Answer::Descriptors(_) => {}
            Answer::Quit => {
                self.quit = true;
                return;
            }
            Answer::Text(text) => out.extend_from_slice(&text),
            Answer::Message(severity, text) => {
                let prefix = match self.state.severity {
                    SeverityOutput::None => String::new(),
                    SeverityOutput::Number => format!("[{}]: ", severity as u8),
                    SeverityOutput::String => format!("[{}]: ", severity.name()),
                };
                out.extend_from_slice(prefix.as_bytes());
                out.extend_from_slice(text.as_bytes());
                if !text.ends_with('\n') {
                    out.push(b'\n');
                }
            }
        }
        out.push(b'\n');
    }

    /// `> `, `[0:00:01:07]> `; of a master `master> `, `1234(xe)> `.
    fn write_prompt(&self, process: &dyn Process, out: &mut Vec<u8>) {
        if !self.state.prompt {
            return;
        }
        let mut prompt = String::new();
        if self.state.timed {
            let s = process.uptime_s(self.target.unwrap_or(0));
            prompt = format!("[{}:{:02}:{:02}:{:02}]", s / 86_400, s % 86_400 / 3600, s % 3600 / 60, s % 60);
        }
        if let Some(target) = self.target {
            let blank = if self.state.timed { " " } else { "" };
            let name = if target == 0 { process.name() } else { target.to_string() };
            let flags = [(self.state.experimental, "x"), (self.state.expert, "e")];
            let flags: String = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
            let flags = if flags.is_empty() { flags } else { format!("({flags})") };
            prompt.push_str(&format!("{blank}{name}{flags}"));
        }
        out.extend_from_slice(prompt.as_bytes());
        out.extend_from_slice(b"> ");
    }
}

/// See [`CliSession::route`].
enum Route {
    Here(String),
    There(Forward),
    /// Further commands go to another process.
    Switched,
    /// There is no process with this prefix.
    Nowhere(String),
}

/// Commands between semicolons that no backslash precedes.
fn split_chain(line: &str) -> Vec<String> {
    let mut commands = vec![String::new()];
    let mut escaped = false;
    for c in line.chars() {
        if c == ';' && !escaped {
            commands.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(last) = commands.last_mut() {
            last.push(c);
        }
    }
    commands
}

/// Words between blanks; a backslash takes the next character as it is.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
