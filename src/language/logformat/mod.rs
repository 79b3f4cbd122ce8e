//! log-format (manual 8.2.6): text with `%tags` and `%[expressions]`, compiled to a list of steps that append to a
//! buffer. The same language gives headers, paths, replies and names their values.

mod date;
mod escape;
mod parse;
mod tag;

pub use date::{Civil, write_clf, write_local, write_log_date};

use super::context::Context;
use super::sample::Expr;
use escape::Style;
use tag::Tag;

/// Every tag's name.
#[cfg(test)]
pub fn tag_names() -> &'static [&'static str] {
    Tag::NAMES
}

/// `option httplog` (manual 8.2.3).
pub const HTTP: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq \
                        %hr %hs %{+Q}r";
/// `option httpslog` (manual 8.2.4).
pub const HTTPS: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq \
                         %hr %hs %{+Q}r %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] \
                         %[ssl_fc_sni]/%sslv/%sslc";
/// `option tcplog` (manual 8.2.2).
pub const TCP: &str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";
/// `option httplog clf`.
pub const HTTP_CLF: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac \
                            %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";
/// `option tcplog clf`.
pub const TCP_CLF: &str = "%{+Q}o %{-Q}ci - - [%T] \"TCP \" 000 %B \"\" \"\" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U %ts-- \
                           %ac %fc %bc %sc %rc %sq %bq \"\" \"\" ";

/// What a format is for: log lines mark absent values by `-` and mask what would break a line; other uses take
/// values as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Log,
    /// RFC 5424 structured data: quotes and brackets are escaped.
    StructuredData,
    /// Bodies, variables, names.
    Value,
    /// Header values and request lines: control characters but TAB become `%XX`.
    Header,
}

impl Usage {
    /// Whether absent values are marked and what could break a log line is masked.
    pub fn is_log(self) -> bool {
        matches!(self, Usage::Log | Usage::StructuredData)
    }
}

/// A compiled format.
#[derive(Debug)]
pub struct LogFormat {
    steps: Vec<Step>,
    usage: Usage,
    /// The words it was read from.
    pub text: Box<str>,
}

#[derive(Debug)]
enum Step {
    Text(Box<[u8]>),
    /// A blank, left out after another one.
    Separator,
    Tag(Tag, Style),
    Expr(Box<Expr>, Style),
}

impl LogFormat {
    /// Appends the line.
    pub fn write(&self, cx: &Context<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        for step in &self.steps {
            match step {
                Step::Text(text) => out.extend_from_slice(text),
                Step::Separator => {
                    if out.len() > start && out.last() != Some(&b' ') || (out.len() == start && !self.usage.is_log())
                    {
                        out.push(b' ');
                    }
                }
                Step::Tag(tag, style) => tag.write(cx, *style, out),
                Step::Expr(expr, style) => escape::write_sample(expr.eval(cx).as_ref(), *style, out),
            }
        }
    }

    /// The text when it does not depend on anything.
    pub fn constant(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for step in &self.steps {
            match step {
                Step::Text(text) => out.extend_from_slice(text),
                Step::Separator => out.push(b' '),
                _ => return None,
            }
        }
        Some(out)
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it reads the response: such a log line must wait for it.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.steps.iter().filter_map(|s| if let Step::Expr(e, _) = s { Some(&**e) } else { None })
    }
}
