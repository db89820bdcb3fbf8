//! The folder of compiled plugins: what is loaded from it is run as machine code.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use bytes::Bytes;
use serde_json::json;
use tollgate_capabilities::{Capabilities, EmbeddedOptions};
use tollgate_config::CompileLimits;
use tollgate_sandbox::{Inspector, Sandbox, SandboxError, SandboxOptions, inspect, may_cache_in};

use crate::{
    guest,
    shape::Shape,
    stage::{Stage, options, spec, strike},
};

fn in_folder(folder: &Path) -> SandboxOptions {
    SandboxOptions {
        cache: Some(folder.to_owned()),
        ..options()
    }
}

fn entries(folder: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder)
        .expect("it can be listed")
        .map(|file| file.expect("it can be listed").path());
    files
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect()
}

#[tokio::test]
async fn a_folder_that_others_can_write_is_refused() {
    for mode in [0o777, 0o770, 0o702] {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let capabilities = Capabilities::embedded(EmbeddedOptions::default());
        let error = Sandbox::new(in_folder(folder.path()), capabilities).unwrap_err();
        assert!(matches!(error, SandboxError::Cache(_)));
        let error = error.to_string();
        assert!(
            error.contains("chmod 700") && error.contains(&format!("{mode:o}")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_file_in_place_of_the_folder_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let capabilities = Capabilities::embedded(EmbeddedOptions::default());
    let error = Sandbox::new(in_folder(file.path()), capabilities).unwrap_err();
    assert!(matches!(error, SandboxError::Cache(_)), "{error}");
}

#[tokio::test]
async fn a_corrupted_entry_is_compiled_again_and_never_loaded() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let stage = Stage::with(in_folder(folder.path())).await;
    let load = || stage.load(spec("shape", Shape::default().module().into(), json!({})));
    load().await;
    for path in entries(folder.path(), "cwasm") {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        // As a new file: the running one is mapped.
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
    }
    let policy = load().await;
    assert!(strike(&policy, "/strike").await.is_ok());
    for path in entries(folder.path(), "json") {
        fs::write(&path, "{").unwrap();
    }
    assert!(strike(&load().await, "/strike").await.is_ok());
    for path in entries(folder.path(), "cwasm") {
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
    }
    assert!(strike(&load().await, "/strike").await.is_ok());
    stage.the_neighbour_answers_as_before().await;
}

#[tokio::test]
async fn one_plugins_entry_under_anothers_name_is_not_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let stage = Stage::with(in_folder(folder.path())).await;
    let neighbours = entries(folder.path(), "cwasm");
    stage
        .load(spec("shape", Shape::default().module().into(), json!({})))
        .await;
    let all = entries(folder.path(), "cwasm");
    let shapes = all.iter().find(|path| !neighbours.contains(path)).unwrap();
    fs::remove_file(shapes).unwrap();
    fs::copy(&neighbours[0], shapes).unwrap();
    let policy = stage
        .load(spec("shape", Shape::default().module().into(), json!({})))
        .await;
    assert!(
        strike(&policy, "/strike")
            .await
            .unwrap()
            .request
            .edits
            .is_empty()
    );
}

#[tokio::test]
async fn what_configures_a_plugin_is_compiled_once_for_all_its_settings() {
    for compiler in [None, Some(guest::compile_worker())] {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let options = SandboxOptions {
            compiler,
            ..in_folder(folder.path())
        };
        // The neighbour is the same plugin.
        let stage = Stage::with(options).await;
        let says = async |text: &str| {
            let policy = stage.hostile(json!({ "text": text })).await;
            strike(&policy, "/").await.unwrap().neighbour()
        };
        let setups = || entries(folder.path(), "setup");
        let setup = setups().pop().unwrap();
        // One that is written anew is another file.
        let file = || fs::metadata(&setup).unwrap().ino();
        let first = file();
        assert!(says("one").await.starts_with("one /"));
        assert!(says("two").await.starts_with("two /"));
        assert_eq!((setups().len(), file()), (1, first));
        assert_eq!(entries(folder.path(), "cwasm").len(), 3);

        let mut corrupted = fs::read(&setup).unwrap();
        let middle = corrupted.len() / 2;
        corrupted[middle] ^= 1;
        stage
            .load(spec("shape", Shape::default().module().into(), json!({})))
            .await;
        let of_another = setups().into_iter().find(|path| *path != setup).unwrap();
        let of_another = fs::read(of_another).unwrap();
        for (nth, wrong) in [corrupted, of_another, Vec::new()].iter().enumerate() {
            fs::write(&setup, wrong).unwrap();
            let was = file();
            assert!(
                says(&format!("a{nth}"))
                    .await
                    .starts_with(&format!("a{nth} /"))
            );
            let mended = file();
            assert_ne!(mended, was, "it is made again");
            assert!(
                says(&format!("b{nth}"))
                    .await
                    .starts_with(&format!("b{nth} /"))
            );
            assert_eq!(file(), mended, "and good from then on");
        }
        stage.the_neighbour_answers_as_before().await;
    }
}

#[tokio::test]
async fn what_was_compiled_to_look_at_a_plugin_configures_it_then() {
    for compiler in [None, Some(guest::compile_worker())] {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let wasm = Bytes::from(Shape::default().module());
        let inspector = Inspector {
            program: compiler.as_deref(),
            limits: &CompileLimits::default(),
            cache: Some(folder.path()),
        };
        inspect(inspector, ("shape", wasm.clone())).await.unwrap();
        let setups = || entries(folder.path(), "setup");
        let setup = setups().pop().unwrap();
        // One that is written anew is another file.
        let file = || fs::metadata(&setup).unwrap().ino();
        let first = file();
        inspect(inspector, ("shape", wasm.clone())).await.unwrap();
        assert_eq!(file(), first);
        let options = SandboxOptions {
            compiler: compiler.clone(),
            ..in_folder(folder.path())
        };
        let stage = Stage::with(options).await;
        let with_the_neighbours = setups().len();
        stage.load(spec("shape", wasm, json!({}))).await;
        assert_eq!((setups().len(), file()), (with_the_neighbours, first));
    }
}

#[tokio::test]
async fn looking_at_a_plugin_needs_no_folder_that_is_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    assert!(may_cache_in(folder.path()));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!may_cache_in(folder.path()));
    let inspector = Inspector {
        program: None,
        limits: &CompileLimits::default(),
        cache: Some(folder.path()),
    };
    let wasm = Bytes::from(Shape::default().module());
    inspect(inspector, ("shape", wasm)).await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let stage = Stage::with(in_folder(folder.path())).await;
    let before = fs::read_dir(folder.path()).unwrap().count();
    stage
        .refused_bytes(
            Shape {
                describe: "(unreachable)",
                ..Shape::default()
            }
            .module(),
        )
        .await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
}
