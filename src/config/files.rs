//! The configuration's files, one line at a time: several `-f` in order, directories, what HAProxy says about files
//! that cannot be read or are cut short (management guide 3, "-f"). Lines are pulled, because `setenv` in one line
//! changes how the next ones expand. Knows no keyword and no section.

use std::{ffi::OsStr, fs, io, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

use super::{
    diagnostic::{Diagnostics, Message, Severity, suggest},
    env::Environment,
    lexer::{Lexed, Line, Place, lex, text_of},
    preprocess::{Facts, Preprocessor, Taken},
};
use crate::base::origin::Origin;

/// What the reader hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A file begins; the section of the one before does not continue in it.
    File(Arc<str>),
    /// A line that `.if` does not exclude, with at least one word.
    Line(Line),
}

/// A file in memory.
#[derive(Clone, Debug)]
pub struct Source {
    /// As messages name it: the path as it was given; below a directory `dir/` it is `dir//x.cfg`.
    pub name: String,
    pub content: Vec<u8>,
}

/// Finds and reads the files that `-f` arguments name, in reading order. All of HAProxy's: a directory gives its
/// `*.cfg` files except dot-files, sorted by bytes. The error is HAProxy's text.
pub fn load(arguments: &[String]) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for argument in arguments {
        let cannot =
            |what: &str, error: &io::Error| format!("config : Cannot open {what} {argument} : {}", reason(error));
        let meta = fs::metadata(argument).map_err(|e| cannot("configuration file/directory", &e))?;
        let names = match meta.is_dir() {
            true => directory(argument).map_err(|e| cannot("configuration directory", &e))?,
            false => vec![argument.clone()],
        };
        for name in names {
            let content = fs::read(&name)
                .map_err(|e| format!("config : Could not open configuration file {name} : {}", reason(&e)))?;
            sources.push(Source { name, content });
        }
    }
    Ok(sources)
}

/// The system's words for an error, without Rust's "(os error 2)".
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_owned()
}

fn directory(path: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let wanted = name.as_bytes().ends_with(b".cfg") && !name.as_bytes().starts_with(b".");
        if wanted && fs::metadata(entry.path()).is_ok_and(|m| m.is_file()) {
            names.push(name);
        }
    }
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names.iter().filter_map(|n: &std::ffi::OsString| n.to_str()).map(|n| format!("{path}/{n}")).collect())
}

/// Hands out the lines of all files.
pub struct Reader {
    sources: std::vec::IntoIter<Source>,
    open: Option<Open>,
    facts: Facts,
    section: String,
}

struct Open {
    name: Arc<str>,
    content: Vec<u8>,
    at: usize,
    line: u32,
    preprocessor: Preprocessor,
    /// The last line, where it does not end in LF.
    cut: Option<Vec<u8>>,
    /// Failures counted when the file was opened.
    failures_before: usize,
}

impl Reader {
    pub fn new(sources: Vec<Source>, facts: Facts) -> Self {
        Reader { sources: sources.into_iter(), open: None, facts, section: String::new() }
    }

    /// Tells what `${.SECTION}` is from here on: the section's name, or its type where it has none.
    pub fn enter_section(&mut self, name: &str) {
        name.clone_into(&mut self.section);
    }

    /// The next line or file; `None` at the end, or where reading cannot go on.
    pub fn next_line(&mut self, env: &mut Environment, diagnostics: &mut Diagnostics) -> Option<Event> {
        loop {
            let Some(open) = &mut self.open else {
                return self.next_file(diagnostics);
            };
            match open.next(&self.section, &self.facts, env, diagnostics) {
                Read::Line(line) => return Some(Event::Line(line)),
                Read::Nothing => {}
                Read::End => self.close(diagnostics),
                Read::Stop => {
                    self.close(diagnostics);
                    self.sources = Vec::new().into_iter();
                    diagnostics.abort();
                }
            }
        }
    }

    fn close(&mut self, diagnostics: &mut Diagnostics) {
        let Some(open) = self.open.take() else { return };
        if diagnostics.failures() > open.failures_before {
            let text = format!("config : Error(s) found in configuration file : {}", open.name);
            diagnostics.say(Severity::Alert, None, text);
        }
    }

    fn next_file(&mut self, diagnostics: &mut Diagnostics) -> Option<Event> {
        let source = self.sources.next()?;
        let name: Arc<str> = source.name.into();
        self.section.clear();
        self.open = Some(Open {
            name: Arc::clone(&name),
            content: source.content,
            at: 0,
            line: 0,
            preprocessor: Preprocessor::default(),
            cut: None,
            failures_before: diagnostics.failures(),
        });
        Some(Event::File(name))
    }
}

