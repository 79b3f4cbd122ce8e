//! The command line (management guide 3). Reads it into [`Args`] and writes what `-v`, `-vv` and the usage page say;
//! acts on nothing. Like HAProxy's, flags are single words: letters behind a known flag are ignored, unknown `-d?`
//! are accepted quietly, every other unknown word gets the usage page.

use std::fmt::Write as _;

use crate::config::{BRANCH, PERSONALITY};

/// What the process was asked to do and be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// `-f` and what follows `--`, in order: files and directories.
    pub files: Vec<String>,
    /// `-C`: change there first.
    pub directory: Option<String>,
    pub check: bool,
    /// `-cc`: evaluate this and exit with its value.
    pub condition: Option<String>,
    pub version: Option<Version>,
    /// `-V`; the last of it and `-q` wins.
    pub verbose: bool,
    pub quiet: bool,
    /// `-d`: stays in the foreground and talks more.
    pub debug: bool,
    /// `-db`.
    pub foreground: bool,
    pub daemon: bool,
    /// `-W`, `-Ws`.
    pub master_worker: bool,
    /// `-Ws`: tell the service manager.
    pub notify: bool,
    /// `-S`: the master's runtime API, an address and bind options separated by commas.
    pub master_sockets: Vec<String>,
    /// `-x`: take listeners over from the process behind this socket.
    pub old_socket: Option<String>,
    /// `-sf`: these finish once we are ready.
    pub finish: Vec<i32>,
    /// `-st`: these terminate once we are ready.
    pub terminate: Vec<i32>,
    pub pid_file: Option<String>,
    /// `-L`.
    pub local_peer: Option<String>,
    /// `-n`.
    pub maxconn: Option<u64>,
    /// `-N`: of each proxy.
    pub proxy_maxconn: Option<u64>,
    /// `-m`, in megabytes.
    pub memory_mb: Option<u64>,
    /// `-4`: resolvers take IPv4 answers only.
    pub ipv4_only: bool,
    /// `-dr`: servers whose names do not resolve are no error.
    pub ignore_unresolved: bool,
    pub zero_warning: bool,
    /// `-dD`.
    pub diag: bool,
    /// `-dK`: classes of keywords to dump.
    pub dump_keywords: Option<String>,
    /// `-dMhelp`: say what could be set, and end.
    pub memory_debug_help: bool,
    /// `-dL`.
    pub dump_libraries: bool,
    /// `-dC`: dump the configuration, and what stands behind the letters.
    pub dump_config: Option<String>,
    /// `-de`.
    pub no_epoll: bool,
    /// `-dR`.
    pub no_reuseport: bool,
    /// `-dS`.
    pub no_splice: bool,
    /// `-dV`.
    pub no_server_verify: bool,
    /// `-dF`, `-dZ`: bytes are always copied.
    pub no_zero_copy: bool,
    /// `-dI`.
    pub insecure_fork: bool,
    /// Options that have nothing to act on here, each with the reason.
    pub without_effect: Vec<(&'static str, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `-v`.
    Short,
    /// `-vv`.
    Full,
    /// `-vq`, `-vqs`: the number only.
    Number,
    /// `-vqb`: the branch only.
    Branch,
}

/// Why the command line cannot be followed. The exit code is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The version goes to standard output, the usage page to standard error.
    Usage,
    /// An alert with this text; then the usage page if `usage`.
    Alert { text: String, usage: bool },
}

