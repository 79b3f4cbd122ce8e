//! Conditional blocks: `.if`, `.elif`, `.else`, `.endif`, the messages `.notice` and its like, and the conditions
//! that `-cc` evaluates too (manual 2.4). What is true here is told by [`Facts`]; nothing is looked up elsewhere.

use super::{
    diagnostic::{Diagnostics, Severity},
    env::Environment,
    lexer::{Line, bytes_of, pointed},
};

/// What the predicates ask about this program.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Names of `feature()`: what `-vv` lists with a `+`.
    pub features: &'static [&'static str],
    /// Names of `enabled()`.
    pub enabled: &'static [&'static str],
    /// The TLS library as `ssllib_name_startswith` sees it.
    pub tls_library: &'static str,
    /// The version of OpenSSL that this library stands in for.
    pub openssl_version: &'static str,
}

impl Default for Facts {
    fn default() -> Self {
        FACTS
    }
}

/// What we are. Features are claimed by function, as configurations ask for them: `feature(OPENSSL)` means that TLS
/// works. Libraries that we are not linked to (LUA, DEVICEATLAS, LIBCRYPT, …) are not claimed.
pub const FACTS: Facts = Facts {
    features: &[
        "ACCEPT4",
        "CPU_AFFINITY",
        "GETADDRINFO",
        "LINUX_SPLICE",
        "LINUX_TPROXY",
        "OPENSSL",
        "PCRE2",
        "PCRE2_JIT",
        "PRCTL",
        "PROMEX",
        "SSL",
        "TFO",
        "THREAD",
        "TPROXY",
        "ZLIB",
    ],
    // io_uring does for every file what the two pollers do where HAProxy runs on Linux.
    enabled: &["EPOLL", "FAST-FORWARD", "GETADDRINFO", "POLL", "REUSEPORT", "SPLICE"],
    tls_library: "rustls",
    // rustls computes with AWS-LC, which stands in for this version ("provide a pseudo OpenSSL version", manual 2.4).
    openssl_version: "1.1.1",
};

/// What [`Preprocessor::take`] did with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is the configuration's.
    Line,
    /// It was a directive.
    Directive,
    /// It stands in a branch that is not taken.
    Excluded,
    /// `.alert`: nothing after it is to be read.
    Stop,
}

/// The blocks that are open at one place of one file.
#[derive(Debug, Default)]
pub struct Preprocessor {
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    branch: Branch,
    else_seen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Branch {
    /// This one is read.
    Taken,
    /// None of this block was read so far.
    NotYet,
    /// One was read, or none may be: the block stands in an excluded one or its condition is broken.
    Done,
}

impl Preprocessor {
    /// A block still lacks its `.endif`.
    pub fn is_open(&self) -> bool {
        !self.blocks.is_empty()
    }

    fn excluded(&self) -> bool {
        self.blocks.last().is_some_and(|b| b.branch != Branch::Taken)
    }

    /// Takes a line out of the configuration if it is a directive or excluded by one.
    pub fn take(&mut self, line: &Line, facts: &Facts, env: &Environment, diagnostics: &mut Diagnostics) -> Taken {
        match line.word(0) {
            ".if" => self.begin(line, facts, env, diagnostics),
            ".elif" => self.elif(line, facts, env, diagnostics),
            ".else" => self.otherwise(line, diagnostics),
            ".endif" => {
                refuse_argument(line, 1, "", diagnostics);
                if self.blocks.pop().is_none() {
                    tight_alert(line, "lone '.endif' with no matching '.if'.", diagnostics);
                }
            }
            _ if self.excluded() => return Taken::Excluded,
            ".notice" => say(line, Severity::Notice, diagnostics),
            ".warning" => say(line, Severity::Warning, diagnostics),
            ".diag" => say(line, Severity::Diag, diagnostics),
            ".alert" => {
                say(line, Severity::Alert, diagnostics);
                return Taken::Stop;
            }
            other if other.starts_with('.') => {
                tight_alert(line, &format!("unknown directive '{other}'."), diagnostics);
            }
            _ => return Taken::Line,
        }
        Taken::Directive
    }

    fn begin(&mut self, line: &Line, facts: &Facts, env: &Environment, diagnostics: &mut Diagnostics) {
        let branch = match self.excluded() {
            true => Branch::Done,
            false => decide(line, facts, env, diagnostics),
        };
        self.blocks.push(Block { branch, else_seen: false });
    }

