//! All stick tables of the plan, numbered: what every worker must know to find a key's home. Frozen but for the count of
//! entries, which all homes share.

use crate::language::sample::args::Reference;
use crate::model::plan::{Plan, ProxyIndex};
use crate::model::stick_table::data::Layout;
use crate::model::stick_table::shard::Usage;
use crate::model::stick_table::{KeyType, StickTable, StoredData, key};
use std::sync::Arc;

/// Number of a table.
pub type TableId = u16;

/// One table.
pub struct Def {
    pub name: String,
    pub key: KeyType,
    pub layout: Arc<Layout>,
    pub usage: Arc<Usage>,
    pub expire_ms: Option<u64>,
    pub nopurge: bool,
    /// `srvkey addr`.
    pub server_key_address: bool,
}

pub struct Registry {
    pub defs: Vec<Def>,
    of_proxy: Vec<Option<TableId>>,
    seed: u64,
    workers: usize,
}

impl Registry {
    /// `seed` makes keys' homes unknown outside.
    pub fn new(plan: &Plan, workers: usize, seed: u64) -> Registry {
        let sticky = |name: &str| {
            plan.proxies
                .iter()
                .any(|p| p.backend.stick_rules.iter().any(|r| r.table.as_deref().unwrap_or(&p.name) == name))
        };
        let mut defs = Vec::new();
        let mut of_proxy = Vec::new();
        for p in &plan.proxies {
            let table = p.backend.stick_table.as_ref().map(|t| def(t, &t.name, sticky(&t.name)));
            of_proxy.push(table.as_ref().map(|_| defs.len() as TableId));
            defs.extend(table);
        }
        for t in plan.peers.iter().flat_map(|p| &p.tables) {
            defs.push(def(t, &t.name, sticky(&t.name)));
        }
        Registry { defs, of_proxy, seed, workers: workers.max(1) }
    }

    pub fn is_empty(&self) -> bool {
        self.defs.is_empty()
    }

    pub fn named(&self, name: &str) -> Option<TableId> {
        self.defs.iter().position(|d| d.name == name).map(|i| i as TableId)
    }

    pub fn of_proxy(&self, proxy: ProxyIndex) -> Option<TableId> {
        self.of_proxy.get(proxy).copied().flatten()
    }

    /// The table that an expression or action names.
    pub fn of(&self, reference: &Reference) -> Option<TableId> {
        match reference.index.get() {
            Some((proxy, _)) if *proxy < self.of_proxy.len() => self.of_proxy(*proxy),
            _ if reference.name.is_empty() => self.named(&reference.proxy),
            _ => self.named(&reference.name),
        }
    }

    pub fn def(&self, table: TableId) -> &Def {
        &self.defs[table as usize]
    }

    pub fn hash(&self, table: TableId, key: &[u8]) -> u64 {
        key::hash(key, table, self.seed)
    }

    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The worker that holds the entries with this hash.
    pub fn home(&self, hash: u64) -> usize {
        // The upper half: the lower bits choose the place in the home's own table.
        ((hash >> 32) * self.workers as u64 >> 32) as usize
    }
}

fn def(t: &StickTable, name: &str, sticky: bool) -> Def {
    let mut store = t.store.clone();
    if sticky {
        // What `stick` rules remember is stored without being asked for.
        for name in ["server_id", "server_key"] {
            if !store.iter().any(|s| s.name == name) {
                store.push(StoredData { name, elements: 1, period_ms: None });
            }
        }
    }
    Def {
        name: name.to_owned(),
        key: t.key,
        layout: Arc::new(Layout::new(&store)),
        usage: Arc::new(Usage::new(t.size)),
        expire_ms: t.expire_ms,
        nopurge: t.nopurge,
        server_key_address: t.server_key_address,
    }
}