/// Reads the arguments, without the program's name. Stops at `-v` and its like, as HAProxy does.
pub fn parse(arguments: &[String]) -> Result<Args, Refusal> {
    let mut args = Args::default();
    let mut rest = Words { words: arguments, at: 0 };
    while let Some(word) = rest.next() {
        let Some(flag) = word.strip_prefix('-') else { return Err(Refusal::Usage) };
        match flag.chars().next() {
            Some('v') => {
                args.version = Some(version_of(flag));
                return Ok(args);
            }
            Some('-') if flag == "-" => {
                while let Some(file) = rest.next() {
                    args.files.push(file.to_owned());
                }
            }
            Some('d') => debug_flag(&mut args, &flag[1..])?,
            Some('c') if flag == "cc" => args.condition = Some(rest.value()?.to_owned()),
            Some('c') => args.check = true,
            Some('V') => (args.verbose, args.quiet) = (true, false),
            Some('q') => (args.verbose, args.quiet) = (false, true),
            Some('D') => args.daemon = true,
            Some('W') => {
                args.master_worker = true;
                args.notify |= flag.starts_with("Ws");
            }
            Some('4') => args.ipv4_only = true,
            Some('s') if flag == "sf" => rest.pids("-sf", &mut args.finish)?,
            Some('s') if flag == "st" => rest.pids("-st", &mut args.terminate)?,
            Some('x') => match rest.next().filter(|w| !w.starts_with('-')) {
                Some(path) => args.old_socket = Some(path.to_owned()),
                None => {
                    let text = "Unix socket path expected with the -x flag\n".to_owned();
                    return Err(Refusal::Alert { text, usage: true });
                }
            },
            Some('f') => args.files.push(rest.value()?.to_owned()),
            Some('C') => args.directory = Some(rest.value()?.to_owned()),
            Some('L') => args.local_peer = Some(rest.value()?.to_owned()),
            Some('p') => args.pid_file = Some(rest.value()?.to_owned()),
            Some('S') => args.master_sockets.push(rest.value()?.to_owned()),
            Some('n') => args.maxconn = rest.number()?,
            Some('N') => args.proxy_maxconn = rest.number()?,
            Some('m') => args.memory_mb = rest.number()?,
            _ => return Err(Refusal::Usage),
        }
    }
    // Without a file there is nothing to do but to say how it is used.
    if args.files.is_empty() && args.condition.is_none() && !args.memory_debug_help {
        return Err(Refusal::Usage);
    }
    Ok(args)
}

struct Words<'a> {
    words: &'a [String],
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    fn value(&mut self) -> Result<&'a str, Refusal> {
        self.next().ok_or(Refusal::Usage)
    }

    /// A number; 0 and what is none say nothing, as with HAProxy.
    fn number(&mut self) -> Result<Option<u64>, Refusal> {
        let word = self.value()?;
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        Ok(word[..digits].parse().ok().filter(|n| *n > 0))
    }

    /// Process ids up to the next flag; none is fine, since they often come from `$(pidof …)`. One argument may hold
    /// several, separated by blanks.
    fn pids(&mut self, flag: &str, into: &mut Vec<i32>) -> Result<(), Refusal> {
        while let Some(word) = self.words.get(self.at).filter(|w| !w.starts_with('-')) {
            self.at += 1;
            for number in word.split_ascii_whitespace() {
                match number.parse() {
                    Ok(pid @ 1..) => into.push(pid),
                    _ => {
                        let text = format!("{flag} option: some bytes unconsumed in PID list {{{number}}}");
                        return Err(Refusal::Alert { text, usage: false });
                    }
                }
            }
        }
        Ok(())
    }
}

fn version_of(flag: &str) -> Version {
    match flag {
        "vq" | "vqs" => Version::Number,
        "vqb" => Version::Branch,
        _ if flag.starts_with("vv") => Version::Full,
        _ => Version::Short,
    }
}

fn debug_flag(args: &mut Args, letters: &str) -> Result<(), Refusal> {
    let mut chars = letters.chars();
    let (letter, value) = (chars.next(), chars.as_str());
    match letter {
        None => args.debug = true,
        Some('b') => args.foreground = true,
        Some('r') => args.ignore_unresolved = true,
        Some('W') => args.zero_warning = true,
        Some('D') => args.diag = true,
        Some('K') => args.dump_keywords = Some(value.to_owned()),
        Some('M') => memory_debug(args, value)?,
        Some('C') => args.dump_config = Some(value.to_owned()),
        Some('L') => args.dump_libraries = true,
        Some('R') => args.no_reuseport = true,
        Some('S') => args.no_splice = true,
        Some('V') => args.no_server_verify = true,
        Some('F' | 'Z') => args.no_zero_copy = true,
        Some('I') => args.insecure_fork = true,
        Some('e') => args.no_epoll = true,
        Some(letter) => args.without_effect.extend(WITHOUT_EFFECT.iter().find(|w| w.0.ends_with(letter))),
    }
    Ok(())
}

