//! Stick tables (management guide 9.3 "show table", "set table", "clear table"): words become a [`Job`], entries become
//! text. Whoever owns the connection carries the job out, for entries live with the workers.

use crate::admin::runtime_api::{
    Answer, Call, Process, Severity,
    catalogue::{Command, command},
};
use crate::base::clock::Millis;
use crate::model::bind::Level;
use crate::model::stick_table::KeyType;
use crate::model::stick_table::data::{DataType, Layout};
use crate::model::stick_table::filter::{Filter, Operator};
use std::io::Write;

/// Rows for the catalogue. The level is looked at where HAProxy does: an unknown table is said to everyone.
pub static COMMANDS: &[Command] = &[
    command(
        &["clear", "table"],
        Level::User,
        clear,
        "clear table <table> [<filter>]*         : remove an entry from a table (filter: data/key)",
    ),
    command(
        &["set", "table"],
        Level::User,
        set,
        "set table <table> key <k> [data.* <v>]* : update or create a table entry's data",
    ),
    command(
        &["show", "table"],
        Level::User,
        show,
        "show table [<table> [<filter>]*]        : report table usage stats or dump this table's contents (filter: \
         data/key)",
    ),
];

/// Filters of a command at most.
const FILTERS_MAX: usize = 4;

/// A table as commands see it.
pub struct Table<'a> {
    pub number: u16,
    pub name: &'a str,
    pub key: KeyType,
    pub layout: &'a Layout,
    pub size: u64,
    pub used: u64,
    /// Servers are named by address.
    pub server_key_address: bool,
}

/// An entry as commands see it.
pub struct Entry<'a> {
    /// A number that no other entry has at this time: HAProxy shows an address.
    pub id: u64,
    pub key: &'a [u8],
    pub uses: u32,
    pub expires_ms: u64,
    pub words: &'a [u64],
}

/// What is to be done with entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    Show { table: u16, filters: Vec<Filter> },
    Clear { table: u16, filters: Vec<Filter> },
    One { table: u16, which: Which, act: Act },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    Key(Vec<u8>),
    /// The number that `show table` gave.
    Pointer(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Show,
    Clear,
    /// Values up to the first word that is wrong, and what is wrong with it: HAProxy stores while it reads.
    Set {
        values: Vec<(DataType, u32, u64)>,
        fault: Option<&'static str>,
    },
}

pub const NO_SUCH_POINTER: &str = "No entry can be found matching ptr.";
pub const IN_USE: &str = "Entry currently in use, cannot remove";
pub const FULL: &str = "Unable to allocate a new entry";

/// The line that a listing begins with.
pub fn write_head(table: &Table<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = writeln!(
        out,
        "# table: {}, type: {}, size:{}, used:{}",
        table.name,
        table.key.name(),
        table.size,
        table.used
    );
}

/// An entry's line.
pub fn write_entry(table: &Table<'_>, entry: &Entry<'_>, process: &dyn Process, now: Millis, out: &mut Vec<u8>) {
    let _ = write!(out, "{:#x}: key=", entry.id);
    table.key.write_text(entry.key, out);
    let _ = write!(out, " use={} exp={} shard=0", entry.uses, entry.expires_ms);
    for column in table.layout.columns() {
        let array = matches!(column.data, DataType::Gpt | DataType::Gpc | DataType::GpcRate);
        for index in 0..column.elements {
            let value = table.layout.element(entry.words, column, index, now);
            let _ = match column.data {
                DataType::GpcRate => write!(out, " gpc{index}_rate"),
                data if array => write!(out, " {}{index}", data.name()),
                data => write!(out, " {}", data.name()),
            };
            if column.data.is_rate() {
                let _ = write!(out, "({})", column.period_ms);
            }
            let _ = match column.data {
                DataType::ServerKey => match process.server_key(value, table.server_key_address) {
                    Some(name) => write!(out, "={name}"),
                    None => write!(out, "=-"),
                },
                _ => write!(out, "={value}"),
            };
        }
    }
    out.push(b'\n');
}

#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Show,
    Set,
    Clear,
}

fn show(call: &mut Call<'_>) -> Answer {
    if call.argument(0).is_empty() {
        let mut text = Vec::new();
        for table in call.process.stick_tables() {
            write_head(&table, &mut text);
        }
        return Answer::Text(text);
    }
    answer(call, Verb::Show)
}

fn set(call: &mut Call<'_>) -> Answer {
    answer(call, Verb::Set)
}

fn clear(call: &mut Call<'_>) -> Answer {
    answer(call, Verb::Clear)
}

