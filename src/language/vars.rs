//! Variables (manual 2.8): named values in scopes. A name is its scope and a hash of the rest, so that finding one
//! is a walk over a few numbers. Values keep their memory when a scope is cleared.

use super::sample::Sample;
use super::scratch::Pool;
use arc_swap::ArcSwap;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;

/// Scopes of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Proc,
    Sess,
    Txn,
    Req,
    Res,
    Check,
}

/// A variable's name, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VarName {
    pub scope: Scope,
    pub id: u64,
    pub text: Arc<str>,
}

impl VarName {
    /// Parses `scope.name`. The error is HAProxy's text.
    pub fn parse(text: &str) -> Result<VarName, String> {
        let (scope, name) = text.split_once('.').unwrap_or((text, ""));
        let scope = match scope {
            _ if !text.contains('.') => None,
            "proc" => Some(Scope::Proc),
            "sess" => Some(Scope::Sess),
            "txn" => Some(Scope::Txn),
            "req" => Some(Scope::Req),
            "res" => Some(Scope::Res),
            "check" => Some(Scope::Check),
            "psess" | "ptxn" | "preq" | "pres" => return Err(super::words::unsupported(text)),
            _ => None,
        };
        let Some(scope) = scope else {
            return Err(format!(
                "invalid variable name '{text}'. A variable name must start with its scope. The scope can be 'proc', \
                 '(p)sess', '(p)txn', '(p)req', '(p)res' or 'check'"
            ));
        };
        match name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_' && *c != '.') {
            Some(c) => Err(format!("invalid syntax at char '{c}'")),
            None => Ok(VarName { scope, id: crate::base::hash::xxh64(name.as_bytes(), 0), text: text.into() }),
        }
    }
}

/// An owned value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Sint(i64),
    Ip(IpAddr),
    Str(Vec<u8>),
    Bin(Vec<u8>),
    Meth(Vec<u8>),
}

impl Value {
    /// Bytes that count against `tune.vars.*` beside the fixed cost of an entry.
    fn size(&self) -> usize {
        match self {
            Value::Str(b) | Value::Bin(b) | Value::Meth(b) => b.len(),
            _ => 0,
        }
    }

    /// The value itself as a sample.
    pub fn lend(&self) -> Sample<'_> {
        match self {
            Value::Bool(b) => Sample::Bool(*b),
            Value::Sint(n) => Sample::Sint(*n),
            Value::Ip(a) => Sample::Ip(*a),
            Value::Str(b) => Sample::str(b),
            Value::Bin(b) => Sample::Bin((&b[..]).into()),
            Value::Meth(b) => Sample::Meth((&b[..]).into()),
        }
    }

    /// The value as a sample whose bytes are copied to a pooled buffer.
    fn sample<'c>(&self, pool: &'c Pool) -> Sample<'c> {
        let copy = |bytes: &[u8]| {
            let mut b = pool.buf();
            b.extend_from_slice(bytes);
            b.into()
        };
        match self {
            Value::Bool(b) => Sample::Bool(*b),
            Value::Sint(n) => Sample::Sint(*n),
            Value::Ip(a) => Sample::Ip(*a),
            Value::Str(b) => Sample::Str(copy(b)),
            Value::Bin(b) => Sample::Bin(copy(b)),
            Value::Meth(b) => Sample::Meth(copy(b)),
        }
    }

    /// Becomes `sample`, keeping its memory where it can.
    fn assign(&mut self, sample: &Sample<'_>) {
        let mut memory = match std::mem::replace(self, Value::Bool(false)) {
            Value::Str(b) | Value::Bin(b) | Value::Meth(b) => b,
            _ => Vec::new(),
        };
        memory.clear();
        if let Some(bytes) = sample.bytes() {
            memory.extend_from_slice(bytes);
        }
        *self = match sample {
            Sample::Bool(b) => Value::Bool(*b),
            Sample::Sint(n) => Value::Sint(*n),
            Sample::Ip(a) => Value::Ip(*a),
            Sample::Str(_) => Value::Str(memory),
            Sample::Bin(_) => Value::Bin(memory),
            Sample::Meth(_) => Value::Meth(memory),
        };
    }
}

/// Fixed cost of a variable against `tune.vars.*`, near HAProxy's own on 64-bit machines.
const ENTRY_BYTES: usize = 64;

#[derive(Debug)]
struct Entry {
    id: u64,
    set: bool,
    value: Value,
}

/// The variables of one scope.
#[derive(Debug)]
pub struct Store {
    entries: RefCell<Vec<Entry>>,
    used: Cell<usize>,
    bytes_max: Cell<usize>,
}

impl Default for Store {
    fn default() -> Self {
        Store { entries: RefCell::default(), used: Cell::new(0), bytes_max: Cell::new(usize::MAX) }
    }
}

impl Store {
    /// Limits what this scope holds (`tune.vars.*`).
    pub fn limit(&self, bytes_max: usize) {
        self.bytes_max.set(bytes_max);
    }

