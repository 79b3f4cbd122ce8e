//! The words of `stick-table`, and of `table` in a `peers` section (manual 11.1).

use super::{
    absent,
    args::{Args, Bare, Fault, TimeFault, size, time_ms},
};
use crate::config::section::Loading;
use crate::model::stick_table::{KeyType, StickTable, StoredData};

/// What an entry may store: name, and whether it takes a period (`rate`) or a number of elements (`array`).
pub struct DataType {
    pub name: &'static str,
    pub rate: bool,
    pub array: bool,
}

const fn d(name: &'static str, array: bool, rate: bool) -> DataType {
    DataType { name, rate, array }
}

pub static DATA_TYPES: &[DataType] = &[
    d("server_id", false, false),
    d("server_key", false, false),
    d("gpt", true, false),
    d("gpt0", false, false),
    d("gpc", true, false),
    d("gpc_rate", true, true),
    d("gpc0", false, false),
    d("gpc0_rate", false, true),
    d("gpc1", false, false),
    d("gpc1_rate", false, true),
    d("conn_cnt", false, false),
    d("conn_rate", false, true),
    d("conn_cur", false, false),
    d("sess_cnt", false, false),
    d("sess_rate", false, true),
    d("http_req_cnt", false, false),
    d("http_req_rate", false, true),
    d("http_err_cnt", false, false),
    d("http_err_rate", false, true),
    d("http_fail_cnt", false, false),
    d("http_fail_rate", false, true),
    d("bytes_in_cnt", false, false),
    d("bytes_in_rate", false, true),
    d("bytes_out_cnt", false, false),
    d("bytes_out_rate", false, true),
    d("glitch_cnt", false, false),
    d("glitch_rate", false, true),
];

/// Bytes of a string or binary key when `len` is not written, the terminating NUL of a string left out.
const STRING_LENGTH: usize = 31;
const BINARY_LENGTH: usize = 32;
/// Elements of an array type at most.
const ARRAY_MAX: u32 = 100;

/// Reads the words from `at` on. `keyword` starts the messages.
pub fn read(
    cx: &mut Loading<'_>,
    a: &Args<'_>,
    mut at: usize,
    keyword: &str,
    name: String,
) -> Result<StickTable, Fault> {
    let mut table = StickTable {
        origin: a.origin(),
        name,
        key: KeyType::Ip,
        size: 0,
        nopurge: false,
        expire_ms: None,
        peers: None,
        server_key_address: false,
        write_to: None,
        recv_only: false,
        store: Vec::new(),
    };
    let mut sized = false;
    let say = |at: usize, text: String| Err(a.fault(at, format!("{keyword}: {text}")));
    while !a.get(at).is_empty() {
        let value = a.get(at + 1);
        match a.get(at) {
            "size" => {
                if value.is_empty() {
                    return say(at + 1, "missing argument after 'size'.".to_owned());
                }
                match size(value) {
                    Ok(n) => table.size = n,
                    Err(rest) => {
                        let c = rest.chars().next().unwrap_or(' ');
                        return say(at + 1, format!("unexpected character '{c}' in argument of 'size'."));
                    }
                }
                sized = table.size > 0;
                at += 2;
            }
            "expire" => {
                table.expire_ms = Some(delay(a, at + 1, keyword, "expire")?).filter(|&ms| ms > 0);
                at += 2;
            }
            "type" => (table.key, at) = key_type(a, at + 1, keyword)?,
            "nopurge" => {
                table.nopurge = true;
                at += 1;
            }
            "recv-only" => {
                table.recv_only = true;
                at += 1;
            }
            "peers" => {
                if value.is_empty() {
                    return say(at + 1, "missing argument after 'peers'.".to_owned());
                }
                table.peers = Some(value.to_owned());
                at += 2;
            }
            "srvkey" => {
                table.server_key_address = match value {
                    "name" => false,
                    "addr" => true,
                    other => return Err(a.fault(at + 1, format!("{keyword} : unknown server key type '{other}'."))),
                };
                at += 2;
            }
            "write-to" => {
                if value.is_empty() {
                    return Err(a.fault(at + 1, format!("{keyword} : write-to requires table name.")));
                }
                table.write_to = Some(value.to_owned());
                at += 2;
            }
            "store" => {
                for name in store(a, at + 1, keyword, &mut table.store)? {
                    cx.warn_tight(a, at + 1, format!("{keyword}: store option '{name}' already enabled, ignored."));
                }
                at += 2;
            }
            "brates-factor" => return Err(a.fault(at, absent::text("brates-factor"))),
            other => return say(at, format!("unknown argument '{other}'.")),
        }
    }
    if !sized {
        return say(a.len(), "missing size.".to_owned());
    }
    Ok(table)
}

