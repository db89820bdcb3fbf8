//! Where the code of a plugin is: its own crate, and those that it depends on by path.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{build::metadata, toolchain::Toolchain};

/// Crates that are looked at.
const CRATES_MAX: usize = 64;

/// What cargo builds a plugin from, as far as it is on this machine to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Of crates that it depends on by path, however far; not its own.
    pub(crate) folders: BTreeSet<PathBuf>,
    /// Manifests of workspaces.
    pub(crate) manifests: BTreeSet<PathBuf>,
}

/// What the crate in this folder, a canonical path, is built from. `None`: cargo cannot read
/// it, or one that it depends on by path.
pub(crate) fn sources(folder: &Path, stop: Option<&CancellationToken>) -> Option<Sources> {
    let tools = Toolchain::from_env();
    let (mut found, mut known) = (Sources::default(), BTreeMap::new());
    let mut waiting = vec![folder.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(next) = waiting.pop() {
        if seen.len() == CRATES_MAX || !seen.insert(next.clone()) {
            continue;
        }
        if !known.contains_key(&next) {
            let read = metadata(&tools, &next.join("Cargo.toml"), stop).ok()?;
            if let Some(root) = read["workspace_root"].as_str() {
                found.manifests.insert(Path::new(root).join("Cargo.toml"));
            }
            let packages = read["packages"].as_array().map(Vec::as_slice);
            known.extend(packages.unwrap_or_default().iter().filter_map(by_path));
        }
        for dependency in known.get(&next).into_iter().flatten() {
            if dependency != folder {
                found.folders.insert(dependency.clone());
            }
            waiting.push(dependency.clone());
        }
    }
    Some(found)
}

/// A package's folder, and those of what it is built from. What its tests need is not
/// built into a plugin.
fn by_path(package: &Value) -> Option<(PathBuf, Vec<PathBuf>)> {
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
    let dependencies = package["dependencies"].as_array()?.iter();
    let paths = dependencies
        .filter(|dependency| dependency["kind"] != "dev")
        .filter_map(|dependency| dependency["path"].as_str())
        // Written as it may be, with `..` in it.
        .filter_map(|path| std::fs::canonicalize(path).ok());
    Some((folder.to_owned(), paths.collect()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn krate(root: &Path, name: &str, rest: &str) {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        let name = name.rsplit('/').next().unwrap();
        let text = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{rest}\n");
        fs::write(folder.join("Cargo.toml"), text).unwrap();
        fs::write(folder.join("src/lib.rs"), "").unwrap();
    }

    #[test]
    fn crates_by_path_are_found_however_far_and_those_of_tests_are_not() {
        let outside = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(outside.path()).unwrap();
        krate(
            &root,
            "ws/mine",
            "[dependencies]\nrules = { path = \"../rules\" }\n[dev-dependencies]\nonly-tests = { path = \"../../only-tests\" }",
        );
        krate(
            &root,
            "ws/rules",
            "[dependencies]\nwords.workspace = true\n[build-dependencies]\nmaker = { path = \"../../maker\" }",
        );
        fs::write(
            root.join("ws/Cargo.toml"),
            "[workspace]\nresolver = \"3\"\nmembers = [ \"mine\", \"rules\" ]\n[workspace.dependencies]\nwords = { path = \"../words\" }",
        )
        .unwrap();
        // Each leads back, as build dependencies may.
        krate(
            &root,
            "words",
            "[target.'cfg(unix)'.dependencies]\nmaker = { path = \"../maker\" }",
        );
        krate(&root, "maker", "");
        krate(&root, "only-tests", "");

        let found = sources(&root.join("ws/mine"), None).unwrap();
        let folders = ["maker", "words", "ws/rules"].map(|name| root.join(name));
        assert_eq!(found.folders, BTreeSet::from(folders));
        let manifests = ["maker", "words", "ws"].map(|name| root.join(name).join("Cargo.toml"));
        assert_eq!(found.manifests, BTreeSet::from(manifests));

        fs::write(root.join("words/Cargo.toml"), "[package").unwrap();
        assert_eq!(sources(&root.join("ws/mine"), None), None);
        assert_eq!(sources(&root.join("words"), None), None);
    }
}