    pub fn get<'c>(&self, id: u64, pool: &'c Pool) -> Option<Sample<'c>> {
        self.entries.borrow().iter().find(|e| e.id == id && e.set).map(|e| e.value.sample(pool))
    }

    /// Sets a variable; false when the scope is full.
    pub fn set(&self, id: u64, sample: &Sample<'_>) -> bool {
        let mut entries = self.entries.borrow_mut();
        let at = entries.iter().position(|e| e.id == id);
        let old = at.map_or(0, |i| if entries[i].set { entries[i].value.size() + ENTRY_BYTES } else { 0 });
        let used = self.used.get() - old + ENTRY_BYTES + sample.bytes().map_or(0, <[u8]>::len);
        if used > self.bytes_max.get() {
            return false;
        }
        self.used.set(used);
        match at {
            Some(i) => {
                entries[i].value.assign(sample);
                entries[i].set = true;
            }
            None => {
                let mut value = Value::Bool(false);
                value.assign(sample);
                entries.push(Entry { id, set: true, value });
            }
        }
        true
    }

    pub fn unset(&self, id: u64) {
        if let Some(e) = self.entries.borrow_mut().iter_mut().find(|e| e.id == id && e.set) {
            self.used.set(self.used.get() - e.value.size() - ENTRY_BYTES);
            e.set = false;
        }
    }

    /// What is set.
    pub fn export(&self) -> Vec<(u64, Value)> {
        self.entries.borrow().iter().filter(|e| e.set).map(|e| (e.id, e.value.clone())).collect()
    }

    /// Unsets all, keeping the memory for the next use.
    pub fn clear(&self) {
        self.entries.borrow_mut().iter_mut().for_each(|e| e.set = false);
        self.used.set(0);
    }
}

/// Variables of the whole process: read by all workers, changed rarely.
#[derive(Debug, Default)]
pub struct ProcStore {
    values: ArcSwap<Vec<(u64, Arc<str>, Value)>>,
}

impl ProcStore {
    pub fn get<'c>(&self, id: u64, pool: &'c Pool) -> Option<Sample<'c>> {
        self.values.load().iter().find(|e| e.0 == id).map(|e| e.2.sample(pool))
    }

    pub fn set(&self, name: &VarName, sample: &Sample<'_>) {
        self.values.rcu(|old| {
            let mut new: Vec<_> = old.iter().filter(|e| e.0 != name.id).cloned().collect();
            let mut value = Value::Bool(false);
            value.assign(sample);
            new.push((name.id, name.text.clone(), value));
            new
        });
    }

    pub fn unset(&self, id: u64) {
        self.values.rcu(|old| old.iter().filter(|e| e.0 != id).cloned().collect::<Vec<_>>());
    }
}

/// All scopes that a stream sees.
#[derive(Debug, Default)]
pub struct Vars {
    pub proc: Arc<ProcStore>,
    pub sess: std::rc::Rc<Store>,
    pub txn: Store,
    pub req: Store,
    pub res: Store,
    pub check: Store,
}

impl Vars {
    pub fn get<'c>(&self, name: &VarName, pool: &'c Pool) -> Option<Sample<'c>> {
        match self.store(name.scope) {
            Some(store) => store.get(name.id, pool),
            None => self.proc.get(name.id, pool),
        }
    }

    /// Sets a variable; false when its scope is full.
    pub fn set(&self, name: &VarName, sample: &Sample<'_>) -> bool {
        match self.store(name.scope) {
            Some(store) => store.set(name.id, sample),
            None => {
                self.proc.set(name, sample);
                true
            }
        }
    }

    pub fn unset(&self, name: &VarName) {
        match self.store(name.scope) {
            Some(store) => store.unset(name.id),
            None => self.proc.unset(name.id),
        }
    }

    /// Forgets what belongs to one stream.
    pub fn clear_stream(&self) {
        self.txn.clear();
        self.req.clear();
        self.res.clear();
    }

    fn store(&self, scope: Scope) -> Option<&Store> {
        match scope {
            Scope::Proc => None,
            Scope::Sess => Some(&self.sess),
            Scope::Txn => Some(&self.txn),
            Scope::Req => Some(&self.req),
            Scope::Res => Some(&self.res),
            Scope::Check => Some(&self.check),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_lives_in_its_scope_until_it_is_unset_or_cleared() {
        let (vars, pool) = (Vars::default(), Pool::new());
        let txn = VarName::parse("txn.a").unwrap();
        let sess = VarName::parse("sess.a").unwrap();
        assert!(vars.set(&txn, &Sample::str(b"x")));
        assert!(vars.get(&sess, &pool).is_none());
        assert_eq!(vars.get(&txn, &pool).unwrap().bytes(), Some(&b"x"[..]));
        vars.unset(&txn);
        assert!(vars.get(&txn, &pool).is_none());
        assert!(vars.set(&txn, &Sample::Sint(3)));
        vars.clear_stream();
        assert!(vars.get(&txn, &pool).is_none());
    }

    #[test]
    fn a_full_scope_refuses_and_keeps_what_it_has() {
        let (store, pool) = (Store::default(), Pool::new());
        store.limit(100);
        assert!(store.set(1, &Sample::str(b"0123456789")));
        assert!(!store.set(1, &Sample::str(&[b'x'; 50])));
        assert_eq!(store.get(1, &pool).unwrap().bytes(), Some(&b"0123456789"[..]));
        store.unset(1);
        assert!(store.set(2, &Sample::Sint(1)));
    }

    #[test]
    fn names_need_a_scope_and_plain_characters() {
        assert!(VarName::parse("foo").unwrap_err().starts_with("invalid variable name 'foo'."));
        assert_eq!(VarName::parse("txn.x-y").unwrap_err(), "invalid syntax at char '-'");
    }
}
