//! One connection to the runtime API: lines, chains of commands, payloads, the prompt. Bytes in, bytes out. A line is one
//! command or several joined by `;`; without a prompt the connection ends after its first line. `<<` at a line's end
//! begins a payload that an empty line ends; `<<word` one that ends at that word.

use super::{
    Answer, Call, Need, Process,
    catalogue::{self, Command},
};
use crate::model::bind::Level;

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
    /// Carry out this command and append what it says, then call [`CliSession::delegated`].
    Delegate(String),
    /// Call [`CliSession::resume`] soon, at the latest at this moment of the monotonic clock.
    Wait { until_ms: u64 },
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
    payload: Option<String>,
    collecting: Option<Payload>,
    waiting: Option<(u64, Option<(String, String)>)>,
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
            collecting: None,
            waiting: None,
            quit: false,
        }
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

    /// The owner has carried out a command: its answer ends as others do.
    pub fn delegated(&mut self, process: &mut dyn Process, out: &mut Vec<u8>) -> Then {
        out.push(b'\n');
        self.after_wait(process, out)
    }

    /// A command that waited has its answer: its line goes on, or ends as others do.
    fn after_wait(&mut self, process: &mut dyn Process, out: &mut Vec<u8>) -> Then {
        if self.chain.is_empty() {
            if !self.state.interactive {
                return Then::Close;
            }
            self.write_prompt(out);
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
                if process.delegates() && is_about_tables(&command) {
                    return Then::Delegate(command);
                }
                // The payload belongs to the last command of its line.
                let payload = if self.chain.is_empty() { self.payload.take() } else { None };
                let answer = self.execute(&command, payload.as_deref(), process);
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
                    self.write_prompt(out);
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
            ("show", "info" | "stat" | "activity" | "threads" | "servers") => Some(Need::Counters),
            _ => None,
        }
    }

    /// One line: commands, or a line of a payload.
    fn line(&mut self, line: String) {
        if let Some(payload) = &mut self.collecting {
            if line != payload.end {
                payload.text.push_str(&line);
                payload.text.push('\n');
                return;
            }
            if let Some(done) = self.collecting.take() {
                self.payload = Some(done.text);
                self.chain.extend(split_chain(&done.line));
            }
            return;
        }
        if let Some(at) = line.rfind("<<") {
            let end = line[at + 2..].trim();
            let opens = line[..at].ends_with(char::is_whitespace) && !end.contains(char::is_whitespace);
            if opens {
                let (line, end) = (line[..at].trim_end().to_owned(), end.to_owned());
                self.collecting = Some(Payload { line, end, text: String::new() });
                return;
            }
        }
        self.chain.extend(split_chain(&line));
    }

    fn execute(&mut self, command: &str, payload: Option<&str>, process: &mut dyn Process) -> Answer {
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).take(WORDS_MAX).collect();
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
            return Answer::Text(text.into_bytes());
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
            Answer::Empty | Answer::Wait { .. } => {}
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

    fn write_prompt(&self, out: &mut Vec<u8>) {
        if self.state.prompt {
            out.extend_from_slice(b"> ");
        }
    }
}

/// `show table`, `set table`, `clear table`: their entries are the workers'.
fn is_about_tables(command: &str) -> bool {
    let mut words = command.split_ascii_whitespace();
    matches!(words.next(), Some("show" | "set" | "clear")) && words.next() == Some("table")
}

/// The words of a command, quotes and escapes taken away.
pub fn words_of(command: &str) -> Vec<String> {
    words(command)
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
    // A semicolon at the end begins no command.
    if commands.len() > 1 && commands.last().is_some_and(|c| c.trim().is_empty()) {
        commands.pop();
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
