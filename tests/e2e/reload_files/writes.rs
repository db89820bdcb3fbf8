//! The ways in which files are written by editors, tools and orchestrators.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    time::{Duration, SystemTime},
};

use super::{
    folder::{Folder, Start, relink, replace, run},
    ground::{Ground, eventually},
    plugins::write_in_pieces,
};
use crate::{client::Ask, fixture};

/// Does something to a folder with `one`, and claims that it ends as `two`, in one
/// generation, and that nobody saw anything else meanwhile.
async fn ends_in_one_generation(deed: impl FnOnce(&Folder)) {
    let ground = Ground::start(Start::Plain).await;
    deed(&ground.folder);
    ground.becomes("two").await;
    assert_eq!(ground.gateway.generation(), 2);
    ground.neighbour_saw(&["one", "two"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_truncated_and_written_in_three_steps() {
    let ground = Ground::start(Start::Plain).await;
    // The beginning of a configuration is none, and has no routes.
    let text = ground.folder.config("two");
    write_in_pieces(
        &ground.folder.file(),
        text.as_bytes(),
        Duration::from_millis(300),
    )
    .await;
    ground.becomes("two").await;
    assert_eq!(ground.gateway.generation(), 2);
    ground.neighbour_saw(&["one", "two"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_renamed_over_the_old_one() {
    ends_in_one_generation(|folder| replace(&folder.file(), folder.config("two"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_overwritten_at_once() {
    ends_in_one_generation(|folder| fs::write(folder.file(), folder.config("two")).unwrap()).await;
}

/// vim with `backupcopy=no`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vim_renames_a_backup_and_creates_the_file() {
    ends_in_one_generation(|folder| {
        let backup = folder.path.join("tollgate.yaml~");
        fs::write(folder.path.join("4913"), "").unwrap();
        fs::remove_file(folder.path.join("4913")).unwrap();
        fs::write(folder.path.join(".tollgate.yaml.swp"), "b0VIM").unwrap();
        fs::rename(folder.file(), &backup).unwrap();
        fs::write(folder.file(), folder.config("two")).unwrap();
        fs::remove_file(backup).unwrap();
        fs::remove_file(folder.path.join(".tollgate.yaml.swp")).unwrap();
    })
    .await;
}

/// emacs: the backup is a copy, the lock a link to nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emacs_copies_a_backup_and_writes_in_place() {
    ends_in_one_generation(|folder| {
        let lock = folder.path.join(".#tollgate.yaml");
        symlink("someone@somewhere.1", &lock).unwrap();
        fs::copy(folder.file(), folder.path.join("tollgate.yaml~")).unwrap();
        fs::write(folder.file(), folder.config("two")).unwrap();
        fs::remove_file(lock).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sed_in_place() {
    ends_in_one_generation(|folder| {
        run(
            &folder.path,
            "sed",
            &["-i", "s/\"one\"/\"two\"/", "tollgate.yaml"],
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cp_over_the_file() {
    ends_in_one_generation(|folder| {
        fs::write(folder.path.join("new.txt"), folder.config("two")).unwrap();
        run(&folder.path, "cp", &["new.txt", "tollgate.yaml"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn install_unlinks_and_creates() {
    ends_in_one_generation(|folder| {
        fs::write(folder.path.join("new.txt"), folder.config("two")).unwrap();
        run(
            &folder.path,
            "install",
            &["-m", "644", "new.txt", "tollgate.yaml"],
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hard_link_swapped_for_another() {
    ends_in_one_generation(|folder| {
        let (new, link) = (folder.path.join("new.txt"), folder.path.join("link"));
        fs::write(&new, folder.config("two")).unwrap();
        fs::hard_link(&new, &link).unwrap();
        fs::rename(link, folder.file()).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_deleted_and_created_anew() {
    let ground = Ground::start(Start::Plain).await;
    fs::remove_file(ground.folder.file()).unwrap();
    ground.refusal().await;
    assert_eq!(ground.mark().await, "one");
    fs::write(ground.folder.file(), ground.folder.config("two")).unwrap();
    ground.becomes("two").await;
    assert_eq!(ground.gateway.generation(), 2);
    ground.neighbour_saw(&["one", "two"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_touch_makes_no_generation() {
    let ground = Ground::start(Start::Plain).await;
    for time in [
        SystemTime::UNIX_EPOCH,
        SystemTime::now() + Duration::from_secs(86_400),
    ] {
        let file = File::options()
            .append(true)
            .open(ground.folder.file())
            .unwrap();
        file.set_modified(time).unwrap();
        ground.has_nothing_new(1).await;
    }
    run(&ground.folder.path, "touch", &["tollgate.yaml"]);
    ground.has_nothing_new(1).await;
    run(&ground.folder.path, "chmod", &["640", "tollgate.yaml"]);
    ground.has_nothing_new(1).await;
    goes_on_to(&ground, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_bytes_make_no_generation() {
    let ground = Ground::start(Start::Plain).await;
    let text = ground.folder.config("one");
    replace(&ground.folder.file(), &text);
    ground.has_nothing_new(1).await;
    fs::write(ground.folder.file(), &text).unwrap();
    ground.has_nothing_new(1).await;
    fs::remove_file(ground.folder.file()).unwrap();
    fs::write(ground.folder.file(), &text).unwrap();
    ground.has_nothing_new(1).await;
    goes_on_to(&ground, 2).await;
}

/// Of all that happened before, none made a generation, or this would not be the next.
async fn goes_on_to(ground: &Ground, generation: u64) {
    ground.folder.save(ground.folder.config("two"));
    ground.becomes("two").await;
    assert_eq!(ground.gateway.generation(), generation);
    ground.neighbour_saw(&["one", "two"]).await;
}

/// As the kubelet lays out a ConfigMap: `tollgate.yaml` → `..data/…`, `..data` → a
/// folder with the time of the version in its name.
fn volume(folder: &Folder, versions: &[&str]) {
    for version in versions {
        let path = folder.path.join(format!("..{version}"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("tollgate.yaml"), folder.config(version)).unwrap();
    }
    symlink(format!("..{}", versions[0]), folder.path.join("..data")).unwrap();
    symlink("..data/tollgate.yaml", folder.file()).unwrap();
}

fn swap(folder: &Folder, version: &str) {
    relink(&folder.path.join("..data"), &format!("..{version}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubernetes_volume_swapped() {
    let ground = Ground::prepared(Start::Plain, |folder| volume(folder, &["one", "two"])).await;
    swap(&ground.folder, "two");
    fs::remove_dir_all(ground.folder.path.join("..one")).unwrap();
    ground.becomes("two").await;
    assert_eq!(ground.gateway.generation(), 2);
    ground.neighbour_saw(&["one", "two"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubernetes_volume_swapped_twice_at_once() {
    let versions = ["one", "two", "three"];
    let ground = Ground::prepared(Start::Plain, |folder| volume(folder, &versions)).await;
    swap(&ground.folder, "two");
    swap(&ground.folder, "three");
    ground.becomes("three").await;
    assert!(ground.gateway.generation() <= 3);
    ground.neighbour_saw(&versions).await;
    swap(&ground.folder, "one");
    ground.becomes("one").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_moved_away_and_another_moved_in() {
    let ground = Ground::following(Start::Plain, "etc/tollgate.yaml", |folder| {
        for (name, mark) in [("etc", "one"), ("etc.new", "two")] {
            let path = folder.path.join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("tollgate.yaml"), folder.config(mark)).unwrap();
        }
    })
    .await;
    run(&ground.folder.path, "mv", &["etc", "etc.old"]);
    run(&ground.folder.path, "mv", &["etc.new", "etc"]);
    ground.becomes("two").await;
    // The folder of the same name is another one now, and is followed.
    replace(
        &ground.folder.path.join("etc/tollgate.yaml"),
        ground.folder.config("three"),
    );
    ground.becomes("three").await;
    // What happens in the old one is nobody's business.
    replace(
        &ground.folder.path.join("etc.old/tollgate.yaml"),
        "nonsense",
    );
    ground.has_nothing_new(3).await;
    ground.neighbour_saw(&["one", "two", "three"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watched_folder_removed_and_made_anew() {
    let ground = Ground::following(Start::Plain, "etc/tollgate.yaml", |folder| {
        fs::create_dir(folder.path.join("etc")).unwrap();
        fs::write(folder.path.join("etc/tollgate.yaml"), folder.config("one")).unwrap();
    })
    .await;
    let etc = ground.folder.path.join("etc");
    for (mark, next) in [("two", "three"), ("four", "five")] {
        fs::remove_dir_all(&etc).unwrap();
        ground.refusal().await;
        fs::create_dir(&etc).unwrap();
        fs::write(etc.join("tollgate.yaml"), ground.folder.config(mark)).unwrap();
        ground.becomes(mark).await;
        replace(&etc.join("tollgate.yaml"), ground.folder.config(next));
        ground.becomes(next).await;
    }
    ground
        .neighbour_saw(&["one", "two", "three", "four", "five"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plugins_folder_removed_and_made_anew() {
    let ground = Ground::start(Start::Greeted).await;
    let plugins = ground.folder.path.join("plugins");
    fs::remove_dir_all(&plugins).unwrap();
    ground.refusal().await;
    fs::create_dir(&plugins).unwrap();
    fs::copy(fixture::guest("greeting-v2"), plugins.join("greeting.wasm")).unwrap();
    ground.becomes("one+2").await;
    ground.neighbour_saw(&["one+1", "one+2"]).await;
}

/// A folder of two files, as `--config FOLDER` reads it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_files_where_one_is_added_changed_and_removed() {
    let ground =
        Ground::following(Start::Plain, "", |folder| folder.save(folder.config("one"))).await;
    let extra = ground.folder.path.join("extra.yaml");
    for text in [
        "limits: { connections: 50 }\n",
        "limits: { connections: 60 }\n",
    ] {
        replace(&extra, text);
        let before = ground.gateway.generation();
        eventually("a new generation", async || {
            (ground.gateway.generation() > before).then_some(())
        })
        .await;
    }
    replace(&extra, "limits: { connections: none }\n");
    assert!(
        ground.refusal().await["message"]
            .as_str()
            .unwrap()
            .contains("extra.yaml:1:")
    );
    fs::remove_file(&extra).unwrap();
    ground.folder.save(ground.folder.config("two"));
    ground.becomes("two").await;
    ground.neighbour_saw(&["one", "two"]).await;
}

/// Configuration and plugins behind one link: nobody ever sees one of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_and_a_configuration_changed_together_are_one_generation() {
    let ground = Ground::following(Start::Greeted, "current/tollgate.yaml", |folder| {
        for (mark, version) in [("one", "greeting-v1"), ("two", "greeting-v2")] {
            let path = folder.path.join(mark);
            fs::create_dir_all(path.join("plugins")).unwrap();
            fs::write(path.join("tollgate.yaml"), folder.config(mark)).unwrap();
            fs::copy(fixture::guest(version), path.join("plugins/greeting.wasm")).unwrap();
        }
        symlink("one", folder.path.join("current")).unwrap();
    })
    .await;
    for (generation, mark) in (2..8).zip(["two", "one"].into_iter().cycle()) {
        relink(&ground.folder.path.join("current"), mark);
        ground
            .becomes(if mark == "one" { "one+1" } else { "two+2" })
            .await;
        assert_eq!(ground.gateway.generation(), generation);
    }
    ground.neighbour_saw(&["one+1", "two+2"]).await;
}

/// Two files changed one right after the other come to rest together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_and_a_configuration_written_in_place_are_one_generation() {
    let ground = Ground::start(Start::Greeted).await;
    fs::copy(fixture::guest("greeting-v2"), ground.folder.plugin()).unwrap();
    fs::write(ground.folder.file(), ground.folder.config("two")).unwrap();
    ground.becomes("two+2").await;
    assert_eq!(ground.gateway.generation(), 2);
    ground.neighbour_saw(&["one+1", "two+2"]).await;
}

/// A write through another name of the same file gives no event in the folder that is
/// watched; so do network file systems and queues that overflow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_without_any_event_is_found_by_the_slow_look() {
    let elsewhere = tempfile::tempdir().unwrap();
    let hidden = elsewhere.path().join("hidden");
    let ground = Ground::start(Start::Plain).await;
    replace(&ground.folder.file(), ground.folder.config("two"));
    ground.becomes("two").await;
    fs::hard_link(ground.folder.file(), &hidden).unwrap();
    fs::write(&hidden, ground.folder.config("three")).unwrap();
    ground.becomes("three").await;
    assert_eq!(ground.gateway.generation(), 3);
    ground.neighbour_saw(&["one", "two", "three"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_asked_for_with_post_and_with_nothing_else() {
    let elsewhere = tempfile::tempdir().unwrap();
    let hidden = elsewhere.path().join("hidden");
    let ground = Ground::start(Start::Plain).await;
    fs::hard_link(ground.folder.file(), &hidden).unwrap();
    ground.has_nothing_new(1).await;
    fs::write(&hidden, ground.folder.config("two")).unwrap();
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
        let answer = Ask::new(ground.gateway.admin_addr(), method, "/reload")
            .send()
            .await;
        assert_eq!(answer.status, 405, "{method}");
    }
    let (status, said) = ground.reload().await;
    assert_eq!((status, &said["result"]), (200, &"ok".into()), "{said}");
    assert_eq!(ground.mark().await, "two");
    assert_eq!(ground.gateway.generation(), 2);
    ground.neighbour_saw(&["one", "two"]).await;
}
