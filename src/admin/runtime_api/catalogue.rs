//! The commands: name, level they need, what they do, and their line in `help`. Rooms with commands of their own (maps,
//! certificates, tables) bring further rows; a session is given all of them.

use super::{
    Answer, Call,
    command::{
        certificate, cookie, descriptors, events, frontend, memory, pattern, process, profiling, resolvers, server,
        show, table, variable,
    },
};
use crate::model::bind::Level;

#[derive(Clone, Copy)]
pub struct Command {
    pub words: &'static [&'static str],
    pub level: Level,
    pub run: fn(&mut Call<'_>) -> Answer,
    /// As `help` shows it.
    pub help: &'static str,
}

// Commands of both sockets: a worker's and its master's.

const ECHO: Command = command(
    &["echo"],
    Level::User,
    process::echo,
    "echo <text>                             : print text to the output",
);
const OPERATOR: Command = command(
    &["operator"],
    Level::Operator,
    process::operator,
    "operator                                : lower the level of the current CLI session to operator",
);
const SHOW_CLI_LEVEL: Command = command(
    &["show", "cli", "level"],
    Level::User,
    show::cli_level,
    "show cli level                          : display the level of the current CLI session",
);
const SHOW_ENV: Command = command(
    &["show", "env"],
    Level::Operator,
    show::env,
    "show env [var]                          : dump environment variables known to the process",
);
const SHOW_VERSION: Command = command(
    &["show", "version"],
    Level::User,
    show::version,
    "show version                            : show version of the current process",
);
const USER: Command = command(
    &["user"],
    Level::User,
    process::user,
    "user                                    : lower the level of the current CLI session to user",
);
const HELP: Command = command(
    &["help"],
    Level::User,
    process::help,
    "help [<command>]                        : list matching or all commands",
);
const PROMPT: Command = command(
    &["prompt"],
    Level::User,
    process::prompt,
    "prompt [help | n | i | p | timed ]*     : toggle interactive mode with prompt",
);
const QUIT: Command =
    command(&["quit"], Level::User, process::quit, "quit                                    : disconnect");

/// All commands of a worker, room by room.
pub static TABLES: [&[Command]; 9] = [
    COMMANDS,
    table::COMMANDS,
    certificate::COMMANDS,
    cookie::COMMANDS,
    memory::COMMANDS,
    variable::COMMANDS,
    events::COMMANDS,
    descriptors::COMMANDS,
    profiling::COMMANDS,
];

