//! What the expressions and formats of a check read: its server and backend by name, the answer, variables of scopes
//! `check`, `sess` and `proc` (manual 2.8). Made only for checks that evaluate something.

use crate::base::clock::Now;
use crate::language::context::{Context, Payload, Side};
use crate::language::facts::{Named, Session, Stream};
use crate::language::scratch::Pool;
use crate::language::vars::{ProcStore, Vars};
use crate::language::world::World;
use crate::proto::http::head::Head;
use std::cell::OnceCell;
use std::sync::Arc;

pub struct Env {
    session: Session,
    stream: Stream,
    vars: Vars,
    pool: Pool,
    random: u64,
    hostname: String,
}

impl Env {
    pub fn new(backend: Named, server: Named, proc: Arc<ProcStore>, random: u64, hostname: String) -> Env {
        Env {
            session: Session::default(),
            stream: Stream { backend: Some(backend), server: Some(server), ..Stream::default() },
            vars: Vars { proc, ..Vars::default() },
            pool: Pool::new(),
            random,
            hostname,
        }
    }

    /// Evaluates something; `head` and `payload` are of the answer.
    pub fn with<T>(
        &mut self,
        now: Now,
        head: Option<&mut Head>,
        payload: &[u8],
        run: impl FnOnce(&Context<'_>) -> T,
    ) -> T {
        self.random = crate::base::hash::xxh64(&self.random.to_ne_bytes(), now.nanos);
        if let Some(head) = &head {
            (self.stream.status, self.stream.server_status) = (head.status(), head.status());
        }
        let world = CheckWorld { random: self.random, hostname: &self.hostname };
        let payload = Payload { bytes: payload, complete: true, size: payload.len() as u64 };
        let context = Context {
            session: &mut self.session,
            stream: &mut self.stream,
            request: None,
            early: OnceCell::new(),
            response: head,
            request_payload: Payload::default(),
            response_payload: payload,
            side: Side::Response,
            last_chance: true,
            vars: &self.vars,
            pool: &self.pool,
            world: &world,
            now,
            recorder: None,
        };
        run(&context)
    }
}

struct CheckWorld<'a> {
    random: u64,
    hostname: &'a str,
}

impl World for CheckWorld<'_> {
    fn random(&self) -> u64 {
        self.random
    }

    fn hostname(&self) -> &str {
        self.hostname
    }
}
