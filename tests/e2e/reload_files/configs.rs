//! Configurations that must not go live.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
};

use super::{
    folder::{Folder, Start, run},
    ground::Ground,
};

refused! {
    a_syntax_error from Plain by |folder| folder.append("limits: { connections: 5 ]\n");
    a_tab_for_indentation from Plain by |folder| folder.append("limits:\n\tconnections: 5\n");
    an_unclosed_quote from Plain by |folder| folder.append("limits: { event: \"1MiB }\n");
    an_unknown_key_of_the_top from Plain by |folder| folder.append("colour: blue\n");
    an_unknown_key_of_a_route from Plain by |folder| folder.append("  - { mach: { path: /x }, upstream: standin }\n");
    a_wrong_type from Plain by |folder| folder.append("limits: { connections: many }\n");
    a_wrong_unit from Plain by |folder| folder.append("timeouts: { total: 5 parsecs }\n");
    a_key_that_stands_twice from Plain by |folder| folder.append("plugins: others/\n");
    a_policy_that_stands_twice from Greeted by |folder| folder.reword(
        "policies: { ",
        "policies: { greeting: { plugin: greeting, on_error: bypass }, ",
    );
    a_policy_without_on_error from Greeted by |folder| folder.reword(", on_error: refuse", "");
    a_name_that_leads_nowhere from Plain by |folder| folder.append(
        "  - { name: other, match: { path: /x }, policies: [ nobody ], upstream: nowhere }\n",
    );
    an_alias_within_its_own_anchor from Plain by |folder| folder.save("limits: &a { event: *a }\nroutes: []\n");
    a_bomb_of_anchors from Plain by |folder| folder.save(anchors());
    a_nesting_without_end from Plain by |folder| folder.save(format!("routes: {}\n", "[".repeat(100_000)));
    a_second_document from Plain by |folder| folder.append("---\nroutes: []\n");
    a_missing_plugin from Greeted by |folder| folder.reword("plugin: greeting", "plugin: farewell");
    a_secret_in_a_file_that_is_not_there from Plain by |folder| secret(folder, "{ file: nowhere.txt }");
    a_secret_in_a_variable_that_is_not_set from Plain by |folder| secret(folder, "{ env: TOLLGATE_IS_NOT_SET }");
    a_secret_that_nobody_configured from Plain by |folder| folder.save(using_secret(folder));
    an_empty_file from Plain by |folder| folder.save("");
    a_file_of_comments from Plain by |folder| folder.save("# listen: 127.0.0.1:0\n\n---\n# nothing\n");
    a_file_of_a_hundred_megabytes from Plain by |folder| hundred_megabytes(folder);
    a_file_of_too_many_values from Plain by |folder| folder.reword(
        "policies: {}",
        &format!("policies: {{ p: {{ plugin: p, on_error: refuse, settings: {{ a: [{}1] }} }} }}", "1,".repeat(600_000)),
    );
    a_tls_root_that_is_not_there from Plain by |folder| folder.save(with_root(folder, "nowhere.pem"));
    a_tls_root_that_is_none from Plain by |folder| {
        fs::write(folder.path.join("ca.pem"), "-----BEGIN CERTIFICATE-----\nnonsense\n").unwrap();
        folder.save(with_root(folder, "ca.pem"));
    };
    a_secret_that_is_no_header from Plain by |folder| {
        fs::write(folder.path.join("key.txt"), "one\ntwo\n").unwrap();
        secret(folder, "{ file: key.txt }");
    };
    bytes_that_are_no_utf8 from Plain by |folder| folder.save(b"listen: 127.0.0.1:0\nadmin: \xff\xfe\n");
    a_text_in_utf16 from Plain by |folder| folder.save(b"\xff\xfel\0i\0s\0t\0e\0n\0");
    a_directory_instead_of_the_file from Plain by |folder| {
        fs::remove_file(folder.file()).unwrap();
        fs::create_dir(folder.file()).unwrap();
    };
    a_link_that_leads_nowhere from Plain by |folder| link(folder, "nowhere.yaml");
    a_link_that_leads_to_itself from Plain by |folder| link(folder, "tollgate.yaml");
    a_pipe_instead_of_the_file from Plain by |folder| {
        run(&folder.path, "mkfifo", &["pipe"]);
        fs::rename(folder.path.join("pipe"), folder.file()).unwrap();
    };
    a_device_instead_of_the_file from Plain by |folder| link(folder, "/dev/zero");
    a_file_that_is_gone from Plain by |folder| fs::remove_file(folder.file()).unwrap();
}

fn anchors() -> &'static str {
    include_str!("../../../host/config/tests/golden/anchor-bomb.yaml")
}

fn with_root(folder: &Folder, root: &str) -> String {
    let text = folder.config("two").replace("http://", "https://");
    // In front of the address: a port has four digits or five, and places are told.
    text.replace("{ endpoints:", &format!("{{ ca: {root}, endpoints:"))
}

/// The secret `key` goes into a header of the upstream.
fn using_secret(folder: &Folder) -> String {
    let text = folder.config("two");
    text.replace(
        "headers: {",
        "headers: {\n    x-standin-key: \"${secret:key}\",\n   ",
    )
}

fn secret(folder: &Folder, from: &str) {
    folder.save(using_secret(folder) + &format!("secrets:\n  key: {from}\n"));
}

fn hundred_megabytes(folder: &Folder) {
    let beside = folder.path.join("huge");
    File::create(&beside).unwrap().set_len(100 << 20).unwrap();
    fs::rename(beside, folder.file()).unwrap();
}

fn link(folder: &Folder, target: &str) {
    let beside = folder.path.join("link");
    symlink(target, &beside).unwrap();
    fs::rename(beside, folder.file()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_changes_needs_a_restart_and_the_old_one_stays() {
    let ground = Ground::start(Start::Plain).await;
    for key in ["listen", "admin"] {
        ground.folder.reword(
            &format!("{key}: 127.0.0.1:0"),
            &format!("{key}: 127.0.0.1:1"),
        );
        let (status, said) = ground.reload().await;
        assert_eq!(
            (status, &said["refused"]["code"]),
            (409, &"restart_needed".into()),
            "{said}"
        );
        let message = said["refused"]["message"].as_str().unwrap();
        assert!(
            message.contains(key) && message.contains("restart"),
            "{message}"
        );
    }
    ground.folder.mend("two");
    ground.becomes("two").await;
    ground.neighbour_saw(&["one", "two"]).await;
}

/// Whoever may read everything (root) is not refused: then nothing changed for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_be_read_changes_nothing() {
    let ground = Ground::start(Start::Plain).await;
    fs::set_permissions(ground.folder.file(), Permissions::from_mode(0o000)).unwrap();
    if fs::read(ground.folder.file()).is_err() {
        let refused = ground.refusal().await;
        let message = refused["message"].as_str().unwrap();
        assert!(message.to_lowercase().contains("permission"), "{message}");
    } else {
        ground.has_nothing_new(1).await;
    }
    assert_eq!(ground.mark().await, "one");
    ground.folder.mend("two");
    ground.becomes("two").await;
    ground.neighbour_saw(&["one", "two"]).await;
}