fn usage(verb: Verb) -> Answer {
    Answer::error(match verb {
        Verb::Show => {
            "Optional argument only supports \"data.<store_data_type>\" <operator> <value> or key <key> or ptr <ptr>"
        }
        Verb::Set => {
            "Required arguments: <table> key <key> [data.<store_data_type> <value>]* or <table> ptr <ptr> \
             [data.<store_data_type> <value>]*"
        }
        Verb::Clear => {
            "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key> or \
             <table> ptr <ptr>"
        }
    })
}

fn answer(call: &mut Call<'_>, verb: Verb) -> Answer {
    if call.argument(0).is_empty() {
        return usage(verb);
    }
    let mut tables = call.process.stick_tables();
    let Some(at) = tables.iter().position(|t| t.name == call.argument(0)) else {
        return Answer::error("No such table");
    };
    let table = tables.swap_remove(at);
    let allowed = call.state.level >= Level::Operator;
    let denied = || Answer::Message(Severity::Alert, "Permission denied".into());
    if verb != Verb::Show && !allowed {
        return denied();
    }
    let job = match call.argument(1) {
        "" => match verb {
            Verb::Show => Ok(Job::Show { table: table.number, filters: Vec::new() }),
            Verb::Clear => Ok(Job::Clear { table: table.number, filters: Vec::new() }),
            // Nothing is asked for.
            Verb::Set => return Answer::Empty,
        },
        "key" => key(&table, call.argument(2), verb).and_then(|key| one(call, &table, Which::Key(key), verb)),
        "ptr" => pointer(call.argument(2)).and_then(|id| one(call, &table, Which::Pointer(id), verb)),
        word if word.starts_with("data.") && verb != Verb::Set => filters(call, &table).map(|filters| match verb {
            Verb::Clear => Job::Clear { table: table.number, filters },
            _ => Job::Show { table: table.number, filters },
        }),
        _ => return usage(verb),
    };
    match job {
        Err(text) => Answer::error(text),
        Ok(Job::Show { .. }) if !allowed => {
            let mut text = Vec::new();
            write_head(&table, &mut text);
            text.extend_from_slice(b"# contents not dumped due to insufficient privileges\n");
            Answer::Text(text)
        }
        Ok(_) if !allowed => denied(),
        Ok(job) => Answer::Table(job),
    }
}

fn key(table: &Table<'_>, word: &str, verb: Verb) -> Result<Vec<u8>, String> {
    if word.is_empty() {
        return Err("Key value expected".into());
    }
    if matches!(table.key, KeyType::Binary(_)) {
        let what = match verb {
            Verb::Show => "Showing keys from",
            Verb::Set => "Inserting keys into",
            Verb::Clear => "Removing keys from",
        };
        return Err(format!("{what} tables of type other than ip, ipv6, string and integer is not supported"));
    }
    table.key.parse(word).ok_or_else(|| "Invalid key".into())
}

fn pointer(word: &str) -> Result<u64, String> {
    let Some(digits) = word.strip_prefix("0x") else { return Err("Pointer expected (0xffff notation)".into()) };
    u64::from_str_radix(digits, 16).map_err(|_| "Malformed ptr.".into())
}

fn one(call: &Call<'_>, table: &Table<'_>, which: Which, verb: Verb) -> Result<Job, String> {
    let act = match verb {
        Verb::Show => Act::Show,
        Verb::Clear => Act::Clear,
        Verb::Set => values(call, table),
    };
    Ok(Job::One { table: table.number, which, act })
}

/// `data.<type> <value>` pairs from the fourth word on.
fn values(call: &Call<'_>, table: &Table<'_>) -> Act {
    let mut values = Vec::new();
    let mut at = 3;
    while !call.argument(at).is_empty() {
        match value(call.argument(at), call.argument(at + 1), table) {
            // A server's key is no number: what is given for it is nothing.
            Ok((DataType::ServerKey, ..)) => {}
            Ok(value) => values.push(value),
            Err(fault) => return Act::Set { values, fault: Some(fault) },
        }
        at += 2;
    }
    Act::Set { values, fault: None }
}

