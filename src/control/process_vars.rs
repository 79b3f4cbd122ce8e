//! Variables of the process that `global` sets (manual 3.1 "set-var"), evaluated in their order when it starts, and that the
//! runtime API sets later.

use crate::base::clock::Now;
use crate::language::context::{Context, Payload, Side};
use crate::language::facts::{Session, Stream};
use crate::language::sample::Sample;
use crate::language::scratch::Pool;
use crate::language::vars::{ProcStore, Vars};
use crate::language::world::{ProcessFact, World};
use crate::model::global::{Global, ProcessValue, ProcessVar};
use std::cell::OnceCell;
use std::sync::Arc;

/// What the expressions may ask about the process.
struct Process<'a> {
    global: &'a Global,
    hostname: &'a str,
    random: u64,
}

impl World for Process<'_> {
    fn random(&self) -> u64 {
        self.random
    }

    fn hostname(&self) -> &str {
        self.hostname
    }

    fn process(&self, fact: ProcessFact) -> Option<i64> {
        match fact {
            ProcessFact::Pid => Some(std::process::id().into()),
            ProcessFact::Threads => Some(self.global.nbthread as i64),
            _ => None,
        }
    }
}

/// The variables of a process that starts `now`.
pub fn set(global: &Global, hostname: &str, now: Now, seed: u64) -> Arc<ProcStore> {
    let vars = Vars::default();
    for (at, var) in (1u64..).zip(&global.process_vars) {
        let random = crate::base::hash::xxh64(&seed.to_ne_bytes(), at);
        set_one(&vars, var, &Process { global, hostname, random }, now);
    }
    vars.proc.clone()
}

/// Sets a variable while the process runs.
pub fn set_again(proc: &Arc<ProcStore>, var: &ProcessVar, global: &Global, hostname: &str, now: Now) {
    let vars = Vars { proc: proc.clone(), ..Vars::default() };
    let random = crate::base::hash::xxh64(&now.nanos.to_ne_bytes(), 0);
    set_one(&vars, var, &Process { global, hostname, random }, now);
}

fn set_one(vars: &Vars, var: &ProcessVar, world: &Process<'_>, now: Now) {
    let pool = Pool::new();
    {
        let context = Context {
            session: &mut Session::default(),
            stream: &mut Stream::default(),
            request: None,
            early: OnceCell::new(),
            response: None,
            request_payload: Payload::default(),
            response_payload: Payload::default(),
            side: Side::Request,
            last_chance: true,
            vars,
            pool: &pool,
            world,
            now,
            recorder: None,
        };
        match &var.value {
            ProcessValue::Expr(expr) => {
                if let Some(sample) = expr.eval(&context) {
                    vars.set(&var.name, &sample);
                }
            }
            ProcessValue::Format(format) => {
                let mut text = Vec::new();
                format.write(&context, &mut text);
                vars.set(&var.name, &Sample::str(&text));
            }
        }
    }
}