    fn elif(&mut self, line: &Line, facts: &Facts, env: &Environment, diagnostics: &mut Diagnostics) {
        let Some(block) = self.blocks.last_mut() else {
            return tight_alert(line, "lone '.elif' with no matching '.if'.", diagnostics);
        };
        if block.else_seen {
            return tight_alert(line, "'.elif' after '.else' is not permitted.", diagnostics);
        }
        block.branch = match block.branch {
            Branch::NotYet => decide(line, facts, env, diagnostics),
            Branch::Taken | Branch::Done => Branch::Done,
        };
    }

    fn otherwise(&mut self, line: &Line, diagnostics: &mut Diagnostics) {
        refuse_argument(line, 1, "", diagnostics);
        let Some(block) = self.blocks.last_mut() else {
            return tight_alert(line, "lone '.else' with no matching '.if'.", diagnostics);
        };
        if block.else_seen {
            return tight_alert(line, "'.else' after '.else' is not permitted.", diagnostics);
        }
        block.else_seen = true;
        block.branch = match block.branch {
            Branch::NotYet => Branch::Taken,
            Branch::Taken | Branch::Done => Branch::Done,
        };
    }
}

/// Evaluates the condition of a `.if` or `.elif` line. HAProxy stops at a broken one; we read on without its
/// branches, so that the errors behind it are told in the same run.
fn decide(line: &Line, facts: &Facts, env: &Environment, diagnostics: &mut Diagnostics) -> Branch {
    let directive = line.word(0);
    let expression = line.texts()[1..].join(" ");
    match evaluate(&expression, facts, env) {
        Ok(true) => Branch::Taken,
        Ok(false) => Branch::NotYet,
        Err(error) => {
            // HAProxy shows the words as they were joined, not the line.
            let shown = format!("{directive} {expression}");
            let column = directive.len() + 1 + error.offset + 1;
            let text = format!(
                "{} in '{directive}' at position {}:\n{}",
                error.text,
                error.offset + 1,
                pointed(&bytes_of(&shown), column as u32)
            );
            tight_alert(line, &text, diagnostics);
            Branch::Done
        }
    }
}

fn tight_alert(line: &Line, text: &str, diagnostics: &mut Diagnostics) {
    diagnostics.at_tight(Severity::Alert, line, 0, text);
}

fn say(line: &Line, severity: Severity, diagnostics: &mut Diagnostics) {
    if refuse_argument(line, 2, " Use quotes if the message should contain spaces.", diagnostics) {
        diagnostics.at_tight(severity, line, 1, format!("'{}'.", line.word(1)));
    }
}

/// False, with an alert, if the line has a word at `index`.
fn refuse_argument(line: &Line, index: usize, hint: &str, diagnostics: &mut Diagnostics) -> bool {
    let (word, directive) = (line.word(index), line.word(0));
    if !word.is_empty() {
        tight_alert(line, &format!("Unexpected argument '{word}' for '{directive}'.{hint}"), diagnostics);
    }
    word.is_empty()
}

/// `-cc`: the exit code (0 true, 1 false, 2 broken) and the alert's text.
pub fn check_condition(expression: &str, facts: &Facts, env: &Environment) -> (i32, Option<String>) {
    match evaluate(expression, facts, env) {
        Ok(true) => (0, None),
        Ok(false) => (1, None),
        Err(error) => (2, Some(format!("Failed to evaluate condition: {}", error.text))),
    }
}

/// Why a condition cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    /// HAProxy's text up to " in '.if'".
    pub text: String,
    /// Where, in bytes from 0.
    pub offset: usize,
}

/// The value of a condition. All of it must be well-formed, also what does not decide; an empty one is false.
pub fn evaluate(expression: &str, facts: &Facts, env: &Environment) -> Result<bool, ConditionError> {
    let mut parser = Parser { text: expression, at: 0, facts, env, depth: 0 };
    parser.blanks();
    if parser.rest().is_empty() {
        return Ok(false);
    }
    let value = parser.alternatives()?;
    parser.blanks();
    match parser.rest().chars().next() {
        None => Ok(value),
        Some(c) => {
            let text = format!("unexpected character '{c}' at the end of conditional expression '{expression}'");
            parser.fail(text, parser.at)
        }
    }
}

/// Nested parentheses beyond this are refused, so that no expression can exhaust the stack.
const DEPTH_MAX: usize = 1024;

