//! Health as checks see it (manual 5.2 "rise", "fall"; management guide "show servers state"): the results of a check
//! and the counter that turns results into up and down. Pure.

use crate::model::server::InitState;
use std::time::Duration;

/// Result of a check, with HAProxy's short name, number in `srv_check_status`, and description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckStatus {
    #[default]
    Unknown,
    Initialized,
    /// A run begins; shown as `* ` before the last result.
    Started,
    SocketError,
    L4Timeout,
    L4Connection,
    L4Ok,
    L6Timeout,
    L6Response,
    L6Ok,
    L7Timeout,
    L7Response,
    L7Ok,
    L7OkConditional,
    L7Status,
    /// Failures seen in traffic (`observe`).
    Analysis,
    /// An agent answered and said nothing of the server's health.
    Checked,
    ProcessError,
    ProcessTimeout,
    ProcessOk,
}

impl CheckStatus {
    /// Column `check_status`.
    pub const fn name(self) -> &'static str {
        use CheckStatus::*;
        match self {
            Unknown => "UNK",
            Initialized => "INI",
            Started => "CHK",
            SocketError => "SOCKERR",
            L4Timeout => "L4TOUT",
            L4Connection => "L4CON",
            L4Ok => "L4OK",
            L6Timeout => "L6TOUT",
            L6Response => "L6RSP",
            L6Ok => "L6OK",
            L7Timeout => "L7TOUT",
            L7Response => "L7RSP",
            L7Ok => "L7OK",
            L7OkConditional => "L7OKC",
            L7Status => "L7STS",
            Analysis => "HANA",
            Checked => "CHECKED",
            ProcessError => "PROCERR",
            ProcessTimeout => "PROCTOUT",
            ProcessOk => "PROCOK",
        }
    }

    /// Number in `show servers state`.
    pub fn number(self) -> u32 {
        use CheckStatus::*;
        match self {
            Unknown => 0,
            Initialized => 1,
            Started => 2,
            Analysis => 3,
            Checked => 4,
            SocketError => 5,
            L4Ok => 6,
            L4Timeout => 7,
            L4Connection => 8,
            L6Ok => 9,
            L6Timeout => 10,
            L6Response => 11,
            L7Timeout => 12,
            L7Response => 13,
            L7Ok => 15,
            L7OkConditional => 16,
            L7Status => 17,
            ProcessError => 18,
            ProcessTimeout => 19,
            ProcessOk => 20,
        }
    }

    pub fn description(self) -> &'static str {
        use CheckStatus::*;
        match self {
            Unknown => "",
            Initialized => "Initializing",
            Started => "Checking",
            Analysis => "Health analyze",
            Checked => "No status change",
            SocketError => "Socket error",
            L4Ok => "Layer4 check passed",
            L4Timeout => "Layer4 timeout",
            L4Connection => "Layer4 connection problem",
            L6Ok => "Layer6 check passed",
            L6Timeout => "Layer6 timeout",
            L6Response => "Layer6 invalid response",
            L7Timeout => "Layer7 timeout",
            L7Response => "Layer7 invalid response",
            L7Ok => "Layer7 check passed",
            L7OkConditional => "Layer7 check conditionally passed",
            L7Status => "Layer7 wrong status",
            ProcessError => "External check error",
            ProcessTimeout => "External check timeout",
            ProcessOk => "External check passed",
        }
    }

    /// Number in `srv_check_result`: 0 unknown, 1 neutral, 2 failed, 3 passed, 4 conditionally passed.
    pub fn result(self) -> u32 {
        use CheckStatus::*;
        match self {
            Unknown | Initialized | Started => 0,
            Checked => 1,
            L4Ok | L6Ok | L7Ok | ProcessOk => 3,
            L7OkConditional => 4,
            _ => 2,
        }
    }

    /// Whether a code belongs to the result: of the protocol, or the exit code of a program. It is told even when it is 0.
    pub fn has_code(self) -> bool {
        use CheckStatus::*;
        matches!(self, L7Ok | L7OkConditional | L7Status | ProcessOk | ProcessError | ProcessTimeout)
    }
}

/// How the last check went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    pub status: CheckStatus,
    /// HTTP or SMTP status, or the code of the service; 0 for none.
    pub code: u16,
    pub duration: Duration,
    /// What the server or the system said: `last_chk`; empty when there is nothing to say.
    pub info: String,
}

