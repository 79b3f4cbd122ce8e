//! The names of one `resolvers` section: who wants them, what is known of them, and what their answers do to servers. Has no
//! socket and no clock: bytes and time come in, [`Output`]s go out, servers change through the live state.

use super::answers::{Flaw, Known, Target, Valid, judge};
use super::resolution::{Kinds, Resolution, Step, Trouble};
use super::slots::Slot;
use crate::base::clock::Millis;
use crate::base::slab::{Key, Slab};
use crate::model::plan::{Plan, ProxyIndex, ServerIndex};
use crate::model::resolvers::{Families, Resolvers};
use crate::model::server::ResolvePrefer;
use crate::model::state::event::Event;
use crate::model::state::live::Live;
use crate::model::state::nameserver::Counters;
use crate::proto::dns::{self, Kind};
use std::collections::HashMap;
use std::net::IpAddr;

mod servers;

/// Names that rules asked for and no server has, at most; beyond, those that nobody waits for make room, or the rule
/// gets no address.
pub const LOOKUPS_MAX: usize = 1024;
/// Questions without an answer at most: a sixteenth of the ids, so that a guess stays a guess.
const ASKED_MAX: usize = 4096;
const IDS_TRIED: usize = 64;

/// What is to be done for the names.
#[derive(Debug)]
pub enum Output {
    /// To be sent to every name server.
    Ask(Vec<u8>),
    /// To be sent to this name server over TCP: its answer was cut.
    AskOverTcp(usize, Vec<u8>),
    /// For whoever asked by [`Names::look_up`].
    Found(Asker, Option<IpAddr>),
    Happened(Vec<Event>),
}

/// Who waits for a name: a worker, and its number for the question.
pub type Asker = (usize, Key);

/// What is wanted of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Want {
    Addresses(ResolvePrefer),
    Targets,
}

struct Name {
    text: Box<str>,
    want: Want,
    resolution: Resolution,
    addresses: Known<IpAddr>,
    targets: Known<Target>,
    slots: Vec<usize>,
    askers: Vec<Asker>,
    /// Servers have come or gone, or lost what they had: the next answer is looked at even if it is the last one again.
    stale: bool,
    /// The question that waits for answers: its id, its bytes, and which name servers have yet to answer.
    question: Option<Question>,
}

struct Question {
    id: u16,
    bytes: Vec<u8>,
    silent: Vec<bool>,
}

/// A server, and the names it hangs on.
struct Member {
    slot: Slot,
    ignores_weight: bool,
    /// Weight of the record, to see it change.
    weight: Option<u16>,
    /// The SRV label.
    record: Option<Key>,
    /// The host name: its own, or its record's target.
    host: Option<Key>,
}

pub struct Names {
    settings: Resolvers,
    /// `section/nameserver`, as logs name them.
    labels: Vec<String>,
    pub counters: Vec<Counters>,
    /// Runs that ended without a valid answer, since they were asked for last.
    failures: u64,
    members: Vec<Member>,
    names: Slab<Name>,
    by_text: HashMap<(Box<str>, Want), Key>,
    asked: HashMap<u16, Key>,
    /// No name is due before.
    next: Millis,
    random: Box<dyn FnMut() -> u16>,
    /// Address families that may be asked for and used.
    pub families: Families,
    outputs: Vec<Output>,
}

impl Names {
    /// The names that servers of the plan want from section `index`, due at once. `random` gives ids of questions.
    pub fn new(plan: &Plan, live: &Live, index: usize, random: Box<dyn FnMut() -> u16>, now: Millis) -> Names {
        let settings = plan.resolvers[index].clone();
        let labels = settings.nameservers.iter().map(|n| format!("{}/{}", settings.name, n.name)).collect();
        let counters = vec![Counters::default(); settings.nameservers.len()];
        let mut names = Names {
            settings,
            labels,
            counters,
            failures: 0,
            members: Vec::new(),
            names: Slab::new(),
            by_text: HashMap::new(),
            asked: HashMap::new(),
            next: Millis::NEVER,
            random,
            families: Families::BOTH,
            outputs: Vec::new(),
        };
        for (p, proxy) in plan.proxies.iter().enumerate().filter(|(_, p)| p.has_backend && !p.disabled) {
            for s in 0..proxy.backend.servers.len() {
                names.enrol(live, p, s, now);
            }
        }
        names
    }

