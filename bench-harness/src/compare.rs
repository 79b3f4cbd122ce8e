//! `compare BASE`: another commit against this checkout, in pairs on the same machine in the same minutes. The other
//! commit is built in a temporary worktree, so that this checkout is not touched.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child::{Folder, Worktree};
use crate::cli::Options;
use crate::machine;
use crate::peer::Peer;
use crate::run;

pub fn compare(options: &Options) -> Result<(), String> {
    let [base] = options.words.as_slice() else { return Err("compare wants one commit".to_owned()) };
    let profile = options.cargo_profile.as_deref().unwrap_or("release");
    let mut plan = options.plan(&[])?;
    let folder = Folder::new()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(plan.repository.join("target"), PathBuf::from);
    let worktree = Worktree::add(&plan.repository, folder.path().join("base"), base)?;
    println!("building {base}");
    let base_binary = build(&worktree.folder, &target, profile, folder.path().join("ringway-base"))?;
    println!("building this checkout ({})", machine::commit(&plan.repository));
    let this_binary = build(&plan.repository, &target, profile, folder.path().join("ringway-this"))?;
    let base_commit = machine::commit(&worktree.folder);
    let peer = |name: &str, path: &Path| Peer::parse(&format!("{name}={}", path.display()), &plan.repository);
    let mut peers = vec![peer("this", &this_binary), peer("base", &base_binary)];
    peers[1].version = format!("{} ({base_commit})", peers[1].version);
    peers.append(&mut plan.peers);
    plan.peers = peers;
    plan.profile = format!("compare-{}", plan.profile);
    run::run(&plan).map(drop)
}

/// Builds one checkout and copies the binary away. Both share one target folder, because dependencies are most of
/// the work; the copies keep one build from overwriting the other's binary.
fn build(checkout: &Path, target: &Path, profile: &str, copy: PathBuf) -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "-p", "ringway", "--bin", "ringway", "--profile", profile]);
    cargo.current_dir(checkout).env("CARGO_TARGET_DIR", target);
    let status = cargo.status().map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err(format!("{} does not build", checkout.display()));
    }
    let directory = if profile == "dev" { "debug" } else { profile };
    let binary = target.join(directory).join("ringway");
    std::fs::copy(&binary, &copy).map_err(|error| format!("{}: {error}", binary.display()))?;
    Ok(copy)
}