fn value(word: &str, value: &str, table: &Table<'_>) -> Result<(DataType, u32, u64), &'static str> {
    let name = word.strip_prefix("data.").ok_or("\"data.<type>\" followed by a value expected")?;
    let (data, index) = data(name).ok_or("Unknown data type")?;
    let column = table.layout.column(data).ok_or("Data type not stored in this table")?;
    if index >= column.elements {
        return Err("index out of range in this data array");
    }
    match value.parse::<i64>() {
        Ok(n) => Ok((data, index, n as u64)),
        Err(_) => Err("Require a valid integer value to store"),
    }
}

/// `data.<type> <operator> <value>` from the second word on.
fn filters(call: &Call<'_>, table: &Table<'_>) -> Result<Vec<Filter>, String> {
    let mut filters = Vec::new();
    let mut at = 1;
    while !call.argument(at).is_empty() {
        if filters.len() == FILTERS_MAX {
            let word = call.named + at + 1;
            let before = call.argument(at - 1);
            return Err(format!("Detected extra data in filter, {word}th word of input, after '{before}'"));
        }
        let filter = filter([call.argument(at), call.argument(at + 1), call.argument(at + 2)], table);
        filters.push(filter.map_err(|fault| format!("Filter entry #{}: {fault}", filters.len() + 1))?);
        at += 3;
    }
    Ok(filters)
}

fn filter([name, operator, value]: [&str; 3], table: &Table<'_>) -> Result<Filter, &'static str> {
    let (data, index) = name.strip_prefix("data.").and_then(data).ok_or("Unknown data type")?;
    if !table.layout.stores(data) {
        return Err("Data type not stored in this table");
    }
    let operator = Operator::named(operator)
        .ok_or("Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"")?;
    let value = value.parse().map_err(|_| "Require a valid integer value to compare against")?;
    Ok(Filter { data, index, operator, value })
}

/// `<type>` or, for the types that are arrays, `<type>[<index>]`.
fn data(name: &str) -> Option<(DataType, u32)> {
    let Some((name, index)) = name.split_once('[') else { return Some((DataType::named(name)?, 0)) };
    let data = DataType::named(name).filter(|d| matches!(d, DataType::Gpt | DataType::Gpc | DataType::GpcRate))?;
    Some((data, index.strip_suffix(']')?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::Fake;
    use crate::admin::runtime_api::session::{CliSession, Then};
    use crate::model::stick_table::StoredData;

    fn fake() -> Fake {
        let data = |name, elements, period_ms| StoredData { name, elements, period_ms };
        let web = [
            data("server_id", 1, None),
            data("conn_cnt", 1, None),
            data("http_req_rate", 1, Some(10_000)),
            data("server_key", 1, None),
        ];
        let arrays = [data("gpt", 2, None), data("gpc", 3, None), data("gpc_rate", 2, Some(10_000))];
        let tables = vec![
            ("be_web", KeyType::Ip, Layout::new(&web)),
            ("arrays", KeyType::String(10), Layout::new(&arrays)),
            ("bin", KeyType::Binary(4), Layout::new(&arrays)),
        ];
        Fake { tables, ..Fake::new() }
    }

    /// The text of an answer, or the job that makes one.
    fn ask(level: Level, line: &str) -> Result<Job, String> {
        let mut session = CliSession::new(level, vec![COMMANDS]);
        let mut out = Vec::new();
        match session.feed(format!("{line}\n").as_bytes(), &mut fake(), &mut out) {
            Then::Table(job) => Ok(job),
            _ => Err(String::from_utf8(out).unwrap()),
        }
    }

    const OPERATORS: &str = "Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"";

    #[test]
    fn what_is_wrong_is_said_in_the_recorded_words() {
        let set = "Required arguments: <table> key <key> [data.<store_data_type> <value>]* or <table> ptr <ptr> \
                   [data.<store_data_type> <value>]*";
        let clear = "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key> or \
                     <table> ptr <ptr>";
        let show = "Optional argument only supports \"data.<store_data_type>\" <operator> <value> or key <key> or ptr \
                    <ptr>";
        let binary = "tables of type other than ip, ipv6, string and integer is not supported";
        for (line, answer) in [
            ("show table nope", "No such table".to_owned()),
            ("show table be_web foo", show.to_owned()),
            ("show table be_web key", "Key value expected".to_owned()),
            ("show table be_web key notip", "Invalid key".to_owned()),
            ("show table bin key 01020304", format!("Showing keys from {binary}")),
            ("show table be_web data.conn_cnt", format!("Filter entry #1: {OPERATORS}")),
            ("show table be_web data.conn_cnt xx 1", format!("Filter entry #1: {OPERATORS}")),
            (
                "show table be_web data.conn_cnt gt 1 data.conn_cnt lt x",
                "Filter entry #2: Require a valid integer value to compare against".to_owned(),
            ),
            ("show table be_web data.nope gt 1", "Filter entry #1: Unknown data type".to_owned()),
            ("show table be_web data.gpc0 gt 1", "Filter entry #1: Data type not stored in this table".to_owned()),
            ("show table be_web data.conn_cnt[0] gt 1", "Filter entry #1: Unknown data type".to_owned()),
            (
                "show table arrays data.gpt gt 1 data.gpt gt 1 data.gpt gt 1 data.gpt gt 0 x",
                "Detected extra data in filter, 16th word of input, after '0'".to_owned(),
            ),
            ("show table be_web ptr", "Pointer expected (0xffff notation)".to_owned()),
            ("show table be_web ptr 0xzz", "Malformed ptr.".to_owned()),
            ("set table", set.to_owned()),
            ("set table be_web foo", set.to_owned()),
            ("set table be_web key", "Key value expected".to_owned()),
            ("set table bin key 01020304", format!("Inserting keys into {binary}")),
            ("clear table", clear.to_owned()),
            ("clear table be_web foo", clear.to_owned()),
            ("clear table nope", "No such table".to_owned()),
        ] {
            assert_eq!(ask(Level::Admin, line), Err(format!("{answer}\n\n")), "{line}");
        }
        assert_eq!(ask(Level::Admin, "set table be_web"), Err("\n".into()));
    }

    #[test]
    fn users_see_heads_only() {
        let head = "# table: be_web, type: ip, size:10240, used:1\n";
        let hidden = "# contents not dumped due to insufficient privileges\n";
        for (line, answer) in [
            ("show table be_web", format!("{head}{hidden}\n")),
            ("show table be_web data.conn_cnt gt 2", format!("{head}{hidden}\n")),
            ("show table be_web key 1.2.3.4", "Permission denied\n\n".to_owned()),
            ("set table be_web key 1.2.3.4", "Permission denied\n\n".to_owned()),
            ("clear table be_web", "Permission denied\n\n".to_owned()),
            ("clear table nope", "No such table\n\n".to_owned()),
        ] {
            assert_eq!(ask(Level::User, line), Err(answer), "{line}");
        }
        assert!(ask(Level::User, "show table").unwrap_err().starts_with(head));
        assert!(ask(Level::Operator, "clear table be_web").is_ok());
    }

    #[test]
    fn words_become_jobs() {
        let filter = |data, index, operator, value| Filter { data, index, operator, value };
        let filters = vec![filter(DataType::Gpt, 1, Operator::Ge, -1), filter(DataType::Gpc, 0, Operator::Ne, 7)];
        assert_eq!(
            ask(Level::Admin, "show table arrays data.gpt[1] ge -1 data.gpc ne 7"),
            Ok(Job::Show { table: 1, filters })
        );
        assert_eq!(ask(Level::Admin, "clear table be_web"), Ok(Job::Clear { table: 0, filters: Vec::new() }));
        let one = |which, act| Ok(Job::One { table: 1, which, act });
        assert_eq!(ask(Level::Admin, "show table arrays ptr 0x1f"), one(Which::Pointer(31), Act::Show));
        assert_eq!(
            ask(Level::Admin, "set table arrays key a data.gpt[1] 4 data.gpt[2] 1"),
            one(
                Which::Key(b"a".to_vec()),
                Act::Set {
                    values: vec![(DataType::Gpt, 1, 4)],
                    fault: Some("index out of range in this data array"),
                }
            )
        );
    }

    #[test]
    fn entries_are_written_as_recorded() {
        let fake = fake();
        let now = fake.now.mono;
        let line = |number: usize, key: &[u8], values: &[(DataType, u32, u64)]| {
            let table = &fake.stick_tables()[number];
            let mut words = vec![0; table.layout.words()];
            for (data, index, value) in values {
                table.layout.set_element(&mut words, *data, *index, *value, now);
            }
            let entry = Entry { id: 0x55e3fd609700, key, uses: 0, expires_ms: 1_788_571, words: &words };
            let mut out = Vec::new();
            write_entry(table, &entry, &fake, now, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            line(0, &[127, 0, 0, 1], &[(DataType::ServerId, 0, 2), (DataType::ServerKey, 0, 2)]),
            "0x55e3fd609700: key=127.0.0.1 use=0 exp=1788571 shard=0 server_id=2 conn_cnt=0 http_req_rate(10000)=0 \
             server_key=s2\n"
        );
        assert_eq!(
            line(0, &[10, 9, 9, 9], &[(DataType::ConnCnt, 0, 5)]),
            "0x55e3fd609700: key=10.9.9.9 use=0 exp=1788571 shard=0 server_id=0 conn_cnt=5 http_req_rate(10000)=0 \
             server_key=-\n"
        );
        assert_eq!(
            line(1, b"a b", &[(DataType::Gpt, 1, 4), (DataType::GpcRate, 1, 9)]),
            "0x55e3fd609700: key=a\\ b use=0 exp=1788571 shard=0 gpt0=0 gpt1=4 gpc0=0 gpc1=0 gpc2=0 \
             gpc0_rate(10000)=0 gpc1_rate(10000)=9\n"
        );
    }
}
