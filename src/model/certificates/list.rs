//! Lists of certificates as the process holds them: those of `crt-list` files and of directories (manual 5.1), read once
//! for all bind lines that name them and edited while running (management guide "add ssl crt-list").

use super::certificate::reason;
use super::crt_list::{self, Bases, Line};
use super::store::{Slot, Store};
use crate::model::tls::{TlsGlobal, TlsOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certificate with what its line says. Bind lines that share a list share its entries.
#[derive(Debug)]
pub struct Entry {
    pub slot: Arc<Slot>,
    /// Of the line alone, without what the bind line and `global` say.
    pub options: TlsOptions,
    pub filters: Vec<String>,
    /// Line of the list, from 1; 0 for a file of a directory, and where there is no list.
    pub number: usize,
    /// Options and filters as `show ssl crt-list` has them.
    said: String,
}

/// One list.
#[derive(Debug, Clone, Default)]
pub struct List {
    pub entries: Vec<Arc<Entry>>,
    /// Lines that were read or added: the next one gets the number after it.
    pub lines: usize,
}

impl Entry {
    /// Of a `crt` word: no list, no options of its own.
    pub fn bare(slot: Arc<Slot>) -> Entry {
        Entry { slot, options: TlsOptions::default(), filters: Vec::new(), number: 0, said: String::new() }
    }

    /// Of a line whose certificate is this one.
    pub fn of(line: &Line, slot: Arc<Slot>, number: usize) -> Entry {
        Entry {
            slot,
            options: line.options.clone(),
            filters: line.filters.clone(),
            number,
            said: crt_list::said(line),
        }
    }

    /// `<file>[:<number>] [<options>] <filters>`, with a line end.
    pub fn show(&self, with_number: bool, out: &mut String) {
        out.push_str(&self.slot.name);
        if with_number {
            out.push_str(&format!(":{}", self.number));
        }
        if !self.said.is_empty() {
            out.push(' ');
            out.push_str(&self.said);
        }
        out.push('\n');
    }
}

/// The directories that paths in lists begin at.
pub fn bases(global: &TlsGlobal) -> Bases<'_> {
    Bases { ca: global.ca_base.as_deref(), crt: global.crt_base.as_deref(), key: global.key_base.as_deref() }
}

/// The entries of a `crt-list` file. Errs with HAProxy's text.
pub fn of_file(path: &Path, global: &TlsGlobal, store: &Store) -> Result<Vec<Arc<Entry>>, String> {
    let name = path.display().to_string();
    if let Some(entries) = store.list_entries(&name) {
        return Ok(entries);
    }
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("'crt-list' : cannot open file '{name}' : {}", reason(&e)))?;
    let in_list = |e: String| format!("'crt-list' : {e}");
    let mut list = List { entries: Vec::new(), lines: text.lines().count() };
    for line in crt_list::parse(&text, &name, bases(global)).map_err(in_list)? {
        for file in expand(&line.file, store).map_err(in_list)? {
            let slot = store.load(&file, line.key.as_deref(), line.ocsp.as_deref()).map_err(|e| in_list(e.0))?;
            list.entries.push(Arc::new(Entry::of(&line, slot, line.number)));
        }
    }
    Ok(store.add_list(name, list))
}

/// What a `crt` word names: a file or a bundle, or a directory, which is a list. Errs with HAProxy's text.
pub fn of_crt(path: &Path, store: &Store) -> Result<Vec<Arc<Entry>>, String> {
    let name = path.display().to_string();
    if let Some(entries) = path.is_dir().then(|| store.list_entries(&name)).flatten() {
        return Ok(entries);
    }
    let mut entries = Vec::new();
    for file in expand(path, store)? {
        entries.push(Arc::new(Entry::bare(store.load(&file, None, None).map_err(|e| e.0)?)));
    }
    if path.is_dir() {
        return Ok(store.add_list(name, List { entries, lines: 0 }));
    }
    Ok(entries)
}

/// Extensions that are no certificates of their own in a directory.
const BESIDE: [&str; 4] = ["issuer", "ocsp", "sctl", "key"];

/// The files that `path` stands for: itself, the files of a directory, or those of a bundle.
fn expand(path: &Path, store: &Store) -> Result<Vec<PathBuf>, String> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path)
            .map_err(|e| format!("unable to scan directory '{}' : {}.", path.display(), reason(&e)))?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| {
                let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                let extension = p.extension().and_then(|e| e.to_str()).unwrap_or_default();
                !name.starts_with('.') && !BESIDE.contains(&extension) && p.is_file()
            })
            .collect();
        files.sort();
        return Ok(files);
    }
    // Names given on the runtime API before need no file.
    if !path.exists() && store.beside().files.bundle && store.find(&path.display().to_string()).is_none() {
        let bundle: Vec<PathBuf> = ["rsa", "dsa", "ecdsa"]
            .iter()
            .map(|kind| {
                let mut name = path.as_os_str().to_owned();
                name.push(".");
                name.push(kind);
                PathBuf::from(name)
            })
            .filter(|p| p.exists())
            .collect();
        if !bundle.is_empty() {
            return Ok(bundle);
        }
    }
    Ok(vec![path.to_owned()])
}
