//! What an answer says of a name, and what is known of it over a while: records that an answer no longer has are kept for
//! `hold obsolete` (manual 5.3.2). Pure.

use super::resolution::Trouble;
use crate::base::clock::Millis;
use crate::model::state::nameserver::Counters;
use crate::proto::dns::{Answer, Code, Data, Kind, Record};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

/// Records of one answer that are looked at; more are not.
pub const RECORDS_MAX: usize = 1024;
/// Records known of one name, those kept as obsolete among them; the oldest of these go first.
const KNOWN_MAX: usize = 2 * RECORDS_MAX;

/// Aliases that are followed one after the other.
const ALIASES_MAX: usize = 16;

/// Where an SRV record leads (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: Box<str>,
    pub port: u16,
    pub weight: u16,
    /// From the additional records.
    pub address: Option<IpAddr>,
}

/// A valid answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Valid {
    Addresses(Vec<IpAddr>),
    Targets(Vec<Target>),
}

/// Why an answer is none; each has a counter in `show resolvers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    Nx,
    Refused,
    /// Any other code of the server's.
    Code,
    /// It answers another question, or has records of other names.
    Invalid,
    /// An alias leads to no address.
    Alias,
    /// The name is there, and has no such record.
    Empty,
}

impl Flaw {
    pub fn count(self, counters: &mut Counters) {
        let counter = match self {
            Flaw::Nx => &mut counters.nx,
            Flaw::Refused => &mut counters.refused,
            Flaw::Code => &mut counters.other,
            Flaw::Invalid => &mut counters.invalid,
            Flaw::Alias => &mut counters.cname_error,
            Flaw::Empty => &mut counters.any_err,
        };
        *counter += 1;
    }

    pub fn trouble(self) -> Trouble {
        match self {
            Flaw::Nx => Trouble::Nx,
            Flaw::Refused => Trouble::Refused,
            Flaw::Code | Flaw::Invalid | Flaw::Alias | Flaw::Empty => Trouble::Other,
        }
    }
}

/// What the answer to a question for `name` says; whether an alias led there.
///
/// # Errors
/// Why it is of no use.
pub fn judge(
    answer: &Answer,
    name: &str,
    kind: Kind,
    accepts: impl Fn(IpAddr) -> bool,
) -> Result<(Valid, bool), Flaw> {
    if answer.question.1 != kind.number() || !answer.question.0.eq_ignore_ascii_case(name) {
        return Err(Flaw::Invalid);
    }
    match answer.code {
        Code::NoError => {}
        Code::NameError => return Err(Flaw::Nx),
        Code::Refused => return Err(Flaw::Refused),
        _ => return Err(Flaw::Code),
    }
    let records = &answer.answers[..answer.answers.len().min(RECORDS_MAX)];
    let owner = follow(records, name);
    let aliased = !owner.eq_ignore_ascii_case(name);
    let own = || records.iter().filter(|r| r.name.eq_ignore_ascii_case(owner));
    let valid = match kind {
        Kind::Srv => {
            let mut addresses = HashMap::new();
            for record in answer.additional.iter().take(RECORDS_MAX) {
                if let Some(ip) = address(record).filter(|ip| accepts(*ip)) {
                    addresses.entry(record.name.as_str()).or_insert(ip);
                }
            }
            Valid::Targets(own().filter_map(|r| target(r, &addresses)).collect())
        }
        _ => Valid::Addresses(own().filter_map(|r| address(r).filter(|ip| is_of(*ip, kind))).collect()),
    };
    let none = match &valid {
        Valid::Addresses(list) => list.is_empty(),
        Valid::Targets(list) => list.is_empty(),
    };
    match none {
        false => Ok((valid, aliased)),
        true if aliased => Err(Flaw::Alias),
        true if records.is_empty() => Err(Flaw::Empty),
        true => Err(Flaw::Invalid),
    }
}

