//! Plugin files: those that must not go live, and those that must.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    folder::{Folder, Start, replace, run},
    ground::{Ground, eventually},
};
use crate::fixture::{self, PATIENCE};

refused! {
    a_plugin_of_no_bytes from Greeted by |folder| folder.save_plugin("");
    a_plugin_of_four_bytes from Greeted by |folder| folder.save_plugin(b"\0asm");
    a_plugin_of_a_header_alone from Greeted by |folder| folder.save_plugin(b"\0asm\x01\0\0\0");
    a_plugin_that_is_an_empty_component from Greeted by |folder| folder.save_plugin(b"\0asm\x0d\0\x01\0");
    a_plugin_of_an_unknown_wasm_version from Greeted by |folder| folder.save_plugin(b"\0asm\x02\0\0\0");
    a_plugin_in_text_form from Greeted by |folder| folder.save_plugin("(module)");
    a_plugin_that_is_compressed from Greeted by |folder| folder.save_plugin(b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
    a_plugin_without_its_last_byte from Greeted by |folder| {
        let whole = guest("greeting-v1");
        folder.save_plugin(&whole[..whole.len() - 1]);
    };
    a_plugin_of_a_hundred_megabytes from Greeted by |folder| {
        let beside = folder.path.join("huge");
        fs::File::create(&beside).unwrap().set_len(100 << 20).unwrap();
        fs::rename(beside, folder.plugin()).unwrap();
    };
    a_plugin_that_is_gone from Greeted by |folder| fs::remove_file(folder.plugin()).unwrap();
    a_plugin_that_is_a_directory from Greeted by |folder| {
        fs::remove_file(folder.plugin()).unwrap();
        fs::create_dir(folder.plugin()).unwrap();
    };
    a_plugin_that_is_a_link_to_nowhere from Greeted by |folder| link(folder, "nowhere.wasm");
    a_plugin_that_is_a_device from Greeted by |folder| link(folder, "/dev/zero");
    a_plugin_that_is_a_pipe from Greeted by |folder| {
        run(&folder.path, "mkfifo", &["pipe"]);
        fs::rename(folder.path.join("pipe"), folder.plugin()).unwrap();
    };
    a_plugins_folder_that_is_gone from Greeted by |folder| {
        fs::rename(folder.path.join("plugins"), folder.path.join("gone")).unwrap();
        fs::create_dir(folder.path.join("plugins")).unwrap();
    };
}

fn guest(name: &'static str) -> Vec<u8> {
    fs::read(fixture::guest(name)).unwrap()
}

fn link(folder: &Folder, target: &str) {
    let beside = folder.path.join("link");
    symlink(target, &beside).unwrap();
    fs::rename(beside, folder.plugin()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_goes_live_and_so_does_the_old_one_again() {
    let ground = Ground::start(Start::Greeted).await;
    let swap = async |name, mark: &str| {
        // Looks are some way apart, and the one before may have been just now.
        sleep(Duration::from_millis(200)).await;
        let before = ground.gateway.generation();
        let renamed = Instant::now();
        ground.folder.save_plugin(guest(name));
        while ground.gateway.generation() == before && renamed.elapsed() < PATIENCE {
            sleep(Duration::from_millis(1)).await;
        }
        let live = renamed.elapsed();
        ground.becomes(mark).await;
        live
    };
    swap("greeting-v2", "one+2").await;
    for _ in 0..3 {
        let back = swap("greeting-v1", "one+1").await;
        let forth = swap("greeting-v2", "one+2").await;
        println!("from the rename until it is live, already compiled: {back:?}, {forth:?}");
    }
    assert_eq!(ground.gateway.generation(), 8);
    let took = ground.metric("tollgate_last_swap_seconds ").await;
    println!("of that, from the first look to the swap: {took} s");
    ground.neighbour_saw(&["one+1", "one+2"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_written_in_place_and_in_pieces_goes_live_whole() {
    let ground = Ground::start(Start::Greeted).await;
    let whole = guest("greeting-v2");
    write_in_pieces(&ground.folder.plugin(), &whole, Duration::from_millis(300)).await;
    ground.becomes("one+2").await;
    assert_eq!(ground.gateway.generation(), 2);
    ground.neighbour_saw(&["one+1", "one+2"]).await;
}

/// Truncates the file and writes three pieces, with pauses between them.
pub(super) async fn write_in_pieces(path: &Path, bytes: &[u8], pause: Duration) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for piece in bytes.chunks(bytes.len().div_ceil(3)) {
        file.write_all(piece).unwrap();
        sleep(pause).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_nobody_uses_may_be_anything() {
    let ground = Ground::start(Start::Greeted).await;
    let plugins = ground.folder.path.join("plugins");
    fs::write(plugins.join("broken.wasm"), "no wasm").unwrap();
    fs::create_dir(plugins.join("folder.wasm")).unwrap();
    symlink("nowhere", plugins.join("link.wasm")).unwrap();
    ground.has_nothing_new(1).await;
    assert_eq!(
        ground.generations().await["last_refusal"],
        serde_json::Value::Null
    );
    ground.folder.save_plugin(guest("greeting-v2"));
    ground.becomes("one+2").await;
    ground.neighbour_saw(&["one+1", "one+2"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_the_same_again_makes_no_generation() {
    let ground = Ground::start(Start::Greeted).await;
    ground.folder.save_plugin(guest("greeting-v1"));
    ground.has_nothing_new(1).await;
    run(&ground.folder.path, "touch", &["plugins/greeting.wasm"]);
    ground.has_nothing_new(1).await;
    ground.neighbour_saw(&["one+1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_deleted_and_put_back_is_as_if_nothing_had_been() {
    let ground = Ground::start(Start::Greeted).await;
    let plugin = ground.folder.plugin();
    fs::remove_file(&plugin).unwrap();
    ground.refusal().await;
    replace(&plugin, guest("greeting-v1"));
    eventually("the refusal is lifted", async || {
        (ground.generations().await["last_refusal"]["stands"] == false).then_some(())
    })
    .await;
    assert_eq!(ground.gateway.generation(), 1);
    ground.neighbour_saw(&["one+1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_as_cargo_writes_it_is_found() {
    let ground = Ground::start(Start::Budgeted).await;
    let plugins = ground.folder.path.join("plugins");
    fs::rename(
        plugins.join("token-budget.wasm"),
        plugins.join("token_budget.wasm"),
    )
    .unwrap();
    let (status, said) = ground.reload().await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(ground.mark().await, "one");
    ground.neighbour_saw(&["one"]).await;
}