    fn enrol(&mut self, live: &Live, proxy: ProxyIndex, server: ServerIndex, now: Millis) {
        let Some(s) = live.server(proxy, server) else { return };
        let settings = &*s.settings;
        if settings.resolvers.as_deref() != Some(&*self.settings.name) {
            return;
        }
        let Some(host) = settings.host_name() else { return };
        let address = s.address().and_then(|a| a.ip());
        let slot = Slot::new(proxy, server, settings, address);
        let ignores_weight = settings.resolve_opts.ignore_weight;
        self.members.push(Member { slot, ignores_weight, weight: None, record: None, host: None });
        let member = self.members.len() - 1;
        let detail = s.detail();
        if let Some(label) = settings.srv_label() {
            // A state file may have told which record it stands for.
            self.members[member].slot.target = detail.name.map(|name| (name.as_ref().into(), detail.port));
            self.members[member].record = Some(self.join(member, label, Want::Targets, now));
        } else {
            let name = detail.name.as_deref().unwrap_or(host).to_owned();
            let want = Want::Addresses(settings.resolve_prefer);
            self.members[member].host = Some(self.join(member, &name, want, now));
        }
    }

    /// What was left to be done by the calls before.
    pub fn outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    pub fn settings(&self) -> &Resolvers {
        &self.settings
    }

    // ---- who wants which name ----

    fn join(&mut self, member: usize, text: &str, want: Want, now: Millis) -> Key {
        let key = self.name(text, want, now);
        if let Some(name) = self.names.get_mut(key) {
            name.slots.push(member);
            name.stale = true;
            name.resolution.hurry(now);
        }
        self.next = self.next.min(now);
        key
    }

    fn name(&mut self, text: &str, want: Want, now: Millis) -> Key {
        let text: Box<str> = text.to_ascii_lowercase().into();
        if let Some(key) = self.by_text.get(&(text.clone(), want)) {
            return *key;
        }
        let key = self.names.insert(Name {
            text: text.clone(),
            want,
            resolution: Resolution::new(kinds(want, self.families), now),
            addresses: Known::default(),
            targets: Known::default(),
            slots: Vec::new(),
            askers: Vec::new(),
            stale: true,
            question: None,
        });
        self.by_text.insert((text, want), key);
        key
    }

