//! What docs/operations.md says, against what there is.

use std::{collections::BTreeSet, path::Path, process::Command};

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a file")
}

/// The words of a text that begin like this, whole.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    text.match_indices(prefix)
        .map(|(place, _)| {
            text[place..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
}

#[test]
fn every_metric_is_explained_and_no_other_is_named() {
    // Recorded in one place, by names that stand there.
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("src/metrics.rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let elsewhere = ["counter!(", "gauge!(", "histogram!("]
                    .iter()
                    .any(|macro_name| text.contains(macro_name));
                assert!(!elsewhere, "{} records by itself", path.display());
            }
        }
    }
    let recorded = words(&read("src/metrics.rs"), "ponte_");
    assert!(recorded.len() > 10, "{recorded:?}");
    let page = read("docs/operations.md");
    let explained: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with("ponte_"))
        .collect();
    assert_eq!(explained, recorded);
}

#[test]
fn every_setting_and_command_that_is_named_exists() {
    let ponte = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ponte"))
            .args(arguments)
            .env_clear()
            .output()
            .expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let help = ponte(&["--help"]);
    let known = words(&help, "PONTE_");
    let page = read("docs/operations.md");
    for setting in words(&page, "PONTE_") {
        assert!(known.contains(&setting), "{setting} is no setting");
    }
    for command in ["doctor", "backup", "migrate", "ready", "keys"] {
        assert!(page.contains(&format!("ponte {command}")), "{command}");
        assert!(
            help.contains(&format!("\n  {command}")),
            "{command}: {help}"
        );
    }
    for link in page
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        if let Some(anchor) = link.strip_prefix('#') {
            let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
            let known = headings
                .map(|heading| {
                    heading
                        .to_lowercase()
                        .replace(' ', "-")
                        .replace(['?', '\''], "")
                })
                .any(|known| known == anchor);
            assert!(known, "#{anchor}");
        } else {
            let target = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("docs")
                .join(link);
            assert!(target.exists(), "{link}");
        }
    }
}
