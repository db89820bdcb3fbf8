//! A crate to start from: the template, filled in.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The template's files, as they stand in `sdk/template`.
const FILES: &[(&str, &str)] = &[
    (
        ".cargo/config.toml",
        include_str!("../../../../sdk/template/.cargo/config.toml"),
    ),
    (
        ".gitignore",
        include_str!("../../../../sdk/template/gitignore.tmpl"),
    ),
    (
        "Cargo.toml",
        include_str!("../../../../sdk/template/Cargo.toml.tmpl"),
    ),
    (
        "README.md",
        include_str!("../../../../sdk/template/README.md.tmpl"),
    ),
    (
        "cases/greets.yaml",
        include_str!("../../../../sdk/template/cases/greets.yaml"),
    ),
    (
        "cases/refuses-empty-greeting.yaml",
        include_str!("../../../../sdk/template/cases/refuses-empty-greeting.yaml"),
    ),
    (
        "src/lib.rs",
        include_str!("../../../../sdk/template/src/lib.rs.tmpl"),
    ),
    (
        "tests/sandbox.rs",
        include_str!("../../../../sdk/template/tests/sandbox.rs"),
    ),
];

/// The longest name.
const NAME_MAX: usize = 48;

/// Where a crate takes the SDK from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sdk {
    /// From crates.io.
    Version(String),
    /// From a folder: `sdk` of a clone.
    Path(PathBuf),
    /// From a git repository, which cargo fetches: its address.
    Git(String),
}

/// Why no crate was made. `Display` is a whole message.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// Not a name for a plugin.
    #[error(
        "`{0}` is no name for a plugin: small letters, digits and `-`, beginning with a letter, \
         at most {NAME_MAX} of them, such as `short-prompts`"
    )]
    Name(String),
    /// A word that Rust has for itself.
    #[error("`{0}` is a word of Rust's own: choose another name")]
    Reserved(String),
    /// The folder is there.
    #[error("{} is there already: choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// No SDK at the path.
    #[error(
        "there is no SDK in {}: --sdk takes the folder `sdk` of a clone of Tollgate, the address of a git \
         repository with it, or a version such as `0.1`",
        .0.display()
    )]
    NoSdk(PathBuf),
    /// Not an address that cargo would take, or one with a secret in it.
    #[error(
        "--sdk: {0}; a git repository is named as https://HOST/PATH, ssh://HOST/PATH or git@HOST:PATH"
    )]
    Address(&'static str),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Sdk {
    /// What was written after `--sdk`: a version, a folder, or a git repository's address.
    ///
    /// # Errors
    /// It is none of them.
    pub fn read(text: &str) -> Result<Self, NewError> {
        if let Some(address) = git_address(text)? {
            return Ok(Self::Git(address));
        }
        let is_version = text.starts_with(|c: char| c.is_ascii_digit())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
        if is_version && !Path::new(text).exists() {
            return Ok(Self::Version(text.to_owned()));
        }
        Self::at(Path::new(text))
    }

    fn at(folder: &Path) -> Result<Self, NewError> {
        let no_sdk = || NewError::NoSdk(folder.to_owned());
        let folder = fs::canonicalize(folder).map_err(|_| no_sdk())?;
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        if manifest.contains("name = \"tollgate-sdk\"") {
            Ok(Self::Path(folder))
        } else {
            Err(no_sdk())
        }
    }

    /// That of the clone this program was built from or is run in, if there is one; else
    /// the version that is this program's own.
    #[must_use]
    pub fn found(clone: Option<&Path>) -> Self {
        clone
            .and_then(|root| Self::at(&root.join("sdk")).ok())
            .unwrap_or_else(|| Self::Version(env!("CARGO_PKG_VERSION").to_owned()))
    }

    fn dependency(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Version(version) => quoted(version),
            Self::Path(path) => format!("{{ path = {} }}", quoted(&path.to_string_lossy())),
            Self::Git(address) => format!("{{ git = {} }}", quoted(address)),
        }
    }
}

