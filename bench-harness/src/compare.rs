//! `compare BASE`: another commit against this checkout, in pairs on the same machine in the same minutes. The other
//! commit is built in a temporary worktree, so that this checkout is not touched.

use std::path::Path;
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
    let worktree = Worktree::add(&plan.repository, folder.path().join("base"), base)?;
    println!("building {base}");
    build(&worktree.folder, profile)?;
    println!("building this checkout ({})", machine::commit(&plan.repository));
    build(&plan.repository, profile)?;
    let binary = |checkout: &Path| {
        let directory = if profile == "dev" { "debug" } else { profile };
        checkout.join("target").join(directory).join("ringway").display().to_string()
    };
    let base_commit = machine::commit(&worktree.folder);
    let mut peers = vec![
        Peer::parse(&format!("this={}", binary(&plan.repository)), &plan.repository),
        Peer::parse(&format!("base={}", binary(&worktree.folder)), &plan.repository),
    ];
    peers[1].version = format!("{} ({base_commit})", peers[1].version);
    peers.append(&mut plan.peers);
    plan.peers = peers;
    plan.profile = format!("compare-{}", plan.profile);
    run::run(&plan).map(drop)
}

fn build(checkout: &Path, profile: &str) -> Result<(), String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "-p", "ringway", "--bin", "ringway", "--profile", profile]);
    // A target folder of its own: two checkouts must not overwrite each other's binary.
    cargo.current_dir(checkout).env("CARGO_TARGET_DIR", checkout.join("target"));
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{} does not build", checkout.display())),
        Err(error) => Err(format!("cargo: {error}")),
    }
}
