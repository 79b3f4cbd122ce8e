//! Reading a format: text, `%tag`, `%{flags}tag`, `%(name)tag`, `%[expression]`, `%%`.

use super::escape::Style;
use super::tag::Tag;
use super::{LogFormat, Step, Usage};
use crate::language::parse::Parse;
use crate::language::sample::Expr;
use crate::language::words;

impl LogFormat {
    /// Compiles a format. The error is HAProxy's text.
    pub fn parse(text: &str, usage: Usage, p: &mut Parse<'_>) -> Result<LogFormat, String> {
        let mut reader = Reader { text, at: 0, steps: Vec::new(), literal: Vec::new(), style: Style::new(usage) };
        while reader.at < text.len() {
            reader.step(p)?;
        }
        reader.flush();
        Ok(LogFormat { steps: reader.steps, usage, text: text.into() })
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    steps: Vec<Step>,
    literal: Vec<u8>,
    /// Flags that `%{…}o` set for all that follows.
    style: Style,
}

impl Reader<'_> {
    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.steps.push(Step::Text(std::mem::take(&mut self.literal).into()));
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn step(&mut self, p: &mut Parse<'_>) -> Result<(), String> {
        let byte = self.text.as_bytes()[self.at];
        match byte {
            b' ' if self.style.usage.is_log() => {
                self.flush();
                if !matches!(self.steps.last(), Some(Step::Separator)) {
                    self.steps.push(Step::Separator);
                }
                self.at += 1;
            }
            b'%' if self.rest().starts_with("%%") => {
                self.literal.push(b'%');
                self.at += 2;
            }
            b'%' => {
                self.at += 1;
                self.item(p)?;
            }
            _ => {
                self.literal.push(byte);
                self.at += 1;
            }
        }
        Ok(())
    }

    /// What follows a `%`.
    fn item(&mut self, p: &mut Parse<'_>) -> Result<(), String> {
        if self.rest().is_empty() {
            return Err("truncated line after '%'".into());
        }
        let mut style = self.style;
        if self.rest().starts_with('(') {
            let Some(end) = self.rest().find(')') else {
                return Err(format!("truncated line after '{}'", &self.rest()[1..]));
            };
            self.at += end + 1;
        }
        if self.rest().starts_with('{') {
            let Some(end) = self.rest().find('}') else {
                return Err(format!("truncated line after '{}'", &self.rest()[1..]));
            };
            style = flags(&self.text[self.at + 1..self.at + end], style)?;
            self.at += end + 1;
        }
        if self.rest().starts_with('[') {
            return self.expression(style, p);
        }
        let name = self.rest();
        let len = name.bytes().take_while(u8::is_ascii_alphanumeric).count();
        // The longest tag counts: `%hrl` before `%hr`, `%Tsx` is `%Ts` and an x.
        let found = (1..=len).rev().find_map(|n| Tag::find(&name[..n]).map(|t| (t, n)));
        let Some((tag, used)) = found else {
            let name = &name[..len];
            return Err(format!(
                "no such format alias '{name}'. If you wanted to emit the '%' character verbatim, you need to use '%%'"
            ));
        };
        self.at += used;
        self.flush();
        match tag {
            Tag::Options => self.style = style,
            tag => self.steps.push(Step::Tag(tag, style)),
        }
        Ok(())
    }

    fn expression(&mut self, style: Style, p: &mut Parse<'_>) -> Result<(), String> {
        let inner = &self.text[self.at + 1..];
        let (expr, used) =
            Expr::parse(inner, true, p).map_err(|e| format!("failed to parse sample expression <{inner}> : {e}"))?;
        match inner[used..].chars().next() {
            Some(']') => {}
            Some(other) if !other.is_whitespace() => {
                return Err(format!("expected ']' after '{}', but found '{other}'", expr.text));
            }
            _ => return Err(format!("missing ']' after '{}'", expr.text)),
        }
        expr.check_scope(p)?;
        self.at += 1 + used + 1;
        self.flush();
        self.steps.push(Step::Expr(Box::new(expr), style));
        Ok(())
    }
}

/// `+Q,-X` and so on. Unknown flags are passed over, as HAProxy does.
fn flags(text: &str, mut style: Style) -> Result<Style, String> {
    for flag in text.split(',') {
        let (on, name) = match flag.as_bytes().first() {
            Some(b'+') => (true, &flag[1..]),
            Some(b'-') => (false, &flag[1..]),
            _ => continue,
        };
        match name {
            "Q" => style.quote = on,
            "E" => style.escape = on,
            "X" => style.hex = on,
            "bin" | "json" | "cbor" if on => return Err(words::unsupported(&format!("%{{+{name}}}"))),
            _ => {}
        }
    }
    Ok(style)
}