enum Read {
    Line(Line),
    /// An empty, excluded or bad line.
    Nothing,
    End,
    /// Nothing more is to be read, from no file.
    Stop,
}

impl Open {
    fn next(&mut self, section: &str, facts: &Facts, env: &Environment, diagnostics: &mut Diagnostics) -> Read {
        if self.at == self.content.len() {
            return self.finish(diagnostics);
        }
        let rest = &self.content[self.at..];
        let end = rest.iter().position(|&b| b == b'\n');
        let raw = rest[..end.unwrap_or(rest.len())].to_vec();
        self.at += raw.len() + usize::from(end.is_some());
        self.line += 1;
        let origin = Origin::new(Arc::clone(&self.name), self.line);
        let last = self.at == self.content.len();
        // HAProxy takes what follows a NUL for lost, and a file for cut short where its last line does not end.
        if let Some(offset) = raw.iter().position(|&b| b == 0) {
            let text = match last {
                true => missing_lf(offset + 1),
                false => format!("Stray NUL character at position {}.", offset + 1),
            };
            self.alert(&origin, &raw, offset as u32 + 1, text, diagnostics);
            return Read::Nothing;
        }
        if end.is_none() {
            self.cut = Some(raw.clone());
        }
        self.words(origin, &raw, section, facts, env, diagnostics)
    }

    fn words(
        &mut self,
        origin: Origin,
        raw: &[u8],
        section: &str,
        facts: &Facts,
        env: &Environment,
        diagnostics: &mut Diagnostics,
    ) -> Read {
        let place = Place { file: &self.name, line: self.line, section };
        let lexed = match lex(raw, place, env) {
            Ok(lexed) => lexed,
            Err(error) => {
                self.alert(&origin, raw, error.column, error.text(raw), diagnostics);
                return Read::Nothing;
            }
        };
        // A line whose first word is empty is no statement.
        if lexed.words.first().is_none_or(|w| w.text.is_empty()) {
            return Read::Nothing;
        }
        let Lexed { words, empty } = lexed;
        let line = Line { origin, raw: text_of(raw.trim_ascii_end()), words };
        match self.preprocessor.take(&line, facts, env, diagnostics) {
            Taken::Directive | Taken::Excluded => Read::Nothing,
            Taken::Stop => Read::Stop,
            Taken::Line => {
                let Some(empty) = empty else { return Read::Line(line) };
                self.alert(&line.origin, raw, empty.column, empty.text(raw), diagnostics);
                let names = env.iter().map(|(n, _)| n);
                if let Some(near) = empty.variable.as_deref().and_then(|v| suggest(v, names)) {
                    let text = format!("config : Hint: maybe you meant {near} instead ?");
                    diagnostics.say(Severity::Notice, Some(&line.origin), text);
                }
                Read::Nothing
            }
        }
    }

    fn finish(&mut self, diagnostics: &mut Diagnostics) -> Read {
        let origin = Origin::new(Arc::clone(&self.name), self.line);
        if let Some(raw) = self.cut.take() {
            self.alert(&origin, &raw, raw.len() as u32 + 1, missing_lf(raw.len() + 1), diagnostics);
        }
        if self.preprocessor.is_open() {
            self.alert(&origin, b"", 1, "non-terminated '.if' block.".to_owned(), diagnostics);
        }
        Read::End
    }

    fn alert(&self, origin: &Origin, raw: &[u8], column: u32, text: String, diagnostics: &mut Diagnostics) {
        diagnostics.push(Message {
            severity: Severity::Alert,
            text: format!("config : parsing [{origin}]: {text}"),
            origin: Some(origin.clone()),
            column: Some(column),
            raw_line: Some(text_of(raw)),
        });
    }
}

fn missing_lf(position: usize) -> String {
    format!("Missing LF on last line, file might have been truncated at position {position}.")
}

