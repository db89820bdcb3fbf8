//! A deed that has to be refused, and the claims that hold for each of them.
//!
//! What is refused, and with which words, is in `golden/NAME.err`. To write them anew:
//! `UPDATE_GOLDEN=1 cargo test -p tollgate --test e2e -- reload_files`.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{
    folder::{Folder, Start},
    ground::Ground,
};

/// One way to break a folder.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) start: Start,
    pub(super) deed: fn(&Folder),
}

/// The old generation stays and serves, and the refusal is named on the admin port, in
/// the metrics and to whoever asks; then everything is mended, and the change goes live.
pub(super) async fn is_refused_and_named(cases: &[Case], name: &str) {
    let case = cases.iter().find(|case| case.name == name).unwrap();
    let ground = Ground::start(case.start).await;
    let (one, two) = match case.start {
        Start::Greeted => ("one+1", "two+1"),
        Start::Plain | Start::Budgeted => ("one", "two"),
    };
    (case.deed)(&ground.folder);

    let refused = ground.refusal().await;
    is_golden(name, &ground.folder, &refused);
    assert_eq!(ground.gateway.generation(), 1);
    assert_eq!(ground.mark().await, one);
    let stage = refused["stage"].as_str().unwrap();
    let counted = format!("tollgate_reloads_total{{result=\"refused\",stage=\"{stage}\"}}");
    assert!(ground.metric(&counted).await >= 1.0);
    assert_eq!(ground.metric("tollgate_change_refused ").await, 1.0);

    let (status, said) = ground.reload().await;
    assert!(matches!(status, 409 | 422), "{status} {said}");
    assert_eq!(said["result"], "refused");
    assert_eq!(said["refused"]["message"], refused["message"]);
    ground.neighbour_saw(&[one]).await;

    ground.folder.mend("two");
    ground.becomes(two).await;
    assert_eq!(ground.gateway.generation(), 2);
    assert_eq!(ground.generations().await["last_refusal"]["stands"], false);
    assert_eq!(ground.metric("tollgate_change_refused ").await, 0.0);
    ground.neighbour_saw(&[one, two]).await;
}

/// Compares a refusal with the golden one of this name.
pub(super) fn is_golden(name: &str, folder: &Folder, refused: &Value) {
    let golden = golden(name);
    let found = shown(folder, refused);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &found).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        found == expected,
        "{}\n--- expected\n{expected}--- found\n{found}",
        golden.display()
    );
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/e2e/golden/{name}.err"))
}

/// A refusal as text that is the same in every folder.
pub(super) fn shown(folder: &Folder, refused: &Value) -> String {
    let place = match (refused["file"].as_str(), refused["line"].as_u64()) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.to_owned(),
        _ => "no file".to_owned(),
    };
    let word = |name: &str| refused[name].as_str().unwrap_or("none").to_owned();
    let (stage, code) = (word("stage"), word("code"));
    let text = format!(
        "stage {stage}, code {code}, at {place}\n\n{}\n",
        word("message")
    );
    let text = text.replace(&folder.path.display().to_string(), "<site>");
    without_offsets(&text.replace(&folder.upstream, "<upstream>"))
}

/// Where in a plugin something is depends on the compiler that built it.
fn without_offsets(text: &str) -> String {
    let mut pieces = text.split("offset 0x");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let rest = piece.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
        text + "offset <offset>" + rest
    })
}
