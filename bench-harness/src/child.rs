//! Processes that the harness starts: pinned, in a group of their own, and dead when the harness is.
//! Three nets, because any one can tear: `Drop` kills the group, a signal handler kills all groups, and the kernel
//! sends the death signal when the harness itself was killed. The last is why only the main thread may spawn
//! (`PR_SET_PDEATHSIG` watches the thread that forked).

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use rustix::thread::CpuSet;

/// What must be undone when the harness ends early.
enum Debt {
    Group(u32),
    Folder(PathBuf),
    Worktree { repository: PathBuf, folder: PathBuf },
}

static DEBTS: Mutex<Vec<Debt>> = Mutex::new(Vec::new());

fn debts() -> std::sync::MutexGuard<'static, Vec<Debt>> {
    DEBTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Pays all debts on SIGINT, SIGTERM and SIGHUP, then exits with 130.
pub fn pay_on_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            pay_all();
            std::process::exit(130);
        }
    });
}

/// Kills every group, removes every folder and worktree.
pub fn pay_all() {
    let owed = std::mem::take(&mut *debts());
    for debt in &owed {
        if let Debt::Group(pid) = debt {
            signal_group(*pid, Signal::TERM);
        }
    }
    std::thread::sleep(Duration::from_millis(20));
    for debt in owed.into_iter().rev() {
        match debt {
            Debt::Group(pid) => signal_group(pid, Signal::KILL),
            Debt::Folder(folder) => drop(std::fs::remove_dir_all(folder)),
            Debt::Worktree { repository, folder } => remove_worktree(&repository, &folder),
        }
    }
}

fn signal_group(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// A started process and its group.
pub struct Child {
    inner: std::process::Child,
    pub what: String,
}

/// How to start one.
pub struct Start<'a> {
    pub program: &'a Path,
    pub arguments: Vec<OsString>,
    pub cpus: &'a [usize],
    /// Where its complaints go; without it they are dropped.
    pub stderr: Option<&'a Path>,
    pub stdout_piped: bool,
    pub stdin_piped: bool,
    /// A server that takes its workers along on SIGTERM gets that as its death signal, others SIGKILL.
    pub has_workers: bool,
}

impl<'a> Start<'a> {
    pub fn new(program: &'a Path, cpus: &'a [usize]) -> Self {
        Self {
            program,
            arguments: Vec::new(),
            cpus,
            stderr: None,
            stdout_piped: false,
            stdin_piped: false,
            has_workers: false,
        }
    }

    pub fn spawn(self) -> Result<Child, String> {
        let harness = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        let cpus: Vec<String> = self.cpus.iter().map(ToString::to_string).collect();
        let mut command = Command::new(harness);
        command.arg("child").arg(cpus.join(",")).arg(if self.has_workers { "term" } else { "kill" });
        command.arg(self.program).args(&self.arguments).process_group(0);
        command.stdin(if self.stdin_piped { Stdio::piped() } else { Stdio::null() });
        command.stdout(if self.stdout_piped { Stdio::piped() } else { Stdio::null() });
        let stderr = match self.stderr {
            Some(path) => std::fs::File::create(path).map_err(|error| error.to_string())?.into(),
            None => Stdio::null(),
        };
        let what = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The lock is held over the fork, so that a signal cannot fall between it and the note.
        let mut debts = debts();
        let inner = command.stderr(stderr).spawn().map_err(|error| format!("{what}: {error}"))?;
        debts.push(Debt::Group(inner.id()));
        Ok(Child { inner, what })
    }
}

impl Child {
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.inner.try_wait(), Ok(None))
    }

    /// Reads its next line of output; an end instead of a line is an error.
    pub fn line(&mut self) -> Result<String, String> {
        let output = self.inner.stdout.as_mut().ok_or("no output")?;
        let mut line = String::new();
        // One line at a time is asked for and each is awaited, so that nothing is left behind in this reader.
        BufReader::with_capacity(1, output).read_line(&mut line).map_err(|error| error.to_string())?;
        if line.is_empty() { Err(format!("{} ended without an answer", self.what)) } else { Ok(line) }
    }

    pub fn send_line(&mut self, line: &str) -> Result<(), String> {
        let input = self.inner.stdin.as_mut().ok_or("no input")?;
        writeln!(input, "{line}").map_err(|error| format!("{}: {error}", self.what))
    }

    /// All of its output, to its end.
    pub fn output(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let output = self.inner.stdout.as_mut().ok_or("no output")?;
        output.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }

    /// Asks, waits a little, then kills the group.
    pub fn stop(&mut self) {
        if self.is_running() {
            self.signal(Signal::TERM);
            self.wait_for_end(Duration::from_millis(1500));
        }
        signal_group(self.pid(), Signal::KILL);
        let _ = self.inner.wait();
        let pid = self.pid();
        debts().retain(|debt| !matches!(debt, Debt::Group(group) if *group == pid));
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// True when it ended in time.
    pub fn wait_for_end(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.is_running() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The process that `Start` forks: takes its place on the cores, asks for the death signal and becomes the program.
pub fn become_program(arguments: &[OsString]) -> Result<(), String> {
    let [cpus, death, program, rest @ ..] = arguments else { return Err("child: arguments".to_owned()) };
    let mut set = CpuSet::new();
    for cpu in cpus.to_string_lossy().split(',').filter_map(|cpu| cpu.parse().ok()) {
        set.set(cpu);
    }
    if set.count() > 0 {
        rustix::thread::sched_setaffinity(None, &set).map_err(|error| format!("affinity: {error}"))?;
    }
    let signal = if death == "term" { Signal::TERM } else { Signal::KILL };
    rustix::process::set_parent_process_death_signal(Some(signal)).map_err(|error| error.to_string())?;
    raise_file_limit();
    Err(Command::new(program).args(rest).exec().to_string())
}

/// Every socket is a file, and the default limit is small.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// A temporary folder that goes when it is dropped or the harness is interrupted.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Result<Self, String> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bench-harness-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        debts().push(Debt::Folder(path.clone()));
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        debts().retain(|debt| !matches!(debt, Debt::Folder(folder) if *folder == self.0));
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A second checkout of the repository at another commit, with the same promise.
pub struct Worktree {
    repository: PathBuf,
    pub folder: PathBuf,
}

impl Worktree {
    pub fn add(repository: &Path, folder: PathBuf, commit: &str) -> Result<Self, String> {
        debts().push(Debt::Worktree { repository: repository.to_owned(), folder: folder.clone() });
        let worktree = Self { repository: repository.to_owned(), folder };
        let mut git = Command::new("git");
        git.arg("-C").arg(repository).args(["worktree", "add", "--quiet", "--detach"]);
        let output = git.arg(&worktree.folder).arg(commit).output().map_err(|error| format!("git: {error}"))?;
        if output.status.success() {
            Ok(worktree)
        } else {
            Err(format!("git worktree add: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        debts().retain(|debt| !matches!(debt, Debt::Worktree { folder, .. } if *folder == self.folder));
        remove_worktree(&self.repository, &self.folder);
    }
}

fn remove_worktree(repository: &Path, folder: &Path) {
    let mut git = Command::new("git");
    git.arg("-C").arg(repository).args(["worktree", "remove", "--force"]).arg(folder);
    let _ = git.stderr(Stdio::null()).status();
}