static COMMANDS: &[Command] = &[
    command(
        &["show", "dev"],
        Level::User,
        show::dev,
        "show dev                                : show debug info for developers",
    ),
    command(
        &["add", "server"],
        Level::Admin,
        server::add,
        "add server <bk>/<srv>                   : create a new server",
    ),
    command(
        &["clear", "counters"],
        Level::Operator,
        process::clear_counters,
        "clear counters [all]                    : clear max statistics counters (or all counters)",
    ),
    command(
        &["del", "server"],
        Level::Admin,
        server::del,
        "del server <bk>/<srv>                   : remove a dynamically added server",
    ),
    command(
        &["disable", "agent"],
        Level::Admin,
        server::disable_agent,
        "disable agent                           : disable agent checks",
    ),
    command(
        &["disable", "frontend"],
        Level::Admin,
        frontend::disable,
        "disable frontend <frontend>             : temporarily disable specific frontend",
    ),
    command(
        &["disable", "health"],
        Level::Admin,
        server::disable_health,
        "disable health                          : disable health checks",
    ),
    command(
        &["disable", "server"],
        Level::Admin,
        server::disable,
        "disable server (DEPRECATED)             : disable a server for maintenance (use 'set server' instead)",
    ),
    ECHO,
    command(
        &["enable", "agent"],
        Level::Admin,
        server::enable_agent,
        "enable agent                            : enable agent checks",
    ),
    command(
        &["enable", "frontend"],
        Level::Admin,
        frontend::enable,
        "enable frontend <frontend>              : re-enable specific frontend",
    ),
    command(
        &["enable", "health"],
        Level::Admin,
        server::enable_health,
        "enable health                           : enable health checks",
    ),
    command(
        &["enable", "server"],
        Level::Admin,
        server::enable,
        "enable server  (DEPRECATED)             : enable a disabled server (use 'set server' instead)",
    ),
    command(
        &["get", "weight"],
        Level::User,
        server::get_weight,
        "get weight <bk>/<srv>                   : report a server's current weight",
    ),
    OPERATOR,
    command(
        &["set", "maxconn", "frontend"],
        Level::Admin,
        frontend::set_maxconn,
        "set maxconn frontend <frontend> <value> : change a frontend's maxconn setting",
    ),
    command(
        &["set", "maxconn", "global"],
        Level::Admin,
        process::set_maxconn,
        "set maxconn global <value>              : change the per-process maxconn setting",
    ),
    command(
        &["set", "maxconn", "server"],
        Level::Admin,
        server::set_maxconn,
        "set maxconn server <bk>/<srv>           : change a server's maxconn setting",
    ),
    command(
        &["set", "rate-limit"],
        Level::Admin,
        process::set_rate_limit,
        "set rate-limit <setting> <value>        : change a rate limiting value",
    ),
    command(
        &["set", "server"],
        Level::Admin,
        server::set,
        "set server <bk>/<srv> [opts]            : change a server's state, weight, address or ssl",
    ),
    command(
        &["set", "severity-output"],
        Level::User,
        process::set_severity,
        "set severity-output [none|number|string]: set presence of severity level in feedback information",
    ),
    command(
        &["set", "timeout"],
        Level::User,
        process::set_timeout,
        "set timeout [cli] <delay>               : change a timeout setting",
    ),
    command(
        &["set", "weight"],
        Level::Admin,
        server::set_weight,
        "set weight <bk>/<srv>  (DEPRECATED)     : change a server's weight (use 'set server' instead)",
    ),
    command(
        &["show", "activity"],
        Level::Operator,
        show::activity,
        "show activity [-1|0|thread_num]         : show per-thread activity stats (for support/developers)",
    ),
    command(
        &["show", "backend"],
        Level::User,
        show::backend,
        "show backend                            : list backends in the current running config",
    ),
    SHOW_CLI_LEVEL,
    command(
        &["show", "cli", "sockets"],
        Level::User,
        show::cli_sockets,
        "show cli sockets                        : dump list of cli sockets",
    ),
    SHOW_ENV,
    command(
        &["show", "errors"],
        Level::Operator,
        show::errors,
        "show errors [<px>] [request|response]   : report last request and/or response errors for each proxy",
    ),
    command(
        &["show", "info"],
        Level::User,
        show::info,
        "show info [desc|json|typed|float]*      : report information about the running process",
    ),
    command(
        &["show", "peers"],
        Level::User,
        show::peers,
        "show peers [dict|-] [section]           : dump some information about all the peers or this peers section",
    ),
    command(
        &["show", "resolvers"],
        Level::User,
        resolvers::show,
        "show resolvers [id]                     : dumps counters from all resolvers section and associated name servers",
    ),
    command(
        &["show", "schema", "json"],
        Level::User,
        show::schema,
        "show schema json                        : report schema used for stats",
    ),
    command(
        &["show", "servers", "conn"],
        Level::User,
        show::servers_conn,
        "show servers conn [<backend>]           : dump server connections status (all or for a single backend)",
    ),
    command(
        &["show", "servers", "state"],
        Level::User,
        show::servers_state,
        "show servers state [<backend>]          : dump volatile server information (all or for a single backend)",
    ),
    command(
        &["show", "sess"],
        Level::Operator,
        show::sess,
        "show sess [help|<id>|all] [opts...]     : report the list of current streams or dump this exact stream",
    ),
    command(
        &["show", "startup-logs"],
        Level::Operator,
        show::startup_logs,
        "show startup-logs                       : report logs emitted during HAProxy startup",
    ),
    command(
        &["show", "stat"],
        Level::User,
        show::stat,
        "show stat [desc|json|no-maint|typed|up]*: report counters for each proxy and server",
    ),
    command(
        &["show", "threads"],
        Level::User,
        show::threads,
        "show threads                            : show some threads debugging information",
    ),
    SHOW_VERSION,
    command(
        &["shutdown", "frontend"],
        Level::Admin,
        frontend::shutdown,
        "shutdown frontend <frontend>            : stop a specific frontend",
    ),
    command(
        &["shutdown", "session"],
        Level::Admin,
        process::shutdown_session,
        "shutdown session [id]                   : kill a specific session",
    ),
    command(
        &["shutdown", "sessions", "server"],
        Level::Admin,
        server::shutdown_sessions,
        "shutdown sessions server <bk>/<srv>     : kill sessions on a server",
    ),
    USER,
    command(
        &["wait"],
        Level::User,
        process::wait,
        "wait {-h|<delay_ms>} cond [args...]     : wait the specified delay or condition (-h to see list)",
    ),
    HELP,
    PROMPT,
    QUIT,
    command(
        &["add", "acl"],
        Level::Admin,
        pattern::add,
        "add acl [@<ver>] <acl> <pattern>        : add an acl entry",
    ),
    command(
        &["add", "map"],
        Level::Admin,
        pattern::add,
        "add map [@<ver>] <map> <key> <val>      : add a map entry (payload supported instead of key/val)",
    ),
    command(
        &["clear", "acl"],
        Level::Admin,
        pattern::clear,
        "clear acl [@<ver>] <acl>                : clear the contents of this acl",
    ),
    command(
        &["clear", "map"],
        Level::Admin,
        pattern::clear,
        "clear map [@<ver>] <map>                : clear the contents of this map",
    ),
    command(
        &["commit", "acl"],
        Level::Admin,
        pattern::commit,
        "commit acl @<ver> <acl>                 : commit the ACL at this version",
    ),
    command(
        &["commit", "map"],
        Level::Admin,
        pattern::commit,
        "commit map @<ver> <map>                 : commit the map at this version",
    ),
    command(
        &["del", "acl"],
        Level::Admin,
        pattern::del,
        "del acl <acl> [<key>|#<ref>]            : delete acl entries matching <key>",
    ),
    command(
        &["del", "map"],
        Level::Admin,
        pattern::del,
        "del map <map> [<key>|#<ref>]            : delete map entries matching <key>",
    ),
    command(
        &["get", "acl"],
        Level::Admin,
        pattern::get,
        "get acl <acl> <value>                   : report the patterns matching a sample for an ACL",
    ),
    command(
        &["get", "map"],
        Level::Admin,
        pattern::get,
        "get map <map> <value>                   : report the keys and values matching a sample for a map",
    ),
    command(
        &["prepare", "acl"],
        Level::Admin,
        pattern::prepare,
        "prepare acl <acl>                       : prepare a new version for atomic ACL replacement",
    ),
    command(
        &["prepare", "map"],
        Level::Admin,
        pattern::prepare,
        "prepare map <map>                       : prepare a new version for atomic map replacement",
    ),
    command(
        &["set", "map"],
        Level::Admin,
        pattern::set,
        "set map <map> [<key>|#<ref>] <value>    : modify a map entry",
    ),
    command(
        &["show", "acl"],
        Level::Admin,
        pattern::show,
        "show acl [@<ver>] <acl>                 : report available acls or dump an acl's contents",
    ),
    command(
        &["show", "map"],
        Level::Admin,
        pattern::show,
        "show map [@<ver>] [map]                 : report available maps or dump a map's contents",
    ),
    command(&["expert-mode"], Level::Admin, process::expert_mode, ""),
    command(&["experimental-mode"], Level::Admin, process::experimental_mode, ""),
];

