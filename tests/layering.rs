//! Which module may know which: read from the `use` lines, as CONTRIBUTING.md draws it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A module, and the modules of the crate that it may name.
const MAY_USE: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("money", &[]),
    ("tax_number", &[]),
    ("error", &[]),
    ("config", &["db"]),
    ("metrics", &[]),
    ("db", &["clock", "connector", "error", "metrics", "money"]),
    ("vault", &["clock", "config", "db", "error"]),
    ("connector", &["clock", "error", "money", "tax_number"]),
    ("audit", &["app", "auth", "clock", "db", "error", "vault"]),
    ("bus", &["app", "config", "db", "error", "metrics"]),
    (
        "event",
        &["app", "auth", "bus", "clock", "db", "error", "metrics"],
    ),
    (
        "auth",
        &[
            "app", "audit", "clock", "db", "error", "item", "vault", "webhook",
        ],
    ),
    (
        "category",
        &[
            "app",
            "audit",
            "auth",
            "clock",
            "connector",
            "db",
            "error",
            "event",
            "item",
            "money",
            "product",
            "tax_number",
        ],
    ),
    (
        "client_user",
        &[
            "app", "audit", "auth", "category", "clock", "db", "error", "event", "item", "product",
        ],
    ),
    (
        "item",
        &[
            "app",
            "audit",
            "auth",
            "clock",
            "config",
            "connector",
            "db",
            "error",
            "event",
            "money",
            "vault",
        ],
    ),
    (
        "product",
        &[
            "app",
            "auth",
            "category",
            "clock",
            "connector",
            "db",
            "error",
            "event",
            "item",
            "money",
        ],
    ),
    (
        "sync",
        &[
            "app",
            "clock",
            "config",
            "connector",
            "db",
            "error",
            "event",
            "item",
            "metrics",
            "product",
        ],
    ),
    (
        "webhook",
        &[
            "app", "audit", "auth", "clock", "db", "error", "event", "item", "metrics", "vault",
        ],
    ),
    (
        "graphql",
        &[
            "app",
            "audit",
            "auth",
            "category",
            "client_user",
            "clock",
            "connector",
            "db",
            "error",
            "event",
            "item",
            "money",
            "product",
            "webhook",
        ],
    ),
    (
        "http",
        &[
            "app",
            "auth",
            "clock",
            "config",
            "connector",
            "db",
            "error",
            "event",
            "graphql",
            "item",
            "metrics",
            "product",
        ],
    ),
    ("listen", &["clock", "webhook"]),
    ("backup", &["clock", "config", "db", "error"]),
    ("ready", &["config", "error"]),
    (
        "doctor",
        &[
            "backup",
            "bus",
            "clock",
            "config",
            "connector",
            "db",
            "error",
            "metrics",
            "vault",
        ],
    ),
    (
        "app",
        &[
            "audit",
            "auth",
            "backup",
            "bus",
            "category",
            "client_user",
            "clock",
            "config",
            "connector",
            "db",
            "error",
            "event",
            "item",
            "metrics",
            "sync",
            "vault",
            "webhook",
        ],
    ),
];

/// A library, and the modules that may name it.
const KEPT_TO: &[(&str, &[&str])] = &[
    ("async_graphql", &["graphql", "http"]),
    ("axum", &["http"]),
    ("async_nats", &["bus"]),
    ("reqwest", &["listen", "webhook"]),
    ("jsonwebtoken", &["auth"]),
    ("aes_gcm", &["vault"]),
    ("aws_lc_rs", &["vault", "webhook"]),
    ("sqlx", &["db"]),
    ("rustix", &["doctor"]),
];

fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a source folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .filter(|path| !path.ends_with("main.rs") && !path.ends_with("lib.rs"))
        .map(|path| {
            let module = path
                .strip_prefix(&root)
                .expect("below the root")
                .iter()
                .next()
                .and_then(|first| Path::new(first).file_stem())
                .expect("a module")
                .to_string_lossy()
                .into_owned();
            let text = fs::read_to_string(&path).expect("a source file");
            (module, path, text)
        })
        .collect()
}

/// The modules of this crate that a file names, by path or in a `use` tree.
fn named(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or(text);
    let code: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let text = code.join("\n");
    let mut found = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(place) = rest.find("crate::") {
        let begins = rest[..place]
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && c != '_');
        rest = &rest[place + "crate::".len()..];
        if !begins {
            continue;
        }
        if let Some(tree) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut first = true;
            for c in tree.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        first = true;
                        word.clear();
                        continue;
                    }
                    c if depth == 0 && first && (c.is_alphanumeric() || c == '_') => {
                        word.push(c);
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 && !word.is_empty() && c == ':' {
                    first = false;
                    found.insert(std::mem::take(&mut word));
                }
            }
        } else {
            let word: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            found.insert(word);
        }
    }
    found
}

#[test]
fn modules_know_only_what_lies_beneath_them() {
    let modules: BTreeSet<&str> = MAY_USE.iter().map(|(module, _)| *module).collect();
    let mut wrong = Vec::new();
    let mut read = 0;
    for (module, path, text) in sources() {
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} is not in the table"));
        read += 1;
        for used in named(&text) {
            if used != module
                && modules.contains(used.as_str())
                && !allowed.contains(&used.as_str())
            {
                wrong.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(read > 30, "only {read} files were read");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn libraries_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        for (library, allowed) in KEPT_TO {
            let named = text.lines().any(|line| {
                let line = line.trim_start();
                !line.starts_with("//") && line.contains(&format!("{library}::"))
            });
            if named && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{} uses {library}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