/// The address of a git repository as cargo takes it; `None`: the text is none.
fn git_address(text: &str) -> Result<Option<String>, NewError> {
    // `git@HOST:PATH` is git's own way to write it, and not cargo's.
    let scp = text
        .strip_prefix("git@")
        .and_then(|rest| rest.split_once(':'));
    let address = match scp {
        Some((host, path)) => format!("ssh://git@{host}/{}", path.trim_start_matches('/')),
        None => text.to_owned(),
    };
    let Some((scheme, rest)) = address.split_once("://") else {
        return Ok(None);
    };
    if !["https", "ssh"].contains(&scheme) {
        return Err(NewError::Address("the address is neither https nor ssh"));
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = host.rsplit_once('@').unwrap_or(("", host));
    if user.contains(':') || (scheme == "https" && !user.is_empty()) {
        // It would stand in the crate for everybody to read.
        return Err(NewError::Address(
            "the address has a password or token in it, which is git's own to ask for",
        ));
    }
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"'\\<>^`{|}".contains(c);
    if host.is_empty() || path.is_empty() || !address.chars().all(is_plain) {
        return Err(NewError::Address("this is no address of a repository"));
    }
    Ok(Some(address))
}

/// Makes a crate of this name in `parent`, and returns its folder.
///
/// # Errors
/// See [`NewError`]. Nothing is left behind.
pub fn new(name: &str, parent: &Path, sdk: &Sdk) -> Result<PathBuf, NewError> {
    check_name(name)?;
    let folder = if parent == Path::new(".") {
        PathBuf::from(name)
    } else {
        parent.join(name)
    };
    if folder.symlink_metadata().is_ok() {
        return Err(NewError::Exists(folder));
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| NewError::File { path, source }
    };
    // Whole or not at all.
    fs::create_dir_all(parent).map_err(failed(parent))?;
    let unfinished = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .tempdir_in(parent)
        .map_err(failed(parent))?;
    for (path, text) in FILES {
        let path = unfinished.path().join(path);
        if let Some(within) = path.parent() {
            fs::create_dir_all(within).map_err(failed(within))?;
        }
        let text = filled(text, name, sdk);
        fs::write(&path, text).map_err(failed(&path))?;
    }
    if is_in_workspace(parent) {
        let manifest = unfinished.path().join("Cargo.toml");
        let text = fs::read_to_string(&manifest).map_err(failed(&manifest))?;
        let alone =
            format!("{text}\n# Of no workspace around it; remove this to join one.\n[workspace]\n");
        fs::write(&manifest, alone).map_err(failed(&manifest))?;
    }
    open_to_all(unfinished.path()).map_err(failed(&folder))?;
    fs::rename(unfinished.path(), &folder).map_err(failed(&folder))?;
    Ok(folder)
}

fn open_to_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

fn check_name(name: &str) -> Result<(), NewError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(plain)
        && !name.ends_with('-')
        && !name.contains("--")
        && name.len() <= NAME_MAX;
    if !is_name {
        return Err(NewError::Name(name.to_owned()));
    }
    const RESERVED: &[&str] = &[
        "abstract",
        "alloc",
        "as",
        "async",
        "await",
        "become",
        "box",
        "break",
        "const",
        "continue",
        "core",
        "crate",
        "do",
        "dyn",
        "else",
        "enum",
        "extern",
        "false",
        "final",
        "fn",
        "for",
        "gen",
        "if",
        "impl",
        "in",
        "let",
        "loop",
        "macro",
        "match",
        "mod",
        "move",
        "mut",
        "override",
        "priv",
        "proc-macro",
        "pub",
        "ref",
        "return",
        "schemars",
        "self",
        "serde",
        "static",
        "std",
        "struct",
        "super",
        "test",
        "tollgate-sdk",
        "trait",
        "true",
        "try",
        "type",
        "typeof",
        "unsafe",
        "unsized",
        "use",
        "virtual",
        "where",
        "while",
        "yield",
    ];
    if RESERVED.contains(&name) {
        return Err(NewError::Reserved(name.to_owned()));
    }
    Ok(())
}

fn filled(text: &str, name: &str, sdk: &Sdk) -> String {
    text.replace("{{name}}", name)
        .replace("{{type}}", &type_name(name))
        .replace("{{sdk}}", &sdk.dependency())
}