/// What a master does itself (management guide 9.4.1).
pub static MASTER: &[Command] = &[
    command(
        &["@!<pid>"],
        Level::User,
        process::prefix,
        "@!<pid>                                 : send a command to the <pid> process",
    ),
    command(
        &["@<relative", "pid>"],
        Level::User,
        process::prefix,
        "@<relative pid>                         : send a command to the <relative pid> process",
    ),
    command(
        &["@master"],
        Level::User,
        process::prefix,
        "@master                                 : send a command to the master process",
    ),
    ECHO,
    command(
        &["hard-reload"],
        Level::Operator,
        process::hard_reload,
        "hard-reload                             : achieve a hard-reload (-st) of haproxy",
    ),
    OPERATOR,
    command(
        &["reload"],
        Level::Operator,
        process::reload,
        "reload                                  : achieve a soft-reload (-sf) of haproxy",
    ),
    SHOW_CLI_LEVEL,
    command(
        &["show", "cli", "sockets"],
        Level::Operator,
        show::cli_sockets,
        "show cli sockets                        : dump list of cli sockets",
    ),
    SHOW_ENV,
    command(
        &["show", "proc"],
        Level::User,
        process::processes,
        "show proc                               : show processes status",
    ),
    command(
        &["show", "startup-logs"],
        Level::User,
        show::startup_logs,
        "show startup-logs                       : report logs emitted during HAProxy startup",
    ),
    SHOW_VERSION,
    USER,
    HELP,
    PROMPT,
    QUIT,
    command(&["expert-mode"], Level::Admin, process::switch_expert_mode, ""),
    command(&["experimental-mode"], Level::Admin, process::switch_experimental_mode, ""),
];