/// The name at the end of the aliases that begin at `name`, or where there are too many. A circle ends somewhere on it.
fn follow<'a>(records: &'a [Record], name: &'a str) -> &'a str {
    let mut owner = name;
    for _ in 0..ALIASES_MAX {
        let next = records.iter().find_map(|r| match &r.data {
            Data::Alias(to) if r.name.eq_ignore_ascii_case(owner) => Some(to.as_str()),
            _ => None,
        });
        match next {
            Some(next) => owner = next,
            None => break,
        }
    }
    owner
}

fn address(record: &Record) -> Option<IpAddr> {
    match record.data {
        Data::Address(ip) => Some(ip),
        _ => None,
    }
}

fn is_of(ip: IpAddr, kind: Kind) -> bool {
    ip.is_ipv4() == (kind == Kind::A)
}

/// `addresses`: those of the additional records, by name in lower case, as the codec gives names.
fn target(record: &Record, addresses: &HashMap<&str, IpAddr>) -> Option<Target> {
    let Data::Service { weight, port, target, .. } = &record.data else { return None };
    // A target of "." says that there is no such service (RFC 2782).
    let name = target.as_str();
    (!name.is_empty()).then(|| Target {
        name: name.into(),
        port: *port,
        weight: *weight,
        address: addresses.get(name).copied(),
    })
}

/// What identifies a record among those of one name.
pub trait Identity {
    type Key: Hash + Eq;
    fn key(&self) -> Self::Key;
}

impl Identity for IpAddr {
    type Key = IpAddr;
    fn key(&self) -> IpAddr {
        *self
    }
}

impl Identity for Target {
    type Key = (Box<str>, u16);
    fn key(&self) -> (Box<str>, u16) {
        (self.name.clone(), self.port)
    }
}

/// What is known of a name: records in the order in which they came first, and when each was seen last.
#[derive(Debug)]
pub struct Known<T>(Vec<(T, Millis)>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Known(Vec::new())
    }
}

