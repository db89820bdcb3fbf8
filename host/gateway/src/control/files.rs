//! What is said of a file that the configuration names and that is not there.
//!
//! What it is for, where it was looked for, where relative paths start from, and what to
//! do. Knows nothing of what stands in it.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use tollgate_config::nearest;

/// Why `file`, which is `what`, cannot be read by a gateway whose configuration is `source`.
/// `None`: it can be.
pub(super) fn unreadable(file: &Path, what: &dyn fmt::Display, source: &Path) -> Option<String> {
    let shown = file.display();
    let found = fs::metadata(file).and_then(|metadata| {
        // Others, such as a pipe, are read once and not to try.
        if metadata.is_file() {
            File::open(file)?;
        }
        Ok(metadata)
    });
    match found {
        Ok(metadata) if metadata.is_dir() => Some(format!(
            "{what}: {shown} is a folder, where a file was expected: name the file"
        )),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = first_missing(file).map_or(String::new(), |folder| {
                format!(" (nor is there the folder {})", folder.display())
            });
            let base = base(source);
            Some(format!(
                "{what}: there is no such file: {shown}{folder}; relative paths start from {}: put it there, or mend the path",
                base.display()
            ))
        }
        Err(error) => Some(format!(
            "{what}: {shown} cannot be read: {error}: the user that the gateway runs as has to be let"
        )),
    }
}

/// What to do about a plugin that `folder` does not have.
pub(super) fn missing_plugin(folder: &Path, name: &str, source: &Path) -> String {
    let Ok(entries) = fs::read_dir(folder) else {
        let base = base(source);
        return format!(
            "there is no such file for the plugin `{name}`, since the folder of `plugins` is not there; relative paths start from {}",
            base.display()
        );
    };
    /// More are not told apart by eye either.
    const LOOKED_AT: usize = 1_000;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let plugins = files.filter(|file| file.extension().is_some_and(|end| end == "wasm"));
    let names = plugins.filter_map(|file| Some(file.file_stem()?.to_str()?.replace('_', "-")));
    let names: Vec<String> = names.take(LOOKED_AT).collect();
    let hint = match nearest(name, names.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "put it there (`tollgate plugin build` makes one of a crate), or mend `plugin`"
            .to_owned(),
    };
    let twin = name.replace('-', "_");
    let twin = (twin != name).then(|| format!(", nor {twin}.wasm beside it"));
    let twin = twin.unwrap_or_default();
    format!("there is no such file for the plugin `{name}`{twin}: {hint}")
}

/// Where relative paths of the configuration start from.
fn base(source: &Path) -> PathBuf {
    let absolute = std::path::absolute(source).unwrap_or_else(|_| source.to_owned());
    match absolute.is_dir() {
        true => absolute,
        false => absolute.parent().map_or(absolute.clone(), Path::to_owned),
    }
}

/// Of the folders above a file the first that is not there.
fn first_missing(file: &Path) -> Option<&Path> {
    let above = file.ancestors().skip(1);
    above.take_while(|folder| !folder.exists()).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_told_with_where_it_was_looked_for_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path();
        let source = there.join("tollgate.yaml");
        fs::write(&source, "").unwrap();
        let told = |file: &str| unreadable(&there.join(file), &"the key of `tls`", &source);
        let shown = there.display();
        assert_eq!(
            told("key.pem").unwrap(),
            format!(
                "the key of `tls`: there is no such file: {shown}/key.pem; relative paths start from {shown}: put it there, or mend the path"
            )
        );
        let deep = told("tls/own/key.pem").unwrap();
        let nor = format!("/tls/own/key.pem (nor is there the folder {shown}/tls); ");
        assert!(deep.contains(&nor), "{deep}");
        fs::create_dir(there.join("tls")).unwrap();
        let is_folder = format!(
            "the key of `tls`: {shown}/tls is a folder, where a file was expected: name the file"
        );
        assert_eq!(told("tls"), Some(is_folder));
        assert_eq!(told("tollgate.yaml"), None);
        // A folder is where its own relative paths start.
        let of_folder = unreadable(&there.join("x"), &"it", there).unwrap();
        assert!(
            of_folder.contains(&format!("start from {shown}:")),
            "{of_folder}"
        );
    }

    #[test]
    fn a_plugin_that_is_not_there_is_told_with_one_that_may_be_meant() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path();
        let plugins = there.join("plugins");
        let told = |name: &str| missing_plugin(&plugins, name, there);
        assert!(
            told("api-keys")
                .contains("the folder of `plugins` is not there; relative paths start from"),
            "{}",
            told("api-keys")
        );
        fs::create_dir(&plugins).unwrap();
        fs::write(plugins.join("api_keys.wasm"), "").unwrap();
        assert_eq!(
            told("api-key"),
            "there is no such file for the plugin `api-key`, nor api_key.wasm beside it: did you mean `api-keys`?"
        );
        assert_eq!(
            told("greeting"),
            "there is no such file for the plugin `greeting`: put it there (`tollgate plugin build` makes one of a crate), or mend `plugin`"
        );
    }
}