pub const fn command(
    words: &'static [&'static str],
    level: Level,
    run: fn(&mut Call<'_>) -> Answer,
    help: &'static str,
) -> Command {
    Command { words, level, run, help }
}

/// The command with the longest name that these words begin with.
pub fn find<'c>(tables: &[&'c [Command]], words: &[&str]) -> Option<&'c Command> {
    let all = tables.iter().flat_map(|t| t.iter());
    let fits = all.filter(|c| words.len() >= c.words.len() && c.words.iter().zip(words).all(|(a, b)| a == b));
    fits.max_by_key(|c| c.words.len())
}

/// Lines of `help` for what resembles these words and the level allows; all of them without words.
pub fn help_lines(tables: &[&[Command]], words: &[&str], level: Level) -> Vec<&'static str> {
    const ALWAYS: [&str; 3] = ["help", "prompt", "quit"];
    let all = || tables.iter().flat_map(|t| t.iter()).filter(|c| !c.help.is_empty() && c.level <= level);
    let always = |c: &&Command| ALWAYS.contains(&c.words[0]);
    let mut chosen: Vec<&Command> = match words {
        [] => all().filter(|c| !always(c)).collect(),
        words => {
            let exact = |c: &&Command| c.words.iter().zip(words).all(|(a, b)| a == b);
            let mut found: Vec<&Command> = all().filter(|c| !always(c) && exact(c)).collect();
            if found.is_empty() && !all().any(|c| always(&c) && exact(&c)) {
                // What shares the most first words is near; else what is spelt alike.
                let shared = |c: &Command| c.words.iter().zip(words).take_while(|(a, b)| a == b).count();
                let most = all().map(shared).max().unwrap_or(0);
                let mut scored: Vec<_> = all()
                    .filter(|c| !always(c) && shared(c) == most)
                    .map(|c| (distance(c.words, words), c))
                    .collect();
                scored.sort_by_key(|(score, _)| *score);
                let best = scored.first().map_or(0, |(score, _)| *score);
                let near = |score: usize| score <= best + 2 || (most > 0 && best > 2);
                found = scored.iter().take(5).filter(|(score, _)| near(*score)).map(|(_, c)| *c).collect();
            }
            found
        }
    };
    chosen.sort_by_key(|c| c.help);
    chosen.extend(all().filter(always));
    chosen.into_iter().map(|c| c.help).collect()
}

/// Sum of the edit distances, word by word.
fn distance(name: &[&str], words: &[&str]) -> usize {
    let pairs = (0..name.len().max(words.len())).map(|i| (name.get(i).unwrap_or(&""), words.get(i).unwrap_or(&"")));
    pairs.map(|(a, b)| edits(a.as_bytes(), &b.as_bytes()[..b.len().min(32)])).sum()
}

fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + (x != y) as usize;
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