fn delay(a: &Args<'_>, at: usize, keyword: &str, what: &str) -> Result<u64, Fault> {
    let word = a.get(at);
    time_ms(word, Bare::Ms).map_err(|fault| match fault {
        TimeFault::Char('\0') => a.fault(at, format!("{keyword}: missing argument after '{what}'.")),
        TimeFault::Char(c) => a.fault(at, format!("{keyword}: unexpected character '{c}' in argument of '{what}'.")),
        TimeFault::Overflow => {
            let text = format!(
                "{keyword}: timer overflow in argument '{word}' to '{what}' (maximum value is 2147483647 ms or ~24.8 days)."
            );
            a.fault(at, text)
        }
    })
}

/// The type at `at` and its `len`; also the index of the word after them.
fn key_type(a: &Args<'_>, at: usize, keyword: &str) -> Result<(KeyType, usize), Fault> {
    let simple = match a.get(at) {
        "ip" | "ipv4" => Some(KeyType::Ip),
        "ipv6" => Some(KeyType::Ipv6),
        "integer" => Some(KeyType::Integer),
        "string" | "binary" => None,
        other => return Err(a.fault(at, format!("{keyword}: unknown type '{other}'."))),
    };
    if let Some(key) = simple {
        return Ok((key, at + 1));
    }
    let string = a.get(at) == "string";
    let default = if string { STRING_LENGTH } else { BINARY_LENGTH };
    let (length, next) = match a.get(at + 1) {
        "len" => match a.get(at + 2).parse::<usize>() {
            Ok(n @ 1..) => (n, at + 3),
            _ => return Err(a.fault(at + 2, "'len' expects a positive integer argument.")),
        },
        _ => (default, at + 1),
    };
    Ok((if string { KeyType::String(length) } else { KeyType::Binary(length) }, next))
}

/// A comma-separated list; the commas in parentheses belong to the arguments.
fn store(a: &Args<'_>, at: usize, keyword: &str, list: &mut Vec<StoredData>) -> Result<Vec<&'static str>, Fault> {
    let mut repeated = Vec::new();
    let mut rest = a.get(at);
    while !rest.is_empty() {
        let end = rest.find([',', '(']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (arguments, after) = match after.strip_prefix('(') {
            Some(inside) => match inside.split_once(')') {
                Some((arguments, after)) => (Some(arguments), after),
                None => {
                    return Err(a.fault(at, format!("{keyword}: missing closing parenthesis after '{name}'.")));
                }
            },
            None => (None, after),
        };
        rest = after.strip_prefix(',').unwrap_or(after);
        let stored = data(a, at, keyword, name.trim(), arguments)?;
        if list.iter().any(|d| d.name == stored.name) {
            repeated.push(stored.name);
            continue;
        }
        list.push(stored);
    }
    for (array, single) in
        [("gpc", ["gpc0", "gpc1"]), ("gpc_rate", ["gpc0_rate", "gpc1_rate"]), ("gpt", ["gpt0", "gpt0"])]
    {
        if list.iter().any(|d| d.name == array) && list.iter().any(|d| single.contains(&d.name)) {
            let shown = match array {
                "gpc" => "gpc[0/1]",
                "gpc_rate" => "gpc[0/1]_rate",
                _ => "gpt0",
            };
            let text = format!(
                "{keyword}: simultaneous usage of '{array}' and '{shown}' in a same table is not permitted as '{array}' \
                 overrides '{shown}'."
            );
            return Err(a.fault(at, text));
        }
    }
    Ok(repeated)
}

fn data(a: &Args<'_>, at: usize, keyword: &str, name: &str, arguments: Option<&str>) -> Result<StoredData, Fault> {
    let Some(kind) = DATA_TYPES.iter().find(|d| d.name == name) else {
        return Err(a.fault(at, format!("{keyword}: unknown store option '{name}'.")));
    };
    let mut stored = StoredData { name: kind.name, elements: 1, period_ms: None };
    if !kind.array && !kind.rate {
        return match arguments {
            None => Ok(stored),
            Some(_) => Err(a.fault(at, format!("{keyword}: unexpected argument to store option '{name}'."))),
        };
    }
    let Some(arguments) = arguments else {
        return Err(a.fault(at, format!("{keyword}: missing argument to store option '{name}'.")));
    };
    let mut words = arguments.split(',').map(str::trim);
    if kind.array {
        let word = words.next().unwrap_or_default();
        match word.parse::<u32>() {
            Ok(n) if (1..=ARRAY_MAX).contains(&n) => stored.elements = n,
            _ => {
                let text = format!(
                    "{keyword}: array size is out of allowed range (1-{ARRAY_MAX}) for store option '{name}'."
                );
                return Err(a.fault(at, text));
            }
        }
    }
    if kind.rate {
        let word = words.next().unwrap_or_default();
        match time_ms(word, Bare::Ms) {
            Ok(ms @ 1..) => stored.period_ms = Some(ms),
            _ => {
                return Err(a.fault(at, format!("{keyword}: error when processing store option '{name}'.")));
            }
        }
    }
    Ok(stored)
}
