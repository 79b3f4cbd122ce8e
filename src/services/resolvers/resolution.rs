//! When a name is asked for, of which type, and when it is given up (manual 5.3.2): a state machine without sockets. A run
//! is made of attempts; an attempt asks all name servers at once, first for the preferred type and, after an error of all
//! of them, for the other one.
//!
//! ```text
//! Resting ──due──▶ Asking ──valid──────────────────────────▶ Resting (timeout resolve)
//!                  │  ▲ ▲ all erred: the other type at once,
//!                  │  │ └ then Pausing until timeout retry ─┐
//!                  │  └──── timeout retry: the next attempt ┘
//!                  └─ no attempt left ─▶ Resting, the run has failed
//! ```

use crate::base::clock::Millis;
use crate::model::resolvers::{Hold, Resolvers};
use crate::proto::dns::Kind;

/// Why a name server's answer, or a whole run, is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such name.
    Nx,
    Refused,
    Timeout,
    /// Any other error, malformed and empty answers among them.
    Other,
}

impl Trouble {
    /// As log lines give the reason of a maintenance.
    pub fn reason(self) -> &'static str {
        match self {
            Trouble::Nx => "DNS NX status",
            Trouble::Refused => "DNS refused status",
            Trouble::Timeout => "DNS timeout status",
            Trouble::Other => "unspecified DNS error",
        }
    }

    /// How long it is overlooked after the last valid answer.
    fn hold_ms(self, hold: &Hold) -> u64 {
        match self {
            Trouble::Nx => hold.nx_ms,
            Trouble::Refused => hold.refused_ms,
            Trouble::Timeout => hold.timeout_ms,
            Trouble::Other => hold.other_ms,
        }
    }
}

/// The types a run asks for: the preferred one, and what is asked when that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    pub first: Kind,
    pub second: Option<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Resting { until: Millis },
    Asking { sent: Millis, kind: Kind, left: usize, trouble: Option<Trouble> },
    Pausing { until: Millis },
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// Ask every name server for this type.
    Ask(Kind),
    /// The run is over without a valid answer.
    Failed(Trouble),
}

#[derive(Debug)]
pub struct Resolution {
    phase: Phase,
    kinds: Kinds,
    /// Attempts of this run that are left, the present one included.
    attempts: u32,
    /// The last valid answer, or the first question while there was none: what `hold` counts from.
    valid: Option<Millis>,
}

impl Resolution {
    /// To be asked for at `due`.
    pub fn new(kinds: Kinds, due: Millis) -> Resolution {
        Resolution { phase: Phase::Resting { until: due }, kinds, attempts: 0, valid: None }
    }

    /// When [`Resolution::advance`] has something to do at the latest.
    pub fn due(&self, settings: &Resolvers) -> Millis {
        match self.phase {
            Phase::Resting { until } | Phase::Pausing { until } => until,
            Phase::Asking { sent, .. } => sent.plus(settings.timeout_retry_ms),
        }
    }

    #[cfg(test)]
    fn is_resting(&self) -> bool {
        matches!(self.phase, Phase::Resting { .. })
    }

    /// The type asked for at present.
    pub fn asking(&self) -> Option<Kind> {
        match self.phase {
            Phase::Asking { kind, .. } => Some(kind),
            _ => None,
        }
    }

    /// A resting name is asked for at `at`, if it was not to be earlier.
    pub fn hurry(&mut self, at: Millis) {
        if let Phase::Resting { until } = &mut self.phase {
            *until = at.min(*until);
        }
    }

    /// A resting name is not asked for again by itself.
    pub fn rest(&mut self) {
        if let Phase::Resting { until } = &mut self.phase {
            *until = Millis::NEVER;
        }
    }

