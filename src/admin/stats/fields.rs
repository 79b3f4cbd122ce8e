//! A field of `show stat`: its place in the catalogue, its type and tags, and where its value comes from for each kind
//! of object.

use super::Scene;
use crate::model::{
    plan::{ProxyIndex, ServerIndex},
    proxy::Mode,
    state::counters::*,
};
use std::borrow::Cow;
use std::fmt;

/// What a line of statistics is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    Frontend(ProxyIndex),
    Listener(ProxyIndex, usize),
    Backend(ProxyIndex),
    Server(ProxyIndex, ServerIndex),
}

impl Object {
    pub fn proxy(self) -> ProxyIndex {
        match self {
            Object::Frontend(p) | Object::Listener(p, _) | Object::Backend(p) | Object::Server(p, _) => p,
        }
    }

    /// Position of the kind in [`Field::sources`].
    fn kind(self) -> usize {
        match self {
            Object::Frontend(_) => 0,
            Object::Listener(..) => 1,
            Object::Backend(_) => 2,
            Object::Server(..) => 3,
        }
    }

    /// First letter of typed lines.
    pub fn letter(self) -> char {
        ['F', 'L', 'B', 'S'][self.kind()]
    }

    pub fn name(self) -> &'static str {
        ["Frontend", "Listener", "Backend", "Server"][self.kind()]
    }
}

/// A value; `None` is an empty column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    None,
    U32(u32),
    U64(u64),
    S32(i32),
    Str(Cow<'a, str>),
}

impl<'a> Value<'a> {
    pub fn str(text: impl Into<Cow<'a, str>>) -> Value<'a> {
        Value::Str(text.into())
    }

    /// As text; empty for none.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Str(s) => Cow::Borrowed(s),
            other => other.to_string().into(),
        }
    }

    pub fn type_name(&self) -> &'static str {
        match self {
            Value::None => "",
            Value::U32(_) => "u32",
            Value::U64(_) => "u64",
            Value::S32(_) => "s32",
            Value::Str(_) => "str",
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Value::U32(n) => Some(*n as f64),
            Value::U64(n) => Some(*n as f64),
            Value::S32(n) => Some(*n as f64),
            _ => None,
        }
    }
}

/// As text; nothing for none.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => Ok(()),
            Value::U32(n) => n.fmt(f),
            Value::U64(n) => n.fmt(f),
            Value::S32(n) => n.fmt(f),
            Value::Str(s) => f.write_str(s),
        }
    }
}

/// The type of a field's counters; specials bring their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    U32,
    U64,
    S32,
    Str,
}

/// Where the value of a field comes from.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// The kind has no such field.
    No,
    /// The kind has the field, and nothing that counts it: a protocol that is not built in.
    Zero,
    Frontend(FrontendCounter),
    Listener(ListenerCounter),
    Backend(BackendCounter),
    Server(ServerCounter),
    Special(for<'a> fn(&Scene<'a>, Object) -> Value<'a>),
}

#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    /// Origin, nature, scope and persistence (management guide 9.3 "show info typed").
    pub tags: &'static str,
    pub kind: Type,
    pub description: &'static str,
    /// For frontends, listeners, backends, servers.
    pub sources: [Source; 4],
    /// Kinds, by bit, that have the field in `mode http` only.
    pub http_only: u8,
}

impl Field {
    pub fn value<'a>(&self, scene: &Scene<'a>, object: Object) -> Value<'a> {
        let proxy = object.proxy();
        if self.http_only & 1 << object.kind() != 0 && scene.plan.proxies[proxy].mode != Mode::Http {
            return Value::None;
        }
        let number = match (self.sources[object.kind()], object) {
            (Source::No, _) => return Value::None,
            (Source::Special(value), _) => return value(scene, object),
            (Source::Frontend(id), _) => scene.board.frontend(proxy, id),
            (Source::Backend(id), _) => scene.board.backend(proxy, id),
            (Source::Listener(id), Object::Listener(_, bind)) => scene.board.listener(proxy, bind, id),
            (Source::Server(id), Object::Server(_, server)) => scene.board.server(proxy, server, id),
            _ => 0,
        };
        match self.kind {
            Type::U32 => Value::U32(number as u32),
            Type::S32 => Value::S32(number as i32),
            _ => Value::U64(number),
        }
    }
}