/// `ShortPrompts` of `short-prompts`; never a name that the SDK brings along.
fn type_name(name: &str) -> String {
    let mut out = String::new();
    for part in name.split('-') {
        let mut letters = part.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out + "Policy"
}

/// Whether a crate in this folder would be taken for a member of a workspace around it.
fn is_in_workspace(folder: &Path) -> bool {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.ancestors().any(|folder| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml"));
        manifest.is_ok_and(|text| text.contains("[workspace"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_or_rust_would_trip_over_are_refused() {
        for name in [
            "",
            "Short",
            "9lives",
            "a_b",
            "a b",
            "../up",
            "-a",
            "a-",
            "a--b",
            &"a".repeat(49),
        ] {
            assert!(matches!(check_name(name), Err(NewError::Name(_))), "{name}");
        }
        for name in ["match", "test", "std", "tollgate-sdk"] {
            assert!(
                matches!(check_name(name), Err(NewError::Reserved(_))),
                "{name}"
            );
        }
        assert!(check_name("short-prompts-2").is_ok());
        assert_eq!(type_name("short-prompts"), "ShortPromptsPolicy");
    }

    #[test]
    fn a_folder_that_is_there_is_left_alone() {
        let dir = tempfile::tempdir().expect("is made");
        let sdk = Sdk::Version("0.1".to_owned());
        let folder = new("mine", dir.path(), &sdk).expect("is made");
        fs::write(folder.join("src/lib.rs"), "changed").expect("is written");
        let error = new("mine", dir.path(), &sdk).expect_err("is there");
        assert!(
            error
                .to_string()
                .ends_with("is there already: choose another name, or remove it")
        );
        assert_eq!(
            fs::read_to_string(folder.join("src/lib.rs")).expect("is there"),
            "changed"
        );
        assert_eq!(
            fs::read_dir(dir.path()).expect("is read").count(),
            1,
            "nothing is left behind"
        );
    }

    #[test]
    fn every_blank_of_the_template_is_filled_in() {
        let dir = tempfile::tempdir().expect("is made");
        let folder = new("mine", dir.path(), &Sdk::Version("0.1".to_owned())).expect("is made");
        for (path, _) in FILES {
            let text = fs::read_to_string(folder.join(path)).expect("is there");
            assert!(!text.contains("{{"), "{path}: {text}");
        }
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("is there");
        assert!(
            manifest.contains("name = \"mine\"") && manifest.contains("tollgate-sdk = \"0.1\"")
        );
        assert!(!manifest.contains("[workspace]"), "there is none around it");
    }

    #[test]
    fn within_a_workspace_a_crate_says_that_it_is_of_none() {
        let dir = tempfile::tempdir().expect("is made");
        fs::write(dir.path().join("Cargo.toml"), "[workspace]\nmembers = []\n")
            .expect("is written");
        let folder = new("mine", &dir.path().join("a/b"), &Sdk::found(None)).expect("is made");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("is there");
        assert!(manifest.ends_with("\n[workspace]\n"), "{manifest}");
    }

    #[test]
    fn the_sdk_may_come_from_a_git_repository() {
        let git = |address: &str| Sdk::Git(address.to_owned());
        for (text, address) in [
            (
                "https://example.com/tollgate.git",
                "https://example.com/tollgate.git",
            ),
            (
                "ssh://git@example.com:2222/a/b",
                "ssh://git@example.com:2222/a/b",
            ),
            ("git@example.com:a/b.git", "ssh://git@example.com/a/b.git"),
        ] {
            let sdk = Sdk::read(text).expect("is one");
            assert_eq!(sdk, git(address));
            let dir = tempfile::tempdir().expect("is made");
            let folder = new("mine", dir.path(), &sdk).expect("is made");
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("is there");
            let line = format!("\ntollgate-sdk = {{ git = \"{address}\" }}\n");
            assert!(manifest.contains(&line), "{manifest}");
        }
        for text in [
            "http://example.com/a",
            "file:///a",
            "https://",
            "https://example.com",
            "https://example.com/a b",
            "https://example.com/\"a",
            "https://me:secret@example.com/a",
            "https://token@example.com/a",
            "git@:a",
        ] {
            let error = Sdk::read(text).expect_err(text);
            assert!(matches!(error, NewError::Address(_)), "{text}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_sdk_is_a_version_or_a_folder_that_has_it() {
        assert_eq!(
            Sdk::read("0.1").expect("is one"),
            Sdk::Version("0.1".to_owned())
        );
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = Sdk::read(&root.join("sdk").to_string_lossy()).expect("is one");
        assert!(matches!(&path, Sdk::Path(path) if path.ends_with("sdk")));
        assert_eq!(Sdk::found(Some(&root)), path);
        assert!(matches!(Sdk::read("/"), Err(NewError::NoSdk(_))));
        assert!(matches!(Sdk::read("no-such"), Err(NewError::NoSdk(_))));
    }
}