/// The path of a file with `OsStr` bytes kept, for callers that open what a word names.
pub fn path_of(word: &str) -> std::path::PathBuf {
    Path::new(OsStr::from_bytes(&super::lexer::bytes_of(word))).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, content: &[u8]) -> Source {
        Source { name: name.to_owned(), content: content.to_vec() }
    }

    /// Events and messages of some files, as text.
    fn read(sources: Vec<Source>) -> (Vec<String>, Vec<String>) {
        let mut env = Environment::default();
        env.set("HOME", "/root");
        let (mut diagnostics, mut events) = (Diagnostics::default(), Vec::new());
        let mut reader = Reader::new(sources, Facts::default());
        while let Some(event) = reader.next_line(&mut env, &mut diagnostics) {
            match event {
                Event::File(name) => events.push(format!("<{name}>")),
                Event::Line(line) => {
                    if line.word(0) == "setenv" {
                        env.set(line.word(1), line.word(2));
                    }
                    if line.word(0) == "global" {
                        reader.enter_section("global");
                    }
                    events.push(format!("{} {}", line.origin.line, line.texts().join("|")));
                }
            }
        }
        (events, diagnostics.messages().iter().map(|m| m.text.clone()).collect())
    }

    #[test]
    fn lines_see_what_the_ones_before_them_set() {
        let text =
            b"global\r\n setenv A b\r\n x \"$A\" \"${.SECTION}\"\n.if streq(\"$A\",b)\n y\n.else\n z\n.endif\n";
        let (events, said) = read(vec![source("a", text)]);
        assert_eq!(events, ["<a>", "1 global", "2 setenv|A|b", "3 x|b|global", "5 y"]);
        assert!(said.is_empty());
    }

    #[test]
    fn each_file_is_announced_and_starts_outside_sections() {
        let (events, _) = read(vec![source("a", b"global\n"), source("d//b.cfg", b"x\"${.SECTION}\"\n")]);
        assert_eq!(events, ["<a>", "1 global", "<d//b.cfg>", "1 x"]);
    }

    #[test]
    fn truncated_files_are_told() {
        let lf = |line, position| {
            format!(
                "config : parsing [f:{line}]: Missing LF on last line, file might have been truncated at position \
                 {position}."
            )
        };
        let error = "config : Error(s) found in configuration file : f".to_owned();
        let said = |content: &[u8]| read(vec![source("f", content)]).1;
        assert_eq!(said(b"global\n  daemon"), [lf(2, 9), error.clone()]);
        assert_eq!(said(b"global"), [lf(1, 7), error.clone()]);
        assert_eq!(said(b"global\n  da\0emon\n"), [lf(2, 5), error.clone()]);
        let nul = "config : parsing [f:2]: Stray NUL character at position 4.".to_owned();
        assert_eq!(said(b"global\n da\0emon\n foo\n"), [nul, error]);
        assert!(said(b"").is_empty());
    }

    #[test]
    fn bad_lines_are_told_and_left_out() {
        let (events, said) = read(vec![source("f", b"global\n foo \"abc\n foo \"${HOMEX}\"\n.if 1\n bar\n")]);
        assert_eq!(events, ["<f>", "1 global", "5 bar"]);
        assert!(said[0].starts_with("config : parsing [f:2]: unmatched quote at position 6:\n  foo \"abc\n      ^"));
        assert!(said[1].starts_with("config : parsing [f:3]: argument number 1 at position 9 is empty"));
        let tail = [
            "config : Hint: maybe you meant HOME instead ?",
            "config : parsing [f:5]: non-terminated '.if' block.",
            "config : Error(s) found in configuration file : f",
        ];
        assert_eq!(said[2..], tail);
    }

    #[test]
    fn an_alert_ends_all_reading() {
        let (events, said) = read(vec![source("f", b".alert x\n bar\n"), source("g", b"y\n")]);
        assert_eq!(events, ["<f>"]);
        assert_eq!(said, ["config : parsing [f:1]: 'x'.", "config : Error(s) found in configuration file : f"]);
    }

    #[test]
    fn directories_give_their_cfg_files_in_byte_order() {
        let root = std::env::temp_dir().join(format!("ringway-files-{}", std::process::id()));
        fs::create_dir_all(root.join("sub.cfg")).expect("a directory");
        for name in ["9.cfg", "10.cfg", ".h.cfg", "n.txt", "B.cfg", "a.cfg"] {
            fs::write(root.join(name), "global\n").expect("a file");
        }
        let path = format!("{}/", root.display());
        let names: Vec<String> =
            load(std::slice::from_ref(&path)).expect("readable").into_iter().map(|s| s.name).collect();
        let wanted = ["10.cfg", "9.cfg", "B.cfg", "a.cfg"].map(|n| format!("{path}/{n}"));
        let missing = load(&[format!("{path}nofile")]).expect_err("no such file");
        fs::remove_dir_all(&root).expect("removed");
        assert_eq!(names, wanted);
        let text = "config : Cannot open configuration file/directory";
        assert_eq!(missing, format!("{text} {path}nofile : No such file or directory"));
    }
}
