//! All stick tables of the plan, numbered: what every worker must know to find a key's home. Frozen but for the count of
//! entries, which all homes share.

use crate::base::origin::Origin;
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
    /// The `peers` section that it is shared through.
    pub peers: Option<usize>,
    /// Also what peers count of their own is learned (`recv-only`).
    pub recv_only: bool,
    /// The table that learns tags and servers too (`write-to`).
    pub write_to: Option<TableId>,
}

pub struct Registry {
    pub defs: Vec<Def>,
    of_proxy: Vec<Option<TableId>>,
    /// The last one declared first, as listings have it.
    shown: Vec<TableId>,
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
        let section = |name: &str| plan.peers.iter().position(|p| p.name == name && !p.disabled);
        let mut defs = Vec::new();
        let mut write_to = Vec::new();
        let mut of_proxy = Vec::new();
        for p in &plan.proxies {
            let table = p.backend.stick_table.as_ref();
            of_proxy.push(table.map(|_| defs.len() as TableId));
            defs.extend(table.map(|t| def(t, sticky(&t.name), t.peers.as_deref().and_then(section))));
            write_to.extend(table.map(|t| &t.write_to));
        }
        for (index, t) in plan.peers.iter().enumerate().flat_map(|(i, p)| p.tables.iter().map(move |t| (i, t))) {
            defs.push(def(t, sticky(&t.name), Some(index).filter(|i| !plan.peers[*i].disabled)));
            write_to.push(&t.write_to);
        }
        for (from, name) in write_to.into_iter().enumerate() {
            let target = name.as_ref().and_then(|name| defs.iter().position(|d| d.name == *name));
            defs[from].write_to = target.map(|t| t as TableId);
        }
        let shown = shown(plan);
        Registry { defs, of_proxy, shown, seed, workers: workers.max(1) }
    }

    /// The tables in the order of `show table`.
    pub fn shown(&self) -> impl Iterator<Item = TableId> + '_ {
        self.shown.iter().copied()
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
        (((hash >> 32) * self.workers as u64) >> 32) as usize
    }
}

/// Numbers of the tables, the last one declared first.
fn shown(plan: &Plan) -> Vec<TableId> {
    let of_proxies = plan.proxies.iter().filter_map(|p| p.backend.stick_table.as_ref());
    let origins: Vec<_> = of_proxies.chain(plan.peers.iter().flat_map(|p| &p.tables)).map(|t| &t.origin).collect();
    let file = |o: &Origin| origins.iter().position(|other| other.file == o.file);
    let mut shown: Vec<TableId> = (0..origins.len() as TableId).collect();
    shown.sort_by_key(|i| (file(origins[*i as usize]), origins[*i as usize].line));
    shown.reverse();
    shown
}

fn def(t: &StickTable, sticky: bool, peers: Option<usize>) -> Def {
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
        name: t.name.clone(),
        key: t.key,
        layout: Arc::new(Layout::new(&store)),
        usage: Arc::new(Usage::new(t.size)),
        expire_ms: t.expire_ms,
        nopurge: t.nopurge,
        server_key_address: t.server_key_address,
        peers,
        recv_only: t.recv_only,
        write_to: None,
    }
}