impl CheckReport {
    /// `reason: …, code: …, info: "…", check duration: …ms` of log lines.
    pub fn reason(&self) -> String {
        let mut text = format!("reason: {}", self.status.description());
        if self.status.has_code() {
            text.push_str(&format!(", code: {}", self.code));
        }
        if !self.info.is_empty() {
            text.push_str(", info: \"");
            push_escaped(&self.info, &mut text);
            text.push('"');
        }
        // What traffic showed took no check.
        if self.status != CheckStatus::Analysis {
            text.push_str(&format!(", check duration: {}ms", self.duration.as_millis()));
        }
        text
    }
}

/// What would break a log line is written as `<22>`, as HAProxy does.
fn push_escaped(info: &str, out: &mut String) {
    for c in info.chars() {
        match c {
            ' '..='~' if !matches!(c, '"' | '<' | '>') => out.push(c),
            _ => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|b| out.push_str(&format!("<{b:02X}>")));
            }
        }
    }
}

/// The rise and fall counter: up from `rise` on, at most `rise + fall - 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    pub value: u32,
    pub rise: u32,
    pub fall: u32,
}

/// What a result did to a [`Health`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    None,
    Up,
    Down,
}

impl Health {
    /// As a server starts: it is taken for up although nothing was counted, and for down at the first failure.
    pub fn starting(rise: u32, fall: u32) -> Health {
        Health { value: 0, rise: rise.max(1), fall: fall.max(1) }
    }

    /// As a server leaves maintenance: just up, down at the next failure.
    pub fn just_up(self) -> Health {
        Health { value: self.rise, ..self }
    }

    /// As `init-state` wants a server that starts or leaves maintenance (manual 5.2).
    pub fn initial(self, state: InitState) -> Health {
        let value = match state {
            InitState::None | InitState::Up => self.rise,
            InitState::FullyUp => self.rise + self.fall - 1,
            InitState::Down => self.rise - 1,
            InitState::FullyDown => 0,
        };
        Health { value, ..self }
    }

    pub fn is_up(&self) -> bool {
        self.value >= self.rise
    }

    pub fn passed(&mut self) -> Turn {
        let was_up = self.is_up();
        self.value += 1;
        if self.is_up() {
            self.value = self.rise + self.fall - 1;
            if !was_up {
                return Turn::Up;
            }
        }
        Turn::None
    }

    pub fn failed(&mut self) -> Turn {
        if self.value > self.rise {
            self.value -= 1;
            return Turn::None;
        }
        let was_up = self.is_up();
        self.value = 0;
        if was_up { Turn::Down } else { Turn::None }
    }

    /// Sets to surely up or down, as the runtime API does.
    pub fn force(&mut self, up: bool) {
        self.value = if up { self.rise + self.fall - 1 } else { 0 };
    }

    /// `1/3`: how far a server that is up or down is from its next turn, for the `status` column; `None` when it is
    /// settled.
    pub fn progress(&self, up: bool) -> Option<(u32, u32)> {
        if up {
            let settled = self.value + 1 >= self.rise + self.fall;
            (!settled).then(|| ((self.value + 1).saturating_sub(self.rise), self.fall))
        } else {
            (self.value > 0).then_some((self.value, self.rise))
        }
    }

    /// `status: 2/3 UP` of `option log-health-checks`.
    pub fn status(&self) -> String {
        match self.is_up() {
            true => format!("status: {}/{} UP", self.value + 1 - self.rise, self.fall),
            false => format!("status: {}/{} DOWN", self.value, self.rise),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_failure_after_the_start_is_down_later_it_takes_fall_of_them() {
        let mut health = Health::starting(2, 3);
        assert_eq!(health.progress(true), Some((0, 3)));
        assert_eq!(health.just_up().progress(true), Some((1, 3)));
        assert_eq!(health.just_up().failed(), Turn::Down);
        assert_eq!((health.passed(), health.progress(false)), (Turn::None, Some((1, 2))));
        assert_eq!(health.status(), "status: 1/2 DOWN");
        assert_eq!((health.passed(), health.value), (Turn::Up, 4));
        assert_eq!((health.progress(true), health.status()), (None, "status: 3/3 UP".into()));
        assert_eq!((health.failed(), health.progress(true)), (Turn::None, Some((2, 3))));
        assert_eq!((health.failed(), health.progress(true)), (Turn::None, Some((1, 3))));
        assert_eq!((health.failed(), health.value), (Turn::Down, 0));
    }

    #[test]
    fn a_failure_between_successes_starts_again() {
        let mut health = Health { value: 0, rise: 3, fall: 1 };
        assert_eq!([health.passed(), health.failed(), health.passed(), health.passed()], [Turn::None; 4]);
        assert_eq!(health.passed(), Turn::Up);
        assert_eq!(health.failed(), Turn::Down);
    }
}
