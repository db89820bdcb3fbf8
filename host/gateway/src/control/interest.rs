//! Which names in which directories may change what a path leads to.
//!
//! A path is walked component by component, and each symbolic link on the way adds
//! the directory it stands in: that is where a Kubernetes volume swaps `..data`.
//! Each directory's own parent is added too, since a directory may be removed and
//! made anew. Knows nothing of watching.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    path::{Component, Path, PathBuf},
};

/// As many links as Linux follows.
const LINKS_MAX: usize = 40;

/// What matters in one directory.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    exact: BTreeSet<OsString>,
    /// Without the dot.
    extensions: BTreeSet<OsString>,
}

impl Names {
    fn holds(&self, name: &OsStr) -> bool {
        self.exact.contains(name)
            || Path::new(name)
                .extension()
                .is_some_and(|extension| self.extensions.contains(extension))
    }
}

/// Directories, resolved, and what matters in each.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Interest {
    directories: BTreeMap<PathBuf, Names>,
}

impl Interest {
    /// Adds what may change the content behind `path`.
    pub(crate) fn file(&mut self, path: &Path) {
        self.walk(&absolute(path), &mut { LINKS_MAX });
    }

    /// Adds every file of a folder that ends in one of `extensions`.
    pub(crate) fn folder(&mut self, folder: &Path, extensions: &[&str]) {
        let resolved = self.walk(&absolute(folder), &mut { LINKS_MAX });
        let names = self.directories.entry(resolved).or_default();
        names
            .extensions
            .extend(extensions.iter().map(OsString::from));
    }

    /// Walks an absolute path, noting each link and the last component, and returns
    /// what the path leads to as far as that exists.
    fn walk(&mut self, path: &Path, links: &mut usize) -> PathBuf {
        let mut at = PathBuf::from("/");
        let components: Vec<Component<'_>> = path.components().collect();
        for (index, component) in components.iter().enumerate() {
            let Component::Normal(name) = component else {
                if *component == Component::ParentDir {
                    at.pop();
                }
                continue;
            };
            let last_two = index + 2 >= components.len();
            let next = at.join(name);
            match std::fs::read_link(&next) {
                Ok(target) if *links > 0 => {
                    *links -= 1;
                    self.note(&at, name);
                    at = self.walk(&at.join(target), links);
                }
                _ => {
                    if last_two || !next.exists() {
                        self.note(&at, name);
                    }
                    at = next;
                }
            }
        }
        at
    }

    fn note(&mut self, directory: &Path, name: &OsStr) {
        let names = self.directories.entry(directory.to_owned()).or_default();
        names.exact.insert(name.to_owned());
    }

    /// Whether a change at `path` matters.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        // An event on the watched directory itself: it was moved or removed.
        if self.directories.contains_key(path) {
            return true;
        }
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return true;
        };
        self.directories
            .get(directory)
            .is_some_and(|names| names.holds(name))
    }

    /// Whether this is one of the directories.
    pub(crate) fn is_directory(&self, path: &Path) -> bool {
        self.directories.contains_key(path)
    }

    /// The directories that exist now.
    pub(crate) fn directories(&self) -> BTreeSet<PathBuf> {
        self.directories
            .keys()
            .filter(|directory| directory.is_dir())
            .cloned()
            .collect()
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    #[test]
    fn a_plain_file_is_watched_by_its_name_and_its_folder_by_its_own() {
        let (_keep, path) = folder();
        std::fs::create_dir(path.join("etc")).unwrap();
        let file = path.join("etc/tollgate.yaml");
        let mut interest = Interest::default();
        interest.file(&file);
        assert!(interest.holds(&file));
        assert!(
            interest.holds(&path.join("etc")),
            "the folder may be removed and made anew"
        );
        assert!(!interest.holds(&path.join("etc/.tollgate.yaml.swp")));
        assert!(!interest.holds(&path.join("other")));
    }

    #[test]
    fn a_kubernetes_volume_is_watched_where_its_data_link_is_swapped() {
        let (_keep, path) = folder();
        std::fs::create_dir_all(path.join("mount/..2024")).unwrap();
        std::fs::write(path.join("mount/..2024/tollgate.yaml"), "").unwrap();
        symlink("..2024", path.join("mount/..data")).unwrap();
        symlink("..data/tollgate.yaml", path.join("mount/tollgate.yaml")).unwrap();
        let mut interest = Interest::default();
        interest.file(&path.join("mount/tollgate.yaml"));
        assert!(interest.holds(&path.join("mount/..data")));
        assert!(interest.holds(&path.join("mount/..2024/tollgate.yaml")));
        assert!(interest.directories().contains(&path.join("mount")));
    }

    #[test]
    fn a_loop_of_links_ends() {
        let (_keep, path) = folder();
        symlink("b", path.join("a")).unwrap();
        symlink("a", path.join("b")).unwrap();
        let mut interest = Interest::default();
        interest.file(&path.join("a"));
        assert!(interest.holds(&path.join("b")));
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_awaited_in_the_nearest_one_that_is() {
        let (_keep, path) = folder();
        let mut interest = Interest::default();
        interest.folder(&path.join("x/plugins"), &["wasm"]);
        assert!(interest.directories().contains(&path));
        assert!(interest.holds(&path.join("x")));
        assert!(interest.holds(&path.join("x/plugins/a.wasm")));
    }
}