    fn leave(&mut self, member: usize, key: Key) {
        let Some(name) = self.names.get_mut(key) else { return };
        name.slots.retain(|m| *m != member);
        if name.slots.is_empty() && name.askers.is_empty() {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(name) = self.names.remove(key) {
            self.by_text.remove(&(name.text, name.want));
            if let Some(question) = name.question {
                self.asked.remove(&question.id);
            }
        }
    }

    /// `do-resolve`: an address of `text`, from what is known for `hold valid` or from the name servers.
    pub fn look_up(&mut self, asker: Asker, text: &str, prefer: ResolvePrefer, now: Millis) {
        let want = Want::Addresses(prefer);
        if !dns::question(0, text, Kind::A, 0, &mut Vec::new()) || !self.has_room(text, want) {
            return self.outputs.push(Output::Found(asker, None));
        }
        let key = self.name(text, want, now);
        let Some(name) = self.names.get_mut(key) else { return };
        if name.resolution.is_fresh(&self.settings, now)
            && let Some(ip) = name.best()
        {
            return self.outputs.push(Output::Found(asker, Some(ip)));
        }
        name.askers.push(asker);
        name.resolution.hurry(now);
        self.next = self.next.min(now);
    }

    /// Whether one more looked up name may be there; one that is not wanted any more may have to go for it.
    fn has_room(&mut self, text: &str, want: Want) -> bool {
        if self.names.len() < LOOKUPS_MAX || self.by_text.contains_key(&(text.to_ascii_lowercase().into(), want)) {
            return true;
        }
        let lookups = self.names.iter().filter(|(_, n)| n.slots.is_empty());
        if lookups.count() < LOOKUPS_MAX {
            return true;
        }
        let idle = |n: &Name| n.slots.is_empty() && n.askers.is_empty();
        let idle: Vec<Key> = self.names.iter().filter(|(_, n)| idle(n)).map(|(key, _)| key).collect();
        for key in &idle {
            self.forget(*key);
        }
        !idle.is_empty()
    }

    /// `set server … fqdn`: the sentence for the answer.
    ///
    /// # Errors
    /// Why not, in HAProxy's words.
    pub fn rename(
        &mut self,
        live: &Live,
        (proxy, server): (ProxyIndex, ServerIndex),
        text: &str,
        by: &str,
        now: Millis,
    ) -> Option<Result<String, String>> {
        let member = self.member(proxy, server)?;
        if self.members[member].record.is_some() {
            return Some(Err("set server <b>/<s> fqdn failed because SRV resolution is configured.".into()));
        }
        if !dns::question(0, text, Kind::A, 0, &mut Vec::new()) {
            return Some(Err(format!("set server <b>/<s> fqdn failed: '{text}' is no host name.")));
        }
        let Some(sentence) = live.rename(proxy, server, text, by) else {
            return Some(Ok(format!("no need to change the FDQN by '{by}'")));
        };
        if let Some(old) = self.members[member].host.take() {
            self.leave(member, old);
        }
        let want = Want::Addresses(self.members[member].slot.prefer);
        self.members[member].host = Some(self.join(member, text, want, now));
        Some(Ok(sentence))
    }

    /// A check could not connect in time: perhaps the server has moved (manual 5.3.1).
    pub fn hurry(&mut self, proxy: ProxyIndex, server: ServerIndex, now: Millis) {
        let Some(member) = self.member(proxy, server) else { return };
        let member = &self.members[member];
        for key in [member.record, member.host].into_iter().flatten() {
            if let Some(name) = self.names.get_mut(key) {
                name.resolution.hurry(now);
                self.next = self.next.min(now);
            }
        }
    }

    fn member(&self, proxy: ProxyIndex, server: ServerIndex) -> Option<usize> {
        self.members.iter().position(|m| (m.slot.proxy, m.slot.server) == (proxy, server))
    }

    // ---- questions and answers ----

    /// Asks for what is due and gives up what has waited too long; when to call again.
    pub fn advance(&mut self, live: &Live, plan: &Plan, now: Millis) -> Millis {
        if now < self.next {
            return self.next;
        }
        let settings = &self.settings;
        let due = self.names.iter().filter(|(_, n)| n.resolution.due(settings) <= now);
        for key in due.map(|(key, _)| key).collect::<Vec<_>>() {
            let servers = self.counters.len();
            let Some(name) = self.names.get_mut(key) else { continue };
            let silence = name.resolution.asking().is_some();
            let kinds = kinds(name.want, self.families);
            let step = name.resolution.advance(kinds, servers, &self.settings, now);
            if silence && let Some(question) = &name.question {
                let silent = self.counters.iter_mut().zip(&question.silent).filter(|(_, silent)| **silent);
                silent.for_each(|(counters, _)| counters.timeout += 1);
            }
            self.follow(live, plan, key, step, now);
        }
        self.next = self.names.iter().map(|(_, n)| n.resolution.due(&self.settings)).min().unwrap_or(Millis::NEVER);
        self.next
    }

    fn follow(&mut self, live: &Live, plan: &Plan, key: Key, step: Step, now: Millis) {
        match step {
            Step::Nothing => {}
            Step::Ask(kind) => self.ask(key, kind),
            Step::Failed(trouble) => self.failed(live, plan, key, trouble, now),
        }
        if let Some(name) = self.names.get(key) {
            self.next = self.next.min(name.resolution.due(&self.settings));
        }
    }

    fn ask(&mut self, key: Key, kind: Kind) {
        let Some(name) = self.names.get_mut(key) else { return };
        if let Some(old) = name.question.take() {
            self.asked.remove(&old.id);
        }
        // Beyond the bound nothing is sent, and the attempt ends by its timeout.
        if self.asked.len() >= ASKED_MAX {
            return;
        }
        // Nearly always the first one is free; should randomness fail, the attempt ends by its timeout too.
        let asked = &self.asked;
        let Some(id) = (0..IDS_TRIED).map(|_| (self.random)()).find(|id| !asked.contains_key(id)) else { return };
        let mut bytes = Vec::new();
        let payload = self.settings.accepted_payload_size.min(u16::MAX.into()) as u16;
        if !dns::question(id, &name.text, kind, payload, &mut bytes) {
            return;
        }
        self.asked.insert(id, key);
        name.question = Some(Question { id, bytes: bytes.clone(), silent: vec![true; self.counters.len()] });
        self.outputs.push(Output::Ask(bytes));
    }

    /// What a name server sent. `stream`: over TCP, which nothing cuts.
    pub fn received(
        &mut self,
        live: &Live,
        plan: &Plan,
        nameserver: usize,
        message: &[u8],
        stream: bool,
        now: Millis,
    ) {
        let counters = &mut self.counters[nameserver];
        if !stream && message.len() > self.settings.accepted_payload_size as usize {
            counters.too_big += 1;
            return;
        }
        let Some((id, _)) = message.split_first_chunk::<2>() else {
            counters.invalid += 1;
            return;
        };
        let key = self.asked.get(&u16::from_be_bytes(*id)).copied();
        let Some((key, name)) = key.and_then(|key| Some((key, self.names.get_mut(key)?))) else {
            counters.outdated += 1;
            return;
        };
        let (Some(question), Some(kind)) = (&mut name.question, name.resolution.asking()) else {
            counters.outdated += 1;
            return;
        };
        if !question.silent[nameserver] {
            counters.outdated += 1;
            return;
        }
        let answer = match dns::answer(message) {
            Ok(answer) if answer.truncated && !stream && is_asked(&answer, &name.text, kind) => {
                counters.truncated += 1;
                let bytes = question.bytes.clone();
                return self.outputs.push(Output::AskOverTcp(nameserver, bytes));
            }
            Ok(answer) => judge(&answer, &name.text, kind, |ip| self.families.has(ip)),
            Err(_) => Err(Flaw::Invalid),
        };
        question.silent[nameserver] = false;
        match answer {
            Ok((valid, aliased)) => {
                counters.valid += 1;
                counters.cname += u64::from(aliased);
                self.valid(live, plan, key, valid, nameserver, now);
            }
            Err(flaw) => {
                flaw.count(counters);
                let step = name.resolution.failed(flaw.trouble(), self.counters.len(), &self.settings, now);
                self.follow(live, plan, key, step, now);
            }
        }
    }

    /// A question could not be asked over TCP, or its answer did not come.
    pub fn unanswered(&mut self, live: &Live, plan: &Plan, nameserver: usize, id: u16, now: Millis) {
        let Some(key) = self.asked.get(&id).copied() else { return };
        let Some(name) = self.names.get_mut(key) else { return };
        let Some(question) = name.question.as_mut().filter(|q| q.silent[nameserver]) else { return };
        question.silent[nameserver] = false;
        let step = name.resolution.failed(Trouble::Other, self.counters.len(), &self.settings, now);
        self.follow(live, plan, key, step, now);
    }

    fn over(&mut self, key: Key, answer: impl Fn(&Name) -> Option<IpAddr>) {
        let Some(name) = self.names.get_mut(key) else { return };
        if let Some(question) = name.question.take() {
            self.asked.remove(&question.id);
        }
        let ip = answer(name);
        self.outputs.extend(name.askers.drain(..).map(|asker| Output::Found(asker, ip)));
        if name.slots.is_empty() {
            name.resolution.rest();
        }
    }

    fn valid(&mut self, live: &Live, plan: &Plan, key: Key, valid: Valid, nameserver: usize, now: Millis) {
        let Some(name) = self.names.get_mut(key) else { return };
        name.resolution.answered(&self.settings, now);
        self.next = self.next.min(name.resolution.due(&self.settings));
        let obsolete_ms = self.settings.hold.obsolete_ms;
        let changed = match valid {
            Valid::Addresses(list) => name.addresses.update(list, obsolete_ms, now),
            Valid::Targets(list) => name.targets.update(list, obsolete_ms, now),
        };
        let lacks = |member: &usize| self.members[*member].slot.address.is_none();
        let updated = match (changed || name.stale || name.slots.iter().any(lacks), name.want) {
            (false, _) => false,
            (true, Want::Addresses(_)) => self.give_addresses(live, key, Some(nameserver), now),
            (true, Want::Targets) => {
                self.give_targets(live, plan, key, now);
                false
            }
        };
        self.counters[nameserver].update += u64::from(updated);
        self.over(key, Name::best);
    }

    /// Runs that have ended without a valid answer since the last call.
    pub fn take_failures(&mut self) -> u64 {
        std::mem::take(&mut self.failures)
    }

    fn failed(&mut self, live: &Live, plan: &Plan, key: Key, trouble: Trouble, now: Millis) {
        self.failures += 1;
        self.over(key, |_| None);
        let Some(name) = self.names.get_mut(key) else { return };
        if name.resolution.holds(trouble, &self.settings, now) {
            return;
        }
        name.addresses.clear();
        name.targets.clear();
        name.stale = true;
        match name.want {
            Want::Targets => self.give_targets(live, plan, key, now),
            Want::Addresses(_) => {
                let mut events = Vec::new();
                for member in name.slots.clone() {
                    let slot = &mut self.members[member].slot;
                    if slot.address.take().is_some() {
                        events.extend(live.unresolved(slot.proxy, slot.server, trouble.reason(), now));
                    }
                }
                self.tell(events);
            }
        }
    }

    fn tell(&mut self, events: Vec<Event>) {
        if !events.is_empty() {
            self.outputs.push(Output::Happened(events));
        }
    }
}

impl Name {
    /// The address that a rule gets.
    fn best(&self) -> Option<IpAddr> {
        let prefers_v4 = self.want == Want::Addresses(ResolvePrefer::Ipv4);
        let preferred = self.addresses.list().find(|ip| ip.is_ipv4() == prefers_v4);
        preferred.or_else(|| self.addresses.list().next()).copied()
    }
}

fn is_asked(answer: &dns::Answer, name: &str, kind: Kind) -> bool {
    answer.question.1 == kind.number() && answer.question.0.eq_ignore_ascii_case(name)
}

/// What to ask for: the preferred family first, and only those that are accepted.
fn kinds(want: Want, families: Families) -> Kinds {
    let Want::Addresses(prefer) = want else { return Kinds { first: Kind::Srv, second: None } };
    let (first, second) = match prefer {
        ResolvePrefer::Ipv4 => (Kind::A, Kind::Aaaa),
        ResolvePrefer::Ipv6 => (Kind::Aaaa, Kind::A),
    };
    match families {
        Families { ipv4: true, ipv6: true } => Kinds { first, second: Some(second) },
        Families { ipv6: false, .. } => Kinds { first: Kind::A, second: None },
        Families { ipv4: false, .. } => Kinds { first: Kind::Aaaa, second: None },
    }
}