/// `alternatives := all { "||" all }`, `all := term { "&&" term }`, `term := "!" term | "(" alternatives ")" | number
/// | predicate [ "(" arguments ")" ]`.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    facts: &'a Facts,
    env: &'a Environment,
    depth: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    fn fail<T>(&self, text: String, offset: usize) -> Result<T, ConditionError> {
        Err(ConditionError { text, offset })
    }

    fn eat(&mut self, token: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn alternatives(&mut self) -> Result<bool, ConditionError> {
        self.blanks();
        let start = self.at;
        let mut value = self.all()?;
        while self.operator("||", Some(start))? {
            value |= self.all()?;
        }
        Ok(value)
    }

    fn all(&mut self) -> Result<bool, ConditionError> {
        let mut value = self.term()?;
        while self.operator("&&", None)? {
            value &= self.term()?;
        }
        Ok(value)
    }

    /// Eats an operator, which must have something behind it. HAProxy quotes from `quoted`, or from the operator.
    fn operator(&mut self, token: &str, quoted: Option<usize>) -> Result<bool, ConditionError> {
        self.blanks();
        let start = self.at;
        let found = self.eat(token);
        if found && self.nothing_left() {
            return self.unparsable(quoted.unwrap_or(start), start);
        }
        Ok(found)
    }

    fn nothing_left(&mut self) -> bool {
        self.blanks();
        self.rest().is_empty()
    }

    fn unparsable<T>(&self, from: usize, offset: usize) -> Result<T, ConditionError> {
        self.fail(format!("unparsable conditional expression '{}'", &self.text[from..]), offset)
    }

    fn term(&mut self) -> Result<bool, ConditionError> {
        self.blanks();
        let start = self.at;
        let mut negated = false;
        while self.eat("!") {
            negated = !negated;
        }
        Ok(self.plain_term(start)? != negated)
    }

    /// A term without its negations, which begin at `start`.
    fn plain_term(&mut self, start: usize) -> Result<bool, ConditionError> {
        if self.nothing_left() {
            return self.unparsable(start, start);
        }
        if self.eat("(") {
            if self.nothing_left() {
                return self.unparsable(start, start);
            }
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return self.fail("too many nested terms in conditional expression".to_owned(), start);
            }
            let value = self.alternatives()?;
            self.depth -= 1;
            if !self.eat(")") {
                let text = format!("expected ')' after conditional expression '{}'", &self.text[start..]);
                return self.fail(text, start);
            }
            return Ok(value);
        }
        match self.number() {
            Some(value) => Ok(value),
            None => self.predicate(self.at),
        }
    }

    fn number(&mut self) -> Option<bool> {
        let rest = self.rest();
        let digits = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return None;
        }
        let value = digits[..count].bytes().any(|b| b != b'0');
        self.at += rest.len() - digits.len() + count;
        Some(value)
    }

    fn predicate(&mut self, start: usize) -> Result<bool, ConditionError> {
        let rest = self.rest();
        let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let Some(predicate) = PREDICATES.iter().find(|p| p.name == &rest[..length]) else {
            return self.unparsable(start, start);
        };
        self.at += length;
        let arguments = self.arguments(predicate)?;
        let first = arguments.first().map_or("", String::as_str);
        let second = arguments.get(1).map_or("", String::as_str);
        match (predicate.holds)(self.facts, self.env, first, second) {
            Some(value) => Ok(value),
            None => {
                let name = predicate.name;
                let text = format!("invalid argument to conditional expression predicate '{name}': '{first}'");
                // HAProxy points behind the predicate here.
                self.fail(text, self.at)
            }
        }
    }

    /// The arguments in parentheses, quoted as everywhere in expressions (manual 2.2: the same but for `\#`, `\$`,
    /// `\x`).
    fn arguments(&mut self, predicate: &Predicate) -> Result<Vec<String>, ConditionError> {
        let (name, wanted) = (predicate.name, predicate.arguments);
        if !self.rest().starts_with('(') {
            return Ok(Vec::new());
        }
        self.at += 1;
        let mut found = Vec::new();
        loop {
            let (argument, length, closed) = argument(self.rest());
            if !closed {
                let text = format!(
                    "expected ')' in argument {} of predicate '{name}' used in conditional expression",
                    found.len() + 1
                );
                return self.fail(text, self.text.len());
            }
            self.at += length;
            found.push(argument);
            if self.rest().starts_with(')') {
                break;
            }
            if found.len() == wanted {
                let text = format!(
                    "expected ')' before '{}' in argument {} of predicate '{name}' used in conditional expression",
                    self.rest(),
                    // HAProxy counts from 0 but for the first.
                    (wanted - 1).max(1)
                );
                return self.fail(text, self.at);
            }
            self.at += 1;
        }
        if found.len() < wanted {
            let text = format!(
                "missing arguments (got {}/{wanted}), type 'string' expected in argument {} of predicate '{name}' \
                 used in conditional expression",
                found.len(),
                found.len()
            );
            return self.fail(text, self.at);
        }
        self.at += 1;
        Ok(found)
    }
}

