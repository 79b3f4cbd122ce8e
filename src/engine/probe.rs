//! Which driver a process runs on: io_uring where the kernel grants it, else its twin on epoll, unless the environment
//! says which. The choice is made once, at the start, and everyone who asks is told it and its reason.

use super::driver::{Driver, epoll::Epoll, uring::Uring};
use std::fmt;
use std::io;

/// Names the engine instead of the probe: `uring` or `epoll`.
pub const VARIABLE: &str = "RINGWAY_ENGINE";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    #[default]
    Uring,
    Epoll,
}

impl Engine {
    pub const ALL: [Engine; 2] = [Engine::Uring, Engine::Epoll];

    pub fn name(self) -> &'static str {
        match self {
            Engine::Uring => "io_uring",
            Engine::Epoll => "epoll",
        }
    }

    /// A driver for one more thread.
    ///
    /// # Errors
    /// When the kernel refuses: the message says why and, where it is known, what to do.
    pub fn driver(self) -> io::Result<Box<dyn Driver>> {
        Ok(match self {
            Engine::Uring => Box::new(Uring::new()?),
            Engine::Epoll => Box::new(Epoll::new()?),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the first choice.
    Preferred,
    /// The environment names it.
    Asked,
    /// The kernel refuses the first choice, with this message.
    Refused(String),
}

/// The engine of a process, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub engine: Engine,
    pub reason: Reason,
}

impl Choice {
    /// Asks the environment, then the kernel. `epoll` is whether the command line and the configuration allow it
    /// (manual 3.2 "noepoll").
    ///
    /// # Errors
    /// A line that says why there is no engine.
    pub fn make(epoll: bool) -> Result<Choice, String> {
        let asked = std::env::var(VARIABLE).unwrap_or_default();
        Choice::of(&asked, epoll, |engine| engine.driver().map(drop))
    }

    fn of(asked: &str, epoll: bool, probe: impl Fn(Engine) -> io::Result<()>) -> Result<Choice, String> {
        let forbidden = "epoll is switched off by 'noepoll' or '-de'";
        let asked = match asked {
            "" => None,
            "uring" | "io_uring" => Some(Engine::Uring),
            "epoll" if !epoll => return Err(format!("{VARIABLE} asks for epoll, and {forbidden}.")),
            "epoll" => Some(Engine::Epoll),
            other => return Err(format!("{VARIABLE} expects 'uring' or 'epoll', not '{other}'.")),
        };
        let refusal = match probe(asked.unwrap_or_default()) {
            Ok(()) if asked.is_some() => {
                return Ok(Choice { engine: asked.unwrap_or_default(), reason: Reason::Asked });
            }
            Ok(()) => return Ok(Choice { engine: Engine::Uring, reason: Reason::Preferred }),
            Err(e) => e.to_string(),
        };
        if asked.is_some() {
            return Err(format!("{VARIABLE}: {refusal}."));
        }
        if !epoll {
            return Err(format!("{refusal}; {forbidden}."));
        }
        match probe(Engine::Epoll) {
            Ok(()) => Ok(Choice { engine: Engine::Epoll, reason: Reason::Refused(refusal) }),
            Err(e) => Err(format!("{refusal}; cannot set up epoll: {e}.")),
        }
    }

    /// What the user must know of it.
    pub fn notice(&self) -> Option<String> {
        match &self.reason {
            Reason::Preferred | Reason::Asked => None,
            Reason::Refused(why) => Some(format!(
                "{why}. Using {} instead ({VARIABLE}={0} says so without this notice).",
                self.engine.name()
            )),
        }
    }
}

/// As a value of `show info`: scripts split its lines at ": ".
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.engine.name())?;
        match &self.reason {
            Reason::Preferred => Ok(()),
            Reason::Asked => write!(f, " ({VARIABLE} asks for it)"),
            Reason::Refused(why) => write!(f, " ({})", why.replace(": ", ", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(_: Engine) -> io::Result<()> {
        Ok(())
    }

    fn without_ring(engine: Engine) -> io::Result<()> {
        if engine == Engine::Uring { Err(io::Error::other("no ring")) } else { Ok(()) }
    }

    #[test]
    fn the_ring_comes_first_and_epoll_stands_in_for_it() {
        let first = Choice::of("", true, granted).unwrap();
        assert_eq!((first.engine, first.notice(), first.to_string()), (Engine::Uring, None, "io_uring".into()));
        let second = Choice::of("", true, without_ring).unwrap();
        assert_eq!((second.engine, second.to_string()), (Engine::Epoll, "epoll (no ring)".into()));
        let notice = second.notice().unwrap();
        assert!(notice.starts_with("no ring. Using epoll instead") && !notice.contains('\n'), "{notice}");
    }

    #[test]
    fn what_the_environment_asks_for_is_what_runs_or_an_error() {
        let asked = Choice::of("epoll", true, granted).unwrap();
        assert_eq!((asked.engine, asked.notice()), (Engine::Epoll, None));
        assert_eq!(asked.to_string(), "epoll (RINGWAY_ENGINE asks for it)");
        assert_eq!(Choice::of("uring", true, granted).unwrap().engine, Engine::Uring);
        assert_eq!(Choice::of("uring", true, without_ring).unwrap_err(), "RINGWAY_ENGINE: no ring.");
        let wrong = Choice::of("kqueue", true, granted).unwrap_err();
        assert_eq!(wrong, "RINGWAY_ENGINE expects 'uring' or 'epoll', not 'kqueue'.");
    }

    #[test]
    fn epoll_that_is_switched_off_is_not_used() {
        assert_eq!(Choice::of("", false, granted).unwrap().engine, Engine::Uring);
        for asked in ["", "epoll"] {
            let error = Choice::of(asked, false, without_ring).unwrap_err();
            assert!(error.ends_with("epoll is switched off by 'noepoll' or '-de'."), "{error}");
        }
    }
}