/// Debugging options that HAProxy has for what we do not have, each with what is so instead.
const WITHOUT_EFFECT: [(&str, &str); 9] = [
    ("-dA", "libraries are listed by -dL, not archived"),
    ("-dG", "names of servers are always looked up with getaddrinfo()"),
    ("-dM", "memory comes from the system's allocator, there are no pools to debug"),
    ("-dT", "TLS is never handed to the kernel"),
    ("-dc", "CPUs are those of the inherited mask, none is selected or evicted"),
    ("-dk", POLLERS),
    ("-dp", POLLERS),
    ("-dt", "there are no traces"),
    ("-dv", POLLERS),
];
const POLLERS: &str = "events come from io_uring or epoll, so there is no such poller to switch off";

/// `-dM[<byte>[,]][help|<word>,...]` with the words of management guide 3. There are no pools to which they could apply.
fn memory_debug(args: &mut Args, value: &str) -> Result<(), Refusal> {
    let digits = |text: &str| {
        text.strip_prefix("0x").map_or(text.parse::<u8>().is_ok(), |hex| u8::from_str_radix(hex, 16).is_ok())
    };
    for (index, word) in value.split(',').filter(|w| !w.is_empty()).enumerate() {
        if word == "help" {
            args.memory_debug_help = true;
        } else if !(POOL_DEBUGGING.contains(&word.strip_prefix("no-").unwrap_or(word))
            || POOL_DEBUGGING_OTHER.contains(&word)
            || index == 0 && digits(word))
        {
            let text = format!("-dM: unknown pool debugging feature <{word}>");
            return Err(Refusal::Alert { text, usage: false });
        }
    }
    args.without_effect.extend(WITHOUT_EFFECT.iter().find(|w| w.0 == "-dM"));
    Ok(())
}

/// Words of `-dM`, each also with `no-` before it.
const POOL_DEBUGGING: [&str; 10] =
    ["fail", "merge", "integrity", "global", "cache", "caller", "tag", "poison", "uaf", "backup"];
const POOL_DEBUGGING_OTHER: [&str; 2] = ["cold-first", "hot-first"];

/// What `-dMhelp` writes.
pub fn memory_debug_help() -> String {
    let mut words: Vec<String> = POOL_DEBUGGING.iter().flat_map(|w| [(*w).to_owned(), format!("no-{w}")]).collect();
    words.extend(POOL_DEBUGGING_OTHER.map(str::to_owned));
    format!(
        "-dM accepts a byte and HAProxy's words for debugging of pools, and sets nothing: memory comes from the system's\n\
         allocator, there are no pools. The words:\n    {}\n",
        words.join(" ")
    )
}

/// The first four lines of `-v`, `-vv` and the usage page. `kernel` is the system's name, release, version and
/// machine as `uname -srvm` says them. Tools find HAProxy's version with `.*version (.+?)\.(.+?)(\.|-dev).*`.
pub fn version_block(kernel: &str) -> String {
    let own = env!("CARGO_PKG_VERSION");
    format!(
        "ringway {own} (HAProxy version {PERSONALITY} compatible) - one io_uring event loop per core\n\
         Status: compatible with HAProxy's {BRANCH} branch; not a product of the HAProxy project.\n\
         Known bugs: see the issues of this project.\n\
         Running on: {kernel}\n"
    )
}

/// What `-v` and its variants write. `engine` are the lines about the engine that `-vv` ends with.
pub fn version_text(version: Version, kernel: &str, features: &[&str], engine: &[String]) -> String {
    match version {
        Version::Number => format!("{PERSONALITY}\n"),
        Version::Branch => format!("{BRANCH}\n"),
        Version::Short => version_block(kernel),
        Version::Full => {
            let mut out = version_block(kernel);
            let list: String = features.iter().map(|f| format!(" +{f}")).collect();
            let _ = writeln!(out, "\nFeature list :{list}");
            let _ = writeln!(out, "\nDefault settings :\n  bufsize = 16384, maxrewrite = 1024\n");
            for line in engine {
                let _ = writeln!(out, "{line}");
            }
            out
        }
    }
}