/// The argument at the start of `text`, its length there, and whether `,` or `)` ends it.
fn argument(text: &str) -> (String, usize, bool) {
    let mut value = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, ',' | ')') => return (value, at, true),
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None | Some('"'), '\\') => match text[at + 1..].chars().next() {
                Some(e @ (' ' | '\\' | '"' | '\'' | ',' | ')')) => {
                    value.push(e);
                    chars.next();
                }
                Some(e @ ('n' | 'r' | 't')) => {
                    value.push(match e {
                        'n' => '\n',
                        'r' => '\r',
                        _ => '\t',
                    });
                    chars.next();
                }
                _ => value.push('\\'),
            },
            _ => value.push(c),
        }
    }
    (value, text.len(), false)
}

struct Predicate {
    name: &'static str,
    arguments: usize,
    /// `None`: the first argument makes no sense.
    holds: fn(&Facts, &Environment, &str, &str) -> Option<bool>,
}

/// Manual 2.4, "The list of currently supported predicates".
const PREDICATES: [Predicate; 13] = [
    // We speak to no AWS-LC: rustls does, and its API number is not ours to tell. HAProxy without it errs here too.
    Predicate { name: "awslc_api_atleast", arguments: 1, holds: |_, _, _, _| None },
    Predicate { name: "awslc_api_before", arguments: 1, holds: |_, _, _, _| None },
    Predicate { name: "defined", arguments: 1, holds: |_, env, a, _| Some(env.get(a).is_some()) },
    Predicate { name: "enabled", arguments: 1, holds: |facts, _, a, _| Some(facts.enabled.contains(&a)) },
    Predicate { name: "feature", arguments: 1, holds: |facts, _, a, _| Some(facts.features.contains(&a)) },
    Predicate {
        name: "openssl_version_atleast",
        arguments: 1,
        holds: |facts, _, a, _| Some(release(facts.openssl_version) >= Some(release(a)?)),
    },
    Predicate {
        name: "openssl_version_before",
        arguments: 1,
        holds: |facts, _, a, _| Some(release(facts.openssl_version) < Some(release(a)?)),
    },
    Predicate {
        name: "ssllib_name_startswith",
        arguments: 1,
        holds: |facts, _, a, _| Some(!a.is_empty() && facts.tls_library.starts_with(a)),
    },
    Predicate { name: "streq", arguments: 2, holds: |_, _, a, b| Some(a == b) },
    Predicate { name: "strneq", arguments: 2, holds: |_, _, a, b| Some(a != b) },
    Predicate { name: "strstr", arguments: 2, holds: |_, _, a, b| Some(a.contains(b)) },
    Predicate {
        name: "version_atleast",
        arguments: 1,
        holds: |_, _, a, _| Some(version(super::PERSONALITY) >= version(a)),
    },
    Predicate {
        name: "version_before",
        arguments: 1,
        holds: |_, _, a, _| Some(version(super::PERSONALITY) < version(a)),
    },
];

/// An OpenSSL version such as `3.0.0` or `1.1.1g`: its numbers, then its letter. `None`: it is none.
fn release(text: &str) -> Option<([u32; 3], String)> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(text.split('.')) {
        *number = leading_number(part);
    }
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    Some((numbers, letters.to_owned()))
}

/// `major.minor.patch`, then whether it is a release (a `-devN` sorts before it), then N. Missing parts are 0.
fn version(text: &str) -> [u32; 5] {
    let mut parts = [0; 5];
    let (numbers, dev) = match text.split_once("-dev") {
        Some((numbers, dev)) => (numbers, Some(dev)),
        None => (text, None),
    };
    for (part, number) in parts.iter_mut().zip(numbers.split('.').take(3)) {
        *part = leading_number(number);
    }
    parts[3] = u32::from(dev.is_none());
    parts[4] = dev.map_or(0, leading_number);
    parts
}

fn leading_number(text: &str) -> u32 {
    text.bytes()
        .take_while(u8::is_ascii_digit)
        .fold(0, |n: u32, b| n.saturating_mul(10).saturating_add(u32::from(b - b'0')))
}

#[cfg(test)]
mod tests;
