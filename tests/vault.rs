//! What the vault promises of sealed values and of the master key.

use std::{collections::BTreeSet, future::Future, path::PathBuf, time::Duration};

use entity::data_key;
use ponte::{
    clock::{Clock, Rng, Timestamp},
    config::MasterKeySource,
    db::{Db, Engine},
    error::{Error, Result},
    vault::{Scope, Vault, rotate},
};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use secrecy::SecretString;
use uuid::Uuid;

use crate::support::TestDatabase;

const KEY: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
const OTHER: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

fn inline(text: &str) -> MasterKeySource {
    MasterKeySource::Inline(SecretString::from(text))
}

/// A migrated database on each engine, with a folder for key files.
async fn on_both_engines<F: Future<Output = ()>>(test: impl Fn(Db, PathBuf) -> F) {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (_database, url) = TestDatabase::create(engine).await;
        let db = Db::connect(&url, 2).await.expect("a database");
        db.migrate().await.expect("a schema");
        test(db, folder.path().to_owned()).await;
    }
}

async fn vault(db: &Db, source: MasterKeySource) -> Result<Vault> {
    Vault::open(db, source, Clock::manual(Timestamp(1_000)), Rng::seeded(1)).await
}

fn scope() -> Scope {
    Scope::of_item(
        Uuid::from_u128(1),
        Uuid::from_u128(2),
        Uuid::from_u128(3),
        "credentials",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_value_opens_where_it_belongs_and_nowhere_else() {
    on_both_engines(|db, _| async move {
        let vault = vault(&db, inline(KEY)).await.expect("a vault");
        let sealed = vault
            .seal(db.write(), scope(), b"password-ok")
            .await
            .expect("sealed");
        assert!(!sealed.windows(8).any(|window| window == b"password"));
        let opened = vault
            .unseal(db.read(), scope(), &sealed)
            .await
            .expect("opens");
        assert_eq!(opened.as_slice(), b"password-ok");

        let elsewhere = [
            Scope {
                application: Uuid::from_u128(9),
                ..scope()
            },
            Scope {
                item: Some(Uuid::from_u128(9)),
                ..scope()
            },
            Scope {
                item: None,
                ..scope()
            },
            Scope {
                row: Uuid::from_u128(9),
                ..scope()
            },
            Scope {
                field: "session",
                ..scope()
            },
        ];
        for scope in elsewhere {
            let error = vault
                .unseal(db.read(), scope, &sealed)
                .await
                .expect_err("does not open");
            assert_eq!(error.to_string(), "internal error", "{scope:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_bit_and_every_cut_fails_alike() {
    on_both_engines(|db, _| async move {
        let vault = vault(&db, inline(KEY)).await.expect("a vault");
        let sealed = vault
            .seal(db.write(), scope(), b"secret")
            .await
            .expect("sealed");
        let mut messages = BTreeSet::new();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let Err(Error::Internal(source)) = vault.unseal(db.read(), scope(), &changed).await
            else {
                panic!("bit {bit} does not count");
            };
            messages.insert(source.to_string());
        }
        for length in 0..sealed.len() {
            let cut = vault.unseal(db.read(), scope(), &sealed[..length]).await;
            assert!(cut.is_err(), "{length} bytes are enough");
        }
        assert_eq!(messages.len(), 1, "{messages:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_data_key_a_value_is_gone() {
    on_both_engines(|db, _| async move {
        let vault = vault(&db, inline(KEY)).await.expect("a vault");
        let sealed = vault
            .seal(db.write(), scope(), b"secret")
            .await
            .expect("sealed");
        vault
            .destroy(db.write(), Some(&sealed))
            .await
            .expect("destroyed");
        assert!(vault.unseal(db.read(), scope(), &sealed).await.is_err());
        assert_eq!(
            data_key::Entity::find()
                .count(db.read())
                .await
                .expect("a count"),
            0
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_master_key_refuses_to_start() {
    on_both_engines(|db, _| async move {
        vault(&db, inline(KEY)).await.expect("a vault");
        assert!(vault(&db, inline(OTHER)).await.is_err());
        assert!(vault(&db, MasterKeySource::Missing).await.is_err());
        assert!(vault(&db, inline("c2hvcnQ=")).await.is_err());
        vault(&db, inline(KEY))
            .await
            .expect("the right one still opens");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_rotates_beside_a_running_node_and_leaves_no_row_behind() {
    on_both_engines(|db, folder| async move {
        let path = folder.join("master.key");
        let source = MasterKeySource::File {
            path: path.clone(),
            create: true,
        };
        let running = vault(&db, source.clone()).await.expect("a vault");
        let before = running.digest(&[b"same"]);
        let mut sealed = Vec::new();
        for n in 0..450_u32 {
            let scope = Scope {
                row: Uuid::from_u128(n.into()),
                ..scope()
            };
            let value = running
                .seal(db.write(), scope, &n.to_be_bytes())
                .await
                .expect("sealed");
            sealed.push((scope, value));
        }
        let old = std::fs::read_to_string(&path).expect("a key file");

        let clock = Clock::system();
        let done = rotate(
            &db,
            &source,
            &clock,
            &Rng::system(),
            Duration::from_millis(1),
        )
        .await
        .expect("rotated");
        assert_eq!(done.rewrapped, 450 + 4);
        assert!(done.old_keys_dropped);
        let new = std::fs::read_to_string(&path).expect("a key file");
        assert_eq!(new.lines().count(), 1);
        assert!(!new.contains(old.trim()));

        // The node that began with the old key goes on, before and after it learns the new one.
        let (first, value) = &sealed[0];
        running
            .unseal(db.read(), *first, value)
            .await
            .expect("opens with the new key");
        running.refresh(&db).await.expect("refreshed");
        for (n, (scope, value)) in (0_u32..).zip(&sealed) {
            let opened = running
                .unseal(db.read(), *scope, value)
                .await
                .expect("opens");
            assert_eq!(opened.as_slice(), n.to_be_bytes());
        }
        assert_eq!(running.digest(&[b"same"]), before);
        assert!(vault(&db, inline(old.trim())).await.is_err());
        vault(&db, source).await.expect("a new start");
    })
    .await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    on_both_engines(|db, folder| async move {
        let path = folder.join("master.key");
        std::fs::write(&path, KEY).expect("written");
        let source = MasterKeySource::File {
            path: path.clone(),
            create: false,
        };
        let opened = async |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
            vault(&db, source.clone()).await
        };
        for mode in [0o644, 0o604, 0o660, 0o602, 0o620] {
            let told = opened(mode).await.err().expect("a refusal").in_full();
            assert!(told.contains("chmod 600"), "{mode:o}: {told}");
        }
        // The group may read what is root's: so a secret is mounted for a user who is not root.
        let of_root = std::fs::metadata(&path).expect("a file").uid() == 0;
        assert_eq!(opened(0o640).await.is_ok(), of_root);
        for mode in [0o600, 0o400] {
            opened(mode).await.expect("a vault");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_ends_well_where_the_key_file_cannot_be_written() {
    on_both_engines(|db, folder| async move {
        let path = folder.join("master.key");
        vault(&db, inline(KEY)).await.expect("a vault");
        let both = format!("{OTHER}\n{KEY}\n");
        std::fs::write(&path, &both).expect("written");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("set");
        // In the way of the file that would replace it.
        std::fs::create_dir(folder.join("master.new")).expect("a folder");
        let source = MasterKeySource::File {
            path: path.clone(),
            create: false,
        };
        let done = rotate(
            &db,
            &source,
            &Clock::system(),
            &Rng::system(),
            Duration::from_millis(1),
        )
        .await
        .expect("rotated");
        assert_eq!(done.rewrapped, 4);
        assert!(!done.old_keys_dropped);
        assert_eq!(std::fs::read_to_string(&path).expect("a key file"), both);
        vault(&db, inline(OTHER))
            .await
            .expect("the new key is enough");
    })
    .await;
}