/// The usage page; `program` is the name it was started by.
pub fn usage(program: &str) -> String {
    let mut out = format!(
        "Usage : {program} [-f <cfgfile|cfgdir>]* [ -vdVD ] [ -n <maxconn> ] [ -N <maxpconn> ]\n        \
         [ -p <pidfile> ] [ -m <max megs> ] [ -C <dir> ] [-- <cfgfile>*]\n"
    );
    for (flag, what) in FLAGS {
        let _ = writeln!(out, "        {flag:<22} {what}");
    }
    out.push('\n');
    out
}

const FLAGS: [(&str, &str); 39] = [
    ("-f <file|directory>", "reads this configuration file, or all *.cfg files of a directory"),
    ("-- <file>*", "all arguments that follow are configuration files"),
    ("-C <dir>", "changes to this directory first"),
    ("-c", "checks the configuration and exits"),
    ("-cc <condition>", "evaluates a condition as .if does and exits with 0 if it is true"),
    ("-V", "verbose; undoes -q"),
    ("-q", "quiet: no messages"),
    ("-v", "shows the version"),
    ("-vv", "shows the version, the features and the engine"),
    ("-vq, -vqs, -vqb", "shows only the version's number, or the branch"),
    ("-h", "shows this page"),
    ("-d", "debug: stays in the foreground"),
    ("-db", "stays in the foreground"),
    ("-D", "goes into the background"),
    ("-W", "a master that supervises and reloads workers"),
    ("-Ws", "the same, telling systemd"),
    ("-S <address>[,<option>]", "runtime API of the master"),
    ("-p <file>", "writes the process id to this file"),
    ("-sf <pid>*", "asks these processes to finish once this one is ready"),
    ("-st <pid>*", "terminates these processes once this one is ready"),
    ("-x <socket>", "takes the listeners over from the process behind this socket"),
    ("-L <name>", "name of the local peer (default: the host's name)"),
    ("-n <number>", "most connections of the process"),
    ("-N <number>", "most connections of a frontend that does not say it"),
    ("-m <megabytes>", "limits the data of the process, and the connections to what fits"),
    ("-4", "resolvers consider IPv4 answers only"),
    ("-dr", "ignores server names that do not resolve"),
    ("-dW", "fails on any warning"),
    ("-dD", "warns about suspicious statements"),
    ("-dC[<key>][,line]", "dumps the configuration and exits; with a key that is no 0, names are hashed"),
    ("-dK<class>,...", "dumps the keywords (help: lists the classes)"),
    ("-dL", "dumps the names of the libraries that are loaded"),
    ("-dI", "lets the process run programs, as insecure-fork-wanted"),
    ("-de", "does not use epoll, even where the kernel refuses io_uring"),
    ("-dR", "does not use SO_REUSEPORT"),
    ("-dS", "does not splice"),
    ("-dV", "does not verify the certificates of servers"),
    ("-dF, -dZ", "always copies what it forwards"),
    ("-dA -dG -dM -dT -dc -dk -dp -dt -dv", "accepted without effect, which a notice says"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, Refusal> {
        parse(&line.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    fn args(line: &str) -> Args {
        read(line).unwrap_or_else(|e| panic!("{line}: {e:?}"))
    }

    #[test]
    fn octavia_and_debian_start_it() {
        let octavia = args("-Ws -f a.cfg -f b.cfg -p /run/x.pid -L peer");
        assert_eq!(octavia.files, ["a.cfg", "b.cfg"]);
        assert!(octavia.master_worker && octavia.notify && !octavia.check);
        assert_eq!((octavia.pid_file.as_deref(), octavia.local_peer.as_deref()), (Some("/run/x.pid"), Some("peer")));
        let check = args("-Ws -f a.cfg -c -q -S /run/master.sock");
        assert!(check.check && check.quiet);
        assert_eq!(check.master_sockets, ["/run/master.sock"]);
        let kolla = args("-W -db -p /run/h.pid -f h.cfg -f services.d/");
        assert!(kolla.foreground && kolla.master_worker && !kolla.notify);
    }

    #[test]
    fn reload_by_old_pids() {
        let openshift = args("-f F -p P -x S -sf 12 13 -D");
        assert_eq!((openshift.finish, openshift.daemon), (vec![12, 13], true));
        assert_eq!(args("-f F -sf").finish, Vec::<i32>::new());
        assert_eq!(args("-f F -st 5").terminate, [5]);
        let refused = read("-f F -sf abc").expect_err("no pid");
        let text = "-sf option: some bytes unconsumed in PID list {abc}".to_owned();
        assert_eq!(refused, Refusal::Alert { text, usage: false });
        assert!(matches!(read("-x"), Err(Refusal::Alert { usage: true, .. })));
    }

    #[test]
    fn the_rest_after_dashes_are_files() {
        assert_eq!(args("-f a -- b -c").files, ["a", "b", "-c"]);
    }

    #[test]
    fn debug_letters() {
        assert!(args("-f a -d").debug);
        assert!(args("-f a -dbx").foreground);
        assert!(args("-f a -dW").zero_warning);
        assert!(args("-f a -dr").ignore_unresolved);
        assert_eq!(args("-f a -dKall").dump_keywords.as_deref(), Some("all"));
        assert_eq!(args("-f a -dC12,line").dump_config.as_deref(), Some("12,line"));
        assert_eq!(args("-f a -dQ -dx"), args("-f a"));
    }

    #[test]
    fn options_without_effect_are_remembered_with_the_reason() {
        let named = |line: &str| args(line).without_effect.iter().map(|w| w.0).collect::<Vec<_>>();
        assert_eq!(named("-f a -dM0x50,tag -dp -dt"), ["-dM", "-dp", "-dt"]);
        assert_eq!(named("-f a -dM -dMno-merge,cold-first"), ["-dM", "-dM"]);
        assert!(args("-f a -dMhelp").memory_debug_help);
        assert!(named("-f a -dI -dL -dr").is_empty());
        let text = "-dM: unknown pool debugging feature <?>".to_owned();
        assert_eq!(read("-f a -dM?"), Err(Refusal::Alert { text, usage: false }));
    }

    #[test]
    fn the_last_of_verbose_and_quiet_wins() {
        let both = |line| (args(line).verbose, args(line).quiet);
        assert_eq!((both("-f a -q -V"), both("-f a -V -q")), ((true, false), (false, true)));
    }

    #[test]
    fn limits_are_numbers() {
        let limits = args("-f a -n 10 -N 5 -m 100 -4");
        assert_eq!((limits.maxconn, limits.proxy_maxconn, limits.memory_mb), (Some(10), Some(5), Some(100)));
        assert!(limits.ipv4_only);
        assert_eq!(args("-f a -n abc").maxconn, None);
    }

    #[test]
    fn versions_end_the_reading() {
        assert_eq!(args("-n abc -v --nonsense").version, Some(Version::Short));
        assert_eq!(args("-vv").version, Some(Version::Full));
        assert_eq!(args("-vq").version, Some(Version::Number));
        assert_eq!(args("-vqb").version, Some(Version::Branch));
    }

    #[test]
    fn everything_else_gets_the_usage_page() {
        for line in ["", "-c", "-h", "--help", "-z", "a.cfg", "-f", "-cc", "-cc 1 2", "-n", "-L", "-s 1"] {
            assert_eq!(read(line), Err(Refusal::Usage), "{line}");
        }
        assert_eq!(args("-cc 1").condition.as_deref(), Some("1"));
        assert!(usage("haproxy").starts_with("Usage : haproxy [-f <cfgfile|cfgdir>]*"));
    }

    #[test]
    fn tools_find_haproxys_version() {
        let text = version_text(Version::Short, "Linux 6.1 x86_64", &[], &[]);
        assert_eq!(text.lines().count(), 4);
        // The first "version X.Y." of the first line is what the pattern's greedy start leaves.
        let first = text.lines().next().unwrap_or_default();
        let after = first.rsplit_once("version ").map_or("", |(_, rest)| rest);
        assert!(after.starts_with("3.4.0 "), "{first}");
        let full = version_text(Version::Full, "Linux", &["OPENSSL"], &["Engine : io_uring".to_owned()]);
        assert!(full.contains("Feature list : +OPENSSL\n") && full.ends_with("Engine : io_uring\n"));
    }
}
