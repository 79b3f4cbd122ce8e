//! `map` and its kin (manual 7.3.1): eleven matching methods by four kinds of values.

use super::{Convert, row};
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::pattern::Method;
use crate::language::pattern::map::{Default, Map, Output};
use crate::language::sample::cast::parse_ip;
use crate::language::sample::{Arg, Args, Sample, Type};
use std::sync::Arc;

const TEXT: &str = "string[,string]";
const NUMBER: &str = "string[,integer]";

/// The rows of one matching method.
macro_rules! methods {
    ($($name:ident, $word:literal, $method:expr, $input:expr);* $(;)?) => {
        $(const $name: &[Convert] = &[
            row(concat!("map_", $word), TEXT, $input, Type::Str, lookup).checked(|a, p| open(a, p, $method, Output::Str)),
            row(concat!("map_", $word, "_int"), NUMBER, $input, Type::Sint, lookup)
                .checked(|a, p| open(a, p, $method, Output::Int)),
            row(concat!("map_", $word, "_ip"), TEXT, $input, Type::Addr, lookup)
                .checked(|a, p| open(a, p, $method, Output::Ip)),
            row(concat!("map_", $word, "_key"), "string", $input, Type::Str, lookup)
                .checked(|a, p| open(a, p, $method, Output::Key)),
        ];)*
        /// Families of rows, a method each.
        pub const FAMILIES: &[&[Convert]] = &[OTHER, $($name),*];
    };
}

const OTHER: &[Convert] = &[
    row("map", TEXT, Type::Str, Type::Str, lookup).checked(|a, p| open(a, p, Method::Str, Output::Str)),
    row("map_regm", TEXT, Type::Str, Type::Str, lookup).checked(|a, p| open(a, p, Method::Regm, Output::Str)),
];

methods! {
    STR, "str", Method::Str, Type::Str;
    BEG, "beg", Method::Beg, Type::Str;
    SUB, "sub", Method::Sub, Type::Str;
    DIR, "dir", Method::Dir, Type::Str;
    DOM, "dom", Method::Dom, Type::Str;
    END, "end", Method::End, Type::Str;
    REG, "reg", Method::Reg, Type::Str;
    INT, "int", Method::Int, Type::Sint;
    IP, "ip", Method::Ip, Type::Addr;
}

/// Opens the map's file and checks its values and the default.
fn open(args: &mut Args, p: &mut Parse<'_>, method: Method, output: Output) -> Result<(), String> {
    let file = args.text(0).unwrap_or_default().to_owned();
    let reader = p.files;
    let source = p.patterns.file(&file, true, &p.origin, |path| reader.read(path))?;
    source.used_by(format!("map at file '{}' line {}", p.origin.file, p.origin.line));
    let default = match (args.get(1), output) {
        (Arg::Int(n), _) => Some(Default::Int(*n)),
        (Arg::Str(text), Output::Ip) => Some(Default::Ip(
            parse_ip(text)
                .ok_or_else(|| format!("cannot parse default value '{}'", String::from_utf8_lossy(text)))?,
        )),
        (Arg::Str(text), _) => Some(Default::Str(text.clone())),
        _ => None,
    };
    let map = Map { set: source.set(method, false)?, output, default };
    map.check_values()?;
    args.put(0, Arg::Map(Arc::new(map)));
    Ok(())
}

fn lookup<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    match args.get(0) {
        Arg::Map(map) => map.lookup(&sample, cx),
        _ => None,
    }
}