impl<T: Identity + PartialEq> Known<T> {
    pub fn list(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(record, _)| record)
    }

    /// Takes an answer in. Records that it lacks stay for `obsolete_ms` after they were seen last. True when anything
    /// is different now.
    pub fn update(&mut self, answer: Vec<T>, obsolete_ms: u64, now: Millis) -> bool {
        let mut changed = false;
        let mut places: HashMap<T::Key, usize> =
            self.0.iter().enumerate().map(|(place, (known, _))| (known.key(), place)).collect();
        for record in answer {
            match places.get(&record.key()).and_then(|place| self.0.get_mut(*place)) {
                Some((known, seen)) => {
                    changed |= *known != record;
                    (*known, *seen) = (record, now);
                }
                None => {
                    places.insert(record.key(), self.0.len());
                    self.0.push((record, now));
                    changed = true;
                }
            }
        }
        let before = self.0.len();
        self.0.retain(|(_, seen)| *seen == now || now.since(*seen) < obsolete_ms);
        while self.0.len() > KNOWN_MAX {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, (_, seen))| *seen).map_or(0, |(i, _)| i);
            self.0.remove(oldest);
        }
        changed || self.0.len() != before
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn record(name: &str, data: Data) -> Record {
        Record { name: name.into(), ttl_s: 1, data }
    }

    fn answer(name: &str, kind: Kind, answers: Vec<Record>) -> Answer {
        Answer {
            id: 1,
            code: Code::NoError,
            truncated: false,
            question: (name.into(), kind.number()),
            answers,
            additional: Vec::new(),
        }
    }

    fn judged(a: &Answer, name: &str, kind: Kind) -> Result<(Valid, bool), Flaw> {
        judge(a, name, kind, |_| true)
    }

    #[test]
    fn addresses_are_those_of_the_name_or_of_its_alias() {
        let address = |name: &str, ip: &str| record(name, Data::Address(ip.parse().unwrap()));
        let alias = |name: &str, to: &str| record(name, Data::Alias(to.into()));
        let plain = answer("a.b", Kind::A, vec![address("a.b", "10.0.0.1"), address("a.b", "10.0.0.2")]);
        let both = Valid::Addresses(vec![ip("10.0.0.1"), ip("10.0.0.2")]);
        assert_eq!(judged(&plain, "A.B", Kind::A), Ok((both, false)));
        let aliased = answer("a.b", Kind::A, vec![alias("a.b", "c"), alias("c", "d"), address("d", "10.0.0.9")]);
        assert_eq!(judged(&aliased, "a.b", Kind::A), Ok((Valid::Addresses(vec![ip("10.0.0.9")]), true)));
        let lost = answer("a.b", Kind::A, vec![alias("a.b", "c"), address("d", "10.0.0.9")]);
        assert_eq!(judged(&lost, "a.b", Kind::A), Err(Flaw::Alias));
        let circle = answer("a", Kind::A, vec![alias("a", "b"), alias("b", "a"), alias("c", "a")]);
        assert!(judged(&circle, "a", Kind::A).is_err());
        let strange = answer("a.b", Kind::A, vec![address("x.y", "10.0.0.1")]);
        assert_eq!(judged(&strange, "a.b", Kind::A), Err(Flaw::Invalid));
        assert_eq!(judged(&answer("a.b", Kind::A, vec![]), "a.b", Kind::A), Err(Flaw::Empty));
        assert_eq!(judged(&plain, "other", Kind::A), Err(Flaw::Invalid));
        assert_eq!(judged(&plain, "a.b", Kind::Aaaa), Err(Flaw::Invalid));
    }

    #[test]
    fn codes_are_flaws() {
        for (code, flaw) in [
            (Code::NameError, Flaw::Nx),
            (Code::Refused, Flaw::Refused),
            (Code::ServerFailure, Flaw::Code),
            (Code::Other(9), Flaw::Code),
        ] {
            let a = Answer { code, ..answer("a", Kind::A, vec![]) };
            assert_eq!(judged(&a, "a", Kind::A), Err(flaw));
        }
    }

    #[test]
    fn targets_take_their_address_from_the_additional_records() {
        let service =
            |port, target: &str| record("_s", Data::Service { priority: 1, weight: 5, port, target: target.into() });
        let mut a = answer("_s", Kind::Srv, vec![service(80, "n0"), service(81, "n1"), service(0, "")]);
        a.additional = vec![record("n1", Data::Address(ip("::1"))), record("n1", Data::Address(ip("10.0.0.1")))];
        let (valid, _) = judge(&a, "_s", Kind::Srv, |ip| ip.is_ipv4()).unwrap();
        let target = |name: &str, port, address| Target { name: name.into(), port, weight: 5, address };
        assert_eq!(valid, Valid::Targets(vec![target("n0", 80, None), target("n1", 81, Some(ip("10.0.0.1")))]));
    }

    #[test]
    fn records_stay_until_they_are_obsolete() {
        let mut known = Known::default();
        assert!(known.update(vec![ip("1.1.1.1"), ip("2.2.2.2")], 300, Millis(1000)));
        assert!(!known.update(vec![ip("2.2.2.2"), ip("1.1.1.1")], 300, Millis(1100)));
        assert!(known.update(vec![ip("3.3.3.3")], 300, Millis(1399)));
        assert_eq!(known.list().count(), 3);
        assert!(known.update(vec![ip("3.3.3.3")], 300, Millis(1400)));
        assert_eq!(known.list().collect::<Vec<_>>(), [&ip("3.3.3.3")]);
        assert!(known.update(vec![ip("4.4.4.4")], 0, Millis(1401)));
        assert_eq!(known.list().count(), 1);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut known = Known::default();
        for round in 0..10u32 {
            let fresh = (0..RECORDS_MAX as u32).map(|i| IpAddr::from((round << 16 | i).to_be_bytes())).collect();
            known.update(fresh, u64::MAX, Millis(round as u64));
        }
        assert_eq!(known.list().count(), KNOWN_MAX);
        assert!(known.list().any(|a| *a == IpAddr::from((9u32 << 16).to_be_bytes())), "the newest stay");
    }
}
