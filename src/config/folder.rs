//! `default-path` (manual 3.1): where relative file names start. As in HAProxy the process's directory is changed while
//! a configuration file is read, and again while what that file wrote is resolved; it is restored at the end.

use crate::{config::files::reason, model::global::DefaultPath};
use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Debug, Default)]
pub struct Folder {
    mode: DefaultPath,
    /// Where the process was started; known once a `default-path` was met.
    start: Option<PathBuf>,
    /// Where each file's names start, if not there.
    by_file: BTreeMap<Arc<str>, PathBuf>,
}

impl Folder {
    /// A `default-path` was read in `file`. The error is HAProxy's text.
    pub fn set(&mut self, mode: DefaultPath, file: &str) -> Result<(), String> {
        if self.start.is_none() {
            self.start = env::current_dir().ok();
        }
        self.mode = mode;
        let start = self.start.clone().unwrap_or_default();
        self.apply(file).map_err(|e| {
            let (word, path) = match &self.mode {
                DefaultPath::Origin(path) => ("origin", path.display().to_string()),
                DefaultPath::Parent => ("parent", file.to_owned()),
                _ => ("config", file.to_owned()),
            };
            format!(
                "couldn't set 'default-path' to {word} '{path}': Impossible to get back to directory '{}': {}.",
                start.display(),
                reason(&e)
            )
        })
    }

    /// Another file begins: the policy holds for it too. What cannot be entered was told by [`Folder::set`], or shows
    /// when a file is not found.
    pub fn begin(&mut self, file: &str) {
        let _ = self.apply(file);
    }

    /// What `file` wrote is resolved.
    pub fn enter(&self, file: &str) {
        if let Some(start) = &self.start {
            let _ = env::set_current_dir(self.by_file.get(file).unwrap_or(start));
        }
    }

    fn apply(&mut self, file: &str) -> io::Result<()> {
        let Some(start) = &self.start else { return Ok(()) };
        // The longest part up to the last slash.
        let beside = file.rfind('/').map_or(Path::new("."), |slash| Path::new(&file[..=slash]));
        let folder = match &self.mode {
            DefaultPath::Current => start.clone(),
            DefaultPath::Config => start.join(beside),
            DefaultPath::Parent => start.join(beside).join(".."),
            DefaultPath::Origin(path) => start.join(path),
        };
        env::set_current_dir(&folder)?;
        self.by_file.insert(file.into(), folder);
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(start) = &self.start {
            let _ = env::set_current_dir(start);
        }
    }
}