    /// What time has brought. `kinds` are those of a run that begins now; `servers` is how many are asked.
    pub fn advance(&mut self, kinds: Kinds, servers: usize, settings: &Resolvers, now: Millis) -> Step {
        if now < self.due(settings) {
            return Step::Nothing;
        }
        match self.phase {
            Phase::Resting { .. } => {
                self.kinds = kinds;
                self.attempts = settings.resolve_retries.max(1);
                self.valid.get_or_insert(now);
                self.ask(kinds.first, servers, now)
            }
            Phase::Pausing { .. } => self.ask(self.kinds.first, servers, now),
            // Some have erred and the others are silent: that is an error, not a timeout (manual 5.3.2).
            Phase::Asking { sent, kind, trouble: Some(trouble), .. } => {
                self.erred(kind, sent, trouble, servers, settings, now)
            }
            Phase::Asking { .. } => {
                self.attempts -= 1;
                match self.attempts {
                    0 => self.give_up(Trouble::Timeout, settings, now),
                    _ => self.ask(self.kinds.first, servers, now),
                }
            }
        }
    }

    /// One of the name servers answered with an error; that of the last one counts.
    pub fn failed(&mut self, trouble: Trouble, servers: usize, settings: &Resolvers, now: Millis) -> Step {
        let Phase::Asking { sent, kind, left, .. } = self.phase else { return Step::Nothing };
        if left > 1 {
            self.phase = Phase::Asking { sent, kind, left: left - 1, trouble: Some(trouble) };
            return Step::Nothing;
        }
        self.erred(kind, sent, trouble, servers, settings, now)
    }

    /// One of the name servers gave a valid answer: the run is over.
    pub fn answered(&mut self, settings: &Resolvers, now: Millis) {
        self.valid = Some(now);
        self.phase = Phase::Resting { until: now.plus(settings.timeout_resolve_ms) };
    }

    /// Whether this failure is to be overlooked for now.
    pub fn holds(&self, trouble: Trouble, settings: &Resolvers, now: Millis) -> bool {
        self.valid.is_some_and(|valid| now.since(valid) < trouble.hold_ms(&settings.hold))
    }

    /// Whether the last valid answer is young enough to be given again (`hold valid`).
    pub fn is_fresh(&self, settings: &Resolvers, now: Millis) -> bool {
        self.valid.is_some_and(|valid| now.since(valid) < settings.hold.valid_ms)
    }

    fn ask(&mut self, kind: Kind, servers: usize, now: Millis) -> Step {
        self.phase = Phase::Asking { sent: now, kind, left: servers, trouble: None };
        Step::Ask(kind)
    }

    fn erred(
        &mut self,
        kind: Kind,
        sent: Millis,
        trouble: Trouble,
        servers: usize,
        settings: &Resolvers,
        now: Millis,
    ) -> Step {
        if let Some(second) = self.kinds.second.filter(|_| kind == self.kinds.first) {
            return self.ask(second, servers, now);
        }
        self.attempts -= 1;
        if self.attempts == 0 {
            return self.give_up(trouble, settings, now);
        }
        self.phase = Phase::Pausing { until: sent.plus(settings.timeout_retry_ms) };
        Step::Nothing
    }

    fn give_up(&mut self, trouble: Trouble, settings: &Resolvers, now: Millis) -> Step {
        self.phase = Phase::Resting { until: now.plus(settings.timeout_resolve_ms) };
        Step::Failed(trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::origin::Origin;

    const V4_FIRST: Kinds = Kinds { first: Kind::A, second: Some(Kind::Aaaa) };

    fn settings(retries: u32) -> Resolvers {
        let mut r = Resolvers::new("r", Origin::none());
        (r.resolve_retries, r.timeout_resolve_ms, r.timeout_retry_ms) = (retries, 400, 150);
        (r.hold.nx_ms, r.hold.timeout_ms, r.hold.valid_ms) = (300, 1000, 50);
        r
    }

    #[test]
    fn errors_lead_to_the_other_type_then_to_the_next_attempt_then_to_the_end() {
        let s = settings(2);
        let mut r = Resolution::new(V4_FIRST, Millis(1000));
        assert_eq!(r.advance(V4_FIRST, 1, &s, Millis(999)), Step::Nothing);
        assert_eq!(r.advance(V4_FIRST, 1, &s, Millis(1000)), Step::Ask(Kind::A));
        assert_eq!(r.failed(Trouble::Nx, 1, &s, Millis(1001)), Step::Ask(Kind::Aaaa));
        assert_eq!(r.failed(Trouble::Nx, 1, &s, Millis(1002)), Step::Nothing);
        assert_eq!(r.due(&s), Millis(1151));
        assert_eq!(r.advance(V4_FIRST, 1, &s, Millis(1151)), Step::Ask(Kind::A));
        assert_eq!(r.failed(Trouble::Refused, 1, &s, Millis(1152)), Step::Ask(Kind::Aaaa));
        assert_eq!(r.failed(Trouble::Nx, 1, &s, Millis(1153)), Step::Failed(Trouble::Nx));
        assert_eq!(r.due(&s), Millis(1553));
        // Nothing was ever valid: `hold` counts from the first question.
        assert!(r.holds(Trouble::Nx, &s, Millis(1299)) && !r.holds(Trouble::Nx, &s, Millis(1300)));
    }

    #[test]
    fn silence_repeats_the_question_and_ends_the_run() {
        let s = settings(2);
        let mut r = Resolution::new(V4_FIRST, Millis(0));
        assert_eq!(r.advance(V4_FIRST, 2, &s, Millis(0)), Step::Ask(Kind::A));
        assert_eq!(r.advance(V4_FIRST, 2, &s, Millis(150)), Step::Ask(Kind::A));
        assert_eq!(r.advance(V4_FIRST, 2, &s, Millis(300)), Step::Failed(Trouble::Timeout));
        assert!(r.holds(Trouble::Timeout, &s, Millis(999)));
        assert_eq!(r.advance(V4_FIRST, 2, &s, Millis(699)), Step::Nothing);
        assert_eq!(r.advance(V4_FIRST, 2, &s, Millis(700)), Step::Ask(Kind::A));
    }

    #[test]
    fn one_valid_answer_beats_errors_of_others() {
        let s = settings(1);
        let mut r = Resolution::new(V4_FIRST, Millis(0));
        r.advance(V4_FIRST, 3, &s, Millis(0));
        assert_eq!(r.failed(Trouble::Nx, 3, &s, Millis(1)), Step::Nothing);
        assert_eq!(r.failed(Trouble::Refused, 3, &s, Millis(2)), Step::Nothing);
        assert_eq!(r.asking(), Some(Kind::A));
        r.answered(&s, Millis(3));
        assert!(r.is_resting() && r.is_fresh(&s, Millis(52)) && !r.is_fresh(&s, Millis(53)));
        assert_eq!(r.failed(Trouble::Nx, 3, &s, Millis(4)), Step::Nothing, "it comes too late");
        assert_eq!(r.due(&s), Millis(403));
    }

    #[test]
    fn an_error_of_one_and_silence_of_the_other_is_an_error() {
        let s = settings(1);
        let mut r = Resolution::new(V4_FIRST, Millis(0));
        r.advance(V4_FIRST, 2, &s, Millis(0));
        assert_eq!(r.failed(Trouble::Nx, 2, &s, Millis(1)), Step::Nothing);
        assert_eq!(r.advance(V4_FIRST, 2, &s, Millis(150)), Step::Ask(Kind::Aaaa));
        assert_eq!(r.failed(Trouble::Nx, 2, &s, Millis(151)), Step::Nothing);
        assert_eq!(r.advance(V4_FIRST, 2, &s, Millis(300)), Step::Failed(Trouble::Nx));
    }

    #[test]
    fn service_records_have_no_other_type() {
        let s = settings(1);
        let srv = Kinds { first: Kind::Srv, second: None };
        let mut r = Resolution::new(srv, Millis(0));
        assert_eq!(r.advance(srv, 1, &s, Millis(0)), Step::Ask(Kind::Srv));
        assert_eq!(r.failed(Trouble::Other, 1, &s, Millis(1)), Step::Failed(Trouble::Other));
    }

    #[test]
    fn a_name_can_be_hurried_and_laid_to_rest() {
        let s = settings(1);
        let mut r = Resolution::new(V4_FIRST, Millis(0));
        r.rest();
        assert_eq!(r.advance(V4_FIRST, 1, &s, Millis(1 << 40)), Step::Nothing);
        r.hurry(Millis(7));
        assert_eq!(r.advance(V4_FIRST, 1, &s, Millis(7)), Step::Ask(Kind::A));
    }
}
